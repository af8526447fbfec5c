//! A complete language model small enough to check by finite differences.
//!
//! A LLaMA in plain loops over f64: root-mean-square norms, rotary positions, grouped-query causal
//! attention, SwiGLU, a head tied to the embedding, LoRA with dropout on all seven projections of
//! each of its two layers. Sequences are run one after another.

mod attention;
mod layer;
mod linear;
mod matrix;
mod norm;

use std::convert::Infallible;

use cutq_core::log_space::log_softmax;
use cutq_core::model::{Mode, Model, Parameter, Sequence};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use layer::{Layer, Tape};
use linear::Dropout;
use matrix::{add_scaled, nn, nt};
use norm::Norm;

/// Width of the residual.
const D: usize = 8;
/// Width of the feed-forward layer.
const FFN: usize = 12;
/// Tokens in the vocabulary.
pub const N_VOCAB: usize = 13;

/// A number in `0..1`.
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// `n` numbers in `-scale..scale`.
fn random(n: usize, scale: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..n).map(|_| scale * (2.0 * uniform(rng) - 1.0)).collect()
}

/// The model, its adapter and the latest forward pass.
#[derive(Debug)]
pub struct Tiny {
    /// `(N_VOCAB, D)`
    embedding: Vec<f64>,
    layers: Vec<Layer>,
    norm: Norm,
    dropout: f64,
    tapes: Vec<SequenceTape>,
}

/// What the backward pass needs of one sequence.
struct SequenceTape {
    layers: Vec<Tape>,
    /// The last layer's output, `(T, D)`.
    x: Vec<f64>,
    prompt_len: usize,
    response: Vec<u32>,
    /// Log-softmax at the positions that predict the response, `(N, N_VOCAB)`.
    log_probs: Vec<f64>,
}

impl std::fmt::Debug for SequenceTape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SequenceTape").field("response", &self.response).finish_non_exhaustive()
    }
}

impl Tiny {
    /// Random weights and a random adapter, so that every gradient matters.
    pub fn new(seed: u64, dropout: f64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let embedding = random(N_VOCAB * D, 1.0, &mut rng);
        let layers = (0..2).map(|index| Layer::new(index, &mut rng)).collect();
        Self { embedding, layers, norm: Norm::new(&mut rng), dropout, tapes: Vec::new() }
    }

    /// The same weights with the adapter as training starts: every `lora_b` zero.
    pub fn untrained(seed: u64, dropout: f64) -> Self {
        let mut model = Self::new(seed, dropout);
        model.layers.iter_mut().flat_map(Layer::linears).for_each(linear::Linear::reset);
        model
    }

    /// All parameters' values, flat in visiting order.
    pub fn values(&mut self) -> Vec<f64> {
        let mut all = Vec::new();
        self.visit_parameters(&mut |p| all.extend_from_slice(p.values));
        all
    }

    /// Sets all parameters, in the order of [`Tiny::values`].
    ///
    /// # Panics
    /// If there are too few values.
    pub fn set_values(&mut self, values: &[f64]) {
        let mut rest = values;
        self.visit_parameters(&mut |p| {
            let (own, others) = rest.split_at(p.values.len());
            p.values.copy_from_slice(own);
            rest = others;
        });
    }

    /// All gradients by parameter, in visiting order.
    pub fn grads(&mut self) -> Vec<(String, Vec<f64>)> {
        let mut all = Vec::new();
        self.visit_parameters(&mut |p| all.push((p.name.to_owned(), p.grads.to_vec())));
        all
    }

    fn forward_sequence(&self, sequence: &Sequence<'_>, dropout: &mut Dropout) -> SequenceTape {
        let tokens = [sequence.prompt, sequence.response].concat();
        let embed = |token: &u32| &self.embedding[*token as usize * D..][..D];
        // The last token predicts nothing that is scored.
        let mut x: Vec<f64> = tokens[..tokens.len() - 1].iter().flat_map(embed).copied().collect();
        let mut layers = Vec::new();
        for layer in &self.layers {
            let (out, tape) = layer.forward(x, dropout);
            layers.push(tape);
            x = out;
        }
        let prompt_len = sequence.prompt.len();
        let h = self.norm.forward(&x[(prompt_len - 1) * D..]);
        let mut log_probs = nt(&h, &self.embedding, D);
        log_probs.chunks_mut(N_VOCAB).for_each(log_softmax);
        SequenceTape { layers, x, prompt_len, response: sequence.response.to_vec(), log_probs }
    }

    fn backward_sequence(&mut self, tape: &SequenceTape, dlog_probs: &[f64]) {
        let mut dlogits = vec![0.0; tape.log_probs.len()];
        for (t, weight) in dlog_probs.iter().enumerate() {
            let row = t * N_VOCAB..(t + 1) * N_VOCAB;
            let softmax: Vec<f64> = tape.log_probs[row.clone()].iter().map(|l| l.exp()).collect();
            add_scaled(&mut dlogits[row.clone()], -weight, &softmax);
            dlogits[row.start + tape.response[t] as usize] += weight;
        }
        let dh = nn(&dlogits, &self.embedding, N_VOCAB, D);
        let first = (tape.prompt_len - 1) * D;
        let mut dx = vec![0.0; first];
        dx.extend(self.norm.backward(&dh, &tape.x[first..]));
        for (layer, tape) in self.layers.iter_mut().zip(&tape.layers).rev() {
            dx = layer.backward(&dx, tape);
        }
    }
}

impl Model for Tiny {
    type Float = f64;
    type Error = Infallible;

    fn forward(&mut self, sequences: &[Sequence<'_>], mode: Mode) -> Result<Vec<f64>, Infallible> {
        let random = match mode {
            Mode::Train { seed } if self.dropout > 0.0 => {
                Some((self.dropout, ChaCha8Rng::seed_from_u64(seed)))
            }
            _ => None,
        };
        let mut dropout = Dropout { random };
        self.tapes = sequences.iter().map(|s| self.forward_sequence(s, &mut dropout)).collect();
        let mut flat = Vec::new();
        for tape in &self.tapes {
            let rows = tape.log_probs.chunks(N_VOCAB).zip(&tape.response);
            flat.extend(rows.map(|(row, token)| row[*token as usize]));
        }
        Ok(flat)
    }

    fn backward(&mut self, dlog_probs: &[f64]) -> Result<(), Infallible> {
        let mut rest = dlog_probs;
        for tape in std::mem::take(&mut self.tapes) {
            let (own, others) = rest.split_at(tape.response.len());
            self.backward_sequence(&tape, own);
            rest = others;
        }
        Ok(())
    }

    fn visit_parameters(&mut self, visit: &mut dyn FnMut(Parameter<'_, f64>)) {
        for layer in &mut self.layers {
            layer.visit(visit);
        }
    }

    fn zero_grads(&mut self) {
        self.visit_parameters(&mut |p| p.grads.fill(0.0));
    }
}
