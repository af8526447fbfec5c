//! `cutq devices`.

use clap::Args;

/// How to print them.
#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
