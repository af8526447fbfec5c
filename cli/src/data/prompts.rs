//! Prompts to answer, from the same files that judgments come in.

use std::collections::BTreeMap;
use std::path::Path;

use cutq_core::example::Example;

use super::formats;
use super::named::named;
use super::read::ReadError;

/// A prompt that has a name.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Unique in its file: the object's `id`, or else its line.
    pub id: String,
    /// The prompt; its response is empty.
    pub example: Example,
}

/// The prompts of a file.
#[derive(Debug, Default)]
pub struct Prompts {
    /// In the order of the file.
    pub prompts: Vec<Prompt>,
    /// Fields that nothing uses, each with the number of objects that have it.
    pub unused: BTreeMap<String, usize>,
}

impl Prompts {
    /// Reads a file, or standard input (`-`).
    ///
    /// # Errors
    /// A file that cannot be read or holds nothing; a line that is no prompt; an id that occurs twice.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let mut found = Self::default();
        for (id, prompt) in named(path, formats::prompt)? {
            for name in prompt.unused {
                *found.unused.entry(name).or_default() += 1;
            }
            found.prompts.push(Prompt { id, example: prompt.example });
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Prompts, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p.jsonl");
        std::fs::write(&path, text).expect("writes");
        Prompts::read(&path).map_err(|error| error.to_string())
    }

    fn ids(text: &str) -> Vec<String> {
        read(text).expect(text).prompts.into_iter().map(|prompt| prompt.id).collect()
    }

    #[test]
    fn a_prompt_is_called_by_its_id_or_its_line() {
        let text = "{\"prompt\":\"a\",\"id\":\"x\"}\n\n{\"prompt\":\"b\",\"output\":\"c\"}\n";
        assert_eq!(ids(text), ["x", "3"]);
        assert_eq!(read(text).expect("reads").unused["output"], 1);
        assert_eq!(ids("{\"data\": [\n{\"prompt\":\"a\"},\n{\"prompt\":\"b\"}]}"), ["2", "3"]);
    }

    #[test]
    fn what_is_no_prompt_stops_with_its_line() {
        for (text, message) in [
            ("Say hi.\n", "p.jsonl:1: not valid JSON"),
            ("{\"prompt\":\"a\"}\n{\"text\":\"b\"}\n", "p.jsonl:2: no prompt"),
            ("{\"prompt\":\"a\",\"id\":1}\n{\"prompt\":\"b\",\"id\":1}\n", "id \"1\" of line 1"),
            ("{\"prompt\":\"a\",\"id\":{}}\n", "p.jsonl:1: field `id` must be"),
            ("[]", "holds no examples"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(message), "{error}");
        }
    }
}
