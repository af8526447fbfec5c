//! Dropout masks that need no memory: a hash of the seed and the element's index.

/// A mask of `len` elements: 0 with probability `p`, else `1/(1 − p)`.
///
/// The same seed gives the same mask, so that a block computed again in the backward pass drops
/// what it dropped before, and so does a resumed run. The hash is Chris Wellons's `lowbias32`,
/// which vectorizes.
pub(crate) fn mask(seed: u64, len: usize, p: f32) -> Vec<f32> {
    let threshold = (f64::from(p) * 4_294_967_296.0) as u32;
    let keep = 1.0 / (1.0 - p);
    let (low, high) = (seed as u32, (seed >> 32) as u32);
    let element = |i: u32| {
        let mut x = i ^ low;
        x ^= x >> 16;
        x = x.wrapping_mul(0x7feb_352d);
        x ^= (x >> 15) ^ high;
        x = x.wrapping_mul(0x846c_a68b);
        x ^= x >> 16;
        if x < threshold { 0.0 } else { keep }
    };
    (0..u32::try_from(len).expect("a mask of less than 2^32 elements")).map(element).collect()
}

/// A seed for one tensor of one step.
pub(crate) fn seed(step_seed: u64, index: usize) -> u64 {
    let mut x = step_seed ^ (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_the_share_asked_for_and_keeps_the_mean() {
        let mask = mask(seed(7, 3), 1 << 20, 0.05);
        let dropped = mask.iter().filter(|&&x| x == 0.0).count() as f64 / mask.len() as f64;
        assert!((dropped - 0.05).abs() < 1e-3, "{dropped}");
        let mean = mask.iter().map(|&x| f64::from(x)).sum::<f64>() / mask.len() as f64;
        assert!((mean - 1.0).abs() < 1e-3, "{mean}");
    }

    #[test]
    fn tensors_and_steps_differ_but_repeat() {
        let of = |step, index| mask(seed(step, index), 4096, 0.5);
        assert_eq!(of(1, 2), of(1, 2));
        assert_ne!(of(1, 2), of(1, 3));
        assert_ne!(of(1, 2), of(2, 2));
    }
}
