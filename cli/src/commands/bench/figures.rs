//! What is measured.

use serde::{Deserialize, Serialize};

use super::memory::Peak;
use super::operations::Operations;
use super::sample::{Sample, median, median_of};
use crate::flags::PrecisionName;
use crate::session::PlanFigures;

/// The figures of one model; medians over the repetitions.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figures {
    pub model: String,
    /// The size of its file.
    pub model_bytes: u64,
    pub n_params: u64,
    /// Tokens of a sequence.
    pub tokens: usize,
    /// Sequences per step.
    pub batch: usize,
    pub device: String,
    /// Of the CPU's kernels; none on other devices.
    pub simd: Option<String>,
    pub threads: usize,
    pub precision: PrecisionName,
    pub target_modules: Vec<String>,
    pub read_tok_per_s: f64,
    pub train_tok_per_s: f64,
    /// Of one stream of tokens; none if it was not asked for.
    pub generate_tok_per_s: Option<f64>,
    /// Prompts that are answered at the same time.
    pub n_parallel: usize,
    /// Of all of them, 128 tokens read and as many drawn each; none if it was not asked for.
    pub sample_tok_per_s: Option<f64>,
    /// Of the products with frozen weights, over all the time of a pass.
    pub read_gops: f64,
    pub train_gops: f64,
    /// Of each repetition.
    pub read_seconds: Vec<f64>,
    pub train_seconds: Vec<f64>,
    /// Of a training step.
    pub phases: Vec<Phase>,
    pub loss_first: f64,
    pub loss_last: f64,
    /// What was planned.
    pub plan: PlanFigures,
    /// Mapped files included; none where the system does not say.
    pub peak_rss_bytes: Option<u64>,
    /// Without mapped files.
    pub peak_anon_bytes: Option<u64>,
    /// Mapped files only. Their peak and the one before may be at different times.
    pub peak_file_bytes: Option<u64>,
    /// What was allocated of a device's memory; none on the CPU.
    pub peak_device_bytes: Option<u64>,
}

/// A part of a training step.
#[derive(Debug, Serialize, Deserialize)]
pub struct Phase {
    pub name: String,
    pub ms: f64,
    /// Of the step.
    pub share: f64,
    /// Of the products with frozen weights, where there are any; see [`Operations`].
    pub gops: Option<f64>,
}

/// The phases of training steps.
pub fn phases(samples: &[Sample], operations: &Operations) -> Vec<Phase> {
    let step = median(samples, |s| s.seconds);
    let phase = |name: &str, seconds: f64, operations: Option<f64>| Phase {
        name: name.to_owned(),
        ms: seconds * 1e3,
        share: seconds / step,
        gops: operations.map(|n| n / seconds / 1e9),
    };
    let Operations { forward, head, backward } = *operations;
    vec![
        phase("forward", median_of(samples, |t| t.forward), Some(forward)),
        phase("head", median_of(samples, |t| t.head), Some(2.0 * head)),
        phase("backward", median_of(samples, |t| t.backward), Some(backward)),
        phase("optimizer", median(samples, Sample::rest), None),
    ]
}

impl Figures {
    /// Adds what the system says about memory.
    pub fn with_peak(self, peak: Peak) -> Self {
        let Peak { rss, anon, file } = peak;
        Self { peak_rss_bytes: rss, peak_anon_bytes: anon, peak_file_bytes: file, ..self }
    }
}
