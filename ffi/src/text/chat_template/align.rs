//! Tells data from markup in what a template has printed.

use cutq_core::template::Piece;

/// A private-use character that no text has any use for, around a number.
pub(super) fn mark(index: usize) -> String {
    format!("\u{f8f0}{index}\u{f8f0}")
}

/// One text of an example, and whether it was given to the template in another form, too.
#[derive(Debug)]
pub(super) struct Text {
    /// As it is.
    pub text: String,
    /// Whether it stands inside JSON, where it may be written with escapes.
    pub in_json: bool,
}

impl Text {
    /// What a template may print of it: all of it, or without the blanks at its ends.
    fn forms(&self) -> Vec<String> {
        let text = self.text.as_str();
        let forms =
            [text, text.trim_end(), text.trim_start(), text.trim(), text.trim_matches('\n')];
        let escaped = |form: &str| {
            let json = serde_json::Value::from(form).to_string();
            json[1..json.len() - 1].to_owned()
        };
        let plain = forms.map(str::to_owned).into_iter();
        let escapes = forms.map(escaped).into_iter();
        plain.chain(escapes.filter(|_| self.in_json || text.contains(['"', '\\', '\n']))).collect()
    }
}

/// The pieces of `printed`, given what the template prints with marks in place of the texts.
///
/// The markup between the marks has to be in `printed`, in the same order, and between it each text
/// in one of its forms.
///
/// # Errors
/// The index of the first text that stands there in no form; the number of texts if it is the markup
/// that differs.
pub(super) fn pieces(printed: &str, marked: &str, texts: &[Text]) -> Result<Vec<Piece>, usize> {
    let (first, segments) = segments(marked, texts.len());
    let Some(mut rest) = printed.strip_prefix(first) else {
        return Err(texts.len());
    };
    let mut pieces = vec![Piece::Template(first.to_owned())];
    for (position, &(index, markup)) in segments.iter().enumerate() {
        let is_last = position + 1 == segments.len();
        let fits = |form: &String| {
            let after = rest.strip_prefix(form.as_str())?.strip_prefix(markup)?;
            (!is_last || after.is_empty()).then_some(after)
        };
        let found = texts[index].forms().into_iter().find_map(|form| Some((fits(&form)?, form)));
        let (after, form) = found.ok_or(index)?;
        pieces.extend([Piece::Data(form), Piece::Template(markup.to_owned())]);
        rest = after;
    }
    match rest.is_empty() {
        true => Ok(pieces),
        false => Err(texts.len()),
    }
}

/// The indices of the texts whose marks are in `marked`.
pub(super) fn printed(marked: &str, count: usize) -> Vec<usize> {
    segments(marked, count).1.into_iter().map(|(index, _)| index).collect()
}

/// The markup before the first mark, and each mark's index with the markup after it.
fn segments(marked: &str, count: usize) -> (&str, Vec<(usize, &str)>) {
    // A mark is a separator, its number and a separator.
    let mut parts = marked.split('\u{f8f0}');
    let first = parts.next().unwrap_or_default();
    let mut segments = Vec::new();
    while let (Some(number), Some(markup)) = (parts.next(), parts.next()) {
        if let Some(index) = number.parse().ok().filter(|&index: &usize| index < count) {
            segments.push((index, markup));
        }
    }
    (first, segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn align(printed: &str, marked: &str, texts: &[&str]) -> Result<Vec<String>, usize> {
        let texts: Vec<Text> =
            texts.iter().map(|text| Text { text: (*text).to_owned(), in_json: false }).collect();
        let pieces = pieces(printed, marked, &texts)?;
        let data = pieces.into_iter().filter_map(|piece| match piece {
            Piece::Data(text) => Some(text),
            Piece::Template(_) => None,
        });
        Ok(data.collect())
    }

    #[test]
    fn every_text_may_be_trimmed_on_its_own() {
        let marked = format!("<s>{}</s>\n<u>{}</u>", mark(0), mark(1));
        let texts = ["Be brief.\n", " Hello \n"];
        for (system, user) in [
            ("Be brief.\n", " Hello \n"),
            ("Be brief.", " Hello \n"),
            ("Be brief.\n", "Hello"),
            ("Be brief.", " Hello"),
            ("Be brief.", "Hello \n"),
        ] {
            let printed = format!("<s>{system}</s>\n<u>{user}</u>");
            assert_eq!(align(&printed, &marked, &texts), Ok(vec![system.into(), user.into()]));
        }
    }

    #[test]
    fn what_is_rewritten_is_named() {
        let marked = format!("<a>{}</a><b>{}</b>", mark(0), mark(1));
        assert_eq!(align("<a>x</a><b>Y</b>", &marked, &["x", "y"]), Err(1));
        assert_eq!(align("<c>x</c><b>y</b>", &marked, &["x", "y"]), Err(2));
        assert_eq!(align("<a>x</a><b>y</b>!", &marked, &["x", "y"]), Err(1));
    }

    #[test]
    fn a_text_may_be_printed_twice_or_as_json_and_may_look_like_markup() {
        let marked = format!("{}|\"{}\"", mark(0), mark(0));
        let printed = "say \"|\"|\"say \\\"|\\\"\"";
        assert_eq!(align(printed, &marked, &["say \"|\""]).map(|data| data.len()), Ok(2));
    }
}
