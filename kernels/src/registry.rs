//! Every kernel, in ladder order. A line in its family's list makes a kernel listed, verified, timed and drawn; a new
//! family is one more folder with such a list, and a line here.

use crate::descriptor::KernelDescriptor;
use crate::{w2a8, w2a32, w2ga8};

/// The lists of the families, in report order.
const FAMILIES: [&[&KernelDescriptor]; 3] = [w2a32::KERNELS, w2a8::KERNELS, w2ga8::KERNELS];

/// All kernels compiled for this architecture, each after the one that it builds on.
pub static KERNELS: &[&KernelDescriptor] = &{
    let mut all = [FAMILIES[0][0]; FAMILIES[0].len() + FAMILIES[1].len() + FAMILIES[2].len()];
    let (mut i, mut family) = (0, 0);
    while family < FAMILIES.len() {
        let mut of_it = 0;
        while of_it < FAMILIES[family].len() {
            all[i] = FAMILIES[family][of_it];
            (i, of_it) = (i + 1, of_it + 1);
        }
        family += 1;
    }
    all
};

/// Finds a kernel by its id on the command line, for example `avx2-i8`.
pub fn find(id: &str) -> Option<&'static KernelDescriptor> {
    KERNELS.iter().copied().find(|kernel| kernel.id == id)
}

/// The architecture that has a kernel with this id, as Rust calls it, where it is another than this one.
pub fn elsewhere(id: &str) -> Option<&'static str> {
    let of_all = [w2a32::OF_ARCHITECTURES, w2a8::OF_ARCHITECTURES, w2ga8::OF_ARCHITECTURES];
    let mut modules = of_all.into_iter().flatten();
    // An id is its file's name with dashes.
    let (_, condition) = modules.find(|(module, _)| module.replace('_', "-") == id)?;
    // `target_arch = "aarch64"`
    let architecture = condition.split('"').nth(1)?;
    (architecture != std::env::consts::ARCH).then_some(architecture)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Family;
    use std::collections::HashSet;

    #[test]
    fn ids_are_unique_and_stages_follow_what_they_build_on() {
        let mut seen = HashSet::new();
        for (family, kernel) in
            Family::ALL.into_iter().zip(FAMILIES).flat_map(|(f, list)| list.iter().map(move |k| (f, k)))
        {
            let id = kernel.id;
            assert!(kernel.family() == family && find(id).is_some_and(|found| std::ptr::eq(found, *kernel)), "{id}");
            assert!(kernel.builds_on.is_none_or(|base| seen.contains(base)), "{id} comes before its base");
            assert!(seen.insert(id), "{id} twice");
            assert!(id.starts_with(kernel.isa), "{id}: an id is {{isa}}-{{technique}}");
            assert!(!kernel.summary.is_empty(), "{id}: one sentence, what is different here");
        }
        assert_eq!(KERNELS.len(), seen.len());
    }

    #[test]
    fn kernels_of_other_architectures_are_known_by_name() {
        let x86 = cfg!(target_arch = "x86_64");
        let arm = cfg!(target_arch = "aarch64");
        assert_eq!(elsewhere("avx2-i8"), (!x86).then_some("x86_64"));
        assert_eq!(elsewhere("neon-sdot-groups"), (!arm).then_some("aarch64"));
        assert_eq!((elsewhere("scalar-i8"), elsewhere("avx9"), elsewhere("")), (None, None, None));
        assert!(KERNELS.iter().all(|kernel| elsewhere(kernel.id).is_none()));
    }
}
