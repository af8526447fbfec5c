//! A pack of sequences: tokens in one row, positions that restart, no padding.

use cutq_core::model::Sequence;

use crate::architecture::Architecture;
use crate::backend::{Backend, BackendError};
use crate::buffer::{self, Tensor};

/// Where one sequence lies in the pack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Its first token.
    pub start: usize,
    /// Number of tokens read: the last one of the response is predicted only.
    pub len: usize,
    /// Index of the mask for its length.
    mask: usize,
}

/// The tokens of several sequences and the masks of their attention.
pub(crate) struct Batch {
    pub tokens: Vec<u32>,
    pub positions: Vec<i32>,
    pub spans: Vec<Span>,
    /// For each target, in order: where it is predicted, and the token itself.
    pub targets: Vec<(usize, u32)>,
    masks: Vec<Masks>,
}

/// The masks for sequences of one length.
struct Masks {
    len: usize,
    full: Tensor,
    /// For blocks with a sliding window, where it is shorter than the sequence.
    local: Option<Tensor>,
}

impl Batch {
    /// Packs `sequences`. The last token of each is not read: nothing follows it.
    pub fn new(
        backend: &Backend,
        architecture: &Architecture,
        sequences: &[Sequence<'_>],
    ) -> Result<Self, BackendError> {
        let mut batch = Self {
            tokens: Vec::new(),
            positions: Vec::new(),
            spans: Vec::new(),
            targets: Vec::new(),
            masks: Vec::new(),
        };
        let window = (0..architecture.n_layer).find_map(|layer| architecture.window(layer));
        for sequence in sequences {
            let start = batch.tokens.len();
            let len = sequence.prompt.len() + sequence.response.len() - 1;
            let tokens = sequence.prompt.iter().chain(sequence.response).copied();
            batch.tokens.extend(tokens.take(len));
            batch.positions.extend(0..len as i32);
            let first_target = start + sequence.prompt.len() - 1;
            batch.targets.extend((first_target..).zip(sequence.response.iter().copied()));
            let mask = batch.mask(backend, len, window)?;
            batch.spans.push(Span { start, len, mask });
        }
        Ok(batch)
    }

    /// The index of the masks for sequences of `len` tokens, made at their first use.
    fn mask(
        &mut self,
        backend: &Backend,
        len: usize,
        window: Option<usize>,
    ) -> Result<usize, BackendError> {
        if let Some(found) = self.masks.iter().position(|m| m.len == len) {
            return Ok(found);
        }
        let make = |window: usize| {
            let tensor = buffer::allocate(backend, &[[len, len]])?.remove(0);
            let mut row = vec![0.0; len];
            for query in 0..len {
                for (key, value) in row.iter_mut().enumerate() {
                    let seen = key <= query && query - key < window;
                    *value = if seen { 0.0 } else { f32::NEG_INFINITY };
                }
                tensor.write(query * len, &row);
            }
            Ok::<_, BackendError>(tensor)
        };
        let full = make(usize::MAX)?;
        let local = window.filter(|&w| w < len).map(make).transpose()?;
        self.masks.push(Masks { len, full, local });
        Ok(self.masks.len() - 1)
    }

    /// The mask of `span` in a block that has a sliding window or not.
    pub fn mask_of(&self, span: &Span, local: bool) -> &Tensor {
        let masks = &self.masks[span.mask];
        masks.local.as_ref().filter(|_| local).unwrap_or(&masks.full)
    }
}
