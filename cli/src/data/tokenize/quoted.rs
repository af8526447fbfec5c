//! Which tokens of a response are quoted.

use std::ops::Range;

/// For each token whether it has a part other than blanks in one of `quotes`, byte ranges of
/// `response`; `pieces` are the tokens' bytes.
///
/// The tokens may lack the response's beginning, where the prompt has it already. `None` if they do
/// not spell the rest, or no quote is in it.
pub(super) fn tokens(
    response: &str,
    pieces: &[Vec<u8>],
    quotes: &[Range<usize>],
) -> Option<Vec<bool>> {
    let text = response.as_bytes();
    let mut end = text.len().checked_sub(pieces.iter().map(Vec::len).sum())?;
    if text[end..] != pieces.concat() {
        return None;
    }
    let is_quoted = |piece: &Vec<u8>| {
        let start = end;
        end += piece.len();
        quotes.iter().any(|quote| {
            let common = quote.start.max(start)..quote.end.min(end);
            text.get(common).is_some_and(|common| !common.iter().all(u8::is_ascii_whitespace))
        })
    };
    let quoted: Vec<bool> = pieces.iter().map(is_quoted).collect();
    quoted.contains(&true).then_some(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tokenize::scripts::{SCRIPTS, below};
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    fn quoted(response: &str, pieces: &[&[u8]], quotes: &[&str]) -> Option<Vec<bool>> {
        let pieces: Vec<_> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let range = |quote: &&str| {
            let start = response.find(quote).expect("is there");
            start..start + quote.len()
        };
        tokens(response, &pieces, &quotes.iter().map(range).collect::<Vec<_>>())
    }

    #[test]
    fn a_token_counts_with_any_part_but_blanks() {
        let pieces: &[&[u8]] = &[b"from", b" tree", b" ba", b"rk, ", b"and", b""];
        let marks = |quotes: &[&str]| {
            let marks = quoted("from tree bark, and", pieces, quotes).expect("spells");
            marks.iter().map(|is| if *is { 'x' } else { '.' }).collect::<String>()
        };
        assert_eq!(marks(&["tree bark"]), ".xxx..");
        assert_eq!(marks(&["from "]), "x.....");
        assert_eq!(marks(&["r"]), "x.....");
        assert_eq!(marks(&["rk", "and"]), "...xx.");
    }

    #[test]
    fn characters_over_several_tokens_are_quoted_whole() {
        let euro = "€".as_bytes();
        let pieces: &[&[u8]] = &[b"3 ", &euro[..1], &euro[1..], b"!"];
        let expected = Some(vec![false, true, true, false]);
        assert_eq!(quoted("3 €!", pieces, &["€"]), expected);
    }

    #[test]
    fn tokens_may_lack_the_beginning_and_nothing_else() {
        let response = "<think>no</think>yes";
        assert_eq!(quoted(response, &[b"no</think>", b"yes"], &["yes"]), Some(vec![false, true]));
        assert_eq!(quoted(response, &[b"no</think>", b"yes"], &["<think>"]), None);
        assert_eq!(quoted(response, &[b"no</think>", b"yet"], &["no"]), None);
        assert_eq!(quoted("a", &[b"ab"], &["a"]), None);
    }

    /// Texts cut at random bytes, characters included, and random quotes: what is quoted of a token is
    /// counted byte by byte.
    #[test]
    fn a_token_is_quoted_exactly_if_a_byte_of_it_is_that_is_no_blank() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for script in &SCRIPTS {
            for _ in 0..50 {
                let text = script.text(&mut rng, 12);
                let mut pieces = vec![Vec::new()];
                for byte in text.bytes() {
                    if below(&mut rng, 3) == 0 {
                        pieces.push(Vec::new());
                    }
                    pieces.last_mut().expect("one at least").push(byte);
                }
                // The end of a response has no text of its own.
                pieces.push(Vec::new());
                let mut quote = || {
                    let mut ends =
                        [0, 1].map(|_| text.floor_char_boundary(below(&mut rng, text.len())));
                    ends.sort_unstable();
                    ends[0]..ends[1]
                };
                let quotes = [quote(), quote()];
                let is_marked = |at: usize| {
                    let in_quote = quotes.iter().any(|quote| quote.contains(&at));
                    in_quote && !text.as_bytes()[at].is_ascii_whitespace()
                };
                let mut bytes = 0..text.len();
                let expected: Vec<bool> = pieces
                    .iter()
                    .map(|piece| {
                        bytes.by_ref().take(piece.len()).filter(|&at| is_marked(at)).count() > 0
                    })
                    .collect();
                let found = tokens(&text, &pieces, &quotes);
                let expected = Some(expected).filter(|marks| marks.contains(&true));
                assert_eq!(found, expected, "{}: {text:?} {quotes:?}", script.name);
            }
        }
    }
}
