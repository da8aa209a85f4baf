//! Looks at the machine right before a run: what else uses it, what its clock does, what it permits. Takes about half a
//! second. How good that is for measuring is the judge's to say ([`receipt::judge::doctor`]).

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use crate::build_info::own_program;
use crate::machine::{host, memory};
use crate::measure::limits;
use receipt::judge::disturbance;
use receipt::{BusyProgram, Examination};
use std::time::{Duration, Instant};
use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessesToUpdate, System};

/// For how long the machine is watched: two processes that a scheduler lets take turns both show.
const WATCHED: Duration = Duration::from_millis(400);
/// Least CPU time of a program that is named, in CPUs: a clock tick of Linux is more.
const NAMED: f64 = 0.02;
/// Samples of the clock, of a few milliseconds each.
const CLOCK_SAMPLES: usize = 15;
/// The name of this program's file, as the system cuts it or not.
const PROGRAM: &str = "tritbench";
/// More processes than ever started one another.
const MOST_PARENTS: usize = 64;

/// Looks at the machine; `memory_needed` is what is about to be measured, in bytes.
pub fn examine(memory_needed: Option<u64>) -> Examination {
    let mut found = watch();
    let left = memory::memory();
    found.memory_left = left.as_ref().map(|left| left.bytes);
    found.memory_limit = left.map(|left| left.limit);
    found.memory_needed = memory_needed;
    found.clock_ghz = limits::clock_samples(CLOCK_SAMPLES);
    found.turbo = turbo(&host::read);
    found.siblings = host::read("/sys/devices/system/cpu/smt/active").map(|active| active == "1");
    found.huge_pages = host::read("/sys/kernel/mm/transparent_hugepage/enabled").and_then(|text| chosen(&text));
    found.ptrace_refused = try_ptrace();
    found.perf_event_paranoid = host::read("/proc/sys/kernel/perf_event_paranoid").and_then(|level| level.parse().ok());
    found
}

/// What other programs do while this one does nothing.
fn watch() -> Examination {
    let Ok(mut system) = System::new() else { return Examination::default() };
    let asked = ProcessRefreshKind::nothing().with_cpu().without_tasks();
    let look = |system: &mut System| {
        system.refresh_cpu_usage();
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, asked);
    };
    look(&mut system);
    let (before, start) = (host::load(), Instant::now());
    std::thread::sleep(WATCHED);
    look(&mut system);
    let (after, watched_s) = (host::load(), start.elapsed().as_secs_f64());
    let cpus = |percent: f32| f64::from(percent) / 100.0;
    let id = std::process::id();
    let others = || system.processes().iter().map(|(pid, p)| (pid.as_u32(), p)).filter(|(pid, _)| *pid != id);
    let busy = |(pid, p): (u32, &Process)| {
        let (name, cpus) = (p.name().to_string_lossy().into_owned(), cpus(p.cpu_usage()));
        (cpus >= NAMED).then_some(BusyProgram { name, pid, cpus })
    };
    let mut programs: Vec<BusyProgram> = others().filter_map(busy).collect();
    programs.sort_by(|a, b| b.cpus.total_cmp(&a.cpus));
    let started_this = parents(&system, id);
    let is_run = |(pid, p): &(u32, &Process)| p.name() == PROGRAM && !started_this.contains(pid);
    let mut other_runs: Vec<u32> = others().filter(is_run).map(|(pid, _)| pid).collect();
    other_runs.sort_unstable();
    let own = system.process(Pid::from_u32(id)).map_or(0.0, |own| cpus(own.cpu_usage()));
    let all: f64 = system.cpus().iter().map(|cpu| cpus(cpu.usage())).sum();
    let online = before.cpus_online.unwrap_or_else(host::cpus);
    let ticks = before.steal_ticks.zip(after.steal_ticks).map(|(before, after)| after.saturating_sub(before));
    let stolen = ticks.map(|ticks| disturbance::stolen_share(ticks, watched_s, online).min(1.0));
    let others_cpus = (!system.cpus().is_empty()).then(|| (all - own).max(0.0));
    Examination { watched_s, others_cpus, stolen, programs, other_runs, ..Examination::default() }
}

/// Who started process `id`, and who started that, and so on.
fn parents(system: &System, id: u32) -> Vec<u32> {
    let parent = |pid: &u32| system.process(Pid::from_u32(*pid))?.parent().map(Pid::as_u32);
    std::iter::successors(parent(&id), parent).take(MOST_PARENTS).collect()
}

/// Whether cores may clock above their nominal frequency, by the files that Linux's drivers have for it.
fn turbo(read: &dyn Fn(&str) -> Option<String>) -> Option<bool> {
    let off = read("/sys/devices/system/cpu/intel_pstate/no_turbo").map(|off| off != "1");
    off.or_else(|| read("/sys/devices/system/cpu/cpufreq/boost").map(|on| on == "1"))
}

/// The word in brackets: `always [madvise] never`.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word.to_owned())
}

/// Follows a child to its first stop, as counting does. Empty where that works, else why not; absent where nothing is
/// counted anyway.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn try_ptrace() -> Option<String> {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::Pid;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};
    let mut command = Command::new(own_program());
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: between fork and exec the child makes this one system call, which allocates nothing and takes no lock.
    unsafe { command.pre_exec(|| Ok(nix::sys::ptrace::traceme()?)) };
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(why) => return Some(why.to_string()),
    };
    let pid = Pid::from_raw(child.id().cast_signed());
    // It stops where it would begin; killed there, it never runs.
    let stopped = waitpid(pid, None);
    let followed = matches!(stopped, Ok(WaitStatus::Stopped(..)));
    if followed {
        let _ = child.kill();
        while matches!(waitpid(pid, None), Ok(WaitStatus::Stopped(..))) {}
    }
    Some(if followed { String::new() } else { format!("the child did not stop: {stopped:?}") })
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn try_ptrace() -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_writes_is_read() {
        assert_eq!(chosen("always [madvise] never").as_deref(), Some("madvise"));
        assert_eq!([chosen("never"), chosen("[")], [None, None]);
        let file = |name: &'static str, holds: &'static str| {
            turbo(&move |path: &str| path.ends_with(name).then(|| holds.to_owned()))
        };
        assert_eq!([file("no_turbo", "1"), file("no_turbo", "0")], [Some(false), Some(true)]);
        assert_eq!([file("boost", "1"), file("boost", "0"), file("nothing", "")], [Some(true), Some(false), None]);
    }

    #[test]
    fn this_machine_is_looked_at() {
        let found = examine(Some(1));
        assert!(found.watched_s >= WATCHED.as_secs_f64() && found.memory_needed == Some(1), "{found:?}");
        let own = std::process::id();
        assert!(found.programs.iter().all(|program| program.pid != own), "{found:?}");
        assert!(!found.other_runs.contains(&own));
        if cfg!(target_os = "linux") {
            assert!(found.others_cpus.is_some_and(|cpus| cpus >= 0.0) && found.memory_left.is_some(), "{found:?}");
        }
    }
}
