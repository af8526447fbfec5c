//! Rotary position embedding of a head.

/// How rotary position embedding pairs up the dimensions of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairs {
    /// (0, 1), (2, 3), …
    Neighbours,
    /// (0, n/2), (1, n/2 + 1), …
    Halves,
}

/// A head of [`crate::Kernels::rope`], to be inlined into a function per level: `x` and `y` are the
/// dimensions that rotate.
#[inline(always)]
pub(crate) fn rotate(pairs: RopePairs, [cos, sin]: [&[f32]; 2], x: &[f32], y: &mut [f32]) {
    let turns = cos.iter().zip(sin);
    match pairs {
        RopePairs::Neighbours => {
            let heads = x.as_chunks::<2>().0.iter().zip(y.as_chunks_mut::<2>().0);
            for ((&[a, b], y), (cos, sin)) in heads.zip(turns) {
                *y = [a * cos - b * sin, a * sin + b * cos];
            }
        }
        RopePairs::Halves => {
            let ((a, b), (ya, yb)) = (x.split_at(cos.len()), y.split_at_mut(cos.len()));
            let heads = a.iter().zip(b).zip(ya.iter_mut().zip(yb));
            for (((a, b), (ya, yb)), (cos, sin)) in heads.zip(turns) {
                (*ya, *yb) = (a * cos - b * sin, a * sin + b * cos);
            }
        }
    }
}
