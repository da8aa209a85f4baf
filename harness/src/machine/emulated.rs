//! Whether this CPU is emulated: then every count and every answer holds, and no time does.

use crate::error::{Error, Result};
use receipt::judge::doctor::emulated_in_words;

/// Environment variable that says so where nothing else does: any value but 0 and none.
const VARIABLE: &str = "TRITBENCH_EMULATED";

/// Whether this program runs on an emulated CPU.
pub fn emulated() -> bool {
    let said = std::env::var_os(VARIABLE).is_some_and(|value| !value.is_empty() && value != "0");
    let cpuinfo = || std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    said || cfg!(target_arch = "aarch64") && cpuinfo_of_another(&cpuinfo())
}

/// Whether an Arm program that reads this text of /proc/cpuinfo is emulated: qemu-user passes on that of the x86
/// machine, which names a `vendor_id`; Linux on Arm names a `CPU implementer`.
fn cpuinfo_of_another(cpuinfo: &str) -> bool {
    cpuinfo.lines().any(|line| line.split_once(':').is_some_and(|(key, _)| key.trim() == "vendor_id"))
}

/// The error (exit 5) of a command that times, where the CPU is emulated.
pub fn refuse_to_time() -> Result<()> {
    if !emulated() {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "this {} CPU is {}; verify, count, generate and perplexity work here",
        std::env::consts::ARCH,
        emulated_in_words()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_architectures_cpuinfo_is_an_emulators() {
        assert!(cpuinfo_of_another(include_str!("../../tests/cpuinfo/x86-64.txt")));
        for arm in [
            include_str!("../../tests/cpuinfo/aarch64-server.txt"),
            include_str!("../../tests/cpuinfo/aarch64-big-little.txt"),
            "",
        ] {
            assert!(!cpuinfo_of_another(arm));
        }
    }
}
