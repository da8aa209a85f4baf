//! What the index page shows.

use super::row::{Entry, IndexRow, Unreadable};
use super::spark::{Spark, spark};
use crate::comparison::{HistoryView, charts_of};
use crate::history::{Group, Panel, Point, groups};
use receipt::Family;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct View<'a> {
    opening: &'a str,
    runs: Vec<RunView<'a>>,
    /// Runs without a page of their own.
    unrendered: usize,
    groups: Vec<GroupView>,
    /// Machines and settings with one run only: no line.
    alone: Vec<String>,
    unreadable: &'a [Unreadable],
}

#[derive(Debug, Serialize)]
struct RunView<'a> {
    #[serde(flatten)]
    row: &'a IndexRow,
    id: String,
    when: &'a str,
    class: &'static str,
    report: Option<String>,
    receipt: String,
}

#[derive(Debug, Serialize)]
struct GroupView {
    id: String,
    host: String,
    scenario: String,
    count: usize,
    first: String,
    last: String,
    tables: Vec<SparkTable>,
    charts: Vec<HistoryView>,
}

/// One family: kernels by cells.
#[derive(Debug, Serialize)]
struct SparkTable {
    title: String,
    columns: Vec<(String, String)>,
    rows: Vec<(String, Vec<Option<Spark>>)>,
}

/// `entries` are the newest first.
pub fn view<'a>(opening: &'a str, entries: &'a [Entry], unreadable: &'a [Unreadable]) -> View<'a> {
    let run = |(i, e): (usize, &'a Entry)| RunView {
        row: &e.row,
        id: format!("run-{}", i + 1),
        when: &e.point.when,
        class: match e.row.status.as_str() {
            "FAIL" | "failed" => "bad",
            "PASS" | "complete" => "ok",
            _ => "",
        },
        report: e.links.report.clone(),
        receipt: e.links.receipt.clone(),
    };
    let points: Vec<Point> = entries.iter().map(|e| e.point.clone()).collect();
    let all = groups(&points);
    let (several, single): (Vec<&Group>, Vec<&Group>) = all.iter().partition(|g| g.runs.len() > 1);
    let runs: Vec<RunView<'a>> = entries.iter().enumerate().map(run).collect();
    View {
        opening,
        unrendered: runs.iter().filter(|r| r.report.is_none()).count(),
        runs,
        groups: several.iter().enumerate().map(|(i, g)| group(&points, g, i)).collect(),
        alone: single.iter().map(|g| format!("{}: {}", g.scenario, g.host)).collect(),
        unreadable,
    }
}

fn group(points: &[Point], g: &Group, i: usize) -> GroupView {
    let when = |at: Option<&usize>| at.map_or_else(String::new, |&i| points[i].when.clone());
    let mut families: Vec<Family> = Vec::new();
    g.panels.iter().for_each(|p| {
        if !families.contains(&p.family) {
            families.push(p.family)
        }
    });
    GroupView {
        id: format!("group-{}", i + 1),
        host: g.host.clone(),
        scenario: g.scenario.clone(),
        count: g.runs.len(),
        first: when(g.runs.first()),
        last: when(g.runs.last()),
        tables: families.into_iter().map(|f| table(g, f)).collect(),
        charts: charts_of(points, g, i),
    }
}

fn table(g: &Group, family: Family) -> SparkTable {
    let panels: Vec<&Panel> = g.panels.iter().filter(|p| p.family == family).collect();
    let mut kernels: Vec<&str> = Vec::new();
    for line in panels.iter().flat_map(|p| &p.lines) {
        if !kernels.contains(&line.kernel.as_str()) {
            kernels.push(&line.kernel);
        }
    }
    let cell = |p: &&Panel, kernel: &str| spark(p, p.lines.iter().find(|l| l.kernel == kernel)?);
    let row = |k: &str| (k.to_string(), panels.iter().map(|p| cell(p, k)).collect());
    SparkTable {
        title: crate::query::family_title(family).into(),
        columns: panels.iter().map(|p| (p.title.clone(), p.partner.clone())).collect(),
        rows: kernels.into_iter().map(row).collect(),
    }
}
