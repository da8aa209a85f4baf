//! A call that is followed to its end: counted, and its hot loop found.

mod classify;
mod follow;
mod listing;
mod tracee;
mod watchdog;

pub use tracee::refused;

use super::assembly::{Assembly, offset};
use super::call::{Call, Counted, Method, Subject};
use super::hot_loop;
use super::record::{Facts, record};
use super::static_model::Model;
use crate::error::Result;
use iced_x86::{Formatter, GasFormatter, Instruction};
use tracee::Tracee;

/// Counts one call of a kernel, and asks `model` about its hot loop.
///
/// # Errors
/// Exit 5 where ptrace is refused; exit 1 when the kernel does not match the oracle, or its worker dies, hangs or
/// answers nonsense, with the request that it was given.
pub fn count(subject: Subject<'_>, call: Call, method: Method, model: &Model) -> Result<Counted> {
    let mut tracee = Tracee::start(subject, call, method)?;
    let executed = follow::follow(&mut tracee, method)?;
    let output_sha256 = tracee.finish()?;
    let ready = &tracee.ready;
    let hot = hot_loop::find(&executed);
    let in_loop = hot.as_ref().map_or(0..0, |hot| hot.within(&executed));
    let lines = listing::lines(&executed, ready.entry);
    let facts = Facts {
        name: ready.name.clone(),
        code_bytes: ready.codes.1,
        method: if method == Method::Steps { "steps" } else { "branches" },
        fixed_addresses: ready.fixed_addresses,
        output_sha256,
        listing: lines[in_loop.clone()].to_vec(),
    };
    let (record, weights) = record(subject.id, call, facts, (&executed, hot.as_ref()), |e| classify::mix(e));
    let pass: Vec<Instruction> = hot.iter().flat_map(|hot| &hot.pass).map(|e| e.instruction).collect();
    let text = text(&pass);
    let static_models = if pass.is_empty() { Vec::new() } else { model.ask(&text, weights) };
    let pass = pass.iter().map(|instruction| offset(ready.entry, instruction.ip())).collect();
    Ok(Counted { record, static_models, assembly: Assembly { lines, in_loop, pass, text } })
}

/// AT&T syntax, which is what llvm-mca reads by default.
fn text(instructions: &[Instruction]) -> String {
    let mut formatter = GasFormatter::new();
    let mut text = String::new();
    for instruction in instructions {
        formatter.format(instruction, &mut text);
        text.push('\n');
    }
    text
}
