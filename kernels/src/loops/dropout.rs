//! Dropout whose masks need no memory: windows of one long row of factors, each a hash of its index.

use std::sync::Arc;

/// A mask over the rows of a matrix: factors that are 0 with probability `p`, else `1 / (1 − p)`.
///
/// All masks of a pass are cut out of the same row of factors `f`, the *pool*: row `t` of a mask is
/// `f[s..]`, where `s`, a multiple of [`Dropout::STRIDE`], is drawn for it by hashing. Two rows that
/// begin at different places have independent factors in every column. So a processor computes the
/// factors where it needs them, and a device that cannot hash keeps the pool in its memory and gathers
/// rows of it: both drop the same elements.
///
/// The same seed gives the same mask, so that a layer computed again in the backward pass drops
/// what it dropped before, and so does a resumed run.
///
/// ```
/// use cutq_kernels::{Dropout, DropoutPool, Kernels};
///
/// let (kernels, pool) = (Kernels::detect()?, DropoutPool::new(42, 0.25));
/// let dropout = Dropout::new(pool, 7, &[0, 1]);
/// let mut row = [3.0; 1000];
/// kernels.dropout(&dropout, 1, 0, &mut row);
/// assert!(row.iter().all(|&x| x == 0.0 || x == 4.0));
///
/// // Some columns by themselves, as threads do.
/// let mut part = [3.0; 100];
/// kernels.dropout(&dropout, 1, 900, &mut part);
/// assert_eq!(part, row[900..]);
/// # Ok::<(), cutq_kernels::SimdError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    pool: DropoutPool,
    /// Where the rows begin, in strides.
    windows: Arc<[u32]>,
}

/// The factors that masks are cut out of. The hash is Chris Wellons's `lowbias32` with the seed mixed
/// in twice; it vectorizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutPool {
    seed: [u32; 2],
    /// Hashes below it drop their element.
    threshold: u32,
    keep: f32,
}

impl DropoutPool {
    /// Factors that drop with probability `p`.
    ///
    /// # Panics
    /// If `p` is not in `0..1`.
    pub fn new(seed: u64, p: f32) -> Self {
        assert!((0.0..1.0).contains(&p), "dropout probability {p}");
        let threshold = (f64::from(p) * 4_294_967_296.0) as u32;
        Self { seed: [seed as u32, (seed >> 32) as u32], threshold, keep: 1.0 / (1.0 - p) }
    }

    /// The first `n` factors, for devices that cannot hash.
    pub fn first(&self, n: usize) -> Vec<f32> {
        (0..n as u32).map(|index| self.factor(index)).collect()
    }

    /// How many factors masks of up to `columns` columns are cut out of.
    pub const fn len(columns: usize) -> usize {
        (Dropout::WINDOWS - 1) * Dropout::STRIDE + columns
    }

    /// The factor at an index of the pool.
    #[inline(always)]
    fn factor(&self, index: u32) -> f32 {
        let mut x = index ^ self.seed[0];
        x ^= x >> 16;
        x = x.wrapping_mul(0x7feb_352d);
        x ^= (x >> 15) ^ self.seed[1];
        x = x.wrapping_mul(0x846c_a68b);
        x ^= x >> 16;
        if x < self.threshold { 0.0 } else { self.keep }
    }
}

impl Dropout {
    /// Places at which a row may begin. Two rows begin at the same one of them, and drop the same,
    /// in one case of so many.
    pub const WINDOWS: usize = 1 << 14;
    /// Factors from one of these places to the next.
    pub const STRIDE: usize = 32;

    /// A mask with a row for each of `keys`; the seed tells it from the other masks of the pool. Where
    /// a row begins depends on its key, the seed, and nothing else.
    pub fn new(pool: DropoutPool, seed: u64, keys: &[u64]) -> Self {
        let window = |&key: &u64| (mix(key ^ mix(seed)) % Self::WINDOWS as u64) as u32;
        Self { pool, windows: keys.iter().map(window).collect() }
    }

    /// Where the rows begin, as multiples of [`Dropout::STRIDE`].
    pub fn windows(&self) -> &[u32] {
        &self.windows
    }

    /// The pool, and the index there of a column of a row.
    pub(crate) fn at(&self, row: usize, column: usize) -> (&DropoutPool, usize) {
        (&self.pool, self.windows[row] as usize * Self::STRIDE + column)
    }
}

/// A permutation of the numbers of 64 bits without visible order: the end of `SplitMix64`.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The loop of [`crate::Kernels::dropout`], to be inlined into a function per level.
#[inline(always)]
pub(crate) fn multiply(pool: &DropoutPool, first: usize, x: &mut [f32]) {
    for (index, x) in (first as u32..).zip(x) {
        *x *= pool.factor(index);
    }
}
