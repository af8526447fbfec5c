//! From files to tokens, the same way for every command; what is left out is listed as it happens.

use std::path::PathBuf;

use cutq_core::group::Group;
use cutq_core::objective::Objective;
use cutq_core::template::Template;

use super::read::{ReadError, Reading, Records};
use super::record::Record;
use super::report::Report;
use super::screen::{ScreenError, Screening};
use super::tally::Tally;
use super::tokenize::{Encode, Tokenize, TokenizeError};
use crate::console::Console;

/// Data that is ready for a template.
pub struct Loaded {
    /// The examples that stay.
    pub records: Vec<Record>,
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

impl Loaded {
    /// Reads the files and screens what they hold.
    ///
    /// # Errors
    /// See [`Reading::files`] and [`Screening::apply`].
    pub fn load(
        files: &[PathBuf],
        reading: Reading<'_>,
        screening: &Screening,
        console: Console,
    ) -> Result<Self, LoadError> {
        let Records { good, skipped, understood } =
            reading.files(files, &console.bar("read", None))?;
        let mut bad_lines = Tally::default();
        for bad in &skipped {
            console.warn(format_args!("skipped: {bad}"));
            bad_lines.add(&bad.origin, &bad.problem.to_string());
        }
        let (records, screened) = screening.apply(good)?;
        let report = Report { understood, bad_lines, screened, tokenized: None };
        Ok(Self { records, report })
    }

    /// The examples' tokens; what became of them is in the report then.
    ///
    /// # Errors
    /// See [`Tokenize::all`].
    pub fn tokenize<E, T, O>(
        &mut self,
        tokenize: &Tokenize<'_, E, T, O>,
        console: Console,
    ) -> Result<Vec<Group>, TokenizeError>
    where
        E: Encode,
        T: Template,
        T::Error: std::error::Error + Send + Sync + 'static,
        O: Objective,
    {
        let n = self.records.len();
        let (groups, tokenized) =
            tokenize.all(&self.records, &console.bar("tokenized", Some(n)))?;
        for refused in &tokenized.refused {
            console.warn(format_args!("skipped: {refused}"));
        }
        self.report.tokenized = Some(tokenized);
        Ok(groups)
    }
}
