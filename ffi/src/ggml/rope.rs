//! Rotary position embedding as ggml parameterizes it.

use std::f64::consts::TAU;

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
    /// Positions are multiplied by this; with YaRN, those of slow pairs.
    pub freq_scale: f32,
    /// What rotates is multiplied by this.
    pub magnitude: f32,
    /// Which pairs `freq_scale` slows down, if not all.
    pub yarn: Option<Yarn>,
}

/// YaRN (Peng et al., 2023): pairs that turn often within the context that the model was first
/// trained with keep their frequency, those that turn seldom are scaled, those between are mixed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Yarn {
    /// Tokens that the model was first trained to hold.
    pub n_ctx_orig: usize,
    /// Pairs that turn more often within them keep their frequency.
    pub beta_fast: f32,
    /// Pairs that turn less often are scaled.
    pub beta_slow: f32,
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
    /// How far each pair turns from one position to the next, in radians: with
    /// `f = freq_base^(−2i / n_rot) / factors[i]` and the share `k` of it that YaRN keeps,
    /// `(1 − k) · freq_scale · f + k · f`.
    pub(crate) fn frequencies(&self, factors: Option<&[f32]>) -> Vec<f32> {
        let (base, scale) = (f64::from(self.freq_base), f64::from(self.freq_scale));
        let frequency = |i: usize| {
            let factor = factors.map_or(1.0, |factors| f64::from(factors[i]));
            let full = base.powf(-2.0 * i as f64 / self.n_rot as f64) / factor;
            let kept = self.yarn.map_or(0.0, |yarn| yarn.kept(i, self));
            ((1.0 - kept) * scale * full + kept * full) as f32
        };
        (0..self.n_rot / 2).map(frequency).collect()
    }

    /// What ggml is told to multiply by: with YaRN it multiplies by `1 − ln(freq_scale) / 10` of
    /// its own accord.
    pub(crate) fn ggml_magnitude(&self) -> f32 {
        match self.yarn {
            Some(_) => self.magnitude / (1.0 - 0.1 * self.freq_scale.ln()),
            None => self.magnitude,
        }
    }
}

impl Yarn {
    /// The share of its frequency that pair `i` keeps: 1 down to 0 between the pairs that turn
    /// `beta_fast` and `beta_slow` times.
    fn kept(&self, i: usize, rope: &Rope) -> f64 {
        let (n_rot, base) = (rope.n_rot as f64, f64::from(rope.freq_base));
        let pair = |turns: f32| {
            let longest = self.n_ctx_orig as f64 / (f64::from(turns) * TAU);
            n_rot * longest.ln() / (2.0 * base.ln())
        };
        let first = pair(self.beta_fast).floor().max(0.0);
        let last = pair(self.beta_slow).ceil().min(n_rot - 1.0);
        1.0 - ((i as f64 - first) / (last - first).max(0.001)).clamp(0.0, 1.0)
    }
}

/// Which way a rotation turns.
#[derive(Clone, Copy)]
pub(crate) enum Direction {
    Forward,
    Back,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values: `_compute_yarn_parameters` of transformers.
    #[test]
    fn yarn_mixes_between_fast_and_slow_pairs() {
        let yarn = Some(Yarn { n_ctx_orig: 64, beta_fast: 8.0, beta_slow: 1.0 });
        let rope = Rope {
            mode: RopeMode::Neox,
            n_rot: 16,
            freq_base: 100.0,
            freq_scale: 0.25,
            magnitude: 1.0,
            yarn,
        };
        let kept: Vec<f64> = (0..8).map(|i| rope.yarn.expect("set").kept(i, &rope)).collect();
        let expected = [1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0, 0.0];
        let mut pairs = kept.iter().zip(expected);
        assert!(pairs.all(|(kept, expected)| (kept - expected).abs() < 1e-12), "{kept:?}");
        let plain = Rope { yarn: None, freq_scale: 1.0, ..rope }.frequencies(None);
        let mixed = rope.frequencies(None);
        assert_eq!(mixed[0], plain[0]);
        assert!((mixed[4] - plain[4] * 0.4).abs() < 1e-6, "{mixed:?}");
        assert_eq!(mixed[7], plain[7] * 0.25);
    }
}
