//! Exact instruction counts of one kernel call, by following a worker of this very program under ptrace. No performance
//! counter and no special CPU is needed, so it works in virtual machines, in containers that allow ptrace, and for
//! AVX-512.
//!
//! The worker makes operands, compares the kernel with the oracle, and stops. Counting starts at the first instruction
//! of the function in the kernel's descriptor and ends with that function's return, so the checks of
//! [`kernels::Kernel`] around it are not counted. A call that never enters that function is an error. The counted call
//! must compute the result that was compared with the oracle.

mod assembly;
mod call;
#[cfg(any(test, all(target_os = "linux", target_arch = "aarch64")))]
mod emulated;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod followed;
mod hot_loop;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod record;
mod static_model;
mod trace;

pub use assembly::Assembly;
pub use call::{Call, Counted, Method, Subject};
#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
pub use emulated::count;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use followed::{count, refused};
pub use static_model::{Model, Pressure, StaticModel};

use crate::scenario::Shape;

/// The shape that `compare` counts, 128x1024: the rows of the largest panel, and so few columns that the scalar kernels
/// take half a second.
pub const SMALL_SHAPE: Shape = Shape { m: 128, k: 1024 };

/// Counts one call of a kernel: always exit 5, because it is not possible on this platform.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub fn count(_: Subject<'_>, _: Call, _: Method, _: &Model) -> crate::error::Result<Counted> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    Err(crate::error::Error::unsupported(format!(
        "counting follows instructions with ptrace on Linux for x86-64; this is {os} on {arch}"
    )))
}
