//! Dropout of the elements of a tensor.

use crate::kernels::Kernels;
use crate::loops::Dropout;

impl Kernels {
    /// Multiplies elements `first..first + x.len()` of a tensor by their factors in the mask.
    ///
    /// # Panics
    /// If the tensor has `2^32` elements or more.
    pub fn dropout(&self, dropout: &Dropout, first: usize, x: &mut [f32]) {
        assert!(u32::try_from(first + x.len()).is_ok(), "a mask of less than 2^32 elements");
        // SAFETY: holding `Kernels` proves the features of its level.
        unsafe { (self.loops.dropout)(dropout, first, x) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;

    fn mask(seed: u64, first: usize, len: usize, p: f32) -> Vec<f32> {
        let kernels = Kernels::with(Level::Plain).expect("the plain level always exists");
        let mut mask = vec![1.0; len];
        kernels.dropout(&Dropout::new(seed, p), first, &mut mask);
        mask
    }

    #[test]
    #[cfg_attr(miri, ignore = "65536 numbers take minutes")]
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
