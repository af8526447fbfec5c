//! What the arithmetic units reach on registers alone.

use cutq_kernels::{Level, Precision};

/// Rounds of twelve independent operations in one measurement.
const ROUNDS: usize = 1 << 20;

/// Giga operations per second of `level`'s multiply-add, on all threads together.
pub fn measure(level: Level, precision: Precision, threads: usize) -> f64 {
    let Some((run, operations)) = operation(level, precision) else { return f64::NAN };
    let time = super::timing::seconds(|| {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(run);
            }
        });
    });
    (12 * ROUNDS * operations * threads) as f64 / time * 1e-9
}

/// A loop of a level's multiply-add and the operations that each of them stands for.
#[cfg(target_arch = "x86_64")]
fn operation(level: Level, precision: Precision) -> Option<(fn(), usize)> {
    Some(match (level, precision) {
        (Level::Avx512, Precision::Int8) => (x86::dpbusd_512, 128),
        (Level::AvxVnni, Precision::Int8) => (x86::dpbusd_256, 64),
        // Of weights of four bits; those of eight take two of them.
        (Level::Avx2, Precision::Int8) => (x86::maddubs_256, 64),
        (Level::Avx512, Precision::F32) => (x86::fma_512, 32),
        (Level::Avx2 | Level::AvxVnni, Precision::F32) => (x86::fma_256, 16),
        _ => return None,
    })
}

/// Nothing is known of other architectures' vector units.
#[cfg(not(target_arch = "x86_64"))]
fn operation(_: Level, _: Precision) -> Option<(fn(), usize)> {
    None
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use super::ROUNDS;

    /// Twelve accumulators through [`ROUNDS`] of one operation.
    macro_rules! peak {
        ($name:ident, $features:literal, $zero:expr, $operand:expr, $operation:expr) => {
            /// To be called only at a level that has the features.
            pub fn $name() {
                #[target_feature(enable = $features)]
                fn run() {
                    let operand = black_box($operand);
                    let mut sums = black_box([$zero; 12]);
                    for _ in 0..ROUNDS {
                        // Reloading nothing, but keeping the rounds apart for the compiler.
                        for sum in &mut sums {
                            *sum = $operation(*sum, operand);
                        }
                    }
                    black_box(sums);
                }
                // SAFETY: `measure` is asked only for levels of this CPU.
                unsafe { run() }
            }
        };
    }

    peak!(
        dpbusd_512,
        "avx512f,avx512vnni",
        _mm512_setzero_si512(),
        _mm512_set1_epi8(1),
        |sum, x| _mm512_dpbusd_epi32(sum, x, x)
    );
    peak!(dpbusd_256, "avx2,avxvnni", _mm256_setzero_si256(), _mm256_set1_epi8(1), |sum, x| {
        _mm256_dpbusd_avx_epi32(sum, x, x)
    });
    peak!(maddubs_256, "avx2", _mm256_setzero_si256(), _mm256_set1_epi8(1), |sum, x| {
        // The sum is an operand of the product, too, or the compiler would make it once.
        _mm256_add_epi16(sum, _mm256_maddubs_epi16(sum, x))
    });
    peak!(fma_512, "avx512f", _mm512_setzero_ps(), _mm512_set1_ps(1.0), |sum, x| _mm512_fmadd_ps(
        x, x, sum
    ));
    peak!(fma_256, "avx2,fma", _mm256_setzero_ps(), _mm256_set1_ps(1.0), |sum, x| _mm256_fmadd_ps(
        x, x, sum
    ));
}
