//! The header of a GGUF file: metadata, and where each tensor lies.

use std::ffi::CString;
use std::ptr::NonNull;

use crate::ggml::tensor_type::TensorType;
use crate::sys;

/// ggml cuts longer names off; their final NUL included.
const NAME_BYTES: usize = 64;

/// A header in the making; ggml lays it out.
///
/// The file is [`Self::bytes`], then every tensor's data in the order in which the tensors were
/// added, each padded with zeros to a multiple of [`Self::alignment`].
#[derive(Debug)]
pub struct GgufHeader(NonNull<sys::gguf_context>);

impl Default for GgufHeader {
    fn default() -> Self {
        Self::new()
    }
}

impl GgufHeader {
    /// A header without metadata and tensors.
    pub fn new() -> Self {
        sys::capture_log();
        // SAFETY: a plain constructor.
        Self(NonNull::new(unsafe { sys::gguf_init_empty() }).expect("memory for a header"))
    }

    /// Adds a string.
    pub fn str(&mut self, key: &str, value: &str) {
        let (key, value) = (c_string(key), c_string(value));
        // SAFETY: both strings live through the call and are copied.
        unsafe { sys::gguf_set_val_str(self.0.as_ptr(), key.as_ptr(), value.as_ptr()) }
    }

    /// Adds an unsigned 16-bit integer.
    pub fn u16(&mut self, key: &str, value: u16) {
        let key = c_string(key);
        // SAFETY: the key lives through the call and is copied.
        unsafe { sys::gguf_set_val_u16(self.0.as_ptr(), key.as_ptr(), value) }
    }

    /// Adds a signed 32-bit integer.
    pub fn i32(&mut self, key: &str, value: i32) {
        let key = c_string(key);
        // SAFETY: the key lives through the call and is copied.
        unsafe { sys::gguf_set_val_i32(self.0.as_ptr(), key.as_ptr(), value) }
    }

    /// Adds an unsigned 32-bit integer.
    pub fn u32(&mut self, key: &str, value: u32) {
        let key = c_string(key);
        // SAFETY: the key lives through the call and is copied.
        unsafe { sys::gguf_set_val_u32(self.0.as_ptr(), key.as_ptr(), value) }
    }

    /// Adds an array of signed 32-bit integers.
    pub fn i32s(&mut self, key: &str, values: &[i32]) {
        let key = c_string(key);
        // SAFETY: the key lives through the call and is copied, as the values are.
        unsafe {
            let (data, kind) = (values.as_ptr().cast(), sys::GGUF_TYPE_INT32);
            sys::gguf_set_arr_data(self.0.as_ptr(), key.as_ptr(), kind, data, values.len());
        }
    }

    /// Adds an array of strings.
    pub fn strs(&mut self, key: &str, values: &[&str]) {
        let key = c_string(key);
        let values: Vec<_> = values.iter().map(|value| c_string(value)).collect();
        let mut pointers: Vec<_> = values.iter().map(|value| value.as_ptr()).collect();
        let (data, n) = (pointers.as_mut_ptr(), pointers.len());
        // SAFETY: key, pointers and what they point to live through the call; all is copied.
        unsafe { sys::gguf_set_arr_str(self.0.as_ptr(), key.as_ptr(), data, n) }
    }

    /// Adds a 32-bit float.
    pub fn f32(&mut self, key: &str, value: f32) {
        let key = c_string(key);
        // SAFETY: the key lives through the call and is copied.
        unsafe { sys::gguf_set_val_f32(self.0.as_ptr(), key.as_ptr(), value) }
    }

    /// Adds a matrix of ne = `shape`, a vector if `shape[1]` is 1.
    ///
    /// # Panics
    /// If rows are not whole blocks of the type, or the name is taken or too long.
    pub fn tensor(&mut self, name: &str, tensor_type: TensorType, shape: [usize; 2]) {
        assert!(shape[0].is_multiple_of(tensor_type.block()), "{name}: {shape:?} of {tensor_type}");
        assert!(name.len() < NAME_BYTES, "{name}");
        let name = c_string(name);
        // SAFETY: the tensor's header is copied by `gguf_add_tensor`, so its context may go; the
        // context has room for one header.
        unsafe {
            assert_eq!(sys::gguf_find_tensor(self.0.as_ptr(), name.as_ptr()), -1, "{name:?}");
            let ctx = sys::ggml_init(sys::ggml_init_params {
                mem_size: sys::ggml_tensor_overhead(),
                mem_buffer: std::ptr::null_mut(),
                no_alloc: true,
            });
            let [n0, n1] = shape.map(|n| n as i64);
            let tensor = sys::ggml_new_tensor_2d(ctx, tensor_type.raw(), n0, n1);
            sys::ggml_set_name(tensor, name.as_ptr());
            sys::gguf_add_tensor(self.0.as_ptr(), tensor);
            sys::ggml_free(ctx);
        }
    }

    /// Every tensor's data starts at a multiple of this, counted from the end of the header.
    pub fn alignment(&self) -> usize {
        // SAFETY: the context is alive.
        unsafe { sys::gguf_get_alignment(self.0.as_ptr()) }
    }

    /// The header, padded to a multiple of [`Self::alignment`].
    pub fn bytes(&self) -> Vec<u8> {
        let gguf = self.0.as_ptr();
        // SAFETY: the buffer has the size that ggml asks for.
        unsafe {
            let mut bytes = vec![0; sys::gguf_get_meta_size(gguf)];
            sys::gguf_get_meta_data(gguf, bytes.as_mut_ptr().cast());
            bytes
        }
    }
}

impl Drop for GgufHeader {
    fn drop(&mut self) {
        // SAFETY: created in `new`, freed once.
        unsafe { sys::gguf_free(self.0.as_ptr()) }
    }
}

fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).expect("NUL bytes were removed")
}
