//! Every kernel, in ladder order. A line in its family's list makes a kernel listed, verified, timed and drawn; a new
//! family is one more folder with such a list, and a line here.

use crate::descriptor::KernelDescriptor;
use crate::{w2a8, w2a32};

/// The lists of the families, in report order.
const FAMILIES: [&[&KernelDescriptor]; 2] = [w2a32::KERNELS, w2a8::KERNELS];

/// All kernels compiled for this architecture, each after the one that it builds on.
pub static KERNELS: &[&KernelDescriptor] = &in_a_row::<{ count() }>();

const fn count() -> usize {
    let (mut count, mut family) = (0, 0);
    while family < FAMILIES.len() {
        count += FAMILIES[family].len();
        family += 1;
    }
    count
}

const fn in_a_row<const N: usize>() -> [&'static KernelDescriptor; N] {
    let mut all = [FAMILIES[0][0]; N];
    let (mut next, mut family) = (0, 0);
    while family < FAMILIES.len() {
        let mut kernel = 0;
        while kernel < FAMILIES[family].len() {
            all[next] = FAMILIES[family][kernel];
            (next, kernel) = (next + 1, kernel + 1);
        }
        family += 1;
    }
    all
}

/// The kernel with this id.
pub fn find(id: &str) -> Option<&'static KernelDescriptor> {
    KERNELS.iter().copied().find(|kernel| kernel.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Family;
    use std::collections::HashSet;

    #[test]
    fn ids_are_unique_and_stages_follow_what_they_build_on() {
        let mut seen = HashSet::new();
        for kernel in KERNELS {
            assert!(kernel.builds_on.is_none_or(|base| seen.contains(base)), "{} comes before its base", kernel.id);
            assert!(seen.insert(kernel.id), "{} twice", kernel.id);
            assert!(kernel.id.starts_with(kernel.isa), "{}: an id is {{isa}}-{{technique}}", kernel.id);
            assert!(!kernel.summary.is_empty(), "{}: one sentence, what is different here", kernel.id);
        }
    }

    #[test]
    fn every_kernel_is_in_the_list_of_its_family() {
        for (family, kernels) in Family::ALL.into_iter().zip(FAMILIES) {
            assert!(!kernels.is_empty());
            for kernel in kernels {
                assert!(kernel.family() == family && find(kernel.id).is_some(), "{}", kernel.id);
            }
        }
        assert_eq!(KERNELS.len(), FAMILIES.iter().map(|kernels| kernels.len()).sum());
    }
}
