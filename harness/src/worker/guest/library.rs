//! Loads a library and reads what it says of its kernels.

use crate::error::{Error, Result};
use kernels::KernelDescriptor;
use kernels::foreign::abi::{ABI, Entry, SYMBOL};
use kernels::foreign::{Call, ForeignKernel, noted};
use libloading::Library;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Most kernels of one library.
const MOST_KERNELS: u32 = 256;
/// Bytes of an ELF file that say for which machine it is.
const HEAD_BYTES: u64 = 64;
/// Offset and names of an ELF file's machine.
const MACHINE_AT: usize = 18;
const MACHINES: [(u16, &str); 8] = [
    (3, "x86"),
    (20, "PowerPC"),
    (21, "PowerPC64"),
    (22, "S390"),
    (40, "Arm"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "RISC-V"),
];

/// Loads the library at `path`, whose code runs from here on, and checks every field of every kernel. What is
/// under way is noted.
///
/// # Errors
/// One line (exit 2) that names the file, and where it is one the field.
pub fn load(path: &Path) -> Result<Vec<&'static KernelDescriptor>> {
    let shown = path.display();
    let refused = |what: String| Error::input(format!("--kernel-library {shown}: {what}"));
    let mut head = Vec::new();
    let file = File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    file.map_err(|e| Error::io("read", path, &e))?;
    of_this_machine(&head).map_err(&refused)?;
    let absolute = std::path::absolute(path).map_err(|e| Error::io("find", path, &e))?;
    // SAFETY: this runs the library's initialisers, which may do anything: that is what the user asked for by naming
    // it, and this process exists to contain the accidents of it.
    let library = noted(Call::Load, || unsafe { Library::new(&absolute) });
    let library = library.map_err(|e| refused(format!("cannot be loaded: {}", one_line(&e))))?;
    // SAFETY: the header gives the symbol this type; a library that exports another thing by that name breaks its word.
    let entry = unsafe { library.get::<Entry>(SYMBOL) };
    let entry = entry.map(|entry| *entry).map_err(|_| refused(format!("exports no symbol {SYMBOL}")))?;
    // Loaded until the process ends: kernels and texts lie in it.
    std::mem::forget(library);
    let mut count = 0;
    // SAFETY: the library's entry with the arguments that the header says.
    let kernels = noted(Call::TbKernels, || unsafe { entry(ABI, &mut count) });
    if kernels.is_null() {
        return Err(refused(format!("does not speak version {ABI} of tritbench.h ({SYMBOL} gave NULL)")));
    }
    if count == 0 || count > MOST_KERNELS {
        return Err(refused(format!("has {count} kernels; from 1 to {MOST_KERNELS} are taken")));
    }
    let read = |number: u32| {
        // SAFETY: the header says that there are `count` pointers, each to a kernel that stays.
        unsafe { ForeignKernel::read(*kernels.add(number as usize), number as usize) }
    };
    let read: std::result::Result<Vec<ForeignKernel>, _> = (0..count).map(read).collect();
    Ok(read.map_err(|bad| refused(bad.to_string()))?.into_iter().map(ForeignKernel::describe).collect())
}

/// Whether these bytes may be a library for this machine: the system's loader says less clearly that they are not.
fn of_this_machine(bytes: &[u8]) -> std::result::Result<(), String> {
    if !bytes.starts_with(b"\x7fELF") {
        return Err("is no shared library (no ELF file)".into());
    }
    let word = bytes.get(MACHINE_AT..MACHINE_AT + 2).and_then(|two| <[u8; 2]>::try_from(two).ok());
    let Some(machine) = word.map(u16::from_le_bytes) else { return Err("is cut off: no whole ELF header".into()) };
    let name = MACHINES.iter().find(|(number, _)| *number == machine).map_or("another machine", |(_, name)| *name);
    if name == std::env::consts::ARCH {
        return Ok(());
    }
    Err(format!("is built for {name} (ELF machine {machine}), and this is {}", std::env::consts::ARCH))
}

fn one_line(error: &dyn std::error::Error) -> String {
    let deepest = std::iter::successors(Some(error), |e| e.source()).last().map(ToString::to_string);
    deepest.unwrap_or_default().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
