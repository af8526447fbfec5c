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

    /// A positive integer, or an array with the same one for every layer.
    pub fn size(&self, key: &str) -> Result<usize, ArchitectureError> {
        let full = self.full(key);
        let number = match self.gguf.value(&full) {
            Some(Value::Ints(per_layer)) => Some(self.same(key, per_layer)?),
            _ => self.gguf.int(&full),
        };
        let size = number.and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
        size.ok_or_else(|| self.gguf.key_error(&full, "a positive integer").into())
    }

    /// [`Keys::size`], where a file that lacks the key means `default`.
    pub fn size_or(&self, key: &str, default: usize) -> Result<usize, ArchitectureError> {
        match self.has(key) {
            true => self.size(key),
            false => Ok(default),
        }
    }

    /// What all layers have in common.
    fn same(&self, key: &str, per_layer: &[i64]) -> Result<i64, ArchitectureError> {
        let n_layer = self.gguf.int(&self.full("block_count"));
        if n_layer.is_some_and(|n| usize::try_from(n) != Ok(per_layer.len())) {
            let n = per_layer.len();
            return Err(self.variant(format!("{key} with {n} values for another number of layers")));
        }
        let first = per_layer.first().copied().unwrap_or(0);
        match per_layer.iter().find(|&&other| other != first) {
            None => Ok(first),
            Some(other) => {
                Err(self.variant(format!("{key} that differs between layers ({first}, {other})")))
            }
        }
    }

    fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    pub fn value(&self, key: &str) -> Option<&Value> {
        self.gguf.value(&self.full(key))
    }

    pub fn int(&self, key: &str) -> Option<i64> {
        self.gguf.int(&self.full(key))
    }

    pub fn float(&self, key: &str) -> Option<f64> {
        self.gguf.float(&self.full(key))
    }

    pub fn need_float(&self, key: &str) -> Result<f64, GgufError> {
        self.float(key).ok_or_else(|| self.gguf.key_error(&self.full(key), "a number"))
    }

    /// Which of the layers see a window only: one value a layer, or all but every n-th, `usual` if
    /// the file does not say; for n = 0 all.
    pub fn local_layers(&self, n_layer: usize, usual: i64) -> Result<Vec<bool>, ArchitectureError> {
        let key = "attention.sliding_window_pattern";
        if let Some(Value::Ints(per_layer)) = self.gguf.value(&self.full(key)) {
            if per_layer.len() < n_layer {
                let n = per_layer.len();
                return Err(self.variant(format!("{key} with {n} values for {n_layer} layers")));
            }
            return Ok(per_layer[..n_layer].iter().map(|&local| local != 0).collect());
        }
        let period = match self.int(key) {
            None if self.has(key) => return Err(self.variant(format!("this kind of {key}"))),
            period => period.unwrap_or(usual),
        };
        Ok((0..n_layer as i64).map(|n| period == 0 || n % period < period - 1).collect())
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.gguf.str(&self.full(key))
    }

    pub fn variant(&self, what: impl Into<String>) -> ArchitectureError {
        ArchitectureError::variant(self.gguf, what.into())
    }
}
