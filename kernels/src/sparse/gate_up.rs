//! The gate's product, and of `up` the rows that it lets live, in one pass.
//!
//! A live row is some hundred bytes anywhere in memory. Read by itself it costs the latency of memory: a core has only so many cache
//! misses under way, and 24 of 64 bytes in 100 ns are 15 GB/s, half of what the same core reads in one stream. The gate's matrix is such
//! a stream, which the hardware fetches ahead by other means. So each thread takes its rows of the gate [`CHUNK_ROWS`] at a time,
//! asks for what the new live elements need (their row of `up` and their column of `down`), and computes the rows of `up` that it asked
//! for in the chunk before: the pieces come in while the gate streams. `down` follows after a norm over all elements and finds its
//! columns in a cache.

use super::columns::ColumnWeights;
use super::{Level, SparseOps};
use crate::activation::QuantizedActivations;
use crate::descriptor::{Gemv, GemvI8};
use crate::error::KernelError;
use crate::f32_ops::F32Ops;
use crate::format::Packing;
use crate::kernel::{Kernel, same};
use crate::packed::PackedWeights;
use crate::parallel::{StridedStart, Team, row_range};
use crate::{AlignedBuffer, MAX_K_I8};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Rows of the gate between two looks at what has become live; at least a panel of the gate's packing.
const CHUNK_ROWS: usize = 32;

/// Rows of `up` that the widest path computes together.
pub(super) const GROUP: usize = 4;

/// Most rows of `up` that are computed at once: their sums are kept on the stack.
const MOST: usize = 64;

/// Room for the lists of live rows and for the input as the rows' products take it. Made once.
pub struct LiveRows {
    /// Each thread lists its own rows at its own place.
    list: Vec<u32>,
    /// The activations plane by plane: for each 256 of them the four operands of a 64-byte step, see the VNNI path.
    planes: AlignedBuffer<i8>,
}

impl LiveRows {
    /// Room for matrices of up to `rows` x `k`.
    pub fn new(rows: usize, k: usize) -> Self {
        Self { list: vec![0; rows], planes: AlignedBuffer::zeroed(crate::padded_k(k)) }
    }

    /// Copies activations into plane order: 32 of every 128, and the same 32 of the next 128 behind them.
    fn set_planes(&mut self, x: &[i8]) {
        for (target, x) in self.planes.as_chunks_mut::<256>().0.iter_mut().zip(x.as_chunks::<256>().0) {
            for plane in 0..4 {
                target[64 * plane..][..32].copy_from_slice(&x[32 * plane..][..32]);
                target[64 * plane + 32..][..32].copy_from_slice(&x[128 + 32 * plane..][..32]);
            }
        }
    }
}

/// What [`SparseOps::gate_up`] computes with.
#[derive(Clone, Copy)]
pub struct GateUp<'a> {
    /// The gate's kernel: exact on int8.
    pub kernel: &'a Kernel,
    /// Scales the integers.
    pub ops: F32Ops,
    /// The gate, in the kernel's packing.
    pub gate: &'a PackedWeights,
    /// `up`, of the same shape, by rows ([`Packing::I2s`]).
    pub up: &'a PackedWeights,
    /// The next matrix: columns of live elements are asked for.
    pub down: Option<&'a ColumnWeights>,
    /// Input of both.
    pub x: &'a QuantizedActivations,
    /// Values that replace the gate's products once these are computed: measurements set the live share with them.
    pub given: Option<&'a [f32]>,
}

/// Some rows of `up`: `y[i]` is the product of row `rows[i]`.
pub(super) struct Rows<'a> {
    pub codes: &'a [u8],
    pub row_bytes: usize,
    /// Below the number of rows in `codes`.
    pub rows: &'a [u32],
    pub planes: &'a [i8],
    pub x_sum: i32,
    pub y: &'a mut [i32],
}

impl SparseOps {
    /// `gate` gets all products, scaled; `up` gets its products, scaled, where the gate is above 0, and 0 elsewhere. Returns how many are
    /// above 0. The very values of two dense products; they do not depend on the number of threads. `integers` is scratch for
    /// the gate's rows. Allocates nothing.
    ///
    /// # Errors
    /// Another packing or code table, matrices of different shapes, wrong lengths, k above [`MAX_K_I8`], a kernel that is not exact on int8.
    pub fn gate_up(
        self,
        team: &mut Team,
        call: &GateUp<'_>,
        live: &mut LiveRows,
        integers: &mut [i32],
        gate: &mut [f32],
        up: &mut [f32],
    ) -> Result<usize, KernelError> {
        let (rows, k) = (call.up.rows(), call.up.k());
        self.check(call, live)?;
        same("gates", rows, gate.len())?;
        same("output", rows, up.len())?;
        if integers.len() < rows {
            return Err(KernelError::Shape { what: "integer scratch", expected: rows, actual: integers.len() });
        }
        if k > 0 {
            live.set_planes(call.x.padded());
        }
        let planes = &live.planes[..crate::padded_k(k)];
        let chunk = CHUNK_ROWS.next_multiple_of(call.gate.packing().panel_rows());
        let list = StridedStart::new(&mut live.list[..rows], rows);
        let (integers, gate, up) = (
            StridedStart::new(&mut integers[..rows], rows),
            StridedStart::new(gate, rows),
            StridedStart::new(up, rows),
        );
        let (threads, found, error) = (team.threads(), AtomicUsize::new(0), Mutex::new(None));
        team.run(&|number| {
            let own = row_range(rows, chunk, threads, number);
            if own.is_empty() {
                return;
            }
            // SAFETY: `row_range` gives every number of a team of `threads` its own rows and each number runs once, so no other
            // thread has this part of the four buffers, which stay borrowed until `Team::run` returns.
            let (mut list, mut integers, mut gate, mut up) = unsafe {
                (
                    list.columns(own.clone(), 1),
                    integers.columns(own.clone(), 1),
                    gate.columns(own.clone(), 1),
                    up.columns(own.clone(), 1),
                )
            };
            let part = Part {
                level: self.level,
                call,
                planes,
                own,
                list: list.token(0),
                integers: integers.token(0),
                gate: gate.token(0),
                up: up.token(0),
            };
            match part.run(chunk) {
                Ok(count) => drop(found.fetch_add(count, Ordering::Relaxed)),
                Err(e) => *error.lock().unwrap_or_else(PoisonError::into_inner) = Some(e),
            }
        });
        error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(found.into_inner()), Err)
    }

    fn check(self, call: &GateUp<'_>, live: &LiveRows) -> Result<(), KernelError> {
        let (rows, k) = (call.up.rows(), call.up.k());
        if call.up.packing() != Packing::I2s {
            let (expected, actual) = (Packing::I2s, call.up.packing());
            return Err(KernelError::PackingMismatch { kernel: self.id(), expected, actual });
        }
        if !call.up.table().is_ternary() {
            return Err(KernelError::CodeTable { kernel: self.id(), table: call.up.table().0 });
        }
        if k > MAX_K_I8 {
            return Err(KernelError::TooLarge { rows, k });
        }
        same("rows of the gate", rows, call.gate.rows())?;
        same("columns of the gate", k, call.gate.k())?;
        same("activations", k, call.x.len())?;
        same("columns of the next matrix", rows, call.down.map_or(rows, ColumnWeights::k))?;
        same("gates given", rows, call.given.map_or(rows, <[f32]>::len))?;
        same("room for rows", live.list.len().max(rows), live.list.len())?;
        same("room for activations", live.planes.len().max(crate::padded_k(k)), live.planes.len())
    }
}

/// One thread's rows.
struct Part<'a> {
    level: Level,
    call: &'a GateUp<'a>,
    planes: &'a [i8],
    own: Range<usize>,
    list: &'a mut [u32],
    integers: &'a mut [i32],
    gate: &'a mut [f32],
    up: &'a mut [f32],
}

impl Part<'_> {
    /// Returns how many rows are live.
    fn run(mut self, chunk: usize) -> Result<usize, KernelError> {
        let call = self.call;
        let no_scale = |w: &PackedWeights| KernelError::ScalesNotPerTensor { packing: w.packing() };
        let gate_factor = call.gate.tensor_scale().ok_or_else(|| no_scale(call.gate))? / call.x.scale();
        let up_factor = call.up.tensor_scale().ok_or_else(|| no_scale(call.up))? / call.x.scale();
        let (mut found, mut done) = (0, 0);
        for first in (0..self.own.len()).step_by(chunk) {
            let here = first..(first + chunk).min(self.own.len());
            let rows = self.own.start + here.start..self.own.start + here.end;
            let (integers, gate) = (&mut self.integers[here.clone()], &mut self.gate[here.clone()]);
            call.kernel.gemv_i8(call.gate, rows.clone(), call.x, integers)?;
            call.ops.scale_integers(integers, gate_factor, gate);
            if let Some(given) = call.given {
                gate.copy_from_slice(&given[rows.clone()]);
            }
            self.up[here].fill(0.0);
            let asked = found;
            // Every number is written and most are written over: no branch to guess wrong.
            for (row, &value) in rows.zip(gate.iter()) {
                self.list[found] = row as u32;
                found += usize::from(value > 0.0);
            }
            for &row in &self.list[asked..found] {
                ask_for(call, row as usize);
            }
            let whole = (asked - done) / GROUP * GROUP;
            self.rows_of_up(done..done + whole, up_factor);
            done += whole;
        }
        self.rows_of_up(done..found, up_factor);
        Ok(found)
    }

    /// The rows at these places of the list.
    fn rows_of_up(&mut self, places: Range<usize>, factor: f32) {
        let weights = self.call.up;
        let (codes, row_bytes, planes, x_sum) =
            (weights.code_bytes(), weights.packing().panel_bytes(weights.k()), self.planes, self.call.x.sum());
        let mut sums = [0i32; MOST];
        for rows in self.list[places].chunks(MOST) {
            let y = &mut sums[..rows.len()];
            if weights.k() > 0 {
                let args = Rows { codes, row_bytes, rows, planes, x_sum, y };
                match self.level {
                    Level::Scalar => one_by_one(crate::scalar_i8::DESCRIPTOR.operations.gemv, args, self.call.x),
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => one_by_one(crate::x86_64::avx2_i8::DESCRIPTOR.operations.gemv, args, self.call.x),
                    // SAFETY: `select` found the features; the list holds rows of a matrix with this many (checked in `check`).
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512Vnni => unsafe { super::avx512_vnni::rows(args) },
                }
            }
            // The same two operations as `F32Ops::scale_integers`, so the same bits.
            for (&row, &sum) in rows.iter().zip(&sums) {
                self.up[row as usize - self.own.start] = sum as f32 * factor;
            }
        }
    }
}

/// Asks for what a live element needs: its row of `up`, soon, and its column of `down`, after the norm.
#[inline]
fn ask_for(call: &GateUp<'_>, row: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use crate::x86_64::lanes::prefetch;
        let row_bytes = call.up.packing().panel_bytes(call.up.k());
        let codes = call.up.code_bytes()[row * row_bytes..].as_ptr();
        (0..row_bytes).step_by(64).for_each(|at| prefetch(codes, at));
        if let Some(down) = call.down {
            down.column(row).chunks(64).for_each(|line| prefetch(line.as_ptr(), 0));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (call, row);
}

/// The dense kernel of the same layout, called for each row: what these levels gain is the rows that are not read.
fn one_by_one(gemv: Gemv, args: Rows<'_>, x: &QuantizedActivations) {
    let Gemv::I8(gemv) = gemv else { unreachable!("both kernels take int8") };
    for (&row, y) in args.rows.iter().zip(args.y) {
        let (codes, y) = (&args.codes[row as usize * args.row_bytes..][..args.row_bytes], std::slice::from_mut(y));
        let (x, x_sum) = (x.padded(), args.x_sum);
        // SAFETY: `select` checked the features of the level that brought us here.
        unsafe { gemv(GemvI8 { codes, panel_bytes: args.row_bytes, x, x_sum, y }) };
    }
}
