//! Numbers within their range, checked where they are typed.

use std::ops::RangeBounds;

fn number(text: &str, range: impl RangeBounds<f64>, words: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if value.is_finite() && range.contains(&value) {
        Ok(value)
    } else {
        Err(format!("must be {words}"))
    }
}

/// A finite number above 0.
pub fn positive(text: &str) -> Result<f64, String> {
    number(text, f64::MIN_POSITIVE.., "above 0")
}

/// A finite number of at least 0.
pub fn non_negative(text: &str) -> Result<f64, String> {
    number(text, 0.0.., "at least 0")
}

/// A number from 0 to 1.
pub fn share(text: &str) -> Result<f64, String> {
    number(text, 0.0..=1.0, "between 0 and 1")
}

/// A number from 0 to 1, but not 1.
pub fn partial_share(text: &str) -> Result<f64, String> {
    number(text, 0.0..1.0, "at least 0 and below 1")
}

/// A number between 0 and 1, but neither.
pub fn inner_share(text: &str) -> Result<f64, String> {
    let range = (std::ops::Bound::Excluded(0.0), std::ops::Bound::Excluded(1.0));
    number(text, range, "above 0 and below 1")
}

/// A whole number of at least 1.
pub fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err("not a whole number of at least 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_the_ranges() {
        assert!(positive("0").is_err() && positive("1e-9").is_ok() && positive("inf").is_err());
        assert!(non_negative("0").is_ok() && non_negative("-1").is_err());
        assert!(share("1").is_ok() && share("1.1").is_err() && share("nan").is_err());
        assert!(partial_share("0").is_ok() && partial_share("1").is_err());
        assert!(
            inner_share("0").is_err() && inner_share("0.5").is_ok() && inner_share("1").is_err()
        );
        assert!(count("0").is_err() && count("3") == Ok(3) && count("1.5").is_err());
    }
}
