//! Curves for TensorBoard: an event file is a sequence of checked records, each a protocol buffer.
//!
//! ```text
//! record  = length:u64 crc(length):u32 data crc(data):u32        little-endian
//! Event   = 1:wall_time(double) 2:step(int64) 3:file_version(string) 5:Summary 7:SessionLog
//! Summary = 1:Value…            Value = 1:tag(string) 2:simple_value(float)
//! SessionLog = 1:status(enum, START = 1)
//! ```
//!
//! `crc` is CRC-32C, rotated and shifted so that a record within a record does not check by chance.
//! Four message types do not justify a protocol buffer compiler in the build.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::file::FileError;

/// An event file of one run, open for appending.
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    file: File,
}

impl Events {
    /// Begins a new event file in `folder`. After a resumption at `step`, TensorBoard drops what
    /// earlier files say about later steps.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn create(folder: &Path, step: u64) -> Result<Self, FileError> {
        let time = wall_time();
        let name = format!("events.out.tfevents.{:010}.{}.cutq", time as u64, std::process::id());
        let path = folder.join(name);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|source| FileError { path: path.clone(), source })?;
        let mut events = Self { path, file };
        events.write(&event(time, 0, 3, b"brain.Event:2"))?;
        let start = [varint_field(1, 1)].concat();
        events.write(&event(time, step + 1, 7, &start))?;
        Ok(events)
    }

    /// Appends one value per curve.
    ///
    /// # Errors
    /// If the record cannot be written.
    pub fn append(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), FileError> {
        self.write(&event(wall_time(), step, 5, &summary(scalars)))
    }

    fn write(&mut self, data: &[u8]) -> Result<(), FileError> {
        self.file
            .write_all(&record(data))
            .map_err(|source| FileError { path: self.path.clone(), source })
    }
}

/// Seconds since 1970.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(data);
    record.extend(masked_crc(data).to_le_bytes());
    record
}

fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// An event whose content is the bytes of its field `what`.
fn event(time: f64, step: u64, what: u64, content: &[u8]) -> Vec<u8> {
    let mut event = key(1, 1);
    event.extend(time.to_le_bytes());
    event.extend(varint_field(2, step));
    event.extend(bytes_field(what, content));
    event
}

fn summary(scalars: &[(&str, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in scalars {
        let mut fields = bytes_field(1, tag.as_bytes());
        fields.extend(key(2, 5));
        fields.extend((*value as f32).to_le_bytes());
        summary.extend(bytes_field(1, &fields));
    }
    summary
}

fn bytes_field(field: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = key(field, 2);
    out.extend(varint(bytes.len() as u64));
    out.extend(bytes);
    out
}

fn varint_field(field: u64, value: u64) -> Vec<u8> {
    let mut out = key(field, 0);
    out.extend(varint(value));
    out
}

/// Field number and wire type: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes.
fn key(field: u64, wire_type: u64) -> Vec<u8> {
    varint(field << 3 | wire_type)
}

/// Seven bits a byte, the lowest first, the top bit set on all but the last.
fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_follow_the_definition() {
        assert_eq!(varint(0), [0]);
        assert_eq!(varint(127), [127]);
        assert_eq!(varint(300), [0xac, 2]);
    }

    #[test]
    fn checksums_are_those_of_tensorflow() {
        // The length field of the 24-byte version record that opens every event file.
        assert_eq!(masked_crc(&24_u64.to_le_bytes()).to_le_bytes(), [0xa3, 0x7f, 0x4b, 0x22]);
    }

    #[test]
    fn a_step_reads_back_field_by_field() {
        let data = event(2.0, 300, 5, &summary(&[("loss", 1.5)]));
        let expected = [
            &[0x09][..],
            &2.0_f64.to_le_bytes(),
            &[0x10, 0xac, 2, 0x2a, 13, 0x0a, 11, 0x0a, 4],
            b"loss",
            &[0x15],
            &1.5_f32.to_le_bytes(),
        ]
        .concat();
        assert_eq!(data, expected);
        assert_eq!(record(&data).len(), 8 + 4 + data.len() + 4);
    }
}
