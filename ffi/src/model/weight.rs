//! A frozen matrix.

use crate::ggml::tensor::Tensor;
use crate::gguf::dequantize::Quantized;

/// A weight's panels for its product and for the transposed one, where they are retained.
pub(crate) type Panels = [Option<Tensor>; 2];

/// A frozen matrix of ne = (in, out).
#[derive(Debug)]
pub(crate) struct Weight {
    /// Where graphs read it.
    pub tensor: Tensor,
    /// The same matrix in the file, row by row.
    pub data: Quantized,
    /// Its panels.
    pub panels: Panels,
}
