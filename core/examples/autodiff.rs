//! An engine with automatic differentiation: candle's tensors carry the objective, and candle's own
//! backward pass finds the gradient. A tiny model learns from one criticised response.
//!
//!     cargo run --release -p cutq-core --example autodiff

use std::error::Error;

use candle_core::{DType, Device, Result, Var};
use cutq_core::context::PerContext;
use cutq_core::log_space::GAP;
use cutq_core::objective::{Cut, Objective, TokenInputs};
use cutq_core::tensor::Tensor;

/// One value per response token, `(N,)`, as candle keeps it.
#[derive(Clone)]
struct PerToken(candle_core::Tensor);

impl Tensor for PerToken {
    type Error = candle_core::Error;

    fn add(&self, rhs: &Self) -> Result<Self> {
        self.0.add(&rhs.0).map(Self)
    }

    fn mul(&self, rhs: &Self) -> Result<Self> {
        self.0.mul(&rhs.0).map(Self)
    }

    fn affine(&self, scale: f64, shift: f64) -> Result<Self> {
        self.0.affine(scale, shift).map(Self)
    }

    fn exp(&self) -> Result<Self> {
        self.0.exp().map(Self)
    }

    fn log1mexp(&self) -> Result<Self> {
        // Evaluated at min(x, −GAP), with the slope of that point: finite at certainty.
        let excess = self.0.affine(1.0, GAP)?.relu()?.detach();
        (&self.0 - excess)?.exp()?.affine(-1.0, 1.0)?.log().map(Self)
    }

    fn greater(&self, rhs: &Self) -> Result<Self> {
        self.0.gt(&rhs.0)?.to_dtype(DType::F64).map(|mask| Self(mask.detach()))
    }

    fn detach(&self) -> Result<Self> {
        Ok(Self(self.0.detach()))
    }
}

const N_VOCAB: usize = 8;
const WIDTH: usize = 6;

/// `logits = (embedding[last] + mean embedding[prompt]) · head`
struct Toy {
    /// `(V, D)`
    embedding: Var,
    /// `(D, V)`
    head: Var,
}

impl Toy {
    fn new() -> Result<Self> {
        // Arbitrary and the same in every run.
        let values: Vec<f64> = (0..N_VOCAB * WIDTH).map(|i| (1.7 * i as f64).sin() / 2.0).collect();
        Ok(Self {
            embedding: Var::from_slice(&values, (N_VOCAB, WIDTH), &Device::Cpu)?,
            head: Var::from_slice(&values, (WIDTH, N_VOCAB), &Device::Cpu)?,
        })
    }

    /// `ln p(y_t | prompt, y_<t)` of every response token, `(N,)`.
    fn log_probs(&self, prompt: &[u32], response: &[u32]) -> Result<PerToken> {
        let ids = |ids: &[u32]| candle_core::Tensor::new(ids, &Device::Cpu);
        let before = [&prompt[prompt.len() - 1..], &response[..response.len() - 1]].concat();
        let prompt = self.embedding.index_select(&ids(prompt)?, 0)?.mean_keepdim(0)?;
        let x = self.embedding.index_select(&ids(&before)?, 0)?.broadcast_add(&prompt)?;
        let logits = x.matmul(&self.head)?;
        let targets = logits.gather(&ids(response)?.unsqueeze(1)?, 1)?.squeeze(1)?;
        (targets - logits.log_sum_exp(1)?).map(PerToken)
    }
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let (prompt, judged_prompt) = ([0, 1], [0, 2, 1]);
    let response = [3, 4, 5, 6];
    let (toy, cut) = (Toy::new()?, Cut::paper());
    let mut losses = Vec::new();
    for step in 1..=200 {
        let plain = toy.log_probs(&prompt, &response)?;
        let judged = toy.log_probs(&judged_prompt, &response)?;
        let log_probs = PerContext { plain: Some(&plain), judged: Some(&judged), contrast: None };
        let inputs = TokenInputs { is_judged: true, log_probs, is_eos: None, quoted: None };
        // The mean over tokens is the example's loss.
        let loss = cut.token_losses(&inputs)?.0.mean_all()?;
        let grads = loss.backward()?;
        for var in [&toy.embedding, &toy.head] {
            let grad = grads.get(var).expect("the loss depends on every parameter");
            var.set(&(var.as_tensor() - (grad * 0.2)?)?)?;
        }
        losses.push(loss.to_scalar::<f64>()?);
        if step == 1 || step % 20 == 0 {
            let in_u = cut.terms(&inputs)?.inappropriate.0.to_vec1::<f64>()?;
            println!("step {step:3}: loss {:.3}, U {in_u:?}", losses[step - 1]);
        }
    }
    assert!(losses[199] < 0.5 * losses[0], "the loss fell to less than half");
    Ok(())
}
