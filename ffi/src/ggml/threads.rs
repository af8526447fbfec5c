//! ggml's threads.

use std::ptr::NonNull;

use crate::sys;

/// Threads for ggml's own operations, of a backend or of llama.cpp. Without them either starts new
/// ones for every graph.
///
/// Between graphs they sleep instead of looking for work all the time: beside another program, what
/// they take there is missing where all wait for the slowest of them, at the barriers of a graph.
pub(crate) struct Threads {
    raw: NonNull<sys::ggml_threadpool>,
    n: i32,
}

impl Threads {
    /// `n_threads` threads, the caller's included, from one to ggml's limit of 512; `None` if the
    /// system starts no more.
    pub fn new(n_threads: usize) -> Option<Self> {
        let n = i32::try_from(n_threads).unwrap_or(i32::MAX).clamp(1, 512);
        // SAFETY: plain constructors; what they return is owned by the value returned.
        let raw = unsafe {
            let mut params = sys::ggml_threadpool_params_default(n);
            params.poll = 0;
            sys::ggml_threadpool_new(&raw mut params)
        };
        NonNull::new(raw).map(|raw| Self { raw, n })
    }

    /// How many they are.
    pub fn n(&self) -> i32 {
        self.n
    }

    pub fn as_ptr(&self) -> *mut sys::ggml_threadpool {
        self.raw.as_ptr()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // SAFETY: made in `new`, freed once; what used it is dropped before.
        unsafe { sys::ggml_threadpool_free(self.as_ptr()) }
    }
}
