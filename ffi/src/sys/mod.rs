//! The C API of ggml and llama.cpp, and what it logs.
//!
//! Everything above this file is independent of which crate provides the bindings.

pub(crate) mod abort;
pub(crate) mod waiting;

pub use llama_cpp_sys_2::*;

use std::ffi::{CStr, c_char, c_void};
use std::sync::{Mutex, Once, PoisonError};

/// The latest complaints of the C side: its functions return null and log the reason, the most
/// special first.
static LAST_ERROR: Mutex<String> = Mutex::new(String::new());

/// Sends the log of ggml and llama.cpp to [`last_error`] instead of the terminal, once.
pub fn capture_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: `keep_errors` lives for the whole program and ignores its user data.
        unsafe {
            ggml_log_set(Some(keep_errors), std::ptr::null_mut());
            llama_log_set(Some(keep_errors), std::ptr::null_mut());
            llama_backend_init();
        }
    });
}

/// Complaints that are kept, in bytes.
const ERROR_BYTES: usize = 1000;

/// Takes what the C side logged as errors since the last call; empty if there was nothing.
pub fn last_error() -> String {
    let mut text = LAST_ERROR.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *text).trim().to_owned()
}

unsafe extern "C" fn keep_errors(level: ggml_log_level, text: *const c_char, _: *mut c_void) {
    if level != GGML_LOG_LEVEL_ERROR || text.is_null() {
        return;
    }
    // SAFETY: the C side passes a NUL-terminated string that lives for this call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let mut last = LAST_ERROR.lock().unwrap_or_else(PoisonError::into_inner);
    if last.len() > ERROR_BYTES {
        last.clear();
    }
    if !last.is_empty() {
        last.push_str("; ");
    }
    last.push_str(text.trim());
}
