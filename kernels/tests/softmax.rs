//! Log-softmax of a row and its gradient, at every level of this CPU.

mod support;

use cutq_kernels::LogitGradient;
use support::{levels, sizes};

/// Documented bound, in nats.
const TOLERANCE: f64 = 1e-5;

fn reference(row: &[f32]) -> f64 {
    let max = row.iter().fold(f64::NEG_INFINITY, |max, &x| max.max(f64::from(x)));
    max + row.iter().map(|&x| (f64::from(x) - max).exp()).sum::<f64>().ln()
}

/// Logits spread over `width` nats.
fn logits(len: usize, width: f32) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 + 13) % 10_007) as f32 / 10_007.0 * width - 3.0).collect()
}

fn rows() -> impl Iterator<Item = Vec<f32>> {
    let lengths = (1..=70).chain([511, 512, 513, 1029, 49_152, 262_144]);
    let lengths = lengths.filter(|&len| sizes(true, [1, 31, 32, 33, 513].contains(&len)));
    lengths.flat_map(|len| [0.0, 0.7, 12.0, 300.0].map(|width| logits(len, width)))
}

#[test]
fn log_prob_agrees_with_f64() {
    for kernels in levels() {
        for row in rows() {
            for label in [0, row.len() / 2, row.len() - 1] {
                let expected = f64::from(row[label]) - reference(&row);
                let found = kernels.log_prob(&row, label);
                let error = (found - expected).abs();
                assert!(error <= TOLERANCE, "{kernels:?} {}: {found} for {expected}", row.len());
            }
        }
    }
}

#[test]
fn gradient_agrees_with_f64() {
    for kernels in levels() {
        for row in rows() {
            let (label, weight, total) = (row.len() / 3, -0.37f32, reference(&row));
            let mut found = row.clone();
            let log_sum_exp = kernels.log_sum_exp(&row);
            kernels.log_prob_backward(&mut found, LogitGradient::new(label, log_sum_exp, weight));
            let mut largest = 0.0f64;
            for (v, (&found, &x)) in found.iter().zip(&row).enumerate() {
                let one_hot = if v == label { 1.0 } else { 0.0 };
                let p = (f64::from(x) - total).exp();
                let expected = f64::from(weight) * (p - one_hot);
                let error = (f64::from(found) - expected).abs();
                assert!(error <= TOLERANCE * f64::from(weight.abs()), "{found} for {expected}");
                if v != label && p > 1e-37 {
                    largest = largest.max(error / expected.abs());
                }
            }
            // Small probabilities keep their relative precision too.
            assert!(largest <= 3e-5, "relative error {largest}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri has only the plain level")]
fn levels_agree_bit_for_bit() {
    let plain = support::plain();
    for kernels in levels() {
        for row in rows() {
            let total = plain.log_sum_exp(&row);
            assert_eq!(kernels.log_sum_exp(&row), total, "{kernels:?} {}", row.len());
            let (mut a, mut b) = (row.clone(), row);
            plain.log_prob_backward(&mut a, LogitGradient::new(0, total, 1.5));
            kernels.log_prob_backward(&mut b, LogitGradient::new(0, total, 1.5));
            assert_eq!(a, b, "{kernels:?} {}", a.len());
        }
    }
}

#[test]
fn what_is_not_finite() {
    for kernels in levels() {
        for position in [0, 31, 32, 40] {
            let mut row = logits(41, 3.0);
            row[position] = f32::NEG_INFINITY;
            let impossible = kernels.log_prob(&row, position);
            assert_eq!(impossible, f64::NEG_INFINITY);
            let total = kernels.log_sum_exp(&row);
            assert!((total - reference(&row)).abs() < TOLERANCE);
            kernels.log_prob_backward(&mut row, LogitGradient::new(7, total, 1.0));
            assert_eq!(row[position], 0.0);

            for poison in [f32::NAN, f32::INFINITY] {
                let mut row = logits(41, 3.0);
                row[position] = poison;
                assert!(kernels.log_sum_exp(&row).is_nan(), "{kernels:?} {poison}");
            }
        }
        assert!(kernels.log_sum_exp(&[f32::NEG_INFINITY; 5]).is_nan());
    }
}
