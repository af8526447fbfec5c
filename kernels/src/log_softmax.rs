//! Log-softmax of one row of logits, and its gradient.

use crate::kernels::Kernels;
use crate::loops::log_softmax::{PART, PartSum, total};

/// One row's way from logits to their gradient,
/// `dlogits[v] = weight · (exp(logits[v] - log_sum_exp) - [v == label])`.
///
/// With `weight = -dL/dlog p(label)` this is `dL/dlogits`. Absolute error below
/// `1e-5 · |weight|`; probabilities below `1e-37` become zero.
///
/// ```
/// use cutq_kernels::{Kernels, LogitGradient};
///
/// let kernels = Kernels::detect()?;
/// let mut row = [0.0, 0.0, 0.0, 0.0];
/// let log_sum_exp = kernels.log_sum_exp(&row); // ln 4
/// kernels.log_prob_backward(&mut row, LogitGradient::new(2, log_sum_exp, 1.0));
/// for (found, expected) in row.iter().zip([0.25, 0.25, -0.75, 0.25]) {
///     assert!((found - expected).abs() < 1e-5f32);
/// }
/// # Ok::<(), cutq_kernels::SimdError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LogitGradient {
    pub(crate) label: usize,
    pub(crate) weight: f32,
    /// `log_sum_exp`, rounded.
    pub(crate) shift: f32,
    /// `weight`, and what the shift lost in rounding, which scales every element alike.
    pub(crate) scale: f32,
}

impl LogitGradient {
    /// For the row whose [`Kernels::log_sum_exp`] this is.
    pub fn new(label: usize, log_sum_exp: f64, weight: f32) -> LogitGradient {
        let shift = log_sum_exp as f32;
        let scale = f64::from(weight) * (f64::from(shift) - log_sum_exp).exp();
        LogitGradient { label, weight, shift, scale: scale as f32 }
    }
}

impl Kernels {
    /// `ln Σ_v exp(logits[v])`, in nats.
    ///
    /// Subtracts maxima, takes exponentials in `f32` and adds up their sums in `f64`: within
    /// `1e-5` of the plain `f64` value. NaN if a logit is NaN or `+inf`, or if none is finite;
    /// `-inf` marks an impossible token.
    pub fn log_sum_exp(&self, logits: &[f32]) -> f64 {
        let sum = |part: &[f32]| {
            let mut sum = PartSum::EMPTY;
            // SAFETY: holding `Kernels` proves the features of its level.
            unsafe { (self.loops.add_exp)(part, &mut sum) };
            sum
        };
        let parts: Vec<PartSum> = logits.chunks(PART).map(sum).collect();
        total(parts.iter().copied())
    }

    /// Log-probability of `label`, `logits[label] - ln Σ_v exp(logits[v])`, in nats.
    ///
    /// Equals `-F.cross_entropy` on one row; accuracy as for [`Kernels::log_sum_exp`].
    ///
    /// # Panics
    /// If `label` is outside the row.
    pub fn log_prob(&self, logits: &[f32], label: usize) -> f64 {
        f64::from(logits[label]) - self.log_sum_exp(logits)
    }

    /// Turns logits into their gradient.
    ///
    /// # Panics
    /// If the label is outside the row.
    pub fn log_prob_backward(&self, row: &mut [f32], gradient: LogitGradient) {
        let LogitGradient { label, .. } = gradient;
        assert!(label < row.len(), "label {label} is outside a row of {}", row.len());
        self.part_backward(row, 0, gradient);
    }

    /// Turns the logits from `first` on into their gradient.
    #[inline]
    pub(crate) fn part_backward(&self, part: &mut [f32], first: usize, gradient: LogitGradient) {
        let LogitGradient { label, weight, shift, scale } = gradient;
        // SAFETY: holding `Kernels` proves the features of its level.
        unsafe { (self.loops.scaled_exp)(part, shift, scale) };
        if let Some(x) = label.checked_sub(first).and_then(|v| part.get_mut(v)) {
            *x -= weight;
        }
    }
}
