//! Histories as pages show them.

use crate::chart;
use crate::history::{Group, Point};
use receipt::Family;
use serde::Serialize;

/// A chart with its caption.
#[derive(Debug, Serialize)]
pub struct HistoryView {
    id: String,
    caption: String,
    svg: String,
}

/// The first cell of each family over the runs of one group, with ids that are unique in a page.
pub fn charts_of(points: &[Point], group: &Group, g: usize) -> Vec<HistoryView> {
    let runs: Vec<&Point> = group.runs.iter().map(|&i| &points[i]).collect();
    let mut families: Vec<Family> = Vec::new();
    let mut out = Vec::new();
    for (p, panel) in group.panels.iter().enumerate() {
        if families.contains(&panel.family) {
            continue;
        }
        families.push(panel.family);
        let id = format!("history-{}-{}", g + 1, p + 1);
        if let Some((svg, caption)) = chart::history(&id, panel, &runs) {
            out.push(HistoryView { id, caption, svg });
        }
    }
    out
}
