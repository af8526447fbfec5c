//! Runs an objective with nothing below it but the processor: own entry point, own memory routines,
//! own allocator, own panic handler. Exits 0 if the values are right, 1 if not, 2 on panic.
#![no_std]
#![no_main]

#[cfg(feature = "alloc")]
mod heap;
mod machine;

use core::f64::consts::LN_2;

use cutq_core::context::PerContext;
use cutq_core::objective::{Cut, TokenInputs, token_loss};
use cutq_core::optimizer::Sgd;

/// p = 1/2 in the plain context, 3/4 in the judged one: `L1 = −α · 3/4 · ln(1 − 1/2)`, and the
/// plain context's weight is `α · 3/4 · p/(1 − p) = 3/8`.
fn one_token() -> bool {
    let (plain, judged) = (-LN_2, cutq_core::log_space::log1mexp(-2.0 * LN_2));
    let log_probs = PerContext { plain: Some(&plain), judged: Some(&judged), contrast: None };
    let inputs = TokenInputs { is_judged: true, log_probs, is_eos: None, quoted: None };
    let mut weight = [1.0_f32];
    Sgd::default().update(&mut weight, &[0.25], 1.0);
    token_loss(&Cut::paper(), &inputs).is_ok_and(|token| {
        token.inappropriate
            && close(token.l1, 0.375 * LN_2)
            && close(token.weights.plain, 0.375)
            && close(token.weights.judged, -1.0)
            && weight == [0.75]
    })
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12
}

/// A whole response, a prompt and a shuffle, on the heap.
#[cfg(feature = "alloc")]
fn whole_example() -> bool {
    extern crate alloc;
    use alloc::vec;
    use cutq_core::context::Contexts;
    use cutq_core::example::Example;
    use cutq_core::example_loss::{ExampleLoss, LogProbs, Marks};
    use cutq_core::prompts::render;
    use cutq_core::template::PaperTemplate;

    let log_probs = LogProbs {
        plain: Some(vec![-LN_2, -1.0]),
        judged: Some(vec![-0.25 * LN_2, -2.0]),
        contrast: None,
    };
    let marks = Marks { is_judged: true, ends_with_eos: true, quoted: None };
    let loss = ExampleLoss::new(&Cut::paper(), &log_probs, marks);
    let example = Example::from_instruction("Add.", "1 + 1", "3", Some("It is 2."));
    let prompts = render(&example, &PaperTemplate, Contexts::BOTH);
    let mut order = cutq_core::order::permutation(100, 42, 0);
    let shuffled = order.windows(2).any(|pair| pair[0] > pair[1]);
    order.sort_unstable();
    loss.is_ok_and(|loss| loss.inappropriate == [0])
        && prompts.is_ok_and(|prompts| prompts.judged.is_some_and(|pieces| pieces.len() == 5))
        && shuffled
        && order.iter().enumerate().all(|(i, x)| i == *x)
}

#[cfg(not(feature = "alloc"))]
fn whole_example() -> bool {
    true
}

/// Called by the entry point, on an aligned stack.
extern "C" fn start() -> ! {
    machine::exit(if one_token() && whole_example() { 0 } else { 1 })
}
