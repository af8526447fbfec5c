//! Does U find the errors that were planted in the bundled judgments?

use std::collections::BTreeMap;

use cutq_core::group::Group;
use cutq_core::model::Mode;
use cutq_core::objective::Cut;
use cutq_core::trainer::evaluate_examples;
use cutq_ffi::{Adapter, Architecture, Engine, EngineOptions, Gguf, LoraConfig, Tokenizer};
use cutq_tests::group::tokenize;
use cutq_tests::judgments::{self, Judgment};
use cutq_tests::model::TestModel;

/// Tokens counted by what U says of them and what is true.
#[derive(Default)]
struct Counts {
    found: usize,
    missed: usize,
    wrongly: usize,
    rest: usize,
}

impl Counts {
    fn precision(&self) -> f64 {
        self.found as f64 / (self.found + self.wrongly).max(1) as f64
    }

    fn recall(&self) -> f64 {
        self.found as f64 / (self.found + self.missed).max(1) as f64
    }

    /// The share of wrong tokens: the precision of guessing.
    fn base_rate(&self) -> f64 {
        let all = self.found + self.missed + self.wrongly + self.rest;
        (self.found + self.missed) as f64 / all as f64
    }

    fn add(&mut self, in_u: bool, wrong: bool) {
        *match (in_u, wrong) {
            (true, true) => &mut self.found,
            (false, true) => &mut self.missed,
            (true, false) => &mut self.wrongly,
            (false, false) => &mut self.rest,
        } += 1;
    }
}

#[test]
fn u_finds_planted_errors() {
    let _alone = TestModel::SmolLm2.alone();
    let gguf = Gguf::open(&TestModel::SmolLm2.path()).expect("the model opens");
    let tokenizer = Tokenizer::from_gguf(&gguf).expect("it has a tokenizer");
    let mut engine = engine(&gguf);
    let judgments: Vec<Judgment> = judgments::read();
    let mut by_kind: BTreeMap<&str, Counts> = BTreeMap::new();
    let mut all = Counts::default();
    let judged: Vec<&Judgment> = judgments.iter().filter(|j| j.judgment.is_some()).collect();
    for judged in judged.chunks(8) {
        let tokenize = |(i, j): (usize, &&Judgment)| tokenize(&tokenizer, i, &j.example());
        let groups: Vec<Group> = judged.iter().enumerate().map(tokenize).collect();
        let batch: Vec<&Group> = groups.iter().collect();
        let evaluated = evaluate_examples(&Cut::paper(), &mut engine, &batch, Mode::Eval);
        for (example, judgment) in evaluated.expect("the forward pass runs").iter().zip(judged) {
            let group = &groups[example.index];
            for (t, wrong) in judgment.wrong_tokens(group, &tokenizer).into_iter().enumerate() {
                let in_u = example.loss.inappropriate.binary_search(&t).is_ok();
                all.add(in_u, wrong);
                by_kind.entry(&judgment.kind).or_default().add(in_u, wrong);
            }
        }
    }
    let by_kind = by_kind.iter().map(|(kind, counts)| (*kind, counts));
    for (kind, counts) in by_kind.chain([("all", &all)]) {
        println!(
            "{kind:10} precision {:.2} (guessing {:.2}), recall {:.2}",
            counts.precision(),
            counts.base_rate(),
            counts.recall()
        );
    }
    assert!(all.recall() > 0.6, "most planted errors are in U");
    assert!(all.precision() > 1.3 * all.base_rate(), "U is better than guessing");
}

fn engine(gguf: &Gguf) -> Engine {
    let architecture = Architecture::from_gguf(gguf).expect("the model is supported");
    let config =
        LoraConfig { r: 1, lora_alpha: 1.0, lora_dropout: 0.0, target_modules: Vec::new() };
    let adapter = Adapter::init(gguf, &architecture, config, 0);
    Engine::open(gguf, adapter, EngineOptions::default()).expect("the model is supported")
}
