//! `cutq models`: the families that can be trained, and what others have that is missing here.

use std::process::ExitCode;

use anyhow::Result;
use cutq_ffi::{Family, refused_families};
use serde::Serialize;

use crate::flags::ModelsArgs;
use crate::output;

/// What the command prints.
#[derive(Serialize)]
struct Report {
    families: Vec<Known>,
    refused: Vec<Refused>,
}

#[derive(Serialize)]
struct Known {
    architecture: &'static str,
    models: &'static str,
    /// The models on which tests compare it with PyTorch and llama.cpp.
    checked_on: Vec<&'static str>,
}

#[derive(Serialize)]
struct Refused {
    missing: &'static str,
    architectures: Vec<&'static str>,
}

/// Runs the command.
pub fn models(args: &ModelsArgs) -> Result<ExitCode> {
    let report = Report::new();
    output::print_as(args.json, &report, || report.table())?;
    Ok(ExitCode::SUCCESS)
}

impl Report {
    fn new() -> Self {
        let known = |family: Family| Known {
            architecture: family.name(),
            models: family.models(),
            checked_on: family.checked_on(),
        };
        Self {
            families: Family::ALL.into_iter().map(known).collect(),
            refused: refused_families()
                .map(|(missing, names)| Refused { missing, architectures: names.to_vec() })
                .collect(),
        }
    }

    fn table(&self) -> String {
        let mut lines =
            vec!["Families that can be trained, and what they are checked on:".to_owned()];
        lines.extend(self.families.iter().map(|family| {
            let Known { architecture, models, checked_on } = family;
            format!("  {architecture:13}  {models} ({})", checked_on.join(", "))
        }));
        lines.push("Families that cannot, and what they have that is missing:".to_owned());
        lines.extend(
            self.refused.iter().map(|refused| {
                format!("  {}: {}", refused.missing, refused.architectures.join(", "))
            }),
        );
        lines.join("\n") + "\n"
    }
}
