//! Where a kernel's code lies in memory.
//!
//! Compilers align functions and loops to 16 bytes, linkers put them one after the other: by which multiple of 16 a
//! loop begins after a cache line's start changes with any line of code before it. On Zen 5 that alone decides over 1.4
//! times the speed of `scalar`:
//!
//! | its loop begins at a multiple of 64 plus | 0 | 16 | 32 | 48 |
//! |---|---|---|---|---|
//! | `gemv`, Gw/s (90 bytes of loop) | 4.0 | 5.9 | 5.4 | 5.8 |
//! | `dequantize`, Gw/s (85 bytes) | 6.0 | 5.9 | 4.1 | 5.8 |
//!
//! Each is the same in every run of a build (best of 200, 2026-11-25). Ratios over this kernel depended more on the
//! linker than on the kernels. Generation with every other kernel is within noise of before, wherever it lies.

/// Makes the code that follows begin at a multiple of 64 bytes (or so many bytes after it), at the cost of a few `nop`
/// a call. As the first line of a function that has a hot loop, it gives the loop the same place within its cache lines
/// in every build of the same source by the same compiler.
macro_rules! at_cache_line {
    ($(plus $bytes:literal)?) => {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        // SAFETY: only `nop`s, as many as are missing.
        unsafe {
            std::arch::asm!(".p2align 6", $(concat!(".nops ", $bytes),)? options(nomem, nostack, preserves_flags));
        }
    };
}
pub(crate) use at_cache_line;
