//! `limits`: what this machine can do at most, before any kernel is judged by it.

use crate::error::Result;
use crate::gpu::DeviceArgs;
use crate::machine::{MachineArgs, all_cpus, emulated, host};
use crate::measure::limits::{self, Effort, Plan, thread_counts};
use crate::output::{Output, table};
use crate::progress::Progress;
use crate::{build_info, interrupt, registered};
use clap::Args;
use kernels::Kernel;
use receipt::figures::bytes;
use receipt::{Host, LastLevel, Limits, MultiplyPeak, Settings, Spread};
use serde::Serialize;

/// Flags of `limits`.
#[derive(Args, Debug)]
pub struct LimitsArgs {
    /// 2 to 3 seconds instead of up to 10
    #[arg(long)]
    pub quick: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The CPU, or a GPU
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Threads to go up to (all CPUs by default), pinning, features
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Runs `limits`.
pub fn run(args: &LimitsArgs, out: &Output) -> Result<()> {
    #[derive(Serialize)]
    struct Printed {
        host: Host,
        settings: Settings,
        limits: Limits,
    }
    build_info::refuse_to_time_a_debug_build()?;
    let machine = args.machine.to_measure(all_cpus())?;
    emulated::refuse_to_time()?;
    let mut host = host::host();
    let plan = Plan {
        threads: thread_counts(machine.threads),
        caches_bytes: &host.caches_bytes,
        memory_bytes: host.memory_bytes,
        operand_bytes: Vec::new(),
        effort: if args.quick { Effort::QUICK } else { Effort::FULL },
        interrupted: interrupt::flag(),
    };
    let kernels: Vec<Kernel> = registered::all().filter_map(|d| Kernel::new(d, machine.features).ok()).collect();
    let progress = Progress::start("the machine's limits", 1);
    let limits = limits::measure(&machine, &kernels, &plan, |what| progress.say(what))?;
    drop(progress);
    host.load_after = Some(host::load());
    if args.json {
        return out.json(&Printed { settings: machine.settings(0), host, limits });
    }
    out.line(text(&host, &limits))
}

fn text(host: &Host, limits: &Limits) -> String {
    let clock = match &limits.clock_ghz {
        Some(c) => format!("clock {} GHz (chain of dependent additions, one a cycle)", range(c, 2)),
        None => "clock: no addition chain is written for this architecture, so there are no products a cycle".into(),
    };
    let bandwidth = table(
        &["level", "bytes", "threads", "read GB/s", "write GB/s"],
        &[1, 2, 3, 4],
        limits.bandwidth.iter().map(|b| {
            let threads = b.threads.to_string();
            vec![b.level.clone(), bytes(b.bytes), threads, range(&b.read_gb_s, 1), range(&b.write_gb_s, 1)]
        }),
    );
    let last_level = limits.last_level.as_ref().map_or_else(String::new, last_level);
    let users = |id: &str| {
        let kernels: Vec<&str> =
            limits.kernels.iter().filter(|k| k.multiply == id).map(|k| k.kernel.as_str()).collect();
        if kernels.is_empty() { "-".into() } else { kernels.join(", ") }
    };
    let multiplies = table(
        &["multiply", "instructions", "MAC/cycle", "GMAC/s, 1 thread", "all threads", "kernels"],
        &[2, 3, 4],
        limits.multiplies.iter().map(|m| {
            let (cycle, rate) = (range(&m.mac_per_cycle, 1), range(&m.gmac_s, 0));
            let all = m.teams.last().map(|t| format!("{} ({} threads)", range(&t.gmac_s, 0), t.threads));
            let all = all.unwrap_or_else(|| "-".into());
            vec![m.id.clone(), m.instructions.clone(), cycle, rate, all, users(&m.id)]
        }),
    );
    let (head, tables) = (format!("{}, {} CPUs", host.cpu, host.cpus), format!("{bandwidth}\n\n{multiplies}"));
    let slowed = slowed(limits).map_or_else(String::new, |why| format!("\n{why}"));
    let end = format!("median [smallest, largest] of the samples; measured in {:.1} s", limits.elapsed_s);
    format!("{head}\n{clock}\n{last_level}\n{tables}\n\n{end}{slowed}")
}

/// A share of the CPU below which others had too much of it, and a median sample so far below the best one that
/// something else used the core.
const WHOLE_CPU: f64 = 0.95;
const STEADY: f64 = 0.8;

/// Who slowed the machine while its limits were measured, in a sentence: other processes here, which the CPU time
/// shows, or a neighbour on the same core or host, which only the samples show.
fn slowed(limits: &Limits) -> Option<String> {
    let percent = |share: f64| format!("{:.0}%", 100.0 * share);
    if let Some(share) = limits.cpu_share.filter(|share| *share < WHOLE_CPU) {
        let what = format!("other processes had the CPU: this one got {} of it", percent(share));
        return Some(format!("warning: {what}; stop them and measure again"));
    }
    let share = |m: &MultiplyPeak| m.gmac_s.median / m.gmac_s.high.max(f64::MIN_POSITIVE);
    let worst = limits.multiplies.iter().min_by(|a, b| share(a).total_cmp(&share(b)))?;
    let what = format!("{} ran at {} of its best in the median sample", worst.id, percent(share(worst)));
    let why = "a neighbour on this core or host slows it, or its clock moves; measure again";
    (share(worst) < STEADY).then(|| format!("warning: {what}: {why}"))
}

/// Both sizes of the last-level cache, and why the smaller one counts.
fn last_level(found: &LastLevel) -> String {
    let (counts, reported) = (bytes(found.effective_bytes), bytes(found.reported_bytes));
    let what = if found.step {
        format!("{counts} count, beyond which reading slows down")
    } else {
        format!("L2's {counts} count, nothing larger is read faster than memory")
    };
    format!("last-level cache: {what}; the system reports {reported}\n")
}

fn range(s: &Spread, decimals: usize) -> String {
    format!("{:.decimals$} [{:.decimals$}, {:.decimals$}]", s.median, s.low, s.high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_table_names_clock_levels_and_users() {
        let (host, mut limits) = (fixture::empty().host, fixture::limits());
        limits.last_level = None;
        let shown = text(&host, &limits);
        for part in ["clock 2.90 [2.55, 2.95] GHz", "128 MiB", "14.7 [14.3, 15.1]", "44.9 [44.3, 51.3]", "avx2-i8"] {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
        assert!(!shown.contains("last-level"), "not measured");
        let mut found =
            LastLevel { reported_bytes: 260 << 20, effective_bytes: 64 << 20, step: true, points: Vec::new() };
        limits.last_level = Some(found.clone());
        let line = "last-level cache: 64.0 MiB count, beyond which reading slows down; the system reports 260 MiB\n";
        assert!(text(&host, &limits).contains(line), "{}", text(&host, &limits));
        (found.step, found.effective_bytes) = (false, 2 << 20);
        limits.last_level = Some(found);
        assert!(text(&host, &limits).contains("L2's 2.00 MiB count"), "{}", text(&host, &limits));
        limits.clock_ghz = None;
        assert!(text(&host, &limits).contains("no addition chain"));
    }

    #[test]
    fn what_slows_the_machine_is_said() {
        let mut limits = fixture::limits();
        limits.multiplies.iter_mut().for_each(|m| m.gmac_s.median = m.gmac_s.high);
        assert_eq!(slowed(&limits), None);
        limits.multiplies[0].gmac_s.median = 0.5 * limits.multiplies[0].gmac_s.high;
        let said = slowed(&limits).expect("half");
        assert!(said.contains("at 50% of its best") && said.contains("neighbour"), "{said}");
        limits.cpu_share = Some(0.6);
        assert!(slowed(&limits).expect("60%").contains("got 60% of it"));
    }
}
