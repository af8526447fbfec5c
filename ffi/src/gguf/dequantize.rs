//! Reading a quantized matrix row by row, of any ggml type.

use std::ops::Range;

use cutq_kernels::{QuantBlock, Weights};

use crate::gguf::faster::faster;
use crate::gguf::file::Gguf;
use crate::gguf::quants::{self, ReadBlocks};
use crate::gguf::tensor_info::TensorInfo;
use crate::sys;

/// A matrix of any ggml type, in the memory map.
///
/// Copies are views: the [`Gguf`] that it was made from must stay open, so whoever holds a view
/// holds the file, or a tensor that does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quantized {
    data: *const u8,
    row_bytes: usize,
    block: usize,
    block_bytes: usize,
    /// `None` for F32, which needs no conversion.
    to_float: sys::ggml_to_float_t,
    /// `None` if the blocks are no [`QuantBlock`]s.
    read_blocks: Option<ReadBlocks>,
    /// Elements of a row.
    pub n_in: usize,
    /// Rows.
    pub n_out: usize,
}

impl Quantized {
    /// The matrix `info` of `gguf`; `None` if ggml cannot dequantize its type.
    pub fn new(gguf: &Gguf, info: &TensorInfo) -> Option<Self> {
        Self::of_type(info.kind, gguf.data(info), [info.ne[0], info.ne[1]])
    }

    /// `n_out` rows of `n_in` elements of one of ggml's types at `data`, which must outlive them.
    pub(super) fn of_type(
        kind: sys::ggml_type,
        data: &[u8],
        [n_in, n_out]: [usize; 2],
    ) -> Option<Self> {
        // SAFETY: the type came from a parsed header, which refuses unknown types.
        let traits = unsafe { &*sys::ggml_get_type_traits(kind) };
        let float = kind == sys::GGML_TYPE_F32;
        if traits.to_float.is_none() && !float {
            return None;
        }
        let block = traits.blck_size as usize;
        let row_bytes = n_in / block * traits.type_size;
        assert!(data.len() >= n_out * row_bytes);
        Some(Self {
            data: data.as_ptr(),
            row_bytes,
            block,
            block_bytes: traits.type_size,
            to_float: if float { None } else { faster(kind).or(traits.to_float) },
            read_blocks: quants::reader(kind),
            n_in,
            n_out,
        })
    }

    /// Elements that are quantized together.
    pub fn block(&self) -> usize {
        self.block
    }

    /// Some of the rows.
    ///
    /// # Panics
    /// If there are no such rows.
    pub fn rows(self, rows: Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.n_out);
        // SAFETY: the rows lie within the tensor's data.
        let data = unsafe { self.data.add(rows.start * self.row_bytes) };
        Self { data, n_out: rows.len(), ..self }
    }
}

impl Weights for Quantized {
    /// # Panics
    /// If the range is not one of whole blocks within the matrix.
    fn unpack(&self, row: usize, start: usize, out: &mut [f32]) {
        let whole = start.is_multiple_of(self.block) && out.len().is_multiple_of(self.block);
        assert!(whole && row < self.n_out && start + out.len() <= self.n_in);
        let offset = row * self.row_bytes + start / self.block * self.block_bytes;
        // SAFETY: the blocks lie within the tensor's data, which `Gguf::open` found to lie within
        // the map; `to_float` belongs to the tensor's type and writes `out.len()` floats. GGUF
        // aligns tensors to 32 bytes, so that F32 rows are aligned.
        unsafe {
            let source = self.data.add(offset);
            match self.to_float {
                Some(to_float) => to_float(source.cast(), out.as_mut_ptr(), out.len() as i64),
                None => out.as_mut_ptr().copy_from(source.cast(), out.len()),
            }
        }
    }

    fn quants(&self, row: usize, blocks: &mut [QuantBlock]) -> bool {
        let Some(read) = self.read_blocks else { return false };
        assert!(row < self.n_out);
        // SAFETY: the row lies within the tensor's data, as above.
        let bytes = unsafe {
            std::slice::from_raw_parts(self.data.add(row * self.row_bytes), self.row_bytes)
        };
        read(bytes, blocks);
        true
    }
}

// SAFETY: the data is read-only and stays mapped while the view is in use, by the type's contract.
unsafe impl Send for Quantized {}
// SAFETY: as above.
unsafe impl Sync for Quantized {}
