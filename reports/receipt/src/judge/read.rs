//! A receipt as it was written becomes one that can be shown: every pair judged, by the rule of its version.

use super::{Method, engines, generation, micro, turns};
use crate::record::{Receipt, Verdict};

/// Judges every pair of a receipt that was read. Nothing that was written is changed.
pub fn complete(receipt: &mut Receipt) {
    let method = Method::of(&receipt.schema_version);
    let rule = receipt.rule.clone();
    for cell in &mut receipt.micro {
        cell.method = method;
        if let Some(first) = &mut cell.unstable_first {
            first.method = method;
        }
        micro::fill(cell, rule.as_ref());
    }
    if let Some(record) = &mut receipt.generation {
        let threads = record.threads;
        for blocks in &mut record.blocks {
            blocks.method = method;
            turns::fill(blocks, threads);
        }
        generation::texts(record);
    }
    if let Some(rules) = &mut receipt.activation_rules {
        let threads = rules.threads;
        rules.blocks.iter_mut().for_each(|blocks| turns::fill(blocks, threads));
    }
    receipt.engines.iter_mut().for_each(engines::fill);
    if let Some(gate) = &mut receipt.gate {
        // The ends of the intervals that receipts before 1.2 did not write.
        let lacks_ends = |v: &Verdict| v.alarm_high.is_none() && v.pass_low.is_none();
        for cell in gate.cells.iter_mut().filter(|cell| lacks_ends(&cell.verdict)) {
            let again = crate::judge::gate::verdict(&gate.rule, &cell.pairs, cell.threads).0;
            (cell.verdict.alarm_high, cell.verdict.pass_low) = (again.alarm_high, again.pass_low);
        }
    }
}
