//! Holds the engine against llama.cpp's over the templates that llama.cpp ships. `make
//! test-templates` builds what is needed: CUTQ_TEMPLATES is their folder, CUTQ_RENDER the program of
//! `tests/templates`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value as JsonValue, json};

use super::*;

/// Where the two differ: template, conversation (or all of them), reason.
const DIFFERENCES: [(&str, &str, &str); 4] = [
    ("Kimi-K2-Instruct", "call", "it appends to a list, and lists of this engine do not change"),
    ("Kimi-K2-Thinking", "call", "it appends to a list, and lists of this engine do not change"),
    (
        "fireworks-ai-llama-3-firefunction-v2",
        "all",
        "it adds a variable that nobody gives to a text, an error in Python, too",
    ),
    (
        "meetkai-functionary-medium-v3.2",
        "call",
        "it wants arguments as JSON text and gets them so; llama.cpp prints an object as Python does",
    ),
];

const BOS: &str = "<bos>";
const EOS: &str = "<eos>";

/// Conversations of every kind, by name.
fn conversations() -> Vec<(&'static str, Example)> {
    let chat = |turns: &[(&str, &str)]| {
        let messages = turns.iter().map(|(role, content)| Message::new(role, *content)).collect();
        Example::from_messages(messages, "", None)
    };
    let one = ("user", "What is 3 + 4?");
    let tools = json!([{"type": "function", "function": {"name": "tide", "description": "When the \
        tide is high", "parameters": {"type": "object", "properties": {"port": {"type": "string",
        "description": "Where"}}, "required": ["port"]}}}]);
    let mut offered = chat(&[("system", "Be brief."), one]);
    offered.tools = Some(tools.to_string());
    let mut called = chat(&[("user", "When is high tide?"), ("assistant", ""), ("tool", "14:20")]);
    called.tools = offered.tools.clone();
    let call = json!([{"type": "function", "id": "call00001",
        "function": {"name": "tide", "arguments": {"port": "Brest"}}}]);
    called.messages[1].fields = vec![("tool_calls".to_owned(), call.to_string())];
    called.messages[2].fields = vec![("tool_call_id".to_owned(), "\"call00001\"".to_owned())];
    vec![
        ("one turn", chat(&[one])),
        ("system", chat(&[("system", "Be brief."), one])),
        ("turns", chat(&[one, ("assistant", "7"), ("user", "And 3 + 5?")])),
        (
            "thoughts",
            chat(&[one, ("assistant", "<think>\nhm\n</think>\n\n7"), ("user", "And 3 + 5?")]),
        ),
        ("tools", offered),
        ("call", called),
    ]
}

/// What llama.cpp prints for each conversation, or why not.
fn llama_cpp(template: &Path, conversations: &[(&str, Example)]) -> Vec<Result<String, String>> {
    let mut lines = String::new();
    for (_, example) in conversations {
        let conversation = Conversation::new(&example.messages, example.tools.as_deref(), None);
        let variables = conversation.expect("JSON").variables(Shape::default());
        let mut given: Map<String, JsonValue> = variables
            .into_iter()
            .filter(|(_, value)| !value.is_none())
            .map(|(name, value)| (name.to_owned(), serde_json::to_value(value).expect("JSON")))
            .collect();
        let common = json!({"add_generation_prompt": true, "bos_token": BOS, "eos_token": EOS});
        given.extend(common.as_object().expect("an object").clone());
        let given = JsonValue::Object(given);
        lines += &format!("{given}\n");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), lines).expect("writes");
    let program = std::env::var_os("CUTQ_RENDER").expect("make test-templates sets CUTQ_RENDER");
    let output = Command::new(program).arg(template).arg(file.path()).output().expect("runs");
    let result = |line: &str| {
        let result: JsonValue = serde_json::from_str(line).expect("JSON");
        let text = |name: &str| result[name].as_str().map(str::to_owned);
        text("text").ok_or_else(|| text("error").unwrap_or_default())
    };
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(result).collect()
}

fn ours(source: &str, example: &Example) -> Result<String, String> {
    let now = "1970-01-01T00:00:00".parse().expect("a time");
    let [bos_token, eos_token] = [BOS, EOS].map(str::to_owned);
    let vocabulary = Vocabulary { controls: Arc::default(), bos_token, eos_token };
    let template = ChatTemplate::new(source, "it".to_owned(), vocabulary, now);
    let pieces = template.and_then(|template| template.prompt(example, None));
    pieces.map(|pieces| pieces.iter().map(Piece::text).collect()).map_err(|error| error.to_string())
}

#[test]
#[ignore = "needs the source of llama.cpp: make test-templates"]
fn every_template_that_llama_cpp_ships_prints_the_same() {
    let folder = std::env::var_os("CUTQ_TEMPLATES").expect("make test-templates sets it");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jinja"))
        .collect();
    paths.sort();
    let conversations = conversations();
    let (mut same, mut refused, mut wrong) = (0, 0, Vec::new());
    let mut differing = BTreeSet::new();
    for path in &paths {
        let name = path.file_stem().expect("a name").to_string_lossy();
        let source = std::fs::read_to_string(path).expect("reads");
        let expected = llama_cpp(path, &conversations);
        assert_eq!(expected.len(), conversations.len(), "{name}");
        for ((kind, example), expected) in conversations.iter().zip(expected) {
            let is_it = |(n, k, _): &(&str, &str, &str)| *n == name && [*kind, "all"].contains(k);
            let known = DIFFERENCES.iter().position(is_it);
            match (ours(&source, example), expected) {
                (Ok(found), Ok(expected)) if found == expected => same += 1,
                (Err(_), Err(_)) => refused += 1,
                _ if known.is_some() => differing.extend(known),
                (found, expected) => {
                    wrong.push(format!("{name}, {kind}:\n  {found:?}\n  {expected:?}"));
                }
            }
        }
    }
    println!("{} templates: {same} prompts are the same, {refused} refused by both", paths.len());
    assert!(paths.len() > 50 && same > 350, "{} templates, {same} the same", paths.len());
    assert_eq!(differing.len(), DIFFERENCES.len(), "every difference of the table is still one");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
