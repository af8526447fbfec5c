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

/// The exponent of what the largest weight of a target is scaled to.
const LARGEST: i32 = 4;

impl Lowering {
    /// What gradients are multiplied by on their way through the blocks, a power of two, so that it
    /// changes no bit of F32 but the exponent.
    ///
    /// Metal's products round both operands to F16, which ends at 6e-8 and at 65504, and a target's
    /// weight in the mean over a thousand is 1e-3 already. This puts the largest weight between 16
    /// and 32: a gradient may be 2000 times that, or a billion times less.
    pub fn gradient_scale(self, dlog_probs: &[f64]) -> f64 {
        let largest = dlog_probs.iter().fold(0.0, |max: f64, d| max.max(d.abs()));
        match self {
            Self::Portable { .. } if largest > 0.0 => {
                let exponent = LARGEST - largest.log2().floor().clamp(-60.0, 60.0) as i32;
                2f64.powi(exponent)
            }
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_weight_gets_well_into_f16() {
        let portable = Lowering::Portable { precision: Precision::F32 };
        for largest in [1e-9, 0.001, 0.25, 1.0, 3.7, 1e6] {
            let scale = portable.gradient_scale(&[0.0, largest / 3.0, -largest]);
            assert!((16.0..32.0).contains(&(largest * scale)), "{largest}: {scale}");
            assert_eq!(scale.log2().fract(), 0.0);
        }
        assert_eq!(portable.gradient_scale(&[0.0]), 1.0);
        assert_eq!(portable.gradient_scale(&[]), 1.0);
    }
}
