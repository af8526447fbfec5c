//! Adam with decoupled weight decay.

use crate::float::Float;

/// AdamW as in PyTorch: at step `t = 1, 2, …`
///
/// ```text
/// w ← (1 − lr · wd) w
/// m ← m + (1 − β1)(g − m)
/// v ← β2 v + (1 − β2) g²
/// w ← w − lr / (1 − β1^t) · m / (√v / √(1 − β2^t) + ε)
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct AdamW {
    /// β1, the memory of the mean.
    pub beta1: f64,
    /// β2, the memory of the square.
    pub beta2: f64,
    /// ε, in the units of a gradient.
    pub eps: f64,
    /// wd; 0 for none.
    pub weight_decay: f64,
}

impl Default for AdamW {
    /// β = (0.9, 0.999), ε = 1e-8, no weight decay.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

impl AdamW {
    /// One update of `values` and of the moments `m` and `v`, in the parameters' own precision;
    /// factors that are the same for all of them are computed in `f64` and rounded once.
    ///
    /// `t` counts updates from 1.
    ///
    /// # Panics
    /// If the lengths disagree or `t` is 0.
    pub fn update<F: Float>(
        &self,
        values: &mut [F],
        grads: &[F],
        m: &mut [F],
        v: &mut [F],
        lr: f64,
        t: u64,
    ) {
        assert!(t > 0, "updates count from 1");
        let n = values.len();
        assert!(grads.len() == n && m.len() == n && v.len() == n, "one state per value");
        let correction1 = 1.0 - libm::pow(self.beta1, t as f64);
        let correction2 = 1.0 - libm::pow(self.beta2, t as f64);
        let decay = F::from_f64(1.0 - lr * self.weight_decay);
        let rate = F::from_f64(lr / correction1);
        let root = F::from_f64(libm::sqrt(correction2));
        let eps = F::from_f64(self.eps);
        let beta2 = F::from_f64(self.beta2);
        let (gain1, gain2) = (F::from_f64(1.0 - self.beta1), F::from_f64(1.0 - self.beta2));
        for (((w, g), m), v) in values.iter_mut().zip(grads).zip(m).zip(v) {
            *m = *m + gain1 * (*g - *m);
            *v = beta2 * *v + gain2 * (*g * *g);
            *w = *w * decay - rate * (*m / (v.sqrt() / root + eps));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_update_has_the_length_of_the_rate() {
        let (mut w, mut m, mut v) = ([1.0_f64, 1.0], [0.0; 2], [0.0; 2]);
        AdamW::default().update(&mut w, &[1e-3, -7.0], &mut m, &mut v, 0.1, 1);
        // g / (|g| + ε) is the sign of g, up to ε/|g|.
        assert!((w[0] - 0.9).abs() < 2e-6 && (w[1] - 1.1).abs() < 1e-9, "{w:?}");
    }

    /// Three updates of one weight, by the textbook form (bias-corrected moments, decay apart).
    #[test]
    fn three_updates_follow_the_definition() {
        let optimizer = AdamW { weight_decay: 0.1, ..AdamW::default() };
        let (mut w, mut m, mut v) = ([0.5_f64], [0.0], [0.0]);
        let (mut w_ref, mut m_ref, mut v_ref) = (0.5_f64, 0.0_f64, 0.0_f64);
        for (t, (g, lr)) in [(0.3, 0.01), (-0.2, 0.02), (0.05, 0.005)].into_iter().enumerate() {
            optimizer.update(&mut w, &[g], &mut m, &mut v, lr, t as u64 + 1);
            let power = t as i32 + 1;
            m_ref = 0.9 * m_ref + 0.1 * g;
            v_ref = 0.999 * v_ref + 0.001 * g * g;
            let m_hat = m_ref / (1.0 - std::primitive::f64::powi(0.9, power));
            let v_hat = v_ref / (1.0 - std::primitive::f64::powi(0.999, power));
            w_ref = w_ref - lr * 0.1 * w_ref - lr * m_hat / (v_hat.sqrt() + 1e-8);
        }
        assert!((w[0] - w_ref).abs() < 1e-12, "{} is not {w_ref}", w[0]);
    }
}
