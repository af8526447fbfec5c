//! Fields that the user calls by other names, or asks to leave out.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A field of a format, and the name under which the data has it: `judgment=critique`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldName {
    /// The format's name.
    pub field: String,
    /// The data's name.
    pub name: String,
}

/// Every field that some format reads.
const FIELDS: [&str; 17] = [
    "judgment",
    "instruction",
    "input",
    "output",
    "question",
    "answer",
    "prompt",
    "completion",
    "response",
    "messages",
    "conversations",
    "chosen",
    "rejected",
    "system",
    "history",
    "tools",
    "label",
];

impl FromStr for FieldName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (field, name) = text.split_once('=').ok_or("write FIELD=NAME: judgment=remark")?;
        if !FIELDS.contains(&field) {
            return Err(format!(
                "no format has a field {field:?}; known are {}",
                FIELDS.join(", ")
            ));
        }
        match name.is_empty() {
            true => Err(format!("write the data's name for {field}: {field}=NAME")),
            false => Ok(Self { field: field.to_owned(), name: name.to_owned() }),
        }
    }
}

/// What `--field` and `--ignore-field` ask for, and whether the data has such fields.
pub(in crate::data) struct Renaming<'a> {
    fields: &'a [FieldName],
    ignored: &'a [String],
    /// Names that no example has had yet.
    missing: Vec<&'a str>,
}

impl<'a> Renaming<'a> {
    pub fn new(fields: &'a [FieldName], ignored: &'a [String]) -> Self {
        let names = fields.iter().map(|field| &field.name).chain(ignored);
        Self { fields, ignored, missing: names.map(String::as_str).collect() }
    }

    /// Gives the fields of one example the names that formats know.
    pub fn apply(&mut self, map: &mut Map<String, Value>) {
        self.missing.retain(|name| !map.contains_key(*name));
        map.retain(|name, _| !self.ignored.contains(name));
        for FieldName { field, name } in self.fields {
            if let Some(value) = map.remove(name) {
                map.insert(field.clone(), value);
            }
        }
    }

    /// The names that no example had.
    pub fn missing(self) -> Vec<&'a str> {
        self.missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_checked_and_applied() {
        let parse = str::parse::<FieldName>;
        for (text, expected) in [
            ("remark", "FIELD=NAME"),
            ("verdict=remark", "no format has"),
            ("output=", "the data's"),
        ] {
            assert!(parse(text).expect_err(text).contains(expected), "{text}");
        }
        let fields = [parse("judgment=remark").expect("known"), parse("input=x").expect("known")];
        let ignored = ["score".to_owned()];
        let mut renaming = Renaming::new(&fields, &ignored);
        let mut value = json!({"remark": "Wrong.", "score": 1, "judgment": null, "id": 3});
        renaming.apply(value.as_object_mut().expect("an object"));
        assert_eq!(value, json!({"judgment": "Wrong.", "id": 3}));
        assert_eq!(renaming.missing(), ["x"]);
    }
}
