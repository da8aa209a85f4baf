//! The machine, for receipts: what CPUID and the system say, and how busy it is.

use crate::machine::{emulated, memory};
use kernels::CpuFeatures;
use receipt::judge::doctor::{EMULATOR, cpus_listed};
use receipt::{Host, Load, Topology};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::OnceLock;
use sysinfo::{CpuRefreshKind, RefreshKind, System};

/// Bytes of last-level cache (64 MiB) assumed where the system does not say: larger than most.
pub const UNKNOWN_CACHE_BYTES: u64 = 64 << 20;

/// What a receipt says of the machine; `load_after` is filled in at the end of a run.
pub fn host() -> Host {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing())).ok();
    let name = system.as_ref().and_then(|s| s.cpus().first()).map(|cpu| cpu.brand().trim().to_owned());
    let mut host = Host {
        os: os(),
        arch: std::env::consts::ARCH.into(),
        cpu: name.filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".into()),
        family_model_stepping: None,
        cpus: cpus(),
        topology: topology(),
        features: CpuFeatures::detect().names().map(str::to_owned).collect(),
        caches_bytes: caches(),
        hypervisor: None,
        governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        memory_bytes: memory::total(),
        microcode: read("/proc/cpuinfo").and_then(|text| field(&text, "microcode")),
        affinity: affinity(),
        cgroup_cpus: memory::cpu_quota(),
        cgroup_memory_bytes: memory::limit(),
        load_before: load(),
        load_after: None,
        cores: Vec::new(),
    };
    cpuid(&mut host);
    if emulated::emulated() {
        // What the system says of the CPU is the machine's that emulates; its caches are what data lies in.
        host.hypervisor = Some(EMULATOR.into());
        host.cpu = format!("emulated {}", host.arch);
        (host.microcode, host.governor) = (None, None);
    }
    host
}

/// Sockets, cores, CPUs a core and memory nodes, where the system lists them.
fn topology() -> Option<Topology> {
    let folder = "/sys/devices/system/cpu";
    let numbered = |name: &str, prefix: &str| name.strip_prefix(prefix).and_then(|n| n.parse::<usize>().ok());
    let names = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    // A CPU that is switched off has no topology.
    let place = |cpu: usize| {
        let file = |name: &str| read(&format!("{folder}/cpu{cpu}/topology/{name}"))?.parse::<i64>().ok();
        Some((file("physical_package_id")?, file("core_id")?))
    };
    let cpus = names(folder).iter().filter_map(|name| place(numbered(name, "cpu")?)).collect::<Vec<_>>();
    let mut cores = HashMap::<(i64, i64), usize>::new();
    cpus.iter().for_each(|core| *cores.entry(*core).or_default() += 1);
    let sockets: HashSet<i64> = cpus.iter().map(|(socket, _)| *socket).collect();
    let nodes = names("/sys/devices/system/node").iter().filter(|name| numbered(name, "node").is_some()).count();
    Some(Topology {
        sockets: sockets.len(),
        cores: cores.len(),
        threads_per_core: *cores.values().max()?,
        memory_nodes: nodes.max(1),
    })
}

/// Whether so many bytes fit the last-level cache that the system reports; not where it reports none. Asked once.
pub fn fits_last_level(bytes: u64) -> bool {
    static LAST: OnceLock<Option<u64>> = OnceLock::new();
    LAST.get_or_init(|| host().caches_bytes.last().copied()).is_some_and(|last| bytes <= last)
}

/// Bytes of a core's second-level cache, if the system says.
pub fn l2_bytes() -> Option<u64> {
    host().caches_bytes.get(1).copied().filter(|bytes| *bytes > 0)
}

/// Number of CPUs that this process may use.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Which CPU this is, for tools that have a model of each, on x86-64: vendor as CPUID spells it (`AuthenticAMD`), and
/// family and model, the extended ones included.
pub fn cpu_identity() -> Option<(String, u32, u32)> {
    #[cfg(not(target_arch = "x86_64"))]
    return None;
    #[cfg(target_arch = "x86_64")]
    {
        let cpuid = raw_cpuid::CpuId::new();
        let info = cpuid.get_feature_info()?;
        let vendor = cpuid.get_vendor_info()?.as_str().to_owned();
        Some((vendor, info.family_id().into(), info.model_id().into()))
    }
}

#[cfg(target_arch = "x86_64")]
fn cpuid(host: &mut Host) {
    let cpuid = raw_cpuid::CpuId::new();
    if let Some(info) = cpuid.get_feature_info() {
        let [family, model, stepping] = [info.family_id(), info.model_id(), info.stepping_id()].map(u32::from);
        host.family_model_stepping = Some([family, model, stepping]);
    }
    if let Some(hypervisor) = cpuid.get_hypervisor_info() {
        host.hypervisor = Some(format!("{:?}", hypervisor.identify()));
    }
    if host.caches_bytes.is_empty() {
        let caches = cpuid.get_cache_parameters().into_iter().flatten();
        host.caches_bytes = caches
            .filter(|c| c.cache_type() != raw_cpuid::CacheType::Instruction)
            .map(|c| (c.sets() * c.associativity() * c.coherency_line_size() * c.physical_line_partitions()) as u64)
            .collect();
    }
}

/// Kinds of cores of an Arm CPU, and its name by them.
#[cfg(target_arch = "aarch64")]
fn cpuid(host: &mut Host) {
    use crate::machine::arm;
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing())).ok();
    let cpus = system.as_ref().map_or(&[][..], System::cpus);
    let named = |number: usize| {
        let cpu = cpus.iter().find(|cpu| cpu.name() == format!("cpu{number}"))?;
        Some((cpu.vendor_id().trim().to_owned(), cpu.brand().trim().to_owned()))
    };
    let capacity = |number| read(&format!("/sys/devices/system/cpu/cpu{number}/cpu_capacity"))?.parse().ok();
    host.cores = arm::cores(&read("/proc/cpuinfo").unwrap_or_default(), named, capacity);
    host.cpu = arm::name(&host.cores).unwrap_or_else(|| std::mem::take(&mut host.cpu));
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpuid(_: &mut Host) {}

/// What a file of the system says, without the space around it; none where it is empty or not there.
pub fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn os() -> String {
    let release = System::kernel_version().unwrap_or_default();
    format!("{} {release}", std::env::consts::OS).trim().to_owned()
}

/// Data and unified caches of the first CPU by level.
fn caches() -> Vec<u64> {
    let folder = |index: usize, file: &str| read(&format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{file}"));
    let mut caches: Vec<(u32, u64)> = (0..8)
        .filter(|&i| folder(i, "type").is_some_and(|t| t != "Instruction"))
        .filter_map(|i| Some((folder(i, "level")?.parse().ok()?, size(&folder(i, "size")?)?)))
        .collect();
    caches.sort_unstable();
    caches.into_iter().map(|(_, bytes)| bytes).collect()
}

/// `48K`, `32768K`, `1M`.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// CPUs on which the system may run this process, as a list.
fn affinity() -> Option<String> {
    field(&read("/proc/self/status")?, "Cpus_allowed_list")
}

/// The first value of `key: value`.
fn field(text: &str, key: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned())
}

/// Load average and CPU time stolen by other virtual machines, as of now.
pub fn load() -> Load {
    // Elsewhere sysinfo estimates it, beginning with 0.
    let load_1m = if cfg!(unix) { System::load_average().ok().map(|load| load.one) } else { None };
    let steal_ticks = read("/proc/stat").and_then(|text| text.lines().next()?.split_whitespace().nth(8)?.parse().ok());
    Load {
        load_1m,
        steal_ticks,
        cpus_online: online(),
        quota_stops: memory::quota_stops(),
        swapped_pages: read("/proc/vmstat").and_then(|text| swapped(&text)),
        thermal_throttles: thermal_throttles(),
    }
}

fn online() -> Option<usize> {
    read("/sys/devices/system/cpu/online").and_then(|list| cpus_listed(&list))
}

/// Pages swapped in and out since boot.
fn swapped(vmstat: &str) -> Option<u64> {
    let value = |key: &str| vmstat.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
    value("pswpin ")?.checked_add(value("pswpout ")?)
}

/// Times that the cores were too hot since boot, all of them together.
fn thermal_throttles() -> Option<u64> {
    let count = |cpu: usize| {
        read(&format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle/core_throttle_count"))?.parse::<u64>().ok()
    };
    (0..online()?).filter_map(count).reduce(|a, b| a.saturating_add(b))
}

/// What leaves this process fewer CPUs than the machine has, in words; empty where nothing does.
pub fn narrowed_by() -> String {
    narrowing(memory::cpu_quota(), affinity().as_deref(), online())
}

fn narrowing(quota: Option<f64>, affinity: Option<&str>, online: Option<usize>) -> String {
    let allowed = affinity.and_then(cpus_listed);
    let few = |a: usize, b: Option<usize>| b.is_none_or(|b| a < b);
    // As the standard library counts: whole CPUs of the quota, and one at least.
    // A list may name CPUs that are not there.
    let bound = allowed.into_iter().chain(online).min();
    let by_quota = quota.filter(|cpus| few((*cpus as usize).max(1), bound));
    match (by_quota, affinity.zip(allowed).filter(|(_, n)| few(*n, online))) {
        (Some(cpus), _) => format!(", because a control group allows {cpus:.2} CPUs of time"),
        (None, Some((list, _))) => {
            format!(", because it is bound to CPU(s) {list} (taskset, a cpuset or a container)")
        }
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_fewer_cpus_is_named() {
        let said = |quota, affinity, online| narrowing(quota, affinity, online);
        assert_eq!(said(Some(1.5), Some("0-7"), Some(8)), ", because a control group allows 1.50 CPUs of time");
        assert!(said(Some(6.0), Some("0-1,5"), Some(8)).starts_with(", because it is bound to CPU(s) 0-1,5 ("));
        assert_eq!([said(None, Some("0-7"), Some(8)), said(Some(9.0), Some("0-7"), Some(8))], ["", ""]);
        assert_eq!([said(None, None, None), said(Some(4.0), Some("0-63"), Some(2))], ["", ""]);
    }

    #[test]
    fn what_the_system_says_is_read() {
        assert_eq!(["48K", "1M", "512", "2X", ""].map(size), [Some(49152), Some(1 << 20), Some(512), None, None]);
        assert_eq!(field("a\t: 1\nmicrocode\t: 0xb0\n", "microcode").as_deref(), Some("0xb0"));
        assert_eq!(swapped("nr_free 5\npswpin 3\npswpout 40\n"), Some(43), "in and out");
        assert_eq!(swapped("nr_free 5\npswpin 3\n"), None);
    }

    #[test]
    fn a_host_has_a_cpu() {
        let host = host();
        assert!(host.cpus >= 1 && !host.os.is_empty() && host.caches_bytes.is_sorted());
    }
}
