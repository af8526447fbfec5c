//! Writing a GGUF file of F32 tensors.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::ggml::tensor_type::TensorType;
use crate::gguf::header::GgufHeader;
use crate::gguf::replace::replace;

/// Collects metadata and tensors; the data is written from here and not by ggml, so that a full
/// disk is an error and not a silently short file.
pub(crate) struct GgufWriter<'a> {
    pub header: GgufHeader,
    data: Vec<&'a [f32]>,
}

impl<'a> GgufWriter<'a> {
    pub fn new() -> Self {
        Self { header: GgufHeader::new(), data: Vec::new() }
    }

    /// Adds a matrix of ne = `shape`.
    pub fn tensor(&mut self, name: &str, shape: [usize; 2], data: &'a [f32]) {
        assert_eq!(shape[0] * shape[1], data.len());
        self.header.tensor(name, TensorType::F32, shape);
        self.data.push(data);
    }

    /// Writes the file, whole or not at all.
    pub fn save(self, path: &Path) -> io::Result<()> {
        replace(path, |file| {
            let mut out = BufWriter::new(file);
            out.write_all(&self.header.bytes())?;
            let alignment = self.header.alignment();
            for data in &self.data {
                let bytes: &[u8] = bytemuck::cast_slice(data);
                out.write_all(bytes)?;
                out.write_all(&vec![0; bytes.len().next_multiple_of(alignment) - bytes.len()])?;
            }
            out.flush()
        })
    }
}
