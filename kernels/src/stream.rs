//! Streaming read: how fast this machine brings bytes in when nothing is computed with them. The bound of every decode kernel.

use crate::cpu::CpuFeatures;
use crate::parallel::{Team, row_range};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that one step of the loop reads: four cache lines.
const STEP: usize = 256;
/// How far ahead of the loads lines are asked for.
const PREFETCH_BYTES: usize = 1024;

/// Reads all of `bytes` once, each thread of the team a contiguous part, and returns a sum that depends on every 8 bytes of it (so that
/// no read can be left out). At most `STEP - 1` bytes at the end of each part are not read.
pub fn read(team: &mut Team, allowed: CpuFeatures, bytes: &[u8]) -> u64 {
    let usable = CpuFeatures::detect().intersect(allowed);
    let (threads, total) = (team.threads(), AtomicU64::new(0));
    team.run(&|number| {
        let part = &bytes[row_range(bytes.len(), STEP, threads, number)];
        total.fetch_add(read_part(usable, part), Ordering::Relaxed);
    });
    total.into_inner()
}

fn read_part(usable: CpuFeatures, bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if usable.contains(CpuFeatures::AVX512F) {
        // SAFETY: the CPU has AVX-512 F.
        return unsafe { avx512(bytes) };
    } else if usable.contains(CpuFeatures::AVX2) {
        // SAFETY: the CPU has AVX2.
        return unsafe { avx2(bytes) };
    }
    let _ = usable;
    body(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(bytes: &[u8]) -> u64 {
    body(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(bytes: &[u8]) -> u64 {
    body(bytes)
}

/// Four independent sums of a cache line each.
#[inline(always)]
fn body(bytes: &[u8]) -> u64 {
    let mut sums = [[0u64; 8]; STEP / 64];
    for step in bytes.as_chunks::<STEP>().0 {
        for (sum, line) in sums.iter_mut().zip(step.as_chunks::<64>().0) {
            prefetch(line.as_ptr());
            for (sum, word) in sum.iter_mut().zip(line.as_chunks::<8>().0) {
                *sum = sum.wrapping_add(u64::from_ne_bytes(*word));
            }
        }
    }
    sums.iter().flatten().fold(0, |total, &sum| total.wrapping_add(sum))
}

#[inline(always)]
fn prefetch(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64; a prefetch never faults, and `wrapping_add` claims nothing about the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch(line.wrapping_add(PREFETCH_BYTES).cast(), _MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_counts() {
        let mut bytes = vec![0u8; 4 * STEP];
        for at in (0..bytes.len()).step_by(8) {
            bytes[at] = 1;
        }
        for allowed in [CpuFeatures::NONE, CpuFeatures::X86_64_V3, CpuFeatures::X86_64_V4] {
            for threads in [1, 2, 3] {
                let mut team = Team::new(threads, |_| {}).expect("threads start");
                assert_eq!(read(&mut team, allowed, &bytes), bytes.len() as u64 / 8);
            }
        }
    }
}
