//! Streaming read and write: how fast this machine moves bytes when nothing is computed with them. This is the memory
//! limit of a kernel.

use crate::cpu::{CpuFeatures, Level};
use crate::parallel::{Team, row_range};
use crate::prefetch::Prefetch;
use std::convert::Infallible;
use std::hint::black_box;
#[cfg(all(target_arch = "x86_64", not(miri)))]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that one step of the loop reads: four cache lines.
const STEP: usize = 256;
/// How far ahead of the loads lines are asked for with one level. Not swept apart: where another way or none reads
/// faster, that one is the limit.
#[cfg(target_arch = "x86_64")]
const PREFETCH_BYTES: usize = 1024;

/// Reads all of `bytes` once, each thread of the team a contiguous part, and returns a sum that depends on every 8
/// bytes of it (so that no read can be left out). At most `STEP - 1` bytes at the end of each part are not read.
pub fn read(team: &mut Team, allowed: CpuFeatures, prefetch: Prefetch, bytes: &[u8]) -> u64 {
    read_passes(team, allowed, bytes, 1, Some(prefetch))
}

/// As [`read`], but each thread goes over its part `passes` times without waiting for the others, so that a part that
/// fits a cache is read from there. `prefetch` asks for lines ahead of the loads: a gain from memory, a loss in cache.
/// Which kind gains most differs between CPUs: the fastest read is the machine's limit.
pub fn read_passes(
    team: &mut Team,
    allowed: CpuFeatures,
    bytes: &[u8],
    passes: usize,
    prefetch: Option<Prefetch>,
) -> u64 {
    let level = Level::select(allowed);
    let (threads, total) = (team.threads(), AtomicU64::new(0));
    team.run(&|number| {
        let part = &bytes[row_range(bytes.len(), STEP, threads, number)];
        for _ in 0..passes {
            total.fetch_add(read_part(level, black_box(part), prefetch), Ordering::Relaxed);
        }
    });
    total.into_inner()
}

/// Overwrites all of `bytes` `passes` times with plain vector stores, each thread of the team a contiguous part, as a
/// kernel that writes its result does. At most 63 bytes at the end of each part keep their value.
pub fn write_passes(team: &mut Team, allowed: CpuFeatures, bytes: &mut [u8], passes: usize) {
    let level = Level::select(allowed);
    // Opaque, so that the compiler does not turn the loop into a call to memset, which picks its own kind of store.
    let line = black_box([1u8; 64]);
    let Ok(()) = team.split_rows(64, bytes, |_, part| {
        for _ in 0..passes {
            write_part(level, black_box(&mut *part), &line);
        }
        Ok::<(), Infallible>(())
    });
}

fn read_part(level: Level, bytes: &[u8], prefetch: Option<Prefetch>) -> u64 {
    match level {
        // Its loads are plain ones: the compiler has no prefetch for it.
        Level::Portable => {
            let _ = prefetch;
            body(bytes)
        }
        // SAFETY: `Level::select` found AVX2.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2(bytes, prefetch) },
        // SAFETY: `Level::select` found AVX-512 F.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Avx512Vnni => unsafe { avx512(bytes, prefetch) },
    }
}

// Written with vectors by hand: from plain Rust, LLVM (1.95) turns the loop without prefetches into one of scalars and
// gathers, at 26 GB/s from the first-level cache where this one reads 190 (Intel Xeon, family 6 model 207).
#[cfg(target_arch = "x86_64")]
macro_rules! reader {
    ($name:ident, $kinds:ident, $feature:literal, $zero:ident, $load:ident, $add:ident, $vector:ty, $store:ident) => {
        #[target_feature(enable = $feature)]
        fn $name(bytes: &[u8], prefetch: Option<Prefetch>) -> u64 {
            match prefetch {
                None => $kinds::<0>(bytes),
                Some(Prefetch::OneLevel) => $kinds::<1>(bytes),
                Some(Prefetch::TwoLevels) => $kinds::<2>(bytes),
            }
        }

        /// Four independent sums; each line is asked for in so many levels ahead.
        #[target_feature(enable = $feature)]
        fn $kinds<const LEVELS: u8>(bytes: &[u8]) -> u64 {
            use std::arch::x86_64::*;
            const WIDTH: usize = size_of::<$vector>();
            let mut sums = [$zero(); 4];
            for step in bytes.as_chunks::<STEP>().0 {
                for line in step.as_chunks::<64>().0 {
                    match LEVELS {
                        0 => {}
                        1 => crate::prefetch::ahead::<false>(line.as_ptr(), PREFETCH_BYTES),
                        _ => crate::prefetch::ahead::<true>(line.as_ptr(), PREFETCH_BYTES),
                    }
                }
                for (i, part) in step.as_chunks::<WIDTH>().0.iter().enumerate() {
                    // SAFETY: a part has the bytes of a vector; the load needs no alignment.
                    sums[i % 4] = $add(sums[i % 4], unsafe { $load(part.as_ptr().cast()) });
                }
            }
            let mut words = [0u64; WIDTH / 8];
            let sum = $add($add(sums[0], sums[1]), $add(sums[2], sums[3]));
            // SAFETY: `words` has room for the vector; the store needs no alignment.
            unsafe { $store(words.as_mut_ptr().cast(), sum) };
            words.into_iter().fold(0, u64::wrapping_add)
        }
    };
}

#[cfg(target_arch = "x86_64")]
reader!(
    avx512,
    avx512_kinds,
    "avx512f",
    _mm512_setzero_si512,
    _mm512_loadu_si512,
    _mm512_add_epi64,
    std::arch::x86_64::__m512i,
    _mm512_storeu_si512
);
#[cfg(target_arch = "x86_64")]
reader!(
    avx2,
    avx2_kinds,
    "avx2",
    _mm256_setzero_si256,
    _mm256_loadu_si256,
    _mm256_add_epi64,
    std::arch::x86_64::__m256i,
    _mm256_storeu_si256
);

fn write_part(level: Level, bytes: &mut [u8], line: &[u8; 64]) {
    match level {
        Level::Portable => write_body(bytes, line),
        // SAFETY: `Level::select` found AVX2.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { write_avx2(bytes, line) },
        // SAFETY: `Level::select` found AVX-512 F.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Avx512Vnni => unsafe { write_avx512(bytes, line) },
    }
}

// The line is kept in registers by hand: from a reference the compiler loads it again for each store, and such loads
// wait wherever their address ends in the same 12 bits as a store before them, which made the rate depend on where the
// stack happened to be.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn write_avx512(bytes: &mut [u8], line: &[u8; 64]) {
    use std::arch::x86_64::{_mm512_loadu_si512, _mm512_storeu_si512};
    // SAFETY: `line` has 64 readable bytes.
    let value = unsafe { _mm512_loadu_si512(line.as_ptr().cast()) };
    for to in bytes.as_chunks_mut::<64>().0 {
        // SAFETY: `to` has 64 writable bytes.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), value) };
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn write_avx2(bytes: &mut [u8], line: &[u8; 64]) {
    use std::arch::x86_64::{_mm256_loadu_si256, _mm256_storeu_si256};
    let halves = line.as_chunks::<32>().0;
    // SAFETY: each half has 32 readable bytes.
    let values =
        unsafe { [_mm256_loadu_si256(halves[0].as_ptr().cast()), _mm256_loadu_si256(halves[1].as_ptr().cast())] };
    for to in bytes.as_chunks_mut::<64>().0 {
        for (half, value) in to.as_chunks_mut::<32>().0.iter_mut().zip(values) {
            // SAFETY: `half` has 32 writable bytes.
            unsafe { _mm256_storeu_si256(half.as_mut_ptr().cast(), value) };
        }
    }
}

#[inline(always)]
fn write_body(bytes: &mut [u8], line: &[u8; 64]) {
    for to in bytes.as_chunks_mut::<64>().0 {
        *to = *line;
    }
}

/// Four independent sums of a cache line each, in plain Rust, where no vectors are.
fn body(bytes: &[u8]) -> u64 {
    let mut sums = [[0u64; 8]; STEP / 64];
    for step in bytes.as_chunks::<STEP>().0 {
        for (sum, line) in sums.iter_mut().zip(step.as_chunks::<64>().0) {
            for (sum, word) in sum.iter_mut().zip(line.as_chunks::<8>().0) {
                *sum = sum.wrapping_add(u64::from_ne_bytes(*word));
            }
        }
    }
    sums.iter().flatten().fold(0, |total, &sum| total.wrapping_add(sum))
}

/// Takes `values` out of all caches, each thread of the team a contiguous part, so that whoever reads them next has
/// them from memory, however large the caches are that this machine has or says it has. `false` where the architecture
/// has no instruction for it: then nothing was done.
pub fn evict<T: Sync>(team: &mut Team, values: &[T]) -> bool {
    let threads = team.threads();
    team.run(&|number| evict_part(&values[row_range(values.len(), 64, threads, number)]));
    cfg!(all(target_arch = "x86_64", not(miri)))
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
fn evict_part<T>(values: &[T]) {
    use std::arch::asm;
    use std::arch::x86_64::{_mm_clflush, _mm_mfence};
    static UNORDERED: OnceLock<bool> = OnceLock::new();
    // Bit 23 of EBX of leaf 7: clflushopt, whose flushes need not wait for each other (0.18 ms for 4.4 MB where clflush
    // takes 2.6, on an Intel Xeon, family 6 model 207).
    let unordered = *UNORDERED.get_or_init(|| std::arch::x86_64::__cpuid_count(7, 0).ebx >> 23 & 1 == 1);
    for line in values.chunks((64 / size_of::<T>()).max(1)) {
        // SAFETY: flushing a line that may be read changes no memory; SSE2 is part of x86-64, and `clflushopt` is used
        // only where CPUID has it.
        unsafe {
            if unordered {
                asm!("clflushopt [{}]", in(reg) line.as_ptr(), options(nostack, preserves_flags));
            } else {
                _mm_clflush(line.as_ptr().cast());
            }
        }
    }
    // SAFETY: SSE2 is part of x86-64. What follows waits for the flushes.
    unsafe { _mm_mfence() }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn evict_part<T>(_: &[T]) {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{feature_sets, team};

    #[test]
    fn every_word_counts_and_every_line_is_written() {
        let mut bytes = vec![0u8; 4 * STEP];
        for at in (0..bytes.len()).step_by(8) {
            bytes[at] = 1;
        }
        for allowed in feature_sets() {
            for mut team in [1, 2, 3].map(team) {
                assert_eq!(read(&mut team, allowed, Prefetch::TwoLevels, &bytes), bytes.len() as u64 / 8);
                evict(&mut team, &bytes);
                assert_eq!(read_passes(&mut team, allowed, &bytes, 3, None), 3 * bytes.len() as u64 / 8);
                let mut written = vec![0u8; 64 * 37];
                write_passes(&mut team, allowed, &mut written, 2);
                assert!(written.iter().all(|&byte| byte == 1));
            }
        }
    }
}
