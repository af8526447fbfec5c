//! The seed of an answer.

use sha2::{Digest, Sha256};

/// The seed of a prompt's sample of number `sample`: the first 53 bits, which every reader of JSON
/// knows exactly, of
///
/// `SHA-256(seed ‖ sample ‖ prompt)`, both numbers as 8 bytes, the lowest first
///
/// So it is the same wherever the prompt stands, and another one for each sample.
pub(super) fn seed(seed: u64, prompt: &str, sample: u64) -> u64 {
    let mut digest = Sha256::new();
    digest.update(seed.to_le_bytes());
    digest.update(sample.to_le_bytes());
    digest.update(prompt);
    let bytes = *digest.finalize().first_chunk().expect("the hash has 32 bytes");
    u64::from_be_bytes(bytes) >> 11
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn seeds_differ_by_everything_they_are_made_of() {
        let all = [seed(1, "a", 1), seed(2, "a", 1), seed(1, "b", 1), seed(1, "a", 2)];
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 4);
        assert_eq!(all[0], seed(1, "a", 1));
        assert!(all.iter().all(|&seed| seed < 1 << 53));
    }
}
