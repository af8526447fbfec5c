//! Arithmetic on logarithms of probabilities.

use crate::float::Float;

/// The smallest distance from certainty that counts: `2^−24`, half an ulp of 1 in `f32`.
///
/// The largest `f32` below 1 is `1 − 2^−24`. An engine that works in `f32` cannot tell
/// probabilities above it from 1, and `p/(1−p)` beyond `2^24` would only amplify its rounding; so
/// `ln(1 − p)` is evaluated no nearer to `p = 1` than this. It then is at least `−16.64` nats.
pub const GAP: f64 = 1.0 / (1 << 24) as f64;

/// `ln(1 − e^x)` for `x ≤ 0`, evaluated at `min(x, −GAP)`.
///
/// Two branches keep full relative accuracy: `ln(−expm1(x))` near 0, where `1 − e^x` cancels, and
/// `ln1p(−e^x)` below `−ln 2`, where it is near 1. Relative error a few ulp of `f64`.
///
/// ```
/// use cutq_core::log_space::log1mexp;
///
/// // ln(1 − p) = −p for tiny p; computed as written it would be 0.
/// let x = 1e-20_f64.ln();
/// assert_eq!((1.0 - x.exp()).ln(), 0.0);
/// assert!((log1mexp(x) / -1e-20 - 1.0).abs() < 1e-12);
/// // At certainty it is finite.
/// assert!((log1mexp(0.0) - 2_f64.powi(-24).ln()).abs() < 1e-6);
/// ```
pub fn log1mexp(x: f64) -> f64 {
    let x = x.min(-GAP);
    if x > -core::f64::consts::LN_2 {
        libm::log(-libm::expm1(x))
    } else {
        libm::log1p(-libm::exp(x))
    }
}

/// `d/dx ln(1 − e^x) = −e^x / (1 − e^x)`, evaluated at `min(x, −GAP)`; between `−2^24` and `−0`.
pub fn dlog1mexp(x: f64) -> f64 {
    let x = x.min(-GAP);
    libm::exp(x) / libm::expm1(x)
}

/// `ln Σ e^x` of a row; `−∞` for an empty row.
///
/// Subtracts the row's maximum in the row's own type, then exponentiates and sums in `f64`. For
/// `f32` the subtraction rounds each term by at most half an ulp of `x − max`.
///
/// ```
/// use cutq_core::log_space::log_sum_exp;
///
/// // No overflow: e^1000 itself is beyond either type.
/// assert!((log_sum_exp(&[1000.0_f32, 1000.0]) - (1000.0 + 2_f64.ln())).abs() < 1e-12);
/// ```
pub fn log_sum_exp<F: Float>(row: &[F]) -> f64 {
    let lowest = F::from_f64(f64::NEG_INFINITY);
    let max = row.iter().fold(lowest, |max, x| if *x > max { *x } else { max });
    if max == lowest {
        // Nothing to sum, or all of it zero: the shift below would be −∞ − −∞.
        return f64::NEG_INFINITY;
    }
    let sum: f64 = row.iter().map(|x| libm::exp((*x - max).to_f64())).sum();
    max.to_f64() + libm::log(sum)
}

/// Replaces the logits of a row by their log-softmax: `x − ln Σ e^x`.
pub fn log_softmax(row: &mut [f64]) {
    let sum = log_sum_exp(row);
    for x in row {
        *x -= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() <= tolerance * b.abs(), "{a} is not {b}");
    }

    #[test]
    fn log1mexp_at_known_points() {
        close(log1mexp(-core::f64::consts::LN_2), -core::f64::consts::LN_2, 1e-15);
        // 1 − e^x = −x − x²/2 near 0.
        close(log1mexp(-1e-6), libm::log(1e-6 - 0.5e-12), 1e-12);
        // ln(1 − p) = −p for tiny p.
        close(log1mexp(-50.0), -libm::exp(-50.0), 1e-15);
    }

    #[test]
    fn certainty_is_finite_and_keeps_a_gradient() {
        for x in [0.0, -1e-300, -1e-9, 1e-6] {
            close(log1mexp(x), -24.0 * core::f64::consts::LN_2, 1e-7);
            close(dlog1mexp(x), -16_777_215.5, 1e-6);
        }
    }

    #[test]
    fn derivative_is_the_slope() {
        for x in [-1e-3, -0.3, -0.7, -2.0, -20.0] {
            let h = 1e-5 * -x;
            close(dlog1mexp(x), (log1mexp(x + h) - log1mexp(x - h)) / (2.0 * h), 1e-7);
        }
    }

    #[test]
    fn log_softmax_sums_to_one_whatever_the_offset() {
        for offset in [0.0, 1e4, -1e4] {
            let mut row = [1.0 + offset, 2.0 + offset, 3.0 + offset];
            log_softmax(&mut row);
            // 1/(1 + e^-1 + e^-2)
            close(libm::exp(row[2]), 0.665_240_955_774_821_8, 1e-11);
            close(row.iter().map(|x| libm::exp(*x)).sum(), 1.0, 1e-12);
        }
    }

    #[test]
    fn log_sum_exp_of_either_type() {
        assert_eq!(log_sum_exp::<f64>(&[]), f64::NEG_INFINITY);
        assert_eq!(log_sum_exp(&[f32::NEG_INFINITY; 2]), f64::NEG_INFINITY);
        let row = [-1000.0_f32, 0.0, 0.1, -3.5];
        close(log_sum_exp(&row), log_sum_exp(&row.map(f64::from)), 1e-7);
        // Not a number is passed on, wherever it stands.
        for row in [[f32::NAN, 1.0], [1.0, f32::NAN]] {
            assert!(log_sum_exp(&row).is_nan());
        }
    }
}
