//! `cutq models`.

use clap::Args;

/// How to print them.
#[derive(Debug, Args)]
pub struct ModelsArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
