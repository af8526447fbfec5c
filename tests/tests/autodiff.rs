//! The same objectives on an engine that differentiates by itself: candle's backward pass against
//! the analytic weights.
#![allow(clippy::unwrap_used, missing_docs)]

use candle_core::{DType, Device, Var};
use cutq_core::context::PerContext;
use cutq_core::example_loss::{ExampleLoss, LogProbs, Marks};
use cutq_core::log_space::GAP;
use cutq_core::objective::{
    AnyObjective, Contrast, Cut, CutOptions, Hindsight, Mle, Objective, Spans, TokenInputs,
    Unlikelihood,
};
use cutq_core::tensor::Tensor;
use cutq_tests::tolerance::AUTODIFF;

/// A candle tensor of one f64 per token.
#[derive(Clone)]
struct Auto(candle_core::Tensor);

impl Tensor for Auto {
    type Error = candle_core::Error;

    fn add(&self, rhs: &Self) -> candle_core::Result<Self> {
        self.0.add(&rhs.0).map(Self)
    }

    fn mul(&self, rhs: &Self) -> candle_core::Result<Self> {
        self.0.mul(&rhs.0).map(Self)
    }

    fn affine(&self, scale: f64, shift: f64) -> candle_core::Result<Self> {
        self.0.affine(scale, shift).map(Self)
    }

    fn exp(&self) -> candle_core::Result<Self> {
        self.0.exp().map(Self)
    }

    fn log1mexp(&self) -> candle_core::Result<Self> {
        let excess = self.0.affine(1.0, GAP)?.relu()?.detach();
        (&self.0 - excess)?.exp()?.affine(-1.0, 1.0)?.log().map(Self)
    }

    fn greater(&self, rhs: &Self) -> candle_core::Result<Self> {
        self.0.gt(&rhs.0)?.to_dtype(DType::F64).map(|mask| Self(mask.detach()))
    }

    fn detach(&self) -> candle_core::Result<Self> {
        Ok(Self(self.0.detach()))
    }
}

/// Log-probabilities from certain to hopeless, every pair of them once.
fn log_probs() -> LogProbs {
    let extremes = [-50.0, -12.0, -3.0, -0.7, -0.02, -1e-5, -6e-8, -1e-9, 0.0];
    let pairs = extremes.iter().flat_map(|plain| extremes.map(|judged| (*plain, judged)));
    let (plain, judged): (Vec<f64>, Vec<f64>) = pairs.unzip();
    let contrast = plain.iter().rev().map(|l| l - 0.3).collect();
    LogProbs { plain: Some(plain), judged: Some(judged), contrast: Some(contrast) }
}

/// Loss and gradients by candle.
fn automatic(
    objective: &AnyObjective,
    log_probs: &LogProbs,
    marks: Marks<'_>,
) -> candle_core::Result<(f64, [Vec<f64>; 2])> {
    let var = |values: &Option<Vec<f64>>| {
        Var::from_slice(values.as_ref().unwrap(), values.as_ref().unwrap().len(), &Device::Cpu)
    };
    let (plain, judged) = (var(&log_probs.plain)?, var(&log_probs.judged)?);
    let [plain_in, judged_in] = [&plain, &judged].map(|v| Auto(v.as_tensor().clone()));
    let contrast = Auto(var(&log_probs.contrast)?.as_tensor().detach());
    let n = plain.dim(0)?;
    let mut is_eos = vec![0.0; n];
    is_eos[n - 1] = 1.0;
    let is_eos = Auto(candle_core::Tensor::new(is_eos, &Device::Cpu)?);
    let mask = |quoted: &[bool]| {
        let mask: Vec<f64> = quoted.iter().map(|is| f64::from(u8::from(*is))).collect();
        Ok::<_, candle_core::Error>(Auto(candle_core::Tensor::new(mask, &Device::Cpu)?))
    };
    let quoted = marks.quoted.map(mask).transpose()?;
    let inputs = TokenInputs {
        is_judged: marks.is_judged,
        log_probs: PerContext {
            plain: Some(&plain_in),
            judged: Some(&judged_in),
            contrast: Some(&contrast),
        },
        is_eos: Some(&is_eos),
        quoted: quoted.as_ref(),
    };
    let loss = objective.token_losses(&inputs).unwrap().0.mean_all()?;
    let store = loss.backward()?;
    let grads = |var: &Var| match store.get(var) {
        Some(grads) => grads.to_vec1::<f64>(),
        None => Ok(vec![0.0; n]),
    };
    Ok((loss.to_scalar::<f64>()?, [grads(&plain)?, grads(&judged)?]))
}

fn check(objective: AnyObjective) {
    let log_probs = log_probs();
    let n = log_probs.plain.as_ref().unwrap().len();
    let quoted: Vec<bool> = (0..n).map(|t| t % 3 == 0).collect();
    for (is_judged, quoted) in [(true, None), (true, Some(&quoted[..])), (false, None)] {
        let marks = Marks { is_judged, ends_with_eos: true, quoted };
        let analytic = ExampleLoss::new(&objective, &log_probs, marks).unwrap();
        let (loss, [plain, judged]) = automatic(&objective, &log_probs, marks).unwrap();
        let close = |a: f64, b: f64| (a - b).abs() <= AUTODIFF * b.abs();
        assert!(close(loss, analytic.loss), "{objective:?}: {loss} and {}", analytic.loss);
        let both = [(&plain, &analytic.weights.plain), (&judged, &analytic.weights.judged)];
        for (automatic, analytic) in both {
            for (t, (a, b)) in automatic.iter().zip(analytic).enumerate() {
                assert!(close(*a, *b), "{objective:?}, judged {is_judged}, token {t}: {a} and {b}");
            }
        }
    }
}

#[test]
fn cut_agrees_in_every_variant() {
    let paper = CutOptions::PAPER;
    for options in [
        paper,
        CutOptions::AUTHORS_CODE,
        CutOptions { focal_gamma: 0.25, threshold: 0.3, ..paper },
        CutOptions { contrast: Contrast::HeaderMatched, exclude_eos: true, ..paper },
        CutOptions { min_probability: 0.01, log_ratio_margin: 0.5, ..paper },
        CutOptions { spans: Spans::Quotes, ..paper },
        CutOptions { spans: Spans::Both, ..paper },
    ] {
        check(AnyObjective::Cut(Cut::new(options).unwrap()));
    }
}

#[test]
fn mle_agrees() {
    check(AnyObjective::Mle(Mle));
}

#[test]
fn hindsight_agrees() {
    check(AnyObjective::Hindsight(Hindsight));
}

#[test]
fn unlikelihood_agrees() {
    check(AnyObjective::Unlikelihood(Unlikelihood::new(0.8).unwrap()));
}

/// The comparison above must include tokens that are certain and inappropriate, where the loss is
/// patched at its pole.
#[test]
fn the_pole_is_among_the_inputs() {
    let log_probs = log_probs();
    let objective = Cut::new(CutOptions { threshold: 0.3, ..CutOptions::PAPER }).unwrap();
    let marks = Marks { is_judged: true, ..Marks::default() };
    let example = ExampleLoss::new(&objective, &log_probs, marks).unwrap();
    let plain = log_probs.plain.unwrap();
    for pole in [-1e-9, 0.0, -50.0] {
        let inside = example.inappropriate.iter().filter(|t| plain[**t] == pole).count();
        assert!(inside > 0, "no token with ln p = {pole} in U");
    }
}
