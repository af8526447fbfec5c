//! Truncation of random examples, held against every way of cutting them.

use std::cell::Cell;
use std::convert::Infallible;
use std::path::Path;

use cutq_core::context::Contexts;
use cutq_core::example::{Example, Message};
use cutq_core::group::Group;
use cutq_core::objective::{Cut, Objective};
use cutq_core::template::{PaperTemplate, Piece, Template};
use indicatif::ProgressBar;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::middle::{lengths, without_middle};
use super::scripts::{SCRIPTS, Script, below};
use super::*;

/// Splits a text into tokens.
type Split = fn(&str) -> Vec<u32>;

/// A tokenizer that counts how often it is called.
struct Counted {
    split: Split,
    calls: Cell<usize>,
}

impl Encode for Counted {
    type Error = Infallible;

    fn prompt(&self, pieces: &[Piece]) -> Result<Vec<u32>, Infallible> {
        self.calls.set(self.calls.get() + 1);
        Ok((self.split)(&pieces.iter().map(Piece::text).collect::<String>()))
    }

    fn response(&self, text: &str) -> Result<Vec<u32>, Infallible> {
        Ok([(self.split)(text), vec![0]].concat())
    }

    /// Nothing is quoted here.
    fn piece(&self, _: u32) -> Vec<u8> {
        Vec::new()
    }
}

/// Tokenizers of every kind: those that split letters, and those that join them.
const SPLITS: [(&str, Split); 4] =
    [("bytes", bytes), ("characters", characters), ("words", words), ("pairs", pairs)];

fn bytes(text: &str) -> Vec<u32> {
    text.bytes().map(u32::from).collect()
}

fn characters(text: &str) -> Vec<u32> {
    text.chars().map(u32::from).collect()
}

fn words(text: &str) -> Vec<u32> {
    text.split_whitespace().map(|word| word.len() as u32).collect()
}

/// Two characters join where their sum says so, so that a cut changes the tokens after it.
fn pairs(text: &str) -> Vec<u32> {
    let mut ids: Vec<u32> = Vec::new();
    let mut joined = false;
    for id in characters(text) {
        match ids.last_mut().filter(|last| !joined && (**last + id) % 3 != 0) {
            Some(last) => (*last, joined) = (*last * 31 + id, true),
            None => {
                ids.push(id);
                joined = false;
            }
        }
    }
    ids
}

fn example(script: &Script, rng: &mut ChaCha8Rng) -> Example {
    let mut messages = vec![Message::new("user", script.text(rng, 40))];
    for _ in 0..below(rng, 3) {
        let parts = below(rng, 40);
        messages.insert(0, Message::new("system", script.text(rng, parts)));
    }
    let response = script.text(rng, 4);
    let judgment = (below(rng, 4) > 0).then(|| script.text(rng, 6));
    Example::from_messages(messages, &response, judgment.as_deref())
}

fn tokenize(
    encode: &Counted,
    example: &Example,
    max_length: usize,
) -> Result<(Group, TokenizeReport), TokenizeError> {
    let objective = Cut::paper();
    let tokenize = Tokenize {
        encode,
        template: &PaperTemplate,
        objective: &objective,
        max_length,
        context_length: 9999,
        on_long: OnLong::Truncate,
        skip_refused: false,
    };
    let origin = Origin { file: Path::new("d").into(), line: 1 };
    let (mut groups, report) =
        tokenize.all(&[Record { example: example.clone(), origin }], &ProgressBar::hidden())?;
    Ok((groups.remove(0), report))
}

/// The prompts with `bytes` of the texts, and their longest one.
fn prompts(split: Split, example: &Example, bytes: usize) -> (Encoded, usize) {
    let contexts = Cut::paper().contexts(example.is_judged());
    let example = without_middle(example, bytes);
    let pieces = prompts::render(&example, &PaperTemplate, contexts).expect("infallible");
    let encode = |pieces: Vec<Piece>| split(&pieces.iter().map(Piece::text).collect::<String>());
    let prompts = pieces.map(|pieces| pieces.map(encode));
    let longest = longest(&prompts, contexts);
    (prompts, longest)
}

/// The result is full, or one of those that fit while one byte more of text, which is one character
/// more, does not: joined tokens can make several of them.
#[test]
fn what_is_cut_is_full_or_would_not_fit_with_one_more_character() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for (script, (name, split)) in SCRIPTS.iter().flat_map(|s| SPLITS.map(|split| (s, split))) {
        for _ in 0..6 {
            let example = example(script, &mut rng);
            let all: usize = lengths(&example).iter().sum();
            let response = [split(&example.response), vec![0]].concat();
            let ways: Vec<_> = (0..=all).map(|bytes| prompts(split, &example, bytes)).collect();
            let (least, most) = (ways[0].1, ways[all].1);
            let room = least + below(&mut rng, most + 2 - least);
            let encode = Counted { split, calls: Cell::new(0) };
            let max_length = room + response.len();
            let Ok((group, report)) = tokenize(&encode, &example, max_length) else {
                let fits = ways.iter().rposition(|way| way.1 <= room).expect("without text");
                // Less than a character at each end of three messages.
                assert!(fits <= 6 * 20, "{} {name}: {fits} bytes fit", script.name);
                continue;
            };
            assert_eq!(group.response, response, "{} {name}", script.name);
            assert!(report.longest <= max_length, "{} {name}", script.name);
            let whole = group.prompts == ways[all].0;
            assert_eq!(report.truncated, usize::from(!whole && most > room));
            let tight = ways.windows(2).any(|way| {
                let full = way[0].1 == room || (way[0].1 < room && way[1].1 > room);
                full && way[0].0 == group.prompts
            });
            assert!(tight || most <= room, "{} {name}: room {room}", script.name);
            let tries = encode.calls.get() / if example.is_judged() { 2 } else { 1 };
            let bound = 3.0 + 1.5 * (all as f64).log2();
            assert!(tries as f64 <= bound, "{} {name}: {tries} for {all}", script.name);
        }
    }
}

/// With one token per character the text can be read back from the ids.
#[test]
fn template_and_judgment_stay_whole_and_the_ends_of_the_text() {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    for script in &SCRIPTS {
        let (text, judgment) = (script.text(&mut rng, 300), script.text(&mut rng, 8));
        let example = Example::from_instruction(&text, "", "yes", Some(&judgment));
        let encode = Counted { split: characters, calls: Cell::new(0) };
        let (group, report) = tokenize(&encode, &example, 450).expect("fits once cut");
        assert_eq!(report.truncated, 1, "{}", script.name);
        for (judgment, ids) in
            [(None, &group.prompts.plain), (Some(&*judgment), &group.prompts.judged)]
        {
            let ids = ids.as_ref().expect("both are read");
            let prompt: String = ids.iter().filter_map(|&id| char::from_u32(id)).collect();
            let pieces = PaperTemplate.prompt(&example, judgment).expect("infallible");
            let after: String = pieces[2..].iter().map(Piece::text).collect();
            let kept = prompt.strip_prefix(pieces[0].text()).expect("the template's beginning");
            let kept = kept.strip_suffix(&after).expect("judgment and the template's end");
            let half = |ratio: usize| kept.floor_char_boundary(kept.len() / 3 * ratio);
            assert!(kept.len() > 100, "{}: {kept}", script.name);
            assert!(text.starts_with(&kept[..half(1)]), "{}: {kept}", script.name);
            assert!(text.ends_with(&kept[half(2)..]), "{}: {kept}", script.name);
        }
    }
}

#[test]
fn a_text_of_a_million_characters_takes_few_looks() {
    let text = "Count the ships in the harbour. ".repeat(31_250);
    for split in [bytes, characters, pairs] {
        let example = Example::from_instruction(&text, "", "nine", None);
        let encode = Counted { split, calls: Cell::new(0) };
        let (_, report) = tokenize(&encode, &example, 2048).expect("fits once cut");
        assert!(report.longest <= 2048 && report.longest >= 2047, "{}", report.longest);
        assert!(encode.calls.get() <= 12, "{}", encode.calls.get());
        let exact = split(&text).len();
        let cut = exact + 26 - report.longest;
        assert!(report.cut_tokens.abs_diff(cut) < exact / 50, "{} {cut}", report.cut_tokens);
    }
}

/// Contexts that are not read do not count.
#[test]
fn only_contexts_that_are_read_are_made_to_fit() {
    let contexts = Contexts::PLAIN;
    let encoded = Encoded { plain: Some(vec![1]), judged: Some(vec![1, 2]), contrast: None };
    assert_eq!(longest(&encoded, contexts), 1);
}
