//! Gradient clipping by the global norm.

use crate::float::Float;

/// `Σ g²` of one parameter's gradients, summed in `f64`. The global norm is the root of the sum
/// over parameters.
pub fn squared_norm<F: Float>(grads: &[F]) -> f64 {
    // One sum waits for every addition before the next; several do not, and fill vectors.
    let mut sums = [0.0; LANES];
    let (lanes, rest) = grads.as_chunks::<LANES>();
    for lane in lanes {
        for (sum, g) in sums.iter_mut().zip(lane) {
            *sum += g.to_f64() * g.to_f64();
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|g| g.to_f64() * g.to_f64()).sum::<f64>()
}

/// Sums that are taken side by side.
const LANES: usize = 16;

/// The factor that brings gradients of norm `grad_norm` down to `max_grad_norm`; 1 if they are
/// within it.
///
/// `min(1, max_grad_norm / (grad_norm + 1e-6))`, as `torch.nn.utils.clip_grad_norm_`.
/// A `max_grad_norm` of 0 turns clipping off.
pub fn coefficient(grad_norm: f64, max_grad_norm: f64) -> f64 {
    if max_grad_norm > 0.0 { (max_grad_norm / (grad_norm + 1e-6)).min(1.0) } else { 1.0 }
}

/// Multiplies gradients by `coefficient`; leaves them bit for bit alone where it is 1.
pub fn scale<F: Float>(grads: &mut [F], coefficient: f64) {
    if coefficient == 1.0 {
        return;
    }
    let coefficient = F::from_f64(coefficient);
    for g in grads {
        *g = *g * coefficient;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_gradients_shrink_to_the_limit_and_short_ones_stay() {
        let mut grads = [3.0_f64, 4.0];
        let norm = squared_norm(&grads).sqrt();
        assert_eq!(norm, 5.0);
        scale(&mut grads, coefficient(norm, 1.0));
        assert!((squared_norm(&grads).sqrt() - 1.0).abs() < 1e-6);
        assert_eq!(coefficient(norm, 6.0), 1.0);
        assert_eq!(coefficient(norm, 0.0), 1.0);
    }
}
