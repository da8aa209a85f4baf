//! Instructions of one gemv of every kernel under callgrind: `cargo bench -p kernels --bench instructions`. The counts
//! of a kernel may not grow by more than 0.5% over the saved baseline, or else over the run before. Valgrind has no
//! AVX-512 and hides it: those kernels are named and left out here, and counted by `tritbench count`.
//! `ci/install-gungraun.sh` installs what is needed beside valgrind.

#[cfg(unix)]
mod callgrind;
#[cfg(unix)]
mod operands;

#[cfg(unix)]
fn main() {
    callgrind::bench();
}

#[cfg(not(unix))]
fn main() {
    println!("instructions: skipped, valgrind runs on Unix only");
}
