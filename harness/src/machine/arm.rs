//! Which cores an Arm CPU has, from what Linux writes: /proc/cpuinfo and each CPU's relative capacity.

use receipt::CoreKind;

/// A CPU of the system, by its number.
#[derive(Debug, Default)]
struct Cpu {
    number: usize,
    implementer: Option<u32>,
    part: Option<u32>,
    variant: Option<u32>,
    revision: Option<u32>,
}

/// Cores of each kind, those with the largest capacity first. `cpuinfo` is the text of /proc/cpuinfo, `named` gives the
/// names of a CPU's implementer and part, as far as they have one, and `capacity` its relative capacity, 1024 for the
/// fastest. Empty for text of another architecture.
pub fn cores(
    cpuinfo: &str,
    named: impl Fn(usize) -> Option<(String, String)>,
    capacity: impl Fn(usize) -> Option<u32>,
) -> Vec<CoreKind> {
    let mut kinds: Vec<CoreKind> = Vec::new();
    for cpu in cpus(cpuinfo) {
        let (Some(implementer), Some(part)) = (cpu.implementer, cpu.part) else { continue };
        let (of_implementer, of_part) = named(cpu.number).unwrap_or_default();
        let or_number = |name: String, number: u32| if name.is_empty() { format!("{number:#x}") } else { name };
        let kind = CoreKind {
            implementer: or_number(of_implementer, implementer),
            part: or_number(of_part, part),
            revision: cpu.variant.zip(cpu.revision).map(|(variant, revision)| format!("r{variant}p{revision}")),
            capacity: capacity(cpu.number),
            cpus: 1,
        };
        match kinds.iter_mut().find(|other| CoreKind { cpus: 1, ..(*other).clone() } == kind) {
            Some(same) => same.cpus += 1,
            None => kinds.push(kind),
        }
    }
    // Stable: kinds without a capacity stay in the system's order.
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.capacity));
    kinds
}

/// What a receipt calls the CPU: its part, or its parts with how many CPUs each has.
pub fn name(kinds: &[CoreKind]) -> Option<String> {
    let one = |kind: &CoreKind| format!("{} {}", kind.implementer, kind.part);
    match kinds {
        [] => None,
        [kind] => Some(one(kind)),
        kinds => {
            let parts = kinds.iter().map(|kind| format!("{} x {}", kind.cpus, one(kind)));
            Some(parts.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A paragraph a CPU: `key : value` lines, the first of which is its number.
fn cpus(cpuinfo: &str) -> Vec<Cpu> {
    let mut cpus: Vec<Cpu> = Vec::new();
    for (key, value) in cpuinfo.lines().filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        let hex = value.strip_prefix("0x").map(|hex| u32::from_str_radix(hex, 16));
        let (key, Ok(number)) = (key.trim(), hex.unwrap_or_else(|| value.parse())) else { continue };
        if key == "processor" {
            cpus.push(Cpu { number: number as usize, ..Cpu::default() });
        }
        let Some(cpu) = cpus.last_mut() else { continue };
        match key {
            "CPU implementer" => cpu.implementer = Some(number),
            "CPU part" => cpu.part = Some(number),
            "CPU variant" => cpu.variant = Some(number),
            "CPU revision" => cpu.revision = Some(number),
            _ => {}
        }
    }
    cpus
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by the format's documentation: big and little cores of one implementer.
    const BIG_LITTLE: &str = include_str!("../../tests/cpuinfo/aarch64-big-little.txt");
    const SERVER: &str = include_str!("../../tests/cpuinfo/aarch64-server.txt");
    const X86: &str = include_str!("../../tests/cpuinfo/x86-64.txt");

    fn names(number: usize) -> Option<(String, String)> {
        let part = if number < 4 { "Cortex-A55" } else { "Cortex-A76" };
        Some(("ARM".into(), part.into()))
    }

    #[test]
    fn big_and_little_cores_are_told_apart() {
        let capacity = |number| Some(if number < 4 { 430 } else { 1024 });
        let kinds = cores(BIG_LITTLE, names, capacity);
        let parts: Vec<(&str, Option<&str>, Option<u32>, usize)> =
            kinds.iter().map(|k| (&*k.part, k.revision.as_deref(), k.capacity, k.cpus)).collect();
        let big = ("Cortex-A76", Some("r4p0"), Some(1024), 2);
        assert_eq!(parts, [big, ("Cortex-A55", Some("r2p0"), Some(430), 4)]);
        assert_eq!(name(&kinds).as_deref(), Some("2 x ARM Cortex-A76, 4 x ARM Cortex-A55"));
    }

    #[test]
    fn a_part_without_a_name_has_its_number() {
        let kinds = cores(SERVER, |_| None, |_| None);
        assert_eq!((kinds.len(), kinds[0].cpus), (1, 2));
        assert_eq!(name(&kinds).as_deref(), Some("0x41 0xd0c"));
    }

    #[test]
    fn another_architecture_has_no_such_cores() {
        assert_eq!(cores(X86, |_| None, |_| None), []);
        assert_eq!((cores("", |_| None, |_| None), name(&[])), (Vec::new(), None));
        let odd = "processor\t: x\nCPU part\t: 0xzz\n: :\nprocessor : 0\nCPU part : 0xd03\n";
        assert_eq!(cores(odd, |_| None, |_| None), [], "no implementer");
    }
}
