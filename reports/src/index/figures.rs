//! What the runs of one machine, build, scenario and setting say together of each kernel in each cell.

use super::entry::Entry;
use crate::history::{Group, KernelPoint, Point, Question};
use receipt::{Ratio, figures};

/// Runs that repeat each other: one machine, build, scenario and setting.
pub struct Repeats<'a> {
    /// The runs, the oldest first; there is one at least.
    pub runs: Vec<&'a Point>,
    /// What they say of each kernel, in the order of the newest run that has the cell.
    pub figures: Vec<Figure<'a>>,
}

/// A kernel in a cell, over runs that repeat each other.
pub struct Figure<'a> {
    /// What was asked.
    pub question: &'a Question,
    /// Whether nothing further away was read for the same kind of product.
    pub far: bool,
    /// The kernel in the newest run that has it.
    pub newest: &'a KernelPoint,
    /// In how many runs it was timed.
    pub runs: usize,
    /// Median over runs of their median times, in nanoseconds.
    pub ns: f64,
    /// Standard deviation of the runs' times as a share of their mean; none of one run.
    pub between_runs: Option<f64>,
    /// Median over runs of the share of the machine's limit.
    pub share: Option<f64>,
    /// In how many runs the direction is that of the newest.
    pub agree: usize,
}

impl Figure<'_> {
    /// The newest run's ratio over the partner.
    pub fn ratio(&self) -> Option<&Ratio> {
        self.newest.ratio.as_ref()
    }
}

impl Repeats<'_> {
    /// The newest of the runs.
    pub fn newest(&self) -> Option<&Point> {
        self.runs.last().copied()
    }
}

/// The runs of a group by build, the build with the newest run first.
pub fn by_build<'a>(entries: &'a [Entry], group: &Group) -> Vec<Repeats<'a>> {
    let mut builds: Vec<Vec<&Point>> = Vec::new();
    // The newest first, so that the builds are.
    for point in group.runs.iter().rev().map(|&i| &entries[i].point) {
        match builds.iter_mut().find(|runs| runs[0].build == point.build) {
            Some(runs) => runs.push(point),
            None => builds.push(vec![point]),
        }
    }
    let repeats = |mut runs: Vec<&'a Point>| {
        runs.reverse();
        Repeats { figures: figures_of(&runs), runs }
    };
    builds.into_iter().map(repeats).collect()
}

fn figures_of<'a>(runs: &[&'a Point]) -> Vec<Figure<'a>> {
    let mut out: Vec<(Figure<'a>, Vec<&'a KernelPoint>)> = Vec::new();
    let cells = runs.iter().rev().flat_map(|run| &run.cells);
    for (cell, k) in cells.flat_map(|cell| cell.kernels.iter().map(move |k| (cell, k))) {
        match out.iter_mut().find(|(f, _)| f.newest.kernel == k.kernel && *f.question == cell.question) {
            Some((_, points)) => points.push(k),
            None => {
                let (ns, between_runs, share) = (k.ns, None, k.share);
                let figure = Figure {
                    question: &cell.question,
                    far: cell.far,
                    newest: k,
                    runs: 1,
                    ns,
                    between_runs,
                    share,
                    agree: 1,
                };
                out.push((figure, vec![k]));
            }
        }
    }
    out.into_iter().map(|(figure, points)| over_runs(figure, &points)).collect()
}

fn over_runs<'a>(figure: Figure<'a>, points: &[&KernelPoint]) -> Figure<'a> {
    let direction = |k: &KernelPoint| k.ratio.as_ref().map(Ratio::direction);
    let own = direction(figure.newest);
    Figure {
        runs: points.len(),
        ns: figures::median(points.iter().map(|k| k.ns)).unwrap_or(figure.ns),
        between_runs: deviation(points.iter().map(|k| k.ns)),
        share: figures::median(points.iter().filter_map(|k| k.share)),
        agree: points.iter().filter(|k| direction(k) == own).count(),
        ..figure
    }
}

/// Standard deviation of a sample as a share of its mean; none of fewer than two values, or around zero.
fn deviation(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1 && mean > 0.0).then(|| (squares / (values.len() - 1) as f64).sqrt() / mean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::history::groups;
    use crate::index::Links;
    use receipt::Receipt;

    fn entry(time: &str, change: impl FnOnce(&mut Receipt)) -> Entry {
        let mut receipt = Receipt { timestamp: time.into(), ..fixture::complete() };
        change(&mut receipt);
        Entry::new(time.into(), Links { report: None, receipt: String::new() }, &receipt)
    }

    fn times(receipt: &mut Receipt, factor: f64) {
        receipt.micro.iter_mut().flat_map(|c| &mut c.summaries).for_each(|s| s.median_ns_per_call *= factor);
    }

    #[test]
    fn repeats_give_medians_and_what_lies_between_runs() {
        let entries = [
            entry("2026-02-01T00:00:00Z", |r| times(r, 0.9)),
            entry("2026-02-02T00:00:00Z", |_| {}),
            entry("2026-02-03T00:00:00Z", |r| times(r, 1.1)),
            entry("2026-02-04T00:00:00Z", |r| r.build.git_commit = Some("another".into())),
        ];
        let points: Vec<Point> = entries.iter().map(|e| e.point.clone()).collect();
        let groups = groups(&points);
        assert_eq!(groups.len(), 1);
        let builds = by_build(&entries, &groups[0]);
        let runs: Vec<usize> = builds.iter().map(|b| b.runs.len()).collect();
        assert_eq!(runs, [1, 3], "times of two builds are never one figure");
        let (alone, three) = (&builds[0].figures[0], &builds[1].figures[0]);
        assert_eq!((alone.runs, alone.between_runs, three.runs, three.agree), (1, None, 3, 3));
        assert!((three.ns - alone.ns).abs() < 1e-9, "{} {}", three.ns, alone.ns);
        assert!((three.between_runs.unwrap() - 0.1).abs() < 1e-9, "{:?}", three.between_runs);
    }

    #[test]
    fn only_the_furthest_place_stands_for_a_kind_of_product() {
        let entry = entry("2026-02-01T00:00:00Z", |_| {});
        let far: Vec<&str> = entry.point.cells.iter().filter(|c| c.far).map(|c| c.question.title.as_str()).collect();
        assert!(far.iter().any(|t| t.contains("from DRAM")) && !far.iter().any(|t| t.contains("from LLC")), "{far:?}");
        assert!(far.iter().any(|t| t.starts_with("whole text of")), "{far:?}");
    }
}
