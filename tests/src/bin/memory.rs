//! Prints docs/memory.md: what the plan makes of a card's memory, for models of every size.
//!
//!     cargo run --release -p cutq-tests --bin memory > docs/memory.md

use std::error::Error;
use std::path::Path;

use cutq_ffi::{
    Adapter, Architecture, Demand, Engine, EngineOptions, Gguf, LoraConfig, Module, Plan, TooSmall,
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
*resident* are passes of all 1024 tokens in which no block stays on the card, or all do.

| model | card | peak | blocks that stay | blocks that keep products | weights | checkpoints | kept | a block's tensors |
|---|---|---:|---:|---:|---:|---:|---:|---:|
";

const FOOT: &str = "
How the figures come about: the executor builds the graphs of every block and of the head, as it does
before a run, and lets ggml's allocator plan them without memory; weights are the file's tensors, two
blocks at a time where not all stay. The last column has an estimate in it, of one copy of the widest
activations for what ggml's backend takes for itself; CUDA's context (some 300 MB) and the host's
memory, where the adapter, its optimizer and the embedding are, are not counted. A test holds what a
run allocates to its plan. Written by `cargo run --release -p cutq-tests --bin memory`; no file of
these models is needed, and no card.
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
        for (card, resident_layers) in [("streamed", 0), ("resident", shape.n_layer)] {
            row(name, card, &Plan { kept_layers: 0, resident_layers, ..all });
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
    let target_modules = vec![Module::FfnGate, Module::FfnUp, Module::FfnDown];
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
    let blocks = |n: usize| format!("{n} of {}", plan.footprint.weights.n_layer);
    let tensors = plan.footprint.activations + plan.footprint.scratch;
    let cells = [
        gb(plan.peak()),
        blocks(plan.resident_layers),
        blocks(plan.kept_layers),
        gb(plan.weights()),
        format!("{} for {} tokens", gb(plan.footprint.checkpoints), plan.micro_batch),
        gb(plan.kept()),
        gb(tensors),
    ];
    println!("| {model} | {card} | {} |", cells.join(" | "));
}
