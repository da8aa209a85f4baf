//! Timed calls that cannot be answered from memory: each multiplies activations of its own, which nobody has seen
//! before, into an output of its own, poisoned with a word that a group of calls shares. When the clock has stopped,
//! every element must have been written, nothing beside them, and rows drawn by a number that is made only then must be
//! the oracle's. So kernels run wherever a foreign one is in the cell, all of them.

use super::operands::{Operands, scale};
use crate::measure::own_threads::Busy;
use crate::measure::rounds::{Spent, timed};
use crate::scenario;
use kernels::conformance::{Expected, F32_BOUND, compare};
use kernels::foreign::{Call, ForeignKernel, Prepared, Work};
use kernels::parallel::Team;
use kernels::random::SplitMix64;
use kernels::{
    AlignedBuffer, Family, FloatActivations, Kernel, KernelError, PackedWeights, QuantizedActivations, reference,
};
use kernels::{CodeTable, Operation};
use receipt::{Prepare, Residency, judge};
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::ops::Range;

/// Bytes of activations and outputs that a ring may have: few, so that they take no room of the weights in a cache.
const RING_BYTES: usize = 96 << 10;
/// Fewest and most calls before the inputs are made anew.
const CALLS: Range<usize> = 1..65;
/// Elements behind each output that may not change.
const BESIDE: usize = 16;
/// What they hold.
const CANARY: i32 = 0x5AA5_C33C;
/// Elements of each call's output that are computed once more by the oracle.
const DRAWN: usize = 4;
/// Times that the tokens of all calls are prepared by themselves.
const PREPARES: usize = 15;

/// Why a timed call is void.
#[derive(Debug)]
pub enum Void {
    /// The kernel's own words.
    Refused(String),
    /// What is wrong with it.
    Wrong(String),
}

impl From<KernelError> for Void {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::Foreign { fault: kernels::foreign::Fault::Refused(_), .. } => Self::Refused(error.to_string()),
            error => Self::Wrong(error.to_string()),
        }
    }
}

/// The calls of one kernel in one cell.
pub struct Ring<'a> {
    cell: scenario::Cell,
    operands: &'a Operands,
    kernel: Kernel,
    foreign: Option<&'static ForeignKernel>,
    weights: &'a [PackedWeights],
    /// The copy that was used last: shared by all rings of a process, so that none finds what another just loaded.
    next: &'a Cell<usize>,
    inputs: Vec<Vec<QuantizedActivations>>,
    floats: Vec<FloatActivations>,
    prepared: Vec<Prepared>,
    /// One after the other, each with [`BESIDE`] elements behind it.
    outputs: AlignedBuffer<i32>,
    random: SplitMix64,
    poison: i32,
    /// Of the timed calls.
    busy: Busy,
}

impl<'a> Ring<'a> {
    /// Room for the calls.
    pub fn new(
        cell: scenario::Cell,
        operands: &'a Operands,
        kernel: Kernel,
        next: &'a Cell<usize>,
    ) -> Result<Self, Void> {
        let foreign = kernel.descriptor().foreign_kernel();
        let (m, k, tokens) = (cell.shape.m, cell.shape.k, cell.tokens);
        let copies = operands.copies(kernel.descriptor().layout);
        let weights = if cell.residency == Residency::Dram { copies } else { &copies[..1] };
        let bytes = tokens * (k + 4 * m);
        let calls = (RING_BYTES / bytes.max(1)).clamp(CALLS.start, CALLS.end - 1);
        let float = kernel.descriptor().family() == Family::W2A32;
        let rule = operands.quantized()[0].rule();
        let inputs = (0..calls).map(|_| vec![QuantizedActivations::by_rule(k, rule); tokens]).collect();
        let floats = if float { vec![FloatActivations::new(k); calls] } else { Vec::new() };
        let prepared = |foreign| (0..calls).map(|_| Prepared::new(foreign, &weights[0], tokens)).collect();
        let prepared: Vec<Prepared> = foreign.map_or(Ok(Vec::new()), prepared)?;
        let outputs = AlignedBuffer::zeroed(calls * (m * tokens + BESIDE));
        // What nobody has seen comes from the system.
        let random = SplitMix64::new(RandomState::new().hash_one(kernel.id()));
        Ok(Self {
            cell,
            operands,
            kernel,
            foreign,
            weights,
            next,
            inputs,
            floats,
            prepared,
            outputs,
            random,
            poison: 0,
            busy: Busy::default(),
        })
    }

    /// What preparing a token takes by itself, each time of activations that nobody has seen; none of ours.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn prepare_alone(&mut self) -> Result<Option<Prepare>, Void> {
        let calls = self.inputs.len();
        let mut ns_per_token = Vec::new();
        for _ in 0..PREPARES {
            self.renew(calls);
            let spent = timed(|| self.prepare(calls))?;
            ns_per_token.push(spent.ns as f64 / (calls * self.cell.tokens) as f64);
        }
        let bytes = self.prepared.first().map(Prepared::bytes_per_token);
        let ns_per_token = judge::stats::median(&ns_per_token);
        Ok(bytes.map(|bytes| Prepare { ns_per_token, bytes_per_token: bytes as u64 }))
    }

    /// Prepares the tokens of these calls.
    fn prepare(&mut self, calls: usize) -> Result<(), KernelError> {
        for (call, prepared) in self.prepared.iter_mut().take(calls).enumerate() {
            prepare(prepared, &self.inputs[call], self.floats.get(call))?;
        }
        Ok(())
    }

    fn stride(&self) -> usize {
        self.cell.shape.m * self.cell.tokens + BESIDE
    }

    /// Makes so many calls; only the calls themselves are timed.
    ///
    /// # Errors
    /// The first call that is void.
    pub fn run(&mut self, team: &mut Team, mut calls: u32, look: &dyn Fn() -> Option<String>) -> Result<Spent, Void> {
        let mut spent = Spent { ns: 0, cpu_ns: 0, involuntary_switches: 0 };
        while calls > 0 {
            let now = (calls as usize).min(self.inputs.len());
            self.renew(now);
            let mut busy = self.busy;
            let Spent { ns, cpu_ns, involuntary_switches } = busy.over(|| timed(|| self.calls(team, now)))?;
            self.busy = busy;
            spent.ns += ns;
            spent.cpu_ns += cpu_ns;
            spent.involuntary_switches += involuntary_switches;
            if let Some(left) = look() {
                return Err(self.wrong(left));
            }
            self.check(now)?;
            calls -= now as u32;
        }
        // Ours have the team's threads alone.
        let too_many = self.foreign.and_then(|_| self.busy.too_many(team.threads()));
        too_many.map_or(Ok(spent), |what| Err(self.wrong(what)))
    }

    fn wrong(&self, what: impl std::fmt::Display) -> Void {
        let scenario::Cell { op, shape, tokens, .. } = self.cell;
        let batch = if op == Operation::Gemm { format!(" x {tokens} tokens") } else { String::new() };
        Void::Wrong(format!("timed {op} {}x{}{batch}: {what}", shape.m, shape.k))
    }

    /// New activations and poison.
    fn renew(&mut self, calls: usize) {
        let (k, stride) = (self.cell.shape.k, self.stride());
        let of_groups = self.kernel.descriptor().family() == Family::W2gA8;
        for input in self.inputs[..calls].iter_mut().flatten() {
            // This allocates; it is not timed.
            let values = self.random.int8s(k);
            *input = match input.rule().block() {
                // The scale of a token is applied by libraries' kernels of groups alone.
                None if of_groups => QuantizedActivations::from_values(&values, 1.0 / scale(&mut self.random)),
                None => QuantizedActivations::from_values(&values, 1.0),
                Some(block) => {
                    let scales: Vec<f32> = (0..k.div_ceil(block)).map(|_| scale(&mut self.random)).collect();
                    QuantizedActivations::from_blocks(&values, input.rule(), &scales)
                }
            };
        }
        for (float, input) in self.floats.iter_mut().zip(&self.inputs[..calls]) {
            // The capacity is k.
            let _ = float.set_dequantized(&input[0]);
        }
        // Below every sum of int8; as f32 nearer to 0 than any sum but 0, and not 0.
        self.poison = (0x8000_0001u32 | (self.random.next_u64() as u32 & 0x007F_FFFF)).cast_signed();
        for output in self.outputs.chunks_exact_mut(stride).take(calls) {
            output[..stride - BESIDE].fill(self.poison);
            output[stride - BESIDE..].fill(CANARY);
        }
    }

    /// The timed calls.
    fn calls(&mut self, team: &mut Team, calls: usize) -> Result<(), KernelError> {
        let (stride, kernel, layout) = (self.stride(), self.kernel, self.kernel.descriptor().layout);
        for call in 0..calls {
            let next = (self.next.get() + 1) % self.weights.len();
            self.next.set(next);
            let weights = black_box(&self.weights[next]);
            let input = &self.inputs[call];
            let y = black_box(&mut self.outputs[call * stride..][..stride - BESIDE]);
            match (self.foreign, self.cell.op, kernel.descriptor().family()) {
                (Some(foreign), op, _) => {
                    let prepared = &mut self.prepared[call];
                    prepare(prepared, input, self.floats.get(call))?;
                    let work = Work { weights, prepared };
                    if op == Operation::Gemv {
                        team.split_rows(layout.rows, y, |rows, y| foreign.gemv_words(&work, rows, y))?;
                    } else {
                        foreign.gemm_by(team, &work, y)?;
                    }
                }
                (None, Operation::Gemv, Family::W2A8) => {
                    team.split_rows(layout.rows, y, |rows, y| kernel.gemv_i8(weights, rows, &input[0], y))?;
                }
                (None, Operation::Gemv, Family::W2A32) => {
                    let y = as_floats(y);
                    let x = &self.floats[call];
                    team.split_rows(layout.rows, y, |rows, y| kernel.gemv_f32(weights, rows, x, y))?;
                }
                (None, Operation::Gemv, Family::W2gA8) => {
                    let y = as_floats(y);
                    team.split_rows(layout.rows, y, |rows, y| kernel.gemv_groups(weights, rows, &input[0], y))?;
                }
                (None, ..) => super::batch::gemm(team, &kernel, weights, input, y)?,
            }
        }
        Ok(())
    }

    /// Looks at everything that was written.
    fn check(&mut self, calls: usize) -> Result<(), Void> {
        let (m, stride, tokens) = (self.cell.shape.m, self.stride(), self.cell.tokens);
        for call in 0..calls {
            if let Some(prepared) = self.prepared.get(call) {
                prepared.check()?;
            }
            let output = &self.outputs[call * stride..][..stride];
            if output[stride - BESIDE..].iter().any(|&word| word != CANARY) {
                return Err(self.wrong("writes behind its output"));
            }
            if let Some(at) = output[..stride - BESIDE].iter().position(|&word| word == self.poison) {
                let token = if tokens > 1 { format!(" of token {}", at / m) } else { String::new() };
                return Err(self.wrong(format!("row {}{token} is not written", at % m)));
            }
            for _ in 0..DRAWN {
                let at = self.random.below((m * tokens) as u32) as usize;
                self.drawn(call, at / m, at % m, self.outputs[call * stride + at])?;
            }
        }
        Ok(())
    }

    /// One element against the oracle.
    fn drawn(&self, call: usize, token: usize, row: usize, word: i32) -> Result<(), Void> {
        let k = self.cell.shape.k;
        let codes = &self.operands.codes[row * k..][..k];
        let (weights, x, float) = (&self.weights[0], &self.inputs[call][token], f32::from_bits(word.cast_unsigned()));
        let compared = match self.kernel.descriptor().family() {
            Family::W2A32 => {
                let scale = |column| weights.scale_at(row, column);
                let want = reference::dot_f64(codes, CodeTable::TERNARY, scale, self.floats[call].values());
                compare(&[float], F32_BOUND, |_| want.into())
            }
            Family::W2gA8 if self.foreign.is_some() => {
                let want = reference::codes_scaled_f64(weights, row, codes, x);
                compare(&[float], F32_BOUND, |_| want.into())
            }
            Family::W2gA8 => {
                let want = reference::codes_groups(weights, row, codes, x);
                compare(&[float], 0.0, |_| Expected::exactly(want))
            }
            Family::W2A8 => {
                let want = reference::dot_i64(codes, CodeTable::TERNARY, x.values());
                let mut got = [word];
                let function = if self.cell.op == Operation::Gemm { Call::Gemm } else { Call::Gemv };
                if let Some(foreign) = self.foreign {
                    foreign.integers(weights, function, &[word], &mut got)?;
                }
                compare(&got, 0.0, |_| Expected::integer(want))
            }
        };
        compared.map(|_| ()).map_err(|mismatch| self.wrong(format!("row {row} of token {token} is {mismatch}")))
    }
}

/// Prepares the tokens of a call.
#[inline]
fn prepare(
    prepared: &mut Prepared,
    input: &[QuantizedActivations],
    float: Option<&FloatActivations>,
) -> Result<(), KernelError> {
    match float {
        // SAFETY: inputs are made anew between one group of calls and the next, in which they are prepared again.
        None => unsafe { prepared.set(input) },
        // SAFETY: as above.
        Some(float) => unsafe { prepared.set_float(float) },
    }
}

fn as_floats(words: &mut [i32]) -> &mut [f32] {
    bytemuck::cast_slice_mut(words)
}
