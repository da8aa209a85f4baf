//! Which lines a product asks for ahead of its loads: where weights come from memory, half of a kernel's speed.
//!
//! Two kinds, and neither is the right one everywhere, so a probe chooses between them at the start of a run. One
//! level: each line is asked for once, straight into the first-level cache. Two levels: far ahead into the second-level
//! cache, and again, shortly before its load, from there into the first. What waits for memory waits in the buffers of
//! the level that it was asked for; a CPU has several times as many of them at the second level as at the first.
//!
//! Measured on an Intel Xeon (family 6 model 207), share of a plain read of the same bytes in the same rounds, 442 MB,
//! one thread: `avx512-vnni` 0.62 without, 0.82 to 0.85 with one level (6 to 8 KiB), 0.94 with T1 8 KiB alone, 1.02
//! with T1 32 KiB and T0 2 KiB; the f16 head 0.68, 0.86, 0.91, 0.99. On Zen 5 one level reads at 0.95 to 1.00.

/// How far ahead of its loads a product asks for lines, and into which caches. Results do not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Prefetch {
    /// Once, into the first-level cache, as far ahead as each kernel says.
    #[default]
    OneLevel,
    /// 32 KiB ahead into the second-level cache, and 2 KiB ahead into the first.
    TwoLevels,
}

/// Bytes ahead of a load for which the second level is asked. Swept on an Intel Xeon (family 6 model 207), see
/// above; `ci/sweep-constants.py FAR_BYTES` does it again.
#[cfg(target_arch = "x86_64")]
const FAR_BYTES: usize = 32768;
/// Bytes ahead of a load for which the first level is asked again. Swept as [`FAR_BYTES`].
#[cfg(target_arch = "x86_64")]
const SOON_BYTES: usize = 2048;

impl Prefetch {
    /// Both kinds, the default first.
    pub const ALL: [Self; 2] = [Self::OneLevel, Self::TwoLevels];

    /// Both kinds, first the one that is wanted where their times tie: from memory two levels, which lost nowhere, in
    /// cache one, which costs an instruction less.
    pub const fn wanted(from_memory: bool) -> [Self; 2] {
        if from_memory { [Self::TwoLevels, Self::OneLevel] } else { Self::ALL }
    }

    /// Name in receipts: `one level` or `two levels`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneLevel => "one level",
            Self::TwoLevels => "two levels",
        }
    }
}

/// Asks for the line that a loop will reach later: with one level what lies `near` bytes ahead.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn ahead<const TWO_LEVELS: bool>(line: *const u8, near: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
    // SAFETY: SSE is part of x86-64, and prefetching does not access memory in the sense of the abstract machine: it
    // never faults, and `wrapping_add` makes no claim that the address is inside the allocation.
    unsafe {
        if TWO_LEVELS {
            _mm_prefetch::<_MM_HINT_T1>(line.wrapping_add(FAR_BYTES).cast());
            _mm_prefetch::<_MM_HINT_T0>(line.wrapping_add(SOON_BYTES).cast());
        } else {
            _mm_prefetch::<_MM_HINT_T0>(line.wrapping_add(near).cast());
        }
    }
}

/// Calls the form of a generic function that asks ahead in the given way: `with_prefetch!(how, function(arguments))`
/// for a function whose last generic parameter says whether there are two levels; those before it in brackets.
#[cfg(target_arch = "x86_64")]
macro_rules! with_prefetch {
    ($how:expr, $function:ident[$($generic:tt),+]($($argument:expr),*)) => {
        match $how {
            crate::prefetch::Prefetch::OneLevel => $function::<$($generic),+, false>($($argument),*),
            crate::prefetch::Prefetch::TwoLevels => $function::<$($generic),+, true>($($argument),*),
        }
    };
    ($how:expr, $function:ident($($argument:expr),*)) => {
        match $how {
            crate::prefetch::Prefetch::OneLevel => $function::<false>($($argument),*),
            crate::prefetch::Prefetch::TwoLevels => $function::<true>($($argument),*),
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(crate) use with_prefetch;
