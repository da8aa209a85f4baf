//! The timed loops. `check` made the same calls with the same operands, so the calls here cannot fail.

use super::batch::gemm;
use super::operands::Operands;
use super::ring::{Ring, Void};
use crate::choose::probe::probe;
use crate::error::{Error, Result};
use crate::measure::rounds::{Epoch, Turn};
use crate::scenario::Cell;
use kernels::parallel::Team;
use kernels::{
    AlignedBuffer, CpuFeatures, Family, GemmTile, Kernel, Layout, Operation, PackedWeights, Prefetch, Tuning, stream,
};
use receipt::Residency;
use std::cell::{self, RefCell};
use std::convert::Infallible;
use std::hint::black_box;
use std::ops::Range;
use std::time::Duration;

/// Time for the choice between the ways of one kernel to ask ahead.
const KERNEL_PROBE: Duration = Duration::from_millis(10);
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

    /// The kernel as it is called on these copies: in the way to ask ahead that a probe finds faster where they come
    /// from memory, and with the tile that it finds faster, as in a model whose weights are there.
    pub fn tuned(&'a self, kernel: Kernel) -> Kernel {
        let d = kernel.descriptor();
        if d.family() == Family::W2A32 || d.requires == CpuFeatures::NONE {
            return kernel;
        }
        let from_memory = self.cell.residency == Residency::Dram;
        let wanted = Prefetch::wanted(from_memory);
        let asks: Vec<Prefetch> = wanted.into_iter().filter(|way| d.prefetches.contains(way)).collect();
        let asks = if from_memory { &asks[..] } else { &asks[..1] };
        let batch = self.cell.op == Operation::Gemm;
        let tiles = if batch { d.tiles(self.operands.rule()) } else { &[GemmTile::Tall] };
        let way = |(prefetch, tile)| kernel.tuned(Tuning { prefetch, tile, ..kernel.tuning() });
        let ways: Vec<Kernel> =
            asks.iter().flat_map(|&ask| tiles.iter().map(move |&tile| (ask, tile))).map(way).collect();
        if ways.len() == 1 {
            return kernel;
        }
        let mut epochs: Vec<_> = ways.iter().map(|way| self.epoch(*way)).collect();
        let Ok(evidence) = probe(ways.len(), KERNEL_PROBE, |way, _| {
            epochs[way](1);
            Ok::<(), Infallible>(())
        });
        evidence.chosen().map_or(kernel, |way| ways[way])
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
            (Operation::Gemv, Family::W2gA8) => Box::new(move |calls| {
                let (mut team, y) = (self.team.borrow_mut(), &mut self.outputs.borrow_mut().floats);
                for _ in 0..calls {
                    let (weights, x) = (self.turn(copies), &self.operands.quantized()[0]);
                    let call = |rows: Range<usize>, y: &mut [f32]| kernel.gemv_groups(weights, rows, x, y);
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

    /// The timed calls of one kernel beside foreign ones: as theirs, each with activations and an output of its own.
    pub fn turn_beside_foreign<E: From<Error> + 'a>(&'a self, kernel: Kernel) -> Result<Turn<'a, E>> {
        let void = move |void: Void| {
            let (Void::Refused(why) | Void::Wrong(why)) = void;
            Error::failed(format!("{}: {why}", kernel.id()))
        };
        let mut ring = Ring::new(self.cell, self.operands, kernel, &self.next_copy).map_err(void)?;
        Ok(Box::new(move |calls| ring.run(&mut self.team.borrow_mut(), calls, &|| None).map_err(|e| E::from(void(e)))))
    }

    /// The loop that only reads the codes, in the way to ask ahead that is fastest on these copies. A bound taken with
    /// a slower one would be no bound.
    ///
    /// # Errors
    /// Two loops that do not read the same bytes.
    pub fn stream(&'a self, layout: &'static Layout) -> Result<Epoch<'a>> {
        let copies = self.operands.copies(layout);
        let read = move |prefetch: Option<Prefetch>| {
            let codes = self.turn(copies).code_bytes();
            black_box(stream::read_passes(&mut self.team.borrow_mut(), self.features, codes, 1, prefetch))
        };
        // All copies are alike.
        let expected = read(None);
        let ways = [None, Some(Prefetch::OneLevel), Some(Prefetch::TwoLevels)];
        let evidence = probe(ways.len(), STREAM_PROBE, |way, first| match read(ways[way]) == expected || !first {
            true => Ok(()),
            false => Err(Error::failed("the loop that only reads gives another sum with prefetch than without")),
        })?;
        // The fastest, however small its lead: it is a limit.
        let prefetch = evidence.fastest().and_then(|(way, _)| ways[way]);
        Ok(Box::new(move |calls| {
            for _ in 0..calls {
                read(prefetch);
            }
        }))
    }
}
