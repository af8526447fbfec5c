//! The gated activation of a feed-forward network, and its gradient.

use crate::kernels::Kernels;
use crate::loops::Nonlinearity;

impl Kernels {
    /// `y = nonlinearity(gate) · up`, element by element: SwiGLU or GeGLU.
    ///
    /// Within `1e-6` of `f64`, relative to the larger of `|y|` and `|up|`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn gated(&self, nonlinearity: Nonlinearity, gate: &[f32], up: &[f32], y: &mut [f32]) {
        assert!(gate.len() == y.len() && up.len() == y.len(), "gate, up and y");
        // SAFETY: holding `Kernels` proves the features of its level.
        unsafe { (self.loops.gated)(nonlinearity, gate, up, y) }
    }

    /// Gradient of [`Kernels::gated`]: `dgate = dy · up · nonlinearity'(gate)` and
    /// `dup = dy · nonlinearity(gate)`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn gated_backward(
        &self,
        nonlinearity: Nonlinearity,
        [gate, up]: [&[f32]; 2],
        dy: &[f32],
        [dgate, dup]: [&mut [f32]; 2],
    ) {
        let lengths = [gate.len(), up.len(), dgate.len(), dup.len()];
        assert_eq!(lengths, [dy.len(); 4], "gate, up, dgate, dup and dy");
        // SAFETY: holding `Kernels` proves the features of its level.
        unsafe { (self.loops.gated_backward)(nonlinearity, [gate, up], dy, [dgate, dup]) }
    }
}
