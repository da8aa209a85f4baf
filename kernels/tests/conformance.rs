//! Every registered kernel passes the suite that `tritbench verify` runs, and the suite can fail.

use kernels::{CpuFeatures, Kernel, conformance, registry};

#[test]
fn every_kernel_of_this_cpu_passes() {
    let mut ran = 0;
    for descriptor in registry::KERNELS {
        match Kernel::new(descriptor, CpuFeatures::detect()) {
            Ok(kernel) => {
                let outcome = conformance::verify(&kernel);
                assert_eq!(outcome.mismatches, 0, "{}: {:?}", descriptor.id, outcome.first_mismatch);
                assert!(outcome.cases > 100, "{}: only {} cases", descriptor.id, outcome.cases);
                assert!(outcome.max_relative_error <= conformance::bound(&kernel), "{}: {outcome:?}", descriptor.id);
                ran += 1;
            }
            Err(why) => println!("not run: {why}"),
        }
    }
    assert!(ran >= 2, "the scalar kernels run everywhere");
}

#[test]
fn a_mask_hides_kernels_and_says_so() {
    let scalar = registry::find("scalar").expect("registered");
    assert!(Kernel::new(scalar, CpuFeatures::NONE).is_ok());
    for descriptor in registry::KERNELS.iter().filter(|d| !d.requires.is_empty()) {
        let why = Kernel::new(descriptor, CpuFeatures::NONE).expect_err("masked or lacking").to_string();
        assert!(why.contains(descriptor.id) && (why.contains("mask") || why.contains("lacks")), "{why}");
    }
}
