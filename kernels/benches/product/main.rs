//! Speed of both products beside the measured peak of their arithmetic, and of the head's
//! log-softmax.
//!
//! `cargo bench -p cutq-kernels [-- LEVEL…]`. One multiplication and one addition are two
//! operations. The weights are f32 rows that are copied, or blocks of four bits that are, so unpacking
//! a real quantization comes on top. Every measured product is compared with sums in f64.

mod case;
#[path = "../support/mod.rs"]
mod support;

use std::hint::black_box;

use case::{Case, Way};
use cutq_kernels::{Kernels, LogitGradient, Precision};
use support::peak;
use support::timing::{self, report, seconds, sizes};

/// `(T, outputs, R)`: SmolLM2-135M's feed-forward layers, a small batch, a slice of its head, and
/// a deep reduction.
const SHAPES: &[(usize, usize, usize)] =
    &[(1024, 1536, 576), (1024, 576, 1536), (48, 1536, 576), (128, 8192, 576), (512, 512, 14336)];

/// Around a group of tokens, a panel and a block.
const TESTED: &[(usize, usize, usize)] = &[(7, 33, 70), (49, 300, 64)];

fn main() {
    for kernels in timing::kernels() {
        for precision in [Precision::Int8, Precision::F32] {
            for threads in [1, 2] {
                report(kernels, precision, threads);
            }
        }
        report_softmax(kernels);
    }
}

fn report(kernels: Kernels, precision: Precision, threads: usize) {
    let peak = peak::measure(kernels.level(), precision, threads);
    report!("\n{} {precision:?}, {threads} thread(s), peak {peak:.0} Gop/s", kernels.level());
    report!(
        "    T  outputs      R   pack ms   forward Gop/s    of 4 bits Gop/s   transposed Gop/s"
    );
    for &shape in sizes(SHAPES, TESTED) {
        let mut case = Case::new(shape, kernels, precision, threads);
        let pack = 1e3 * seconds(|| case.pack());
        let rates = Way::ALL.map(|way| {
            let time = seconds(|| case.multiply(way));
            case.check(way);
            case.operations() / time * 1e-9
        });
        let (t, outputs, r) = shape;
        let shares = rates.map(|rate| 100.0 * rate / peak);
        report!(
            "{t:5} {outputs:8} {r:6} {pack:9.3} {:8.0} ({:2.0} %) {:11.0} ({:2.0} %) {:11.0} ({:2.0} %)",
            rates[0],
            shares[0],
            rates[1],
            shares[1],
            rates[2],
            shares[2],
        );
    }
    let (outputs, r) = sizes((2048, 1536), (64, 96));
    let cost = Way::ALL.map(|way| {
        // One token: what remains is unpacking and making panels.
        let mut case = Case::new((1, outputs, r), kernels, precision, threads);
        seconds(|| case.multiply(way)) * threads as f64 * 1e9 / (outputs * r) as f64
    });
    let [forward, four_bits, transposed] = cost;
    report!("one token: {forward:.3}, {four_bits:.3}, {transposed:.3} ns per weight and core");
}

fn report_softmax(kernels: Kernels) {
    let logits: Vec<f32> =
        (0..sizes(49_152, 3000)).map(|v| (v * 7919 % 10_007) as f32 * 1e-3).collect();
    let mut row = logits.clone();
    let forward = seconds(|| {
        black_box(kernels.log_prob(black_box(&logits), 17));
    });
    let total = kernels.log_sum_exp(&logits);
    let backward = seconds(|| {
        row.copy_from_slice(&logits);
        kernels.log_prob_backward(black_box(&mut row), LogitGradient::new(17, total, 1.0));
    });
    let sum: f64 = row.iter().map(|&x| f64::from(x)).sum();
    assert!(sum.abs() < 1e-4, "the gradient of a row sums to zero, not {sum}");
    let [forward, backward] = [forward, backward].map(|s| s * 1e9 / logits.len() as f64);
    report!("log-softmax: {forward:.3} ns per logit, its gradient with a copy {backward:.3}");
}
