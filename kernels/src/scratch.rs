//! Memory that a thread keeps between products.

/// One cache line, so that a vector of them is aligned for every load.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Zero-initialized bytes that begin at a multiple of 64.
#[derive(Default)]
pub(crate) struct AlignedBytes(Vec<Line>);

impl AlignedBytes {
    /// At least `len` bytes; they still hold what they held before.
    pub(crate) fn grow(&mut self, len: usize) -> *mut u8 {
        let lines = len.div_ceil(64);
        if self.0.len() < lines {
            self.0.resize(lines, Line([0; 64]));
        }
        self.0.as_mut_ptr().cast()
    }

    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr().cast()
    }
}

/// Buffers for a tile of unpacked weights and the panels made of it.
///
/// Grows to what the largest product needs (a few hundred KiB; more when one panel of a long row
/// exceeds that) and can be used for any product afterwards. One per thread.
#[derive(Default)]
pub struct Scratch {
    /// Dequantized weights.
    pub(crate) tile: Vec<f32>,
    /// Packed panels.
    pub(crate) panels: AlignedBytes,
}

impl Scratch {
    /// Empty buffers.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// Bytes that it has grown to.
    pub fn bytes(&self) -> usize {
        4 * self.tile.len() + 64 * self.panels.0.len()
    }

    /// Two buffers of `first` and `second` floats, whatever they hold.
    pub(crate) fn floats(&mut self, first: usize, second: usize) -> (&mut [f32], &mut [f32]) {
        if self.tile.len() < first + second {
            self.tile.resize(first + second, 0.0);
        }
        let (first, rest) = self.tile.split_at_mut(first);
        (first, &mut rest[..second])
    }

    /// A tile of `len` floats, whatever they hold, beside room for `panel_bytes`.
    pub(crate) fn split(&mut self, len: usize, panel_bytes: usize) -> (&mut [f32], *mut u8) {
        if self.tile.len() < len {
            self.tile.resize(len, 0.0);
        }
        (&mut self.tile[..len], self.panels.grow(panel_bytes))
    }
}
