//! A call that is followed to its end: counted, and its hot loop found.

mod classify;
mod follow;
mod tracee;
mod watchdog;

pub use tracee::refused;

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
    let facts = Facts {
        name: ready.name.clone(),
        code_bytes: ready.codes.1,
        method: if method == Method::Steps { "steps" } else { "branches" },
        fixed_addresses: ready.fixed_addresses,
        output_sha256,
    };
    let hot = hot_loop::find(&executed);
    let (record, weights) = record(subject.id, call, facts, (&executed, hot.as_ref()), |e| classify::mix(e));
    let static_models = match hot {
        Some(hot) => model.ask(&assembly(hot.pass.iter().map(|e| &e.instruction)), weights),
        None => Vec::new(),
    };
    Ok(Counted { record, static_models })
}

/// AT&T syntax, which is what llvm-mca reads by default.
fn assembly<'a>(instructions: impl Iterator<Item = &'a Instruction>) -> String {
    let mut formatter = GasFormatter::new();
    let mut text = String::new();
    for instruction in instructions {
        formatter.format(instruction, &mut text);
        text.push('\n');
    }
    text
}
