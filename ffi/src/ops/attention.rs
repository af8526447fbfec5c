//! Causal grouped-query attention over packed sequences.

use cutq_kernels::{AttentionShape, PAGE, Segment};

use crate::ggml::node::Node;
use crate::ggml::tensor::Tensor;

/// The attention of one layer.
#[derive(Clone)]
pub(crate) struct Attention {
    pub shape: AttentionShape,
    /// The sequences of the pack.
    pub segments: Vec<Segment>,
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

impl Attention {
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
