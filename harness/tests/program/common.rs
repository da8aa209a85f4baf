//! Running the program, a folder for each test, and the runs that several tests look at.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Arguments of the program: a text is split at its blanks, a list is taken as it is.
pub trait Words {
    fn words(&self) -> Vec<String>;
}

impl Words for str {
    fn words(&self) -> Vec<String> {
        self.split_whitespace().map(str::to_owned).collect()
    }
}

impl Words for String {
    fn words(&self) -> Vec<String> {
        self.as_str().words()
    }
}

impl<S: AsRef<str>> Words for [S] {
    fn words(&self) -> Vec<String> {
        self.iter().map(|word| word.as_ref().to_owned()).collect()
    }
}

impl<S: AsRef<str>, const N: usize> Words for [S; N] {
    fn words(&self) -> Vec<String> {
        self[..].words()
    }
}

/// The program under test.
pub fn program() -> String {
    assert_cmd::cargo::cargo_bin!("tritbench").display().to_string()
}

/// What starts the program: cargo's runner for this target, where there is one (an emulator), then its path.
pub fn start_words() -> Vec<String> {
    let target = env!("TRITBENCH_TARGET").to_uppercase().replace('-', "_");
    let mut words = std::env::var(format!("CARGO_TARGET_{target}_RUNNER")).unwrap_or_default().words();
    words.push(program());
    words
}

/// The program with arguments, both streams to be read.
pub fn command(args: &(impl Words + ?Sized)) -> Command {
    let start = start_words();
    let mut command = Command::new(&start[0]);
    command.args(&start[1..]).args(args.words()).env_remove("NO_COLOR").env_remove("TRITBENCH_CACHE");
    // Mesa's layer that picks a GPU looks for a display, and prints lines of its own when there is none.
    command.env("NODEVICE_SELECT", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs with `args`, whatever the outcome.
pub fn run(args: &(impl Words + ?Sized)) -> Output {
    command(args).output().expect("the program starts")
}

/// Starts with `args` in a folder.
pub fn start(folder: &Path, args: &(impl Words + ?Sized)) -> Child {
    command(args).current_dir(folder).spawn().expect("the program starts")
}

/// Runs, expects exit 0, returns what it prints.
pub fn printed(args: &(impl Words + ?Sized)) -> String {
    stdout(&succeeds(run(args)))
}

/// Runs, expects exit 0, parses stdout as JSON.
pub fn json(args: &(impl Words + ?Sized)) -> Value {
    parsed(&succeeds(run(args)))
}

pub fn succeeds(output: Output) -> Output {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    output
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8 on stdout")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8 on stderr")
}

/// stdout as JSON.
pub fn parsed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e} in {:?}{}", stdout(output), stderr(output)))
}

/// A JSON file.
pub fn read_json(path: impl AsRef<Path>) -> Value {
    let path = path.as_ref();
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The elements of an array in a JSON object.
pub fn list<'v>(value: &'v Value, key: &str) -> &'v Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("{key} is no array in {value:#}"))
}

/// A text in a JSON object.
pub fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is no text in {value:#}"))
}

/// Exit code `code`, nothing on stdout, and one `error:` line that has all `parts`. Returns the line.
pub fn refused(args: &(impl Words + ?Sized), code: i32, parts: &[&str]) -> String {
    let output = run(args);
    assert!(output.stdout.is_empty(), "{:?}: {}", args.words(), stdout(&output));
    ends_with_error(&output, code, parts)
}

/// Exit code `code` and one `error:` line, the last of stderr, that has all `parts`. Returns the line.
pub fn ends_with_error(output: &Output, code: i32, parts: &[&str]) -> String {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(errors.len(), 1, "{text}");
    assert_eq!(text.lines().last(), Some(errors[0]), "nothing after the error in {text}");
    assert!(!text.contains("panicked"), "{text}");
    for part in parts {
        assert!(errors[0].contains(part), "{part:?} is not in {:?}", errors[0]);
    }
    errors[0].to_owned()
}

/// A folder that goes with its test; what is in it by name, paths as text.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn at(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    pub fn has(&self, name: &str) -> bool {
        self.path().join(name).exists()
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Names in a folder below, in order.
    pub fn names(&self, below: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path().join(below)).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    pub fn make(&self, name: &str) -> String {
        std::fs::create_dir_all(self.path().join(name)).expect("made");
        self.at(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, bytes).expect("written");
        self.at(name)
    }

    /// A program that a shell runs.
    #[cfg(unix)]
    pub fn script(&self, name: &str, lines: &str) -> String {
        let path = self.write(name, format!("#!/bin/sh\n{lines}\n"));
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
        path
    }

    /// [`SMALL`] with more `rounds`: something to interrupt.
    pub fn small(&self, rounds: usize) -> String {
        self.write("small.toml", SMALL.replace("rounds = 4", &format!("rounds = {rounds}")))
    }

    /// [`TINY`] as a file.
    pub fn tiny(&self) -> String {
        self.write("tiny.toml", TINY)
    }
}

/// A scenario that takes a second: for tests of what surrounds the measuring.
pub const SMALL: &str = r#"
name = "small"
summary = "s"
analysis = "a"
kernels = ["scalar", "scalar-i8"]
model = "builtin"
[micro]
rounds = 4
epoch_us = 200
residency = ["cache"]
gemv = ["64x256"]
dequantize = ["1x256"]
[generate]
prompt = "ROMEO:"
max_tokens = 4
rounds = 2
"#;

/// A scenario that is gated in seconds: two kernels, one small matrix.
pub const TINY: &str = concat!(
    "name = \"tiny\"\nsummary = \"s\"\nanalysis = \"a\"\nkernels = [\"scalar\", \"scalar-i8\"]\n",
    "[micro]\nrounds = 50\nresidency = [\"cache\"]\ngemv = [\"64x256\"]\n",
);

/// A run of [`SMALL`] with 9 rounds, which several tests look at and none changes.
pub struct Run {
    pub out: String,
    /// What `compare --json` printed.
    pub printed: Value,
    pub receipt: Value,
}

pub static RUN: LazyLock<Run> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("a-run");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("made");
    let scenario = folder.join("small.toml");
    std::fs::write(&scenario, SMALL.replace("rounds = 4", "rounds = 9")).expect("written");
    let out = folder.join("run").display().to_string();
    let printed = json(&["compare", "--scenario", &scenario.display().to_string(), "--out", &out, "--json"]);
    Run { receipt: read_json(text(&printed, "receipt")), out, printed }
});

/// Exit code of a gate that came to a verdict about times.
pub fn verdict(output: &Output) -> i32 {
    let code = output.status.code().expect("no signal");
    assert!([0, 1, 3, 4].contains(&code), "{code}: {}", stderr(output));
    code
}

/// Whether ptrace is refused here, with the reason printed.
pub fn ptrace_is_refused(output: &Output) -> bool {
    let refused = output.status.code() == Some(5) && stderr(output).contains("ptrace is refused here");
    if refused {
        println!("skipped: {}", stderr(output).trim_end());
    }
    refused
}

/// Ids of the kernels that run on this CPU.
pub fn available_kernels() -> Vec<String> {
    let kernels = json("list kernels --json");
    let available = list(&kernels, "kernels").iter().filter(|kernel| kernel["available"] == true);
    available.map(|kernel| text(kernel, "id").to_owned()).collect()
}

/// Those of these kernels that take one f32 scale a tensor, as the built-in model has.
pub fn of_builtin(kernels: Vec<String>) -> Vec<String> {
    let takes = |id: &String| kernels::registry::find(id).is_none_or(|d| d.can_run(kernels::Needs::TERNARY).is_ok());
    kernels.into_iter().filter(takes).collect()
}

/// CPUs that this process may use.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The repository's `scenarios` folder.
pub fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// The committed run.
pub fn example() -> String {
    scenarios().join("../reports/example").display().to_string()
}

/// Waits for something that comes, however slow the machine is.
pub fn wait_for<T>(what: impl Fn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(300), "it never came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Sends a signal by its name; whether there was a process to take it.
#[cfg(unix)]
pub fn signal(id: u32, name: &str) -> bool {
    let script = ["-c", "kill -s \"$0\" \"$1\"", name, &id.to_string()];
    Command::new("sh").args(script).stderr(Stdio::null()).status().expect("sh runs").success()
}
