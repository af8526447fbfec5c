//! Answers to many prompts at a time: each is what it would be alone, with the log-probabilities that
//! the training engine finds.
#![allow(clippy::unwrap_used, missing_docs)]

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::Path;

use cutq_core::model::{Mode, Model, Sequence};
use cutq_ffi::{
    Adapter, Architecture, Choice, Engine, EngineError, EngineOptions, Family, Gguf, LoraConfig,
    Precision, Projection, Retention, Sample, SampleEnd, SampleOptions, SampleRequest, TensorType,
};
use cutq_tests::synthetic::{Shape, Synthetic, preset};
use cutq_tests::tolerance::SAMPLED_LOG_PROB;

const DRAWN: Choice = Choice { temperature: 1.5, ..Choice::GREEDY };

/// Eight prompts of very different lengths.
fn requests() -> Vec<SampleRequest> {
    let prompt = |i: u32| (0..1 + (i * 13) % 40).map(|t| (t * 7 + i * 31) % 320).collect();
    let request = |i: u32| SampleRequest {
        prompt: prompt(i),
        seed: u64::from(i % 3),
        max_tokens: 4 + (i as usize * 5) % 20,
    };
    (0..8).map(request).collect()
}

/// An engine with an adapter on every projection.
fn engine(path: &Path, precision: Precision, n_threads: usize) -> Engine {
    let gguf = Gguf::open(path).unwrap();
    let architecture = Architecture::from_gguf(&gguf).unwrap();
    let target_modules = Projection::ALL.to_vec();
    let config = LoraConfig { r: 4, lora_alpha: 8.0, lora_dropout: 0.5, target_modules };
    let mut adapter = Adapter::init(&gguf, &architecture, config, 3);
    for pair in &mut adapter.pairs {
        pair.b.iter_mut().enumerate().for_each(|(i, b)| *b = (i as f32 * 1.7).sin() * 0.05);
    }
    let options = EngineOptions { n_threads, precision, ..EngineOptions::default() };
    Engine::open(&gguf, adapter, options).unwrap()
}

/// A made-up model of a family in a file.
fn in_a_file(family: Family, kind: &str, check: impl FnOnce(&Path)) {
    let shape = Shape { family, ..preset("tiny").unwrap() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    Synthetic::new(shape, kind.parse::<TensorType>().unwrap()).write(&path).unwrap();
    check(&path);
}

/// All answers, in the order of the requests.
fn sample(
    engine: &mut Engine,
    requests: &[SampleRequest],
    n_parallel: usize,
    tokens: usize,
) -> Vec<Sample> {
    let memory = engine.cache_bytes(tokens);
    let options = SampleOptions { memory, n_parallel };
    let mut answers = vec![None; requests.len()];
    let mut done = |i: usize, answer| {
        assert!(answers[i].replace(answer).is_none(), "answer {i} comes once");
        ControlFlow::Continue(())
    };
    let ends: Vec<u32> = (0..320).step_by(16).collect();
    engine.sample(requests, &DRAWN, options, &ends, &|| false, &mut done).unwrap();
    answers.into_iter().map(Option::unwrap).collect()
}

#[test]
fn log_probs_are_those_of_the_training_engine() {
    for family in Family::ALL {
        in_a_file(family, "f32", |path| {
            let mut engine = engine(path, Precision::F32, 2);
            let requests = requests();
            for (request, answer) in requests.iter().zip(sample(&mut engine, &requests, 8, 1000)) {
                let mut response = answer.tokens.clone();
                if let SampleEnd::Token(token) = answer.end {
                    response.push(token);
                }
                assert_eq!(response.len(), answer.log_probs.len());
                let sequence = Sequence { prompt: &request.prompt, response: &response, id: 0 };
                let expected = engine.forward(&[sequence], Mode::Eval).unwrap();
                for (found, expected) in answer.log_probs.iter().zip(expected) {
                    let error = (found - expected).abs();
                    assert!(error < SAMPLED_LOG_PROB, "{family:?}: {found} is not {expected}");
                }
            }
        });
    }
}

#[test]
fn an_answer_depends_on_its_prompt_and_seed_alone() {
    for (family, precision) in [(Family::Llama, Precision::Int8), (Family::Gemma3, Precision::F32)]
    {
        in_a_file(family, "q4_k", |path| {
            let requests = requests();
            let mut first = engine(path, precision, 2);
            let all = sample(&mut first, &requests, 8, 1000);
            assert!(all.iter().any(|answer| matches!(answer.end, SampleEnd::Token(_))));
            assert!(all.iter().any(|answer| answer.end == SampleEnd::Length));
            // Fewer at a time, memory for one only, one thread, each alone, in another order.
            assert_eq!(sample(&mut first, &requests, 3, 1000), all);
            assert_eq!(sample(&mut first, &requests, 8, 70), all);
            assert_eq!(sample(&mut engine(path, precision, 1), &requests, 8, 1000), all);
            for (request, answer) in requests.iter().zip(&all) {
                assert_eq!(&sample(&mut first, std::slice::from_ref(request), 8, 1000)[0], answer);
            }
            // With panels of the last layer, then of all and the head.
            for panels in [1, usize::MAX] {
                first.retain(Retention { panels, ..Retention::default() });
                assert_eq!(sample(&mut first, &requests, 8, 1000), all);
            }
            let reversed: Vec<_> = requests.iter().rev().cloned().collect();
            let mut again = sample(&mut first, &reversed, 2, 1000);
            again.reverse();
            assert_eq!(again, all);
        });
    }
}

#[test]
fn what_prompts_begin_with_is_read_once_and_changes_nothing() {
    for (family, precision) in [(Family::Llama, Precision::Int8), (Family::Gemma3, Precision::F32)]
    {
        in_a_file(family, "q4_k", |path| {
            let request = |i: u32| SampleRequest {
                prompt: (0..70).map(|t| t * 3 % 320).chain(0..1 + 2 * i).collect(),
                seed: i.into(),
                max_tokens: 20,
            };
            let requests: Vec<_> = (0..5).map(request).collect();
            let mut engine = engine(path, precision, 2);
            let alone = requests
                .iter()
                .flat_map(|request| sample(&mut engine, std::slice::from_ref(request), 1, 128));
            let alone: Vec<_> = alone.collect();
            // Pages for what is shared and for one sequence; then for all of them, which would not
            // suffice if each had the first page for itself.
            for tokens in [128, 6 * 64] {
                assert_eq!(sample(&mut engine, &requests, 5, tokens), alone);
            }
        });
    }
}

#[test]
fn an_answer_ends_where_the_context_does() {
    in_a_file(Family::Llama, "q8_0", |path| {
        let mut engine = engine(path, Precision::Int8, 2);
        let prompt = vec![5; 120];
        let request = SampleRequest { prompt, seed: 1, max_tokens: 100 };
        let options = SampleOptions { memory: u64::MAX, n_parallel: 1 };
        let mut found = None;
        let mut done = |_, answer: Sample| {
            found = Some(answer);
            ControlFlow::Break(())
        };
        engine.sample(&[request], &DRAWN, options, &[], &|| false, &mut done).unwrap();
        let answer = found.unwrap();
        assert_eq!((answer.end, answer.tokens.len()), (SampleEnd::Context, 128 + 1 - 120));
    });
}

#[test]
fn nothing_is_sampled_any_more_once_the_caller_stops() {
    in_a_file(Family::Llama, "q8_0", |path| {
        let mut engine = engine(path, Precision::Int8, 2);
        let request = SampleRequest { prompt: vec![5; 8], seed: 1, max_tokens: 50 };
        let options = SampleOptions { memory: u64::MAX, n_parallel: 1 };
        let passes = Cell::new(0);
        let stop = || passes.replace(passes.get() + 1) == 3;
        let mut done =
            |_, answer: Sample| -> ControlFlow<()> { panic!("{answer:?} was not finished") };
        engine.sample(&[request], &DRAWN, options, &[], &stop, &mut done).unwrap();
        assert_eq!(passes.get(), 4);
    });
}

#[test]
fn what_cannot_be_sampled_is_refused() {
    in_a_file(Family::Llama, "q8_0", |path| {
        let mut engine = engine(path, Precision::Int8, 2);
        let mut refused = |prompt: Vec<u32>, memory| {
            let request = SampleRequest { prompt, seed: 1, max_tokens: 8 };
            let options = SampleOptions { memory, n_parallel: 1 };
            let mut done = |_, _: Sample| ControlFlow::Continue(());
            engine.sample(&[request], &DRAWN, options, &[], &|| false, &mut done).unwrap_err()
        };
        let all = u64::MAX;
        assert!(matches!(refused(vec![], all), EngineError::Empty { .. }));
        assert!(matches!(refused(vec![1; 128], all), EngineError::TooLong { len: 129, .. }));
        assert!(matches!(refused(vec![320], all), EngineError::Token { token: 320, .. }));
        // A page of 64 tokens in two layers of two heads of 64, K and V in four bytes each.
        let needed = 64 * 2 * 2 * 64 * 2 * 4;
        let error = refused(vec![1; 10], needed - 1);
        assert!(
            matches!(error, EngineError::SampleMemory { needed: n, .. } if n == needed),
            "{error}"
        );
    });
}
