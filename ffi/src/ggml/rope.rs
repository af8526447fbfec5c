//! Rotary position embedding as ggml parameterizes it.

use crate::ggml::node::Node;
use crate::ggml::tensor::Tensor;

/// How rotary embeddings pair up the dimensions of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeMode {
    /// Neighbours: (0, 1), (2, 3), …
    Norm,
    /// Halves: (0, n/2), (1, n/2 + 1), …
    Neox,
}

/// Rotary position embedding of one layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rope {
    /// How dimensions are paired.
    pub mode: RopeMode,
    /// Dimensions that rotate.
    pub n_rot: usize,
    /// Base of the frequencies.
    pub freq_base: f32,
    /// Positions are multiplied by this.
    pub freq_scale: f32,
}

/// Rotary embedding of one layer for the tokens of a batch.
#[derive(Clone, Copy)]
pub(crate) struct Rotation<'g> {
    pub rope: Rope,
    /// (tokens,), I32.
    pub positions: Node<'g>,
    /// Divisors of the frequencies (Llama 3).
    pub factors: Option<&'g Tensor>,
}

impl Rope {
    /// How far each pair turns from one position to the next, in radians:
    /// `freq_scale · freq_base^(−2i / n_rot) / factors[i]`.
    pub(crate) fn frequencies(&self, factors: Option<&[f32]>) -> Vec<f32> {
        let (base, scale) = (f64::from(self.freq_base), f64::from(self.freq_scale));
        let frequency = |i: usize| {
            let factor = factors.map_or(1.0, |factors| f64::from(factors[i]));
            (scale * base.powf(-2.0 * i as f64 / self.n_rot as f64) / factor) as f32
        };
        (0..self.n_rot / 2).map(frequency).collect()
    }
}

/// Which way a rotation turns.
#[derive(Clone, Copy)]
pub(crate) enum Direction {
    Forward,
    Back,
}
