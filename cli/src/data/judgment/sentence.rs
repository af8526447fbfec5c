//! A text's sentences, without what surrounds and ends them.

use std::sync::LazyLock;

use regex::Regex;

/// Pictures of applause.
pub(super) const APPLAUSE: &str = "👍👏👌🎉🎊✅✔✓☑😊😀😃😄😁😍🤩🥳🙌❤♥💯🏆🥇🌟✨💪🔥";

/// A letter's end: "Best regards, Tom".
static SIGNATURE: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?ix)\n\s*
        (best|best\ wishes|((best|kind|warm)\ )?regards|cheers|sincerely|thanks),?\s*\n\s*
        \w+(\ \w\.)?\s*$";
    Regex::new(pattern).expect("the pattern is a constant")
});

/// What stands before a line: a list's sign or a heading.
static LABEL: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?ix)^([-•*+]\ |\d{1,2}[.)]\ |\#+\ )?[*_\ ]*
        ((overall|final|my)\ )?((verdict|judge?ment|rating|score|overall|feedback|assessment|evaluation
        |conclusion|critique|result|comment)[*_\ ]*:[*_\ ]*)?";
    Regex::new(pattern).expect("the pattern is a constant")
});

/// The sentences of `text`, one after the other. A dot within a number or a name ends nothing.
pub(super) fn sentences(text: &str) -> impl Iterator<Item = String> {
    let mut rest = SIGNATURE.find(text).map_or(text, |signature| &text[..signature.start()]);
    let next = move || {
        if rest.is_empty() {
            return None;
        }
        let (sentence, after) = rest.split_at(end_of_sentence(rest));
        rest = after;
        Some(tidy(sentence))
    };
    std::iter::from_fn(next).filter(|sentence| !sentence.is_empty())
}

/// Where the first sentence ends, its mark included.
fn end_of_sentence(text: &str) -> usize {
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let ends = match letter {
            '!' | '\n' | '。' | '！' => true,
            // "1." begins an entry of a list.
            '.' if at <= 2 && text[..at].bytes().all(|b| b.is_ascii_digit()) && at > 0 => false,
            '.' => letters.peek().is_none_or(|(_, next)| is_edge(*next) || ".!".contains(*next)),
            _ => false,
        };
        if ends {
            return at + letter.len_utf8();
        }
    }
    text.len()
}

/// The words alone, with one blank between them, whatever was typed.
fn tidy(sentence: &str) -> String {
    let words = sentence.trim();
    let label = LABEL.find(words).map_or(0, |label| label.end());
    let words = words[label..].trim_end_matches(['.', '!', '。', '！']).trim_matches(is_edge);
    let words: Vec<&str> = words.trim_start_matches(['.', '!']).split_whitespace().collect();
    words.join(" ").replace('’', "'")
}

fn is_edge(letter: char) -> bool {
    letter.is_whitespace()
        || "\"'“”‘’`*_#()\u{fe0f}🏻🏼🏽🏾🏿".contains(letter)
        || APPLAUSE.contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        sentences(text).collect()
    }

    #[test]
    fn marks_end_sentences_and_dots_within_words_do_not() {
        assert_eq!(
            list("It costs 2.50. Good!!  Well \t done"),
            ["It costs 2.50", "Good", "Well done"]
        );
        assert_eq!(list("很好。完美！"), ["很好", "完美"]);
        assert_eq!(list("1. Right.\n2. Clear"), ["Right", "Clear"]);
    }

    #[test]
    fn headings_emphasis_applause_and_greetings_are_left_out() {
        assert_eq!(list("**Verdict:** *Right.* 👍"), ["Right"]);
        assert_eq!(list("Right.\n\nBest regards,\nAda"), ["Right"]);
        assert_eq!(list("[ ] Right"), ["[ ] Right"]);
        assert!(list("👍🏽!").is_empty());
    }
}
