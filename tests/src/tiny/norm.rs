//! Root-mean-square norm with a frozen gain.

use rand_chacha::ChaCha8Rng;

use super::{D, random};

#[derive(Clone, Debug)]
pub(super) struct Norm {
    gain: Vec<f64>,
}

/// `1 / √(mean x² + ε)`
fn inverse_rms(row: &[f64]) -> f64 {
    (row.iter().map(|x| x * x).sum::<f64>() / D as f64 + 1e-5).sqrt().recip()
}

impl Norm {
    pub(super) fn new(rng: &mut ChaCha8Rng) -> Self {
        Self { gain: random(D, 0.5, rng).iter().map(|x| 1.0 + x).collect() }
    }

    /// `gain ∘ x / rms(x)`, row by row.
    pub(super) fn forward(&self, x: &[f64]) -> Vec<f64> {
        let normed = |row| {
            let inverse = inverse_rms(row);
            row.iter().zip(&self.gain).map(move |(x, g)| g * x * inverse)
        };
        x.chunks(D).flat_map(normed).collect()
    }

    /// `d loss / dx`
    pub(super) fn backward(&self, dy: &[f64], x: &[f64]) -> Vec<f64> {
        let mut dx = Vec::with_capacity(x.len());
        for (dy, x) in dy.chunks(D).zip(x.chunks(D)) {
            let inverse = inverse_rms(x);
            let scaled: Vec<f64> = dy.iter().zip(&self.gain).map(|(d, g)| d * g).collect();
            let dot: f64 = scaled.iter().zip(x).map(|(d, x)| d * x).sum();
            let common = dot * inverse.powi(3) / D as f64;
            dx.extend(scaled.iter().zip(x).map(|(d, x)| d * inverse - x * common));
        }
        dx
    }
}
