//! How well the contrast finds what judges quoted.

use crate::context::Contexts;
use crate::example_loss::ExampleLoss;
use crate::group::Group;

/// Tokens of the responses in which a judge quoted something, whatever U is chosen by.
///
/// ```
/// use cutq_core::trainer::QuoteCounts;
///
/// let counts = QuoteCounts { tokens: 64, quoted: 8, raised: 16, hits: 6 };
/// assert_eq!((counts.precision(), counts.recall()), (Some(0.375), 0.75));
/// assert_eq!(counts.lift(), Some(3.0), "three times as often as by chance");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct QuoteCounts {
    /// All of them.
    pub tokens: usize,
    /// Those that the judge quoted; one at least.
    pub quoted: usize,
    /// Those that the judgment makes more likely, see [`ExampleLoss::raised`].
    pub raised: usize,
    /// Those that are both.
    pub hits: usize,
}

impl QuoteCounts {
    /// `hits / raised`: how much of what the contrast finds is quoted; `None` if it finds nothing.
    pub fn precision(&self) -> Option<f64> {
        (self.raised > 0).then(|| self.hits as f64 / self.raised as f64)
    }

    /// `hits / quoted`: how much of what is quoted the contrast finds.
    pub fn recall(&self) -> f64 {
        self.hits as f64 / self.quoted as f64
    }

    /// `quoted / tokens`: the precision of tokens chosen at random.
    pub fn base_rate(&self) -> f64 {
        self.quoted as f64 / self.tokens as f64
    }

    /// Precision over base rate: near 1, the model does not read its criticism.
    pub fn lift(&self) -> Option<f64> {
        self.precision().map(|precision| precision / self.base_rate())
    }

    /// Adds an example, if its judge quoted something and both contexts of the contrast are read.
    pub fn add(&mut self, group: &Group, contexts: Contexts, example: &ExampleLoss) {
        let Some(quoted) = group.quoted.as_ref().filter(|quoted| quoted.contains(&true)) else {
            return;
        };
        if !(contexts.plain && contexts.judged) {
            return;
        }
        self.tokens += quoted.len();
        self.quoted += quoted.iter().filter(|is_quoted| **is_quoted).count();
        self.raised += example.raised.len();
        self.hits += example.raised.iter().filter(|t| quoted[**t]).count();
    }
}
