//! An engine without automatic differentiation: a bigram table whose gradient is written by hand,
//! trained by the `Trainer` on one good and one criticised answer.
//!
//!     cargo run --release -p cutq-core --example toy_engine

use std::convert::Infallible;
use std::error::Error;

use cutq_core::context::PerContext;
use cutq_core::group::Group;
use cutq_core::log_space::log_softmax;
use cutq_core::model::{Mode, Model, Parameter, Sequence};
use cutq_core::objective::Cut;
use cutq_core::optimizer::Optimizer;
use cutq_core::order::Batches;
use cutq_core::schedule::{LrSchedule, Schedule};
use cutq_core::trainer::{Trainer, TrainerOptions};

// The vocabulary. A bigram sees only the last token, so a whole prompt is one token here.
const QUESTION: u32 = 0;
const QUESTION_AND_JUDGMENT: u32 = 1;
const PARIS: u32 = 2;
const BERLIN: u32 = 3;
const EOS: u32 = 4;
const N_VOCAB: usize = 5;

/// `logits[next] = table[last][next]`
struct Bigram {
    /// `(V, V)`, a row for each last token.
    table: Vec<f64>,
    /// The same shape.
    grads: Vec<f64>,
    /// What the latest forward pass predicted: a target and the token before it.
    targets: Vec<(usize, usize)>,
}

impl Bigram {
    fn new() -> Self {
        let zeros = vec![0.0; N_VOCAB * N_VOCAB];
        Self { table: zeros.clone(), grads: zeros, targets: Vec::new() }
    }

    /// `ln p(next | last)` of every `next`.
    fn log_probs(&self, last: usize) -> Vec<f64> {
        let mut row = self.table[last * N_VOCAB..][..N_VOCAB].to_vec();
        log_softmax(&mut row);
        row
    }

    fn probability(&self, last: u32, next: u32) -> f64 {
        self.log_probs(last as usize)[next as usize].exp()
    }
}

impl Model for Bigram {
    type Float = f64;
    type Error = Infallible;

    fn forward(&mut self, sequences: &[Sequence<'_>], _mode: Mode) -> Result<Vec<f64>, Infallible> {
        self.targets.clear();
        for Sequence { prompt, response, .. } in sequences {
            // The prompt's last token predicts the response's first.
            let before = prompt.iter().rev().take(1).chain(response.iter());
            let targets = before.zip(response.iter());
            self.targets.extend(targets.map(|(last, next)| (*last as usize, *next as usize)));
        }
        Ok(self.targets.iter().map(|(last, next)| self.log_probs(*last)[*next]).collect())
    }

    fn backward(&mut self, dlog_probs: &[f64]) -> Result<(), Infallible> {
        for (&(last, next), weight) in self.targets.iter().zip(dlog_probs) {
            // d ln p(next) / d logits[v] = [v = next] − p(v)
            for (v, log_prob) in self.log_probs(last).into_iter().enumerate() {
                let is_next = f64::from(u8::from(v == next));
                self.grads[last * N_VOCAB + v] += weight * (is_next - log_prob.exp());
            }
        }
        Ok(())
    }

    fn visit_parameters(&mut self, visit: &mut dyn FnMut(Parameter<'_, f64>)) {
        let (values, grads) = (&mut self.table[..], &mut self.grads[..]);
        visit(Parameter { name: "table", values, grads, gated: false });
    }

    fn zero_grads(&mut self) {
        self.grads.fill(0.0);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // What is the capital of France?
    let answer = |index, word, is_judged: bool| Group {
        index,
        prompts: PerContext {
            plain: Some(vec![QUESTION]),
            judged: is_judged.then(|| vec![QUESTION_AND_JUDGMENT]),
            contrast: None,
        },
        response: vec![word, EOS],
        ends_with_eos: true,
        quoted: None,
    };
    let groups = [answer(0, PARIS, false), answer(1, BERLIN, true)];

    let steps = 100;
    let options = TrainerOptions {
        optimizer: Optimizer::default(),
        schedule: LrSchedule::new(Schedule::Cosine, 0.2, 0.1, steps)?,
        max_grad_norm: 1.0,
        micro_batch_tokens: 64,
        seed: 42,
    };
    let mut trainer = Trainer::new(Cut::paper(), options);
    let mut model = Bigram::new();
    let batches = Batches::new(groups.len(), 2, options.seed).expect("there are examples");

    println!("step   loss  in U  p(Paris)  p(Berlin)  p(Berlin | judgment)");
    while trainer.step_count() < steps {
        let batch = batches.batch(trainer.step_count());
        let batch: Vec<&Group> = batch.into_iter().map(|i| &groups[i]).collect();
        let report = trainer.step(&mut model, &batch)?;
        if report.step == 1 || report.step.is_multiple_of(10) {
            let [paris, berlin] = [PARIS, BERLIN].map(|word| model.probability(QUESTION, word));
            let judged = model.probability(QUESTION_AND_JUDGMENT, BERLIN);
            let (step, loss, in_u) = (report.step, report.loss, report.inappropriate);
            println!("{step:4} {loss:6.3} {in_u:5} {paris:9.3} {berlin:10.3} {judged:21.3}");
        }
    }

    // Berlin became more likely after the judgment than without it, so it was unlearned without.
    assert!(model.probability(QUESTION, PARIS) > 0.9);
    assert!(model.probability(QUESTION, BERLIN) < 0.1);
    assert!(model.probability(QUESTION_AND_JUDGMENT, BERLIN) > 0.9);
    Ok(())
}
