//! The end of a process in which ggml gives up.
//!
//! ggml and the drivers below it have no way to report a lost device: they abort. What the program
//! wrote until then is safe, so that all there is to do is to say so and to end with an ordinary
//! exit code.

use std::ffi::{CStr, c_char};
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::sys;

/// What is said last.
static LAST_WORDS: AtomicPtr<String> = AtomicPtr::new(std::ptr::null_mut());

/// When ggml, a driver or a panic aborts the process from now on, it says `last_words` on stderr
/// and ends with exit code 1. Called again, changes the words.
pub fn exit_on_abort(last_words: String) {
    // Leaked, like what was there before: the handler may be reading it.
    LAST_WORDS.store(Box::leak(Box::new(last_words)), Ordering::Release);
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let handler: extern "C" fn(libc::c_int) = say_and_exit;
        // SAFETY: the handler does nothing but what a signal's handler may: it reads, writes and
        // exits. `explain` lives for the whole program.
        unsafe {
            libc::signal(libc::SIGABRT, handler as libc::sighandler_t);
            sys::ggml_set_abort_callback(Some(explain));
        }
    });
}

extern "C" fn say_and_exit(_: libc::c_int) {
    let words = LAST_WORDS.load(Ordering::Acquire);
    // SAFETY: the words are never freed, and there are some before the handler is set.
    unsafe {
        let words: &String = &*words;
        libc::write(libc::STDERR_FILENO, words.as_ptr().cast(), words.len() as _);
        libc::_exit(1);
    }
}

/// Says why, before ggml aborts.
unsafe extern "C" fn explain(message: *const c_char) {
    if !message.is_null() {
        // SAFETY: ggml passes a NUL-terminated string that lives for this call.
        let message = unsafe { CStr::from_ptr(message) };
        eprintln!("\nggml: {}", message.to_string_lossy());
    }
}
