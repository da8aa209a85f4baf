//! One child as the gate sees it: a fresh process of one of the two builds.

use super::control::{CONTROL_BYTES, Control, Order, Spent};
use super::job::{ExactResult, Job, Offer, PROTOCOL, Reply, Request};
use crate::error::{Error, Result};
use crate::interrupt;
use receipt::Build;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// How long the gate waits for a child before it checks that the child still runs and that the user has not pressed
/// Ctrl-C.
const PATIENCE: Duration = Duration::from_millis(200);

/// A running child. Dropping it ends it.
pub struct Process {
    label: String,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    control: Control,
    stderr: PathBuf,
    /// What it was built from.
    pub build: Build,
    /// Every kernel that it has.
    pub kernels: Vec<Offer>,
}

impl Process {
    /// Starts `binary` for `job`; `folder` is for its control block and its stderr, `number` tells it from its
    /// partners.
    pub fn start(label: &str, binary: &Path, mut job: Job, folder: &Path, number: usize) -> Result<Self> {
        let control_path = folder.join(format!("control-{number}"));
        let stderr = folder.join(format!("stderr-{number}"));
        let made = |path: &Path| File::options().read(true).write(true).create(true).truncate(true).open(path);
        let file = made(&control_path).map_err(|e| Error::io("create", &control_path, &e))?;
        file.set_len(CONTROL_BYTES).map_err(|e| Error::io("write", &control_path, &e))?;
        let control = Control::map(&file).map_err(|e| Error::io("map", &control_path, &e))?;
        let log = made(&stderr).map_err(|e| Error::io("create", &stderr, &e))?;
        job.control = control_path.display().to_string();
        let mut child = Command::new(binary)
            .arg("gate-child")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log))
            .spawn()
            .map_err(|e| Error::unsupported(format!("cannot run {label} ({}): {e}", binary.display())))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::failed("a child process has no pipes"));
        };
        let stdout = BufReader::new(stdout);
        let build = crate::build_info::build();
        let mut process =
            Self { label: label.into(), child, stdin, stdout, control, stderr, build, kernels: Vec::new() };
        process.say(&job)?;
        match process.hear()? {
            Reply::Ready { protocol: PROTOCOL, build, kernels } => {
                (process.build, process.kernels) = (*build, kernels);
                Ok(process)
            }
            _ => Err(process.broken("it does not speak this gate's protocol; save the baseline again")),
        }
    }

    /// Asks for a cell without waiting for it, so that all children prepare at once.
    pub fn ask(&mut self, request: &Request) -> Result<()> {
        self.say(request)
    }

    /// The hashes of the cell asked for.
    pub fn prepared(&mut self) -> Result<Vec<String>> {
        match self.hear()? {
            Reply::Prepared { outputs } => Ok(outputs),
            _ => Err(self.broken("it answered out of turn")),
        }
    }

    /// The exact results asked for.
    pub fn exact(&mut self) -> Result<Vec<ExactResult>> {
        match self.hear()? {
            Reply::Exact { results } => Ok(results),
            _ => Err(self.broken("it answered out of turn")),
        }
    }

    /// The instructions asked for, and of what.
    pub fn counted(&mut self) -> Result<(Vec<u64>, String)> {
        match self.hear()? {
            Reply::Counted { instructions, subject } => Ok((instructions, subject)),
            _ => Err(self.broken("it answered out of turn")),
        }
    }

    /// Runs one epoch and waits for it.
    pub fn run(&mut self, entry: usize, calls: u32) -> Result<Spent> {
        self.control.order(Order::Run { entry: entry as u32, calls });
        loop {
            if let Some(spent) = self.control.spent(PATIENCE) {
                return Ok(spent);
            }
            if interrupt::requested() {
                return Err(Error::interrupted("interrupted during the gate; what was measured is saved"));
            }
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return Err(self.broken("it ended during a measurement"));
            }
        }
    }

    /// Lets the child leave the cell.
    pub fn leave(&self) {
        self.control.order(Order::Leave);
    }

    fn say(&mut self, value: &impl serde::Serialize) -> Result<()> {
        let mut line =
            serde_json::to_string(value).map_err(|e| Error::failed(format!("cannot write an order: {e}")))?;
        line.push('\n');
        let written = self.stdin.write_all(line.as_bytes()).and_then(|()| self.stdin.flush());
        // A closed pipe means that the child has ended: its last line says why.
        if written.is_err() { self.hear().map(|_| ()) } else { Ok(()) }
    }

    fn hear(&mut self) -> Result<Reply> {
        let mut line = String::new();
        let read = self.stdout.read_line(&mut line);
        if interrupt::requested() {
            return Err(Error::interrupted("interrupted during the gate; what was measured is saved"));
        }
        match read {
            Ok(n) if n > 0 => match serde_json::from_str(&line) {
                Ok(Reply::Error { message }) => Err(self.broken(&message)),
                Ok(reply) => Ok(reply),
                Err(_) => Err(self.broken("it does not know this gate; save the baseline again with a newer build")),
            },
            _ => {
                let log = std::fs::read_to_string(&self.stderr).unwrap_or_default();
                let last = log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it ended without a message");
                Err(self.broken(last))
            }
        }
    }

    fn broken(&self, why: &str) -> Error {
        Error::unsupported(format!("{}: {why}", self.label))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Killed, not asked to end: it has nothing to save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
