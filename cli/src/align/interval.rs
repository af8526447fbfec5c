//! 95 % intervals: of a pass rate, and of the difference of two on the same prompts.

use serde::{Deserialize, Serialize};

/// `[low, high]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval(pub f64, pub f64);

/// The 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

impl Interval {
    /// Wilson's score interval of the share `k / n`; none for `n = 0`.
    ///
    /// `(p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)` with `p = k / n`
    pub fn of_share(k: usize, n: usize) -> Option<Self> {
        if n == 0 {
            return None;
        }
        let (p, n) = (k as f64 / n as f64, n as f64);
        let z2 = Z * Z;
        let half = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        let (middle, scale) = (p + z2 / (2.0 * n), 1.0 + z2 / n);
        Some(Self((middle - half) / scale, (middle + half) / scale))
    }

    /// The interval of the mean of paired differences, by Student's t; none for fewer than two.
    ///
    /// `d̄ ± t(n−1) s / √n`, with `s² = Σ (d − d̄)² / (n − 1)`
    ///
    /// With the same prompts on both sides, what makes a prompt hard for both cancels.
    pub fn of_differences(differences: &[f64]) -> Option<Self> {
        let n = differences.len();
        if n < 2 {
            return None;
        }
        let mean = mean(differences);
        let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
        let half = t(n - 1) * (squares / (n - 1) as f64 / n as f64).sqrt();
        Some(Self(mean - half, mean + half))
    }

    /// Whether all of it is above 0: a gain.
    pub fn is_gain(self) -> bool {
        self.0 > 0.0
    }
}

/// The mean of some values.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The 97.5 % quantile of Student's t with `n` degrees of freedom: exact for 1 and 2, else by the
/// expansion of Cornish and Fisher (Abramowitz and Stegun 26.7.5), within 0.002 from 4 on:
///
/// `z + (z³+z)/4n + (5z⁵+16z³+3z)/96n² + (3z⁷+19z⁵+17z³−15z)/384n³
///    + (79z⁹+776z⁷+1482z⁵−1920z³−945z)/92160n⁴`
fn t(n: usize) -> f64 {
    match n {
        1 => return 12.706_204_736_432_1,
        2 => return 4.302_652_729_696_14,
        _ => {}
    }
    let n = n as f64;
    let z = |power| Z.powi(power);
    Z + (z(3) + Z) / (4.0 * n)
        + (5.0 * z(5) + 16.0 * z(3) + 3.0 * Z) / (96.0 * n.powi(2))
        + (3.0 * z(7) + 19.0 * z(5) + 17.0 * z(3) - 15.0 * Z) / (384.0 * n.powi(3))
        + (79.0 * z(9) + 776.0 * z(7) + 1482.0 * z(5) - 1920.0 * z(3) - 945.0 * Z)
            / (92_160.0 * n.powi(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (n, expected, error) in [
            (1, 12.7062, 1e-4),
            (2, 4.3027, 1e-4),
            (3, 3.1824, 5e-3),
            (5, 2.5706, 1e-3),
            (10, 2.2281, 1e-4),
            (30, 2.0423, 1e-4),
            (120, 1.9799, 1e-4),
        ] {
            assert!((t(n) - expected).abs() < error, "{n}: {} is not {expected}", t(n));
        }
    }

    #[test]
    fn a_share_stays_within_0_and_1() {
        // Newcombe (1998), table I: 81 of 263.
        let Interval(low, high) = Interval::of_share(81, 263).expect("some");
        assert!((low - 0.2553).abs() < 1e-4 && (high - 0.3662).abs() < 1e-4, "{low} {high}");
        let Interval(low, high) = Interval::of_share(0, 20).expect("some");
        assert!(low.abs() < 1e-12 && (high - 0.1611).abs() < 1e-4, "{low} {high}");
        assert_eq!(Interval::of_share(0, 0), None);
    }

    #[test]
    fn differences_are_paired() {
        // d̄ = 0.5, s² = 1/3, t(3) = 3.182: 0.5 ± 0.919.
        let Interval(low, high) = Interval::of_differences(&[0.0, 1.0, 1.0, 0.0]).expect("four");
        assert!((low + 0.4187).abs() < 2e-3 && (high - 1.4187).abs() < 2e-3, "{low} {high}");
        let all = Interval::of_differences(&[1.0; 3]).expect("three");
        assert!(all.is_gain() && all == Interval(1.0, 1.0));
        assert!(!Interval::of_differences(&[0.0; 3]).expect("three").is_gain());
        assert_eq!(Interval::of_differences(&[1.0]), None);
    }
}
