//! Writes a GGUF file with random weights, of any shape and type.
//!
//!     cargo run --release -p cutq-tests --bin synthetic -- --shape llama3-8b --type q4_k out.gguf

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use cutq_ffi::{Family, TensorType};
use cutq_tests::synthetic::{PRESETS, Shape, Synthetic, preset};

/// Writes a GGUF file with random weights, of any shape and type
#[derive(Debug, Parser)]
struct Args {
    /// Where to write
    #[arg(value_name = "OUT.gguf")]
    out: PathBuf,
    /// The shape of a known model; the options below change it
    #[arg(long, value_name = "NAME", default_value = "smollm2-135m", value_parser = PossibleValuesParser::new(PRESETS.map(|p| p.0)))]
    shape: String,
    /// `general.architecture`, such as llama
    #[arg(long, value_name = "NAME", value_parser = family)]
    architecture: Option<Family>,
    /// Transformer layers
    #[arg(long, value_name = "N")]
    n_layer: Option<usize>,
    /// Width of the residual
    #[arg(long, value_name = "N")]
    n_embd: Option<usize>,
    /// Width of the feed-forward network
    #[arg(long, value_name = "N")]
    n_ff: Option<usize>,
    /// Attention heads
    #[arg(long, value_name = "N")]
    n_head: Option<usize>,
    /// Heads of K and V
    #[arg(long, value_name = "N")]
    n_head_kv: Option<usize>,
    /// Width of a head
    #[arg(long, value_name = "N")]
    head_dim: Option<usize>,
    /// Entries of the vocabulary
    #[arg(long, value_name = "N")]
    n_vocab: Option<usize>,
    /// Tokens that the model claims to hold
    #[arg(long, value_name = "N")]
    n_ctx: Option<usize>,
    /// Whether the head is the token embedding
    #[arg(long, value_name = "BOOL")]
    tied: Option<bool>,
    /// ggml's type of every matrix
    #[arg(long = "type", value_name = "TYPE", default_value = "q4_0")]
    tensor_type: TensorType,
    /// Of the head [default: --type]
    #[arg(long, value_name = "TYPE")]
    head_type: Option<TensorType>,
    /// Of the token embedding [default: --type]
    #[arg(long, value_name = "TYPE")]
    embedding_type: Option<TensorType>,
    /// Files of the same seed are the same
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Write a sparse file that has only a header, for whoever reads no more
    #[arg(long)]
    header_only: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let model = args.model();
    let written = match args.header_only {
        true => model.write_header(&args.out),
        false => model.write(&args.out),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", args.out.display());
            ExitCode::FAILURE
        }
    }
}

impl Args {
    fn model(&self) -> Synthetic {
        let known = preset(&self.shape).expect("clap lets no other name pass");
        let shape = Shape {
            family: self.architecture.unwrap_or(known.family),
            n_layer: self.n_layer.unwrap_or(known.n_layer),
            n_embd: self.n_embd.unwrap_or(known.n_embd),
            n_ff: self.n_ff.unwrap_or(known.n_ff),
            n_head: self.n_head.unwrap_or(known.n_head),
            n_head_kv: self.n_head_kv.unwrap_or(known.n_head_kv),
            head_dim: self.head_dim.unwrap_or(known.head_dim),
            n_vocab: self.n_vocab.unwrap_or(known.n_vocab),
            n_ctx: self.n_ctx.unwrap_or(known.n_ctx),
            rope_freq_base: known.rope_freq_base,
            tied: self.tied.unwrap_or(known.tied),
        };
        Synthetic {
            head_type: self.head_type.unwrap_or(self.tensor_type),
            embedding_type: self.embedding_type.unwrap_or(self.tensor_type),
            seed: self.seed,
            ..Synthetic::new(shape, self.tensor_type)
        }
    }
}

fn family(text: &str) -> Result<Family, String> {
    Family::named(text).ok_or_else(|| format!("known are {}", Family::names()))
}
