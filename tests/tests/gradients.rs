//! Gradients of every objective through a whole model, against finite differences of the loss.
#![allow(clippy::unwrap_used, missing_docs)]

use cutq_core::example_loss::LogProbs;
use cutq_core::group::Group;
use cutq_core::log_space::log1mexp;
use cutq_core::model::{Mode, Model};
use cutq_core::objective::{
    AnyObjective, Contrast, Cut, CutOptions, Hindsight, Mle, Objective, Spans, Unlikelihood,
};
use cutq_core::optimizer::{Optimizer, Sgd};
use cutq_core::schedule::{LrSchedule, Schedule};
use cutq_core::trainer::{EvaluatedExample, Trainer, TrainerOptions, evaluate_examples};
use cutq_tests::data::groups;
use cutq_tests::tiny::Tiny;
use cutq_tests::tolerance::{FINITE_DIFFERENCE, REORDERED, SMALL};

/// Plain gradient descent that subtracts the gradient as it is.
fn trainer(objective: AnyObjective, micro_batch_tokens: usize) -> Trainer<AnyObjective, f64> {
    let options = TrainerOptions {
        optimizer: Optimizer::Sgd(Sgd::default()),
        schedule: LrSchedule::new(Schedule::Constant, 1.0, 0.0, 1).unwrap(),
        max_grad_norm: 0.0,
        micro_batch_tokens,
        seed: 7,
    };
    Trainer::new(objective, options)
}

/// The loss of one example written out a second time, with the constants of CUT (U and the focal
/// weight) taken from `base`: what the gradient is the gradient of.
fn reference(
    objective: &AnyObjective,
    group: &Group,
    now: &LogProbs,
    base: &EvaluatedExample,
) -> f64 {
    let is_judged = group.is_judged();
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let nll = |l: &Option<Vec<f64>>| mean(l.as_ref().unwrap().iter().map(|l| -l).collect());
    match objective {
        AnyObjective::Mle(_) => nll(&now.plain),
        AnyObjective::Hindsight(_) if is_judged => nll(&now.judged),
        AnyObjective::Unlikelihood(o) if is_judged => {
            let plain = now.plain.as_ref().unwrap();
            mean(plain.iter().map(|l| -o.weight_unlike() * (1.0 - l.exp()).ln()).collect())
        }
        AnyObjective::Cut(cut) if is_judged => {
            let options = cut.options();
            let judged = base.log_probs.judged.as_ref().unwrap();
            let by_quotes = options.spans != Spans::Contrast && group.quoted.is_some();
            let plain = now.plain.as_ref().unwrap().iter().enumerate();
            let l1 = plain.map(|(t, l)| {
                if base.loss.inappropriate.contains(&t) {
                    let focal = judged[t].exp().powf(options.focal_gamma);
                    let weight = match by_quotes {
                        true => options.weight_quoted,
                        false => options.weight_unlike * focal,
                    };
                    -weight * log1mexp(*l)
                } else {
                    -l
                }
            });
            let loss = mean(l1.collect()) + nll(&now.judged);
            if options.halve_judged { loss / 2.0 } else { loss }
        }
        _ => nll(&now.plain),
    }
}

fn batch_loss(
    model: &mut Tiny,
    objective: &AnyObjective,
    groups: &[&Group],
    mode: Mode,
    base: &[EvaluatedExample],
) -> f64 {
    let now = evaluate_examples(objective, model, groups, mode).unwrap();
    let losses = groups.iter().zip(&now).zip(base);
    let sum: f64 =
        losses.map(|((group, now), base)| reference(objective, group, &now.log_probs, base)).sum();
    sum / groups.len() as f64
}

/// `(−f(2h) + 8 f(h) − 8 f(−h) + f(−2h)) / 12h`, of error `h⁴ f⁗′ / 30`.
fn slope(mut f: impl FnMut(f64) -> f64) -> f64 {
    let h = 1e-3;
    (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h)
}

fn check(objective: AnyObjective, dropout: f64) {
    let groups = groups();
    let groups: Vec<&Group> = groups.iter().collect();
    let mut model = Tiny::new(3, dropout);
    let values = model.values();

    // With dropout the masks of one forward pass repeat as long as its seed and its sequences do.
    let mode = if dropout > 0.0 { Mode::Train { seed: 5 } } else { Mode::Eval };
    let base = evaluate_examples(&objective, &mut model, &groups, mode).unwrap();
    let grads = analytic(&mut model, &objective, &groups, mode, &base);

    let mut offset = 0;
    for (name, grads) in grads {
        let largest = grads.iter().fold(0.0_f64, |max, g| max.max(g.abs()));
        assert!(largest > 0.0, "{objective:?}: {name} has no gradient");
        for (i, grad) in grads.iter().enumerate() {
            let numeric = slope(|h| {
                let mut moved = values.clone();
                moved[offset + i] += h;
                model.set_values(&moved);
                batch_loss(&mut model, &objective, &groups, mode, &base)
            });
            let scale = grad.abs().max(numeric.abs()).max(SMALL * largest);
            let error = (grad - numeric).abs() / scale;
            assert!(
                error <= FINITE_DIFFERENCE,
                "{objective:?}: d loss / d {name}[{i}] is {grad}, by finite differences {numeric}"
            );
        }
        offset += grads.len();
    }
    assert_eq!(offset, values.len());
}

/// The gradients that a training step leaves. Without dropout the trainer takes the step; with it
/// the masks have to be the ones of `mode`, so the weights go to the model directly.
fn analytic(
    model: &mut Tiny,
    objective: &AnyObjective,
    groups: &[&Group],
    mode: Mode,
    base: &[EvaluatedExample],
) -> Vec<(String, Vec<f64>)> {
    if mode == Mode::Eval {
        trainer(*objective, usize::MAX).step(model, groups).unwrap();
        return model.grads();
    }
    let mut weights = Vec::new();
    for (group, example) in groups.iter().zip(base) {
        for context in objective.contexts(group.is_judged()).kinds() {
            let own = example.loss.weights.get(context);
            weights.extend(own.iter().map(|w| w / groups.len() as f64));
        }
    }
    model.zero_grads();
    model.backward(&weights).unwrap();
    model.grads()
}

fn cut(options: CutOptions) -> AnyObjective {
    AnyObjective::Cut(Cut::new(options).unwrap())
}

#[test]
fn cut_as_in_the_paper() {
    check(cut(CutOptions::PAPER), 0.0);
}

#[test]
fn cut_as_in_the_authors_code() {
    check(cut(CutOptions::AUTHORS_CODE), 0.0);
}

#[test]
fn cut_with_header_matched_contrast_and_every_other_option() {
    check(
        cut(CutOptions {
            threshold: 1.05,
            focal_gamma: 0.5,
            min_probability: 0.01,
            log_ratio_margin: 0.02,
            exclude_eos: true,
            contrast: Contrast::HeaderMatched,
            ..CutOptions::PAPER
        }),
        0.0,
    );
}

#[test]
fn cut_with_quotes() {
    for spans in [Spans::Quotes, Spans::Both] {
        check(cut(CutOptions { spans, ..CutOptions::PAPER }), 0.0);
    }
}

#[test]
fn what_is_quoted_is_counted_beside_what_the_contrast_finds() {
    let groups = groups();
    let groups: Vec<&Group> = groups.iter().collect();
    let counts = |spans| {
        let mut model = Tiny::new(3, 0.0);
        let objective = cut(CutOptions { spans, ..CutOptions::PAPER });
        let report = trainer(objective, usize::MAX).evaluate(&mut model, &groups).unwrap();
        (report.quotes.unwrap(), report.inappropriate)
    };
    let (by_contrast, _) = counts(Spans::Contrast);
    let (by_quotes, inappropriate) = counts(Spans::Quotes);
    assert_eq!(by_contrast, by_quotes);
    assert_eq!((by_quotes.tokens, by_quotes.quoted, inappropriate), (6, 2, 2));
    assert!(by_quotes.hits <= by_quotes.raised.min(2), "{by_quotes:?}");
    let mut model = Tiny::new(3, 0.0);
    let none = trainer(AnyObjective::default(), 1).evaluate(&mut model, &groups[..3]).unwrap();
    assert_eq!(none.quotes, None);
}

#[test]
fn cut_with_dropout() {
    check(cut(CutOptions::PAPER), 0.2);
}

#[test]
fn mle() {
    check(AnyObjective::Mle(Mle), 0.0);
}

#[test]
fn hindsight() {
    check(AnyObjective::Hindsight(Hindsight), 0.0);
}

#[test]
fn unlikelihood() {
    check(AnyObjective::Unlikelihood(Unlikelihood::default()), 0.0);
}

#[test]
fn the_test_data_has_tokens_inside_and_outside_u() {
    let groups = groups();
    let groups: Vec<&Group> = groups.iter().collect();
    let mut model = Tiny::new(3, 0.0);
    let report = trainer(cut(CutOptions::PAPER), 1).step(&mut model, &groups).unwrap();
    assert!(report.inappropriate >= 3, "{report:?}");
    assert!(report.inappropriate + 3 <= report.judged_tokens, "{report:?}");
}

#[test]
fn a_rate_of_one_moves_the_values_by_exactly_minus_the_gradient() {
    let groups = groups();
    let groups: Vec<&Group> = groups.iter().collect();
    let mut model = Tiny::new(3, 0.0);
    let before = model.values();
    trainer(AnyObjective::default(), usize::MAX).step(&mut model, &groups).unwrap();
    let grads: Vec<f64> = model.grads().into_iter().flat_map(|(_, grads)| grads).collect();
    let expected: Vec<f64> = before.iter().zip(&grads).map(|(w, g)| w - g).collect();
    assert_eq!(model.values(), expected);
}

#[test]
fn micro_batches_add_up_to_the_batch() {
    let groups = groups();
    let groups: Vec<&Group> = groups.iter().collect();
    let run = |micro_batch_tokens| {
        let mut model = Tiny::new(3, 0.0);
        let mut trainer = trainer(AnyObjective::default(), micro_batch_tokens);
        let report = trainer.step(&mut model, &groups).unwrap();
        (report, model.values())
    };
    let (whole, values) = run(usize::MAX);
    for micro_batch_tokens in [0, 1, 25, 40] {
        let (report, others) = run(micro_batch_tokens);
        assert_eq!(report.tokens, whole.tokens);
        assert!((report.loss - whole.loss).abs() <= REORDERED * whole.loss);
        let largest = values.iter().zip(&others).map(|(a, b)| (a - b).abs());
        assert!(largest.fold(0.0, f64::max) <= REORDERED);
    }
}
