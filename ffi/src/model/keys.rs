//! The metadata of one family.

use crate::gguf::error::GgufError;
use crate::gguf::file::Gguf;
use crate::gguf::value::Value;
use crate::model::error::ArchitectureError;

/// Metadata of one family: keys are `prefix.key`.
pub(crate) struct Keys<'a> {
    pub gguf: &'a Gguf,
    pub prefix: &'a str,
}

impl Keys<'_> {
    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    pub fn size(&self, key: &str) -> Result<usize, GgufError> {
        let full = self.full(key);
        self.gguf
            .int(&full)
            .and_then(|n| usize::try_from(n).ok())
            .filter(|&n| n > 0)
            .ok_or_else(|| self.gguf.key_error(&full, "a positive integer"))
    }

    pub fn size_or(&self, key: &str, default: usize) -> usize {
        self.size(key).unwrap_or(default)
    }

    pub fn float(&self, key: &str) -> Option<f64> {
        self.gguf.float(&self.full(key))
    }

    pub fn need_float(&self, key: &str) -> Result<f64, GgufError> {
        self.float(key).ok_or_else(|| self.gguf.key_error(&self.full(key), "a number"))
    }

    /// Variants of a known family whose computation differs from the one written here.
    pub fn refuse_variants(&self) -> Result<(), ArchitectureError> {
        if self.gguf.int(&self.full("expert_count")).unwrap_or(0) > 0 {
            return Err(self.variant("a mixture of experts"));
        }
        if let Some(kind) = self.gguf.str(&self.full("rope.scaling.type"))
            && !matches!(kind, "none" | "linear")
        {
            return Err(self.variant(format!("rope scaling of type {kind}")));
        }
        if self.float("final_logit_softcapping").unwrap_or(0.0) != 0.0 {
            return Err(self.variant("soft-capping of the logits"));
        }
        for key in ["attention.head_count_kv", "attention.head_count", "feed_forward_length"] {
            if let Some(Value::Ints(_)) = self.gguf.value(&self.full(key)) {
                return Err(self.variant(format!("{key} that differs between layers")));
            }
        }
        let key_length = self.float("attention.key_length");
        if self.float("attention.value_length") != key_length {
            return Err(self.variant("heads whose keys and values differ in width"));
        }
        Ok(())
    }

    fn variant(&self, what: impl Into<String>) -> ArchitectureError {
        ArchitectureError::variant(self.gguf, what.into())
    }
}
