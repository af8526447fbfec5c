//! The password of a server, which is neither printed nor saved.

use std::env;

/// Where it is looked for.
pub const VARIABLES: [&str; 2] = ["CUTQ_JUDGE_KEY", "OPENAI_API_KEY"];

/// A key. It has no `Debug`, so that nothing can print it by accident.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// The first of [`VARIABLES`] that is set; none is needed for local servers.
    pub fn from_env() -> Option<Self> {
        VARIABLES.iter().find_map(|name| Self::of(&env::var(name).ok()?))
    }

    /// The key in a text; none if there is nothing in it.
    pub fn of(text: &str) -> Option<Self> {
        Some(text.trim()).filter(|text| !text.is_empty()).map(|text| Self(text.to_owned()))
    }

    /// The header `Authorization`.
    pub fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// What a server says, without the key that it may repeat.
    pub fn hide(&self, text: &str) -> String {
        text.replace(&self.0, "[key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_repeated() {
        assert!(ApiKey::of(" \n").is_none());
        let key = ApiKey::of("sk-12\n").expect("a key");
        assert_eq!(key.header(), "Bearer sk-12");
        assert_eq!(key.hide("wrong key: sk-12."), "wrong key: [key].");
    }
}
