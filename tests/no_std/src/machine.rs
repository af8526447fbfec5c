//! What a C library and a runtime would bring, for x86-64 Linux.

use core::arch::{asm, global_asm};
use core::panic::PanicInfo;

// The kernel enters here with no return address and a stack of its own alignment.
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {start}",
    "ud2",
    start = sym crate::start,
);

/// Ends the process.
pub fn exit(code: i32) -> ! {
    // SAFETY: system call 60 (`exit`) takes one integer, touches no memory and does not return.
    unsafe { asm!("syscall", in("rax") 60, in("edi") code, options(noreturn, nostack)) }
}

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    exit(2)
}

// The precompiled `core` refers to these for unwinding, which aborting on panic rules out.
// SAFETY: the names are the ones it expects, and nothing calls them.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    exit(2)
}

// The compiler emits calls to these four. They are string instructions rather than loops, because
// it would turn a loop into a call of the very function it stands in.

// SAFETY: the C library's name and signature; `n` bytes at `from` and `to` are the caller's
// promise.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: copies exactly the bytes the caller vouches for; the direction flag is clear by the
    // ABI.
    unsafe {
        asm!("rep movsb", inout("rcx") n => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags));
    }
    to
}

// SAFETY: as `memcpy`; the regions may overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= n {
        // SAFETY: `to` is not inside the source, so copying upwards reads each byte before it is
        // written.
        return unsafe { memcpy(to, from, n) };
    }
    // SAFETY: copies the caller's bytes downwards from the last one, and clears the direction flag
    // after.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") n => _,
            inout("rdi") to.wrapping_add(n).wrapping_sub(1) => _,
            inout("rsi") from.wrapping_add(n).wrapping_sub(1) => _, options(nostack));
    }
    to
}

// SAFETY: the C library's name and signature; `n` bytes at `to` are the caller's promise.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
    // SAFETY: writes exactly the bytes the caller vouches for.
    unsafe {
        asm!("rep stosb", inout("rcx") n => _, inout("rdi") to => _, in("al") byte as u8,
            options(nostack, preserves_flags));
    }
    to
}

// SAFETY: the C library's name and signature; `n` bytes at `a` and `b` are the caller's promise.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    for i in 0..n {
        // SAFETY: `i < n`. Volatile, so that the loop is not recognized as a comparison.
        let (x, y) = unsafe { (a.add(i).read_volatile(), b.add(i).read_volatile()) };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
    }
    0
}

// SAFETY: as `memcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the caller's promise is the same.
    unsafe { memcmp(a, b, n) }
}
