//! A kernel that refuses what it was given.

use crate::error::Error;
use crate::scenario::Cell;
use kernels::{Kernel, KernelError};

pub fn refused(cell: Cell, kernel: &Kernel, error: &KernelError) -> Error {
    Error::failed(format!("{} {}x{} with {}: {error}", cell.op, cell.shape.m, cell.shape.k, kernel.id()))
}
