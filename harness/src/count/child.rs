//! The child process of `count`: it makes operands, compares the kernel with the oracle, reports that it is ready,
//! stops, makes the call, and reports the result's hash.

use super::call::CountChildArgs;
use super::tracee::{Message, Ready};
use crate::error::{Error, Result};
use crate::measure::micro::{check, operands::Operands};
use crate::scenario::{Cell, Shape};
use kernels::parallel::{Columns, Team};
use kernels::{AlignedBuffer, CpuFeatures, Gemv, Kernel, Operation, registry};
use model::hash::sha256_hex;
use nix::sys::personality::{self, Persona};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use receipt::Residency;
use std::hint::black_box;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Runs the child. Errors go to the parent, which prints them.
pub fn run(args: &CountChildArgs) -> Result<()> {
    let stop = if args.untraced { Stop::Never } else { Stop::ForParent { fixed_addresses: fix_addresses() } };
    match prepare(args).and_then(|prepared| prepared.counted(stop)) {
        Ok(output_sha256) => say(&Message::Done { output_sha256 }),
        Err(error) => say(&Message::Error { exit: error.exit() as u8, message: error.to_string() }),
    }
}

fn say(message: &Message) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Error::failed(format!("cannot tell the parent: {e}"));
    let mut line = serde_json::to_string(message).map_err(|e| failed(&e))?;
    line.push('\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).map_err(|e| failed(&e))
}

/// Turns address randomisation off, which takes effect when the program is started again. A container may forbid it;
/// then addresses, and with them what `memcpy` does at the edges, may differ from run to run.
fn fix_addresses() -> bool {
    let Ok(persona) = personality::get() else { return false };
    if persona.contains(Persona::ADDR_NO_RANDOMIZE) {
        return true;
    }
    if personality::set(persona | Persona::ADDR_NO_RANDOMIZE).is_ok() {
        // Returns only if it failed.
        let _ = Command::new("/proc/self/exe").args(std::env::args_os().skip(1)).exec();
    }
    false
}

/// Whether a parent follows.
#[derive(Clone, Copy)]
enum Stop {
    ForParent {
        fixed_addresses: bool,
    },
    /// Callgrind counts from outside, and under it ptrace does not work.
    Never,
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

fn prepare(args: &CountChildArgs) -> Result<Prepared> {
    let descriptor =
        registry::find(&args.kernel).ok_or_else(|| Error::input(crate::kernel_ids::unknown_kernel(&args.kernel)))?;
    let features = CpuFeatures::detect();
    let kernel = Kernel::new(descriptor, features).map_err(|why| Error::unsupported(why.to_string()))?;
    let shape = Shape::parse(&args.shape).map_err(Error::input)?;
    let cell = Cell { op: args.op, shape, tokens: args.tokens, residency: Residency::Llc };
    let operands = Operands::new(cell, &[kernel], 0, features, args.seed)?;
    let checked = check::check(cell, &operands, &[kernel], &mut Team::single())?.remove(0).output_sha256;
    let entry = match (cell.op, descriptor.gemv) {
        (Operation::Dequantize, _) => descriptor.dequantize.map(|f| f as usize),
        (Operation::Gemm, _) => descriptor.gemm.map(|f| f as usize),
        (Operation::Gemv, Gemv::F32(f)) => Some(f as usize),
        (Operation::Gemv, Gemv::I8(f)) => Some(f as usize),
    };
    let entry = entry.ok_or_else(|| Error::input(format!("kernel {} has no {}", kernel.id(), cell.op)))?;
    Ok(Prepared { kernel, cell, operands, checked, entry: entry as u64 })
}

impl Prepared {
    /// Stops for the parent, makes the call that it follows, and compares.
    fn counted(self, stop: Stop) -> Result<String> {
        let (kernel, cell) = (&self.kernel, self.cell);
        let weights = &self.operands.copies(kernel.descriptor().layout)[0];
        let rows = cell.shape.m;
        let floats = if cell.op == Operation::Dequantize { rows * cell.shape.k } else { rows };
        let mut floats = AlignedBuffer::<f32>::zeroed(floats);
        let mut integers = AlignedBuffer::<i32>::zeroed(rows * cell.tokens);
        if let Stop::ForParent { fixed_addresses } = stop {
            let codes = weights.code_bytes();
            let codes = (codes.as_ptr() as u64, codes.len() as u64);
            ptrace::traceme().map_err(super::call::refused)?;
            say(&Message::Ready(Ready { kernel: kernel.id().into(), entry: self.entry, codes, fixed_addresses }))?;
            raise(Signal::SIGSTOP).map_err(|e| Error::failed(format!("cannot stop for the parent: {e}")))?;
        }
        // From the entry of the kernel's function to its return the parent follows.
        let (called, output) = match (cell.op, kernel.descriptor().gemv) {
            (Operation::Dequantize, _) => {
                (kernel.dequantize(black_box(weights), 0..rows, &mut floats), bytemuck::cast_slice(&floats))
            }
            (Operation::Gemm, _) => {
                let mut y = Columns::all(&mut integers, cell.tokens, rows);
                let called = kernel.gemm_i8(black_box(weights), 0..rows, self.operands.quantized(), &mut y);
                (called, bytemuck::cast_slice(&integers))
            }
            (Operation::Gemv, Gemv::F32(_)) => {
                let called = kernel.gemv_f32(black_box(weights), 0..rows, self.operands.float(), &mut floats);
                (called, bytemuck::cast_slice(&floats))
            }
            (Operation::Gemv, Gemv::I8(_)) => {
                let called = kernel.gemv_i8(black_box(weights), 0..rows, &self.operands.quantized()[0], &mut integers);
                (called, bytemuck::cast_slice(&integers))
            }
        };
        called.map_err(|e| Error::failed(format!("{}: {e}", kernel.id())))?;
        let output: &[u8] = output;
        let hash = sha256_hex(output);
        if hash != self.checked {
            let id = kernel.id();
            return Err(Error::failed(format!("{id}: the counted call computed something else than the checked one")));
        }
        Ok(hash)
    }
}
