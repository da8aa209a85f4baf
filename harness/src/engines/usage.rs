//! CPU time and memory of a process and all that it started, seen from outside: what an engine says of itself counts
//! for nothing here.

/// The process `id` and its children, theirs too, as they are now. A child that has ended counts no more: adapters
/// start what computes and keep it.
#[cfg(target_os = "linux")]
pub fn tree(id: u32) -> Vec<u32> {
    let (mut found, mut next) = (vec![id], 0);
    while let Some(&parent) = found.get(next) {
        next += 1;
        let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    found
}

/// CPU time in nanoseconds of these processes.
#[cfg(target_os = "linux")]
pub fn cpu_ns(processes: &[u32]) -> u64 {
    use nix::sys::time::TimeValLike;
    use nix::time::{clock_getcpuclockid, clock_gettime};
    let of = |id: &u32| {
        let clock = clock_getcpuclockid(nix::unistd::Pid::from_raw(*id as i32)).ok()?;
        u64::try_from(clock_gettime(clock).ok()?.num_nanoseconds()).ok()
    };
    processes.iter().filter_map(of).sum()
}

/// Peak of resident memory of these processes in bytes.
#[cfg(target_os = "linux")]
pub fn peak_memory_bytes(processes: &[u32]) -> u64 {
    let of = |id: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    processes.iter().filter_map(of).sum()
}

/// Only the process: this system does not tell its children.
#[cfg(not(target_os = "linux"))]
pub fn tree(id: u32) -> Vec<u32> {
    vec![id]
}

/// 0: this system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn cpu_ns(_: &[u32]) -> u64 {
    0
}

/// 0: this system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn peak_memory_bytes(_: &[u32]) -> u64 {
    0
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn children_are_found_and_counted() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sh -c 'while :; do :; done' & echo; wait"]).stdout(Stdio::piped());
        let mut shell = shell.spawn().expect("runs");
        let mut line = [0];
        std::io::Read::read_exact(shell.stdout.as_mut().expect("piped"), &mut line).expect("it speaks");
        let all = tree(shell.id());
        assert_eq!((all.len(), all[0]), (2, shell.id()));
        let before = cpu_ns(&all);
        while cpu_ns(&all) < before + 10_000_000 {
            std::thread::yield_now();
        }
        assert!(peak_memory_bytes(&all) > 100_000 && cpu_ns(&all[..1]) < cpu_ns(&all));
        for id in all.iter().rev() {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*id as i32), nix::sys::signal::Signal::SIGKILL);
        }
        shell.wait().expect("ended");
    }
}
