//! Reading a GGUF header, with ggml's parser.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::path::Path;
use std::ptr::NonNull;

use crate::gguf::error::GgufError;
use crate::gguf::tensor_info::TensorInfo;
use crate::gguf::value::Value;
use crate::sys;

/// The parsed header, owned by ggml.
pub(crate) struct Header(NonNull<sys::gguf_context>);

impl Drop for Header {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `gguf_init_from_file` and is freed once.
        unsafe { sys::gguf_free(self.0.as_ptr()) }
    }
}

impl Header {
    /// Parses the header of the file.
    pub fn parse(path: &Path) -> Result<Self, GgufError> {
        let fail = |reason: String| GgufError::Header { path: path.to_owned(), reason };
        let c_path = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| fail("the path holds a NUL byte".into()))?;
        let params = sys::gguf_init_params { no_alloc: true, ctx: std::ptr::null_mut() };
        sys::last_error();
        // SAFETY: `c_path` lives through the call; no tensor context is asked for.
        let header = unsafe { sys::gguf_init_from_file(c_path.as_ptr(), params) };
        NonNull::new(header).map(Self).ok_or_else(|| fail(sys::last_error()))
    }

    /// The tensors by name, which lie in file `shard` of the model.
    pub fn tensors(&self, shard: usize) -> BTreeMap<String, TensorInfo> {
        let gguf = self.0.as_ptr();
        // SAFETY: `gguf` is alive, every index is below the count, names are NUL-terminated and
        // `ne` points at four sizes.
        unsafe {
            let start = sys::gguf_get_data_offset(gguf);
            (0..sys::gguf_get_n_tensors(gguf))
                .map(|i| {
                    let ne = std::slice::from_raw_parts(sys::gguf_get_tensor_ne(gguf, i), 4);
                    let info = TensorInfo {
                        kind: sys::gguf_get_tensor_type(gguf, i),
                        ne: std::array::from_fn(|d| ne[d] as usize),
                        shard,
                        offset: start + sys::gguf_get_tensor_offset(gguf, i),
                        size: sys::gguf_get_tensor_size(gguf, i),
                    };
                    (string(sys::gguf_get_tensor_name(gguf, i)), info)
                })
                .collect()
        }
    }

    /// The metadata by key.
    pub fn metadata(&self) -> BTreeMap<String, Value> {
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
unsafe fn string(text: *const c_char) -> String {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use crate::ggml::tensor_type::TensorType;
    use crate::gguf::file::Gguf;
    use crate::gguf::header::GgufHeader;

    #[test]
    fn a_tensor_of_an_unknown_type_is_named() {
        let mut header = GgufHeader::new();
        header.tensor("odd", TensorType::F32, [8, 1]);
        let mut bytes = header.bytes();
        let at = bytes.windows(3).position(|window| window == b"odd").expect("is there");
        // Behind the name are the number of dimensions and the only one.
        bytes[at + 3 + 4 + 8] = 99;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("odd.gguf");
        std::fs::write(&path, bytes).expect("writes");
        let message = Gguf::open(&path).expect_err("refuses").to_string();
        assert!(message.contains("tensor 'odd' has invalid ggml type 99"), "{message}");
        assert!(message.contains("hint: the type is one that"), "{message}");
    }
}
