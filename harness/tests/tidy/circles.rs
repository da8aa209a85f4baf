//! Circles of files: each reaches each along the arrows, so none of them can be read, tested or moved alone.

use crate::arrows::{Arrows, arrows};
use crate::modules::Repository;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub fn complaints(repository: &Repository) -> Vec<String> {
    let arrows = arrows(repository);
    circles(&arrows).iter().map(|circle| complaint(circle, &arrows)).collect()
}

fn complaint(circle: &BTreeSet<&str>, arrows: &Arrows) -> String {
    let shortest = shortest(circle, arrows).join(" -> ");
    let first = circle.first().expect("a circle has files");
    let mut text = format!("{first}: one of {} files in a circle; the shortest way round is {shortest};", circle.len());
    text += " move what both sides name to a file that names neither";
    for ((from, to), names) in within(circle, arrows) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        text += &format!("\n    {from} -> {to}: {}", names.join(", "));
    }
    text
}

fn within<'a>(
    circle: &BTreeSet<&str>,
    arrows: &'a Arrows,
) -> impl Iterator<Item = (&'a (String, String), &'a BTreeSet<String>)> {
    arrows.iter().filter(|((from, to), _)| circle.contains(from.as_str()) && circle.contains(to.as_str()))
}

/// The files of the shortest way from one of them back to itself.
fn shortest<'a>(circle: &BTreeSet<&'a str>, arrows: &'a Arrows) -> Vec<&'a str> {
    let ways = circle.iter().filter_map(|&start| {
        let mut ways = VecDeque::from([vec![start]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop_front() {
            let last = way[way.len() - 1];
            for ((_, to), _) in within(circle, arrows).filter(|((from, _), _)| from == last) {
                let longer = [way.as_slice(), &[to]].concat();
                if to == start {
                    return Some(longer);
                } else if seen.insert(to) {
                    ways.push_back(longer);
                }
            }
        }
        None
    });
    ways.min_by_key(Vec::len).expect("a circle leads back to where it began")
}

/// The strongly connected components of more than one file, in order of their first files (Tarjan 1972).
pub fn circles(arrows: &Arrows) -> Vec<BTreeSet<&str>> {
    let mut targets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in arrows.keys() {
        targets.entry(from).or_default().push(to);
    }
    let mut search =
        Search { targets, order: BTreeMap::new(), low: BTreeMap::new(), open: Vec::new(), circles: Vec::new() };
    let files: Vec<&str> = search.targets.keys().copied().collect();
    for file in files {
        if !search.order.contains_key(file) {
            search.visit(file);
        }
    }
    search.circles.sort();
    search.circles
}

struct Search<'a> {
    targets: BTreeMap<&'a str, Vec<&'a str>>,
    /// When a file was first seen.
    order: BTreeMap<&'a str, usize>,
    /// The earliest open file that is reached from a file.
    low: BTreeMap<&'a str, usize>,
    /// Files whose circle is not closed yet.
    open: Vec<&'a str>,
    circles: Vec<BTreeSet<&'a str>>,
}

impl<'a> Search<'a> {
    fn visit(&mut self, file: &'a str) {
        let order = self.order.len();
        self.order.insert(file, order);
        self.open.push(file);
        let mut low = order;
        for target in self.targets.get(file).cloned().unwrap_or_default() {
            if !self.order.contains_key(target) {
                self.visit(target);
                low = low.min(self.low[target]);
            } else if self.open.contains(&target) {
                low = low.min(self.order[target]);
            }
        }
        self.low.insert(file, low);
        if low == order {
            let start = self.open.iter().position(|&open| open == file).expect("it was opened above");
            let circle: BTreeSet<&str> = self.open.split_off(start).into_iter().collect();
            if circle.len() > 1 {
                self.circles.push(circle);
            }
        }
    }
}
