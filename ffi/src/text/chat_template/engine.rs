//! The Jinja engine, with what chat templates find in transformers and in llama.cpp.

use minijinja::value::{Kwargs, Rest, Value, ValueKind, ViaDeserialize};
use minijinja::{Environment, Error, ErrorKind};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::error::raise_exception;
use super::methods::method;
use super::now::Now;

/// An environment in which a template has what it has elsewhere.
pub(super) fn environment(now: Now) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_unknown_method_callback(method);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", move |format: String| {
        now.format(&format).map_err(|reason| Error::new(ErrorKind::InvalidOperation, reason))
    });
    environment.add_filter("tojson", to_json);
    environment.add_filter("indent", indent);
    environment.add_filter("string", |value: Value| printed(&value));
    environment.add_test("iterable", |value: Value| {
        use ValueKind::{Iterable, Map, Seq, String};
        matches!(value.kind(), Iterable | Map | Seq | String)
    });
    environment
        .set_formatter(|output, _, value| output.write_str(&printed(value)).map_err(Error::from));
    environment
}

/// A value as Python prints it.
fn printed(value: &Value) -> String {
    match value.kind() {
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => represented(value),
        ValueKind::Undefined => String::new(),
        ValueKind::None => "None".to_owned(),
        ValueKind::Bool => represented(value),
        _ => value.to_string(),
    }
}

/// A value as Python prints it inside a list.
fn represented(value: &Value) -> String {
    let items = |value: &Value| value.try_iter().into_iter().flatten().collect::<Vec<_>>();
    match value.kind() {
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.to_owned(),
        ValueKind::String => {
            let text = value.to_string();
            let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
            let text = text.replace('\\', "\\\\").replace('\n', "\\n");
            let text = if quote == '\'' { text.replace('\'', "\\'") } else { text };
            format!("{quote}{text}{quote}")
        }
        ValueKind::Map => {
            let field = |key: &Value| {
                let field = value.get_item(key).unwrap_or_default();
                format!("{}: {}", represented(key), represented(&field))
            };
            format!("{{{}}}", items(value).iter().map(field).collect::<Vec<_>>().join(", "))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items = items(value).iter().map(represented).collect::<Vec<_>>();
            format!("[{}]", items.join(", "))
        }
        _ => printed(value),
    }
}

/// Blanks before every line but the first, as Jinja's filter puts them: a line break at the end
/// stays.
fn indent(
    text: String,
    width: Option<Value>,
    positional: Rest<bool>,
    options: Kwargs,
) -> Result<String, Error> {
    let width = match options.get::<Option<Value>>("width")?.or(width) {
        None => "    ".to_owned(),
        Some(width) => match usize::try_from(width.clone()) {
            Ok(width) => " ".repeat(width),
            Err(_) => width.to_string(),
        },
    };
    let option = |name, position: usize| -> Result<bool, Error> {
        let given = options.get::<Option<bool>>(name)?;
        Ok(given.or(positional.get(position).copied()).unwrap_or(false))
    };
    let (first, blank) = (option("first", 0)?, option("blank", 1)?);
    options.assert_all_used()?;
    let mut lines = text.split('\n').enumerate().map(|(number, line)| {
        let wanted = if number == 0 { first } else { blank || !line.is_empty() };
        if wanted { width.clone() + line } else { line.to_owned() }
    });
    let head = lines.next().unwrap_or_default();
    Ok(lines.fold(head, |text, line| text + "\n" + &line))
}

/// JSON as Python's `json.dumps` writes it; as in transformers nothing is escaped for HTML.
fn to_json(
    value: ViaDeserialize<serde_json::Value>,
    positional: Rest<usize>,
    options: Kwargs,
) -> Result<Value, Error> {
    let value = value.0;
    let ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let indent = options.get::<Option<usize>>("indent")?.or(positional.first().copied());
    let separators = options.get::<Option<Vec<String>>>("separators")?;
    let sorted = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;
    let value = if sorted { sort_keys(value) } else { value };
    let text = match (indent, separators.as_deref()) {
        (Some(indent), _) => {
            json(&value, PrettyFormatter::with_indent(" ".repeat(indent).as_bytes()))
        }
        (None, Some([item, key])) => json(&value, Separated { item, key }),
        (None, _) => json(&value, Separated { item: ", ", key: ": " }),
    };
    Ok(Value::from_safe_string(if ascii { escape(&text) } else { text }))
}

fn json(value: &serde_json::Value, formatter: impl Formatter) -> String {
    let mut bytes = Vec::new();
    let written = value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter));
    written.expect("a JSON value can be written to memory");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

/// What stands between items, and between a key and its value.
struct Separated<'a> {
    item: &'a str,
    key: &'a str,
}

impl Formatter for Separated<'_> {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(self.item.as_bytes()) }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(self.item.as_bytes()) }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(self.key.as_bytes())
    }
}

fn sort_keys(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.into_iter().map(|(k, v)| (k, sort_keys(v))).collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sort_keys).collect()),
        other => other,
    }
}

/// Everything that is not ASCII as `\uXXXX`; in JSON it stands in strings only.
fn escape(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        match letter.is_ascii() {
            true => text.push(letter),
            false => {
                let units = letter.encode_utf16(&mut [0; 2]).to_vec();
                text.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::context;

    fn render(template: &str) -> String {
        let now = "2026-01-31T09:05:00".parse().expect("a time");
        let tool: serde_json::Value =
            serde_json::from_str(r#"{"name": "a'<b>", "also": ["é", 1.5, null]}"#).expect("JSON");
        environment(now).render_str(template, context! { tool }).expect(template)
    }

    #[test]
    fn json_is_written_as_python_does() {
        for (options, expected) in [
            ("", r#"{"name": "a'<b>", "also": ["é", 1.5, null]}"#),
            ("(ensure_ascii=True)", r#"{"name": "a'<b>", "also": ["\u00e9", 1.5, null]}"#),
            ("(sort_keys=True)", r#"{"also": ["é", 1.5, null], "name": "a'<b>"}"#),
            ("(separators=(',', ':'))", r#"{"name":"a'<b>","also":["é",1.5,null]}"#),
            (
                "(indent=2, ensure_ascii=False)",
                "{\n  \"name\": \"a'<b>\",\n  \"also\": [\n    \"é\",\n    1.5,\n    null\n  ]\n}",
            ),
            (
                "(4)",
                "{\n    \"name\": \"a'<b>\",\n    \"also\": [\n        \"é\",\n        1.5,\n        null\n    ]\n}",
            ),
        ] {
            assert_eq!(render(&format!("{{{{ tool | tojson{options} }}}}")), expected, "{options}");
        }
    }

    #[test]
    fn the_time_is_the_one_that_was_given() {
        assert_eq!(render("{{ strftime_now('%d %b %Y, %H:%M') }}"), "31 Jan 2026, 09:05");
    }

    #[test]
    fn the_language_is_the_one_that_templates_use() {
        for (template, expected) in [
            (
                "{% for i in [1, 2, 3] %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}",
                "13",
            ),
            (
                "{% for i in [1, 2, 3] %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}",
                "1",
            ),
            ("{% set ns = namespace(x=1) %}{% set ns.x = 2 %}{{ ns.x }}", "2"),
            ("{{ 'ab'.title() + 'x-y'.split('-')[-1] + '\nz'.lstrip('\n') }}", "Abyz"),
            ("{{ [{'r': 1}, {'r': 2}] | selectattr('r', 'equalto', 2) | list | length }}", "1"),
            ("{{ 'a\nb\n' | indent(2, first=true) }}|", "  a\n  b\n|"),
            ("{{ {'a': [1, true, none, \"it's\"]} }}", "{'a': [1, True, None, \"it's\"]}"),
            ("{{ none is iterable }}{{ x }}{{ 'y' | string }}", "Falsey"),
            ("{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f('y') }}", "<y>"),
        ] {
            assert_eq!(render(template), expected, "{template}");
        }
    }
}
