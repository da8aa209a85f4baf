//! The raw rounds of every comparison, compactly, with how it was set up and why each verdict is what it is.

use super::anchors;
use crate::document::{Block, Cell, Column, Drawing, Row, Section, Table, Tone, Value};
use crate::words::count;
use crate::{chart, query};
use receipt::{Family, MicroCell, MicroEntry, Receipt, figures};

/// Points of a strip; more rounds than that are thinned, and the page says so.
const STRIP_POINTS: usize = 100;
const NOTE: &str = "Each comparison with how it was set up, what its rounds looked like in the order they ran, and \
                    why each direction is what it is. “Single rounds” is how far 95% of the rounds of one kernel \
                    against itself were from 1: what one round can make up, of which no word is made. Every single \
                    time is in receipt.json, at the place named.";

/// The section of raw rounds: a fold a comparison, by family, below the traces of those that headlines speak of.
pub fn section(receipt: &Receipt) -> Option<Section> {
    let of_family = |family: Family| {
        let own = receipt.micro.iter().enumerate().filter(|(_, c)| c.family == family);
        let cells = own.map(|(i, c)| Block::Section(cell(i, c)));
        Section::new(format!("rounds-{}", anchors::slug(family.name())), query::family_in(receipt, family))
            .with(cells)
            .if_any()
    };
    let families: Vec<Section> = Family::ALL.into_iter().filter_map(of_family).collect();
    let section =
        Section::new("rounds", "Raw rounds").note(NOTE).with(chart::traces(receipt).into_iter().map(Block::Chart));
    (!families.is_empty()).then(|| section.with(families.into_iter().map(Block::Section)))
}

fn cell(index: usize, cell: &MicroCell) -> Section {
    let fastest = query::fastest(cell).map_or_else(String::new, |s| match &s.vs_baseline {
        Some(r) => format!("{} {}", s.kernel, figures::judged(r)),
        None => s.kernel.clone(),
    });
    let counts = query::threshold(cell)
        .map_or_else(String::new, |t| format!(" differences count from ±{} ·", figures::percent(t)));
    let unstable = query::unstable(cell);
    let gist = match cell.rounds.len() {
        0 => "no rounds measured".into(),
        n => format!("fastest {fastest} ·{counts} {n} rounds{}", if unstable { " · unstable" } else { "" }),
    };
    let mut said = setup(cell) + ".";
    if let Some(stream) = cell.stream.as_ref().filter(|s| s.gb_s > 0.0) {
        let rate = figures::number(stream.gb_s);
        said += &match query::on_device(cell) {
            true => format!(" Only reading the same bytes, in the same rounds, by a shader: {rate} GB/s."),
            false => format!(
                " Only reading the same bytes, in the same rounds and with the same threads: {rate} GB/s, the bound \
                 of a kernel whose weights come from memory."
            ),
        };
    }
    if unstable {
        said += " The A/A pair came out different, so nothing in this table should be used.";
    }
    let said = format!("{said} Raw: `/micro/{index}/rounds`");
    let table = (!cell.rounds.is_empty()).then(|| table(index, cell));
    Section::new(anchors::cell(index), query::cell_title(cell)).note(said).tables(table).folded(gist)
}

fn table(index: usize, cell: &MicroCell) -> Table {
    let shown = match cell.rounds.len().div_ceil(STRIP_POINTS) {
        0 | 1 => "in order".into(),
        n => format!("in order, 1 in {n} shown"),
    };
    let columns = vec![
        Column::words("Kernel"),
        Column::words("Round ratios over the first row").under(shown),
        Column::number("Min"),
        Column::number("Median"),
        Column::number("Max"),
        Column::number(if query::on_device(cell) { "Device / wall" } else { "On CPU" }),
        Column::number("Preempted"),
        Column::number("Single rounds"),
        Column::words("Against what it builds on"),
        Column::words("Output SHA-256"),
    ];
    let rows = (0..cell.summaries.len()).filter_map(|entry| row(index, cell, entry));
    Table::new(anchors::cell(index), query::cell_title(cell), columns).rows(rows)
}

fn row(index: usize, cell: &MicroCell, i: usize) -> Option<Row> {
    let ratios = query::round_ratios(cell, i);
    let median = figures::median(ratios.iter().copied())?;
    let (min, max) = ratios.iter().fold((f64::INFINITY, 0.0f64), |(low, high), r| (low.min(*r), high.max(*r)));
    let sum = |times: fn(&receipt::Round) -> &Vec<u64>| -> u64 {
        cell.rounds.iter().filter_map(|r| times(r).get(i)).copied().fold(0, u64::saturating_add)
    };
    let on_device = query::on_device(cell);
    // How much of the wall time was computing: the thread's own time, or that between the device's timestamps.
    let (wall, own) =
        if on_device { (sum(|r| &r.wall_ns), sum(|r| &r.ns)) } else { (sum(|r| &r.ns), sum(|r| &r.cpu_ns)) };
    let switches = cell.rounds.iter().filter_map(|r| r.involuntary_switches.get(i)).map(|s| u64::from(*s)).sum();
    let (s, entry) = (&cell.summaries[i], cell.entries.get(i));
    let self_pair = entry.is_some_and(|e| e.self_pair);
    let name = if self_pair { format!("{} (A/A)", s.kernel) } else { s.kernel.clone() };
    let links = if self_pair { Vec::new() } else { vec![("figures", anchors::measurement(index, i))] };
    let verdict = s.verdict.as_ref();
    let verdict = verdict.map(|v| Cell::from(Value::word(v.direction().word())).under(v.sentence(query::ROUND)));
    let cells = vec![
        Cell { links, ..Cell::from(name).under(entry.map_or_else(String::new, |e| e.name.clone())) },
        Value::Drawing(strip(&ratios, min, max)).into(),
        Value::Factor(min).into(),
        Value::Factor(median).into(),
        Value::Factor(max).into(),
        Value::Percent(own as f64 / wall.max(1) as f64).into(),
        if on_device { Cell::default() } else { Value::Integer(switches).into() },
        if self_pair { Value::Counts(cell.noise_floor).into() } else { Cell::default() },
        verdict.unwrap_or_default().tone(Tone::Plain),
        Cell::from(Value::Code(entry.map_or_else(String::new, |e| figures::short_hash(&e.output_sha256))))
            .under(entry.map_or_else(String::new, distance)),
    ];
    Some(Row { aside: self_pair, ..Row::new(anchors::rounds(index, i), cells) })
}

/// How far from the oracle the output is, where it is not equal.
fn distance(entry: &MicroEntry) -> String {
    let error = entry.max_abs_error.filter(|error| *error != 0.0);
    error.map_or_else(String::new, |error| format!("at most {error:.1e} from the oracle"))
}

fn setup(cell: &MicroCell) -> String {
    let copies = match cell.copies {
        0 | 1 => "one copy of the weights".to_string(),
        n => format!("{n} copies of the weights in rotation"),
    };
    let again = cell.unstable_first.as_ref().map_or_else(String::new, |first| {
        let rounds = first.rounds.len();
        format!("; measured twice, because over the first {rounds} rounds the same code differed from itself")
    });
    format!(
        "{} weights a call, {} an epoch, {copies}, {}, seed {}{again}",
        figures::integer(cell.weights_per_call),
        count(cell.calls_per_epoch as usize, "call"),
        if query::on_device(cell) { "on the device".into() } else { count(cell.threads, "thread") },
        cell.seed
    )
}

/// Rounds from left to right, ratio upwards between its own extremes.
fn strip(ratios: &[f64], min: f64, max: f64) -> Drawing {
    let step = ratios.len().div_ceil(STRIP_POINTS).max(1);
    let points: Vec<f64> = ratios.iter().copied().step_by(step).collect();
    let dx = 198.0 / (points.len().max(2) - 1) as f64;
    let height = |v: f64| if max > min { 19.0 - 18.0 * (v - min) / (max - min) } else { 10.0 };
    let line = points.iter().enumerate().map(|(i, v)| (1.0 + dx * i as f64, height(*v))).collect();
    let label = format!("from {} to {}", figures::ratio(min), figures::ratio(max));
    Drawing { label, lines: vec![line], ..Drawing::default() }
}
