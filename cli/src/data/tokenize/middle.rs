//! Texts without their middle: which message loses how much, and where a text may be cut.

use cutq_core::example::{Example, Message};
use unicode_segmentation::GraphemeCursor;

/// The example with `bytes` of its messages' texts at most. The longest texts lose first, down to a
/// common length; each loses its middle. Everything else stays.
///
/// One byte more makes one text longer by one character, or none where a character has several
/// bytes: what stays only ever grows with `bytes`.
pub fn without_middle(example: &Example, bytes: usize) -> Example {
    let shares = shares(&lengths(example), bytes);
    let messages = example.messages.iter().zip(shares).map(|(message, share)| Message {
        role: message.role.clone(),
        content: ends(&message.content, share),
        fields: message.fields.clone(),
    });
    Example {
        messages: messages.collect(),
        tools: example.tools.clone(),
        response: example.response.clone(),
        judgment: example.judgment.clone(),
        quotes: example.quotes.clone(),
        truncated: example.truncated,
    }
}

/// Whether no message has any text but blanks.
pub fn is_blank(example: &Example) -> bool {
    example.messages.iter().all(|message| message.content.trim().is_empty())
}

/// The message that loses most when `bytes` stay: its position and who speaks.
pub fn loses_most(example: &Example, bytes: usize) -> (usize, &str) {
    let lengths = lengths(example);
    let shares = shares(&lengths, bytes);
    let messages = example.messages.iter().map(|message| message.role.as_str()).enumerate();
    messages.max_by_key(|&(i, _)| lengths[i] - shares[i]).unwrap_or_default()
}

/// Bytes of each message's text.
pub fn lengths(example: &Example) -> Vec<usize> {
    example.messages.iter().map(|message| message.content.len()).collect()
}

/// Divides `total` among texts so that the shorter ones stay whole as far as that goes.
fn shares(lengths: &[usize], total: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&i| lengths[i]);
    let mut shares = vec![0; lengths.len()];
    let mut left = total;
    for (served, &i) in order.iter().enumerate() {
        shares[i] = lengths[i].min(left / (lengths.len() - served));
        left -= shares[i];
    }
    shares
}

/// Beginning and end of `text`, `bytes` together at most.
fn ends(text: &str, bytes: usize) -> String {
    if bytes >= text.len() {
        return text.to_owned();
    }
    let head = bytes / 2;
    let tail = text.len() - (bytes - head);
    [&text[..boundary_before(text, head)], &text[boundary_after(text, tail)..]].concat()
}

/// No character that anyone reads has more code points (a kiss in two skin tones has ten); longer
/// sequences are cut between code points, or a text of nothing but joiners would go in one piece.
const LONGEST_CHARACTER: usize = 16;

/// The last place at or before `at` where a character as people see it ends.
fn boundary_before(text: &str, at: usize) -> usize {
    let mut places = (0..=at).rev().filter(|&i| text.is_char_boundary(i)).take(LONGEST_CHARACTER);
    let nearest = places.next().unwrap_or(0);
    std::iter::once(nearest).chain(places).find(|&i| is_boundary(text, i)).unwrap_or(nearest)
}

/// The first such place at or after `at`.
fn boundary_after(text: &str, at: usize) -> usize {
    let mut places =
        (at..=text.len()).filter(|&i| text.is_char_boundary(i)).take(LONGEST_CHARACTER);
    let nearest = places.next().unwrap_or(text.len());
    std::iter::once(nearest).chain(places).find(|&i| is_boundary(text, i)).unwrap_or(nearest)
}

/// Whether a grapheme cluster begins or ends at `at`, which is between two code points.
fn is_boundary(text: &str, at: usize) -> bool {
    // A cursor that has the whole text never asks for more of it.
    GraphemeCursor::new(at, text.len(), true).is_boundary(text, 0).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_grow_one_by_one_and_the_longest_lose_first() {
        assert_eq!(shares(&[10, 3, 7], 15), [6, 3, 6]);
        assert_eq!(shares(&[10, 3, 7], 16), [7, 3, 6]);
        assert_eq!(shares(&[10, 3, 7], 19), [9, 3, 7]);
        assert_eq!(shares(&[10, 3, 7], 2), [1, 0, 1]);
        assert_eq!(shares(&[10, 3, 7], 99), [10, 3, 7]);
        assert_eq!(shares(&[], 5), [0; 0]);
        for total in 0..20 {
            let [less, more] = [total, total + 1].map(|total| shares(&[10, 3, 7], total));
            assert_eq!(less.iter().sum::<usize>(), total);
            assert!(less.iter().zip(&more).all(|(less, more)| less <= more), "{less:?} {more:?}");
        }
    }

    #[test]
    fn the_ends_stay_and_characters_stay_whole() {
        assert_eq!(ends("abcdefgh", 5), "abfgh");
        assert_eq!(ends("abcdefgh", 8), "abcdefgh");
        assert_eq!(ends("abcdefgh", 0), "");
        // Two, three and four bytes; a letter and its accent; a family; a flag.
        let whole = ["éé", "日日", "🦀🦀", "e\u{301}e\u{301}", "👩‍👩‍👧👩‍👩‍👧", "🇮🇳🇮🇳"];
        for text in whole {
            let half = &text[..text.len() / 2];
            let found: Vec<String> = (0..=text.len()).map(|bytes| ends(text, bytes)).collect();
            assert!(found.iter().all(|part| ["", half, text].contains(&&**part)), "{found:?}");
            assert!(found.is_sorted_by_key(String::len), "{found:?}");
        }
    }

    #[test]
    fn a_text_without_any_boundary_is_cut_all_the_same() {
        let joined = "👧\u{200d}".repeat(1000);
        for bytes in [100, 101, 3000, 6999] {
            let part = ends(&joined, bytes);
            assert!(
                part.len() <= bytes && part.len() + 8 * LONGEST_CHARACTER > bytes,
                "{} {bytes}",
                part.len()
            );
        }
    }
}
