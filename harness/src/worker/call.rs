//! One call of a kernel that `count` follows: the worker makes operands, compares the kernel with the oracle, says that
//! it is about to stop, stops, makes the call, and gives the result's hash.

use super::libraries;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use super::protocol::Stopping;
use super::protocol::{Call, Reply};
use crate::error::{Error, Result};
use crate::measure::micro::{check, operands::Operands};
use crate::operation::of_kernels;
use crate::registered;
use crate::scenario::{Cell, Scaling, Shape};
use kernels::parallel::{Columns, Team};
use kernels::{AlignedBuffer, CpuFeatures, Family, Gemm, Gemv, Kernel, Operation};
use model::hash::sha256_hex;
use receipt::Residency;
use std::hint::black_box;

/// Prepares the call, stops for the parent, and makes it. `say` sends an answer before the last one.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub fn followed(call: &Call, mut say: impl FnMut(Reply) -> Result<()>) -> Result<Reply> {
    use nix::sys::personality::{self, Persona};
    use nix::sys::ptrace;
    use nix::sys::signal::{Signal, raise};
    let fixed_addresses = personality::get().is_ok_and(|p| p.contains(Persona::ADDR_NO_RANDOMIZE));
    let prepared = Prepared::new(call)?;
    let output_sha256 = prepared.make(|prepared| {
        let codes = prepared.operands.copies(prepared.kernel.descriptor().layout)[0].code_bytes();
        let codes = (codes.as_ptr() as u64, codes.len() as u64);
        ptrace::traceme().map_err(crate::count::refused)?;
        let kernel = prepared.kernel.id().into();
        let name = prepared.kernel.descriptor().long_name(prepared.cell.op);
        say(Reply::Stopping(Stopping { kernel, name, entry: prepared.entry, codes, fixed_addresses }))?;
        raise(Signal::SIGSTOP).map_err(|e| Error::failed(format!("cannot stop for the parent: {e}")))
    })?;
    Ok(Reply::Called { output_sha256 })
}

/// What is known of a call that a plugin of qemu watched.
#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
pub struct Watched {
    /// The kernel's long name.
    pub name: String,
    /// Where the packed codes lie, and how many bytes they are.
    pub codes: (u64, u64),
    pub output_sha256: String,
}

/// Prepares the call, says to `before` where the kernel's function lies, and makes it.
#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
pub fn watched(call: &Call, before: impl FnOnce(u64) -> Result<()>) -> Result<Watched> {
    let prepared = Prepared::new(call)?;
    let codes = prepared.operands.copies(prepared.kernel.descriptor().layout)[0].code_bytes();
    let codes = (codes.as_ptr() as u64, codes.len() as u64);
    let name = prepared.kernel.descriptor().long_name(prepared.cell.op);
    let output_sha256 = prepared.make(|prepared| before(prepared.entry))?;
    Ok(Watched { name, codes, output_sha256 })
}

/// Fails: on this platform no worker can be followed.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub fn followed(_: &Call, _: impl FnMut(Reply) -> Result<()>) -> Result<Reply> {
    Err(Error::unsupported("calls are followed on Linux for x86-64 only"))
}

/// Makes the call without a stop: callgrind counts from outside, and under it ptrace does not work.
pub fn unfollowed(call: &Call) -> Result<Reply> {
    Ok(Reply::Called { output_sha256: Prepared::new(call)?.make(|_| Ok(()))? })
}

struct Prepared {
    kernel: Kernel,
    cell: Cell,
    operands: Operands,
    /// Hash of the output that matched the oracle.
    checked: String,
    /// Address of the kernel's function.
    entry: u64,
}

impl Prepared {
    fn new(call: &Call) -> Result<Self> {
        let Call { op, m, k, tokens, seed, weight_group, activations, .. } = call;
        libraries::add(call.library.as_slice())?;
        let unknown = || crate::kernel_ids::unknown(&call.kernel);
        let descriptor = registered::find(&call.kernel).ok_or_else(unknown)?;
        let features = CpuFeatures::detect();
        let kernel = Kernel::new(descriptor, features).map_err(|why| Error::unsupported(why.to_string()))?;
        let op = of_kernels(*op).ok_or_else(|| Error::input(format!("{op} is no operation of a kernel")))?;
        let entry = match (op, descriptor.gemv) {
            (Operation::Dequantize, _) => descriptor.dequantize.map(|f| f as usize),
            (op, Gemv::Foreign(foreign) | Gemv::ForeignGroups(foreign)) => foreign.entry(op == Operation::Gemm),
            (Operation::Gemm, _) => descriptor.gemm.and_then(|gemm| match gemm {
                Gemm::I8(f) => Some(f as usize),
                Gemm::Groups(f) => Some(f as usize),
                Gemm::Device => None,
            }),
            (Operation::Gemv, Gemv::F32(f)) => Some(f as usize),
            (Operation::Gemv, Gemv::I8(f)) => Some(f as usize),
            (Operation::Gemv, Gemv::Groups(f)) => Some(f as usize),
            (Operation::Gemv, Gemv::Device) => None,
        };
        let entry = entry.ok_or_else(|| Error::input(format!("kernel {} has no {op}", kernel.id())))?;
        let scaling = Scaling::said(*weight_group, *activations);
        let (shape, of_groups) = (Shape { m: *m, k: *k }, descriptor.family() == Family::W2gA8);
        let cell = Cell { op, shape, tokens: *tokens, residency: Residency::Llc, scaling, of_groups };
        let operands = Operands::new(cell, &[kernel], 0, features, *seed)?;
        let checked = check::check(cell, &operands, &[kernel], &mut Team::single())?.remove(0).output_sha256;
        Ok(Self { kernel, cell, operands, checked, entry: entry as u64 })
    }

    /// Makes the call right after `before`, and compares its result with the checked one's; gives its hash.
    fn make(&self, before: impl FnOnce(&Self) -> Result<()>) -> Result<String> {
        let (kernel, cell) = (&self.kernel, self.cell);
        let weights = &self.operands.copies(kernel.descriptor().layout)[0];
        let rows = cell.shape.m;
        let floats = if cell.op == Operation::Dequantize { rows * cell.shape.k } else { rows };
        let mut floats = AlignedBuffer::<f32>::zeroed(floats);
        let mut integers = AlignedBuffer::<i32>::zeroed(rows * cell.tokens);
        before(self)?;
        // From the entry of the kernel's function to its return the parent follows.
        let (called, output) = match (cell.op, kernel.descriptor().family()) {
            (Operation::Dequantize, _) => {
                (kernel.dequantize(black_box(weights), 0..rows, &mut floats), bytemuck::cast_slice(&floats))
            }
            (Operation::Gemm, Family::W2gA8) => {
                let mut y = Columns::all(bytemuck::cast_slice_mut(&mut integers), cell.tokens, rows);
                let called = kernel.gemm_groups(black_box(weights), 0..rows, self.operands.quantized(), &mut y);
                (called, bytemuck::cast_slice(&integers))
            }
            (Operation::Gemm, _) => {
                let mut y = Columns::all(&mut integers, cell.tokens, rows);
                let called = kernel.gemm_i8(black_box(weights), 0..rows, self.operands.quantized(), &mut y);
                (called, bytemuck::cast_slice(&integers))
            }
            (Operation::Gemv, Family::W2A32) => {
                let called = kernel.gemv_f32(black_box(weights), 0..rows, self.operands.float(), &mut floats);
                (called, bytemuck::cast_slice(&floats))
            }
            (Operation::Gemv, Family::W2A8) => {
                let called = kernel.gemv_i8(black_box(weights), 0..rows, &self.operands.quantized()[0], &mut integers);
                (called, bytemuck::cast_slice(&integers))
            }
            (Operation::Gemv, Family::W2gA8) => {
                let called =
                    kernel.gemv_groups(black_box(weights), 0..rows, &self.operands.quantized()[0], &mut floats);
                (called, bytemuck::cast_slice(&floats))
            }
        };
        called.map_err(|e| Error::failed(format!("{}: {e}", kernel.id())))?;
        let output: &[u8] = output;
        let output_sha256 = sha256_hex(output);
        if output_sha256 != self.checked {
            let id = kernel.id();
            return Err(Error::failed(format!("{id}: the counted call computed something else than the checked one")));
        }
        Ok(output_sha256)
    }
}
