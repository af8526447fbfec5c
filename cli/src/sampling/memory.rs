//! How many answers are written at the same time, and in how much memory.

use cutq_ffi::{Engine, Retention, SampleOptions, SampleRequest};

use crate::session::memory::{self, size};
use crate::usage::UsageError;

/// Answers at the same time, unless asked otherwise or memory is short: from about here on, more of
/// them are hardly faster.
const PARALLEL: usize = 32;

/// Tokens that a pass may have, for its memory.
const PASS: usize = 512;

/// Sets the engine up to answer `requests` within `budget` bytes or, unless asked, half of what is
/// available; what is left is used for the panels of its weights, which save unpacking them in every
/// pass.
///
/// # Errors
/// If not even one answer fits.
pub(super) fn plan(
    engine: &mut Engine,
    requests: &[SampleRequest],
    budget: Option<u64>,
    n_parallel: Option<usize>,
) -> Result<SampleOptions, UsageError> {
    let n_parallel = n_parallel.unwrap_or(PARALLEL).min(requests.len().max(1));
    let budget = budget.unwrap_or_else(|| memory::available().map_or(u64::MAX, |free| free / 2));
    let context = engine.architecture().context_length;
    let len = |request: &SampleRequest| (request.prompt.len() + request.max_tokens).min(context);
    let longest = requests.iter().map(len).max().unwrap_or(0);
    let pass = requests.iter().map(|request| request.prompt.len()).max().unwrap_or(0).max(PASS);
    let footprint = engine.footprint(pass, longest);
    let n_layer = engine.architecture().n_layer;
    let logits = 2 * 4 * (n_parallel * engine.architecture().n_vocab) as u64;
    let weights = footprint.weights.resident(Retention { weights: n_layer, ..Retention::NONE });
    let fixed = memory::program() + weights + footprint.activations + footprint.scratch + logits;
    let [one, all] = [longest, n_parallel * longest].map(|n_tokens| engine.cache_bytes(n_tokens));
    let left = budget.saturating_sub(fixed);
    if left < one {
        let (budget, needed) = (size(budget), size(fixed + one));
        return Err(UsageError::new(format!(
            "--memory {budget} is not enough to write one answer, which takes {needed}\nhint: fewer \
             tokens (-n) or fewer answers at a time (--n-parallel) need less"
        )));
    }
    let memory = all.min(left);
    let panels = footprint.weights.panels.unwrap_or(u64::MAX).max(1);
    let panels = usize::try_from((left - memory) / panels).unwrap_or(n_layer).min(n_layer);
    engine.retain(Retention { panels, weights: n_layer, ..Retention::NONE });
    Ok(SampleOptions { memory, n_parallel })
}
