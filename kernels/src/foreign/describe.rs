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
        this.described(KernelDescriptor::foreign(layout, Gemv::Foreign(this)))
    }

    /// The same kernel given weights with scales of groups and activations with those of its rule, which it applies:
    /// of the family W2gA8. None of one that applies none, or by groups or a rule that no other kernel has.
    pub fn with_groups(&'static self) -> Option<&'static KernelDescriptor> {
        let describe = || {
            let (group, rule) = (self.group()?, self.rule()?);
            let (rows, block_k, groups) = (self.rows_multiple(), self.k_multiple(), &*vec![group].leak());
            let layout = Layout { name: self.id, rows, block_k, groups, foreign: Some(self), ..Layout::PLAIN };
            let layout: &'static Layout = Box::leak(Box::new(layout));
            let rules = &*vec![rule].leak();
            let foreign = KernelDescriptor::foreign(layout, Gemv::ForeignGroups(self));
            Some(self.described(KernelDescriptor { rules, ..foreign }))
        };
        *self.with_groups.get_or_init(describe)
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
