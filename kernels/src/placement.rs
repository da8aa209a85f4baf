//! Where a kernel's code lies in memory.
//!
//! Compilers align functions and loops to 16 bytes, linkers put them one after the other: by which multiple of 16 a loop begins after a
//! cache line's start changes with any line of code before it. On Zen 5 that alone made the 90 bytes of `scalar`'s loop run at 578 tokens/s
//! (at a multiple of 64), 740 to 861 (32 further) or 810 (48 further), each the same in every run of one build: ratios over
//! this kernel said more about the linker than about kernels.

/// Makes the code that follows begin at a multiple of 64 bytes, at the cost of a few `nop` a call. As the first line of a function that has
/// a hot loop, it gives the loop the same place within its cache lines in every build of the same source by the same compiler.
macro_rules! at_cache_line {
    () => {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        // SAFETY: only `nop`s, as many as are missing.
        unsafe {
            std::arch::asm!(".p2align 6", options(nomem, nostack, preserves_flags));
        }
    };
}
pub(crate) use at_cache_line;
