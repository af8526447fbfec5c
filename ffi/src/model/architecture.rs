//! The shape of a model.

use cutq_kernels::{AttentionShape, Nonlinearity};

use crate::ggml::rope::Rope;
use crate::model::family::Family;
use crate::model::projection::Projection;

/// The shape of a model and the choices of its family.
#[derive(Debug, Clone)]
pub struct Architecture {
    /// The family.
    pub family: Family,
    /// Transformer layers.
    pub n_layer: usize,
    /// Width of the residual.
    pub n_embd: usize,
    /// Width of the feed-forward network.
    pub n_ff: usize,
    /// Attention heads.
    pub n_head: usize,
    /// Heads of K and V.
    pub n_head_kv: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Tokens that the model was trained to hold.
    pub context_length: usize,
    /// Entries of the vocabulary.
    pub n_vocab: usize,
    /// Added to the mean square in RMS norms.
    pub rms_eps: f32,
    /// Scores are multiplied by this.
    pub attention_scale: f32,
    /// Embeddings are multiplied by this.
    pub embedding_scale: f32,
    /// What a layer adds to the residual is multiplied by this.
    pub residual_scale: f32,
    /// Logits are multiplied by this.
    pub logit_scale: f32,
    /// What the feed-forward network applies to its gate.
    pub nonlinearity: Nonlinearity,
    pub(crate) rope: Rope,
    /// Whether each layer rotates Q and K.
    pub(crate) rotated: Vec<bool>,
    pub(crate) window: Option<Window>,
    pub(crate) temperature: Option<Temperature>,
}

/// Sliding-window attention: some layers see `size` tokens only.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub size: usize,
    /// Which layers these are.
    pub local: Vec<bool>,
    /// Their rotary embedding.
    pub rope: Rope,
}

/// Queries grow with their position (Llama 4): by `1 + scale · ln(1 + ⌊position / n_ctx_orig⌋)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Temperature {
    pub scale: f32,
    pub n_ctx_orig: usize,
}

impl Temperature {
    /// What a query at this position is multiplied by.
    pub fn of(&self, position: i32) -> f32 {
        1.0 + self.scale * (1.0 + (position as usize / self.n_ctx_orig) as f32).ln()
    }
}

impl Architecture {
    /// The rotary embedding of layer `layer`; `None` if it does not rotate.
    pub fn rope(&self, layer: usize) -> Option<Rope> {
        let rope = self.local_window(layer).map_or(self.rope, |window| window.rope);
        self.rotated[layer].then_some(rope)
    }

    /// How many tokens, itself included, a token of layer `layer` sees; `None` for all before it.
    pub fn window(&self, layer: usize) -> Option<usize> {
        self.local_window(layer).map(|window| window.size)
    }

    fn local_window(&self, layer: usize) -> Option<&Window> {
        self.window.as_ref().filter(|window| window.local[layer])
    }

    /// The attention of layer `layer`.
    pub(crate) fn attention(&self, layer: usize) -> AttentionShape {
        AttentionShape {
            n_head: self.n_head,
            n_head_kv: self.n_head_kv,
            head_dim: self.head_dim,
            scale: self.attention_scale,
            window: self.window(layer),
        }
    }

    /// The projections of a layer.
    pub fn projections(&self) -> &'static [Projection] {
        self.family.traits().projections
    }

    /// Whether one matrix is both gate and up.
    pub(crate) fn gate_in_up(&self) -> bool {
        !self.projections().contains(&Projection::FfnGate)
    }

    /// The projections of a layer that hold `modules`: a family may have several in one matrix.
    pub fn targets(&self, modules: &[Projection]) -> Vec<Projection> {
        let mut targets: Vec<_> =
            modules.iter().flat_map(|module| module.among(self.projections())).collect();
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    /// The name of a projection in Hugging Face's models.
    pub(crate) fn peft_name(&self, projection: Projection) -> &'static str {
        match projection {
            Projection::FfnUp if self.gate_in_up() => "mlp.gate_up_proj",
            _ => projection.peft_name(),
        }
    }

    /// Input and output width of a projection.
    pub fn projection_shape(&self, projection: Projection) -> (usize, usize) {
        let (q, kv) = (self.n_head * self.head_dim, self.n_head_kv * self.head_dim);
        match projection {
            Projection::AttnQ => (self.n_embd, q),
            Projection::AttnK | Projection::AttnV => (self.n_embd, kv),
            Projection::AttnQkv => (self.n_embd, q + 2 * kv),
            Projection::AttnOutput => (q, self.n_embd),
            Projection::FfnUp if self.gate_in_up() => (self.n_embd, 2 * self.n_ff),
            Projection::FfnGate | Projection::FfnUp => (self.n_embd, self.n_ff),
            Projection::FfnDown => (self.n_ff, self.n_embd),
        }
    }

    /// Weights of the head per weight of the layers.
    pub fn head_share(&self) -> f64 {
        let size = |projection| {
            let (n_in, n_out) = self.projection_shape(projection);
            n_in * n_out
        };
        let layer: usize = self.projections().iter().copied().map(size).sum();
        (self.n_embd * self.n_vocab) as f64 / (layer * self.n_layer) as f64
    }
}
