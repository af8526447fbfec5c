//! A count with a few samples, for reports.

use serde::Serialize;

use super::record::Origin;

/// How often something occurred, and where it did first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    /// How often.
    pub count: usize,
    /// The first few.
    pub samples: Vec<Sample>,
}

/// One occurrence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// File and line.
    pub origin: String,
    /// The text in question, shortened.
    pub text: String,
}

/// How many occurrences are shown.
pub(super) const SAMPLES: usize = 3;
/// How many characters of each.
const SHOWN: usize = 100;

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, origin: &Origin, text: &str) {
        self.count += 1;
        if self.samples.len() < SAMPLES {
            self.samples.push(Sample { origin: origin.to_string(), text: shortened(text) });
        }
    }
}

/// One line of at most [`SHOWN`] characters.
fn shortened(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn all_are_counted_and_few_are_kept() {
        let mut tally = Tally::default();
        for line in 1..=5 {
            let origin = Origin { file: Path::new("d").into(), line };
            tally.add(&origin, &"two\nlines ".repeat(20));
        }
        assert_eq!((tally.count, tally.samples.len()), (5, 3));
        let Sample { origin, text } = &tally.samples[2];
        assert_eq!((origin.as_str(), text.chars().count()), ("d:3", 101));
        assert!(text.starts_with("two lines two") && text.ends_with('…'));
    }
}
