//! The timed loops. `check` made the same calls with the same operands, so the calls here cannot fail.

use super::operands::Operands;
use crate::choose::probe::probe;
use crate::error::{Error, Result};
use crate::measure::rounds::Epoch;
use crate::scenario::Cell;
use kernels::parallel::{Columns, Team};
use kernels::{
    AlignedBuffer, CpuFeatures, Family, Kernel, KernelError, Layout, Operation, PackedWeights, QuantizedActivations,
    stream,
};
use receipt::Residency;
use std::cell::{self, RefCell};
use std::hint::black_box;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Time for the choice between the loops that read.
const STREAM_PROBE: Duration = Duration::from_millis(10);

/// One aligned output for all entries: with a buffer each, a kernel and its A/A twin differed by up to 12%.
struct Outputs {
    floats: AlignedBuffer<f32>,
    integers: AlignedBuffer<i32>,
}

/// Operands, outputs and threads that all timed loops of a cell share; the loops run one at a time.
pub struct Shared<'a> {
    cell: Cell,
    operands: &'a Operands,
    team: RefCell<&'a mut Team>,
    features: CpuFeatures,
    next_copy: cell::Cell<usize>,
    outputs: RefCell<Outputs>,
}

impl<'a> Shared<'a> {
    /// Makes the outputs that the loops of a cell's kernels share.
    pub fn new(cell: Cell, operands: &'a Operands, team: &'a mut Team, features: CpuFeatures) -> Self {
        let floats = if cell.op == Operation::Dequantize { cell.shape.m * cell.shape.k } else { cell.shape.m };
        let integers = AlignedBuffer::zeroed(cell.shape.m * cell.tokens);
        let outputs = RefCell::new(Outputs { floats: AlignedBuffer::zeroed(floats), integers });
        Self { cell, operands, team: RefCell::new(team), features, next_copy: cell::Cell::new(0), outputs }
    }

    /// The copies take turns over all entries, so that no entry finds what another just loaded.
    fn turn(&self, copies: &'a [PackedWeights]) -> &'a PackedWeights {
        let next = (self.next_copy.get() + 1) % copies.len();
        self.next_copy.set(next);
        black_box(&copies[next])
    }

    /// The copies that take turns: operands made for memory hold more than a cell in cache may use.
    fn copies(&self, layout: &'static Layout) -> &'a [PackedWeights] {
        let copies = self.operands.copies(layout);
        if self.cell.residency == Residency::Dram { copies } else { &copies[..1] }
    }

    /// The timed loop of one kernel.
    pub fn epoch(&'a self, kernel: Kernel) -> Epoch<'a> {
        let layout = kernel.descriptor().layout;
        let (panel_rows, copies, rows) = (layout.rows, self.copies(layout), self.cell.shape.m);
        match (self.cell.op, kernel.descriptor().family()) {
            (Operation::Dequantize, _) => Box::new(move |calls| {
                let out = &mut self.outputs.borrow_mut().floats;
                for _ in 0..calls {
                    let _ = black_box(kernel.dequantize(self.turn(copies), 0..rows, black_box(&mut *out)));
                }
            }),
            (Operation::Gemm, _) => Box::new(move |calls| {
                let (mut team, y) = (self.team.borrow_mut(), &mut self.outputs.borrow_mut().integers);
                for _ in 0..calls {
                    let x = self.operands.quantized();
                    let _ = black_box(gemm(&mut team, &kernel, self.turn(copies), x, black_box(&mut *y)));
                }
            }),
            (Operation::Gemv, Family::W2A8) => Box::new(move |calls| {
                let (mut team, y) = (self.team.borrow_mut(), &mut self.outputs.borrow_mut().integers);
                for _ in 0..calls {
                    let (weights, x) = (self.turn(copies), &self.operands.quantized()[0]);
                    let call = |rows: Range<usize>, y: &mut [i32]| kernel.gemv_i8(weights, rows, x, y);
                    let _ = black_box(team.split_rows(panel_rows, black_box(&mut *y), call));
                }
            }),
            (Operation::Gemv, Family::W2A32) => Box::new(move |calls| {
                let (mut team, y) = (self.team.borrow_mut(), &mut self.outputs.borrow_mut().floats);
                for _ in 0..calls {
                    let (weights, x) = (self.turn(copies), self.operands.float());
                    let call = |rows: Range<usize>, y: &mut [f32]| kernel.gemv_f32(weights, rows, x, y);
                    let _ = black_box(team.split_rows(panel_rows, black_box(&mut *y), call));
                }
            }),
        }
    }

    /// The loop that only reads the codes, with or without software prefetch: whichever is faster on these copies. A
    /// bound taken with the slower one would be no bound.
    ///
    /// # Errors
    /// Two loops that do not read the same bytes.
    pub fn stream(&'a self, layout: &'static Layout) -> Result<Epoch<'a>> {
        let copies = self.operands.copies(layout);
        let read = move |prefetch: bool| {
            let codes = self.turn(copies).code_bytes();
            black_box(stream::read_passes(&mut self.team.borrow_mut(), self.features, codes, 1, prefetch))
        };
        // All copies are alike.
        let expected = read(false);
        let evidence = probe(2, STREAM_PROBE, |which, first| match read(which == 1) == expected || !first {
            true => Ok(()),
            false => Err(Error::failed("the loop that only reads gives another sum with prefetch than without")),
        })?;
        let prefetch = evidence.us[1] < evidence.us[0];
        Ok(Box::new(move |calls| {
            for _ in 0..calls {
                read(prefetch);
            }
        }))
    }
}

/// Multiplies a batch by the weights, with the rows shared among the team.
pub fn gemm(
    team: &mut Team,
    kernel: &Kernel,
    weights: &PackedWeights,
    x: &[QuantizedActivations],
    y: &mut [i32],
) -> std::result::Result<(), KernelError> {
    let error = Mutex::new(None);
    let fill = |_: usize, rows: Range<usize>, mut y: Columns<'_, i32>| {
        if let Err(e) = kernel.gemm_i8(weights, rows, x, &mut y) {
            *error.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
        }
    };
    team.split_columns(weights.layout().rows, y, weights.rows(), fill);
    error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
