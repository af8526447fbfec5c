//! The two ways in which a block's operations become nodes of a graph.

use cutq_kernels::{Kernels, Precision};

/// How operations are computed. Both ways record the same gradients.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lowering {
    /// By the kernels of this project, as custom operations: on the CPU only.
    Kernels {
        /// The CPU's level.
        kernels: Kernels,
        /// Arithmetic of the products with frozen weights.
        precision: Precision,
    },
    /// Composed of operations that ggml's CUDA, Metal and Vulkan backends all have, so of none of
    /// OUT_PROD, GET_ROWS_BACK, RMS_NORM_BACK, SOFT_MAX_BACK, CROSS_ENTROPY_LOSS, REPEAT_BACK.
    Portable {
        /// [`Precision::Int8`] stands for the backend's own product with quantized weights, which
        /// rounds activations as it likes; [`Precision::F32`] dequantizes weights before.
        precision: Precision,
    },
}
