//! The most products that a core can make: loops of one kernel's multiply instruction alone, in registers, and a chain
//! of dependent additions that gives the clock. This is the compute limit of a kernel.
//!
//! The loops are `asm!`, so that no compiler can fold, reorder or widen them. This module runs them; the caller takes
//! the time.

mod multiply;

pub use multiply::Multiply;

use crate::descriptor::KernelDescriptor;
use crate::operation::Family;
#[cfg(target_arch = "x86_64")]
use crate::x86_64::peak as x86_64;

/// All multiply instructions that this architecture has loops for, weakest first. Empty where none were written.
#[cfg(target_arch = "x86_64")]
pub static ALL: &[Multiply] = x86_64::ALL;
/// All multiply instructions that this architecture has loops for, weakest first. Empty where none were written.
#[cfg(not(target_arch = "x86_64"))]
pub static ALL: &[Multiply] = &[];

/// Finds a multiply instruction by its id in receipts, for example `vpdpbusd-zmm`.
pub fn find(id: &str) -> Option<&'static Multiply> {
    ALL.iter().find(|multiply| multiply.id == id)
}

/// The multiply instruction whose peak bounds a kernel. Portable Rust has that of the architecture's base (SSE2 on
/// x86-64), because the compiler uses it.
pub fn of(kernel: &KernelDescriptor) -> Option<&'static Multiply> {
    let of_the_base = match kernel.family() {
        Family::W2A8 | Family::W2gA8 => "pmaddwd-xmm",
        Family::W2A32 => "mul-add-xmm",
    };
    find(kernel.multiply.unwrap_or(of_the_base))
}

/// Runs a chain of at least `additions` integer additions, each of which needs the one before, and returns how many it
/// ran. Every core takes exactly one cycle for each, so that additions per second are the clock. `None` where no chain
/// was written.
pub fn addition_chain(additions: u64) -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    return Some(x86_64::addition_chain(additions));
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = additions;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuFeatures;
    use std::collections::HashSet;

    #[test]
    fn ids_are_unique_and_loops_run_what_they_say() {
        let mut seen = HashSet::new();
        for multiply in ALL {
            assert!(seen.insert(multiply.id), "{} twice", multiply.id);
            assert_eq!(multiply.run(CpuFeatures::NONE, 1).is_some(), multiply.requires.is_empty(), "{}", multiply.id);
            if CpuFeatures::detect().contains(multiply.requires) {
                let ran = multiply.run(CpuFeatures::detect(), 10_000).expect("the CPU has it");
                let a_pass = u64::from(multiply.products * multiply.unroll);
                assert!((10_000..10_000 + a_pass).contains(&ran) && ran % a_pass == 0, "{}: {ran}", multiply.id);
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn every_kernel_has_a_multiply_that_its_own_features_allow() {
        for kernel in crate::registry::KERNELS {
            let multiply = of(kernel).unwrap_or_else(|| panic!("{} has none", kernel.id));
            assert!(kernel.requires.contains(multiply.requires), "{}: {}", kernel.id, multiply.id);
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_chain_adds_at_least_what_was_asked() {
        assert!(addition_chain(0).is_some_and(|n| n > 0));
        assert!(addition_chain(1000).is_some_and(|n| (1000..2000).contains(&n)));
    }
}
