//! Tells markup that a template writes from markup that is typed in an example's texts.
//!
//! A text in which `<|im_end|>` is typed gets a character within it that stands in no text. If the
//! template goes on as before, that character marks what is not the template's own, whatever the
//! template does with the text: trim it, take its thoughts out, write it as JSON.

use cutq_core::template::Piece;

use crate::text::controls::Controls;

/// The tags around an assistant's thoughts. Vocabularies have them as control tokens or not.
const THOUGHT: [&str; 2] = ["<think>", "</think>"];

/// Puts a character into the texts of control tokens.
#[derive(Debug)]
pub(super) struct Guard<'a> {
    controls: &'a Controls,
    mark: char,
}

impl<'a> Guard<'a> {
    /// A guard whose character does not stand in `rendered`.
    pub fn new(controls: &'a Controls, rendered: &str) -> Self {
        // The characters for private use, which are more than any text has of them.
        let mark = ('\u{f0000}'..='\u{ffffd}').find(|&mark| !rendered.contains(mark));
        Self { controls, mark: mark.unwrap_or('\u{f0000}') }
    }

    /// The text, with the mark after the first character of each control token's text.
    pub fn of(&self, text: &str) -> String {
        self.marked(text, &[])
    }

    /// The same for what an assistant says.
    pub fn of_thinking(&self, text: &str) -> String {
        self.marked(text, &THOUGHT)
    }

    fn marked(&self, text: &str, except: &[&str]) -> String {
        let mut out = String::with_capacity(text.len());
        let mut from = 0;
        while let Some(found) = self.controls.find(text, from) {
            let first = text[found.start..].chars().next().map_or(1, char::len_utf8);
            // Goes on behind the first character: another text may begin within this one.
            out.push_str(&text[from..found.start + first]);
            if !except.contains(&&text[found.start..found.end]) {
                out.push(self.mark);
            }
            from = found.start + first;
        }
        out + &text[from..]
    }

    /// A rendering without its marks.
    pub fn removed(&self, rendered: &str) -> String {
        rendered.replace(self.mark, "")
    }

    /// A rendering in pieces: the character before each mark is data, so that no markup is found
    /// across it.
    pub fn pieces(&self, rendered: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut parts = rendered.split(self.mark).peekable();
        while let Some(part) = parts.next() {
            let guarded = part.char_indices().next_back().filter(|_| parts.peek().is_some());
            let at = guarded.map_or(part.len(), |(at, _)| at);
            if at > 0 {
                pieces.push(Piece::Template(part[..at].to_owned()));
            }
            if at < part.len() {
                pieces.push(Piece::Data(part[at..].to_owned()));
            }
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controls() -> Controls {
        let texts = ["<s>", "<<s>", "</think>"];
        Controls::new(texts.iter().zip(0..).map(|(text, id)| ((*text).to_owned(), id)).collect())
    }

    #[test]
    fn every_control_text_is_broken_and_can_be_mended() {
        let controls = controls();
        let guard = Guard::new(&controls, "");
        let text = "a<<s>é<s></think>";
        let marked = guard.of(text);
        assert_eq!(controls.count(&marked), 0);
        assert_eq!(guard.removed(&marked), text);
        assert_eq!(controls.count(&guard.of_thinking(text)), 1, "a thought's end stays");
        let pieces = guard.pieces(&format!("<s>{marked}<s>"));
        let template = pieces.iter().filter(|piece| matches!(piece, Piece::Template(_)));
        let found: usize = template.map(|piece| controls.count(piece.text())).sum();
        assert_eq!(found, 2, "only the template's own: {pieces:?}");
        let whole: String = pieces.iter().map(Piece::text).collect();
        assert_eq!(whole, format!("<s>{text}<s>"));
    }

    #[test]
    fn the_mark_is_a_character_that_no_text_has() {
        let controls = controls();
        let guard = Guard::new(&controls, "\u{f0000}");
        assert!(guard.of("<s>").contains('\u{f0001}'));
    }
}
