//! What disturbed a run, by evidence that the receipt holds, the likeliest cause first: so that a noisy result is
//! blamed on its cause, and the next step removes that. Where nothing shows a cause, none is named.

use crate::figures;
use crate::record::{Load, Receipt, Round};

/// Something that disturbed a run, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disturbance {
    /// What the system did, with its figure, as a sentence without its full stop.
    pub text: String,
    /// What the user can do to remove the disturbance.
    pub remedy: &'static str,
    /// JSON pointer to the figures that show it in the receipt.
    pub evidence: &'static str,
}

/// Clock ticks of a second, in which Linux counts stolen time.
const TICKS_PER_S: f64 = 100.0;
/// Least share of the CPUs' time that is worth a word when the hypervisor took it.
pub const STOLEN: f64 = 0.01;
/// Least share of interrupted epochs. With two busy programs a core a tenth to a third are, and the paired rounds bear
/// a tenth well.
const INTERRUPTED: f64 = 0.2;
/// Least pages swapped: a few are on any machine.
const SWAPPED_PAGES: u64 = 1000;

/// What can be done about a hypervisor that gives the CPUs' time away.
pub const AGAINST_STEALING: &str = "take a machine that is not shared, or another hour, and run again";
/// What can be done about a CPU quota.
pub const AGAINST_QUOTA: &str = "raise the CPU quota of the control group or run outside of it, and run again";

/// A CPU quota in words, before and after a run: `a control group allows 0.30 CPUs of time for 1 thread`.
pub fn quota_in_words(cpus: f64, threads: usize) -> String {
    format!("a control group allows {cpus:.2} CPUs of time for {threads} thread{}", if threads == 1 { "" } else { "s" })
}

/// How often a CPU quota stopped the run, if the system counted.
pub fn quota_stops(receipt: &Receipt) -> Option<u64> {
    during(receipt, |load| load.quota_stops)
}

/// The share that so many stolen clock ticks are of so many seconds of all CPUs.
pub fn stolen_share(ticks: u64, seconds: f64, cpus: usize) -> f64 {
    ticks as f64 / (TICKS_PER_S * seconds * cpus.max(1) as f64)
}

/// Everything in a receipt that shows a disturbed run, the likeliest cause first.
pub fn disturbances(receipt: &Receipt) -> Vec<Disturbance> {
    let quota = quota(receipt);
    // A thread that a quota stops is counted as interrupted too.
    let others = if quota.is_none() { interrupted(receipt) } else { None };
    [quota, swapped(receipt), stolen(receipt), others, hot(receipt)].into_iter().flatten().collect()
}

/// Every disturbance that a receipt shows, a sentence each; empty where there is none.
pub fn in_words(receipt: &Receipt) -> Vec<String> {
    disturbances(receipt).into_iter().map(|d| format!("{}.", d.text)).collect()
}

/// What grew by how much during the run.
fn during(receipt: &Receipt, of: fn(&Load) -> Option<u64>) -> Option<u64> {
    let (before, after) = (&receipt.host.load_before, receipt.host.load_after.as_ref()?);
    Some(of(after)?.saturating_sub(of(before)?))
}

fn quota(receipt: &Receipt) -> Option<Disturbance> {
    let (threads, allowed) = (receipt.settings.threads, receipt.host.cgroup_cpus);
    let text = match (quota_stops(receipt), allowed) {
        (Some(0), _) => return None,
        (Some(stops), _) => {
            let why = allowed.map_or_else(String::new, |cpus| format!(": {}", quota_in_words(cpus, threads)));
            format!("A CPU quota stopped this run {}{why}", times(stops))
        }
        (None, Some(cpus)) if cpus < threads as f64 => {
            let allows = quota_in_words(cpus, threads);
            format!("A CPU quota stops such a run in the middle of measurements: {allows}")
        }
        _ => return None,
    };
    let evidence = if quota_stops(receipt).is_some() { "/host/load_after/quota_stops" } else { "/host/cgroup_cpus" };
    Some(Disturbance { text, remedy: AGAINST_QUOTA, evidence })
}

fn swapped(receipt: &Receipt) -> Option<Disturbance> {
    let pages = during(receipt, |load| load.swapped_pages).filter(|pages| *pages >= SWAPPED_PAGES)?;
    Some(Disturbance {
        text: format!("Memory ran short: {} pages were swapped during the run", figures::integer(pages)),
        remedy: "free memory or measure less at once, and run again",
        evidence: "/host/load_after/swapped_pages",
    })
}

fn stolen(receipt: &Receipt) -> Option<Disturbance> {
    let ticks = during(receipt, |load| load.steal_ticks)?;
    let cpus = receipt.host.load_before.cpus_online.unwrap_or(receipt.host.cpus);
    let share = stolen_share(ticks, receipt.elapsed_s, cpus);
    (share.is_finite() && share >= STOLEN).then(|| Disturbance {
        text: format!("The hypervisor gave {} of the CPUs' time to other guests", figures::percent(share.min(1.0))),
        remedy: AGAINST_STEALING,
        evidence: "/host/load_after/steal_ticks",
    })
}

/// Epochs in which the system took the CPU from the kernel.
fn interrupted(receipt: &Receipt) -> Option<Disturbance> {
    let micro = receipt.micro.iter().flat_map(|cell| &cell.rounds);
    let gate = receipt.gate.iter().flat_map(|g| &g.cells).flat_map(|c| &c.pairs).flat_map(|p| &p.rounds);
    let texts = receipt.generation.iter().flat_map(|g| &g.blocks).flat_map(|b| &b.rounds).map(|r| &r.round);
    let count = |(all, taken): (usize, usize), round: &Round| {
        let switches = &round.involuntary_switches;
        (all + switches.len(), taken + switches.iter().filter(|n| **n > 0).count())
    };
    let (all, taken) = micro.chain(gate).chain(texts).fold((0, 0), count);
    let share = taken as f64 / all.max(1) as f64;
    (share >= INTERRUPTED).then(|| Disturbance {
        text: format!("The system interrupted {} of the timed epochs for other programs", figures::percent(share)),
        remedy: "stop what else runs on this machine, or pin with --pin, and run again",
        evidence: if receipt.gate.is_some() { "/gate/cells" } else { "/micro" },
    })
}

fn hot(receipt: &Receipt) -> Option<Disturbance> {
    let throttles = during(receipt, |load| load.thermal_throttles).filter(|n| *n > 0)?;
    Some(Disturbance {
        text: format!("A core was too hot and slowed down {}", times(throttles)),
        remedy: "let the CPU cool, and run again",
        evidence: "/host/load_after/thermal_throttles",
    })
}

/// A number of times in words: `never`, `once`, `387 times`.
pub fn times(n: u64) -> String {
    match n {
        0 => "never".into(),
        1 => "once".into(),
        n => format!("{} times", figures::integer(n)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn texts(receipt: &Receipt) -> Vec<String> {
        let json = serde_json::to_value(receipt).expect("JSON");
        let found = disturbances(receipt);
        assert!(found.iter().all(|d| json.pointer(d.evidence).is_some()), "{found:?}");
        found.into_iter().map(|d| d.text).collect()
    }

    /// A run during which these grew.
    fn grown(change: impl Fn(&mut Load)) -> Receipt {
        let mut receipt = fixture::complete();
        receipt.elapsed_s = 312.4;
        let (before, after) = (&mut receipt.host.load_before, receipt.host.load_after.as_mut().expect("complete"));
        for load in [&mut *before, &mut *after] {
            (load.quota_stops, load.swapped_pages, load.thermal_throttles) = (Some(13), Some(5), Some(7));
            load.steal_ticks = Some(120);
        }
        change(after);
        receipt
    }

    #[test]
    fn a_quiet_run_blames_nobody() {
        assert_eq!(texts(&fixture::complete()), [""; 0]);
        assert_eq!(texts(&grown(|_| ())), [""; 0], "what happened before the run is not its own");
    }

    #[test]
    fn each_cause_is_named_by_its_figure() {
        let mut receipt = grown(|load| load.quota_stops = Some(400));
        receipt.host.cgroup_cpus = Some(0.3);
        assert_eq!(
            texts(&receipt),
            ["A CPU quota stopped this run 387 times: a control group allows 0.30 CPUs of time for 1 thread"]
        );
        receipt.host.load_after.as_mut().expect("complete").quota_stops = Some(14);
        receipt.host.cgroup_cpus = None;
        assert_eq!(texts(&receipt), ["A CPU quota stopped this run once"], "its limit cannot be read");
        assert_eq!(
            texts(&grown(|load| load.swapped_pages = Some(2005))),
            ["Memory ran short: 2,000 pages were swapped during the run"]
        );
        assert_eq!(
            texts(&grown(|load| load.thermal_throttles = Some(9))),
            ["A core was too hot and slowed down 2 times"]
        );
        // 312.4 s of two CPUs are 62,480 ticks.
        let stolen = texts(&grown(|load| load.steal_ticks = Some(120 + 6248)));
        assert_eq!(stolen, ["The hypervisor gave 10.0% of the CPUs' time to other guests"]);
    }

    #[test]
    fn a_quota_is_a_cause_where_the_system_does_not_count() {
        let mut receipt = fixture::complete();
        receipt.host.cgroup_cpus = Some(0.5);
        assert!(texts(&receipt)[0].ends_with("a control group allows 0.50 CPUs of time for 1 thread"));
        receipt.host.cgroup_cpus = Some(1.0);
        assert_eq!(texts(&receipt), [""; 0], "enough for one thread");
        receipt.settings.threads = 2;
        assert!(texts(&receipt)[0].ends_with("1.00 CPUs of time for 2 threads"));
    }

    #[test]
    fn the_likeliest_cause_comes_first_and_is_not_named_twice() {
        let mut receipt = grown(|load| load.steal_ticks = Some(120 + 6248));
        let rounds = receipt.micro.iter_mut().flat_map(|c| &mut c.rounds);
        rounds.for_each(|r| r.involuntary_switches.iter_mut().for_each(|n| *n = 1));
        let mut found = texts(&receipt);
        assert!(found.len() == 2 && found[1].starts_with("The system interrupted "), "{found:?}");
        receipt.host.load_after.as_mut().expect("complete").quota_stops = Some(14);
        receipt.host.cgroup_cpus = Some(0.9);
        found = texts(&receipt);
        assert!(found.len() == 2 && found[0].starts_with("A CPU quota stopped this run once"), "{found:?}");
        assert!(!found.iter().any(|text| text.contains("other programs")), "the quota interrupts too: {found:?}");
    }
}
