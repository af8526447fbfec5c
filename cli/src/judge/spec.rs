//! Who is asked, as a word on the command line.

use std::path::PathBuf;
use std::str::FromStr;

use super::http::Endpoint;
use super::human::Desk;

/// A judge by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    /// A program of the user's.
    Command(String),
    /// A language model behind a server.
    Http(Endpoint),
    /// A person, and where they sit.
    Human(Desk),
    /// Replies that were received before.
    Replay(PathBuf),
    /// A language model in this process.
    Model {
        /// A GGUF file.
        model: PathBuf,
        /// One of an adapter for it.
        adapter: Option<PathBuf>,
    },
}

/// A word that names no judge.
#[derive(Debug, thiserror::Error)]
#[error("{found:?} names no judge: {KINDS}")]
pub struct UnknownSpec {
    found: String,
}

/// The forms of a name.
const KINDS: &str = "write human, human:terminal, http://HOST/v1#MODEL, cmd:COMMAND, replay:FILE or \
    JUDGE.gguf[+ADAPTER.gguf]";

/// How files of models end.
const GGUF: &str = ".gguf";

impl Spec {
    /// Whether it is a language model, which is asked in words.
    pub fn is_model(&self) -> bool {
        match self {
            Self::Http(_) => true,
            Self::Command(_) | Self::Human(_) | Self::Replay(_) => false,
            Self::Model { .. } => true,
        }
    }
}

impl FromStr for Spec {
    type Err = UnknownSpec;

    fn from_str(text: &str) -> Result<Self, UnknownSpec> {
        match text {
            "human" => return Ok(Self::Human(Desk::Page)),
            "human:terminal" => return Ok(Self::Human(Desk::Terminal)),
            _ => {}
        }
        let rest = |kind: &str| text.strip_prefix(kind).filter(|rest| !rest.trim().is_empty());
        if let Some(command) = rest("cmd:") {
            return Ok(Self::Command(command.to_owned()));
        }
        if text.starts_with("http:") || text.starts_with("https:") {
            let endpoint = text.parse().map_err(|_| UnknownSpec { found: text.to_owned() })?;
            return Ok(Self::Http(endpoint));
        }
        if let Some(path) = rest("replay:") {
            return Ok(Self::Replay(path.into()));
        }
        let Some(files) = text.strip_suffix(GGUF).filter(|files| !files.is_empty()) else {
            return Err(UnknownSpec { found: text.to_owned() });
        };
        Ok(match files.split_once(".gguf+") {
            Some((model, adapter)) => Self::Model {
                model: format!("{model}{GGUF}").into(),
                adapter: Some(format!("{adapter}{GGUF}").into()),
            },
            None => Self::Model { model: text.into(), adapter: None },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_is_known_by_its_beginning() {
        let parse = |text: &str| text.parse::<Spec>();
        assert_eq!(
            parse("cmd:./judge.py --strict").ok(),
            Some(Spec::Command("./judge.py --strict".into()))
        );
        assert_eq!(parse("human").ok(), Some(Spec::Human(Desk::Page)));
        assert_eq!(parse("human:terminal").ok(), Some(Spec::Human(Desk::Terminal)));
        assert_eq!(parse("replay:calls.jsonl").ok(), Some(Spec::Replay("calls.jsonl".into())));
        let endpoint = "https://host/v1#m".parse().expect("an endpoint");
        assert_eq!(parse("https://host/v1#m").ok(), Some(Spec::Http(endpoint)));
        let model = |model: &str, adapter: Option<&str>| Spec::Model {
            model: model.into(),
            adapter: adapter.map(PathBuf::from),
        };
        assert_eq!(parse("a+b.gguf").ok(), Some(model("a+b.gguf", None)));
        assert_eq!(parse("a.gguf+b/c.gguf").ok(), Some(model("a.gguf", Some("b/c.gguf"))));
        for text in [
            ".gguf",
            "judge.py",
            "human:",
            "humane",
            "http://host/v1",
            "cmd:",
            "cmd: ",
            "replay:",
            "",
        ] {
            assert!(parse(text).expect_err(text).to_string().contains("names no judge"), "{text}");
        }
    }
}
