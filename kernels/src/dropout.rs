//! Dropout whose mask needs no memory: a hash of the seed and the element's index.

use crate::Kernels;

/// A mask over the elements of a tensor: 0 with probability `p`, else `1 / (1 − p)`.
///
/// The same seed gives the same mask, so that a block computed again in the backward pass drops
/// what it dropped before, and so does a resumed run. The hash is Chris Wellons's `lowbias32` with
/// the seed mixed in twice; it vectorizes.
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

    /// What the first `n` elements are multiplied with: for engines that cannot hash.
    ///
    /// # Panics
    /// If `n` is `2^32` or more.
    pub fn mask(&self, n: usize) -> Vec<f32> {
        let n = u32::try_from(n).expect("a mask of less than 2^32 elements");
        (0..n).map(|index| self.factor(index)).collect()
    }

    /// What element `index` is multiplied with.
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

impl Kernels {
    /// Multiplies elements `first..first + x.len()` of a tensor with their factors in the mask.
    ///
    /// # Panics
    /// If the tensor has `2^32` elements or more.
    pub fn dropout(&self, dropout: &Dropout, first: usize, x: &mut [f32]) {
        assert!(u32::try_from(first + x.len()).is_ok(), "a mask of less than 2^32 elements");
        // SAFETY: holding `Kernels` proves the features of its level.
        unsafe { (self.generic.dropout)(dropout, first, x) }
    }
}

/// The loop of [`Kernels::dropout`], to be inlined into a function per level.
#[inline(always)]
pub(crate) fn multiply(dropout: &Dropout, first: usize, x: &mut [f32]) {
    for (index, x) in (first as u32..).zip(x) {
        *x *= dropout.factor(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    fn mask(seed: u64, first: usize, len: usize, p: f32) -> Vec<f32> {
        let kernels = Kernels::with(Level::Plain).expect("the plain level always exists");
        let mut mask = vec![1.0; len];
        kernels.dropout(&Dropout::new(seed, p), first, &mut mask);
        mask
    }

    #[test]
    #[cfg_attr(miri, ignore = "so many numbers take minutes")]
    fn drops_the_share_asked_for_and_keeps_the_mean() {
        let mask = mask(7 << 33 | 3, 0, 1 << 16, 0.05);
        let dropped = mask.iter().filter(|&&x| x == 0.0).count() as f64 / mask.len() as f64;
        assert!((dropped - 0.05).abs() < 4e-3, "{dropped}");
        let mean = mask.iter().map(|&x| f64::from(x)).sum::<f64>() / mask.len() as f64;
        assert!((mean - 1.0).abs() < 4e-3, "{mean}");
    }

    #[test]
    fn a_part_is_a_part_of_the_whole() {
        let whole = mask(5, 0, 4096, 0.5);
        assert_eq!(mask(5, 1000, 96, 0.5), whole[1000..1096]);
        assert_eq!(Dropout::new(5, 0.5).mask(4096), whole);
        assert_ne!(mask(6, 0, 4096, 0.5), whole);
        assert_ne!(mask(5 | 1 << 40, 0, 4096, 0.5), whole);
        assert!(mask(5, 0, 4096, 0.0).iter().all(|&x| x == 1.0));
    }
}
