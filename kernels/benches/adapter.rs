//! Speed of what surrounds the products: LoRA's narrow products, the norm, the gated activation.
//!
//! `cargo bench -p cutq-kernels --bench adapter [-- LEVEL…]`, one thread, the sizes of
//! SmolLM2-135M's feed-forward network. Narrow products are compared with the f32 peak; one
//! multiplication and one addition are two operations. Element-wise kernels move memory, so their
//! speed is in bytes per second, beside that of a copy. One element of each result is compared with
//! f64.

mod support;

use std::hint::black_box;

use cutq_kernels::{Kernels, LoraShape, Nonlinearity, Precision, Scratch};
use support::timing::{self, report, seconds, sizes};
use support::{number, peak};

/// Tokens, and the widths of a feed-forward network.
struct Sizes {
    tokens: usize,
    wide: usize,
    narrow: usize,
}

const MEASURED: Sizes = Sizes { tokens: 1024, wide: 1536, narrow: 576 };
const TESTED: Sizes = Sizes { tokens: 50, wide: 96, narrow: 32 };

fn main() {
    for kernels in timing::kernels() {
        let peak = peak::measure(kernels.level(), Precision::F32, 1);
        report!("\n{}, one thread, f32 peak {peak:.0} Gflop/s", kernels.level());
        for r in [8, 16, 64] {
            low_rank(kernels, r, peak);
        }
        element_wise(kernels);
    }
}

fn numbers(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| number(i * 5 + seed)).collect()
}

fn low_rank(kernels: Kernels, r: usize, peak: f64) {
    let Sizes { tokens: n_tokens, wide: n_out, narrow: n_in } = sizes(MEASURED, TESTED);
    let shape = LoraShape { n_tokens, n_in, n_out, r, scaling: 1.0, dropout: None };
    let (x, a) = (numbers(n_tokens * n_in, 1), numbers(r * n_in, 2));
    let (b, dy) = (numbers(n_out * r, 3), numbers(n_tokens * n_out, 4));
    let mut low = vec![0.0; n_tokens * shape.row()];
    let mut dlow = low.clone();
    let (mut y, mut dx) = (vec![0.0; n_tokens * n_out], vec![0.0; n_tokens * n_in]);
    let (mut da, mut db) = (vec![0.0; a.len()], vec![0.0; b.len()]);
    let (x_, a_, b_, dy_) = (x.as_ptr(), a.as_ptr(), b.as_ptr(), dy.as_ptr());
    let scratch = &mut Scratch::new();
    // SAFETY: every tensor has the shape that `LoraShape` states; one thread runs.
    let times = unsafe {
        let low_ = low.as_mut_ptr();
        let dlow_ = dlow.as_mut_ptr();
        [
            ("low", n_in, seconds(|| kernels.lora_low(&shape, x_, a_, 0..n_tokens, low_, scratch))),
            (
                "add",
                n_out,
                seconds(|| kernels.lora_add(&shape, low_, b_, 0..n_out, y.as_mut_ptr(), scratch)),
            ),
            (
                "dlow",
                n_out,
                seconds(|| kernels.lora_dlow(&shape, dy_, b_, 0..n_tokens, dlow_, scratch)),
            ),
            (
                "dB",
                n_out,
                seconds(|| kernels.lora_db(&shape, dy_, low_, 0..n_out, db.as_mut_ptr(), scratch)),
            ),
            (
                "dA",
                n_in,
                seconds(|| kernels.lora_da(&shape, dlow_, x_, 0..n_in, da.as_mut_ptr(), scratch)),
            ),
            (
                "dx",
                n_in,
                seconds(|| {
                    kernels.lora_add_dx(&shape, dlow_, a_, 0..n_in, dx.as_mut_ptr(), scratch)
                }),
            ),
        ]
    };
    let wide = |v: f32| f64::from(v);
    let expected: f64 = (0..n_in).map(|k| wide(x[k]) * wide(a[k])).sum();
    assert!((wide(low[0]) - expected).abs() < 1e-4, "low is {}, not {expected}", low[0]);
    let row = shape.row();
    let expected: f64 = (0..n_tokens).map(|t| wide(dy[t * n_out]) * wide(low[t * row])).sum();
    assert!((wide(db[0]) - expected).abs() < 1e-2, "dB is {}, not {expected}", db[0]);
    let rates = times.map(|(name, n, time)| {
        let rate = (2 * n_tokens * n * r) as f64 / time * 1e-9;
        format!("  {name} {rate:3.0} ({:2.0} %)", 100.0 * rate / peak)
    });
    report!("r {r:2}:{}", rates.concat());
}

fn element_wise(kernels: Kernels) {
    let Sizes { tokens, wide, .. } = sizes(MEASURED, TESTED);
    let n = tokens * wide;
    let [x, up, dy] = [1, 2, 3].map(|seed| numbers(n, seed));
    let weight = numbers(wide, 4);
    let [mut y, mut dx] = [(); 2].map(|()| vec![0.0; n]);
    let mut line = String::from("GB/s:");
    let mut measure = |name: &str, tensors: usize, run: &mut dyn FnMut(&mut [f32], &mut [f32])| {
        let time = seconds(|| run(black_box(&mut y), black_box(&mut dx)));
        line += &format!("  {name} {:.1}", (tensors * n * 4) as f64 / time * 1e-9);
    };
    measure("copy", 2, &mut |y, _| y.copy_from_slice(black_box(&x)));
    measure("norm", 2, &mut |y, _| kernels.rms_norm(&x, &weight, 1e-5, y));
    measure("norm backward", 3, &mut |_, dx| kernels.rms_norm_backward(&x, &weight, 1e-5, &dy, dx));
    for nonlinearity in [Nonlinearity::Silu, Nonlinearity::Gelu] {
        measure("gated", 3, &mut |y, _| kernels.gated(nonlinearity, &x, &up, y));
        measure("backward", 5, &mut |y, dx| {
            kernels.gated_backward(nonlinearity, [&x, &up], &dy, [y, dx]);
        });
    }
    report!("{line}");
    // The last kernel's second result: dy · gelu(x), here at a gate in the middle.
    let (gate, found) = (f64::from(x[7]), f64::from(dx[7]));
    let u = 0.797_884_560_802_865_4 * (gate + 0.044_715 * gate * gate * gate);
    let expected = f64::from(dy[7]) * 0.5 * gate * (1.0 + u.tanh());
    assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
}
