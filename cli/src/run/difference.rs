//! What differs between the settings that something was begun with and those that are asked for now.

use std::fmt;

use serde_json::Value;

/// The first setting that is another one.
#[derive(Debug)]
pub struct Difference {
    /// Its name, with the names that it stands under.
    pub name: String,
    begun: Value,
    now: Value,
}

impl Difference {
    /// What differs, if anything does.
    pub fn of(begun: &Value, now: &Value) -> Option<Self> {
        Self::below("", begun, now)
    }

    fn below(name: &str, begun: &Value, now: &Value) -> Option<Self> {
        if begun == now {
            return None;
        }
        let (Value::Object(first), Value::Object(second)) = (begun, now) else {
            return Some(Self { name: name.to_owned(), begun: begun.clone(), now: now.clone() });
        };
        first.keys().chain(second.keys()).find_map(|key| {
            let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            Self::below(&name, &begun[key], &now[key])
        })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was {}, now it is {}", self.name, self.begun, self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_difference_is_named_with_its_place() {
        let begun = json!({"seed": 1, "lora": {"r": 4, "alpha": 8}});
        let text = |now| Difference::of(&begun, &now).map(|d| d.to_string());
        assert_eq!(text(begun.clone()), None);
        let now = json!({"seed": 1, "lora": {"r": 4}});
        assert_eq!(text(now).as_deref(), Some("lora.alpha was 8, now it is null"));
        let now = json!({"seed": 2, "lora": {"r": 4, "alpha": 9}});
        assert_eq!(text(now).as_deref(), Some("seed was 1, now it is 2"));
    }
}
