//! How many operations the products with the model's own weights take.

use cutq_ffi::{Architecture, Projection};

/// Multiplications and additions of one pass over a batch, by phase.
///
/// | phase    | operations                                                                   |
/// |----------|------------------------------------------------------------------------------|
/// | forward  | `2 · tokens · P`, P the elements of the layers' matrices                     |
/// | head     | `2 · targets · n_embd · n_vocab`; in training twice, for the gradient as well |
/// | backward | as forward, without the matrices that have no adapter before them            |
///
/// What an engine computes a second time to save memory does not count: avoiding it shows as speed.
/// Nor do attention, LoRA and norms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Operations {
    /// The layers.
    pub forward: f64,
    /// The head in one direction.
    pub head: f64,
    /// The gradients that pass through the layers.
    pub backward: f64,
}

impl Operations {
    /// Of a batch of `tokens` read tokens and `targets` logits, with adapters on `adapted` in every
    /// layer.
    pub fn new(
        shape: &Architecture,
        adapted: &[Projection],
        tokens: usize,
        targets: usize,
    ) -> Self {
        let elements = |projection: &Projection| {
            let (n_in, n_out) = shape.projection_shape(*projection);
            (n_in * n_out) as f64
        };
        let all = shape.projections().iter();
        let layer: f64 = all.clone().map(elements).sum();
        let after = all.filter(|p| adapted.iter().any(|a| stage(*a) < stage(**p)));
        // Before the first layer there is no adapter.
        let backward = (shape.n_layer - 1) as f64 * layer + after.map(elements).sum::<f64>();
        let head = (shape.n_embd * shape.n_vocab) as f64;
        let [tokens, targets] = [tokens, targets].map(|n| 2.0 * n as f64);
        Self {
            forward: tokens * shape.n_layer as f64 * layer,
            head: targets * head,
            backward: tokens * backward,
        }
    }
}

/// Projections of a layer run in this order; those of one stage do not see each other's output.
fn stage(projection: Projection) -> usize {
    match projection {
        Projection::AttnQ | Projection::AttnK | Projection::AttnV | Projection::AttnQkv => 0,
        Projection::AttnOutput => 1,
        Projection::FfnGate | Projection::FfnUp => 2,
        Projection::FfnDown => 3,
    }
}
