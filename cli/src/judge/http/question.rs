//! What is posted.

use cutq_core::example::Message;
use serde::Serialize;
use serde_json::{Value, json};

use crate::judge::call::{Call, Key};

/// The body of a request.
#[derive(Serialize)]
pub struct Question<'a> {
    model: &'a str,
    messages: Vec<Turn<'a>>,
    temperature: f64,
    max_tokens: usize,
    seed: u32,
    /// The form of the reply, which servers may ignore.
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'a str,
    content: &'a str,
}

/// How replies are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawing {
    /// 0 for the likeliest tokens.
    pub temperature: f64,
    /// The longest reply.
    pub max_tokens: usize,
}

impl Drawing {
    /// The same reply each time, and long enough for several faults.
    pub const DEFAULT: Self = Self { temperature: 0.0, max_tokens: 512 };
}

impl<'a> Question<'a> {
    /// The body for a call, with the reply's form as a schema if `has_schema`.
    pub fn new(model: &'a str, call: &'a Call, drawing: Drawing, has_schema: bool) -> Self {
        let turn = |message: &'a Message| Turn { role: &message.role, content: &message.content };
        Self {
            model,
            messages: call.messages.iter().map(turn).collect(),
            temperature: drawing.temperature,
            max_tokens: drawing.max_tokens,
            seed: seed(&call.key),
            response_format: has_schema.then(schema),
        }
    }

    /// As it is sent.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and finite numbers are JSON")
    }
}

/// The same for the same call; another one when an answer is judged again.
pub fn seed(key: &Key) -> u32 {
    let digits = key.to_string();
    u32::from_str_radix(&digits[..7], 16).expect("a key is hexadecimal digits")
}

/// The form that `prompt` asks for.
fn schema() -> Value {
    let text = json!({"type": "string"});
    let fault = json!({
        "type": "object",
        "properties": {"quote": text, "what": text},
        "required": ["quote", "what"],
        "additionalProperties": false,
    });
    let schema = json!({
        "type": "object",
        "properties": {"judgment": text, "faults": {"type": "array", "items": fault}},
        "required": ["judgment", "faults"],
        "additionalProperties": false,
    });
    json!({
        "type": "json_schema",
        "json_schema": {"name": "judgment", "strict": true, "schema": schema},
    })
}
