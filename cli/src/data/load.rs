//! Reading and screening in one, the same for every command.

use std::path::PathBuf;

use crate::console::Console;

use super::read::{BadLine, ReadError, Reading, Records};
use super::record::Record;
use super::report::Report;
use super::screen::{ScreenError, Screening};
use super::tally::Tally;

/// Data that is ready for a template.
pub struct Loaded {
    /// The examples that stay.
    pub records: Vec<Record>,
    /// Lines that were left out.
    pub bad_lines: Vec<BadLine>,
    /// What was done so far.
    pub report: Report,
}

/// Why there is no data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Screening stopped.
    #[error(transparent)]
    Screen(#[from] ScreenError),
}

/// Reads the files and screens what they hold; `console` shows how far it is.
///
/// # Errors
/// See [`Reading::files`] and [`Screening::apply`].
pub fn load(
    files: &[PathBuf],
    reading: Reading<'_>,
    screening: &Screening,
    console: Console,
) -> Result<Loaded, LoadError> {
    let Records { good, skipped, understood } = reading.files(files, &console.bar("read", None))?;
    let mut bad_lines = Tally::default();
    for bad in &skipped {
        bad_lines.add(&bad.origin, &bad.problem.to_string());
    }
    let (records, screened) = screening.apply(good)?;
    let report = Report { understood, bad_lines, screened, tokenized: None };
    Ok(Loaded { records, bad_lines: skipped, report })
}
