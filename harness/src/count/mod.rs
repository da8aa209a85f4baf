//! Exact instruction counts of one kernel call, by following a child of this very program under ptrace. No performance
//! counter and no special CPU is needed, so it works in virtual machines, in containers that allow ptrace, and for
//! AVX-512.
//!
//! The child makes operands, compares the kernel with the oracle, and stops. Counting starts at the first instruction
//! of the function in the kernel's descriptor and ends with that function's return, so the checks of
//! [`kernels::Kernel`] around it are not counted. A call that never enters that function is an error. The counted call
//! must compute the result that was compared with the oracle.

mod call;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod child;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod classify;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod follow;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod hot_loop;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod record;
mod static_model;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod tracee;

pub use call::{Call, CountChildArgs, Method};
pub use static_model::Model;

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
use crate::error::Error;
use crate::error::Result;
use crate::scenario::Shape;
use kernels::Kernel;
use receipt::CountRecord;

/// The shape that `compare` counts: the rows of the largest panel, and so few columns that the scalar kernels take half
/// a second.
pub const SMALL_SHAPE: Shape = Shape { m: 128, k: 1024 };

/// Counts one call of `kernel`, and asks `model` about its hot loop.
///
/// # Errors
/// Exit 5 where ptrace is refused or the platform is not Linux on x86-64, exit 1 when the kernel does not match the
/// oracle.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub fn count(kernel: &Kernel, call: Call, method: Method, model: &Model) -> Result<CountRecord> {
    let mut child = tracee::Tracee::start(kernel, call)?;
    let trace = follow::follow(&mut child, method)?;
    let output_sha256 = child.finish()?;
    let followed = record::Followed { trace, fixed_addresses: child.fixed_addresses(), output_sha256 };
    Ok(record::record(kernel, call, method, followed, model))
}

/// Counts one call of `kernel`.
///
/// # Errors
/// Always exit 5: not on this platform.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub fn count(_: &Kernel, _: Call, _: Method, _: &Model) -> Result<CountRecord> {
    Err(elsewhere())
}

/// The child's side: never returns to its caller when all went well.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub fn run_child(args: &CountChildArgs) -> Result<()> {
    child::run(args)
}

/// The child's side.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub fn run_child(_: &CountChildArgs) -> Result<()> {
    Err(elsewhere())
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn elsewhere() -> Error {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    Error::unsupported(format!("counting follows instructions with ptrace on Linux for x86-64; this is {os} on {arch}"))
}
