//! Random texts in twelve scripts.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

/// A script: its name, and what its texts are made of.
pub struct Script {
    /// For messages.
    pub name: &'static str,
    parts: &'static [&'static str],
}

/// Scripts with letters of one to four bytes, with and without blanks, marks that join letters, and
/// characters of many code points.
pub const SCRIPTS: [Script; 12] = [
    Script { name: "Latin", parts: &["harbour ", "nai\u{308}ve ", "Über, ", "tide.\n", "     "] },
    Script {
        name: "Cyrillic", parts: &["лодка ", "берег, ", "Ёлка ", "ветер.\n", "и "]
    },
    Script {
        name: "Greek", parts: &["θάλασσα ", "πλοίο, ", "ᾧ ", "άνεμος.\n"]
    },
    Script { name: "Arabic", parts: &["بحر ", "سفينة، ", "رِيحٌ ", "ميناء.\n"] },
    Script { name: "Hebrew", parts: &["ים ", "סְפִינָה, ", "רוח ", "נמל.\n"] },
    Script {
        name: "Devanagari", parts: &["नाव ", "समुद्र, ", "क्षितिज ", "हवा।\n"]
    },
    Script {
        name: "Thai", parts: &["เรือ", "ทะเล", "น้ำ", "ที่", " "]
    },
    Script { name: "Chinese", parts: &["船", "港口", "海风", "，", "。\n"] },
    Script { name: "Japanese", parts: &["ふね", "港", "カモメ", "か\u{3099}", "。\n"] },
    Script { name: "Korean", parts: &["바다 ", "배", "등대, ", "각\n"] },
    Script {
        name: "emoji", parts: &["🦀", "👩‍👩‍👧", "🧑🏽‍🚀", "🇮🇸", "❤️", " "]
    },
    Script { name: "table", parts: &["17,", "4,", "90312\n", "| ", "0.50\t"] },
];

impl Script {
    /// A text of `parts` words or so.
    pub fn text(&self, rng: &mut ChaCha8Rng, parts: usize) -> String {
        (0..parts).map(|_| self.parts[below(rng, self.parts.len())]).collect()
    }
}

/// A number in `0..n`, about equally likely.
pub fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    (rng.next_u64() % n as u64) as usize
}
