//! What of a backend's memory is allocated.

use std::cell::Cell;

/// Bytes of a backend's memory that are allocated.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// In buffers, now.
    buffers: Cell<usize>,
    /// For intermediate tensors of graphs, now.
    graphs: Cell<usize>,
    /// The peak of their sum.
    peak: Cell<usize>,
    /// Whether memory was freed since [`Meter::take_freed`].
    freed: Cell<bool>,
}

impl Meter {
    /// Notes a new buffer.
    pub fn add_buffer(&self, bytes: usize) {
        self.buffers.set(self.buffers.get() + bytes);
        self.look();
    }

    /// Notes that a buffer is freed.
    pub fn remove_buffer(&self, bytes: usize) {
        self.buffers.set(self.buffers.get() - bytes);
        self.freed.set(true);
    }

    /// Notes how much the intermediate tensors of graphs take.
    pub fn set_graphs(&self, bytes: usize) {
        let before = self.graphs.replace(bytes);
        self.freed.set(self.freed.get() || (before != bytes && before != 0));
        self.look();
    }

    /// Peak bytes since the previous call.
    pub fn take_peak(&self) -> usize {
        let peak = self.peak.take();
        self.look();
        peak
    }

    /// Whether memory was freed since the previous call.
    pub fn take_freed(&self) -> bool {
        self.freed.take()
    }

    fn look(&self) {
        self.peak.set(self.peak.get().max(self.buffers.get() + self.graphs.get()));
    }
}
