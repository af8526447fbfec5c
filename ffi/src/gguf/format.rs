//! What a file is that was given for a GGUF, by its first bytes.

use std::fmt;

/// Bytes that are looked at.
const HEAD: usize = 512;

/// A format that is no GGUF, or a GGUF that cannot be read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileFormat {
    /// No bytes at all.
    Empty,
    /// Nothing but zeros: space that was reserved for a file.
    Zeros,
    /// What llama.cpp read before August 2023, by its magic number.
    Ggml(&'static str),
    /// A GGUF of the first version.
    FirstGguf,
    /// A GGUF of a version that came later than this program.
    LaterGguf(u32),
    /// A GGUF whose numbers begin with the highest byte.
    BigEndianGguf,
    /// Weights as Hugging Face stores them.
    Safetensors,
    /// A zip archive, as PyTorch stores weights.
    Zip,
    /// A Python pickle, as PyTorch stored weights before.
    Pickle,
    /// A compressed file.
    Compressed(&'static str),
    /// What git has in place of a file in Git LFS.
    LfsPointer,
    /// A web page.
    Html,
    /// JSON, such as a server's answer or a model's configuration.
    Json,
    /// Other text.
    Text,
    /// Something else.
    Unknown([u8; 4]),
}

impl FileFormat {
    /// The format of a file that begins with `bytes`; `None` for a GGUF that can be read.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let head = &bytes[..bytes.len().min(HEAD)];
        if head.starts_with(b"GGUF") {
            return gguf(head);
        }
        let known = MAGIC.iter().find(|(magic, _)| head.starts_with(magic));
        Some(match known {
            Some((_, format)) => *format,
            None if head.is_empty() => Self::Empty,
            None if head.iter().all(|&byte| byte == 0) => Self::Zeros,
            None if is_safetensors(head) => Self::Safetensors,
            None => text(head).unwrap_or_else(|| {
                let byte = |i| head.get(i).copied().unwrap_or(0);
                Self::Unknown(std::array::from_fn(byte))
            }),
        })
    }

    /// What to do about it.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::Empty | Self::Zeros | Self::Html | Self::Text | Self::Unknown(_) => {
                "download the GGUF again, and compare its size"
            }
            Self::Json => "is it what a server answered? Download the GGUF again",
            Self::Ggml(_) | Self::FirstGguf => {
                "search for a newer GGUF of the model, or convert the original with llama.cpp's \
                 convert_hf_to_gguf.py"
            }
            Self::LaterGguf(_) => "a newer cutq may read it",
            Self::BigEndianGguf => {
                "search for a GGUF without \"be\" in its name, or turn it around with \
                 `gguf-convert-endian FILE little` of the Python package gguf"
            }
            Self::Safetensors | Self::Zip | Self::Pickle => {
                "convert the model's folder with llama.cpp's convert_hf_to_gguf.py"
            }
            Self::Compressed(_) => "unpack it",
            Self::LfsPointer => "`git lfs pull` in its folder fetches the file itself",
        }
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty file",
            Self::Zeros => "only zeros, as of a download that never ended",
            Self::Ggml(magic) => return write!(f, "{magic}, the format before GGUF"),
            Self::FirstGguf => "GGUF version 1, which llama.cpp reads no more",
            Self::LaterGguf(version) => {
                return write!(f, "GGUF version {version}; 3 is the latest");
            }
            Self::BigEndianGguf => "a GGUF for big-endian computers",
            Self::Safetensors => "safetensors, not a GGUF",
            Self::Zip => "a zip archive, as PyTorch stores weights, not a GGUF",
            Self::Pickle => "a Python pickle, as PyTorch stores weights, not a GGUF",
            Self::Compressed(name) => return write!(f, "compressed with {name}, not a GGUF"),
            Self::LfsPointer => "a Git LFS pointer, which stands for the file, not a GGUF",
            Self::Html => "a web page, not a GGUF",
            Self::Json => "JSON, not a GGUF",
            Self::Text => "text, not a GGUF",
            Self::Unknown(bytes) => {
                return write!(f, "not a GGUF: it starts with {bytes:02x?}, not \"GGUF\"");
            }
        })
    }
}

/// Formats that begin with bytes of their own. ggml's numbers are written lowest byte first.
const MAGIC: [(&[u8], FileFormat); 15] = [
    (b"lmgg", FileFormat::Ggml("GGML")),
    (b"fmgg", FileFormat::Ggml("GGMF")),
    (b"tjgg", FileFormat::Ggml("GGJT")),
    (b"algg", FileFormat::Ggml("GGLA")),
    (b"ggml", FileFormat::Ggml("GGML")),
    (b"ggjt", FileFormat::Ggml("GGJT")),
    (b"PK\x03\x04", FileFormat::Zip),
    (b"\x80\x02", FileFormat::Pickle),
    (b"\x80\x04", FileFormat::Pickle),
    (b"\x1f\x8b", FileFormat::Compressed("gzip")),
    (b"\x28\xb5\x2f\xfd", FileFormat::Compressed("zstd")),
    (b"\xfd7zXZ\0", FileFormat::Compressed("xz")),
    (b"7z\xbc\xaf\x27\x1c", FileFormat::Compressed("7z")),
    (b"BZh", FileFormat::Compressed("bzip2")),
    (b"version https://git-lfs", FileFormat::LfsPointer),
];

fn gguf(head: &[u8]) -> Option<FileFormat> {
    let version = u32::from_le_bytes(head.get(4..8)?.try_into().ok()?);
    match version {
        1 => Some(FileFormat::FirstGguf),
        2 | 3 => None,
        // A small number is in the highest byte.
        _ if version & 0xffff == 0 && version > 0 => Some(FileFormat::BigEndianGguf),
        _ => Some(FileFormat::LaterGguf(version)),
    }
}

/// The length of a JSON header, then the header.
fn is_safetensors(head: &[u8]) -> bool {
    let Some((len, header)) = head.split_first_chunk() else { return false };
    let plausible = (2..1 << 30).contains(&u64::from_le_bytes(*len));
    plausible && header.starts_with(b"{\"")
}

fn text(head: &[u8]) -> Option<FileFormat> {
    // The last character may be cut.
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if head.len() - error.valid_up_to() < 4 => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    if valid.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let start = valid.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    Some(match start {
        start if ["<!doctype html", "<html", "<head"].iter().any(|tag| start.starts_with(tag)) => {
            FileFormat::Html
        }
        start if start.starts_with(['{', '[']) => FileFormat::Json,
        _ => FileFormat::Text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        let safetensors = [&60_u64.to_le_bytes()[..], b"{\"a.weight\":{\"dtype\":\"F16\""].concat();
        for (bytes, expected) in [
            (&b"GGUF\x03\0\0\0rest"[..], None),
            (b"GGUF\x02\0\0\0", None),
            (b"GGUF\x01\0\0\0", Some(FileFormat::FirstGguf)),
            (b"GGUF\x04\0\0\0", Some(FileFormat::LaterGguf(4))),
            (b"GGUF\0\0\0\x03", Some(FileFormat::BigEndianGguf)),
            // Too short to say its version: the parser's affair.
            (b"GGUF\x03", None),
            (b"", Some(FileFormat::Empty)),
            (&[0; 600], Some(FileFormat::Zeros)),
            (b"tjgg\x03\0\0\0", Some(FileFormat::Ggml("GGJT"))),
            (b"lmgg\0}", Some(FileFormat::Ggml("GGML"))),
            (&safetensors, Some(FileFormat::Safetensors)),
            (b"PK\x03\x04\0\0", Some(FileFormat::Zip)),
            (b"\x80\x02}q\0", Some(FileFormat::Pickle)),
            (b"\x1f\x8b\x08", Some(FileFormat::Compressed("gzip"))),
            (b"version https://git-lfs.github.com/spec/v1\n", Some(FileFormat::LfsPointer)),
            (b"\n <!DOCTYPE html><p>", Some(FileFormat::Html)),
            (b"{\"error\":\"Not found\"}", Some(FileFormat::Json)),
            ("caf\u{e9}".as_bytes(), Some(FileFormat::Text)),
            (b"Entry not found", Some(FileFormat::Text)),
            (b"\x07\x01\xff\xfe\xfd\x80\x80\x80", Some(FileFormat::Unknown([7, 1, 255, 254]))),
        ] {
            assert_eq!(FileFormat::of(bytes), expected, "{bytes:?}");
        }
        // A cut character at the end of what is looked at.
        let long = format!("{}é", "a".repeat(HEAD - 1));
        assert_eq!(FileFormat::of(long.as_bytes()), Some(FileFormat::Text));
    }
}
