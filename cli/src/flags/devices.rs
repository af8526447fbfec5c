//! `cutq devices`.

use clap::Args;

/// How to tell.
#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}
