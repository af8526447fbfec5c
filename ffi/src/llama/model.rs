//! llama.cpp's model object, whole or as a vocabulary only.

use std::ffi::CString;
use std::path::Path;
use std::ptr::NonNull;

use crate::ggml::device::Device;
use crate::llama::error::LlamaError;
use crate::sys;

/// A loaded model; its vocabulary is always there, its weights only if asked for.
#[derive(Debug)]
pub(crate) struct LlamaModel(NonNull<sys::llama_model>);

/// More layers than any model has.
const ALL_LAYERS: i32 = 9999;

impl LlamaModel {
    /// The model in a file, its weights on `device`; without one, only its vocabulary.
    pub fn load(path: &Path, device: Option<Device>) -> Result<Self, LlamaError> {
        sys::capture_log();
        let fail = |reason: String| LlamaError::Load { path: path.to_owned(), reason };
        let c_path = c_path(path).ok_or_else(|| fail("the path holds a NUL byte".into()))?;
        sys::last_error();
        // The CPU is always there: a list of no devices says that there is to be no other.
        let gpu = device.filter(|device| !device.is_cpu());
        let mut devices = [gpu.map_or(std::ptr::null_mut(), Device::raw), std::ptr::null_mut()];
        // SAFETY: path and devices live through the call; the other parameters are llama.cpp's
        // defaults.
        let model = unsafe {
            let mut params = sys::llama_model_default_params();
            params.vocab_only = device.is_none();
            params.devices = devices.as_mut_ptr();
            params.n_gpu_layers = if gpu.is_some() { ALL_LAYERS } else { 0 };
            sys::llama_model_load_from_file(c_path.as_ptr(), params)
        };
        NonNull::new(model).map(Self).ok_or_else(|| fail(sys::last_error()))
    }

    pub fn as_ptr(&self) -> *mut sys::llama_model {
        self.0.as_ptr()
    }

    pub fn vocab(&self) -> *const sys::llama_vocab {
        // SAFETY: the model is alive.
        unsafe { sys::llama_model_get_vocab(self.as_ptr()) }
    }

    /// The bytes that `token` stands for; markup included.
    pub fn piece(&self, token: u32) -> Vec<u8> {
        let mut bytes = vec![0u8; 64];
        loop {
            // SAFETY: the buffer is as long as said; out-of-range ids give an empty piece.
            let n = unsafe {
                let (data, len) = (bytes.as_mut_ptr().cast(), bytes.len() as i32);
                sys::llama_token_to_piece(self.vocab(), token as i32, data, len, 0, true)
            };
            match usize::try_from(n) {
                Ok(n) => {
                    bytes.truncate(n);
                    return bytes;
                }
                Err(_) => bytes.resize(n.unsigned_abs() as usize, 0),
            }
        }
    }

    /// Whether generation ends at `token`.
    pub fn is_end(&self, token: u32) -> bool {
        // SAFETY: the vocabulary is alive; the id came from it.
        unsafe { sys::llama_vocab_is_eog(self.vocab(), token as i32) }
    }
}

impl Drop for LlamaModel {
    fn drop(&mut self) {
        // SAFETY: loaded in `load`, freed once; contexts and adapters borrow it.
        unsafe { sys::llama_model_free(self.as_ptr()) }
    }
}

// SAFETY: a vocabulary is read-only once loaded, and llama.cpp's functions on it keep no state.
unsafe impl Send for LlamaModel {}

pub(crate) fn c_path(path: &Path) -> Option<CString> {
    CString::new(path.as_os_str().as_encoded_bytes()).ok()
}
