//! Keeps the worked example of CONTRIBUTING.md honest: the file it shows compiles as it is, passes the suite, and is
//! what is shown.

// What the file finds at the root of the crate that it is meant for.
use kernels::{CpuFeatures, Gemv, GemvI8, Kernel, KernelDescriptor, Operations, Packing, conformance, registry};

#[path = "example/scalar_planes_i8.rs"]
mod scalar_planes_i8;

#[test]
fn the_example_passes_the_suite() {
    let kernel = Kernel::new(&scalar_planes_i8::DESCRIPTOR, CpuFeatures::NONE).expect("plain Rust runs everywhere");
    let outcome = conformance::verify(&kernel, |_, _| {});
    assert_eq!((outcome.mismatches, outcome.max_abs_error), (0, 0.0), "{:?}", outcome.first_mismatch);
    assert!(outcome.cases > 100 && kernel.descriptor().exact());
}

#[test]
fn contributing_shows_it_as_it_is() {
    let (guide, file) = (include_str!("../../CONTRIBUTING.md"), include_str!("example/scalar_planes_i8.rs"));
    assert!(guide.contains(file), "copy kernels/tests/example/scalar_planes_i8.rs into CONTRIBUTING.md");
    let id = scalar_planes_i8::DESCRIPTOR.id;
    assert!(registry::find(id).is_none(), "{id} is an example, not a kernel");
    let module = id.replace('-', "_");
    assert!(guide.contains(&format!("mod {module};")) && guide.contains(&format!("&{module}::DESCRIPTOR,")));
}
