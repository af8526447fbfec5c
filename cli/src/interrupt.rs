//! Ctrl-C: the first one asks, the second one ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::console::Console;

/// What a shell reports for a program that Ctrl-C ended.
pub const INTERRUPTED: u8 = 130;

/// Whether the user, or the system's polite request to end, has asked to stop.
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Starts to listen; what is done before the end is said as `finishing`. Can be done once per
    /// process.
    ///
    /// # Errors
    /// If the system refuses the handler.
    pub fn listen(console: Console, finishing: &'static str) -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let handler = asked.clone();
        ctrlc::set_handler(move || {
            if handler.swap(true, Ordering::SeqCst) {
                // Files are written whole or line by line, so ending here loses little.
                std::process::exit(i32::from(INTERRUPTED));
            }
            console.warn(format_args!("\n{finishing}; press Ctrl-C again to stop at once"));
        })
        .context("cannot listen for Ctrl-C")?;
        Ok(Self(asked))
    }

    /// Whether to stop.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
