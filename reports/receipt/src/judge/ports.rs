//! The port mix of a kernel's loop as an upper bound, from the cycles that a static model gave with its count.
//!
//! A multiply alone has nothing beside it. A loop also unpacks weights, often on the ports that the multiply needs, so
//! in cache it can be at its own limit far below the multiply's peak. The bound is 64 weights in the cycles that ports
//! and dispatch need, at the clock by which products a cycle are printed, and for several threads as many times that
//! as the kernel's multiply showed.
//!
//! A static model can be wrong, above all one of the nearest CPU that the tool knows. Where one row of the run is
//! faster than it allows it does not fit, and is no bound for any row of that kernel and operation. Rows from memory
//! have none: there kernels ask ahead of their loads, which is another loop than the one that was counted.

use super::peaks;
use crate::figures::ratio;
use crate::record::{CountRecord, Limits, MicroCell, PortBound, Residency};

/// How much faster than the model allows a row may be, as a share: the clock is measured too.
const TOLERANCE: f64 = 0.03;

/// The port mixes of all kernels that a run knows them of.
pub struct PortMixes<'r> {
    limits: &'r Limits,
    mixes: Vec<PortMix<'r>>,
}

struct PortMix<'r> {
    count: &'r CountRecord,
    model: String,
    /// What it allows one thread, in 10^9 weights a second.
    gelem_s: f64,
    /// The largest share of it that any row of the run reached.
    reached: f64,
}

impl<'r> PortMixes<'r> {
    /// Those that were stored with `counts`, each held against all `cells`.
    pub fn of(limits: &'r Limits, counts: &'r [CountRecord], cells: &[MicroCell]) -> Self {
        let clock_ghz = limits.clock_ghz.map_or(0.0, |clock| clock.high);
        let mix = |count: &'r CountRecord| {
            let ports = count.hot_loop.as_ref()?.ports.as_ref()?;
            let gelem_s = 64.0 / ports.cycles_per_64_weights * clock_ghz;
            let known = gelem_s.is_finite() && gelem_s > 0.0;
            known.then(|| PortMix { count, model: ports.model(), gelem_s, reached: 0.0 })
        };
        let mut mixes: Vec<PortMix<'_>> = counts.iter().filter_map(mix).collect();
        for mix in &mut mixes {
            let measured = cells.iter().flat_map(|c| std::iter::once(c).chain(c.unstable_first.as_deref()));
            mix.reached = measured.flat_map(|cell| mix.shares(cell, limits)).fold(0.0, f64::max);
        }
        Self { limits, mixes }
    }

    /// The bound of a kernel's row; `None` where nothing is known of its loop.
    pub fn bound(&self, cell: &MicroCell, kernel: &str) -> Option<PortBound> {
        let mix = self.mixes.iter().find(|mix| mix.count.kernel == kernel && mix.is_of(cell))?;
        let (model, gelem_s) = (mix.model.clone(), mix.allows(cell, self.limits));
        let bound = PortBound { model, gelem_s, left_out: None };
        let left_out = (mix.reached > 1.0 + TOLERANCE).then(|| {
            let (reached, words) = (ratio(mix.reached), bound.in_words());
            format!("no bound is the {words}: {kernel} reached {reached} what it allows, so it does not fit this CPU")
        });
        Some(PortBound { left_out, ..bound })
    }
}

impl PortMix<'_> {
    /// Whether the loop is the one that rows of this cell run.
    fn is_of(&self, cell: &MicroCell) -> bool {
        (cell.op, cell.tokens) == (self.count.op, self.count.tokens) && cell.residency != Residency::Dram
    }

    /// What it allows on the cell's threads.
    fn allows(&self, cell: &MicroCell, limits: &Limits) -> f64 {
        self.gelem_s * peaks::together(limits, &self.count.kernel, cell.threads)
    }

    /// The shares of it that the kernel's rows of a cell reached.
    fn shares(&self, cell: &MicroCell, limits: &Limits) -> Vec<f64> {
        if !self.is_of(cell) {
            return Vec::new();
        }
        let allowed = self.allows(cell, limits);
        let own = cell.summaries.iter().filter(|s| s.kernel == self.count.kernel);
        own.map(|s| s.gelem_s / allowed).filter(|share| share.is_finite()).collect()
    }
}
