//! The machine's limits, and each kernel's share of the bound that binds it at the headline shapes.

use super::anchors;
use crate::query;
use receipt::figures;
use receipt::{Bandwidth, Family, MicroCell, Receipt, Spread};
use serde::Serialize;

/// The section.
#[derive(Debug, Serialize)]
pub struct LimitsView {
    clock: Option<String>,
    bandwidth: Vec<BandwidthRow>,
    multiplies: Vec<MultiplyRow>,
    families: Vec<FamilyBounds>,
}

#[derive(Debug, Serialize)]
struct BandwidthRow {
    level: String,
    bytes: String,
    threads: usize,
    read: String,
    write: String,
}

#[derive(Debug, Serialize)]
struct MultiplyRow {
    id: String,
    instructions: String,
    mac_per_cycle: String,
    gmac_s: String,
    kernels: String,
}

#[derive(Debug, Serialize)]
struct FamilyBounds {
    title: String,
    anchor: String,
    columns: Vec<String>,
    rows: Vec<BoundRow>,
}

#[derive(Debug, Serialize)]
struct BoundRow {
    id: String,
    kernel: String,
    cells: Vec<Option<BoundView>>,
}

/// A row's bound in words.
#[derive(Clone, Debug, Serialize)]
pub struct BoundView {
    /// `62.1%`
    pub share: String,
    /// `memory` or `compute`
    pub bound: &'static str,
    /// What sets it.
    pub what: String,
    /// `412 Gelem/s`
    pub limit: String,
    /// Products a cycle and thread, where there are any.
    pub mac_per_cycle: Option<String>,
}

impl BoundView {
    /// Of one row of a cell, if the receipt has it.
    pub fn new(cell: &MicroCell, row: usize) -> Option<Self> {
        let bound = cell.summaries.get(row)?.bound.as_ref()?;
        Some(Self {
            share: figures::percent(bound.share),
            bound: query::bound(bound.bound),
            what: bound.what.clone(),
            limit: format!("{} Gelem/s", figures::number(bound.gelem_s)),
            mac_per_cycle: bound.mac_per_cycle.map(figures::number),
        })
    }
}

impl LimitsView {
    /// The section, if the receipt has limits.
    pub fn new(receipt: &Receipt) -> Option<Self> {
        let limits = receipt.limits.as_ref()?;
        let users = |id: &str| {
            let of = limits.kernels.iter().filter(|k| k.multiply == id).map(|k| k.kernel.as_str());
            of.collect::<Vec<_>>().join(", ")
        };
        let multiplies = limits.multiplies.iter().map(|m| MultiplyRow {
            id: m.id.clone(),
            instructions: m.instructions.clone(),
            mac_per_cycle: spread(&m.mac_per_cycle),
            gmac_s: spread(&m.gmac_s),
            kernels: users(&m.id),
        });
        Some(Self {
            clock: limits.clock_ghz.as_ref().map(spread),
            bandwidth: limits.bandwidth.iter().map(bandwidth).collect(),
            multiplies: multiplies.collect(),
            families: Family::ALL.into_iter().filter_map(|f| family(receipt, f)).collect(),
        })
    }
}

fn bandwidth(b: &Bandwidth) -> BandwidthRow {
    BandwidthRow {
        level: b.level.clone(),
        bytes: figures::bytes(b.bytes),
        threads: b.threads,
        read: spread(&b.read_gb_s),
        write: spread(&b.write_gb_s),
    }
}

fn spread(s: &Spread) -> String {
    format!("{} [{}, {}]", figures::number(s.median), figures::number(s.low), figures::number(s.high))
}

fn family(receipt: &Receipt, family: Family) -> Option<FamilyBounds> {
    let heads: Vec<&MicroCell> =
        query::headlines(receipt, family).into_iter().filter(|c| !c.rounds.is_empty()).collect();
    let rows = query::kernel_ids(receipt, family).into_iter().map(|kernel| BoundRow {
        cells: heads
            .iter()
            .map(|c| BoundView::new(c, query::kernels(c).find(|(_, s)| s.kernel == kernel)?.0))
            .collect(),
        id: format!("limit-{}", anchors::slug(&kernel)),
        kernel,
    });
    let rows: Vec<BoundRow> = rows.collect();
    let any = rows.iter().any(|r| r.cells.iter().any(Option::is_some));
    any.then(|| FamilyBounds {
        title: query::family_title(family).into(),
        anchor: format!("limits-{}", anchors::slug(family.name())),
        columns: heads.iter().map(|c| query::cell_title(c)).collect(),
        rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn no_timed_row_is_without_its_bound() {
        let receipt = fixture::complete();
        for cell in receipt.micro.iter().filter(|c| !c.rounds.is_empty()) {
            for row in 0..cell.summaries.len() {
                assert!(BoundView::new(cell, row).is_some(), "{} row {row}", query::cell_title(cell));
            }
        }
        let view = LimitsView::new(&receipt).expect("limits");
        assert_eq!(view.families.len(), 2);
        assert!(view.families[0].rows.iter().all(|r| r.cells.iter().all(Option::is_some)));
        assert!(LimitsView::new(&fixture::empty()).is_none());
    }
}
