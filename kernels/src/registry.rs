//! Every kernel, in ladder order. One line here makes a kernel listed, verified, timed and drawn.

use crate::descriptor::KernelDescriptor;
#[cfg(target_arch = "x86_64")]
use crate::x86_64;
use crate::{scalar, scalar_i8};

/// All kernels compiled for this architecture, each after the one that it builds on.
pub static KERNELS: &[&KernelDescriptor] = &[
    // W2A32: the ladder
    &scalar::DESCRIPTOR,
    #[cfg(target_arch = "x86_64")]
    &x86_64::avx2_foundation::DESCRIPTOR,
    #[cfg(target_arch = "x86_64")]
    &x86_64::avx2_nibble::DESCRIPTOR,
    #[cfg(target_arch = "x86_64")]
    &x86_64::avx2_fma_tile::DESCRIPTOR,
    #[cfg(target_arch = "x86_64")]
    &x86_64::avx2_prefetch::DESCRIPTOR,
    #[cfg(target_arch = "x86_64")]
    &x86_64::avx2_permute::DESCRIPTOR,
    // W2A8: exact integers
    &scalar_i8::DESCRIPTOR,
    #[cfg(target_arch = "x86_64")]
    &x86_64::avx2_i8::DESCRIPTOR,
    #[cfg(target_arch = "x86_64")]
    &x86_64::avx2_i8_tile8::DESCRIPTOR,
    #[cfg(target_arch = "x86_64")]
    &x86_64::avx2_lut8::DESCRIPTOR,
    #[cfg(target_arch = "x86_64")]
    &x86_64::avxvnni_tile8::DESCRIPTOR,
    #[cfg(target_arch = "x86_64")]
    &x86_64::avx512_vnni::DESCRIPTOR,
    #[cfg(target_arch = "x86_64")]
    &x86_64::avx512_vnni_trit5::DESCRIPTOR,
    #[cfg(target_arch = "x86_64")]
    &x86_64::avx512_lut16::DESCRIPTOR,
];

/// The kernel with this id.
pub fn find(id: &str) -> Option<&'static KernelDescriptor> {
    KERNELS.iter().copied().find(|kernel| kernel.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_unique_and_stages_follow_what_they_build_on() {
        let mut seen = HashSet::new();
        for kernel in KERNELS {
            assert!(kernel.builds_on.is_none_or(|base| seen.contains(base)), "{} comes before its base", kernel.id);
            assert!(seen.insert(kernel.id), "{} twice", kernel.id);
            assert!(kernel.id.starts_with(kernel.isa), "{}: an id is {{isa}}-{{technique}}", kernel.id);
        }
    }
}
