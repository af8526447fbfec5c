//! Causal grouped-query attention over packed sequences.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use cutq_kernels::{AttentionShape, PAGE, Segment};

use crate::ggml::node::Node;
use crate::ggml::tensor::Tensor;

/// The attention of one layer.
#[derive(Clone)]
pub(crate) struct Attention<'g> {
    pub shape: AttentionShape,
    /// The sequences of the pack.
    pub segments: Vec<Segment>,
    /// What the queries of each tile see; none where the kernels compute.
    pub masks: Rc<BTreeMap<Mask, Node<'g>>>,
}

/// Queries of a [`Tile`], at most.
pub(crate) const QUERIES: usize = 256;

/// Some queries of a sequence and the keys that they see, by position.
pub(crate) struct Tile {
    pub queries: Range<usize>,
    pub keys: Range<usize>,
}

/// The tiles of a sequence of `len` tokens, of which each sees itself and all before it, or the last
/// `window` of these.
pub(crate) fn tiles(len: usize, window: Option<usize>) -> impl Iterator<Item = Tile> {
    (0..len).step_by(QUERIES).map(move |first| {
        let end = (first + QUERIES).min(len);
        let first_key = window.map_or(0, |window| (first + 1).saturating_sub(window));
        Tile { queries: first..end, keys: first_key..end }
    })
}

/// Which keys of a tile its queries see; many tiles have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mask {
    n_queries: usize,
    n_keys: usize,
    /// The most keys that a query sees, if some query sees fewer than are before it.
    window: Option<usize>,
}

impl Mask {
    pub fn new(Tile { queries, keys }: &Tile, window: Option<usize>) -> Self {
        let window = window.filter(|&window| window < keys.len());
        Self { n_queries: queries.len(), n_keys: keys.len(), window }
    }

    /// A row per query.
    pub fn ne(self) -> [usize; 2] {
        [self.n_keys, self.n_queries]
    }

    /// 0 where a query sees a key, −∞ elsewhere.
    pub fn values(self) -> Vec<f32> {
        let Self { n_queries, n_keys, window } = self;
        let mut values = vec![f32::NEG_INFINITY; n_queries * n_keys];
        for (query, row) in values.chunks_exact_mut(n_keys).enumerate() {
            // The last key is the last query's own.
            let end = query + 1 + n_keys - n_queries;
            row[end.saturating_sub(window.unwrap_or(end))..end].fill(0.0);
        }
        values
    }
}

/// Keys and values that are kept from pass to pass.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'g> {
    /// K and V of the layer, each of shape (D · Hkv, tokens).
    pub tensors: &'g [Tensor; 2],
    /// The sequences of the pack.
    pub sequences: &'g [KeptSequence],
}

/// A sequence whose keys and values are kept.
#[derive(Debug)]
pub(crate) struct KeptSequence {
    /// The first row of each page of [`PAGE`] tokens.
    pub pages: Vec<usize>,
    /// All its tokens, those of the pack at the end.
    pub len: usize,
}

impl KeptSequence {
    /// The row of one of its tokens.
    pub fn row(&self, token: usize) -> usize {
        self.pages[token / PAGE] + token % PAGE
    }
}

impl Attention<'_> {
    /// The kernels trust their pointers, so the shapes of q, k and v are checked once, here.
    pub fn check(&self, qkv: [Node<'_>; 3]) {
        let AttentionShape { n_head, n_head_kv, head_dim, .. } = self.shape;
        let n_tokens = qkv[0].ne()[2];
        for (node, heads) in qkv.iter().zip([n_head, n_head_kv, n_head_kv]) {
            assert_eq!(node.ne(), [head_dim, heads, n_tokens, 1]);
            assert!(node.is_contiguous());
        }
        let mut end = 0;
        for segment in &self.segments {
            assert_eq!(segment.start, end, "segments follow each other");
            end += segment.len;
        }
        assert_eq!(end, n_tokens, "segments cover the pack");
    }

    /// Elements of q, and of the result.
    pub fn n_out(&self) -> usize {
        let n_tokens: usize = self.segments.iter().map(|s| s.len).sum();
        self.shape.head_dim * self.shape.n_head * n_tokens
    }

    /// Elements of k, and of v.
    pub fn n_kv(&self) -> usize {
        self.n_out() / self.shape.n_head * self.shape.n_head_kv
    }
}
