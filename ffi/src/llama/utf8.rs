//! Text out of tokens, which may end within a character.

/// Joins bytes of UTF-8 that may arrive cut within a character.
#[derive(Default)]
pub(super) struct Utf8Stream {
    pub all: String,
    pending: Vec<u8>,
}

impl Utf8Stream {
    /// Adds bytes; returns the text that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> &str {
        self.pending.extend_from_slice(bytes);
        let complete = match std::str::from_utf8(&self.pending) {
            Ok(_) => self.pending.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.pending.len(),
        };
        self.take(complete)
    }

    /// The rest, should it end within a character.
    pub fn finish(&mut self) -> &str {
        self.take(self.pending.len())
    }

    fn take(&mut self, n: usize) -> &str {
        let start = self.all.len();
        let bytes: Vec<u8> = self.pending.drain(..n).collect();
        self.all.push_str(&String::from_utf8_lossy(&bytes));
        &self.all[start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_never_cut() {
        let mut stream = Utf8Stream::default();
        let text = "naïve 日本 🙂";
        let parts: Vec<String> =
            text.as_bytes().iter().map(|&byte| stream.push(&[byte]).to_owned()).collect();
        assert_eq!(parts.concat() + stream.finish(), text);
        assert_eq!(stream.all, text);
        assert!(parts.iter().all(|part| !part.contains('\u{fffd}')));
    }
}
