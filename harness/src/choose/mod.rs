//! Choices that are made at the start, each by a probe on the model's own weights with the threads that will work:
//! candidates take turns for a moment, the medians decide, and a tie goes to what is wanted first. Whatever is chosen
//! computes the same bits. Features only say what may run; nothing is chosen by them where a probe can run.

pub mod able;
pub mod chooser;
pub mod decode_kernel;
pub mod element_wise;
pub mod head;
pub mod operands;
pub mod prefill_kernel;
pub mod probe;
pub mod skipping;
pub mod tuning;

use crate::machine::{Machine, host};
use probe::{Evidence, TIE};
use receipt::{Candidate, Choice};

/// Why no probe can say anything here, so that the static choice is taken; `None` where one can. `cold` is whether
/// weights have to come from memory.
pub fn cannot_probe(machine: &Machine, cold: bool) -> Option<String> {
    let (threads, cpus) = (machine.threads, host::cpus());
    if threads > cpus {
        return Some(format!("{threads} threads on {cpus} CPU(s): a probe would time the scheduler"));
    }
    let evicts = cfg!(target_arch = "x86_64");
    (cold && !evicts).then(|| "this CPU has no instruction that takes weights out of its caches".to_owned())
}

/// The record of a choice by its evidence. `names` are the candidates, in the order in which they are wanted.
pub fn by_evidence(what: &str, on: &str, names: &[String], evidence: &Evidence) -> Choice {
    let chosen = evidence.chosen().and_then(|i| names.get(i)).cloned().unwrap_or_default();
    let fastest = evidence.fastest().map_or("", |(i, _)| &names[i]);
    let how = if chosen == fastest { "fastest" } else { "wanted before what is no faster" };
    let (count, passes) = (names.len(), evidence.passes);
    let reason = format!("{how}, of {count} in {passes} turns on {on}; {:.0}% tie", 100.0 * TIE);
    let candidates = names.iter().zip(&evidence.us).map(|(name, &us)| Candidate { name: name.clone(), us }).collect();
    Choice { what: what.into(), chosen, reason, candidates }
}

/// The record of a choice that no probe made.
pub fn without_probe(what: &str, chosen: &str, why: &str) -> Choice {
    Choice { what: what.into(), chosen: chosen.into(), reason: format!("static: {why}"), candidates: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Faked timings: the record names what the rule takes, and says when it is not the fastest.
    #[test]
    fn a_choice_says_what_decided() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let choice = |us: [f64; 3]| by_evidence("kernel", "8x8", &names, &Evidence { us: us.to_vec(), passes: 7 });
        let clear = choice([9.0, 5.0, 7.0]);
        assert_eq!(clear.chosen, "b");
        assert!(clear.reason.starts_with("fastest, of 3 in 7 turns on 8x8"), "{}", clear.reason);
        assert_eq!(clear.candidates.iter().map(|c| c.us).collect::<Vec<_>>(), [9.0, 5.0, 7.0]);
        let tie = choice([5.1, 5.0, 5.05]);
        assert_eq!(tie.chosen, "a");
        assert!(tie.reason.starts_with("wanted before what is no faster"), "{}", tie.reason);
    }
}
