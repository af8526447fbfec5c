//! Writing a GGUF file of F32 tensors.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::ggml::tensor_type::TensorType;
use crate::gguf::header::GgufHeader;

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

    /// Writes the file beside `path`, flushes it to the disk and renames it.
    pub fn save(self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        let mut out = BufWriter::new(file.as_file_mut());
        out.write_all(&self.header.bytes())?;
        let alignment = self.header.alignment();
        for data in &self.data {
            let bytes: &[u8] = bytemuck::cast_slice(data);
            out.write_all(bytes)?;
            out.write_all(&vec![0; bytes.len().next_multiple_of(alignment) - bytes.len()])?;
        }
        out.flush()?;
        drop(out);
        persist(file, path)
    }
}

/// Flushes a finished temporary file to the disk and renames it to `path`.
pub(crate) fn persist(file: tempfile::NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    set_permissions(&file)?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// Temporary files are private to their owner; an adapter is as readable as any other file.
#[cfg(unix)]
fn set_permissions(file: &tempfile::NamedTempFile) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_permissions(_: &tempfile::NamedTempFile) -> io::Result<()> {
    Ok(())
}
