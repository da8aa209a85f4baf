//! Several runs in order of time: which may share a line, and the lines. A line is a kernel's paired ratio in one cell,
//! over runs that say the same about machine and setting; raw times of different days are never on one.

use super::comparison::identity;
use super::query;
use jiff::Timestamp;
use receipt::figures;
use receipt::judge::{Machine, reading};
use receipt::{Family, MicroCell, MicroSummary, Ratio, Receipt, titles};

/// What a history keeps of a run: small, so that thousands of receipts can be read one after the other.
#[derive(Clone, Debug)]
pub struct Point {
    /// Start of the run, if it can be read.
    pub time: Option<Timestamp>,
    /// Start of the run in words.
    pub when: String,
    /// Commit in short, with `+` for uncommitted changes.
    pub commit: String,
    /// The whole build, as JSON: runs of equal builds repeat each other.
    pub build: String,
    /// Version of the compiler: `rustc 1.95.0`.
    pub compiler: String,
    /// The machine, as it describes itself.
    pub machine: Machine,
    /// Machine and setting of the run in words.
    pub host: String,
    /// The setting alone: threads, and what hides features of the CPU.
    pub setting: String,
    /// Scenario of the run in words.
    pub scenario: String,
    /// Runs with equal keys may share a line.
    key: String,
    /// Headline cells, and whole text.
    pub cells: Vec<CellPoint>,
}

/// A headline cell of one run, or its whole text.
#[derive(Clone, Debug)]
pub struct CellPoint {
    /// What was asked.
    pub question: Question,
    /// Whether nothing further away was read for the same kind of product: memory rather than a cache.
    pub far: bool,
    floor: f64,
    /// What is known of each kernel, the partner too.
    pub kernels: Vec<KernelPoint>,
}

/// A kernel in a cell of one run.
#[derive(Clone, Debug)]
pub struct KernelPoint {
    /// Id of the kernel.
    pub kernel: String,
    /// The instruction set that the kernel is written for.
    pub isa: String,
    /// Median time of a call, or of a token of a text, in nanoseconds.
    pub ns: f64,
    /// Share of the machine's limit, where that is known.
    pub share: Option<f64>,
    /// Its speed over the partner; none of the partner itself, and where nothing was paired.
    pub ratio: Option<Ratio>,
}

/// What must be equal for two figures to stand side by side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// Family of the kernels.
    pub family: &'static str,
    /// The cell in words: operation, shape, place of the weights, what shares a scale; or the text.
    pub title: String,
    /// Id of the kernel that ratios are over.
    pub partner: String,
    /// What more a text depends on: the model's hash.
    about: String,
}

impl Point {
    /// What a history keeps of the run with this receipt.
    pub fn new(receipt: &Receipt) -> Self {
        let time = receipt.timestamp.parse::<Timestamp>().ok();
        let when =
            time.map_or_else(|| figures::label(&receipt.timestamp, 24), |t| t.strftime("%Y-%m-%d %H:%M").to_string());
        let build = &receipt.build;
        let dirty = if build.git_dirty == Some(true) { "+" } else { "" };
        let commit = build.git_commit.as_deref().map_or("no commit".into(), |c| c.chars().take(10).collect::<String>());
        let scenario = identity::scenario(receipt);
        let machine = Machine::of(receipt);
        let cells = Family::ALL.into_iter().flat_map(|family| cells(receipt, family)).chain(texts(receipt)).collect();
        Self {
            time,
            when,
            commit: commit + dirty,
            // Facts only, so that it can always be written.
            build: serde_json::to_string(build).unwrap_or_default(),
            compiler: build.rustc.split(" (").next().unwrap_or_default().into(),
            host: identity::in_words(receipt),
            setting: identity::setting(receipt),
            key: format!("{}\n{}\n{scenario}", machine.id, identity::key(receipt)),
            machine,
            scenario,
            cells,
        }
    }

    /// Scenario and setting in words: `quick, 2 threads`.
    pub fn asked(&self) -> String {
        format!("{}, {}", self.scenario, self.setting)
    }
}

fn isa(receipt: &Receipt, kernel: &str) -> String {
    receipt.kernels.iter().find(|k| k.id == kernel).map_or_else(String::new, |k| k.isa.clone())
}

fn cells(receipt: &Receipt, family: Family) -> Vec<CellPoint> {
    let heads: Vec<&MicroCell> =
        query::headlines(receipt, family).into_iter().filter(|c| !c.rounds.is_empty()).collect();
    let kind = |c: &MicroCell| (c.op, c.scaling());
    let point = |(i, c): (usize, &&MicroCell)| {
        let partner = c.summaries.first()?.kernel.clone();
        let question =
            Question { family: family.name(), title: titles::cell_of_a_run(c), partner, about: String::new() };
        let kernel = |s: &MicroSummary| KernelPoint {
            kernel: s.kernel.clone(),
            isa: isa(receipt, &s.kernel),
            ns: s.median_ns_per_call,
            share: s.bound.as_ref().map(|b| b.share),
            ratio: s.vs_baseline.clone(),
        };
        let kernels = query::kernels(c).map(|(_, s)| kernel(s)).collect();
        // The nearest place comes first.
        let far = heads.get(i + 1).is_none_or(|next| kind(next) != kind(c));
        Some(CellPoint { question, far, floor: query::threshold(c).unwrap_or(0.0), kernels })
    };
    heads.iter().enumerate().filter_map(point).collect()
}

/// Whole text, token by token: a question for each partner.
fn texts(receipt: &Receipt) -> Vec<CellPoint> {
    let Some(generation) = &receipt.generation else { return Vec::new() };
    let (name, about) = receipt.model.as_ref().map_or(("the model", ""), |m| (m.name.as_str(), m.sha256.as_str()));
    let title = format!("whole text of {}, a token{}", figures::label(name, 40), titles::other_rule(generation));
    let mut cells: Vec<CellPoint> = Vec::new();
    for k in generation.kernels.iter().filter(|k| k.decode_tokens_per_s > 0.0) {
        let ratio = k.decode_vs_baseline.clone();
        let partner = ratio.as_ref().map_or_else(|| k.kernel.clone(), |ratio| ratio.partner.clone());
        let family = k.family.name();
        let question = Question { family, title: title.clone(), partner, about: about.into() };
        let floor = ratio.as_ref().and_then(Ratio::threshold).unwrap_or(0.0);
        let kernel = KernelPoint {
            kernel: k.kernel.clone(),
            isa: isa(receipt, &k.kernel),
            ns: 1e9 / k.decode_tokens_per_s,
            share: reading::share_of_decode(receipt, k),
            ratio,
        };
        match cells.iter_mut().find(|cell| cell.question == question) {
            Some(cell) => {
                cell.kernels.push(kernel);
                cell.floor = cell.floor.max(floor);
            }
            None => cells.push(CellPoint { question, far: true, floor, kernels: vec![kernel] }),
        }
    }
    cells
}

/// Runs that may share lines, the oldest first.
#[derive(Debug)]
pub struct Group {
    /// Indices of the runs into the points.
    pub runs: Vec<usize>,
    /// Cells of which some run has a kernel beside the partner.
    pub panels: Vec<Panel>,
}

/// One cell over the runs of a group: a line for each kernel.
#[derive(Debug)]
pub struct Panel {
    /// What was asked.
    pub question: Question,
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
            question: Question { family: "W2A8", title: "t".into(), partner: "p".into(), about: String::new() },
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
    let group = |(_, runs): (&str, Vec<usize>)| Group { panels: panels(points, &runs), runs };
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
        for KernelPoint { kernel, .. } in at.iter().rev().flatten().flat_map(|c| &c.kernels) {
            if *kernel != q.partner && !ids.contains(&kernel) {
                ids.push(kernel);
            }
        }
        let value = |c: &CellPoint, id: &str| {
            c.kernels.iter().find(|k| k.kernel == id).and_then(|k| k.ratio.as_ref()).map(|ratio| ratio.median)
        };
        let line = |id: &String| Line {
            kernel: id.clone(),
            values: at.iter().map(|c| c.and_then(|c| value(c, id))).collect(),
        };
        Panel {
            question: q.clone(),
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
        let host = |g: usize| &points[groups[g].runs[0]].host;
        assert!(host(3).contains("Other CPU") && host(0).contains("2 threads"));
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
        assert!(panel.lines.iter().all(|l| l.kernel != panel.question.partner));
        let there = |id: &str| line(id).values.iter().map(Option::is_some).collect::<Vec<_>>();
        assert_eq!(there("avx2-nibble"), [true, false, true]);
        assert_eq!(there("renamed"), [false, true, false]);
    }

    #[test]
    fn another_partner_is_another_line() {
        let points = [
            at("2026-02-01T00:00:00Z", |r| r.generation = None),
            at("2026-02-02T00:00:00Z", |r| {
                r.generation = None;
                r.micro.iter_mut().for_each(|c| c.summaries[0].kernel = "other".into());
            }),
        ];
        assert!(
            groups(&points)[0].panels.iter().all(|p| p.lines.iter().all(|l| l.values.iter().flatten().count() == 1))
        );
    }
}
