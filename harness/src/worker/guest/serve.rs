//! A session with a library: load, verify, time.

use super::super::channel::Channel;
use super::super::control::Control;
use super::super::protocol::{GuestReady, JobCell, Load, Reply, Request};
use super::super::speak::{error, next, say};
use super::super::visit::{Turns, Visit, parent};
use super::voice::Voice;
use super::{library, look};
use crate::error::{Error, Exit, Result};
use crate::machine::{Machine, MachineArgs};
use crate::measure::micro::operands::Operands;
use crate::measure::micro::ring::{Ring, Void};
use crate::measure::micro::{able, check, operand_seed};
use crate::operation;
use crate::registered;
use crate::runs::kernel_records;
use kernels::conformance;
use kernels::foreign;
use kernels::guarded::{Side, placed};
use kernels::{Kernel, KernelDescriptor};
use receipt::{RowStatus, VerifyRecord};
use std::cell::Cell;
use std::path::Path;

/// Loads the library and serves the parent until it stops.
pub fn serve(load: Load, mut channel: Channel) -> Result<()> {
    let mut guest = match Guest::new(load) {
        Ok(guest) => guest,
        Err(e) => return say(&mut channel, &error(&e)),
    };
    let ours = |record: &receipt::KernelRecord| guest.kernels.iter().any(|d| d.id == record.id);
    let kernels = kernel_records(&guest.machine).into_iter().filter(ours).collect();
    say(&mut channel, &Reply::Loaded { kernels })?;
    while let Some(request) = next(&mut channel)? {
        match request {
            Request::Stop => return Ok(()),
            Request::Size { kernel } => {
                let layout = guest.machine.kernel(&kernel).map(|kernel| kernel.descriptor().layout);
                let bits = layout.ok().map(kernels::Layout::bits_per_weight).filter(|bits| bits.is_finite());
                say(&mut channel, &Reply::Sized { bits_per_weight: bits })?;
            }
            Request::Verify { kernel } => {
                let reply =
                    guest.verify(&kernel).map_or_else(|e| error(&e), |record| Reply::Verified(Box::new(record)));
                say(&mut channel, &reply)?;
            }
            Request::Measure(cell) => match guest.measure(&cell, &mut channel) {
                Ok(()) => {}
                // Ended with it: the parent may be waiting for a turn.
                Err(Ended::Void(Void::Wrong(why))) => {
                    return say(&mut channel, &Reply::Fault { status: RowStatus::Wrong, why });
                }
                Err(Ended::Void(Void::Refused(why))) => {
                    return say(&mut channel, &Reply::Fault { status: RowStatus::Refused, why });
                }
                Err(Ended::Error(e)) => return say(&mut channel, &error(&e)),
            },
            Request::Voice(_) | Request::Compose(_) | Request::Turn(_) | Request::Score(_) => {
                let reply = guest.whole_text(request, &mut channel);
                say(&mut channel, &reply.unwrap_or_else(fault))?;
            }
            _ => say(&mut channel, &error(&Error::input("a library is loaded: this is not asked of it")))?,
        }
    }
    Ok(())
}

/// What is wrong with a kernel in a text: it says itself that it cannot, or it did something wrong.
fn fault(error: Error) -> Reply {
    let status = if error.exit() == Exit::Unsupported { RowStatus::Refused } else { RowStatus::Wrong };
    Reply::Fault { status, why: error.to_string() }
}

/// Why a measurement ended before the parent ended it.
enum Ended {
    Void(Void),
    Error(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Void> for Ended {
    fn from(void: Void) -> Self {
        Self::Void(void)
    }
}

/// A library in this process.
struct Guest {
    turns: Turns<'static>,
    machine: Machine,
    kernels: Vec<&'static KernelDescriptor>,
    seed: u64,
    copied_bytes: u64,
    /// The model and decoder of whole texts.
    voice: Option<Voice>,
}

impl Guest {
    fn new(load: Load) -> Result<Self> {
        if let Some(cpu) = load.cpu {
            core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
        }
        let control = Control::open(Path::new(&load.control))?;
        // For ever: calls are noted in it.
        let control: &'static Control = Box::leak(Box::new(control));
        foreign::note_in(control.note());
        let machine = MachineArgs::for_child(load.threads, load.cpu_features.clone()).check(1)?;
        look::begin().map_err(|e| Error::failed(format!("cannot give stdout a file of its own: {e}")))?;
        let library = Path::new(&load.library);
        let kernels = library::load(library)?;
        let taken = |what: String| Error::input(format!("--kernel-library {}: {what}", load.library));
        if let Some(left) = look::look() {
            return Err(taken(format!("{left} while it is loaded")));
        }
        foreign::look_after_each(look::look);
        registered::add(&kernels).map_err(taken)?;
        let turns = Turns { control, parent: parent(), inject: None };
        // A third, as in a gate: between two turns others read as much.
        let copied_bytes = load.last_level_cache_bytes / 3;
        Ok(Self { turns, machine, kernels, seed: load.seed, copied_bytes, voice: None })
    }

    /// The suite on operands between protected pages, at their starts and at their ends.
    fn verify(&self, id: &str) -> Result<VerifyRecord> {
        let kernel = self.machine.kernel(id)?;
        let mut record: Option<VerifyRecord> = None;
        for side in Side::BOTH {
            let outcome = placed(side, || conformance::verify(&kernel));
            let status = match (outcome.mismatches, outcome.refused) {
                (0, _) => RowStatus::Ok,
                (_, true) => RowStatus::Refused,
                _ => RowStatus::Wrong,
            };
            let bound = conformance::bound(&kernel);
            let mut now = crate::cmd::verify::record(id, outcome, bound, kernel.descriptor().exact(), None);
            now.status = status;
            if !status.is_ok() {
                return Ok(now);
            }
            now.cases += record.as_ref().map_or(0, |before| before.cases);
            record = Some(now);
        }
        record.ok_or_else(|| Error::failed("nothing was verified"))
    }

    /// A request of a whole text.
    fn whole_text(&mut self, request: Request, channel: &mut Channel) -> Result<Reply> {
        if let Request::Voice(job) = request {
            let kernel = self.machine.kernel(&job.kernel)?;
            let (voice, voiced) = Voice::new(*job, kernel, &self.machine, self.voice.take())?;
            self.voice = Some(voice);
            return Ok(Reply::Voiced(voiced));
        }
        let voice = self.voice.as_mut().ok_or_else(|| Error::failed("no model was loaded for a text"))?;
        match request {
            Request::Compose(job) => {
                let mut said = Ok(());
                // Decoding begins when the parent says so: its clock then counts no less than it takes.
                let composed = voice.compose(*job, || {
                    said =
                        say(channel, &Reply::Prompted).and_then(|()| next(channel)).and_then(|request| match request {
                            Some(Request::Continue) => Ok(()),
                            _ => Err(Error::failed("decoding was not asked for")),
                        });
                })?;
                said?;
                Ok(Reply::Composed(Box::new(composed)))
            }
            Request::Turn(job) => Ok(Reply::Turned(Box::new(voice.turn(&job)?))),
            Request::Score(job) => Ok(Reply::Scored(voice.score(&job)?)),
            _ => Err(Error::failed("this is no request of a text")),
        }
    }

    /// A kernel as a cell's family takes it: with scales of groups where these are the cell's.
    fn in_family(&self, kernel: Kernel, job: &JobCell) -> std::result::Result<Kernel, Ended> {
        let family = operation::family_of_kernels(job.family);
        if kernel.descriptor().family() == family {
            return Ok(kernel);
        }
        let grouped = kernel.descriptor().with_groups.filter(|grouped| grouped.family() == family);
        let grouped = grouped.ok_or_else(|| Void::Refused(format!("it is no kernel of {family}")))?;
        let kernel = Kernel::new(grouped, self.machine.features).map_err(|why| Void::Refused(why.to_string()))?;
        let cell = job.product().ok_or_else(|| Error::input("a library's kernels are timed on matrices here"))?;
        able(cell, &kernel).map_err(Void::Refused)?;
        Ok(kernel)
    }

    /// Prepares a cell, checks it, says so, and takes turns until the parent leaves it.
    fn measure(&mut self, job: &JobCell, channel: &mut Channel) -> std::result::Result<(), Ended> {
        let kernel = self.in_family(self.machine.kernel(&job.kernel)?, job)?;
        let cell = job.product().ok_or_else(|| Error::input("a library's kernels are timed on matrices here"))?;
        refuse_shape(&kernel, job)?;
        let seed = operand_seed(self.seed, cell, kernel.descriptor().family());
        let operands = Operands::new(cell, &[kernel], self.copied_bytes, self.machine.features, seed).map_err(unfit)?;
        let mut team = self.machine.team()?;
        let checked = check::check(cell, &operands, &[kernel], &mut team);
        let checked = checked.map_err(unfit)?.remove(0);
        let next = Cell::new(0);
        let mut ring = Ring::new(cell, &operands, kernel, &next)?;
        let bytes_per_call = operands.copies(kernel.descriptor().layout)[0].bytes() as u64;
        let copies = operands.copies(kernel.descriptor().layout).len();
        let name = kernel.descriptor().long_name(cell.op);
        let prepare = ring.prepare_alone()?;
        let mut prepared = |output: String| {
            let (oracle, max_abs_error, name) = (checked.oracle.to_owned(), checked.max_abs_error, name.clone());
            let ready = GuestReady { output, oracle, max_abs_error, name, bytes_per_call, copies, prepare };
            say(channel, &Reply::GuestReady(Box::new(ready)))
        };
        let mut void = None;
        let visit = Visit { cell: job, kernel, oracle: true, turns: &self.turns, prepared: &mut prepared };
        let ended = visit.run(checked.output_sha256.clone(), |calls| {
            ring.run(&mut team, calls, &look::look).map_err(|e| {
                void = Some(match e {
                    Void::Refused(why) => Void::Wrong(format!("takes the shape, and then refuses a timed call: {why}")),
                    wrong => wrong,
                });
                Error::failed("void")
            })
        });
        match (void, ended) {
            (Some(void), _) => Err(Ended::Void(void)),
            (None, ended) => Ok(ended?),
        }
    }
}

/// Why a kernel cannot be timed on operands: it said so, or it did something wrong.
fn unfit(error: Error) -> Ended {
    let refused = error.exit() == Exit::Unsupported;
    Ended::Void(if refused { Void::Refused(error.to_string()) } else { Void::Wrong(error.to_string()) })
}

/// What the kernel's fields say against a shape, before anything is made for it.
fn refuse_shape(kernel: &Kernel, job: &JobCell) -> std::result::Result<(), Ended> {
    let Some(foreign) = kernel.descriptor().foreign_kernel() else { return Ok(()) };
    if foreign.takes(job.m, job.k) {
        return Ok(());
    }
    let (rows, k) = (foreign.rows_multiple(), foreign.k_multiple());
    Err(Void::Refused(format!("{}x{}: it takes rows that are a multiple of {rows}, and k of {k}", job.m, job.k)).into())
}
