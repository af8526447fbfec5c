//! Layers that come to a device when they are needed.
//!
//! There are two slots. While a layer is computed in one of them, a thread fills the other with the
//! next layer, straight from the memory-mapped file; where the device's driver has memory that it
//! can read by itself (*pinned*), through such memory, so that the processor copies a tensor while
//! the device fetches the one before. Forward and backward pass meet at the same layer, and so do
//! steps, so that the last two layers of each are there already.

use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::error::EngineError;
use crate::ggml::backend::Backend;
use crate::ggml::buffer::Buffer;
use crate::residency::pinned::PinnedQueue;
use crate::residency::transfer::Transfer;

/// Slots for layers `T` on a device.
pub(crate) struct Stream<T> {
    slots: Vec<Slot<T>>,
    /// The slot of the layer that is computed.
    current: usize,
    queue: Option<Arc<Mutex<PinnedQueue>>>,
}

/// What a slot holds; dropped, it waits for the copy that is under way.
struct Held<T> {
    n: usize,
    layer: Rc<T>,
    copying: Option<JoinHandle<()>>,
}

struct Slot<T> {
    held: Option<Held<T>>,
    buffer: Rc<Buffer>,
}

/// Makes a layer of tensors in a buffer.
type Open<'a, T> = &'a dyn Fn(&Rc<Buffer>) -> Result<(T, Transfer), EngineError>;

impl<T> Stream<T> {
    /// `n_slots` slots of `bytes` bytes.
    pub fn open(backend: &Backend, bytes: usize, n_slots: usize) -> Result<Self, EngineError> {
        let slot = |_| Ok(Slot { held: None, buffer: Rc::new(backend.allocate(bytes)?) });
        let slots = (0..n_slots).map(slot).collect::<Result<_, EngineError>>()?;
        let queue = PinnedQueue::open(backend.device(), bytes);
        let queue = queue.map(|queue| Arc::new(Mutex::new(queue)));
        Ok(Self { slots, current: 0, queue })
    }

    /// Layer `n`, whose content is there; the layer handed out before may be overwritten from now
    /// on.
    pub fn get(&mut self, n: usize, open: Open<'_, T>) -> Result<Rc<T>, EngineError> {
        self.current = match self.position(n) {
            Some(slot) => slot,
            None => self.fill(n, open)?,
        };
        let held = self.slots[self.current].held.as_mut().expect("found or filled above");
        held.wait();
        Ok(held.layer.clone())
    }

    /// Begins to copy layer `n` to where the current layer is not, unless it is there.
    pub fn prefetch(&mut self, n: usize, open: Open<'_, T>) -> Result<(), EngineError> {
        if self.position(n).is_none() && self.slots.len() > 1 {
            self.fill(n, open)?;
        }
        Ok(())
    }

    fn position(&self, n: usize) -> Option<usize> {
        self.slots.iter().position(|slot| slot.held.as_ref().is_some_and(|held| held.n == n))
    }

    /// Begins to copy layer `n` to the slot after the current one.
    fn fill(&mut self, n: usize, open: Open<'_, T>) -> Result<usize, EngineError> {
        let index = (self.current + 1) % self.slots.len();
        let slot = &mut self.slots[index];
        let unused = slot.held.take().is_none_or(|held| Rc::strong_count(&held.layer) == 1);
        assert!(unused, "a graph still reads the layer");
        let (layer, transfer) = open(&slot.buffer)?;
        let queue = self.queue.clone();
        let copying = std::thread::spawn(move || {
            let queue = queue.as_ref();
            let queue = queue.map(|queue| queue.lock().unwrap_or_else(PoisonError::into_inner));
            transfer.run(queue.as_deref());
        });
        slot.held = Some(Held { n, layer: Rc::new(layer), copying: Some(copying) });
        Ok(index)
    }
}

impl<T> Held<T> {
    fn wait(&mut self) {
        if let Some(copying) = self.copying.take() {
            copying.join().expect("copying does not panic");
        }
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        self.wait();
    }
}
