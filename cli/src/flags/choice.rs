//! Flags whose values are a library's type, which knows neither their names nor their help.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// A value that a flag can have: as it is typed, what `--help` says of it, and what it means.
pub type Choice<T> = (&'static str, &'static str, T);

/// Parses one of `choices`, and lists them in help and errors.
pub fn choice<T>(choices: &'static [Choice<T>]) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    let listed = choices.iter().map(|(name, help, _)| PossibleValue::new(*name).help(*help));
    PossibleValuesParser::new(listed).map(|typed| {
        let found = choices.iter().find(|(name, ..)| *name == typed);
        found.expect("clap lets only listed values through").2
    })
}
