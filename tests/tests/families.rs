//! Every family against PyTorch and llama.cpp, on tiny models of random weights: log-probabilities,
//! losses, gradients, ten optimizer steps, adapters that others read.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use cutq_core::context::PerContext;
use cutq_core::group::Group;
use cutq_core::model::{Mode, Model};
use cutq_core::objective::Cut;
use cutq_core::optimizer::{AdamW, Optimizer};
use cutq_core::schedule::{LrSchedule, Schedule};
use cutq_core::trainer::{Trainer, TrainerOptions, evaluate_examples};
use cutq_ffi::{
    Architecture, Device, Engine, EngineOptions, Family, Generator, GeneratorOptions, Gguf,
    Precision, Projection,
};
use cutq_tests::computing::Computing;
use cutq_tests::golden::{Golden, fixtures};
use cutq_tests::tolerance::{
    F32_ADAMW, F32_COSINE, F32_LOSS, F32_NORM, F32_TINY_LOG_PROB, LLAMA_CPP_LOG_PROB,
};
use safetensors::SafeTensors;

#[test]
fn kernels_compute_what_pytorch_computes() {
    every_fixture(Computing::Kernels);
}

#[test]
fn portable_operations_compute_what_pytorch_computes() {
    every_fixture(Computing::Portable);
}

#[cfg(feature = "vulkan")]
#[test]
fn vulkan_computes_what_pytorch_computes() {
    every_fixture(Computing::Device("Vulkan"));
}

#[cfg(feature = "cuda")]
#[test]
fn cuda_computes_what_pytorch_computes() {
    every_fixture(Computing::Device("CUDA"));
}

#[cfg(feature = "metal")]
#[test]
fn metal_computes_what_pytorch_computes() {
    every_fixture(Computing::Device("Metal"));
}

#[test]
fn every_family_has_a_fixture() {
    let found: Vec<Family> = fixtures_by_name().map(|fixture| fixture.family()).collect();
    let missing: Vec<_> = Family::ALL.into_iter().filter(|one| !found.contains(one)).collect();
    assert!(missing.is_empty(), "no fixture of {missing:?}");
}

/// llama.cpp, with the adapter as cutq writes it.
#[test]
fn llama_cpp_computes_what_cutq_computes() {
    for fixture in fixtures_by_name().filter(|fixture| !WITHOUT_WITNESS.contains(&fixture.name())) {
        let (distance, effect) = fixture.witness();
        println!(
            "{}: mean |Δ log p| to llama.cpp {distance:.1e}, effect of the adapter {effect:.1e}",
            fixture.name()
        );
        assert!(distance <= LLAMA_CPP_LOG_PROB, "{}: {distance}", fixture.name());
        assert!(effect > 4.0 * distance, "{}: an adapter without effect", fixture.name());
    }
}

/// Rows of B are in PyTorch's order again, of which `rows` has the places in the GGUF.
#[test]
fn peft_gets_the_rows_of_q_and_k_in_pytorchs_order() {
    let mut reordered = 0;
    for fixture in fixtures_by_name() {
        let gguf = fixture.gguf();
        let adapter = fixture.golden.adapter(&gguf);
        let folder = tempfile::tempdir().unwrap();
        adapter.save_peft(folder.path(), &Architecture::from_gguf(&gguf).unwrap()).unwrap();
        let bytes = std::fs::read(folder.path().join("adapter_model.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let fused = [Family::Phi3, Family::Glm4].contains(&fixture.family());
        for pair in &adapter.pairs {
            let (layer, r) = (pair.layer, pair.r());
            let module = match pair.projection {
                Projection::FfnUp if fused => "mlp.gate_up_proj",
                projection => projection.peft_name(),
            };
            let vision = ["qwen2vl", "qwen3vl"].contains(&fixture.name());
            let layers = if vision { "model.language_model.layers" } else { "model.layers" };
            let name = format!("base_model.model.{layers}.{layer}.{module}.lora_B.weight");
            let data = tensors.tensor(&name).unwrap().data().to_vec();
            let found = data.chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().unwrap()));
            let all: Vec<usize> = (0..pair.n_out).collect();
            let rows = fixture.golden.rows.get(pair.projection.name()).unwrap_or(&all);
            let expected = rows.iter().flat_map(|row| &pair.b[row * r..(row + 1) * r]);
            assert!(found.eq(expected.copied()), "{} {name}", fixture.name());
            reordered += usize::from(*rows != all);
        }
    }
    assert!(reordered > 0, "some families reorder rows");
}

/// The table of the manual, from what is measured; `CUTQ_UPDATE_SNAPSHOTS=1` writes it. Figures
/// differ from machine to machine, so they are not compared.
#[test]
fn the_manual_has_every_family() {
    let path = fixtures().join("../../docs/models.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("a mark at the table's beginning");
    let (old, behind) = rest.split_once(END).expect("a mark at its end");
    let table = table();
    if std::env::var_os("CUTQ_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, [before, BEGIN, &table, END, behind].concat()).unwrap();
        return;
    }
    let rows = |table: &str| -> Vec<Vec<String>> {
        let words = |line: &str| line.split('|').take(4).map(str::to_owned).collect();
        table.lines().map(words).collect()
    };
    assert_eq!(rows(old), rows(&table), "CUTQ_UPDATE_SNAPSHOTS=1 writes docs/models.md");
}

const BEGIN: &str = "<!-- written by tests/tests/families.rs -->\n";
const END: &str = "<!-- end of the table -->";

/// llama.cpp computes EXAONE 4's windows in models of 64 layers only, Phi 3's not at all.
const WITHOUT_WITNESS: [&str; 2] = ["exaone4-windows", "phi3-windows"];

fn table() -> String {
    let mut table = String::from(
        "| architecture | models | fixture | largest \\|Δ log p\\| | smallest cosine | llama.cpp's mean \\|Δ log p\\| |\n\
         |---|---|---|---|---|---|\n",
    );
    let mut all: Vec<Fixture> = fixtures_by_name().collect();
    all.sort_by_key(|fixture| Family::ALL.iter().position(|&one| one == fixture.family()));
    for fixture in all {
        let family = fixture.family();
        let Distance { log_prob, cosine, .. } = fixture.distance(Computing::Kernels).unwrap();
        let witness = match WITHOUT_WITNESS.contains(&fixture.name()) {
            true => "–".to_owned(),
            false => format!("{:.0e}", fixture.witness().0),
        };
        let (name, models) = (family.name(), family.models());
        writeln!(
            table,
            "| `{name}` | {models} | {} | {log_prob:.0e} | {:.6} | {witness} |",
            fixture.name(),
            cosine.0
        )
        .unwrap();
    }
    table
}

fn every_fixture(computing: Computing) {
    for fixture in fixtures_by_name() {
        let Some(found) = fixture.distance(computing) else { return };
        let name = fixture.name();
        println!("{name}: {found:?}");
        let Distance { log_prob, loss, cosine, norm, adamw } = found;
        assert!(log_prob <= F32_TINY_LOG_PROB, "{name}: log-probabilities differ by {log_prob}");
        assert!(loss <= F32_LOSS, "{name}: losses differ by {loss}");
        assert!(cosine.0 >= F32_COSINE, "{name}: {cosine:?}");
        assert!(norm <= F32_NORM, "{name}: norms differ by {norm}");
        assert!(adamw <= F32_ADAMW, "{name}: losses of ten steps differ by {adamw}");
    }
}

/// A tiny model with golden values.
struct Fixture {
    folder: PathBuf,
    golden: Golden,
    groups: Vec<Group>,
}

/// How far an engine is from PyTorch.
#[derive(Debug)]
struct Distance {
    /// Largest |Δ log p|, nats.
    log_prob: f64,
    /// Largest relative difference of an example's loss.
    loss: f64,
    /// Smallest cosine of a gradient, and whose.
    cosine: (f64, String),
    /// Largest relative difference of a gradient's norm.
    norm: f64,
    /// Largest relative difference of the loss in ten steps of AdamW.
    adamw: f64,
}

/// All of them, by name.
fn fixtures_by_name() -> impl Iterator<Item = Fixture> {
    let folders = std::fs::read_dir(fixtures().join("families")).unwrap();
    let mut folders: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders.into_iter().map(Fixture::read)
}

impl Fixture {
    fn read(folder: PathBuf) -> Self {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let golden = Golden::read(&format!("families/{name}"));
        let group = |(index, example): (usize, &cutq_tests::golden::Example)| Group {
            index,
            prompts: PerContext {
                plain: Some(example.prompt_tokens.clone()),
                judged: example.judged_prompt_tokens.clone(),
                contrast: None,
            },
            response: example.response_tokens.clone(),
            ends_with_eos: false,
            quoted: None,
        };
        let groups = golden.examples.iter().enumerate().map(group).collect();
        Self { folder, golden, groups }
    }

    fn name(&self) -> &str {
        self.folder.file_name().unwrap().to_str().unwrap()
    }

    fn gguf(&self) -> Gguf {
        Gguf::open(&self.folder.join("model.gguf")).unwrap()
    }

    fn family(&self) -> Family {
        Family::named(self.gguf().architecture().unwrap()).unwrap()
    }

    /// `None` if the device is missing.
    fn distance(&self, computing: Computing) -> Option<Distance> {
        let gguf = self.gguf();
        let options = EngineOptions { n_threads: 1, ..computing.options(Precision::F32)? };
        let mut engine = Engine::open(&gguf, self.golden.adapter(&gguf), options).unwrap();
        let groups: Vec<&Group> = self.groups.iter().collect();
        let mode = Mode::Train { seed: 0 };
        engine.zero_grads();
        let evaluated = evaluate_examples(&Cut::paper(), &mut engine, &groups, mode).unwrap();
        let (mut log_prob, mut loss) = (0.0f64, 0.0f64);
        let mut weights = Vec::new();
        for (found, example) in evaluated.iter().zip(&self.golden.examples) {
            let pairs = [
                (found.log_probs.plain.as_ref(), Some(&example.log_probs_plain)),
                (found.log_probs.judged.as_ref(), example.log_probs_judged.as_ref()),
            ];
            for (found, expected) in pairs {
                assert_eq!(found.map(Vec::len), expected.map(Vec::len));
                let pairs = found.into_iter().flatten().zip(expected.into_iter().flatten());
                log_prob = pairs.map(|(a, b)| (a - b).abs()).fold(log_prob, f64::max);
            }
            loss = loss.max((found.loss.loss - example.loss).abs() / example.loss);
            let of_example = &found.loss.weights;
            weights.extend(of_example.plain.iter().map(|w| w / groups.len() as f64));
            if example.log_probs_judged.is_some() {
                weights.extend(of_example.judged.iter().map(|w| w / groups.len() as f64));
            }
        }
        engine.backward(&weights).unwrap();
        let (cosine, norm) = self.gradients(&mut engine);
        let adamw = self.adamw(&mut engine);
        Some(Distance { log_prob, loss, cosine, norm, adamw })
    }

    fn gradients(&self, engine: &mut Engine) -> ((f64, String), f64) {
        let mut smallest = (1.0, String::new());
        let mut largest = 0.0f64;
        let mut golden: BTreeMap<&str, _> =
            self.golden.grads.iter().map(|(name, gradient)| (name.as_str(), gradient)).collect();
        engine.visit_parameters(&mut |parameter| {
            let expected = &golden.remove(parameter.name).expect("every gradient is stored").values;
            let grads: &[f32] = parameter.grads;
            let [own, its] = [grads, expected].map(|x| dot(x, x).sqrt());
            let cosine = dot(grads, expected) / (own * its);
            largest = largest.max((own / its - 1.0).abs());
            if cosine < smallest.0 || cosine.is_nan() {
                smallest = (cosine, parameter.name.to_owned());
            }
        });
        assert!(golden.is_empty(), "{:?} are not computed", golden.keys());
        (smallest, largest)
    }

    fn adamw(&self, engine: &mut Engine) -> f64 {
        let golden = &self.golden.adamw;
        let n_steps = golden.losses.len() as u64;
        let adamw = AdamW { weight_decay: golden.weight_decay, ..AdamW::default() };
        let options = TrainerOptions {
            optimizer: Optimizer::AdamW(adamw),
            schedule: LrSchedule::new(Schedule::Constant, golden.lr, 0.0, n_steps).unwrap(),
            max_grad_norm: 0.0,
            micro_batch_tokens: 4096,
            seed: 0,
        };
        let mut trainer: Trainer<Cut> = Trainer::new(Cut::paper(), options);
        let batch: Vec<&Group> = self.groups.iter().collect();
        let difference = |expected: &f64| {
            let loss = trainer.step(engine, &batch).unwrap().loss;
            (loss - expected).abs() / expected
        };
        golden.losses.iter().map(difference).fold(0.0, f64::max)
    }

    /// Mean |Δ log p| between llama.cpp and PyTorch in the plain context, both with the adapter, and
    /// what the adapter changes there.
    fn witness(&self) -> (f64, f64) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adapter.gguf");
        self.golden.adapter(&self.gguf()).save_gguf(&path).unwrap();
        let log_probs = |adapter| {
            let options = GeneratorOptions {
                device: Device::cpu(),
                n_ctx: 256,
                n_threads: 1,
                exact_attention: true,
            };
            let model = self.folder.join("model.gguf");
            let mut llama = Generator::open(&model, adapter, options).unwrap();
            let mut one = |e: &cutq_tests::golden::Example| {
                llama.log_probs(&e.prompt_tokens, &e.response_tokens).unwrap()
            };
            self.golden.examples.iter().flat_map(&mut one).collect::<Vec<f64>>()
        };
        let with = log_probs(Some(path.as_path()));
        let golden: Vec<f64> =
            self.golden.examples.iter().flat_map(|e| e.log_probs_plain.clone()).collect();
        (mean(&with, &golden), mean(&with, &log_probs(None)))
    }
}

fn mean(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / a.len() as f64
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}
