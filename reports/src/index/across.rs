//! What may stand side by side over machines: shares of each machine's own limit, ratios over the same partner, and
//! directions. Never a time.

use super::entry::Entry;
use super::figures::{Figure, Repeats, by_build};
use super::times::{anchor, over_time, ratio, share};
use crate::chart::{self, Chart, OneMachine};
use crate::document::{Block, Cell, Column, Row, Section, Table, Value};
use crate::history::{Group, Point, Question};
use receipt::{Operation, figures};

const NOTE: &str = "A table is one question: cell, partner, scenario and setting are the same in all of its rows, the \
                    machines are not. A share is of the limit that the machine's own run measured, a ratio is over \
                    the partner that took turns with the kernel on that machine; of each machine its newest build. \
                    Products are those from the furthest place that was read. No times: those of two machines are \
                    never divided by each other.";

/// One kernel on one machine.
struct Place<'a> {
    point: &'a Point,
    asked: String,
    group: &'a Group,
    figure: Figure<'a>,
}

/// All that is known across machines, in the order of tables and rows.
pub struct Across<'a> {
    places: Vec<Place<'a>>,
}

impl<'a> Across<'a> {
    /// Of each group of runs the newest build. None where there is one machine only.
    pub fn of(entries: &'a [Entry], machines: &[(&'a Point, Vec<&'a Group>)]) -> Option<Self> {
        if machines.len() < 2 {
            return None;
        }
        let mut places = Vec::new();
        for (point, groups) in machines {
            for group in groups {
                let Some(Repeats { figures, runs }) = by_build(entries, group).into_iter().next() else { continue };
                let asked = runs.last().map_or_else(String::new, |run| run.asked());
                let far = figures.into_iter().filter(|figure| figure.far);
                places.extend(far.map(|figure| Place { point, asked: asked.clone(), group, figure }));
            }
        }
        places.sort_by(|a, b| a.order().cmp(&b.order()).then_with(|| b.share().total_cmp(&a.share())));
        Some(Self { places })
    }

    /// A table for each question, and a picture for each kernel but the one whose picture is `drawn` already.
    pub fn section(&self, drawn: Option<&str>) -> Option<Section> {
        let same = |a: &Place<'_>, b: &Place<'_>| a.question() == b.question();
        let tables = self.places.chunk_by(same).enumerate().map(|(i, places)| Block::Table(table(i + 1, places)));
        let pictures = self.pictures(drawn).into_iter().map(Block::Chart);
        let section = Section::new("across", "Kernels across machines").note(NOTE);
        section.with(tables).with(pictures).if_any()
    }

    /// The picture of one kernel, for the first screen.
    pub fn picture(&self, kernel: &str) -> Option<Chart> {
        let own = self.places.iter().filter(|place| place.figure.newest.kernel == kernel).collect();
        picture(kernel, own)
    }

    fn pictures(&self, drawn: Option<&str>) -> Vec<Chart> {
        let mut kernels: Vec<&str> = self.places.iter().map(|place| place.figure.newest.kernel.as_str()).collect();
        kernels.sort_unstable();
        kernels.dedup();
        let left = kernels.into_iter().filter(|kernel| drawn != Some(*kernel));
        left.filter_map(|kernel| self.picture(kernel)).collect()
    }
}

impl Place<'_> {
    fn question(&self) -> (&Question, &str) {
        (self.figure.question, &self.asked)
    }

    fn order(&self) -> (&Question, &str, &str) {
        (self.figure.question, &self.asked, &self.figure.newest.kernel)
    }

    fn share(&self) -> f64 {
        self.figure.share.unwrap_or(f64::NEG_INFINITY)
    }
}

fn table(i: usize, places: &[Place<'_>]) -> Table {
    let columns = vec![
        Column::words("CPU").filter(),
        Column::words("ISA").filter(),
        Column::words("Kernel").filter(),
        Column::number("Of limit"),
        Column::number("Speed-up").under("newest run"),
        Column::number("Runs"),
        Column::number("Over time"),
    ];
    let row = |(r, place): (usize, &Place<'_>)| {
        let figure = &place.figure;
        let line = over_time(place.group, figure);
        let cells = vec![
            Cell::from(place.point.machine.name.as_str()).under(Value::Code(place.point.machine.short().into())),
            figure.newest.isa.as_str().into(),
            Cell::from(figure.newest.kernel.as_str()).link(anchor(place.point)),
            share(figure),
            ratio(figure),
            Value::Integer(figure.runs as u64).into(),
            line.map_or_else(Cell::default, Cell::from),
        ];
        Row::new(format!("across-{i}-{}", r + 1), cells)
    };
    let (title, asked, partner) = match places.first() {
        Some(first) => (&*first.figure.question.title, &*first.asked, &*first.figure.question.partner),
        None => ("", "", ""),
    };
    let title = format!("{title}, over {partner}: {asked}");
    Table::new(format!("across-{i}"), title, columns).rows(places.iter().enumerate().map(row))
}

/// The shares of a kernel on all machines, for the question that most of them answer.
fn picture(kernel: &str, places: Vec<&Place<'_>>) -> Option<Chart> {
    let known: Vec<&Place<'_>> = places.into_iter().filter(|place| place.figure.share.is_some()).collect();
    // Of questions with equally many machines one matrix times one vector, and of those the first.
    let is_gemv = |places: &[&Place<'_>]| places[0].figure.question.title.starts_with(Operation::Gemv.name());
    let by_question = known.chunk_by(|a, b| a.question() == b.question()).rev();
    let most = by_question.max_by_key(|places| (places.len(), is_gemv(places)))?;
    if most.len() < 2 {
        return None;
    }
    let (question, asked) = most[0].question();
    let machine = |place: &&Place<'_>| {
        let machine = &place.point.machine;
        OneMachine { name: format!("{} {}", figures::label(&machine.name, 30), machine.short()), share: place.share() }
    };
    let rows: Vec<OneMachine> = most.iter().map(machine).collect();
    chart::shares(kernel, &format!("{}, {asked}", question.title), &rows)
}
