//! A frozen matrix with a trainable low-rank addition.

use cutq_core::model::Parameter;
use rand_chacha::ChaCha8Rng;

use super::matrix::{add_scaled, add_tn, nn, nt};
use super::random;

/// `y = x Wᵀ + scaling · (mask ∘ x) Aᵀ Bᵀ`
#[derive(Clone, Debug)]
pub(super) struct Linear {
    n_in: usize,
    n_out: usize,
    r: usize,
    scaling: f64,
    /// `(n_out, n_in)`
    weight: Vec<f64>,
    /// `(r, n_in)`
    lora_a: Trainable,
    /// `(n_out, r)`
    lora_b: Trainable,
}

#[derive(Clone, Debug)]
struct Trainable {
    name: String,
    values: Vec<f64>,
    grads: Vec<f64>,
}

impl Trainable {
    fn is_zero(&self) -> bool {
        self.values.iter().all(|x| *x == 0.0)
    }

    fn parameter(&mut self, gated: bool) -> Parameter<'_, f64> {
        let Self { name, values, grads } = self;
        Parameter { name, values, grads, gated }
    }
}

/// What the backward pass needs of the forward pass.
pub(super) struct Saved {
    /// 0 or `1 / (1 − dropout)`, `(T, n_in)`.
    mask: Vec<f64>,
    /// `mask ∘ x`
    dropped: Vec<f64>,
    /// `dropped · Aᵀ`, `(T, r)`
    low: Vec<f64>,
}

impl Linear {
    pub(super) fn new(name: &str, n_in: usize, n_out: usize, rng: &mut ChaCha8Rng) -> Self {
        let r = 2;
        let scale = (n_in as f64).sqrt().recip();
        let mut trainable = |suffix: &str, n: usize| {
            let values = random(n, scale, rng);
            Trainable { name: format!("{name}.lora_{suffix}"), values, grads: vec![0.0; n] }
        };
        let (lora_a, lora_b) = (trainable("a", r * n_in), trainable("b", n_out * r));
        let weight = random(n_out * n_in, 1.5 * scale, rng);
        Self { n_in, n_out, r, scaling: 0.7, weight, lora_a, lora_b }
    }

    /// As training starts: `B = 0`, so that the addition is nothing.
    pub(super) fn reset(&mut self) {
        self.lora_b.values.fill(0.0);
    }

    pub(super) fn forward(&self, x: &[f64], dropout: &mut Dropout) -> (Vec<f64>, Saved) {
        let mask: Vec<f64> = x.iter().map(|_| dropout.draw()).collect();
        let dropped: Vec<f64> = x.iter().zip(&mask).map(|(x, m)| x * m).collect();
        let low = nt(&dropped, &self.lora_a.values, self.n_in);
        let mut y = nt(x, &self.weight, self.n_in);
        add_scaled(&mut y, self.scaling, &nt(&low, &self.lora_b.values, self.r));
        (y, Saved { mask, dropped, low })
    }

    /// Adds to the gradients of `A` and `B`; returns `d loss / dx`.
    pub(super) fn backward(&mut self, dy: &[f64], saved: &Saved) -> Vec<f64> {
        let Self { n_in, n_out, r, scaling, .. } = *self;
        let dlow = nn(dy, &self.lora_b.values, n_out, r);
        add_tn(&mut self.lora_b.grads, scaling, dy, &saved.low, n_out, r);
        add_tn(&mut self.lora_a.grads, scaling, &dlow, &saved.dropped, r, n_in);
        let mut dx = nn(dy, &self.weight, n_out, n_in);
        let ddropped = nn(&dlow, &self.lora_a.values, r, n_in);
        for ((dx, d), m) in dx.iter_mut().zip(ddropped).zip(&saved.mask) {
            *dx += scaling * d * m;
        }
        dx
    }

    pub(super) fn visit(&mut self, visit: &mut dyn FnMut(Parameter<'_, f64>)) {
        let (a_gated, b_gated) = (self.lora_b.is_zero(), self.lora_a.is_zero());
        visit(self.lora_a.parameter(a_gated));
        visit(self.lora_b.parameter(b_gated));
    }
}

/// Draws the masks of one forward pass, in the order of its operations.
pub(super) struct Dropout {
    /// The share dropped, and the generator; `None` keeps everything.
    pub(super) random: Option<(f64, ChaCha8Rng)>,
}

impl Dropout {
    fn draw(&mut self) -> f64 {
        match &mut self.random {
            None => 1.0,
            Some((rate, rng)) => {
                let keep = super::uniform(rng) >= *rate;
                if keep { 1.0 / (1.0 - *rate) } else { 0.0 }
            }
        }
    }
}
