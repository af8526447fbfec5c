//! Contrastive unlikelihood training.

use crate::context::{ContextKind, Contexts};
use crate::objective::{
    Objective, ObjectiveError, OptionError, TokenInputs, TokenTerms, non_negative, zeros_like,
};
use crate::tensor::Tensor;

/// What the judged probability is compared with, to find inappropriate tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Contrast {
    /// The plain context, as in the paper. The two prompts also differ in their header sentence, so
    /// the ratio measures that wording too.
    #[default]
    Plain,
    /// The judged template filled with praise: only the judgment differs. Costs a third,
    /// forward-only context.
    HeaderMatched,
}

/// Where U comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Spans {
    /// The tokens that the judgment makes more likely, as in the paper.
    #[default]
    Contrast,
    /// The tokens that the judge quoted; where it quoted none, U is empty.
    Quotes,
    /// The tokens that the judge quoted; where it quoted none, the contrast's.
    Both,
}

/// The settings of [`Cut`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct CutOptions {
    /// λ: a token is inappropriate if its judged probability exceeds λ times the contrast's. Above
    /// 0; the larger, the fewer and surer the tokens.
    pub threshold: f64,
    /// α ≥ 0: the weight of unlikelihood.
    pub weight_unlike: f64,
    /// γ ≥ 0: unlikelihood is weighted by `p(y_t|x,j)^γ`; 0 weighs all alike.
    pub focal_gamma: f64,
    /// At least 0: the weight of unlikelihood of tokens that are in U because they are quoted, in place
    /// of `α p(y_t|x,j)^γ`. The focal weight says how sure the contrast is; a quote is sure.
    pub weight_quoted: f64,
    /// A token is inappropriate only if `p(y_t|x,j)` is at least this; in `0..1`, 0 turns it off.
    pub min_probability: f64,
    /// Nats by which the log-ratio must exceed `ln λ`; at least 0.
    pub log_ratio_margin: f64,
    /// Never count the closing EOS as inappropriate: unlikelihood there teaches "do not stop".
    pub exclude_eos: bool,
    /// What the judged probability is compared with.
    pub contrast: Contrast,
    /// Where U comes from. The options above decide about the contrast's tokens only.
    pub spans: Spans,
    /// Halve a judged example's `L1 + L2`, so that a positive example weighs twice what the paper
    /// gives it.
    pub halve_judged: bool,
}

impl CutOptions {
    /// The paper's (v4): λ = 1.1, α = 0.5, γ = 1. It has no quotes; their weight is ours.
    pub const PAPER: Self = Self {
        threshold: 1.1,
        weight_unlike: 0.5,
        focal_gamma: 1.0,
        weight_quoted: 2.0,
        min_probability: 0.0,
        log_ratio_margin: 0.0,
        exclude_eos: false,
        contrast: Contrast::Plain,
        spans: Spans::Contrast,
        halve_judged: false,
    };

    /// The authors' published code, offline: λ = 1.2, α = 0.5, γ = 0, judged examples halved.
    pub const AUTHORS_CODE: Self =
        Self { threshold: 1.2, focal_gamma: 0.0, halve_judged: true, ..Self::PAPER };
}

impl Default for CutOptions {
    fn default() -> Self {
        Self::PAPER
    }
}

/// Contrastive unlikelihood training, see the [crate's front page](crate) for the formula.
///
/// U is decided in log space, `ln p(y_t|x,j) − ln p_contrast(y_t) > ln λ + margin`; U and the focal
/// weight `p(y_t|x,j)^γ` carry no gradient. With `l = ln p(y_t|x)`, an example's weights per token
/// are
///
/// | token | plain context | judged context |
/// |---|---|---|
/// | `t ∉ U` | `−1/N` | `−1/N` |
/// | `t ∈ U` | `+(α p_j^γ / N) · p/(1−p)` | `−1/N` |
///
/// With [`Spans::Quotes`] or [`Spans::Both`] a token that the judge quoted is in U whatever its
/// probabilities: a small model hardly reads its criticism, and the quote says what is meant. There
/// [`CutOptions::weight_quoted`] stands in place of `α p_j^γ`.
///
/// As `p → 1` the loss and the weight stop growing at [`crate::log_space::GAP`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "CutOptions", into = "CutOptions")
)]
pub struct Cut {
    options: CutOptions,
}

impl Cut {
    /// CUT with the given settings.
    ///
    /// # Errors
    /// If a setting is outside the range that [`CutOptions`] gives it.
    pub fn new(options: CutOptions) -> Result<Self, OptionError> {
        let CutOptions { threshold, min_probability, .. } = options;
        if !(threshold > 0.0 && threshold.is_finite()) {
            let range = "finite and above 0";
            return Err(OptionError { name: "threshold", value: threshold, range });
        }
        if !(0.0..1.0).contains(&min_probability) {
            let range = "at least 0 and below 1";
            return Err(OptionError { name: "min_probability", value: min_probability, range });
        }
        non_negative("weight_unlike", options.weight_unlike)?;
        non_negative("focal_gamma", options.focal_gamma)?;
        non_negative("weight_quoted", options.weight_quoted)?;
        non_negative("log_ratio_margin", options.log_ratio_margin)?;
        Ok(Self { options })
    }

    /// See [`CutOptions::PAPER`].
    pub fn paper() -> Self {
        Self { options: CutOptions::PAPER }
    }

    /// See [`CutOptions::AUTHORS_CODE`].
    pub fn authors_code() -> Self {
        Self { options: CutOptions::AUTHORS_CODE }
    }

    /// The settings.
    pub fn options(&self) -> &CutOptions {
        &self.options
    }

    /// The mask of U and the weight of each token there, given the contrast's mask.
    fn inappropriate<T: Tensor>(
        &self,
        inputs: &TokenInputs<'_, T>,
        raised: &T,
    ) -> Result<(T, T), ObjectiveError<T::Error>> {
        let options = &self.options;
        let mask = match (options.spans, inputs.quoted) {
            (Spans::Quotes | Spans::Both, Some(quoted)) => {
                let weight = zeros_like(raised)?.affine(1.0, options.weight_quoted)?;
                return Ok((quoted.detach()?, weight));
            }
            (Spans::Quotes, None) => zeros_like(raised)?,
            (Spans::Contrast, _) | (Spans::Both, None) => raised.clone(),
        };
        let judged = inputs.log_probs_in(ContextKind::Judged)?.detach()?;
        let focal = judged.affine(options.focal_gamma, 0.0)?.exp()?;
        Ok((mask, focal.affine(options.weight_unlike, 0.0)?))
    }

    /// The mask of the tokens that the judgment makes more likely.
    fn raised<T: Tensor>(
        &self,
        inputs: &TokenInputs<'_, T>,
    ) -> Result<T, ObjectiveError<T::Error>> {
        let judged = inputs.log_probs_in(ContextKind::Judged)?;
        let contrast = inputs.log_probs_in(match self.options.contrast {
            Contrast::Plain => ContextKind::Plain,
            Contrast::HeaderMatched => ContextKind::Contrast,
        })?;
        let log_ratio = libm::log(self.options.threshold) + self.options.log_ratio_margin;
        let mut mask = judged.greater(&contrast.affine(1.0, log_ratio)?)?;
        if self.options.min_probability > 0.0 {
            let floor = zeros_like(judged)?.affine(1.0, libm::log(self.options.min_probability))?;
            mask = mask.mul(&complement(&floor.greater(judged)?)?)?;
        }
        if let (true, Some(is_eos)) = (self.options.exclude_eos, inputs.is_eos) {
            mask = mask.mul(&complement(is_eos)?)?;
        }
        Ok(mask)
    }
}

impl TryFrom<CutOptions> for Cut {
    type Error = OptionError;

    fn try_from(options: CutOptions) -> Result<Self, OptionError> {
        Self::new(options)
    }
}

impl From<Cut> for CutOptions {
    fn from(cut: Cut) -> Self {
        cut.options
    }
}

impl Default for Cut {
    fn default() -> Self {
        Self::paper()
    }
}

/// `1 − mask`
fn complement<T: Tensor>(mask: &T) -> Result<T, T::Error> {
    mask.affine(-1.0, 1.0)
}

impl Objective for Cut {
    fn contexts(&self, is_judged: bool) -> Contexts {
        if is_judged {
            Contexts {
                contrast: self.options.contrast == Contrast::HeaderMatched,
                ..Contexts::BOTH
            }
        } else {
            Contexts::PLAIN
        }
    }

    fn terms<T: Tensor>(
        &self,
        inputs: &TokenInputs<'_, T>,
    ) -> Result<TokenTerms<T>, ObjectiveError<T::Error>> {
        let plain = inputs.log_probs_in(ContextKind::Plain)?;
        if !inputs.is_judged {
            return Ok(TokenTerms::likelihood(plain)?);
        }
        let judged = inputs.log_probs_in(ContextKind::Judged)?;
        let raised = self.raised(inputs)?;
        let (inappropriate, weight) = self.inappropriate(inputs, &raised)?;
        let learned = complement(&inappropriate)?.mul(plain)?;
        let unlearned = inappropriate.mul(&weight)?.mul(&plain.log1mexp()?)?;
        Ok(TokenTerms {
            l1: learned.add(&unlearned)?.affine(-1.0, 0.0)?,
            l2: judged.affine(-1.0, 0.0)?,
            inappropriate,
            raised,
        })
    }

    fn scale(&self, is_judged: bool) -> f64 {
        if is_judged && self.options.halve_judged { 0.5 } else { 1.0 }
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::example_loss::{ExampleLoss, LogProbs, Marks};

    fn logs(probabilities: &[f64]) -> Option<Vec<f64>> {
        Some(probabilities.iter().map(|p| libm::log(*p)).collect())
    }

    /// Three tokens of a judged response, `p_j / p` = 1.6, 0.5 and 1.04, the last one EOS.
    fn judged(options: CutOptions) -> ExampleLoss {
        quoted(options, None)
    }

    /// The same, with what the judge quoted.
    fn quoted(options: CutOptions, quoted: Option<&[bool]>) -> ExampleLoss {
        let log_probs = LogProbs {
            plain: logs(&[0.5, 0.4, 0.25]),
            judged: logs(&[0.8, 0.2, 0.26]),
            contrast: logs(&[0.79, 0.1, 0.27]),
        };
        let marks = Marks { quoted, ..JUDGED };
        ExampleLoss::new(&Cut::new(options).expect("valid"), &log_probs, marks)
            .expect("all contexts are given")
    }

    const JUDGED: Marks<'_> = Marks { is_judged: true, ends_with_eos: true, quoted: None };

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-12, "{found:?} is not {expected:?}");
        }
    }

    #[test]
    fn paper_by_hand() {
        let example = judged(CutOptions::PAPER);
        assert_eq!(example.inappropriate, [0]);
        // L1 = −(ln 0.4 + ln 0.25 + 0.5 · 0.8 · ln 0.5) / 3, L2 = −(ln 0.8 + ln 0.2 + ln 0.26) / 3
        close(&[example.l1, example.l2], &[0.859_947_988_406_007_8, 1.059_885_037_238_306_4]);
        close(&[example.loss], &[example.l1 + example.l2]);
        // In U: 0.5 · 0.8 / 3 · 0.5 / (1 − 0.5).
        close(&example.weights.plain, &[0.4 / 3.0, -1.0 / 3.0, -1.0 / 3.0]);
        close(&example.weights.judged, &[-1.0 / 3.0; 3]);
    }

    #[test]
    fn authors_code_halves_and_has_no_focal_weight() {
        let example = judged(CutOptions::AUTHORS_CODE);
        // L1 = −(ln 0.4 + ln 0.25 + 0.5 · ln 0.5) / 3
        close(&[example.l1], &[0.883_052_894_424_672_7]);
        close(&[example.loss], &[(example.l1 + example.l2) / 2.0]);
        close(&example.weights.plain, &[0.25 / 3.0, -0.5 / 3.0, -0.5 / 3.0]);
        close(&example.weights.judged, &[-0.5 / 3.0; 3]);
    }

    #[test]
    fn each_option_shapes_u() {
        let paper = CutOptions::PAPER;
        let u = |options| judged(options).inappropriate;
        let lenient = CutOptions { threshold: 1.01, ..paper };
        assert_eq!(u(lenient), [0, 2]);
        assert_eq!(u(CutOptions { exclude_eos: true, ..lenient }), [0]);
        assert_eq!(u(CutOptions { min_probability: 0.5, ..lenient }), [0]);
        assert_eq!(u(CutOptions { min_probability: 0.81, ..lenient }), vec![0_usize; 0]);
        // ln(1.6 / 1.01) = 0.460, ln(1.04 / 1.01) = 0.029
        assert_eq!(u(CutOptions { log_ratio_margin: 0.03, ..lenient }), [0]);
        assert_eq!(u(CutOptions { log_ratio_margin: 0.47, ..lenient }), vec![0_usize; 0]);
        // Against the praised probabilities the ratios are 1.013, 2 and 0.96.
        assert_eq!(u(CutOptions { contrast: Contrast::HeaderMatched, ..paper }), [1]);
    }

    #[test]
    fn quotes_take_the_place_of_the_contrast() {
        let quote = Some(&[false, true, false][..]);
        let none = Vec::<usize>::new();
        for (spans, with, without) in [
            (Spans::Contrast, vec![0], vec![0]),
            (Spans::Quotes, vec![1], none),
            (Spans::Both, vec![1], vec![0]),
        ] {
            let options = CutOptions { spans, min_probability: 0.5, ..CutOptions::PAPER };
            assert_eq!(quoted(options, quote).inappropriate, with);
            assert_eq!(judged(options).inappropriate, without);
            // What the contrast would choose is known in any case.
            assert_eq!(quoted(options, quote).raised, [0]);
        }
        // In U: 0.7 / 3 · 0.4 / (1 − 0.4), and without quotes the contrast's weight as ever.
        let options = CutOptions { weight_quoted: 0.7, ..CutOptions::PAPER };
        let plain = |spans, quote| quoted(CutOptions { spans, ..options }, quote).weights.plain;
        close(&plain(Spans::Quotes, quote), &[-1.0 / 3.0, 0.7 / 3.0 * 0.4 / 0.6, -1.0 / 3.0]);
        close(&plain(Spans::Both, None), &judged(CutOptions::PAPER).weights.plain);
    }

    #[test]
    fn the_probability_floor_includes_its_bound() {
        let log_probs =
            LogProbs { plain: Some(vec![-2.0]), judged: Some(vec![0.0]), contrast: None };
        let floor = |min_probability| {
            let cut = Cut::new(CutOptions { min_probability, ..CutOptions::PAPER })?;
            Ok::<_, OptionError>(ExampleLoss::new(&cut, &log_probs, JUDGED))
        };
        let example = floor(1.0 - 1e-16).expect("below 1").expect("complete");
        assert_eq!(example.inappropriate, [0]);
    }

    #[test]
    fn a_positive_example_is_plain_likelihood() {
        let log_probs = LogProbs { plain: logs(&[0.5, 0.25]), ..LogProbs::default() };
        for cut in [Cut::paper(), Cut::authors_code()] {
            let example =
                ExampleLoss::new(&cut, &log_probs, Marks::default()).expect("plain is given");
            close(&[example.l1, example.l2], &[0.0, 1.5 * core::f64::consts::LN_2]);
            close(&[example.loss], &[example.l2]);
            close(&example.weights.plain, &[-0.5, -0.5]);
            close(&example.weights.judged, &[0.0, 0.0]);
            assert!(example.inappropriate.is_empty());
        }
    }

    #[test]
    fn certainty_keeps_a_finite_nonzero_gradient() {
        let options = CutOptions { threshold: 0.5, ..CutOptions::PAPER };
        let cut = Cut::new(options).expect("valid");
        let log_probs =
            LogProbs { plain: Some(vec![0.0]), judged: Some(vec![0.0]), contrast: None };
        let example = ExampleLoss::new(&cut, &log_probs, JUDGED).expect("complete");
        assert_eq!(example.inappropriate, [0]);
        assert!(example.loss.is_finite() && example.loss > 8.0, "{}", example.loss);
        assert!(example.weights.plain[0].is_finite() && example.weights.plain[0] > 1e6);
    }

    #[test]
    fn options_out_of_range_are_refused_by_name() {
        let paper = CutOptions::PAPER;
        let refused = |options| Cut::new(options).expect_err("out of range").name;
        assert_eq!(refused(CutOptions { threshold: 0.0, ..paper }), "threshold");
        assert_eq!(refused(CutOptions { weight_unlike: -1.0, ..paper }), "weight_unlike");
        assert_eq!(refused(CutOptions { focal_gamma: f64::NAN, ..paper }), "focal_gamma");
        assert_eq!(refused(CutOptions { weight_quoted: -0.5, ..paper }), "weight_quoted");
        assert_eq!(refused(CutOptions { min_probability: 1.0, ..paper }), "min_probability");
        assert_eq!(refused(CutOptions { log_ratio_margin: -0.1, ..paper }), "log_ratio_margin");
    }
}
