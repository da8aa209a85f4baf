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
        let with_groups = this.with_groups();
        let foreign = KernelDescriptor::foreign(layout, Gemv::Foreign(this));
        this.described(KernelDescriptor { with_groups, ..foreign })
    }

    /// See [`KernelDescriptor::with_groups`]. None of a kernel that applies no scales to int8 sums, or by groups or a
    /// rule that no other has.
    fn with_groups(&'static self) -> Option<&'static KernelDescriptor> {
        let (group, rule) = (self.group()?, self.rule()?);
        let (rows, block_k, groups) = (self.rows_multiple(), self.k_multiple(), &*vec![group].leak());
        let layout = Layout { name: self.id, rows, block_k, groups, foreign: Some(self), ..Layout::PLAIN };
        let layout: &'static Layout = Box::leak(Box::new(layout));
        let rules = &*vec![rule].leak();
        let foreign = KernelDescriptor::foreign(layout, Gemv::ForeignGroups(self));
        Some(self.described(KernelDescriptor { rules, ..foreign }))
    }

    fn described(&self, foreign: KernelDescriptor) -> &'static KernelDescriptor {
        Box::leak(Box::new(KernelDescriptor {
            id: self.id,
            isa: self.isa,
            requires: self.requires,
            builds_on: self.builds_on,
            summary: self.summary,
            ..foreign
        }))
    }
}
