//! Dropout whose mask needs no memory: a hash of the seed and the element's index.

/// A mask over the elements of a tensor: 0 with probability `p`, else `1 / (1 − p)`.
///
/// The same seed gives the same mask, so that a layer computed again in the backward pass drops
/// what it dropped before, and so does a resumed run. The hash is Chris Wellons's `lowbias32` with
/// the seed mixed in twice; it vectorizes.
///
/// ```
/// use cutq_kernels::{Dropout, Kernels};
///
/// let (kernels, dropout) = (Kernels::detect()?, Dropout::new(42, 0.25));
/// let mut x = [3.0; 1000];
/// kernels.dropout(&dropout, 0, &mut x);
/// assert!(x.iter().all(|&x| x == 0.0 || x == 4.0));
///
/// // A part of the tensor by itself, as threads do.
/// let mut part = [3.0; 100];
/// kernels.dropout(&dropout, 900, &mut part);
/// assert_eq!(part, x[900..]);
/// # Ok::<(), cutq_kernels::SimdError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    seed: [u32; 2],
    /// Hashes below it drop their element.
    threshold: u32,
    keep: f32,
}

impl Dropout {
    /// A mask that drops with probability `p`.
    ///
    /// # Panics
    /// If `p` is not in `0..1`.
    pub fn new(seed: u64, p: f32) -> Dropout {
        assert!((0.0..1.0).contains(&p), "dropout probability {p}");
        let threshold = (f64::from(p) * 4_294_967_296.0) as u32;
        Dropout { seed: [seed as u32, (seed >> 32) as u32], threshold, keep: 1.0 / (1.0 - p) }
    }

    /// The factors of the first `n` elements, for devices that cannot hash.
    ///
    /// # Panics
    /// If `n` is `2^32` or more.
    pub fn mask(&self, n: usize) -> Vec<f32> {
        let n = u32::try_from(n).expect("a mask of less than 2^32 elements");
        (0..n).map(|index| self.factor(index)).collect()
    }

    /// The factor of element `index`.
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

/// The loop of [`crate::Kernels::dropout`], to be inlined into a function per level.
#[inline(always)]
pub(crate) fn multiply(dropout: &Dropout, first: usize, x: &mut [f32]) {
    for (index, x) in (first as u32..).zip(x) {
        *x *= dropout.factor(index);
    }
}
