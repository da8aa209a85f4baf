//! Asks llvm-mca, where it is installed, how many cycles the hot loop takes on a model of this CPU, or, of an emulated
//! Arm, on models of those that many have.

mod pressure;

use crate::machine::host;
use receipt::PortCycles;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// llvm-mca's answer: the loop on a model of a CPU with all data in the first-level cache and no wrong guesses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StaticModel {
    /// Name and version of the tool, llvm-mca.
    pub tool: String,
    /// CPU that was modelled, by the tool's name for it.
    pub cpu: String,
    /// Whether the modelled CPU is this machine's, and not only the nearest one that the tool knows.
    pub same_cpu: bool,
    /// Cycles a pass that ports and dispatch allow, dependencies aside: the ceiling.
    pub throughput_cycles: f64,
    /// Cycles a pass as simulated, dependencies included.
    pub simulated_cycles: f64,
    /// `throughput_cycles` for each 64 weights.
    pub throughput_cycles_per_64_weights: f64,
    /// `simulated_cycles` for each 64 weights.
    pub simulated_cycles_per_64_weights: f64,
}

impl StaticModel {
    /// What a receipt keeps of it: the cycles that ports and dispatch allow, and by which model.
    pub fn ports(&self) -> PortCycles {
        PortCycles {
            tool: self.tool.clone(),
            cpu: self.cpu.clone(),
            same_cpu: self.same_cpu,
            cycles_per_64_weights: self.throughput_cycles_per_64_weights,
        }
    }
}

/// Cycles that one instruction keeps each port busy, by the port's name; ports that it leaves alone are left out.
pub type Pressure = Vec<(String, f64)>;

/// The llvm-mca program and the CPU models to ask, or why there is none.
pub struct Model {
    tools: Result<Vec<Tool>, String>,
}

struct Tool {
    path: PathBuf,
    version: String,
    cpu: &'static str,
    same_cpu: bool,
}

impl Model {
    /// No static model, for counts alone.
    pub fn none() -> Self {
        Self { tools: Err("not asked for".into()) }
    }

    /// Looks for the newest `llvm-mca` or `llvm-mca-NN` on PATH, and for the model nearest to this CPU that it has; on
    /// an Arm CPU for each of [`ARM`].
    pub fn find() -> Self {
        Self { tools: find() }
    }

    /// Why there is no static model, in one line that says how to get one.
    pub fn absent(&self) -> Option<&str> {
        self.tools.as_ref().err().map(String::as_str)
    }
}

/// CPUs that stand for those of servers and of laptops, by llvm-mca's names. None is the machine that counts.
const ARM: [&str; 4] = ["neoverse-n1", "neoverse-v1", "neoverse-v2", "apple-m1"];

/// Architecture of the code, as llvm-mca is told.
const TRIPLE: &str = if cfg!(target_arch = "aarch64") { "-mtriple=aarch64" } else { "-mtriple=x86_64" };

fn find() -> Result<Vec<Tool>, String> {
    let nearest = host::cpu_identity().and_then(|(vendor, family, model)| nearest_model(&vendor, family, model));
    if nearest.is_none() && !cfg!(target_arch = "aarch64") {
        return Err("no static cycles: llvm-mca has no model that is known to fit this CPU".into());
    }
    let Some((newest, path)) = on_path().into_iter().filter_map(|p| Some((version(&p)?, p))).max() else {
        return Err("no static cycles: llvm-mca is not installed; on Debian and Ubuntu: apt-get install llvm-19".into());
    };
    let numbers: Vec<String> = newest.iter().map(u32::to_string).collect();
    let version = numbers.join(".");
    let tool = |cpu, same_cpu| Tool { path: path.clone(), version: version.clone(), cpu, same_cpu };
    let none = |names: &[&str]| {
        format!(
            "no static cycles: llvm-mca {version} has no model of {}; on Debian and Ubuntu: apt-get install llvm-19",
            names.join(" or ")
        )
    };
    let Some((names, same)) = nearest else {
        // Not all that it takes are in its list.
        let known = ARM.into_iter().filter(|cpu| run(&path, cpu, "nop\n").is_ok());
        let tools: Vec<Tool> = known.map(|cpu| tool(cpu, false)).collect();
        return if tools.is_empty() { Err(none(&ARM)) } else { Ok(tools) };
    };
    let known = output(&path, &[TRIPLE, "-mcpu=help"]).unwrap_or_default();
    let has = |cpu: &str| known.lines().any(|line| line.split_whitespace().next() == Some(cpu));
    let own = |cpu: &str| run(&path, cpu, "nop\n").is_ok_and(|report| has_own_ports(&report, cpu));
    let known = || names.iter().copied().filter(|cpu| has(cpu));
    let cpu = known().find(|cpu| own(cpu)).or_else(|| known().next()).ok_or_else(|| none(names))?;
    Ok(vec![tool(cpu, same && cpu == names[0] && own(cpu))])
}

/// Names of llvm-mca's models for a CPU, the best first, and whether that is this very CPU.
fn nearest_model(vendor: &str, family: u32, model: u32) -> Option<(&'static [&'static str], bool)> {
    let names: &[&str] = match (vendor, family, model) {
        ("AuthenticAMD", 0x17, 0..=0x2f) => &["znver1"],
        ("AuthenticAMD", 0x17, _) => &["znver2"],
        ("AuthenticAMD", 0x19, 0x10..=0x1f | 0x60..=0x7f | 0xa0..=0xaf) => &["znver4"],
        ("AuthenticAMD", 0x19, _) => &["znver3"],
        // LLVM 19 knows the name znver5 and schedules it like znver4 (compared: every gemv loop here takes the same
        // cycles on both), which has half of Zen 5's 512-bit units. So znver5 is not reported as this CPU's own model.
        ("AuthenticAMD", 0x1a, _) => return Some((&["znver4"], false)),
        ("GenuineIntel", 6, 0x3c | 0x3f | 0x45 | 0x46) => &["haswell"],
        ("GenuineIntel", 6, 0x3d | 0x47 | 0x4f | 0x56) => &["broadwell"],
        ("GenuineIntel", 6, 0x4e | 0x5e | 0x8e | 0x9e | 0xa5 | 0xa6) => &["skylake"],
        ("GenuineIntel", 6, 0x55) => &["skylake-avx512"],
        ("GenuineIntel", 6, 0x6a | 0x6c) => &["icelake-server"],
        ("GenuineIntel", 6, 0x7d | 0x7e) => &["icelake-client", "icelake-server"],
        ("GenuineIntel", 6, 0x8c | 0x8d) => &["tigerlake", "icelake-server"],
        ("GenuineIntel", 6, 0x97 | 0x9a | 0xb7 | 0xba | 0xbf) => &["alderlake"],
        ("GenuineIntel", 6, 0x8f | 0xcf) => &["sapphirerapids", "icelake-server"],
        _ => return None,
    };
    Some((names, true))
}

fn on_path() -> Vec<PathBuf> {
    let named = |path: &Path| {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
        name == "llvm-mca" || name.strip_prefix("llvm-mca-").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let entries = std::env::split_paths(&path).filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| named(path)).collect()
}

fn version(tool: &Path) -> Option<Vec<u32>> {
    let text = output(tool, &["--version"])?;
    let number = text.split("LLVM version ").nth(1)?.split_whitespace().next()?;
    Some(number.split('.').map_while(|part| part.parse().ok()).collect())
}

/// stdout and stderr of a short call without input.
fn output(tool: &Path, args: &[&str]) -> Option<String> {
    let done = Command::new(tool).args(args).stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
}

/// Instructions that are simulated about: filling and draining a core, some 50 cycles, is below 1% of them.
const SIMULATED: usize = 50_000;

/// The tool's report on some code.
fn run(tool: &Path, cpu: &str, assembly: &str) -> Result<String, String> {
    let passes = (SIMULATED / assembly.lines().count().max(1)).clamp(100, 1000);
    piped(Command::new(tool).arg(format!("-mcpu={cpu}")).arg(TRIPLE).arg(format!("-iterations={passes}")), assembly)
}

/// What a tool of LLVM's prints of a text, or its first error.
fn piped(command: &mut Command, text: &str) -> Result<String, String> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that stops reading says why on stderr.
        let _ = stdin.write_all(text.as_bytes());
    }
    let done = child.wait_with_output().map_err(|e| e.to_string())?;
    if !done.status.success() {
        let errors = String::from_utf8_lossy(&done.stderr);
        let error = errors.lines().find(|line| line.contains("error"));
        return Err(error.unwrap_or("it failed without a message").trim().into());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Whether the tool has ports of this CPU's own. A release that knows a new name may schedule it as an older CPU:
/// `sapphirerapids` has the ports of `skylake-avx512` in LLVM 14.
fn has_own_ports(report: &str, cpu: &str) -> bool {
    let prefix = match cpu {
        "haswell" => "HW",
        "broadwell" => "BW",
        "skylake" => "SKL",
        "skylake-avx512" => "SKX",
        "icelake-server" | "icelake-client" | "tigerlake" => "ICX",
        "sapphirerapids" => "SPR",
        "alderlake" => "ADLP",
        "znver2" => "Zn2",
        "znver3" => "Zn3",
        "znver4" => "Zn4",
        "znver1" => "Zn",
        _ => return false,
    };
    let first = report.lines().find_map(|line| line.strip_prefix("[0]")?.trim().strip_prefix("- "));
    first.is_some_and(|resource| resource.starts_with(prefix))
}

impl Model {
    /// Cycles of a loop of which a pass is `assembly`, by each model: none without a tool, an error in one line where
    /// the tool does not answer.
    pub fn ask(&self, assembly: &str, weights_per_pass: f64) -> Vec<Result<StaticModel, String>> {
        let tools = self.tools.iter().flatten();
        tools.map(|tool| tool.ask(assembly, weights_per_pass)).collect()
    }

    /// The assembly of instructions of Arm, a line each, by the tool's sibling that decodes them; empty without a tool.
    ///
    /// # Errors
    /// One line, where the sibling is missing or does not decode them.
    #[cfg(all(target_os = "linux", target_arch = "aarch64"))]
    pub fn disassembled(&self, code: &[u32]) -> Result<String, String> {
        let Some(tool) = self.tools.iter().flatten().next() else { return Ok(String::new()) };
        let name = tool.path.file_name().and_then(|name| name.to_str()).unwrap_or("llvm-mca");
        let decoder = tool.path.with_file_name(name.replacen("llvm-mca", "llvm-mc", 1));
        let bytes = code.iter().flat_map(|op| op.to_le_bytes()).map(|byte| format!("{byte:#04x} "));
        let mut command = Command::new(&decoder);
        let text =
            piped(command.args(["--disassemble", "--triple=aarch64", "-mattr=+all"]), &bytes.collect::<String>());
        let text = text.map_err(|why| format!("{}: {why}", decoder.display()))?;
        // Directives are no instructions.
        Ok(text.lines().filter(|line| !line.trim_start().starts_with('.')).map(|line| format!("{line}\n")).collect())
    }
}

impl Tool {
    fn ask(&self, assembly: &str, weights_per_pass: f64) -> Result<StaticModel, String> {
        let failed = |why: String| format!("llvm-mca {} on {}: {why}", self.version, self.cpu);
        let report = run(&self.path, self.cpu, assembly).map_err(failed)?;
        let [throughput_cycles, simulated_cycles] =
            cycles(&report).ok_or_else(|| failed("its report has no cycles".into()))?;
        let per_64 = |cycles: f64| cycles * 64.0 / weights_per_pass;
        Ok(StaticModel {
            tool: format!("llvm-mca {}", self.version),
            cpu: self.cpu.into(),
            same_cpu: self.same_cpu,
            throughput_cycles,
            simulated_cycles,
            throughput_cycles_per_64_weights: per_64(throughput_cycles),
            simulated_cycles_per_64_weights: per_64(simulated_cycles),
        })
    }
}

/// Block throughput and simulated cycles of one pass.
fn cycles(report: &str) -> Option<[f64; 2]> {
    let value = |name: &str| {
        let line = report.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().parse::<f64>().ok()
    };
    Some([value("Block RThroughput")?, value("Total Cycles")? / value("Iterations")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read() {
        let report = "Iterations:        1000\nInstructions:      3000\nTotal Cycles:      8005\nTotal uOps:        \
                      3000\n\nDispatch Width:    6\nuOps Per Cycle:    0.37\nIPC:               0.37\nBlock \
                      RThroughput: 1.5\n";
        assert_eq!(cycles(report), Some([1.5, 8.005]));
        assert_eq!(cycles("Iterations: 3\n"), None);
    }

    #[test]
    fn a_name_without_ports_of_its_own_is_no_model_of_that_cpu() {
        let report = "Iterations: 1000\n\nResources:\n[0]   - SKXDivider\n[1]   - SKXFPDivider\n[2]   - SKXPort0\n";
        assert!(has_own_ports(report, "skylake-avx512"));
        assert!(!has_own_ports(report, "sapphirerapids") && !has_own_ports(report, "skylake"));
        assert!(!has_own_ports("", "skylake-avx512") && !has_own_ports(report, "someone-elses"));
    }

    #[test]
    fn cpus_have_models() {
        let nearest =
            |vendor, family, model| nearest_model(vendor, family, model).map(|(names, same)| (names[0], same));
        assert_eq!(nearest("AuthenticAMD", 0x19, 0x11), Some(("znver4", true)));
        assert_eq!(nearest("AuthenticAMD", 0x19, 0x21), Some(("znver3", true)));
        assert_eq!(nearest("AuthenticAMD", 0x1a, 2), Some(("znver4", false)));
        assert_eq!(nearest("GenuineIntel", 6, 0x8f), Some(("sapphirerapids", true)));
        assert_eq!(nearest("CentaurHauls", 7, 1), None);
    }
}
