//! What it costs to unpack a weight, by type.

use crate::sys;

/// Making the panels of a weight takes as long as multiplying them with this many tokens: the mean of
/// both orientations, as the test below found it on a Zen 4 with AVX-512. With AVX2, where products
/// take longer, it is about 0.4 of that, for every type alike.
pub(crate) fn in_tokens(kind: sys::ggml_type) -> u32 {
    match kind {
        sys::GGML_TYPE_F32 | sys::GGML_TYPE_F16 | sys::GGML_TYPE_BF16 | sys::GGML_TYPE_Q8_0 => 55,
        sys::GGML_TYPE_Q4_K | sys::GGML_TYPE_Q5_K | sys::GGML_TYPE_Q6_K => 55,
        sys::GGML_TYPE_TQ1_0 | sys::GGML_TYPE_TQ2_0 => 80,
        sys::GGML_TYPE_Q4_0 | sys::GGML_TYPE_Q4_1 => 100,
        sys::GGML_TYPE_Q2_K
        | sys::GGML_TYPE_Q3_K
        | sys::GGML_TYPE_Q1_0
        | sys::GGML_TYPE_Q2_0
        | sys::GGML_TYPE_IQ4_NL
        | sys::GGML_TYPE_IQ4_XS
        | sys::GGML_TYPE_MXFP4
        | sys::GGML_TYPE_NVFP4 => 200,
        // Q5_0, Q5_1 and the smaller IQ types.
        _ => 150,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use cutq_kernels::{Kernels, Level, PackedActivations, Precision};

    use super::*;
    use crate::ggml::tensor_type::TensorType;
    use crate::gguf::dequantize::Quantized;

    /// Rows and columns: a layer's weight that fits into a second-level cache when packed.
    const N: usize = 1024;

    /// Seconds of the fastest of several calls.
    fn seconds(mut run: impl FnMut()) -> f64 {
        let mut time = || {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        };
        (0..7).map(|_| time()).fold(f64::INFINITY, f64::min)
    }

    /// Tokens that take as long to multiply as `weights` take to unpack.
    fn measure(kernels: Kernels, weights: &Quantized) -> f64 {
        let time = |n_tokens: usize| {
            let x: Vec<f32> = (0..n_tokens * N).map(|i| (i as f32 * 0.7).sin()).collect();
            let x = PackedActivations::pack(kernels, Precision::Int8, &x, n_tokens, N);
            seconds(|| drop(x.product(weights, N)))
                + seconds(|| drop(x.product_transposed(weights, N)))
        };
        let (few, many) = (time(6), time(6 + 480));
        480.0 * few / (many - few) - 6.0
    }

    #[test]
    #[ignore = "a measurement, on an idle machine: make test-slow"]
    fn unpacking_takes_what_the_table_says() {
        let kernels = Kernels::detect().expect("a level");
        for kind in TensorType::all() {
            let values: Vec<f32> = (0..N).map(|i| (i as f32 * 0.37).sin()).collect();
            let data = kind.quantize(&values, N).repeat(N);
            let weights =
                Quantized::of_type(kind.raw(), &data, [N, N]).expect("it can be unpacked");
            let found = measure(kernels, &weights);
            let faster = kernels.level() == Level::Avx512;
            let table = f64::from(in_tokens(kind.raw())) * if faster { 1.0 } else { 0.4 };
            println!("{kind:8} {found:5.0} tokens, {table:5.0} in the table");
            assert!((0.3..3.0).contains(&(found / table)), "{kind}: {found} tokens");
        }
    }
}
