//! The answers as lines: over a connection that has no browser, or from a pipe.
//!
//! What the person writes comes from standard input, a line for each thing; everything for their eyes
//! goes to stderr.

use std::io::{self, BufRead};
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use anyhow::Result;

use super::draft::Draft;
use super::pile::{Act, Pile};
use crate::console::print;
use crate::judge::quote::Claim;
use crate::judge::reply::Reply;
use crate::judge::waiting::receive;

/// The lines of standard input. They go on where the sitting before left off.
pub struct Terminal {
    lines: Receiver<io::Result<String>>,
}

/// What a line means.
#[derive(Debug, PartialEq)]
enum Word<'a> {
    Act(Act),
    Keys,
    Complaint(usize),
    Quote(&'a str),
    Criticism(&'a str),
    Nothing,
    /// A letter that is no key.
    Slip,
}

const KEYS: &str = "\
    g  good: nothing is wrong        s  skip it: not judged now
    u  undo, as often as you like    e  to the end, with the rest not judged
    1 to 9  criticise it as before   f  at the end: finish
    > words   quote words of the answer; the criticism follows in the next line
    anything else is what is wrong; words \"in quotation marks\" are quoted, too";

impl<'a> Word<'a> {
    fn of(line: &'a str) -> Self {
        let line = line.trim();
        if let Some(quoted) = line.strip_prefix('>') {
            return Self::Quote(quoted.trim());
        }
        match line {
            "g" => Self::Act(Act::Good),
            "s" => Self::Act(Act::Skip),
            "u" => Self::Act(Act::Undo),
            "e" => Self::Act(Act::Leave),
            "f" => Self::Act(Act::Finish),
            "?" => Self::Keys,
            "" => Self::Nothing,
            _ => match line.as_bytes() {
                [digit @ b'1'..=b'9'] => Self::Complaint(usize::from(digit - b'0')),
                [_] => Self::Slip,
                _ => Self::Criticism(line),
            },
        }
    }
}

impl Terminal {
    /// Begins to read.
    pub fn start() -> Self {
        let (sender, lines) = channel();
        thread::spawn(move || {
            // Nobody listens any more once the judge is dropped.
            let _ = io::stdin().lock().lines().try_for_each(|line| sender.send(line));
        });
        Self { lines }
    }

    /// Shows answers and reads what the person says of them, until they have finished or write no
    /// more.
    ///
    /// # Errors
    /// If standard input cannot be read.
    pub fn sit(
        &self,
        pile: &mut Pile,
        stop: &dyn Fn() -> bool,
        received: &mut dyn FnMut(Reply) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut draft = show(pile);
        while !pile.is_finished() {
            // Ctrl-C, or no more lines.
            let Ok(line) = receive(&self.lines, None, stop) else { break };
            let line = line?;
            let Some(act) = understand(&line, pile, &mut draft) else { continue };
            match pile.act(act, said(act, pile, &draft)) {
                Err(refusal) => print(refusal),
                Ok(reply) => {
                    if reply.is_some_and(|reply| received(reply).is_break()) {
                        break;
                    }
                    if !pile.is_finished() {
                        draft = show(pile);
                    }
                }
            }
        }
        Ok(())
    }
}

/// What goes with an act. Quotes alone are no reason against a good answer; whoever goes away without a
/// word leaves what was written before.
fn said(act: Act, pile: &Pile, draft: &Draft) -> Draft {
    match (act, pile.present()) {
        (Act::Criticise, _) => draft.clone(),
        (Act::Good, _) | (_, None) => Draft::default(),
        (_, Some((_, before))) => before.clone(),
    }
}

/// What a line asks for; nothing if that is said, or part of `draft` now.
fn understand(line: &str, pile: &Pile, draft: &mut Draft) -> Option<Act> {
    match Word::of(line) {
        Word::Act(act) => return Some(act),
        Word::Keys => print(KEYS),
        Word::Nothing => print("nothing is saved by an empty line; ? shows the keys"),
        Word::Slip => print(format_args!("{} is no key; ? shows them", line.trim())),
        Word::Quote(words) => quote(words, pile, draft),
        Word::Criticism(text) => {
            text.clone_into(&mut draft.judgment);
            return Some(Act::Criticise);
        }
        Word::Complaint(key) => match pile.complaints().get(key - 1) {
            Some(text) => {
                print(format_args!("  {text}"));
                (*text).clone_into(&mut draft.judgment);
                return Some(Act::Criticise);
            }
            None => print(format_args!("there is no complaint {key} yet")),
        },
    }
    None
}

/// Adds every place of the answer at which `words` stand.
fn quote(words: &str, pile: &Pile, draft: &mut Draft) {
    let Some((answer, _)) = pile.present() else { return };
    let found = Claim::of_text(words.to_owned()).find(&answer.response);
    match found.len() {
        0 => print("the answer does not hold these words"),
        1 => print("quoted; now say what is wrong with it"),
        n => print(format_args!("quoted at {n} places; now say what is wrong with them")),
    }
    draft.quotes.extend(found);
    draft.quotes.sort_by_key(|quote| (quote.start, quote.end));
    draft.quotes.dedup();
}

/// Shows the present answer or the end; a new draft about it.
fn show(pile: &Pile) -> Draft {
    let counts = pile.counts();
    let Some((answer, before)) = pile.present() else {
        print(format_args!(
            "\nThe end: {} good, {} criticised, {} skipped, {} open\nf finishes, u goes back",
            counts.good, counts.criticised, counts.skipped, counts.open
        ));
        return Draft::default();
    };
    let left = pile.left().map(|left| format!(", about {} min left", left.as_secs().div_ceil(60)));
    print(format_args!("\n{} of {}{}", pile.number(), counts.total, left.unwrap_or_default()));
    print(visible(&answer.instruction()));
    print(format_args!("\n{}\n", indented(&visible(&answer.response))));
    if !before.is_empty() {
        print(format_args!("You wrote: {}", before.judgment));
    }
    for (key, complaint) in pile.complaints().iter().enumerate() {
        print(format_args!("{}  {complaint}", key + 1));
    }
    print("g good, s skip, u undo, ? keys, or what is wrong:");
    Draft::default()
}

/// A text without what would steer the terminal.
fn visible(text: &str) -> String {
    let shown = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::pile::tests::call;
    use super::*;

    #[test]
    fn a_line_is_a_key_or_criticism() {
        for (line, expected) in [
            ("g", Word::Act(Act::Good)),
            (" u \r", Word::Act(Act::Undo)),
            ("3", Word::Complaint(3)),
            ("3 is wrong", Word::Criticism("3 is wrong")),
            ("good", Word::Criticism("good")),
            ("> tree bark", Word::Quote("tree bark")),
            ("G", Word::Slip),
            ("0", Word::Slip),
            ("错", Word::Criticism("错")),
            ("  ", Word::Nothing),
        ] {
            assert_eq!(Word::of(line), expected, "{line:?}");
        }
    }

    #[test]
    fn quoted_words_are_found_and_control_characters_are_shown() {
        let pile = Pile::new(&[], &[call("🐝 hum, they hum")], 0, &[]);
        let mut draft = Draft::default();
        quote("hum", &pile, &mut draft);
        quote("sing", &pile, &mut draft);
        let places: Vec<_> = draft.quotes.iter().map(|quote| (quote.start, quote.end)).collect();
        assert_eq!(places, [(2, 5), (12, 15)]);
        assert_eq!(visible("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\nc");
    }
}
