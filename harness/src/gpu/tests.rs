//! A cell and the limits below the refusal of software, where there is an adapter: that everything is there, never what
//! it says.

use super::bench::{Plan, Session, measure};
use super::limits::{host_cost, stream};
use super::open::Adapter;
use super::run::device_record;
use super::whole;
use crate::load_model::load;
use crate::machine::MachineArgs;
use crate::scenario::{Cell, Generate, Scaling, Shape};
use kernels::Operation;
use kernels_gpu::{GpuKernel, LADDER};
use receipt::{MicroCell, Residency, RowStatus, Rule};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const ROUNDS: usize = 9;

fn cell(op: Operation, (m, k): (usize, usize), residency: Residency) -> Cell {
    let tokens = if op == Operation::Gemm { 5 } else { 1 };
    Cell { op, shape: Shape { m, k }, tokens, residency, scaling: Scaling::default(), of_groups: false }
}

fn measured(cell: Cell, kernels: &[&'static GpuKernel], session: &mut Session<'_>) -> MicroCell {
    let interrupted = AtomicBool::new(false);
    let rule = Rule::new(0.03, "round", &[ROUNDS], ROUNDS, 1);
    let (epoch_ns, cold_bytes) = (1e6, 64 << 10);
    let plan = Plan { rule, epoch_ns, seed: 1, cold_bytes, interrupted: &interrupted, until: None };
    measure(cell, kernels, &plan, session).expect("measured")
}

/// An adapter with a clock; none is an ordinary machine.
fn adapter() -> Option<Adapter> {
    Adapter::find(None).ok().filter(|adapter| adapter.facts().timestamps)
}

fn assert_whole(cell: &MicroCell, kernels: usize) {
    let columns = kernels + 1;
    assert_eq!((cell.entries.len(), cell.summaries.len(), cell.rounds.len()), (columns, columns, ROUNDS));
    assert!(cell.entries[kernels].self_pair && cell.entries[..kernels].iter().all(|entry| !entry.self_pair));
    for entry in &cell.entries {
        assert_eq!((entry.output_sha256.len(), &entry.output_sha256), (64, &cell.entries[0].output_sha256));
        assert!(entry.bytes_per_call > 0 && entry.oracle.is_some() && entry.max_abs_error == Some(0.0));
    }
    for round in &cell.rounds {
        assert!(round.ns.iter().all(|ns| *ns > 0) && round.ns == round.cpu_ns);
        let lengths = [round.order.len(), round.ns.len(), round.wall_ns.len(), round.involuntary_switches.len()];
        assert_eq!(lengths, [columns; 4]);
        assert!(round.wall_ns.iter().zip(&round.ns).all(|(wall, device)| *wall + 100_000 > *device));
    }
    let stream = cell.stream.as_ref().expect("in the same rounds");
    assert!(stream.ns.len() == ROUNDS && stream.gb_s > 0.0 && stream.bytes_per_call > 0);
    assert!(cell.summaries.iter().all(|summary| summary.share_of_stream.is_some()));
    assert!(cell.without_time.is_empty() && cell.calls_per_epoch > 0 && cell.threads == 1);
}

#[test]
fn a_text_is_held_against_the_cpus_and_goes_in_rounds() {
    let Some(adapter) = adapter() else { return };
    let machine = MachineArgs::default().check(1).expect("a machine");
    let loaded = load("builtin", None, &machine).expect("loads");
    let asked = Generate { prompt: "ROMEO:".into(), max_tokens: 5, rounds: 1, timeout_s: None, goldens: false };
    let text = whole::measure(&adapter, &loaded, &asked, &machine).expect("measured");
    let vocab = loaded.model.config.vocab as u64;
    assert!(text.outputs > 0 && text.outputs.is_multiple_of(vocab) && text.differing_bits < text.outputs);
    assert!(text.max_abs_difference < 0.2 && text.dispatches_per_token > 20 && text.bytes_per_token > 1 << 20);
    assert!(text.rounds.len() >= 9 && text.rounds.iter().all(|round| round.decode_tokens == 4 && round.decode_ns > 0));
}

#[test]
fn a_cell_is_whole_hot_and_cold_and_of_a_batch() {
    let Some(adapter) = adapter() else { return };
    let session = &mut Session::open(&adapter).expect("opens");
    let all: Vec<&GpuKernel> = LADDER.iter().collect();
    let hot = measured(cell(Operation::Gemv, (64, 256), Residency::L2), &all, session);
    assert_whole(&hot, all.len());
    assert_eq!((hot.copies, hot.residency), (1, Residency::L2));
    let cold = measured(cell(Operation::Gemv, (64, 256), Residency::Dram), &all, session);
    assert_whole(&cold, all.len());
    assert_eq!((cold.copies, cold.residency), (16, Residency::Dram));
    let batch = measured(cell(Operation::Gemm, (32, 256), Residency::L2), &all, session);
    assert_whole(&batch, all.len() - 1);
    let record = device_record(adapter.facts(), &session.device, &all);
    assert!(record.shaders.len() >= 10 && record.timestamp_period_ns > 0.0 && !record.in_words().is_empty());
}

#[test]
fn a_matrix_that_is_too_large_is_a_row_and_the_others_go_on() {
    let Some(adapter) = adapter() else { return };
    let session = &mut Session::open(&adapter).expect("opens");
    let two: Vec<&GpuKernel> = LADDER.iter().take(2).collect();
    // More columns than f32 sums are exact for.
    let one_left = measured(cell(Operation::Gemv, (16, (1 << 16) + 256), Residency::L2), &two, session);
    let [out] = &one_left.without_time[..] else { panic!("{:?}", one_left.without_time) };
    assert_eq!((out.kernel.as_str(), out.status), ("gpu-f32", RowStatus::Unsupported));
    assert!(out.why.contains("65536") && one_left.entries.len() == 2 && one_left.rounds.len() == ROUNDS);
    // No buffer may hold even a panel.
    session.device.limit_bindings(16);
    let none_left = measured(cell(Operation::Gemv, (64, 256), Residency::L2), &two, session);
    assert!(none_left.entries.is_empty() && none_left.rounds.is_empty());
    assert_eq!(none_left.without_time.len(), 2);
    assert!(none_left.without_time.iter().all(|out| out.status == RowStatus::Unsupported));
}

#[test]
fn limits_are_samples_of_both_clocks() {
    let Some(adapter) = adapter() else { return };
    let session = Session::open(&adapter).expect("opens");
    let rate = stream(&session.device, (1 << 20, 3), 3, Duration::ZERO).expect("read");
    let cost = host_cost(&session.device, 3).expect("submitted");
    let json = serde_json::to_value((rate, cost)).expect("JSON");
    for (part, field) in [(0, "gb_s"), (0, "wall_gb_s"), (1, "dispatch_us"), (1, "submission_us"), (1, "round_trip_us")]
    {
        assert!(json[part][field]["low"].as_f64() > Some(0.0), "{field}: {json}");
    }
}
