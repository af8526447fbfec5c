//! Norm, rotation and gated activation against `f64`, gradients against differences, every level.

mod support;

use cutq_kernels::{Kernels, Nonlinearity, Rope, RopePairs, Scratch};
use support::{levels, numbers, plain, sizes};

const EPS: f32 = 1e-5;

/// Widths around a register and of real models.
const WIDTHS: &[usize] = sizes(&[1, 15, 16, 33, 64, 576], &[1, 15, 16, 33]);

fn norm_in_f64(x: &[f64], weight: &[f32]) -> Vec<f64> {
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    let r = (mean + f64::from(EPS)).sqrt();
    x.iter().zip(weight).map(|(x, w)| x / r * f64::from(*w)).collect()
}

fn nonlinearity_in_f64(nonlinearity: Nonlinearity, x: f64) -> f64 {
    match nonlinearity {
        Nonlinearity::Silu => x / (1.0 + (-x).exp()),
        Nonlinearity::Gelu => {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + u.tanh())
        }
    }
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// Within `tolerance`, relative to the largest of `scale`.
fn assert_close(found: &[f32], expected: &[f64], scale: &[f64], tolerance: f64, what: &str) {
    let largest = scale.iter().fold(0.0f64, |max, x| max.max(x.abs()));
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs();
        assert!(error <= tolerance * largest, "{what}[{i}] is {found}, not {expected}");
    }
}

#[test]
fn the_norm_of_every_row() {
    for &n in WIDTHS {
        let (x, weight) = (numbers(3 * n, 1), numbers(n, 2));
        let mut y = vec![0.0; 3 * n];
        plain().rms_norm(&x, &weight, EPS, &mut y);
        for (x, y) in x.chunks(n).zip(y.chunks(n)) {
            let expected = norm_in_f64(&wide(x), &weight);
            assert_close(y, &expected, &expected, 1e-6, "y");
        }
    }
}

#[test]
fn the_norms_gradient_is_its_slope() {
    for &n in WIDTHS {
        let (x, weight, dy) = (numbers(n, 1), numbers(n, 2), numbers(n, 3));
        let mut dx = vec![0.0; n];
        plain().rms_norm_backward(&x, &weight, EPS, &dy, &mut dx);
        let value = |x: &[f64]| -> f64 {
            norm_in_f64(x, &weight).iter().zip(&dy).map(|(y, dy)| y * f64::from(*dy)).sum()
        };
        let slope = |i: usize| {
            let [up, down] = [1e-6, -1e-6].map(|step| {
                let mut x = wide(&x);
                x[i] += step;
                value(&x)
            });
            (up - down) / 2e-6
        };
        let expected: Vec<f64> = (0..n).map(slope).collect();
        // What the two terms of the gradient, which may cancel, are made of.
        let rms = (wide(&x).iter().map(|x| x * x).sum::<f64>() / n as f64 + f64::from(EPS)).sqrt();
        let terms = dy.iter().zip(&weight).map(|(dy, w)| f64::from(dy * w) / rms);
        let terms: Vec<f64> = terms.collect();
        assert_close(&dx, &expected, &terms, 1e-5, "dx");
    }
}

/// Values around zero and far outside of where the functions bend.
fn gates() -> Vec<f32> {
    let mut gates = numbers(200, 4);
    gates.extend([0.0, -0.0, 88.0, -88.0, 100.0, -100.0, 1e4, -1e4, 1e-20]);
    gates
}

#[test]
fn nonlinearities_and_their_slopes() {
    for nonlinearity in [Nonlinearity::Silu, Nonlinearity::Gelu] {
        let gate = gates();
        let n = gate.len();
        let (up, dy) = (numbers(n, 5), numbers(n, 6));
        let mut y = vec![0.0; n];
        plain().gated(nonlinearity, &gate, &up, &mut y);
        let (mut dgate, mut dup) = (vec![0.0; n], vec![0.0; n]);
        plain().gated_backward(nonlinearity, [&gate, &up], &dy, [&mut dgate, &mut dup]);
        for i in 0..n {
            let [g, up, dy] = [gate[i], up[i], dy[i]].map(f64::from);
            let value = nonlinearity_in_f64(nonlinearity, g);
            let step = 1e-5;
            let slope = (nonlinearity_in_f64(nonlinearity, g + step)
                - nonlinearity_in_f64(nonlinearity, g - step))
                / (2.0 * step);
            let close = |found: f32, expected: f64, scale: f64| {
                let error = (f64::from(found) - expected).abs();
                assert!(error <= 1e-6 * scale, "{nonlinearity:?}({g}): {found}, not {expected}");
            };
            close(y[i], value * up, (value * up).abs().max(up.abs()));
            close(dup[i], value * dy, (value * dy).abs().max(dy.abs()));
            // The slope's own differences are good to about 1e-6.
            close(dgate[i], dy * up * slope, 4.0 * (dy * up).abs() * g.abs().max(1.0));
        }
    }
}

#[test]
fn nan_stays_visible() {
    for nonlinearity in [Nonlinearity::Silu, Nonlinearity::Gelu] {
        let mut y = [0.0];
        plain().gated(nonlinearity, &[f32::NAN], &[1.0], &mut y);
        assert!(y[0].is_nan());
    }
    let mut y = [0.0; 2];
    plain().rms_norm(&[f32::NAN, 1.0], &[1.0; 2], EPS, &mut y);
    assert!(y.iter().all(|y| y.is_nan()));
}

fn ropes() -> impl Iterator<Item = Rope> {
    let sizes = [(2, 2), (8, 8), (64, 64), (20, 32), (128, 128)];
    [RopePairs::Neighbours, RopePairs::Halves].into_iter().flat_map(move |pairs| {
        sizes.into_iter().map(move |(n_rot, head_dim)| {
            let frequency = |i| 1e4f32.powf(-2.0 * i as f32 / n_rot as f32);
            let frequencies = (0..n_rot / 2).map(frequency).collect();
            Rope { pairs, frequencies, head_dim, magnitude: 1.0 + n_rot as f32 / 128.0 }
        })
    })
}

#[test]
fn heads_turn_with_their_position_and_back() {
    for rope in ropes() {
        let (d, n) = (rope.head_dim, rope.frequencies.len());
        let x = numbers(3 * d, 1);
        let [mut y, mut back] = [(); 2].map(|()| vec![f32::NAN; 3 * d]);
        let scratch = &mut Scratch::new();
        for position in [0.0, 1.0, 777.0] {
            plain().rope(&rope, position, &x, &mut y, scratch);
            for (x, y) in x.chunks(d).zip(y.chunks(d)) {
                let mut expected = wide(x);
                for i in 0..n {
                    let (a, b) = match rope.pairs {
                        RopePairs::Neighbours => (2 * i, 2 * i + 1),
                        RopePairs::Halves => (i, n + i),
                    };
                    // Angles are products in f32.
                    let (sin, cos) = f64::from(position * rope.frequencies[i]).sin_cos();
                    let (xa, xb) = (f64::from(x[a]), f64::from(x[b]));
                    let m = f64::from(rope.magnitude);
                    expected[a] = m * (xa * cos - xb * sin);
                    expected[b] = m * (xa * sin + xb * cos);
                }
                assert_close(y, &expected, &expected, 3e-7, "y");
            }
            plain().rope(&rope, -position, &y, &mut back, scratch);
            let square = f64::from(rope.magnitude).powi(2);
            let turns = |i: usize| i % d < 2 * n;
            let expected = wide(&x).into_iter().enumerate();
            let expected: Vec<f64> =
                expected.map(|(i, x)| if turns(i) { square * x } else { x }).collect();
            assert_close(&back, &expected, &expected, 5e-7, "x");
        }
    }
}

#[test]
fn every_level_gives_the_same_bits() {
    let results = |kernels: Kernels| {
        let mut all = Vec::new();
        for &n in WIDTHS {
            let (x, weight, dy) = (numbers(2 * n, 1), numbers(n, 2), numbers(2 * n, 3));
            let (mut y, mut dx) = (vec![0.0; 2 * n], vec![0.0; 2 * n]);
            kernels.rms_norm(&x, &weight, EPS, &mut y);
            kernels.rms_norm_backward(&x, &weight, EPS, &dy, &mut dx);
            all.extend([y, dx]);
        }
        for nonlinearity in [Nonlinearity::Silu, Nonlinearity::Gelu] {
            let gate = gates();
            let n = gate.len();
            let (up, dy) = (numbers(n, 5), numbers(n, 6));
            let [mut y, mut dgate, mut dup] = [(); 3].map(|()| vec![0.0; n]);
            kernels.gated(nonlinearity, &gate, &up, &mut y);
            kernels.gated_backward(nonlinearity, [&gate, &up], &dy, [&mut dgate, &mut dup]);
            all.extend([y, dgate, dup]);
        }
        for rope in ropes() {
            let x = numbers(2 * rope.head_dim, 7);
            let mut y = vec![0.0; x.len()];
            kernels.rope(&rope, 321.0, &x, &mut y, &mut Scratch::new());
            all.push(y);
        }
        all
    };
    let defined = results(plain());
    for kernels in levels() {
        assert!(results(kernels) == defined, "{}", kernels.level());
    }
}
