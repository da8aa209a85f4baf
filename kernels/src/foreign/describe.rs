//! A foreign kernel as the rest of the program takes it.

use super::abi;
use super::kernel::ForeignKernel;
use crate::descriptor::{Gemv, KernelDescriptor};
use crate::layout::Layout;
use crate::layouts;
use crate::operation::Family;

impl ForeignKernel {
    /// The kernel as the rest of the program takes it. It stays until the process ends, as its library does.
    pub fn describe(self) -> &'static KernelDescriptor {
        let this: &'static Self = Box::leak(Box::new(self));
        let layout = this.ours.and_then(layouts::find).unwrap_or_else(|| {
            let (rows, block_k) = (this.rows_multiple(), this.k_multiple());
            // Where the scales count, those of groups are given by group.
            let by_group = this.family() == Family::W2A32 && ![abi::TENSOR, abi::ROW].contains(&this.raw.weight_group);
            let groups = if by_group { vec![this.raw.weight_group as usize].leak() } else { &[][..] };
            let own = Layout { name: this.id, rows, block_k, groups, foreign: Some(this), ..Layout::PLAIN };
            Box::leak(Box::new(own))
        });
        Box::leak(Box::new(KernelDescriptor {
            id: this.id,
            isa: this.isa,
            requires: this.requires,
            builds_on: this.builds_on,
            summary: this.summary,
            ..KernelDescriptor::foreign(layout, Gemv::Foreign(this))
        }))
    }
}
