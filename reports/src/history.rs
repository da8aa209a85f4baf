//! Several runs in order of time: which may share a line, and the lines. A line is a kernel's paired ratio in one cell,
//! over runs that say the same about machine and setting; raw times of different days are never on one.

use super::comparison::identity;
use super::query;
use jiff::Timestamp;
use receipt::figures;
use receipt::{Family, Receipt, Residency, Scaling, titles};

/// What a history keeps of a run: small, so that hundreds of receipts can be read one after the other.
#[derive(Clone, Debug)]
pub struct Point {
    /// Start of the run, if it can be read.
    pub time: Option<Timestamp>,
    /// Start of the run in words.
    pub when: String,
    /// Commit in short, with `+` for uncommitted changes.
    pub commit: String,
    /// Machine and setting of the run in words.
    pub host: String,
    /// Scenario of the run in words.
    pub scenario: String,
    /// Runs with equal keys may share a line.
    key: String,
    /// Headline cells.
    cells: Vec<CellPoint>,
}

/// A headline cell of one run.
#[derive(Clone, Debug)]
struct CellPoint {
    question: Question,
    floor: f64,
    kernels: Vec<(String, Option<f64>)>,
}

/// What must be equal for two figures to be of one line.
#[derive(Clone, Debug, PartialEq)]
struct Question {
    family: Family,
    title: String,
    m: usize,
    k: usize,
    tokens: usize,
    residency: Residency,
    scaling: Option<Scaling>,
    partner: String,
}

impl Point {
    /// What a history keeps of the run with this receipt.
    pub fn new(receipt: &Receipt) -> Self {
        let time = receipt.timestamp.parse::<Timestamp>().ok();
        let when =
            time.map_or_else(|| figures::label(&receipt.timestamp, 24), |t| t.strftime("%Y-%m-%d %H:%M").to_string());
        let dirty = if receipt.build.git_dirty == Some(true) { "+" } else { "" };
        let commit =
            receipt.build.git_commit.as_deref().map_or("no commit".into(), |c| c.chars().take(10).collect::<String>());
        let scenario = identity::scenario(receipt);
        let cells = Family::ALL.into_iter().flat_map(|family| cells(receipt, family)).collect();
        Self {
            time,
            when,
            commit: commit + dirty,
            host: identity::in_words(receipt),
            key: format!("{}\n{scenario}", identity::key(receipt)),
            scenario,
            cells,
        }
    }
}

fn cells(receipt: &Receipt, family: Family) -> Vec<CellPoint> {
    let heads = query::headlines(receipt, family).into_iter().filter(|c| !c.rounds.is_empty());
    heads
        .filter_map(|c| {
            let partner = c.summaries.first()?.kernel.clone();
            let question = Question {
                family,
                title: titles::cell_of_a_run(c),
                m: c.m,
                k: c.k,
                tokens: c.tokens,
                residency: c.residency,
                scaling: c.scaling(),
                partner,
            };
            let kernels = query::kernels(c).map(|(_, s)| (s.kernel.clone(), s.vs_baseline.as_ref().map(|r| r.median)));
            Some(CellPoint { question, floor: query::threshold(c).unwrap_or(0.0), kernels: kernels.collect() })
        })
        .collect()
}

/// Runs that may share lines, the oldest first.
#[derive(Debug)]
pub struct Group {
    /// Machine and setting of the runs, in words.
    pub host: String,
    /// Scenario of the runs, in words.
    pub scenario: String,
    /// Indices of the runs into the points.
    pub runs: Vec<usize>,
    /// Cells with at least one kernel beside the partner.
    pub panels: Vec<Panel>,
}

/// One cell over the runs of a group: a line for each kernel.
#[derive(Debug)]
pub struct Panel {
    /// Family of the kernels.
    pub family: Family,
    /// The cell in words.
    pub title: String,
    /// Id of the kernel that the ratios are over.
    pub partner: String,
    /// The smallest difference that counts in each run; none where it lacks the cell.
    pub floors: Vec<Option<f64>>,
    /// The line of each kernel.
    pub lines: Vec<Line>,
}

#[cfg(test)]
impl Panel {
    /// A panel of one cell and one kernel, a value a run, for tests of what draws it.
    pub fn of_one_kernel(values: Vec<Option<f64>>) -> Self {
        Self {
            family: Family::W2A8,
            title: "t".into(),
            partner: "p".into(),
            floors: vec![Some(0.05); values.len()],
            lines: vec![Line { kernel: "k".into(), values }],
        }
    }
}

/// One kernel over the runs of a group, with gaps where a run lacks it.
#[derive(Debug)]
pub struct Line {
    /// Id of the kernel.
    pub kernel: String,
    /// The kernel's ratio over the partner in each run; none where a run lacks it.
    pub values: Vec<Option<f64>>,
}

/// Indices of the runs in order of time; runs whose time cannot be read come first, in the order given.
pub fn order(points: &[Point]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|&i| points[i].time);
    order
}

/// Groups of runs that timed something, the one with the newest run first.
pub fn groups(points: &[Point]) -> Vec<Group> {
    let mut keys: Vec<(&str, Vec<usize>)> = Vec::new();
    for i in order(points).into_iter().filter(|&i| !points[i].cells.is_empty()) {
        match keys.iter_mut().find(|(key, _)| *key == points[i].key) {
            Some((_, runs)) => runs.push(i),
            None => keys.push((&points[i].key, vec![i])),
        }
    }
    keys.sort_by_key(|(_, runs)| std::cmp::Reverse(runs.last().map(|&i| points[i].time)));
    let group = |(_, runs): (&str, Vec<usize>)| Group {
        host: points[runs[0]].host.clone(),
        scenario: points[runs[0]].scenario.clone(),
        panels: panels(points, &runs),
        runs,
    };
    keys.into_iter().map(group).collect()
}

/// Cells in the order of the newest run that has them.
fn panels(points: &[Point], runs: &[usize]) -> Vec<Panel> {
    let mut questions: Vec<&Question> = Vec::new();
    for cell in runs.iter().rev().flat_map(|&i| &points[i].cells) {
        if !questions.contains(&&cell.question) {
            questions.push(&cell.question);
        }
    }
    let panel = |q: &Question| {
        let at: Vec<Option<&CellPoint>> =
            runs.iter().map(|&i| points[i].cells.iter().find(|c| c.question == *q)).collect();
        let mut ids: Vec<&String> = Vec::new();
        for (id, _) in at.iter().rev().flatten().flat_map(|c| &c.kernels) {
            if *id != q.partner && !ids.contains(&id) {
                ids.push(id);
            }
        }
        let value = |c: &CellPoint, id: &str| c.kernels.iter().find(|(k, _)| k == id).and_then(|(_, v)| *v);
        let line = |id: &String| Line {
            kernel: id.clone(),
            values: at.iter().map(|c| c.and_then(|c| value(c, id))).collect(),
        };
        Panel {
            family: q.family,
            title: q.title.clone(),
            partner: q.partner.clone(),
            floors: at.iter().map(|c| c.map(|c| c.floor)).collect(),
            lines: ids.into_iter().map(line).collect(),
        }
    };
    questions.into_iter().map(panel).filter(|p| !p.lines.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn at(time: &str, change: impl FnOnce(&mut Receipt)) -> Point {
        let mut receipt = fixture::complete();
        receipt.timestamp = time.into();
        change(&mut receipt);
        Point::new(&receipt)
    }

    #[test]
    fn a_line_never_joins_two_hosts_or_scenarios() {
        let points = [
            at("2026-02-03T04:05:06Z", |_| {}),
            at("2026-02-01T04:05:06Z", |r| r.host.cpu = "Other CPU".into()),
            at("2026-02-02T04:05:06Z", |_| {}),
            at("2026-02-04T04:05:06Z", |r| r.scenario.quick = true),
            at("2026-02-05T04:05:06Z", |r| r.settings.threads = 2),
        ];
        let groups = groups(&points);
        let runs: Vec<&[usize]> = groups.iter().map(|g| &g.runs[..]).collect();
        assert_eq!(runs, [&[4][..], &[3], &[2, 0], &[1]]);
        assert!(groups[3].host.contains("Other CPU") && groups[0].host.contains("2 threads"));
    }

    #[test]
    fn what_a_run_lacks_is_a_gap() {
        let points = [
            at("2026-02-01T00:00:00Z", |_| {}),
            at("2026-02-02T00:00:00Z", |r| r.micro.iter_mut().for_each(|c| c.summaries[2].kernel = "renamed".into())),
            at("2026-02-03T00:00:00Z", |_| {}),
        ];
        let groups = groups(&points);
        let panel = &groups[0].panels[0];
        let line = |id: &str| panel.lines.iter().find(|l| l.kernel == id).unwrap();
        assert!(panel.lines.iter().all(|l| l.kernel != panel.partner));
        let there = |id: &str| line(id).values.iter().map(Option::is_some).collect::<Vec<_>>();
        assert_eq!(there("avx2-nibble"), [true, false, true]);
        assert_eq!(there("renamed"), [false, true, false]);
    }

    #[test]
    fn another_partner_is_another_line() {
        let points = [
            at("2026-02-01T00:00:00Z", |_| {}),
            at("2026-02-02T00:00:00Z", |r| r.micro.iter_mut().for_each(|c| c.summaries[0].kernel = "other".into())),
        ];
        assert!(
            groups(&points)[0].panels.iter().all(|p| p.lines.iter().all(|l| l.values.iter().flatten().count() == 1))
        );
    }
}
