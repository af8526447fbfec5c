//! Stochastic gradient descent.

use crate::float::Float;

/// `w ← w − lr · g`, without momentum.
///
/// With weight decay `wd`, `w ← (1 − lr · wd) w − lr · g`: decoupled as in
/// [`crate::optimizer::AdamW`], which without momentum is the same as PyTorch's `g + wd · w`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Sgd {
    /// wd; 0 for none.
    pub weight_decay: f64,
}

impl Sgd {
    /// Moves `values` against `grads`, in the parameters' own precision: one product and one
    /// difference.
    ///
    /// # Panics
    /// If the lengths disagree.
    pub fn update<F: Float>(&self, values: &mut [F], grads: &[F], lr: f64) {
        assert_eq!(values.len(), grads.len(), "one gradient per value");
        let decay = F::from_f64(1.0 - lr * self.weight_decay);
        let rate = F::from_f64(lr);
        for (w, g) in values.iter_mut().zip(grads) {
            // Times exactly 1 without decay, which changes no bit.
            *w = *w * decay - rate * *g;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_of_one_subtracts_the_gradient_exactly() {
        let (mut values, grads) = ([0.1_f32, -3.5, 1e-30], [0.3_f32, 1e-8, 1e-38]);
        let expected = [0.1_f32 - 0.3, -3.5 - 1e-8, 1e-30 - 1e-38];
        Sgd::default().update(&mut values, &grads, 1.0);
        assert_eq!(values, expected);
    }

    #[test]
    fn decay_shrinks_the_weight() {
        let mut values = [2.0_f64];
        Sgd { weight_decay: 0.5 }.update(&mut values, &[1.0], 0.1);
        assert!((values[0] - (2.0 * 0.95 - 0.1)).abs() < 1e-15);
    }
}
