//! The bundled judgments, `demo/judgments.jsonl`.

use std::path::Path;

use cutq_core::example::Example;
use cutq_core::group::Group;
use cutq_ffi::Tokenizer;
use serde::Deserialize;

/// One line of the file.
#[derive(Debug, Deserialize)]
pub struct Judgment {
    /// arithmetic, facts, format or tone.
    pub kind: String,
    /// What is asked.
    pub instruction: String,
    /// Appended to the instruction.
    pub input: String,
    /// The response.
    pub output: String,
    /// The criticism; `None` for a good response.
    pub judgment: Option<String>,
    /// The planted errors, `[start, end)` in characters of the response.
    pub errors: Vec<[usize; 2]>,
}

/// Reads the whole file.
///
/// # Panics
/// If a line is not what this type says.
pub fn read() -> Vec<Judgment> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/judgments.jsonl");
    let text = std::fs::read_to_string(&path).expect("the file is part of the project");
    let parse = |line: &str| serde_json::from_str(line).expect("a line is a judgment");
    text.lines().map(parse).collect()
}

impl Judgment {
    /// The example, without the marks.
    pub fn example(&self) -> Example {
        let judgment = self.judgment.as_deref();
        Example::from_instruction(&self.instruction, &self.input, &self.output, judgment)
    }

    /// For each token of the response but the last: whether it overlaps a planted error.
    pub fn wrong_tokens(&self, group: &Group, tokenizer: &Tokenizer) -> Vec<bool> {
        let byte = |character: usize| {
            let mut bytes = self.output.char_indices().map(|(at, _)| at);
            bytes.nth(character).unwrap_or(self.output.len())
        };
        let spans: Vec<[usize; 2]> = self.errors.iter().map(|span| span.map(byte)).collect();
        let mut end = 0;
        let tokens = &group.response[..group.response.len() - 1];
        let overlaps = tokens.iter().map(|&token| {
            let start = end;
            let piece = tokenizer.piece_bytes(token);
            end += piece.len();
            // A leading space belongs to the word, not to the error before it.
            let first = start + usize::from(piece.first() == Some(&b' '));
            spans.iter().any(|span| first < span[1] && span[0] < end)
        });
        let overlaps = overlaps.collect();
        assert_eq!(end, self.output.len(), "the tokens spell the response");
        overlaps
    }
}
