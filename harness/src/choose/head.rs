//! Which implementation of the output head runs, and how it asks ahead: by a probe on the head's first rows.

use super::probe::{Plan, Turn, take_turns};
use super::{by_evidence, cannot_probe, without_probe};
use crate::error::{Error, Result};
use crate::machine::{Machine, host};
use kernels::{CpuFeatures, HeadInput, KernelError, OutputHead, Prefetch, head_implementations};
use receipt::Choice;
use std::time::Duration;

const PROBE: Duration = Duration::from_millis(25);
/// Bytes of the rows that are probed: long against the clock, short against the time for the probe.
const BYTES: usize = 4 << 20;

/// The fastest way to multiply with this head. Every way gives the same bits, and the probe looks at them.
pub fn fastest(head: OutputHead, machine: &Machine) -> Result<(OutputHead, Choice)> {
    let failed = |e: KernelError| Error::failed(format!("head probe: {e}"));
    let what = format!("{} output head", head.format().name());
    let cold = !host::fits_last_level(head.bytes() as u64);
    let name = |head: &OutputHead| format!("{}, {}", head.id(), head.prefetch().name());
    if let Some(why) = cannot_probe(machine, cold) {
        let chosen = name(&head);
        return Ok((head, without_probe(&what, &chosen, &why)));
    }
    // The widest first. The portable one only where there is no other, as with kernels.
    let all = head_implementations(head.format(), machine.features);
    let portable = usize::from(all.len() > 1 && all[0].requires == CpuFeatures::NONE);
    let ways = all[portable..].iter().copied().rev();
    let ways = ways.flat_map(|way| Prefetch::wanted(cold).map(|prefetch| head.tuned(way, prefetch)));
    let ways = ways.collect::<std::result::Result<Vec<_>, KernelError>>().map_err(failed)?;
    let row_bytes = head.bytes() / head.rows().max(1);
    let rows = (BYTES / row_bytes.max(1)).clamp(1, head.rows().max(1));
    let parts: Vec<OutputHead> = ways.iter().map(|way| way.first_rows(rows)).collect();
    let (mut team, mut input, mut y) = (machine.team()?, HeadInput::new(head.k()), vec![0f32; parts[0].rows()]);
    let x: Vec<f32> = (0..head.k()).map(|i| ((i * 37 % 251) as f32 - 125.0) / 125.0).collect();
    let mut expected: Option<Vec<f32>> = None;
    let plan = Plan { candidates: parts.len(), time: PROBE, ready_each_call: cold };
    let evidence = take_turns(plan, |way, turn| {
        let part = &parts[way];
        if turn == Turn::Ready {
            if cold {
                part.evict(&mut team);
            }
            return Ok(());
        }
        part.gemv(&mut team, &x, &mut input, &mut y).map_err(failed)?;
        if turn == Turn::Check && *expected.get_or_insert_with(|| y.clone()) != y {
            let (id, other) = (part.id(), parts[0].id());
            return Err(Error::failed(format!("head probe: {id} and {other} differ; run `tritbench verify`")));
        }
        Ok(())
    })?;
    let names: Vec<String> = ways.iter().map(name).collect();
    let choice = by_evidence(&what, &format!("{}x{}", parts[0].rows(), head.k()), &names, &evidence);
    let chosen = evidence.chosen().unwrap_or(0);
    Ok((ways.into_iter().nth(chosen).unwrap_or(head), choice))
}
