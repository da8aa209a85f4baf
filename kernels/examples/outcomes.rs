//! x
use kernels::*;
fn main() {
    for d in registry::KERNELS {
        let k = Kernel::new(d, CpuFeatures::detect()).unwrap();
        println!("{} {:?}", d.id, conformance::verify(&k));
    }
    for p in conformance::products::PATHS {
        println!("{} {:?}", p.id, p.verify());
    }
}
