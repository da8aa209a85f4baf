//! The worker that is followed: code, registers, breakpoints.

use super::watchdog::Watchdog;
use crate::build_info;
use crate::count::call::{Call, Method, Subject};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::operation::recorded;
use crate::scenario::Shape;
use crate::worker::parent::{Patience, Worker};
use crate::worker::protocol::{Call as CallRequest, Reply, Request, Stopping};
use crate::worker::start::{Program, Setting, Speech};
use kernels::{Family, MASK_VARIABLE};
use nix::errno::Errno;
use nix::libc::user_regs_struct;
use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::sys::ptrace;
use nix::sys::signal::{self, Signal};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

const PAGE: u64 = 4096;
/// `int3`, one byte: raises SIGTRAP with the instruction pointer behind it.
const BREAKPOINT: u8 = 0xCC;
/// More instructions than any kernel needs for a weight.
const STEPS_PER_WEIGHT: u64 = 16;

/// How long an ended child may take until the system says how it ended.
const ENDING: Duration = Duration::from_secs(1);

/// A child that is stopped, unless a method is running it. Killed when dropped.
pub struct Tracee {
    pid: Pid,
    /// Kernel id.
    pub id: String,
    worker: Worker,
    watchdog: Watchdog,
    /// What the worker said before it stopped: where function and packed codes lie.
    pub ready: Stopping,
    memory: File,
    /// Code as it was before any breakpoint.
    pages: HashMap<u64, Box<[u8]>>,
    /// Addresses that hold a breakpoint now.
    breakpoints: HashMap<u64, u8>,
    stops: u64,
    ended: bool,
    _same_cpu: Option<SameCpu>,
}

impl Tracee {
    /// Starts a worker and waits until it has checked the kernel and stopped.
    pub fn start(subject: Subject<'_>, call: Call, method: Method) -> Result<Self> {
        let (program, patience) =
            (Program { path: build_info::own_program(), speech: Speech::Channel }, Patience::from_environment()?);
        // A bare environment: it lies on the worker's stack.
        let mask = std::env::var_os(MASK_VARIABLE).map(|mask| (MASK_VARIABLE.into(), mask));
        let environment = Some(mask.into_iter().collect());
        // What a library starts ends with it.
        let setting = Setting { environment, fixed_addresses: true, own_group: subject.library.is_some() };
        let id = subject.id.to_owned();
        let mut worker = Worker::start(&id, &program, setting, patience).map_err(|failed| failed.error)?;
        let Call { op, shape: Shape { m, k }, tokens, seed, scaling } = call;
        let (weight_group, activations) = scaling.recorded(Family::W2gA8);
        let weights = (m * k * tokens) as u64;
        let library = subject.library.map(|path| path.display().to_string());
        let (kernel, op) = (id.clone(), recorded(op));
        let call = CallRequest { kernel, op, m, k, tokens, seed, weight_group, activations, library };
        let request = Request::Call(call);
        let ready = match worker.ask(&request)? {
            Reply::Stopping(ready) if ready.kernel == id => ready,
            _ => return Err(worker.out_of_turn()),
        };
        // From here on it is traced by this thread, and every wait goes through `wait`.
        let pid = Pid::from_raw(worker.id().cast_signed());
        // A step is an instruction; a stop at a branch passes at least one.
        let stops = match method {
            Method::Steps => weights.saturating_mul(STEPS_PER_WEIGHT),
            Method::Branches => weights,
        };
        let memory = match File::open(format!("/proc/{pid}/mem")) {
            Ok(memory) => memory,
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => return Err(refused(e)),
            // It was there a moment ago.
            Err(_) => return Err(worker.ended()),
        };
        let mut tracee = Self {
            pid,
            id,
            memory,
            watchdog: Watchdog::new(pid, patience.followed(stops))
                .map_err(|e| Error::failed(format!("cannot start a thread: {e}")))?,
            worker,
            ready,
            pages: HashMap::new(),
            breakpoints: HashMap::new(),
            stops: 0,
            ended: false,
            _same_cpu: SameCpu::with(pid),
        };
        match tracee.wait()? {
            Signal::SIGSTOP => Ok(tracee),
            signal => Err(tracee.unexpected(signal)),
        }
    }

    fn registers(&self) -> Result<user_regs_struct> {
        ptrace::getregs(self.pid).map_err(|e| self.failed("read the registers of", e))
    }

    /// Sets the registers of the stopped child.
    pub fn set_registers(&self, registers: user_regs_struct) -> Result<()> {
        ptrace::setregs(self.pid, registers).map_err(|e| self.failed("set the registers of", e))
    }

    /// Up to 15 bytes of code, the longest an instruction can be. Fewer only at the end of mapped memory.
    pub fn code(&mut self, address: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(15);
        for at in [address, (address / PAGE + 1) * PAGE] {
            let (page, from) = (at / PAGE * PAGE, (at % PAGE) as usize);
            if !self.pages.contains_key(&page) {
                let mut content = vec![0; PAGE as usize].into_boxed_slice();
                match self.memory.read_exact_at(&mut content, page) {
                    Ok(()) => self.pages.insert(page, content),
                    Err(_) if !bytes.is_empty() => break,
                    Err(e) => {
                        let unread = || Error::failed(format!("{}: cannot read code at {address:#x}: {e}", self.id));
                        return Err(self.end().map_or_else(unread, |status| self.ended_early(status)));
                    }
                };
            }
            bytes.extend(self.pages[&page][from..].iter().take(15 - bytes.len()));
            if bytes.len() == 15 {
                break;
            }
        }
        Ok(bytes)
    }

    /// Lets the child go on until it has reached the instruction at `address`. Nothing else may stop the child.
    pub fn run_to(&mut self, address: u64) -> Result<user_regs_struct> {
        self.set_breakpoint(address)?;
        self.resume(|pid| ptrace::cont(pid, None))?;
        let mut registers = self.registers()?;
        registers.rip -= 1;
        if registers.rip != address {
            let (id, at) = (&self.id, registers.rip);
            return Err(Error::failed(format!("{id}: stopped at {at:#x} on the way to {address:#x}")));
        }
        Ok(registers)
    }

    /// Lets the child run one instruction, with `registers`: also where a breakpoint stands in its place.
    pub fn step(&mut self, registers: user_regs_struct) -> Result<user_regs_struct> {
        let covered = self.breakpoints.contains_key(&registers.rip);
        if covered {
            self.clear_breakpoint(registers.rip)?;
        }
        self.set_registers(registers)?;
        self.resume(|pid| ptrace::step(pid, None))?;
        if covered {
            self.set_breakpoint(registers.rip)?;
        }
        self.registers()
    }

    /// Takes all breakpoints out, lets the child go on with `registers`, and returns the hash that it reports.
    pub fn finish(&mut self) -> Result<String> {
        let breakpoints: Vec<u64> = self.breakpoints.keys().copied().collect();
        breakpoints.into_iter().try_for_each(|address| self.clear_breakpoint(address))?;
        ptrace::detach(self.pid, None).map_err(|e| self.failed("let go of", e))?;
        // The worker's own parent waits for its end from now on.
        self.ended = true;
        match self.worker.hear()? {
            Reply::Called { output_sha256 } => Ok(output_sha256),
            _ => Err(self.worker.out_of_turn()),
        }
    }

    fn set_breakpoint(&mut self, address: u64) -> Result<()> {
        if !self.breakpoints.contains_key(&address) {
            let original = self.code(address)?[0];
            self.write_byte(address, BREAKPOINT)?;
            self.breakpoints.insert(address, original);
        }
        Ok(())
    }

    /// Removes the breakpoint at `address`, if there is one.
    pub fn clear_breakpoint(&mut self, address: u64) -> Result<()> {
        match self.breakpoints.remove(&address) {
            Some(original) => self.write_byte(address, original),
            None => Ok(()),
        }
    }

    fn write_byte(&self, address: u64, byte: u8) -> Result<()> {
        let failed = |e| self.failed("change the code of", e);
        let at = address as ptrace::AddressType;
        let word = ptrace::read(self.pid, at).map_err(failed)?;
        ptrace::write(self.pid, at, word & !0xFF | i64::from(byte)).map_err(failed)
    }

    /// Resumes the child and waits for the SIGTRAP that says it did what was asked.
    fn resume(&mut self, go: impl Fn(Pid) -> nix::Result<()>) -> Result<()> {
        loop {
            go(self.pid).map_err(|e| self.failed("resume", e))?;
            match self.wait()? {
                Signal::SIGTRAP => return Ok(()),
                // Nothing that a kernel does, and ignored by default: a resized terminal, for example.
                Signal::SIGWINCH | Signal::SIGCHLD | Signal::SIGURG | Signal::SIGCONT => {}
                signal => return Err(self.unexpected(signal)),
            }
        }
    }

    /// Waits for the next stop and says which signal it is.
    fn wait(&mut self) -> Result<Signal> {
        self.stops += 1;
        if self.stops.is_multiple_of(1024) && interrupt::requested() {
            return Err(Error::interrupted(format!("interrupted while counting {}", self.id)));
        }
        loop {
            match waitpid(self.pid, Some(WaitPidFlag::__WALL)) {
                Ok(WaitStatus::Stopped(_, signal)) => return Ok(signal),
                Err(Errno::EINTR) => {}
                Ok(status @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) => {
                    self.ended = true;
                    self.worker.reaped();
                    return Err(self.ended_early(status));
                }
                Ok(_) => {}
                Err(e) => return Err(self.failed("wait for", e)),
            }
        }
    }

    fn ended_early(&self, status: WaitStatus) -> Error {
        if let Some(patience) = self.watchdog.bit() {
            return self.worker.late(patience);
        }
        let how = match status {
            WaitStatus::Exited(_, code) => format!("ended with exit code {code}"),
            WaitStatus::Signaled(_, signal, _) => format!("was ended by signal {} {signal}", signal as i32),
            other => format!("ended: {other:?}"),
        };
        self.worker.ended_with(&how)
    }

    /// How the child ended, if somebody ended it while it was stopped. It stays to be waited for.
    fn end(&self) -> Option<WaitStatus> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT | WaitPidFlag::__WALL;
        let start = Instant::now();
        // The system says that it is gone a moment before it says how.
        while start.elapsed() < ENDING {
            match waitid(Id::Pid(self.pid), flags) {
                Ok(status @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) => return Some(status),
                Ok(_) | Err(Errno::EINTR) => std::thread::sleep(Duration::from_millis(1)),
                Err(_) => return None,
            }
        }
        None
    }

    fn unexpected(&self, signal: Signal) -> Error {
        if interrupt::requested() || signal == Signal::SIGINT {
            return Error::interrupted(format!("interrupted while counting {}", self.id));
        }
        self.worker.ended_with(&format!("got signal {} {signal}", signal as i32))
    }

    fn failed(&self, what: &str, error: Errno) -> Error {
        match error {
            Errno::EPERM | Errno::EACCES | Errno::ENOSYS => refused(error),
            Errno::ESRCH if let Some(status) = self.end() => self.ended_early(status),
            _ => Error::failed(format!("{}: cannot {what} its worker: {error}", self.id)),
        }
    }
}

/// The error (exit 5) where the system refuses ptrace.
pub fn refused(why: impl std::fmt::Display) -> Error {
    Error::unsupported(format!(
        "ptrace is refused here ({why}), so instructions cannot be counted; in a container, run it with \
         --cap-add=SYS_PTRACE or a seccomp profile that allows ptrace"
    ))
}

impl Drop for Tracee {
    fn drop(&mut self) {
        if !self.ended {
            let _ = signal::kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, Some(WaitPidFlag::__WALL));
            self.worker.reaped();
        }
    }
}

/// Parent and worker on one CPU, which makes a stop two to three times as quick: no other CPU has to be woken. Undone
/// when dropped.
struct SameCpu(CpuSet);

impl SameCpu {
    fn with(child: Pid) -> Option<Self> {
        let this = Pid::from_raw(0);
        let before = sched_getaffinity(this).ok()?;
        let mut one = CpuSet::new();
        one.set(sched_getcpu().ok()?).ok()?;
        sched_setaffinity(child, &one).ok()?;
        sched_setaffinity(this, &one).ok()?;
        Some(Self(before))
    }
}

impl Drop for SameCpu {
    fn drop(&mut self) {
        let _ = sched_setaffinity(Pid::from_raw(0), &self.0);
    }
}
