//! Operations composed of those that ggml's CUDA, Metal and Vulkan backends all have, so of none of
//! GET_ROWS_BACK, RMS_NORM_BACK, SOFT_MAX_BACK, CROSS_ENTROPY_LOSS, REPEAT_BACK, and of OUT_PROD
//! only where it is fast.

mod attention;
mod gated;
mod head;
mod linear;
mod product;
mod rms_norm;
mod rope;
mod transposed;

use cutq_kernels::{LogProb, Nonlinearity, Precision, Segment};

use crate::ggml::backend::BackendError;
use crate::ggml::device::Device;
use crate::ggml::graph::Graph;
use crate::ggml::node::Node;
use crate::ggml::rope::Rotation;
use crate::ggml::tensor::Tensor;
use crate::model::layer::Layer;
use crate::ops::attention::{Attention, Kept};
use crate::ops::head::Head;
use crate::ops::linear::Linear;
use crate::ops::lowering::{HeadGradient, Lowering};
use crate::ops::tape::{Tape, Var};

/// Operations that every device has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable {
    /// [`Precision::Int8`] stands for the backend's own product with quantized weights, which
    /// rounds activations as it likes; [`Precision::F32`] dequantizes weights before.
    pub precision: Precision,
    /// Whether the backend's OUT_PROD is as fast as its MUL_MAT.
    pub out_prod: bool,
    /// Bytes of a weight's rows that are dequantized at a time.
    pub chunk_bytes: usize,
}

impl Portable {
    /// What is fastest on a device.
    pub fn on(device: Device, precision: Precision) -> Self {
        // Measured on CUDA only.
        let is_cuda = device.is_cuda();
        let memory = if is_cuda { device.memory().total } else { 0 };
        Self { precision, out_prod: is_cuda, chunk_bytes: Self::chunk_bytes(memory) }
    }
}

/// More than the nodes of a layer besides those of products and attention.
const CAPACITY: usize = 1024;

/// The exponent of what the largest weight of a target is scaled to.
const LARGEST: i32 = 4;

/// Nodes of a graph with a layer's forward and backward pass over these sequences, at most,
/// whichever way it is computed: the kernels take fewer.
pub(crate) fn layer_capacity(layer: &Layer, segments: &[Segment]) -> usize {
    let products = layer.weights().map(|weight| product::capacity(&weight.data));
    CAPACITY + products.sum::<usize>() + attention::capacity(segments)
}

impl Lowering for Portable {
    fn linear<'g>(&self, tape: &mut Tape<'g>, x: Var<'g>, linear: Linear<'g>) -> Var<'g> {
        linear::linear(*self, tape, x, linear)
    }

    fn rms_norm<'g>(&self, tape: &mut Tape<'g>, x: Var<'g>, weight: Node<'g>, eps: f32) -> Var<'g> {
        rms_norm::rms_norm(tape, x, weight, eps)
    }

    fn rope<'g>(&self, tape: &mut Tape<'g>, x: Var<'g>, rotation: Rotation<'g>) -> Var<'g> {
        rope::rope(tape, x, rotation)
    }

    fn gated<'g>(&self, tape: &mut Tape<'g>, f: Nonlinearity, inputs: [Var<'g>; 2]) -> Var<'g> {
        gated::gated(tape, f, inputs)
    }

    fn attention<'g>(
        &self,
        tape: &mut Tape<'g>,
        qkv: [Var<'g>; 3],
        attention: &Attention<'g>,
    ) -> Var<'g> {
        attention::attention(*self, tape, qkv, attention)
    }

    /// A copy on the device.
    fn kept_attention<'g>(
        &self,
        _: &mut Tape<'g>,
        _: [Var<'g>; 3],
        _: &Attention<'g>,
        _: Kept<'g>,
    ) -> Var<'g> {
        unreachable!("the engine keeps keys and values where the kernels compute")
    }

    fn adapter_matrix<'g>(&self, graph: &'g Graph, values: &'g [f32], ne: [usize; 2]) -> Node<'g> {
        graph.input_lent(ne, values)
    }

    fn log_probs(&self, head: &Head<'_>, residual: &Tensor) -> Result<Vec<LogProb>, BackendError> {
        head::log_probs(*self, head, residual)
    }

    fn head_backward(
        &self,
        head: &Head<'_>,
        HeadGradient { dlog_probs, .. }: HeadGradient<'_>,
        residual: &Tensor,
        d_residual: &Tensor,
    ) -> Result<(), BackendError> {
        head::backward(*self, head, dlog_probs, residual, d_residual)
    }

    fn head_graphs(&self, head: &Head<'_>) -> Vec<Graph> {
        head::graphs(*self, head)
    }

    /// Metal's products round both operands to F16, which ends at 6e-8 and at 65504, and a target's
    /// weight in the mean over a thousand is 1e-3 already. This puts the largest weight between 16
    /// and 32: a gradient may be 2000 times that, or a billion times less. A power of two changes
    /// no bit of F32 but the exponent.
    fn gradient_scale(&self, dlog_probs: &[f64]) -> f64 {
        let largest = dlog_probs.iter().fold(0.0, |max: f64, d| max.max(d.abs()));
        if largest == 0.0 {
            return 1.0;
        }
        2f64.powi(LARGEST - largest.log2().floor().clamp(-60.0, 60.0) as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_weight_gets_well_into_f16() {
        let portable = Portable::on(Device::cpu(), Precision::F32);
        for largest in [1e-9, 0.001, 0.25, 1.0, 3.7, 1e6] {
            let scale = portable.gradient_scale(&[0.0, largest / 3.0, -largest]);
            assert!((16.0..32.0).contains(&(largest * scale)), "{largest}: {scale}");
            assert_eq!(scale.log2().fract(), 0.0);
        }
        assert_eq!(portable.gradient_scale(&[0.0]), 1.0);
        assert_eq!(portable.gradient_scale(&[]), 1.0);
    }
}
