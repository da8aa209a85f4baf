//! Several receipts on one page. Paired ratios from inside each run stand beside each other; medians of different runs
//! are divided only when the machines are the same, and even then as a hint.

use super::query;
use super::{figures, html};
use crate::error::{Error, Result};
use crate::files::write_atomic;
use crate::receipt::{GenerationKernel, MicroCell, MicroSummary, Receipt};
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Debug, Serialize)]
struct View {
    opening: String,
    differences: Vec<String>,
    runs: Vec<RunView>,
    tables: Vec<TableView>,
}

#[derive(Debug, Serialize)]
struct RunView {
    name: String,
    started: String,
    status: String,
    commit: String,
    cpu: String,
    threads: usize,
    scenario: String,
}

#[derive(Debug, Serialize)]
struct TableView {
    title: String,
    what: &'static str,
    rows: Vec<RowView>,
}

#[derive(Debug, Serialize)]
struct RowView {
    kernel: String,
    r#where: String,
    cells: Vec<Option<CellView>>,
}

#[derive(Debug, Serialize)]
struct CellView {
    paired: String,
    interval: String,
    value: String,
    unpaired: Option<String>,
}

/// Writes the page to `out` and returns its path. `receipts` are names with receipts; the first is what others are
/// compared with.
pub fn write_comparison(receipts: &[(String, Receipt)], out: &Path) -> Result<PathBuf> {
    if receipts.len() < 2 {
        return Err(Error::input("a comparison needs at least two receipts"));
    }
    let differences = differences(receipts);
    let opening = if differences.is_empty() {
        "These runs were made on machines that say the same about themselves.".into()
    } else {
        "These runs are not from the same machine and setting, so no time of one is divided by a time of another:"
            .into()
    };
    let same = differences.is_empty();
    let mut tables = kernel_tables(receipts, same);
    tables.extend(generation_tables(receipts, same));
    let view = View { opening, differences, runs: receipts.iter().map(run).collect(), tables };
    write_atomic(out, html::comparison(&view)?.as_bytes())?;
    Ok(out.to_path_buf())
}

fn run((name, r): &(String, Receipt)) -> RunView {
    let dirty = if r.build.git_dirty == Some(true) { " + changes" } else { "" };
    RunView {
        name: name.clone(),
        started: r.timestamp.clone(),
        status: format!("{:?}", r.status).to_lowercase(),
        commit: r.build.git_commit.as_deref().map_or_else(|| "unknown".into(), figures::short_hash) + dirty,
        cpu: r.host.cpu.clone(),
        threads: r.settings.threads,
        scenario: format!("{}{}", r.scenario.name, if r.scenario.quick { " (quick)" } else { "" }),
    }
}

/// What makes the machines or settings of the runs different, in words; load is left out because it always does.
fn differences(receipts: &[(String, Receipt)]) -> Vec<String> {
    let Some((first_name, first)) = receipts.first() else { return Vec::new() };
    let facts = |r: &Receipt| {
        let h = &r.host;
        [
            ("CPU", h.cpu.clone()),
            ("CPU family, model, stepping", format!("{:?}", h.family_model_stepping)),
            ("architecture", h.arch.clone()),
            ("number of CPUs", h.cpus.to_string()),
            ("CPU features", h.features.join(" ")),
            ("caches", format!("{:?}", h.caches_bytes)),
            ("hypervisor", h.hypervisor.clone().unwrap_or_else(|| "none".into())),
            ("governor", h.governor.clone().unwrap_or_else(|| "not reported".into())),
            ("threads", r.settings.threads.to_string()),
            ("feature mask", r.settings.cpu_features.clone().unwrap_or_else(|| "none".into())),
        ]
    };
    let of_first = facts(first);
    let mut out = Vec::new();
    for (name, receipt) in receipts.iter().skip(1) {
        for ((what, a), (_, b)) in of_first.iter().zip(facts(receipt)) {
            if *a != b {
                out.push(format!("{what}: “{a}” in {first_name}, “{b}” in {name}"));
            }
        }
    }
    out
}

/// One table a family.
fn kernel_tables(receipts: &[(String, Receipt)], same_host: bool) -> Vec<TableView> {
    let key = |c: &MicroCell| (c.op.clone(), c.m, c.k, c.residency, c.threads);
    let mut out = Vec::new();
    for family in families(receipts) {
        let mut rows: Vec<(MicroCell, String)> = Vec::new();
        for cell in receipts.iter().flat_map(|(_, r)| query::cells(r, &family)).filter(|c| !c.rounds.is_empty()) {
            for (_, s) in query::kernels(cell) {
                if !rows.iter().any(|(c, k)| key(c) == key(cell) && *k == s.kernel) {
                    // Only the key is used again: no need to drag the rounds along.
                    rows.push((MicroCell { rounds: Vec::new(), ..cell.clone() }, s.kernel.clone()));
                }
            }
        }
        let find = |r: &Receipt, like: &MicroCell, kernel: &str| -> Option<MicroSummary> {
            let cell = query::cells(r, &family).find(|c| key(c) == key(like) && !c.rounds.is_empty())?;
            query::kernels(cell).find(|(_, s)| s.kernel == kernel).map(|(_, s)| s.clone())
        };
        let rows: Vec<RowView> = rows
            .into_iter()
            .map(|(like, kernel)| {
                let first = receipts.first().and_then(|(_, r)| find(r, &like, &kernel));
                let cell = |(i, (_, r)): (usize, &(String, Receipt))| {
                    let s = find(r, &like, &kernel)?;
                    let against = first.as_ref().filter(|_| same_host && i > 0).map(|f| f.median_ns_per_call);
                    Some(CellView {
                        paired: s.vs_baseline.as_ref().map_or_else(|| "partner".into(), |r| figures::ratio(r.median)),
                        interval: s.vs_baseline.as_ref().map_or_else(String::new, figures::interval),
                        value: format!("{} Gelem/s", figures::number(s.gelem_s)),
                        unpaired: against
                            .filter(|_| s.median_ns_per_call > 0.0)
                            .map(|a| figures::ratio(a / s.median_ns_per_call)),
                    })
                };
                RowView {
                    cells: receipts.iter().enumerate().map(cell).collect(),
                    r#where: query::cell_title(&like),
                    kernel,
                }
            })
            .collect();
        if !rows.is_empty() {
            out.push(TableView { title: query::family_title(&family), what: "Kernel", rows });
        }
    }
    out
}

/// Decode speed, one table a family. Different models are different questions.
fn generation_tables(receipts: &[(String, Receipt)], same_host: bool) -> Vec<TableView> {
    let model = |r: &Receipt| r.model.as_ref().map(|m| m.sha256.clone());
    let same_model = receipts.windows(2).all(|w| model(&w[0].1) == model(&w[1].1));
    let mut out = Vec::new();
    for family in families(receipts) {
        let own = |r: &Receipt| -> Vec<GenerationKernel> {
            r.generation.iter().flat_map(|g| g.kernels.iter()).filter(|k| k.family == family).cloned().collect()
        };
        let all: Vec<Vec<GenerationKernel>> = receipts.iter().map(|(_, r)| own(r)).collect();
        let mut ids: Vec<String> = Vec::new();
        for k in all.iter().flatten() {
            if !ids.contains(&k.kernel) {
                ids.push(k.kernel.clone());
            }
        }
        let rows: Vec<RowView> = ids
            .into_iter()
            .map(|id| {
                let find = |kernels: &[GenerationKernel]| kernels.iter().find(|k| k.kernel == id).cloned();
                let first = all.first().and_then(|k| find(k)).map(|k| k.decode_tokens_per_s).filter(|s| *s > 0.0);
                let cell = |(i, kernels): (usize, &Vec<GenerationKernel>)| {
                    let k = find(kernels)?;
                    let against = first.filter(|_| same_host && same_model && i > 0);
                    Some(CellView {
                        paired: k
                            .decode_vs_baseline
                            .as_ref()
                            .map_or_else(|| "partner".into(), |r| figures::ratio(r.median)),
                        interval: k.decode_vs_baseline.as_ref().map_or_else(String::new, figures::interval),
                        value: format!("{} tokens/s", figures::number(k.decode_tokens_per_s)),
                        unpaired: against.map(|f| figures::ratio(k.decode_tokens_per_s / f)),
                    })
                };
                RowView { cells: all.iter().enumerate().map(cell).collect(), r#where: "decode".into(), kernel: id }
            })
            .collect();
        if !rows.is_empty() {
            let differs = if same_model { "" } else { " (different models)" };
            out.push(TableView { title: format!("{family} end to end{differs}"), what: "Kernel", rows });
        }
    }
    out
}

fn families(receipts: &[(String, Receipt)]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for family in receipts.iter().flat_map(|(_, r)| query::families(r)) {
        if !out.contains(&family) {
            out.push(family);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn page(receipts: &[(String, Receipt)]) -> String {
        let dir = tempfile::tempdir().unwrap();
        std::fs::read_to_string(write_comparison(receipts, &dir.path().join("c.html")).unwrap()).unwrap()
    }

    #[test]
    fn equal_hosts_get_ratios_and_a_warning() {
        let page = page(&[("a".into(), fixture::complete()), ("b".into(), fixture::complete())]);
        assert!(page.contains("1.00× against the first run") && page.contains("not a verdict"));
    }

    #[test]
    fn other_hosts_get_none_and_are_told_why() {
        let mut other = fixture::complete();
        other.host.cpu = "<script>".into();
        let page = page(&[("a".into(), fixture::complete()), ("b".into(), other)]);
        assert!(!page.contains("× against the first run"));
        assert!(page.contains("CPU: “Example CPU 9000” in a, “&lt;script&gt;” in b"));
    }

    #[test]
    fn runs_that_measured_different_things_still_render() {
        let page = page(&[("a".into(), fixture::complete()), ("b".into(), fixture::empty())]);
        assert!(page.contains("not measured"));
        assert!(write_comparison(&[], Path::new("unused")).is_err());
    }
}
