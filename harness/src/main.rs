//! The program `tritbench`: the library's [`harness::main`] with no kernels but the registered ones.

fn main() -> std::process::ExitCode {
    harness::main(&[])
}
