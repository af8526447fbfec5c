//! A GGUF file: metadata read once, tensor data left in a memory map.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;

use memmap2::Mmap;

use crate::sys;

/// Why a GGUF file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The file cannot be opened or mapped.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The first four bytes are not `GGUF`.
    #[error("{path}: not a GGUF file (it starts with {found:02x?}, a GGUF starts with \"GGUF\")")]
    NotGguf {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        found: Vec<u8>,
    },
    /// The header does not parse.
    #[error("{path}: the GGUF header cannot be read: {reason} (is the file complete?)")]
    Header {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// A tensor's data lies outside the file.
    #[error(
        "{path}: truncated: tensor {tensor} ends at byte {end}, the file has {len} (download it again)"
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The first tensor that does not fit.
        tensor: String,
        /// Where its data should end.
        end: u64,
        /// The length of the file.
        len: u64,
    },
    /// A metadata key is missing or has another type.
    #[error("{path}: metadata key {key} is missing or not {expected}")]
    Key {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The type it should have.
        expected: &'static str,
    },
    /// A tensor that the architecture needs is missing.
    #[error("{path}: tensor {tensor} is missing")]
    NoTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
}

/// Where a tensor lies in the file, and what it is.
#[derive(Debug, Clone)]
pub struct TensorInfo {
    /// ggml's number of the quantization type.
    pub ggml_type: sys::ggml_type,
    /// Sizes, fastest dimension first, as ggml counts them.
    pub ne: [usize; 4],
    /// First byte of the data, from the start of the file.
    pub offset: usize,
    /// Bytes of data.
    pub size: usize,
}

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Any integer or boolean.
    Int(i64),
    /// Any floating-point number.
    Float(f64),
    /// A string.
    Str(String),
    /// An array of integers or booleans.
    Ints(Vec<i64>),
    /// An array of strings.
    Strs(Vec<String>),
    /// An array of floating-point numbers: only its length is kept.
    Floats(usize),
}

/// An open GGUF file. Cloning shares the map.
#[derive(Debug, Clone)]
pub struct Gguf {
    path: PathBuf,
    map: Arc<Mmap>,
    metadata: Arc<BTreeMap<String, Value>>,
    tensors: Arc<BTreeMap<String, TensorInfo>>,
}

impl Gguf {
    /// Maps `path` and reads its header; every tensor is checked to lie within the file.
    ///
    /// # Errors
    /// If the file cannot be opened, is not a GGUF, or is shorter than its header says.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        sys::capture_log();
        let io = |source| GgufError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        // SAFETY: the map is read-only; a file that another program shortens while it is mapped
        // ends this program with SIGBUS, as it does every program that maps its models.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        if !map.starts_with(b"GGUF") {
            let found = map[..map.len().min(4)].to_vec();
            return Err(GgufError::NotGguf { path: path.to_owned(), found });
        }
        let header = Header::read(path)?;
        let tensors = header.tensors();
        if let Some((name, info)) = tensors.iter().find(|(_, t)| t.offset + t.size > map.len()) {
            return Err(GgufError::Truncated {
                path: path.to_owned(),
                tensor: name.clone(),
                end: (info.offset + info.size) as u64,
                len: map.len() as u64,
            });
        }
        Ok(Self {
            path: path.to_owned(),
            map: Arc::new(map),
            metadata: Arc::new(header.metadata()),
            tensors: Arc::new(tensors),
        })
    }

    /// The file's path, as it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `general.architecture`.
    ///
    /// # Errors
    /// If the key is missing.
    pub fn architecture(&self) -> Result<&str, GgufError> {
        self.str("general.architecture")
            .ok_or_else(|| self.key_error("general.architecture", "a string"))
    }

    /// A metadata value by its full key.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// A string by its full key.
    pub fn str(&self, key: &str) -> Option<&str> {
        match self.value(key)? {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// An integer by its full key.
    pub fn int(&self, key: &str) -> Option<i64> {
        match self.value(key)? {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// A number by its full key.
    pub fn float(&self, key: &str) -> Option<f64> {
        match self.value(key)? {
            Value::Float(number) => Some(*number),
            Value::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    /// A tensor by name.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, GgufError> {
        self.tensors
            .get(name)
            .ok_or_else(|| GgufError::NoTensor { path: self.path.clone(), tensor: name.to_owned() })
    }

    /// The bytes of a tensor, in the map.
    pub fn data(&self, info: &TensorInfo) -> &[u8] {
        &self.map[info.offset..info.offset + info.size]
    }

    /// Lets the system take back the pages of these tensors: they are read from the file again
    /// when they are next needed. Does nothing where the system has no such call.
    pub(crate) fn release<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let infos = names.into_iter().filter_map(|name| self.tensors().get(name));
        infos.for_each(|info| self.release_range(info.offset..info.offset + info.size));
    }

    /// [`Gguf::release`] of bytes of the file.
    pub(crate) fn release_range(&self, range: Range<usize>) {
        #[cfg(unix)]
        // SAFETY: the map is read-only and backed by the file, so that dropped pages come back
        // with the same bytes. An error leaves them where they are.
        let _ = unsafe {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            self.map.unchecked_advise_range(advice, range.start, range.len())
        };
    }

    /// Lets the system begin to read these tensors from the file, without waiting for it. Does
    /// nothing where the system has no such call.
    pub(crate) fn prefetch<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        #[cfg(unix)]
        for info in names.into_iter().filter_map(|name| self.tensors().get(name)) {
            // An error leaves the reading to the first access.
            let _ = self.map.advise_range(memmap2::Advice::WillNeed, info.offset, info.size);
        }
    }

    /// The whole file.
    pub(crate) fn map(&self) -> &[u8] {
        &self.map
    }

    /// The error for a key that is missing or of another type.
    pub(crate) fn key_error(&self, key: &str, expected: &'static str) -> GgufError {
        GgufError::Key { path: self.path.clone(), key: key.to_owned(), expected }
    }
}

/// The parsed header, owned by ggml.
struct Header(NonNull<sys::gguf_context>);

impl Drop for Header {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `gguf_init_from_file` and is freed once.
        unsafe { sys::gguf_free(self.0.as_ptr()) }
    }
}

impl Header {
    fn read(path: &Path) -> Result<Self, GgufError> {
        let fail = |reason: String| GgufError::Header { path: path.to_owned(), reason };
        let c_path = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| fail("the path holds a NUL byte".into()))?;
        let params = sys::gguf_init_params { no_alloc: true, ctx: std::ptr::null_mut() };
        sys::last_error();
        // SAFETY: `c_path` lives through the call; no tensor context is asked for.
        let header = unsafe { sys::gguf_init_from_file(c_path.as_ptr(), params) };
        NonNull::new(header).map(Self).ok_or_else(|| fail(sys::last_error()))
    }

    fn tensors(&self) -> BTreeMap<String, TensorInfo> {
        let gguf = self.0.as_ptr();
        // SAFETY: `gguf` is alive, every index is below the count, names are NUL-terminated and
        // `ne` points at four sizes.
        unsafe {
            let start = sys::gguf_get_data_offset(gguf);
            (0..sys::gguf_get_n_tensors(gguf))
                .map(|i| {
                    let ne = std::slice::from_raw_parts(sys::gguf_get_tensor_ne(gguf, i), 4);
                    let info = TensorInfo {
                        ggml_type: sys::gguf_get_tensor_type(gguf, i),
                        ne: std::array::from_fn(|d| ne[d] as usize),
                        offset: start + sys::gguf_get_tensor_offset(gguf, i),
                        size: sys::gguf_get_tensor_size(gguf, i),
                    };
                    (string(sys::gguf_get_tensor_name(gguf, i)), info)
                })
                .collect()
        }
    }

    fn metadata(&self) -> BTreeMap<String, Value> {
        let gguf = self.0.as_ptr();
        // SAFETY: `gguf` is alive, every index is below the count, keys are NUL-terminated.
        unsafe {
            (0..sys::gguf_get_n_kv(gguf))
                .filter_map(|i| Some((string(sys::gguf_get_key(gguf, i)), self.value(i)?)))
                .collect()
        }
    }

    /// The value of entry `i`; `None` for kinds that nothing here reads.
    fn value(&self, i: i64) -> Option<Value> {
        let gguf = self.0.as_ptr();
        // SAFETY: `i` is below the count, and each accessor is called for its own type only.
        unsafe {
            Some(match sys::gguf_get_kv_type(gguf, i) {
                sys::GGUF_TYPE_UINT8 => Value::Int(sys::gguf_get_val_u8(gguf, i).into()),
                sys::GGUF_TYPE_INT8 => Value::Int(sys::gguf_get_val_i8(gguf, i).into()),
                sys::GGUF_TYPE_UINT16 => Value::Int(sys::gguf_get_val_u16(gguf, i).into()),
                sys::GGUF_TYPE_INT16 => Value::Int(sys::gguf_get_val_i16(gguf, i).into()),
                sys::GGUF_TYPE_UINT32 => Value::Int(sys::gguf_get_val_u32(gguf, i).into()),
                sys::GGUF_TYPE_INT32 => Value::Int(sys::gguf_get_val_i32(gguf, i).into()),
                sys::GGUF_TYPE_UINT64 => Value::Int(sys::gguf_get_val_u64(gguf, i) as i64),
                sys::GGUF_TYPE_INT64 => Value::Int(sys::gguf_get_val_i64(gguf, i)),
                sys::GGUF_TYPE_BOOL => Value::Int(sys::gguf_get_val_bool(gguf, i).into()),
                sys::GGUF_TYPE_FLOAT32 => Value::Float(sys::gguf_get_val_f32(gguf, i).into()),
                sys::GGUF_TYPE_FLOAT64 => Value::Float(sys::gguf_get_val_f64(gguf, i)),
                sys::GGUF_TYPE_STRING => Value::Str(string(sys::gguf_get_val_str(gguf, i))),
                sys::GGUF_TYPE_ARRAY => self.array(i)?,
                _ => return None,
            })
        }
    }

    fn array(&self, i: i64) -> Option<Value> {
        let gguf = self.0.as_ptr();
        // SAFETY: entry `i` is an array of `n` elements of the type asked for.
        unsafe {
            let n = sys::gguf_get_arr_n(gguf, i);
            Some(match sys::gguf_get_arr_type(gguf, i) {
                sys::GGUF_TYPE_STRING => {
                    Value::Strs((0..n).map(|k| string(sys::gguf_get_arr_str(gguf, i, k))).collect())
                }
                sys::GGUF_TYPE_FLOAT32 => Value::Floats(n),
                sys::GGUF_TYPE_INT32 | sys::GGUF_TYPE_UINT32 => {
                    let data = sys::gguf_get_arr_data(gguf, i).cast::<i32>();
                    Value::Ints((0..n).map(|k| data.add(k).read_unaligned().into()).collect())
                }
                sys::GGUF_TYPE_BOOL => {
                    let data = sys::gguf_get_arr_data(gguf, i).cast::<i8>();
                    Value::Ints((0..n).map(|k| data.add(k).read().into()).collect())
                }
                _ => return None,
            })
        }
    }
}

/// Copies a C string; invalid UTF-8 is replaced.
///
/// # Safety
/// `text` points at a NUL-terminated string.
unsafe fn string(text: *const std::ffi::c_char) -> String {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
