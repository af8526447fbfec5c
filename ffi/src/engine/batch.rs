//! A pack of sequences: tokens in one row, positions that restart, no padding.

use cutq_core::model::Sequence;
use cutq_kernels::Segment;

use crate::ops::attention::KeptSequence;

/// The tokens of several sequences.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub tokens: Vec<u32>,
    pub positions: Vec<i32>,
    /// Where each sequence lies. Its last token is not read: nothing follows it.
    pub segments: Vec<Segment>,
    /// For each target, in order: where it is predicted, and the token itself.
    pub targets: Vec<(usize, u32)>,
    /// For each token of a training pass, what decides which values dropout removes there: the
    /// sequence's id and the position.
    pub keys: Vec<u64>,
    /// For each sequence, if keys and values are kept: where they are.
    pub kept: Vec<KeptSequence>,
}

impl Batch {
    /// A pack of `n_tokens` tokens in sequences of `longest`, every other token being a target: to
    /// measure memory and time with.
    pub fn of_shape(n_tokens: usize, longest: usize) -> Self {
        let mut batch = Self::default();
        for start in (0..n_tokens).step_by(longest.max(1)) {
            let len = longest.min(n_tokens - start);
            batch.positions.extend(0..len as i32);
            batch.segments.push(Segment { start, len });
        }
        batch.tokens = vec![0; n_tokens];
        batch.keys = vec![0; n_tokens];
        batch.targets = (0..n_tokens).step_by(2).map(|position| (position, 0)).collect();
        batch
    }

    /// Packs the last tokens of sequences of which the others were read before: each with the pages of
    /// its keys and values, its new tokens, and how many there are before them.
    pub fn continuing<'a>(
        sequences: impl Iterator<Item = (&'a [usize], &'a [u32], usize)>,
    ) -> Self {
        let mut batch = Self::default();
        for (pages, tokens, past) in sequences {
            let len = past + tokens.len();
            batch.segments.push(Segment { start: batch.tokens.len(), len: tokens.len() });
            batch.kept.push(KeptSequence { pages: pages.to_vec(), len });
            batch.tokens.extend_from_slice(tokens);
            batch.positions.extend((past..len).map(|position| position as i32));
        }
        batch
    }

    /// Packs `sequences`, each with a prompt and a response.
    pub fn new(sequences: &[Sequence<'_>]) -> Self {
        let mut batch = Self::default();
        for sequence in sequences {
            let start = batch.tokens.len();
            let len = sequence.prompt.len() + sequence.response.len() - 1;
            let tokens = sequence.prompt.iter().chain(sequence.response).copied();
            batch.tokens.extend(tokens.take(len));
            batch.positions.extend(0..len as i32);
            batch
                .keys
                .extend((0..len as u64).map(|position| sequence.id.rotate_left(32) ^ position));
            batch.segments.push(Segment { start, len });
            let first_target = start + sequence.prompt.len() - 1;
            batch.targets.extend((first_target..).zip(sequence.response.iter().copied()));
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_lie_end_to_end() {
        let sequences = [
            Sequence { prompt: &[1, 2], response: &[3, 4], id: 7 },
            Sequence { prompt: &[5], response: &[6], id: 8 },
        ];
        let batch = Batch::new(&sequences);
        assert_eq!(batch.tokens, [1, 2, 3, 5]);
        assert_eq!(batch.positions, [0, 1, 2, 0]);
        assert_eq!(batch.keys, [7 << 32, 7 << 32 | 1, 7 << 32 | 2, 8 << 32]);
        assert_eq!(batch.targets, [(1, 3), (2, 4), (3, 6)]);
        let segments = [Segment { start: 0, len: 3 }, Segment { start: 3, len: 1 }];
        assert_eq!(batch.segments, segments);
    }
}
