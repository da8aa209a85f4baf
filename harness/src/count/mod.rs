//! Exact instruction counts of one kernel call, by following a worker of this very program under ptrace. No performance
//! counter and no special CPU is needed, so it works in virtual machines, in containers that allow ptrace, and for
//! AVX-512.
//!
//! The worker makes operands, compares the kernel with the oracle, and stops. Counting starts at the first instruction
//! of the function in the kernel's descriptor and ends with that function's return, so the checks of
//! [`kernels::Kernel`] around it are not counted. A call that never enters that function is an error. The counted call
//! must compute the result that was compared with the oracle.

mod call;
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
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod watchdog;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use call::refused;
pub use call::{Call, Counted, Method};
pub use static_model::{Model, StaticModel};

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
use crate::error::Error;
use crate::error::Result;
use crate::scenario::Shape;
use kernels::Kernel;

/// The shape that `compare` counts: the rows of the largest panel, and so few columns that the scalar kernels take half
/// a second.
pub const SMALL_SHAPE: Shape = Shape { m: 128, k: 1024 };

/// Counts one call of `kernel`, and asks `model` about its hot loop.
///
/// # Errors
/// Exit 5 where ptrace is refused or the platform is not Linux on x86-64; exit 1 when the kernel does not match the
/// oracle, or its worker dies, hangs or answers nonsense, with the request that it was given.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub fn count(kernel: &Kernel, call: Call, method: Method, model: &Model) -> Result<Counted> {
    let mut tracee = tracee::Tracee::start(kernel, call, method)?;
    let trace = follow::follow(&mut tracee, method)?;
    let output_sha256 = tracee.finish()?;
    let followed = record::Followed { trace, fixed_addresses: tracee.fixed_addresses(), output_sha256 };
    Ok(record::record(kernel, call, method, followed, model))
}

/// Counts one call of `kernel`.
///
/// # Errors
/// Always exit 5: not on this platform.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub fn count(_: &Kernel, _: Call, _: Method, _: &Model) -> Result<Counted> {
    Err(elsewhere())
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn elsewhere() -> Error {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    Error::unsupported(format!("counting follows instructions with ptrace on Linux for x86-64; this is {os} on {arch}"))
}
