//! A frozen matrix.

use crate::ggml::tensor::Tensor;
use crate::gguf::dequantize::Quantized;

/// A frozen matrix of ne = (in, out).
#[derive(Debug)]
pub(crate) struct Weight {
    /// Where graphs read it.
    pub tensor: Tensor,
    /// The same matrix in the file, row by row.
    pub data: Quantized,
    /// Its panels in both orientations, forward first, where they are retained.
    pub panels: Option<[Tensor; 2]>,
}
