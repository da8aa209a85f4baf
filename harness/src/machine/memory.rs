//! What this process may use of the machine: memory left under every limit, and CPU time under a quota. Read before the
//! work, so that a run ends with a line and not with the kernel's out-of-memory killer.
//!
//! Control groups of both versions are read, from the process's own up to the root: each level's limit holds. sysinfo
//! knows groups too, but counts pages of files as used, which are dropped when memory runs short, gives nothing where
//! one level cannot be read, and knows no CPU quota; so it is asked about the machine only.

use crate::error::{Error, Result};
use crate::output::note;
use receipt::figures::mib;
use receipt::judge::disturbance;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Bytes of memory that this process can still get, and the limit that says so.
#[derive(Clone, Debug, PartialEq)]
pub struct Available {
    /// Bytes that can still be had.
    pub bytes: u64,
    /// The limit that leaves them, in words.
    pub limit: String,
}

/// Memory that the tightest limit leaves to this process; `None` where the system says nothing.
pub fn memory() -> Option<Available> {
    let machine = machine(|system| system.available_memory().saturating_add(system.free_swap()));
    let machine = machine.map(|bytes| Available { bytes, limit: "what this machine has free, swap included".into() });
    left_under(Path::new("/")).into_iter().chain(machine).min_by_key(|available| available.bytes)
}

/// Bytes of memory in this machine, if the system says.
pub fn total() -> Option<u64> {
    machine(System::total_memory)
}

/// Bytes of the machine's memory that can be had without swapping, if the system says.
pub fn available() -> Option<u64> {
    machine(System::available_memory)
}

/// Bytes that the tightest memory limit of this process's control groups allows; `None` without a limit.
pub fn limit() -> Option<u64> {
    limits(Path::new("/")).into_iter().map(|(.., bytes)| bytes).min()
}

/// A figure of the machine; sysinfo says 0 where the system says nothing.
fn machine(bytes: impl Fn(&System) -> u64) -> Option<u64> {
    let asked = RefreshKind::nothing().with_memory(MemoryRefreshKind::everything());
    System::new_with_specifics(asked).ok().map(|system| bytes(&system)).filter(|bytes| *bytes > 0)
}

/// CPUs' worth of time that a control group allows, if it limits it.
pub fn cpu_quota() -> Option<f64> {
    cpu_quota_under(Path::new("/"))
}

fn cpu_quota_under(root: &Path) -> Option<f64> {
    quotas(root).into_iter().map(|(_, cpus)| cpus).min_by(f64::total_cmp)
}

/// How often a CPU quota has stopped this process's control groups; `None` without a quota or a count.
pub fn quota_stops() -> Option<u64> {
    quota_stops_under(Path::new("/"))
}

/// Refuses work if `what` needs more `bytes` than can be had. The bytes are a lower bound, so the refusal is never
/// wrong.
pub fn require_memory(bytes: u64, what: &str) -> Result<()> {
    match memory() {
        Some(found) if found.bytes < bytes => Err(Error::input(format!(
            "{what} takes {} of memory, but only {} are left ({}); raise the limit, close programs or take \
             a smaller model",
            mib(bytes),
            mib(found.bytes),
            found.limit
        ))),
        _ => Ok(()),
    }
}

/// Warns once if a CPU quota leaves less than `threads` CPUs: the process then stands still during measurements.
pub fn warn_of_quota(threads: usize) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    if let Some(text) = quota_warning(cpu_quota(), threads) {
        ONCE.call_once(|| note(text));
    }
}

fn quota_warning(allowed: Option<f64>, threads: usize) -> Option<String> {
    let cpus = allowed.filter(|&cpus| cpus < threads as f64)?;
    let allows = disturbance::quota_in_words(cpus, threads);
    Some(format!(
        "warning: {allows}, so the system stops it in the middle of measurements; raise the CPU quota or run outside \
         of the group"
    ))
}

/// The groups that have a limit on memory, with the version of their files and the limit in bytes.
fn limits(root: &Path) -> Vec<(PathBuf, u8, u64)> {
    let limit = |(folder, version): (PathBuf, u8)| {
        // "max" is no number, and version 1 says about 2^63 for no limit.
        let file = if version == 1 { "memory.limit_in_bytes" } else { "memory.max" };
        let bytes = number(&folder, file).filter(|&max| max < 1 << 60)?;
        Some((folder, version, bytes))
    };
    groups(root, "memory").into_iter().filter_map(limit).collect()
}

/// What a group's file holds, if it is one number.
fn number<T: FromStr>(folder: &Path, file: &str) -> Option<T> {
    read_to_string(folder.join(file)).ok()?.trim().parse().ok()
}

/// The least that a control group leaves.
fn left_under(root: &Path) -> Option<Available> {
    let left = limits(root).into_iter().filter_map(|(folder, version, limit)| {
        let (used, cache) = match version {
            1 => ("memory.usage_in_bytes", ["total_inactive_file", "total_active_file"]),
            _ => ("memory.current", ["inactive_file", "active_file"]),
        };
        let used: u64 = number(&folder, used)?;
        let stat = read_to_string(folder.join("memory.stat")).unwrap_or_default();
        // Pages of files are dropped when memory runs short.
        let cached: u64 = cache.iter().filter_map(|key| field(&stat, key)).sum();
        let bytes = limit.saturating_sub(used.saturating_sub(cached));
        Some(Available { bytes, limit: format!("control group limit of {}", mib(limit)) })
    });
    left.min_by_key(|available| available.bytes)
}

/// The sum over all groups that have a quota: each level stops what is below it.
fn quota_stops_under(root: &Path) -> Option<u64> {
    let mut folders: Vec<PathBuf> = quotas(root).into_iter().map(|(folder, _)| folder).collect();
    // One controller may be mounted under two names.
    folders.iter_mut().for_each(|folder| *folder = folder.canonicalize().unwrap_or_else(|_| folder.clone()));
    folders.sort();
    folders.dedup();
    let stops = |folder: &PathBuf| field(&read_to_string(folder.join("cpu.stat")).ok()?, "nr_throttled");
    folders.iter().filter_map(stops).reduce(|a, b| a.saturating_add(b))
}

/// Groups with a quota, and the CPUs' worth of time that it is.
fn quotas(root: &Path) -> Vec<(PathBuf, f64)> {
    let quota = |(folder, version): (PathBuf, u8)| {
        // "max" and -1 are no quota.
        let (quota, period): (f64, f64) = if version == 1 {
            (number(&folder, "cpu.cfs_quota_us")?, number(&folder, "cpu.cfs_period_us")?)
        } else {
            let line = read_to_string(folder.join("cpu.max")).ok()?;
            let (quota, period) = line.trim().split_once(' ')?;
            (quota.parse().ok()?, period.trim().parse().ok()?)
        };
        (quota > 0.0 && period > 0.0).then_some((folder, quota / period))
    };
    groups(root, "cpu").into_iter().filter_map(quota).collect()
}

/// The number after `key` on its line.
fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Folders of this process's groups that control `controller`, from its own to the root, with the version of their
/// files.
fn groups(root: &Path, controller: &str) -> Vec<(PathBuf, u8)> {
    let table = read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut folders = Vec::new();
    for line in table.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (mounts, version) = match controllers {
            "" => (vec!["sys/fs/cgroup".to_owned(), "sys/fs/cgroup/unified".to_owned()], 2),
            list if list.split(',').any(|c| c == controller) => {
                (vec![format!("sys/fs/cgroup/{list}"), format!("sys/fs/cgroup/{controller}")], 1)
            }
            _ => continue,
        };
        for mount in mounts {
            let mount = root.join(mount);
            // In a container the path may be the host's, and the mount the group itself: then only the root of the
            // mount is there.
            let own = mount.join(path.trim_start_matches('/'));
            let up = own.ancestors().take_while(|folder| folder.starts_with(&mount));
            folders.extend(up.map(|folder| (folder.to_path_buf(), version)));
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system in a folder.
    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        dir
    }

    #[test]
    fn the_tightest_level_holds() {
        let dir = system(&[
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
            ("sys/fs/cgroup/outer/inner/memory.current", "1\n"),
            ("sys/fs/cgroup/outer/memory.max", "104857600\n"),
            ("sys/fs/cgroup/outer/memory.current", "73400320\n"),
            ("sys/fs/cgroup/outer/memory.stat", "anon 5\ninactive_file 10485760\nactive_file 0\n"),
            ("sys/fs/cgroup/outer/inner/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/outer/cpu.max", "max 100000\n"),
        ]);
        let found = left_under(dir.path()).expect("limited");
        assert_eq!(found, Available { bytes: 40 << 20, limit: "control group limit of 100.0 MiB".into() });
        assert_eq!(cpu_quota_under(dir.path()), Some(1.5));
        assert_eq!(quota_stops_under(dir.path()), None, "nobody counted");
    }

    #[test]
    fn every_level_with_a_quota_counts_its_stops() {
        let stat = |stops: u64| format!("nr_periods 900\nnr_throttled {stops}\nthrottled_usec 5\n");
        let dir = system(&[
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("sys/fs/cgroup/outer/inner/cpu.max", "30000 100000\n"),
            ("sys/fs/cgroup/outer/inner/cpu.stat", &stat(387)),
            ("sys/fs/cgroup/outer/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/outer/cpu.stat", &stat(13)),
            ("sys/fs/cgroup/cpu.stat", &stat(999)),
        ]);
        assert_eq!(quota_stops_under(dir.path()), Some(400));
        let first = system(&[
            ("proc/self/cgroup", "5:cpu,cpuacct:/a\n0::/\n"),
            ("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "30000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/a/cpu.stat", "nr_periods 900\nnr_throttled 7\nthrottled_time 5\n"),
        ]);
        #[cfg(unix)]
        std::os::unix::fs::symlink("cpu,cpuacct", first.path().join("sys/fs/cgroup/cpu")).expect("linked");
        assert_eq!(quota_stops_under(first.path()), Some(7), "one group under two names");
        assert_eq!(quota_stops_under(Path::new("/nowhere")), None);
    }

    #[test]
    fn a_quota_below_the_threads_is_a_warning_with_both() {
        let text = quota_warning(Some(0.3), 1).expect("too little");
        assert!(text.starts_with("warning: a control group allows 0.30 CPUs of time for 1 thread, so "), "{text}");
        assert!(quota_warning(Some(1.5), 2).expect("too little").contains("1.50 CPUs of time for 2 threads"));
        assert_eq!([quota_warning(Some(1.0), 1), quota_warning(None, 8)], [None, None]);
    }

    #[test]
    fn version_1_and_a_machine_without_limits() {
        let dir = system(&[
            ("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/process/long\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "50000000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "20000000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(left_under(dir.path()).expect("limited").bytes, 30_000_000);
        assert_eq!(cpu_quota_under(dir.path()), Some(0.5));
        let free = system(&[
            ("proc/self/cgroup", "4:memory:/\n1:cpu:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(left_under(free.path()), None);
        assert_eq!(cpu_quota_under(free.path()), None);
        assert_eq!(left_under(Path::new("/nowhere")), None);
    }

    #[test]
    fn too_much_is_refused_with_both_figures() {
        if memory().is_some() {
            let text = require_memory(1 << 60, "model m").expect_err("an exabyte").to_string();
            assert!(text.starts_with("model m takes 1073741824.00 GiB of memory, but only "), "{text}");
        }
        require_memory(1, "a byte").expect("there is one");
    }
}
