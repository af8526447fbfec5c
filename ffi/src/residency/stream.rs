//! Blocks that come to a device when they are needed.
//!
//! There are two places. While a block is computed in one of them, a thread fills the other with
//! the block that is expected next, straight from the memory-mapped file; where the device's driver
//! has memory that it can read by itself (*pinned*), through such memory, so that the processor
//! copies a tensor while the device fetches the one before. Forward and backward pass meet at the
//! same block, and so do steps, so that the last two blocks of each are there already.

use std::ops::Range;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::engine::EngineError;
use crate::ggml::backend::Backend;
use crate::ggml::buffer::{Buffer, Tensor};
use crate::gguf::file::{Gguf, TensorInfo};
use crate::residency::pinned::Lane;
use crate::sys;

/// Places for blocks `T` on a device.
pub(crate) struct Stream<T> {
    places: Vec<Place<T>>,
    /// The place of the block that is computed.
    current: usize,
    lane: Option<Arc<Mutex<Lane>>>,
}

/// What a place holds; dropped, it waits for the copy that is under way.
struct Held<T> {
    n: usize,
    block: Rc<T>,
    copying: Option<JoinHandle<()>>,
}

struct Place<T> {
    held: Option<Held<T>>,
    buffer: Rc<Buffer>,
}

/// Makes a block of tensors in a buffer.
type Open<'a, T> = &'a dyn Fn(&Rc<Buffer>) -> Result<(T, Transfer), EngineError>;

impl<T> Stream<T> {
    /// `n_places` places of `bytes` bytes.
    pub fn open(backend: &Backend, bytes: usize, n_places: usize) -> Result<Self, EngineError> {
        let place = |_| Ok(Place { held: None, buffer: Rc::new(backend.allocate(bytes)?) });
        let places = (0..n_places).map(place).collect::<Result<_, EngineError>>()?;
        let lane = Lane::open(backend.device(), bytes).map(|lane| Arc::new(Mutex::new(lane)));
        Ok(Self { places, current: 0, lane })
    }

    /// Block `n`, whose content is there; the block handed out before may be overwritten from now on.
    pub fn get(&mut self, n: usize, open: Open<'_, T>) -> Result<Rc<T>, EngineError> {
        self.current = match self.position(n) {
            Some(place) => place,
            None => self.fill(n, open)?,
        };
        let held = self.places[self.current].held.as_mut().expect("found or filled above");
        held.wait();
        Ok(held.block.clone())
    }

    /// Begins to copy block `n` to where the current block is not, unless it is there.
    pub fn expect(&mut self, n: usize, open: Open<'_, T>) -> Result<(), EngineError> {
        if self.position(n).is_none() && self.places.len() > 1 {
            self.fill(n, open)?;
        }
        Ok(())
    }

    fn position(&self, n: usize) -> Option<usize> {
        self.places.iter().position(|place| place.held.as_ref().is_some_and(|held| held.n == n))
    }

    /// Begins to copy block `n` to the place after the current one.
    fn fill(&mut self, n: usize, open: Open<'_, T>) -> Result<usize, EngineError> {
        let index = (self.current + 1) % self.places.len();
        let place = &mut self.places[index];
        let unused = place.held.take().is_none_or(|held| Rc::strong_count(&held.block) == 1);
        assert!(unused, "a graph still reads the block");
        let (block, transfer) = open(&place.buffer)?;
        let lane = self.lane.clone();
        let copying = std::thread::spawn(move || {
            let lane = lane.as_ref();
            let lane = lane.map(|lane| lane.lock().unwrap_or_else(PoisonError::into_inner));
            transfer.run(lane.as_deref());
        });
        place.held = Some(Held { n, block: Rc::new(block), copying: Some(copying) });
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

/// The content of tensors on its way from the file to a device.
///
/// Whoever makes one keeps the tensors alive, and reads nothing of them, until it has run.
pub(crate) struct Transfer {
    gguf: Gguf,
    parts: Vec<(NonNull<sys::ggml_tensor>, Range<usize>)>,
}

// SAFETY: the tensors' headers are only read, and ggml's backends copy from any thread while
// another one computes with other tensors.
unsafe impl Send for Transfer {}

impl Transfer {
    pub fn new(gguf: &Gguf) -> Self {
        Self { gguf: gguf.clone(), parts: Vec::new() }
    }

    /// Adds a tensor that lies in a buffer and its description in the file.
    pub fn push(&mut self, tensor: &Tensor, info: &TensorInfo) {
        let raw = NonNull::new(tensor.as_ptr()).expect("tensors have an address");
        self.parts.push((raw, info.offset..info.offset + info.size));
    }

    /// Copies everything and gives the file's pages back.
    pub fn run(&self, lane: Option<&Lane>) {
        let mut start = 0;
        for (tensor, range) in &self.parts {
            let bytes = &self.gguf.map()[range.clone()];
            // SAFETY: the tensors are alive and not read meanwhile, by this type's contract; they
            // have as many bytes as the file has for them.
            unsafe {
                if let Some(lane) = lane {
                    start = lane.send(*tensor, bytes, start);
                } else {
                    let data = bytes.as_ptr().cast();
                    sys::ggml_backend_tensor_set(tensor.as_ptr(), data, 0, bytes.len());
                }
            }
        }
        lane.inspect(|lane| lane.finish());
        for (_, range) in &self.parts {
            self.gguf.release_range(range.clone());
        }
    }
}
