//! A table a machine: the times of its own runs, what lies between runs, and what became of each kernel over them.

use super::entry::Entry;
use super::figures::{Figure, Repeats, by_build};
use super::spark::spark;
use crate::document::{Block, Cell, Column, Row, Section, Table, Tone, Value};
use crate::history::{Group, Point};
use crate::words::count;
use receipt::figures::percent;

const NOTE: &str = "A row is a kernel in one cell: the median over the runs of one build, scenario and setting of \
                    their median times, and the standard deviation between these runs. The ratio is the newest \
                    run's, with its direction; below it in how many runs the direction is the same. The line over \
                    time joins the runs of all builds.";

/// Id of a machine's place on the page.
pub fn anchor(point: &Point) -> String {
    format!("times-{}", point.machine.short())
}

/// The section with a folded table for each machine, in the order given: the groups of one machine are together.
pub fn section(entries: &[Entry], machines: &[(&Point, Vec<&Group>)]) -> Option<Section> {
    let alone = machines.len() == 1;
    let of_machine = |(point, groups): &(&Point, Vec<&Group>)| {
        let runs: usize = groups.iter().map(|group| group.runs.len()).sum();
        let gist = format!("{} · {}", point.machine.facts, count(runs, "run"));
        let section = Section::new(anchor(point), format!("{} {}", point.machine.name, point.machine.short()));
        let section = section.tables([table(entries, point, groups)]);
        Block::Section(if alone { section.say(gist) } else { section.folded(gist) })
    };
    let blocks: Vec<Block> = machines.iter().map(of_machine).collect();
    Section::new("times", "Times, a table a machine").note(NOTE).with(blocks).if_any()
}

fn table(entries: &[Entry], point: &Point, groups: &[&Group]) -> Table {
    let columns = vec![
        Column::words("Kernel").filter(),
        Column::words("Cell").filter(),
        Column::words("Scenario").filter(),
        Column::words("Build").filter(),
        Column::number("Runs"),
        Column::number("Time").under("a call, or a token"),
        Column::number("Between runs").under("standard deviation"),
        Column::number("Of limit"),
        Column::number("Speed-up").under("newest run"),
        Column::number("Over time"),
    ];
    let id = format!("times-of-{}", point.machine.short());
    let mut rows = Vec::new();
    for group in groups {
        for (age, repeats) in by_build(entries, group).iter().enumerate() {
            for figure in &repeats.figures {
                let line = if age == 0 { over_time(group, figure) } else { None };
                rows.push(Row::new(format!("{id}-{}", rows.len() + 1), cells(repeats, figure, line)));
            }
        }
    }
    Table::new(id, point.machine.name.as_str(), columns).rows(rows)
}

/// The line of a kernel over the runs of a group; none where there is nothing to join.
pub fn over_time(group: &Group, figure: &Figure<'_>) -> Option<Value> {
    let panel = group.panels.iter().find(|panel| panel.question == *figure.question)?;
    let line = panel.lines.iter().find(|line| line.kernel == figure.newest.kernel)?;
    (group.runs.len() > 1).then(|| spark(panel, line)).flatten().map(|(_, drawing)| Value::Drawing(drawing))
}

/// The newest run's ratio over the partner, and how many runs say the same.
pub fn ratio(figure: &Figure<'_>) -> Cell {
    let Some(ratio) = figure.ratio() else {
        let alone = figure.question.partner == figure.newest.kernel;
        return if alone { Value::Factor(1.0).into() } else { Value::Absent("not paired").into() };
    };
    let cell = Cell::from(Value::Judged(ratio.clone())).under(format!("over {}", ratio.partner));
    match figure.runs {
        1 => cell,
        runs => cell.under(format!("{} in {} of {runs} runs", ratio.direction().word(), figure.agree)),
    }
}

fn cells(repeats: &Repeats<'_>, figure: &Figure<'_>, line: Option<Value>) -> Vec<Cell> {
    let (asked, commit, compiler) = match repeats.newest() {
        Some(point) => (point.asked(), point.commit.clone(), point.compiler.clone()),
        None => Default::default(),
    };
    vec![
        figure.newest.kernel.as_str().into(),
        figure.question.title.as_str().into(),
        asked.into(),
        Cell::from(Value::Code(commit)).under(compiler),
        Value::Integer(figure.runs as u64).into(),
        Value::Time(figure.ns).into(),
        figure.between_runs.map_or(Value::Absent("one run"), |share| percent(share).into()).into(),
        share(figure),
        ratio(figure),
        line.map_or_else(Cell::default, Cell::from),
    ]
}

/// The share of the machine's own limit.
pub fn share(figure: &Figure<'_>) -> Cell {
    let known = figure.share.filter(|share| share.is_finite());
    Cell::from(known.map_or(Value::Absent("unknown"), Value::Percent)).tone(Tone::Plain)
}
