//! What a person wrote most often, so that they need not write it again.

use std::collections::HashMap;

/// As many as there are keys, 1 to 9.
const MOST: usize = 9;

/// The most frequent texts, oldest first in `said`; of equals the last one comes first.
pub fn frequent<'a>(said: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found: HashMap<&str, (usize, usize)> = HashMap::new();
    for (at, text) in said.enumerate() {
        let (times, last) = found.entry(text).or_default();
        (*times, *last) = (*times + 1, at);
    }
    let mut texts: Vec<(&str, (usize, usize))> = found.into_iter().collect();
    texts.sort_by_key(|(_, place)| std::cmp::Reverse(*place));
    texts.into_iter().take(MOST).map(|(text, _)| text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_often_and_lately_comes_first() {
        assert_eq!(frequent(["a", "b", "c", "b"].into_iter()), ["b", "c", "a"]);
        assert_eq!(frequent([].into_iter()), [""; 0]);
        let many: Vec<String> = (0..20).map(|i| i.to_string()).collect();
        assert_eq!(frequent(many.iter().map(String::as_str)).len(), MOST);
    }
}
