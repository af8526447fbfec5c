//! A frozen matrix.

use crate::ggml::tensor::Tensor;
use crate::gguf::dequantize::Quantized;

/// A weight's panels in both orientations, forward first.
pub(crate) type Panels = [Tensor; 2];

/// A frozen matrix of ne = (in, out).
#[derive(Debug)]
pub(crate) struct Weight {
    /// Where graphs read it.
    pub tensor: Tensor,
    /// The same matrix in the file, row by row.
    pub data: Quantized,
    /// Its panels, where they are retained.
    pub panels: Option<Panels>,
}
