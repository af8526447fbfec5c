//! Transposition, in squares of eight rows and columns.

/// Rows and columns of a square.
const SIDE: usize = 8;

/// A matrix and the floats between its rows.
#[derive(Clone, Copy)]
pub(crate) struct Matrix {
    pub data: *mut f32,
    pub row: usize,
}

impl Matrix {
    /// # Safety
    /// The matrix has that element.
    #[inline(always)]
    unsafe fn at(self, r: usize, c: usize) -> Matrix {
        // SAFETY: the caller vouches for the element.
        Matrix { data: unsafe { self.data.add(r * self.row + c) }, ..self }
    }
}

/// `to[c, r] = from[r, c]`, whole squares by `square`; to be inlined into a function per level.
///
/// # Safety
/// `from` is readable with `rows` rows and `columns` columns, `to` writable with as many columns
/// and rows, and nothing else accesses `to`. `square` works under the same conditions.
#[inline(always)]
pub(crate) unsafe fn transpose(
    from: Matrix,
    to: Matrix,
    (rows, columns): (usize, usize),
    square: unsafe fn(Matrix, Matrix),
) {
    for r in (0..rows).step_by(SIDE) {
        for c in (0..columns).step_by(SIDE) {
            // SAFETY: inside both, by this function's contract.
            unsafe {
                let (from, to) = (from.at(r, c), to.at(c, r));
                let (rows, columns) = ((rows - r).min(SIDE), (columns - c).min(SIDE));
                if rows == SIDE && columns == SIDE {
                    square(from, to);
                } else {
                    elements(from, to, rows, columns);
                }
            }
        }
    }
}

/// A whole square, one element after the other.
///
/// # Safety
/// As for [`transpose`].
#[inline(always)]
pub(crate) unsafe fn plain(from: Matrix, to: Matrix) {
    // SAFETY: the caller vouches for the square.
    unsafe { elements(from, to, SIDE, SIDE) }
}

/// # Safety
/// As for [`transpose`].
#[inline(always)]
unsafe fn elements(from: Matrix, to: Matrix, rows: usize, columns: usize) {
    for r in 0..rows {
        for c in 0..columns {
            // SAFETY: the caller vouches for the square.
            unsafe { to.at(c, r).data.write(*from.at(r, c).data) };
        }
    }
}

/// A whole square in registers.
///
/// # Safety
/// As for [`transpose`]; the CPU has AVX2.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn avx2(from: Matrix, to: Matrix) {
    use std::arch::x86_64::*;
    for half in [0, 4] {
        // SAFETY: four columns of eight rows, and four whole rows of the result.
        unsafe {
            // Row `r` and row `r + 4` side by side; what follows works within halves.
            let rows: [__m256; 4] = std::array::from_fn(|r| {
                let low = _mm_loadu_ps(from.at(r, half).data);
                let high = _mm_loadu_ps(from.at(r + 4, half).data);
                _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(low), high)
            });
            let low = [_mm256_unpacklo_ps(rows[0], rows[1]), _mm256_unpacklo_ps(rows[2], rows[3])];
            let high = [_mm256_unpackhi_ps(rows[0], rows[1]), _mm256_unpackhi_ps(rows[2], rows[3])];
            let columns = [
                _mm256_shuffle_ps::<0b01_00_01_00>(low[0], low[1]),
                _mm256_shuffle_ps::<0b11_10_11_10>(low[0], low[1]),
                _mm256_shuffle_ps::<0b01_00_01_00>(high[0], high[1]),
                _mm256_shuffle_ps::<0b11_10_11_10>(high[0], high[1]),
            ];
            for (c, column) in columns.into_iter().enumerate() {
                _mm256_storeu_ps(to.at(half + c, 0).data, column);
            }
        }
    }
}

/// A whole square in registers.
///
/// # Safety
/// As for [`transpose`].
#[cfg(target_arch = "aarch64")]
#[inline]
pub(crate) unsafe fn neon(from: Matrix, to: Matrix) {
    use std::arch::aarch64::*;
    for (r, c) in [(0, 0), (0, 4), (4, 0), (4, 4)] {
        // SAFETY: a quarter of the square and of the result; every aarch64 CPU has NEON.
        unsafe {
            let row = |i: usize| vld1q_f32(from.at(r + i, c).data);
            let (even, odd) = ([row(0), row(2)], [row(1), row(3)]);
            let low = [vzip1q_f32(even[0], even[1]), vzip1q_f32(odd[0], odd[1])];
            let high = [vzip2q_f32(even[0], even[1]), vzip2q_f32(odd[0], odd[1])];
            let columns = [
                vzip1q_f32(low[0], low[1]),
                vzip2q_f32(low[0], low[1]),
                vzip1q_f32(high[0], high[1]),
                vzip2q_f32(high[0], high[1]),
            ];
            for (i, column) in columns.into_iter().enumerate() {
                vst1q_f32(to.at(c + i, r).data, column);
            }
        }
    }
}
