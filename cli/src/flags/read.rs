//! Flags about how data is read.

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::data::{FieldName, Format, Reading};

/// How data is read; in this form it is saved, too.
#[derive(Clone, Debug, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Data")]
pub struct ReadArgs {
    /// Fields of the data
    #[arg(long, value_enum, default_value = "auto")]
    pub format: Format,
    /// Read a field under another name: judgment=remark. Can be given several times
    #[arg(long = "field", value_name = "FIELD=NAME")]
    pub fields: Vec<FieldName>,
    /// Do without this field, even if it looks like criticism. Can be given several times
    #[arg(long = "ignore-field", value_name = "NAME")]
    pub ignored_fields: Vec<String>,
    /// Leave out lines that cannot be used and what the template refuses, and list them
    #[arg(long)]
    pub skip_bad_lines: bool,
}

impl Default for ReadArgs {
    /// As data is read that the program has written itself.
    fn default() -> Self {
        let (fields, ignored_fields) = (Vec::new(), Vec::new());
        Self { format: Format::Auto, fields, ignored_fields, skip_bad_lines: false }
    }
}

impl ReadArgs {
    /// The rules of reading.
    pub fn reading(&self) -> Reading<'_> {
        Reading {
            format: self.format,
            fields: &self.fields,
            ignored: &self.ignored_fields,
            skip_bad_lines: self.skip_bad_lines,
        }
    }
}
