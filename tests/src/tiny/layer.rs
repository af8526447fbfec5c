//! One layer: attention and SwiGLU, each after a norm and added to its input.

use cutq_core::model::Parameter;
use rand_chacha::ChaCha8Rng;

use super::attention::{self, HEAD_DIM, HEADS, KV_HEADS, rope};
use super::linear::{Dropout, Linear, Saved};
use super::matrix::sum;
use super::norm::Norm;
use super::{D, FFN};

#[derive(Clone, Debug)]
pub(super) struct Layer {
    attn_norm: Norm,
    ffn_norm: Norm,
    /// q, k, v, output, gate, up, down
    linears: [Linear; 7],
}

const Q: usize = 0;
const K: usize = 1;
const V: usize = 2;
const OUTPUT: usize = 3;
const GATE: usize = 4;
const UP: usize = 5;
const DOWN: usize = 6;

/// What the backward pass needs of the forward pass.
pub(super) struct Tape {
    x: Vec<f64>,
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
    probs: Vec<Vec<f64>>,
    middle: Vec<f64>,
    gate: Vec<f64>,
    up: Vec<f64>,
    saved: [Saved; 7],
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Layer {
    pub(super) fn new(index: usize, rng: &mut ChaCha8Rng) -> Self {
        let (q, kv) = (HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
        let mut linear = |name: &str, n_in, n_out| {
            Linear::new(&format!("blk.{index}.{name}.weight"), n_in, n_out, rng)
        };
        let linears = [
            linear("attn_q", D, q),
            linear("attn_k", D, kv),
            linear("attn_v", D, kv),
            linear("attn_output", q, D),
            linear("ffn_gate", D, FFN),
            linear("ffn_up", D, FFN),
            linear("ffn_down", FFN, D),
        ];
        Self { attn_norm: Norm::new(rng), ffn_norm: Norm::new(rng), linears }
    }

    pub(super) fn forward(&self, x: Vec<f64>, dropout: &mut Dropout) -> (Vec<f64>, Tape) {
        let normed = self.attn_norm.forward(&x);
        let (mut q, saved_q) = self.linears[Q].forward(&normed, dropout);
        let (mut k, saved_k) = self.linears[K].forward(&normed, dropout);
        let (v, saved_v) = self.linears[V].forward(&normed, dropout);
        rope(&mut q, HEADS, 1.0);
        rope(&mut k, KV_HEADS, 1.0);
        let (mixed, probs) = attention::forward(&q, &k, &v);
        let (attended, saved_output) = self.linears[OUTPUT].forward(&mixed, dropout);
        let middle = sum(&x, &attended);
        let normed = self.ffn_norm.forward(&middle);
        let (gate, saved_gate) = self.linears[GATE].forward(&normed, dropout);
        let (up, saved_up) = self.linears[UP].forward(&normed, dropout);
        let hidden: Vec<f64> = gate.iter().zip(&up).map(|(g, u)| g * sigmoid(*g) * u).collect();
        let (down, saved_down) = self.linears[DOWN].forward(&hidden, dropout);
        let out = sum(&middle, &down);
        let saved = [saved_q, saved_k, saved_v, saved_output, saved_gate, saved_up, saved_down];
        (out, Tape { x, q, k, v, probs, middle, gate, up, saved })
    }

    /// Adds to the adapters' gradients; returns `d loss / dx`.
    pub(super) fn backward(&mut self, dout: &[f64], tape: &Tape) -> Vec<f64> {
        let dmiddle = self.backward_ffn(dout, tape);
        let dmixed = self.linears[OUTPUT].backward(&dmiddle, &tape.saved[OUTPUT]);
        let (mut dq, mut dk, dv) =
            attention::backward(&dmixed, &tape.q, &tape.k, &tape.v, &tape.probs);
        rope(&mut dq, HEADS, -1.0);
        rope(&mut dk, KV_HEADS, -1.0);
        let mut dnormed = self.linears[Q].backward(&dq, &tape.saved[Q]);
        dnormed = sum(&dnormed, &self.linears[K].backward(&dk, &tape.saved[K]));
        dnormed = sum(&dnormed, &self.linears[V].backward(&dv, &tape.saved[V]));
        sum(&dmiddle, &self.attn_norm.backward(&dnormed, &tape.x))
    }

    fn backward_ffn(&mut self, dout: &[f64], tape: &Tape) -> Vec<f64> {
        let dhidden = self.linears[DOWN].backward(dout, &tape.saved[DOWN]);
        let (mut dgate, mut dup) = (Vec::new(), Vec::new());
        for ((d, g), u) in dhidden.iter().zip(&tape.gate).zip(&tape.up) {
            let s = sigmoid(*g);
            dgate.push(d * u * s * (1.0 + g * (1.0 - s)));
            dup.push(d * g * s);
        }
        let dnormed = self.linears[GATE].backward(&dgate, &tape.saved[GATE]);
        let dnormed = sum(&dnormed, &self.linears[UP].backward(&dup, &tape.saved[UP]));
        sum(dout, &self.ffn_norm.backward(&dnormed, &tape.middle))
    }

    pub(super) fn linears(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.linears.iter_mut()
    }

    pub(super) fn visit(&mut self, visit: &mut dyn FnMut(Parameter<'_, f64>)) {
        for linear in self.linears() {
            linear.visit(visit);
        }
    }
}
