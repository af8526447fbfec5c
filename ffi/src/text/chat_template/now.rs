//! The time that a template is told.

use std::fmt;
use std::str::FromStr;

use jiff::Zoned;
use jiff::civil::DateTime;
use jiff::fmt::strtime;

/// A date and time of day, for templates that print one: fixed, so that a run that is resumed trains
/// on the same prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now(DateTime);

impl Now {
    /// The time here, to the second.
    pub fn local() -> Self {
        let now = Zoned::now().datetime();
        Self(now.with().subsec_nanosecond(0).build().unwrap_or(now))
    }

    /// The time as `format` asks for it, in the directives of C's `strftime`.
    ///
    /// # Errors
    /// A directive that is not known, or one that needs a time zone.
    pub(super) fn format(self, format: &str) -> Result<String, String> {
        strtime::format(format, self.0).map_err(|error| error.to_string())
    }
}

impl fmt::Display for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Not a date and time such as `2026-01-31T12:00:00`.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a date and time such as 2026-01-31T12:00:00")]
pub struct NotATime {
    text: String,
}

impl FromStr for Now {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        text.parse().map(Self).map_err(|_| NotATime { text: text.to_owned() })
    }
}
