//! Trains a LoRA adapter on one judged response, from the GGUF file to the adapter's file.
//!
//! `cargo run --release -p cutq-ffi --example train MODEL.gguf ADAPTER.gguf`

use std::error::Error;
use std::path::Path;

use cutq_core::context::Contexts;
use cutq_core::example::Example;
use cutq_core::group::Group;
use cutq_core::objective::Cut;
use cutq_core::optimizer::Optimizer;
use cutq_core::prompts::render;
use cutq_core::schedule::{LrSchedule, Schedule};
use cutq_core::template::PaperTemplate;
use cutq_core::trainer::{Trainer, TrainerOptions};
use cutq_ffi::{
    Adapter, Architecture, Engine, EngineOptions, Gguf, LoraConfig, Projection, Tokenizer,
};

const STEPS: u64 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, out] = args.as_slice() else { return Err("train MODEL.gguf ADAPTER.gguf".into()) };

    // The model, and an adapter that leaves it as it is.
    let gguf = Gguf::open(Path::new(model))?;
    let architecture = Architecture::from_gguf(&gguf)?;
    let target_modules = Projection::FFN.to_vec();
    let config = LoraConfig { r: 8, lora_alpha: 8.0, lora_dropout: 0.0, target_modules };
    let adapter = Adapter::init(&gguf, &architecture, config, 42);
    let mut engine = Engine::open(&gguf, adapter, EngineOptions::default())?;

    // An example as token ids: its prompt without and with the judgment, and the response.
    let judgment = "6 + 7 is 13, not 14.";
    let example = Example::from_instruction("What is 6 + 7?", "", "14", Some(judgment));
    let tokenizer = Tokenizer::from_gguf(&gguf)?;
    let prompts = render(&example, &PaperTemplate, Contexts::BOTH)?;
    let encode = |pieces: &Option<Vec<_>>| -> Result<_, cutq_ffi::LlamaError> {
        pieces.as_ref().map(|pieces| tokenizer.encode_prompt(pieces)).transpose()
    };
    let mut response = tokenizer.encode_response(&example.response)?;
    response.push(tokenizer.eos());
    let prompts = prompts.as_ref().try_map(encode)?;
    let group = Group { index: 0, prompts, response, ends_with_eos: true, quoted: None };

    // Some steps of CUT; each token of the response gets one weight.
    let options = TrainerOptions {
        optimizer: Optimizer::default(),
        schedule: LrSchedule::new(Schedule::Constant, 1e-3, 0.0, STEPS)?,
        max_grad_norm: 1.0,
        micro_batch_tokens: 1024,
        seed: 42,
    };
    let mut trainer = Trainer::new(Cut::paper(), options);
    for _ in 0..STEPS {
        let report = trainer.step(&mut engine, &[&group])?;
        println!(
            "step {}: loss {:.4}, {} of {} tokens inappropriate",
            report.step, report.loss, report.inappropriate, report.judged_tokens
        );
    }
    engine.adapter().save_gguf(Path::new(out))?;
    Ok(())
}
