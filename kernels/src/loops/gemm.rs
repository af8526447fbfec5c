//! The matrix product of a tile, written once for any vector.

use super::vector::{LANES, Vector};

/// Depth after which the sums move to memory, so that the rows of `b` used until then stay in a
/// first-level cache.
const DEPTH: usize = 128;

/// `C[r, c] = Σ_k A[r, k] B[k, c]`, or with what was there `C[r, c] = f[r] C[r, c] + Σ_k …`.
#[derive(Clone, Copy)]
pub(crate) struct Gemm {
    pub rows: usize,
    pub depth: usize,
    /// A multiple of 16.
    pub columns: usize,
    /// `A` and the floats between its rows and between its columns.
    pub a: *const f32,
    pub a_row: usize,
    pub a_depth: usize,
    /// `B` and the floats between its rows, a multiple of 16.
    pub b: *const f32,
    pub b_row: usize,
    /// `C` and the floats between its rows, a multiple of 16.
    pub c: *mut f32,
    pub c_row: usize,
    /// Add to what is there instead of overwriting it.
    pub add: bool,
    /// What each row of `C` is multiplied by before something is added, one if absent.
    pub factors: Option<*const f32>,
}

/// Runs a product in register tiles of `R` rows and `P` vectors, to be inlined into a function per
/// level. Each sum of at most [`DEPTH`] products goes in order from zero and is added to `C` last.
///
/// # Safety
/// The operands are readable, `C` writable, nothing else accesses `C`, and the CPU has the
/// instructions of `V`.
#[inline(always)]
pub(crate) unsafe fn gemm<V: Vector, const R: usize, const P: usize>(gemm: &Gemm) {
    assert!(gemm.columns.is_multiple_of(LANES), "{} columns", gemm.columns);
    let mut part = *gemm;
    let mut depth = 0;
    loop {
        part.depth = (gemm.depth - depth).min(DEPTH);
        // SAFETY: parts of the operands, by this function's contract.
        unsafe {
            part.a = gemm.a.add(depth * gemm.a_depth);
            part.b = gemm.b.add(depth * gemm.b_row);
            let mut column = 0;
            while column < gemm.columns {
                let vectors = ((gemm.columns - column) / V::LANES).min(P);
                let (b, c) = (part.b.add(column), part.c.add(column));
                let strip = Gemm { b, c, ..part };
                match vectors {
                    1 => rows::<V, R, 1>(&strip),
                    2 => rows::<V, R, 2>(&strip),
                    3 if P > 2 => rows::<V, R, 3>(&strip),
                    _ => rows::<V, R, P>(&strip),
                }
                column += vectors * V::LANES;
            }
        }
        depth += part.depth;
        if depth == gemm.depth {
            return;
        }
        (part.add, part.factors) = (true, None);
    }
}

/// All rows of `P` vectors of columns.
///
/// # Safety
/// As for [`gemm`].
#[inline(always)]
unsafe fn rows<V: Vector, const R: usize, const P: usize>(gemm: &Gemm) {
    let mut row = 0;
    while row < gemm.rows {
        let left = gemm.rows - row;
        // SAFETY: rows below `gemm.rows`, by this function's contract.
        unsafe {
            row += match left {
                _ if left >= R => register_tile::<V, R, P>(gemm, row),
                _ if left >= 4 && R > 4 => register_tile::<V, 4, P>(gemm, row),
                _ if left >= 2 => register_tile::<V, 2, P>(gemm, row),
                _ => register_tile::<V, 1, P>(gemm, row),
            };
        }
    }
}

/// `R` rows from `row` of `P` vectors of columns, with all sums in registers. Returns `R`.
///
/// # Safety
/// As for [`gemm`].
#[inline(always)]
unsafe fn register_tile<V: Vector, const R: usize, const P: usize>(
    gemm: &Gemm,
    row: usize,
) -> usize {
    // SAFETY: the tile's elements lie in the operands, by this function's contract.
    unsafe {
        let mut sums = [[V::splat(0.0); P]; R];
        let mut a = gemm.a.add(row * gemm.a_row);
        let mut b = gemm.b;
        for _ in 0..gemm.depth {
            let mut right = [V::splat(0.0); P];
            for (p, right) in right.iter_mut().enumerate() {
                *right = V::load(b.add(p * V::LANES));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let left = V::splat(*a.add(r * gemm.a_row));
                for (sum, &right) in sums.iter_mut().zip(&right) {
                    *sum = left.mul_add(right, *sum);
                }
            }
            a = a.wrapping_add(gemm.a_depth);
            b = b.wrapping_add(gemm.b_row);
        }
        for (r, sums) in sums.iter().enumerate() {
            for (p, &sum) in sums.iter().enumerate() {
                let c = gemm.c.add((row + r) * gemm.c_row + p * V::LANES);
                let sum = match gemm.factors {
                    _ if !gemm.add => sum,
                    None => V::load(c).add(sum),
                    Some(factors) => V::load(c).mul_add(V::splat(*factors.add(row + r)), sum),
                };
                sum.store(c);
            }
        }
    }
    R
}
