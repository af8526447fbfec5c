//! Prints docs/memory.md: what the plan makes of a card's memory, for models of every size.
//!
//!     cargo run --release -p cutq-tests --bin memory > docs/memory.md

use std::error::Error;
use std::path::Path;

use cutq_ffi::{
    Adapter, Architecture, Demand, Engine, EngineOptions, Gguf, LoraConfig, Plan, Projection,
    Retention, TooSmall,
};
use cutq_tests::synthetic::{Synthetic, preset};

/// Names of shapes, and what people call them.
const MODELS: [(&str, &str); 3] =
    [("llama3-8b", "Llama 3 8B"), ("llama2-13b", "Llama 2 13B"), ("llama3-70b", "Llama 3 70B")];

/// Memory of cards, in GB of 10⁹ bytes, of which a tenth is left to the driver and the screen.
const CARDS: [u64; 4] = [4, 8, 12, 24];

/// Tokens of a sequence; a step has two.
const LONGEST: usize = 512;

const HEAD: &str = "\
# Memory on a card

What `cutq plan` makes of a card's memory, for LoRA r = 16 on the feed-forward network of models in
Q4_K, two sequences of 512 tokens in a step. GB are 10⁹ bytes; a tenth of the card is left to the
driver and the screen. *Least* is the smallest budget with which the step runs; *streamed* and
*resident* are passes of all 1024 tokens in which no layer stays on the card, or every one does.

| model | card | peak | layers resident | layers retaining products | weights | checkpoints | products | a layer's tensors |
|---|---|---:|---:|---:|---:|---:|---:|---:|
";

const FOOT: &str = "
How the figures come about: the executor builds the graphs of every layer and of the head, as it does
before a run, and lets ggml's allocator plan them without memory; weights are the file's tensors, two
layers at a time where not all stay. The last column includes an estimate of what ggml's backend takes
for itself: one copy of the widest activations. Not counted are CUDA's context (some 300 MB) and the
host's memory, where the adapter, its optimizer and the embedding are. A test holds what a run
allocates to its plan. Written by `cargo run --release -p cutq-tests --bin memory`, which needs
neither these models nor a card.
";

fn main() -> Result<(), Box<dyn Error>> {
    print!("{HEAD}");
    let folder = tempfile::tempdir()?;
    for (shape, name) in MODELS {
        let path = folder.path().join(shape);
        let shape = preset(shape).expect("the table has only known shapes");
        Synthetic::new(shape, "q4_k".parse()?).write_header(&path)?;
        let engine = engine(&path)?;
        let Err(TooSmall { smallest, .. }) = choose(&engine, 0) else { unreachable!() };
        row(name, "least", &choose(&engine, smallest)?);
        let all = choose(&engine, u64::MAX)?;
        for (card, weights) in [("streamed", 0), ("resident", shape.n_layer)] {
            let retention = Retention { weights, ..Retention::NONE };
            row(name, card, &Plan { retention, ..all });
        }
        for card in CARDS {
            let card_name = format!("{card} GB");
            match choose(&engine, card * 900_000_000) {
                Ok(plan) => row(name, &card_name, &plan),
                Err(_) => println!("| {name} | {card_name} | does not fit | | | | | | |"),
            }
        }
    }
    print!("{FOOT}");
    Ok(())
}

/// An engine that computes as every device does; its graphs are planned, none is run.
fn engine(path: &Path) -> Result<Engine, Box<dyn Error>> {
    let gguf = Gguf::open(path)?;
    let architecture = Architecture::from_gguf(&gguf)?;
    let target_modules = vec![Projection::FfnGate, Projection::FfnUp, Projection::FfnDown];
    let config = LoraConfig { r: 16, lora_alpha: 16.0, lora_dropout: 0.0, target_modules };
    let adapter = Adapter::init(&gguf, &architecture, config, 0);
    let options = EngineOptions { portable: true, ..EngineOptions::default() };
    Ok(Engine::open(&gguf, adapter, options)?)
}

fn choose(engine: &Engine, budget: u64) -> Result<Plan, TooSmall> {
    let demand = Demand {
        largest: LONGEST,
        longest: LONGEST,
        micro_batch: 2 * LONGEST,
        fixed: false,
        optimizer_bytes: 8,
        program: 0,
    };
    Plan::choose(engine, demand, budget)
}

fn row(model: &str, card: &str, plan: &Plan) {
    let gb = |bytes: u64| format!("{:.2}", bytes as f64 / 1e9);
    let layers = |n: usize| format!("{n} of {}", plan.footprint.weights.n_layer);
    let tensors = plan.footprint.activations + plan.footprint.scratch;
    let cells = [
        gb(plan.peak()),
        layers(plan.retention.weights),
        layers(plan.retention.products),
        gb(plan.weight_bytes()),
        format!("{} for {} tokens", gb(plan.footprint.checkpoints), plan.micro_batch),
        gb(plan.product_bytes()),
        gb(tensors),
    ];
    println!("| {model} | {card} | {} |", cells.join(" | "));
}
