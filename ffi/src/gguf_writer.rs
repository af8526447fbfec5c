//! Writing a GGUF file of F32 tensors.

use std::ffi::CString;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::ptr::NonNull;

use crate::sys;

/// Collects metadata and tensors; ggml lays out the header, the data is written from here, so that
/// a full disk is an error and not a silently short file.
pub(crate) struct GgufWriter<'a> {
    gguf: NonNull<sys::gguf_context>,
    data: Vec<&'a [f32]>,
}

impl<'a> GgufWriter<'a> {
    pub fn new() -> Self {
        // SAFETY: a plain constructor.
        let gguf = NonNull::new(unsafe { sys::gguf_init_empty() }).expect("memory for a header");
        Self { gguf, data: Vec::new() }
    }

    pub fn str(&mut self, key: &str, value: &str) {
        let (key, value) = (c_string(key), c_string(value));
        // SAFETY: both strings live through the call and are copied.
        unsafe { sys::gguf_set_val_str(self.gguf.as_ptr(), key.as_ptr(), value.as_ptr()) }
    }

    pub fn f32(&mut self, key: &str, value: f32) {
        let key = c_string(key);
        // SAFETY: the key lives through the call and is copied.
        unsafe { sys::gguf_set_val_f32(self.gguf.as_ptr(), key.as_ptr(), value) }
    }

    /// Adds a matrix of ne = `shape`.
    pub fn tensor(&mut self, name: &str, shape: [usize; 2], data: &'a [f32]) {
        assert_eq!(shape[0] * shape[1], data.len());
        let name = c_string(name);
        // SAFETY: the tensor's header is copied by `gguf_add_tensor`, so its context may go; the
        // context has room for one header.
        unsafe {
            let ctx = sys::ggml_init(sys::ggml_init_params {
                mem_size: sys::ggml_tensor_overhead(),
                mem_buffer: std::ptr::null_mut(),
                no_alloc: true,
            });
            let [n0, n1] = shape.map(|n| n as i64);
            let tensor = sys::ggml_new_tensor_2d(ctx, sys::GGML_TYPE_F32, n0, n1);
            sys::ggml_set_name(tensor, name.as_ptr());
            sys::gguf_add_tensor(self.gguf.as_ptr(), tensor);
            sys::ggml_free(ctx);
        }
        self.data.push(data);
    }

    /// Writes the file beside `path`, flushes it to the disk and renames it.
    pub fn save(self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        let mut out = BufWriter::new(file.as_file_mut());
        out.write_all(&self.header())?;
        // SAFETY: the context is alive.
        let alignment = unsafe { sys::gguf_get_alignment(self.gguf.as_ptr()) };
        for data in &self.data {
            let bytes: &[u8] = bytemuck::cast_slice(data);
            out.write_all(bytes)?;
            out.write_all(&vec![0; bytes.len().next_multiple_of(alignment) - bytes.len()])?;
        }
        out.flush()?;
        drop(out);
        persist(file, path)
    }

    fn header(&self) -> Vec<u8> {
        let gguf = self.gguf.as_ptr();
        // SAFETY: the buffer has the size that ggml asks for.
        unsafe {
            let mut header = vec![0; sys::gguf_get_meta_size(gguf)];
            sys::gguf_get_meta_data(gguf, header.as_mut_ptr().cast());
            header
        }
    }
}

impl Drop for GgufWriter<'_> {
    fn drop(&mut self) {
        // SAFETY: created in `new`, freed once.
        unsafe { sys::gguf_free(self.gguf.as_ptr()) }
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

fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).expect("NUL bytes were removed")
}
