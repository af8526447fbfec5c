//! What a template is given: the messages and tools of an example.

use cutq_core::example::Message;
use minijinja::value::{Value, ValueKind};

use super::error::TemplateError;
use super::guard::Guard;

/// The form in which a template reads what may come in two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// A message's content is a list of parts rather than a text.
    pub parts: bool,
    /// The arguments of a tool call are JSON text rather than an object.
    pub arguments_as_text: bool,
}

/// An example as a template reads it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Conversation {
    turns: Vec<Turn>,
    tools: Option<Value>,
    judgment: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Turn {
    role: String,
    content: String,
    fields: Vec<(String, Value)>,
}

impl Conversation {
    /// The example's messages and tools, and what a template knows as `judgment`.
    ///
    /// # Errors
    /// If a further field or the tools are not JSON.
    pub fn new(
        messages: &[Message],
        tools: Option<&str>,
        judgment: Option<&str>,
    ) -> Result<Self, TemplateError> {
        let turns = messages.iter().map(Turn::new).collect::<Result<_, _>>()?;
        let tools = tools.map(|tools| parse("tools", tools)).transpose()?;
        Ok(Self { turns, tools, judgment: judgment.map(str::to_owned) })
    }

    /// A conversation of texts alone.
    pub fn of_texts(turns: &[(&str, &str)]) -> Self {
        let turn = |&(role, content): &(&str, &str)| Turn {
            role: role.to_owned(),
            content: content.to_owned(),
            fields: Vec::new(),
        };
        Self { turns: turns.iter().map(turn).collect(), tools: None, judgment: None }
    }

    /// A question, a call of a tool with one argument, and its result.
    pub fn of_tool_call(question: &str, argument: &str) -> Self {
        let mut calls = Self::of_texts(&[("user", question), ("assistant", ""), ("tool", "done")]);
        let function = Value::from_iter([
            ("name", Value::from("look")),
            ("arguments", Value::from_iter([("word", argument)])),
        ]);
        let call = Value::from_iter([
            ("id", Value::from("call12345")),
            ("type", "function".into()),
            ("function", function),
        ]);
        calls.turns[1].fields.push(("tool_calls".to_owned(), vec![call].into()));
        calls.turns[2].fields.push(("tool_call_id".to_owned(), "call12345".into()));
        calls.turns[2].fields.push(("name".to_owned(), "look".into()));
        calls
    }

    /// The same with guards in its texts, of every message or of the one given.
    pub fn guarded(&self, guard: &Guard<'_>, only: Option<usize>) -> Self {
        let turns = self.turns.iter().enumerate().map(|(index, turn)| match only {
            Some(one) if one != index => turn.clone(),
            _ => turn.guarded(guard),
        });
        Self {
            turns: turns.collect(),
            tools: self.tools.as_ref().map(|tools| guarded(tools, guard)),
            judgment: self.judgment.as_ref().map(|judgment| guard.of(judgment)),
        }
    }

    /// The speaker of each message.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.turns.iter().map(|turn| turn.role.as_str())
    }

    /// The variables `messages`, `tools` (none without any) and, if there is one, `judgment`.
    pub fn variables(&self, shape: Shape) -> Vec<(&'static str, Value)> {
        let messages: Vec<Value> = self.turns.iter().map(|turn| turn.value(shape)).collect();
        let tools = Some(("tools", self.tools.clone().unwrap_or(Value::from(()))));
        let judgment = self.judgment.clone().map(|judgment| ("judgment", judgment.into()));
        [("messages", messages.into())].into_iter().chain(tools).chain(judgment).collect()
    }
}

impl Turn {
    fn new(message: &Message) -> Result<Self, TemplateError> {
        let fields = message.fields.iter();
        let fields = fields.map(|(name, json)| Ok((name.clone(), parse(name, json)?)));
        Ok(Self {
            role: message.role.clone(),
            content: message.content.clone(),
            fields: fields.collect::<Result<_, _>>()?,
        })
    }

    fn guarded(&self, guard: &Guard<'_>) -> Self {
        let fields = self.fields.iter().map(|(name, value)| (name.clone(), guarded(value, guard)));
        let content = match self.role.as_str() {
            // The thoughts of an assistant are marked by tags that templates look for.
            "assistant" => guard.of_thinking(&self.content),
            _ => guard.of(&self.content),
        };
        Self { role: guard.of(&self.role), content, fields: fields.collect() }
    }

    fn value(&self, shape: Shape) -> Value {
        let content = match shape.parts {
            true => vec![Value::from_iter([("type", "text"), ("text", &self.content)])].into(),
            false => Value::from(self.content.as_str()),
        };
        let fields = self.fields.iter().map(|(name, value)| match name.as_str() {
            "tool_calls" => (name.as_str(), with_arguments(value, shape)),
            name => (name, value.clone()),
        });
        let own = [("role", Value::from(self.role.as_str())), ("content", content)];
        own.into_iter().chain(fields).collect()
    }
}

fn parse(name: &str, json: &str) -> Result<Value, TemplateError> {
    serde_json::from_str(json)
        .map_err(|source| TemplateError::NotJson { name: name.to_owned(), source })
}

/// Calls of tools, whose arguments are an object or its JSON text as the template reads them.
fn with_arguments(calls: &Value, shape: Shape) -> Value {
    rewritten("", calls, &|key, value| match (key, value.as_str()) {
        ("arguments", Some(text)) if !shape.arguments_as_text => {
            serde_json::from_str(text).ok().filter(|value: &Value| value.kind() == ValueKind::Map)
        }
        ("arguments", None) if shape.arguments_as_text => {
            serde_json::to_string(value).ok().map(Value::from)
        }
        _ => None,
    })
}

fn guarded(value: &Value, guard: &Guard<'_>) -> Value {
    rewritten("", value, &|_, value| value.as_str().map(|text| guard.of(text).into()))
}

/// The value, with everything in it replaced for which `new` has something else, given the name
/// under which it stands.
fn rewritten(key: &str, value: &Value, new: &impl Fn(&str, &Value) -> Option<Value>) -> Value {
    if let Some(new) = new(key, value) {
        return new;
    }
    let Ok(entries) = value.try_iter() else {
        return value.clone();
    };
    match value.kind() {
        ValueKind::Seq => entries.map(|entry| rewritten(key, &entry, new)).collect(),
        ValueKind::Map => {
            let entry = |key: Value| {
                let value = value.get_item(&key).unwrap_or_default();
                let value = rewritten(key.as_str().unwrap_or_default(), &value, new);
                (key, value)
            };
            entries.map(entry).collect()
        }
        _ => value.clone(),
    }
}
