//! Keeps the worked examples of CONTRIBUTING.md honest: the files it shows compile as they are, pass the suite, and are
//! what is shown. `ci/add-a-kernel.sh` adds them to a copy of the repository.

// What the files find at the root of the crate that they are meant for.
use kernels::{CpuFeatures, GemvI8, Kernel, KernelDescriptor, Layout, conformance};

#[path = "example/rows4.rs"]
mod rows4;
#[path = "example/scalar_planes_i8.rs"]
mod scalar_planes_i8;
#[path = "example/scalar_rows4_i8.rs"]
mod scalar_rows4_i8;

mod layouts {
    pub(crate) use crate::rows4;
    pub(crate) use kernels::layouts::I2S;
}

const GUIDE: &str = include_str!("../../CONTRIBUTING.md");

static EXAMPLES: [&KernelDescriptor; 2] = [&scalar_planes_i8::DESCRIPTOR, &scalar_rows4_i8::DESCRIPTOR];

#[test]
fn the_examples_pass_the_suite() {
    for descriptor in EXAMPLES {
        let kernel = Kernel::new(descriptor, CpuFeatures::NONE).expect("plain Rust runs everywhere");
        let outcome = conformance::verify(&kernel);
        assert_eq!((outcome.mismatches, outcome.max_abs_error), (0, 0.0), "{:?}", outcome.first_mismatch);
        assert!(outcome.cases > 100 && kernel.descriptor().exact());
    }
}

#[test]
fn contributing_shows_them_as_they_are() {
    for (module, file) in [
        ("scalar_planes_i8", include_str!("example/scalar_planes_i8.rs")),
        ("rows4", include_str!("example/rows4.rs")),
        ("scalar_rows4_i8", include_str!("example/scalar_rows4_i8.rs")),
    ] {
        assert!(GUIDE.contains(file), "copy kernels/tests/example/{module}.rs into CONTRIBUTING.md");
        assert!(GUIDE.contains(&format!("`{module},`")), "{module}: CONTRIBUTING.md names the line that lists it");
    }
    for id in EXAMPLES.map(|descriptor| descriptor.id) {
        assert!(GUIDE.contains(&format!("verify --kernels {id}")), "{id}: CONTRIBUTING.md verifies it");
    }
}
