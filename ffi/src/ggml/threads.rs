//! llama.cpp's threads.

use std::ptr::NonNull;

use crate::sys;

/// Threads that live as long as a context. Without them llama.cpp starts new ones for every token.
///
/// Between tokens they sleep instead of looking for work all the time: beside another program, what
/// they take there is missing where all wait for the slowest of them, at the barriers of a graph.
pub(super) struct Threads(NonNull<sys::ggml_threadpool>);

impl Threads {
    /// `n_threads` threads, the caller's included; `None` if the system starts no more.
    pub fn new(n_threads: i32) -> Option<Self> {
        // SAFETY: plain constructors; the pool is owned by the value returned.
        let pool = unsafe {
            let mut params = sys::ggml_threadpool_params_default(n_threads);
            params.poll = 0;
            sys::ggml_threadpool_new(&raw mut params)
        };
        NonNull::new(pool).map(Self)
    }

    pub fn as_ptr(&self) -> *mut sys::ggml_threadpool {
        self.0.as_ptr()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // SAFETY: made in `new`, freed once; the context that used it is dropped before.
        unsafe { sys::ggml_threadpool_free(self.0.as_ptr()) }
    }
}
