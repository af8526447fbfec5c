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
}
