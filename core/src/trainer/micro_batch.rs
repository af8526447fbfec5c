//! Micro-batches: several examples, each in its contexts, in one forward pass.

use alloc::vec::Vec;

use crate::example_loss::{ExampleLoss, LogProbs};
use crate::group::Group;
use crate::model::{Mode, Model};
use crate::objective::Objective;
use crate::trainer::error::{Quantity, TrainError};

/// One example as a model read it and as an objective judges it.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluatedExample {
    /// The example's index in the data.
    pub index: usize,
    /// Log-probabilities in the contexts that the objective asked for.
    pub log_probs: LogProbs,
    /// What the objective makes of them.
    pub loss: ExampleLoss,
}

/// Splits examples into micro-batches: runs of neighbours that share a forward pass of at most
/// `max_tokens` tokens, prompts and every context of `objective` included.
///
/// An example's contexts stay together, so an example longer than that stands alone.
pub fn micro_batches<'a, 'g, O: Objective>(
    objective: &O,
    groups: &'a [&'g Group],
    max_tokens: usize,
) -> Vec<&'a [&'g Group]> {
    let n_tokens = |group: &Group| group.n_tokens(objective.contexts(group.is_judged()));
    let mut micro_batches = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (end, group) in groups.iter().enumerate() {
        let more = n_tokens(group);
        if end > start && tokens + more > max_tokens {
            micro_batches.push(&groups[start..end]);
            (start, tokens) = (end, 0);
        }
        tokens += more;
    }
    if start < groups.len() {
        micro_batches.push(&groups[start..]);
    }
    micro_batches
}

/// Runs `groups` forward in one pass, each in the contexts that `objective` asks for, and evaluates
/// it on each; one result per group, in their order.
///
/// For the means of many groups, in as many passes as they need, see
/// [`Trainer::evaluate`](crate::trainer::Trainer::evaluate).
///
/// # Errors
/// If a group lacks what the objective needs, the model fails, or a value is not finite.
pub fn evaluate_examples<O: Objective, M: Model>(
    objective: &O,
    model: &mut M,
    groups: &[&Group],
    mode: Mode,
) -> Result<Vec<EvaluatedExample>, TrainError<M::Error>> {
    let mut sequences = Vec::new();
    for group in groups {
        sequences.extend(group.sequences(objective.contexts(group.is_judged()))?);
    }
    let flat = model.forward(&sequences, mode).map_err(TrainError::Model)?;
    let expected = sequences.iter().map(|sequence| sequence.response.len()).sum();
    if flat.len() != expected {
        return Err(TrainError::LogProbCount { expected, found: flat.len() });
    }
    let mut rest = flat.as_slice();
    groups.iter().map(|group| interpret(objective, group, &mut rest)).collect()
}

/// Takes one group's log-probabilities off the front of `flat` and evaluates the objective on them.
fn interpret<O: Objective, E>(
    objective: &O,
    group: &Group,
    flat: &mut &[f64],
) -> Result<EvaluatedExample, TrainError<E>> {
    let example = group.index;
    let mut log_probs = LogProbs::default();
    for context in objective.contexts(group.is_judged()).kinds() {
        let (own, rest) = flat.split_at(group.response.len());
        *flat = rest;
        if let Some(token) = own.iter().position(|l| !l.is_finite()) {
            let quantity = Quantity::LogProb { context, token };
            return Err(TrainError::NonFinite { example, quantity, value: own[token] });
        }
        *log_probs.get_mut(context) = Some(own.to_vec());
    }
    let loss = ExampleLoss::new(objective, &log_probs, group.marks())
        .map_err(|error| TrainError::Loss { example, error })?;
    let weights = loss.weights.iter().flat_map(|(_, weights)| weights);
    if let Some(value) = weights.chain([&loss.loss]).copied().find(|x| !x.is_finite()) {
        return Err(TrainError::NonFinite { example, quantity: Quantity::Loss, value });
    }
    Ok(EvaluatedExample { index: example, log_probs, loss })
}

/// The weights of a micro-batch, flat in the order of its sequences, of a batch of `batch_len`
/// examples.
pub(super) fn dlog_probs<O: Objective>(
    objective: &O,
    groups: &[&Group],
    evaluated: &[EvaluatedExample],
    batch_len: usize,
) -> Vec<f64> {
    let mut flat = Vec::new();
    for (group, example) in groups.iter().zip(evaluated) {
        for context in objective.contexts(group.is_judged()).kinds() {
            let weights = example.loss.weights.get(context);
            flat.extend(weights.iter().map(|w| w / batch_len as f64));
        }
    }
    flat
}
