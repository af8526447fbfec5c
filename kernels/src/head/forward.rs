//! Log-probabilities of labels.

use std::ops::Range;

use super::input::HeadInput;
use super::shape::{HeadShape, VOCAB_PART};
use crate::kernels::Kernels;
use crate::loops::log_softmax::{PartSum, total};
use crate::scratch::Scratch;

/// What the forward pass finds about one target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogProb {
    /// Log-probability of the label, in nats.
    pub log_prob: f64,
    /// `ln Σ exp(logits)`, for the backward pass.
    pub log_sum_exp: f64,
}

impl HeadShape {
    /// Floats that [`Kernels::head_sums`] fills: `T · (2 · ceil(V / 1024) + 1)`.
    pub const fn sums_len(self) -> usize {
        self.n_tokens * (2 * self.n_vocab.div_ceil(VOCAB_PART) + 1)
    }

    /// The log-probability of every label, from what [`Kernels::head_sums`] found for all parts.
    ///
    /// Equals [`Kernels::log_prob`] of the rows of logits bit for bit.
    ///
    /// # Panics
    /// If `sums` does not have [`HeadShape::sums_len`] elements.
    pub fn log_probs(self, sums: &[f32]) -> Vec<LogProb> {
        assert_eq!(sums.len(), self.sums_len(), "sums of {self:?}");
        let (parts, labels) = sums.split_at(sums.len() - self.n_tokens);
        let (parts, _) = parts.as_chunks::<2>();
        let log_prob = |(token, &logit): (usize, &f32)| {
            let parts = parts.iter().skip(token).step_by(self.n_tokens);
            let log_sum_exp = total(parts.map(|&[max, sum]| PartSum { max, sum }));
            LogProb { log_prob: f64::from(logit) - log_sum_exp, log_sum_exp }
        };
        labels.iter().enumerate().map(log_prob).collect()
    }
}

impl Kernels {
    /// Sums of exponentials over the rows `rows` of the vocabulary, and the logits of the labels
    /// among them; [`HeadShape::log_probs`] makes log-probabilities of them.
    ///
    /// | argument | shape    | meaning                                                        |
    /// |----------|----------|----------------------------------------------------------------|
    /// | `input`  |          | `x` and `W`                                                    |
    /// | `rows`   |          | this thread's rows: whole [`VOCAB_PART`]s                      |
    /// | `labels` | `(T,)`   | token ids in `0..V`                                            |
    /// | `sums`   |          | [`HeadShape::sums_len`] floats for all rows                    |
    ///
    /// Each row of `W` is unpacked once. The result does not depend on how the rows are split.
    ///
    /// # Safety
    /// - `input.packed`, of the shape `input.shape.activations()`, is as [`Kernels::product`]
    ///   requires of its `x`.
    /// - `sums` points to that many writable floats, initialized or not. Threads that share it take
    ///   different rows, and nothing else accesses it during the call.
    ///
    /// # Panics
    /// If there is not one label per token, a label is outside the vocabulary, or `rows` does not
    /// consist of whole parts of it.
    pub unsafe fn head_sums(
        &self,
        input: HeadInput<'_>,
        rows: Range<usize>,
        labels: &[u32],
        sums: *mut f32,
        scratch: &mut Scratch,
    ) {
        let shape = input.shape;
        let HeadShape { n_tokens, n_vocab, .. } = shape;
        assert_eq!(labels.len(), n_tokens, "labels");
        assert!(labels.iter().all(|&label| (label as usize) < n_vocab), "labels below {n_vocab}");
        let whole = |row: usize| row.is_multiple_of(VOCAB_PART) || row == n_vocab;
        assert!(whole(rows.start) && whole(rows.end) && rows.end <= n_vocab, "{rows:?}");
        let parts = sums.cast::<PartSum>();
        // SAFETY: the labels' logits follow the parts in `sums`.
        let logits_of_labels = unsafe { sums.add(shape.sums_len() - n_tokens) };
        for part in parts_of(rows.clone()) {
            for token in 0..n_tokens {
                // SAFETY: the parts of these rows are this call's alone.
                unsafe { parts.add(part * n_tokens + token).write(PartSum::EMPTY) };
            }
        }
        // SAFETY: as above; a label lies in one call's rows.
        unsafe {
            self.head_logits(input, rows, scratch, &mut |token, rows, logits| {
                let part = &mut *parts.add(rows.start / VOCAB_PART * n_tokens + token);
                (self.loops.add_exp)(logits, part);
                let label = labels[token] as usize;
                if rows.contains(&label) {
                    logits_of_labels.add(token).write(logits[label - rows.start]);
                }
            });
        }
    }
}

/// Indices of the parts that make up whole parts of the vocabulary.
fn parts_of(rows: Range<usize>) -> Range<usize> {
    rows.start.div_ceil(VOCAB_PART)..rows.end.div_ceil(VOCAB_PART)
}
