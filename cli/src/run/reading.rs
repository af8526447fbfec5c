//! Whether a model reads its criticism: what the contrast finds of what judges quoted.

use std::fmt;

use cutq_core::trainer::QuoteCounts;

/// Below this many times the base rate, what the contrast finds may as well be chance.
const CHANCE: f64 = 1.5;

/// What the contrast finds of what judges quoted, for a reader.
pub struct Reading(pub QuoteCounts);

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.0;
        let (quoted, hits, recall) = (counts.quoted, counts.hits, counts.recall());
        write!(f, "the contrast finds {hits} of {quoted} quoted tokens (recall {recall:.2}")?;
        let (Some(precision), Some(lift)) = (counts.precision(), counts.lift()) else {
            return write!(f, ") and no other: the model does not read its criticism");
        };
        write!(f, ", precision {precision:.2}, {lift:.1} × the base rate)")?;
        match lift < CHANCE {
            true => write!(f, ": hardly better than chance, the model does not read its criticism"),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_named() {
        let text = |raised, hits| {
            Reading(QuoteCounts { tokens: 200, quoted: 20, raised, hits }).to_string()
        };
        assert_eq!(
            text(40, 8),
            "the contrast finds 8 of 20 quoted tokens (recall 0.40, precision 0.20, 2.0 × the base \
             rate)"
        );
        assert!(text(40, 5).ends_with(
            "1.2 × the base rate): hardly better than chance, the model does not read its criticism"
        ));
        assert!(text(0, 0).ends_with("and no other: the model does not read its criticism"));
    }
}
