//! The page over two runs, and the same in a terminal and in Markdown.

use super::change::Change;
use super::next::next;
use super::parts::{Comparison, Figure, Pair, Run};
use super::{identity, words};
use crate::document::terminal::{self, Look};
use crate::document::{self, Block, Cell, Column, Item, Page, Row, Section, Table, Tone, Value};
use crate::gate_words::{outcome_word, tone};
use crate::index::{Leader, counts_from, speed_up};
use crate::markdown::{escape, with_fold};
use crate::words::status;
use crate::{chart, history::Point, query};
use receipt::judge::Direction;
use receipt::judge::gate::title;
use receipt::{Family, GateRecord, figures};

const RULE: &str = "A figure is the speed-up inside its own run, over a partner that took turns with it. The change \
                    is B's ratio over A's, with an interval of at least 99% from the raw rounds of both. It is \
                    called by the rule that calls every comparison here, with the rounds and the A/A pairs of both \
                    runs: slower or faster if the interval at the run's level is clear of 1 and the median beyond \
                    the smallest difference that counts, which is 3% or twice the A/A noise of the median in the \
                    noisier run; same if the whole interval lies within it; unstable if the same code differed from \
                    itself in one of the runs; else undecided. Decoding is compared by blocks of tokens where both \
                    runs have them; whole texts carry no A/A pair, so they are not compared. As every ratio is over \
                    a partner, a partner that became faster makes all others look slower.";
const CLOCK: &str = "“By the clock” divides medians of two runs of one machine. Such a ratio moves with the machine: \
                     comparing unpaired timings called about half of identical kernels different. It is a hint about \
                     where to look, no verdict, and absent between machines.";
const MACHINES: &str = "What a kernel takes on one machine says nothing about what it would take on another: a ratio \
                        of their times mixes the machines into the code. Even the order of kernels differs between \
                        machines. Each run's own ratios, whose partner took turns with the kernel on the same \
                        machine, stand beside each other below. These facts differ:";
const GATES: &str = "Each gate ran two builds of its own in turns and judged them; its verdicts stand by themselves. \
                     Gates against different baselines are not held against each other.";
const SETTLE: &str = "Two receipts are two processes at two times. The gate runs both builds in turns, with the \
                      machine's own noise measured in the same minutes, and ends with PASS or FAIL and an exit code.";

impl Comparison {
    /// The page that compares the two runs.
    pub fn page(&self) -> Page {
        let sections = [
            self.changed_section(),
            self.next_section(),
            self.differ_section(),
            Some(self.runs_section()),
            self.circumstances_section(),
        ];
        let families = Family::ALL.into_iter().flat_map(|f| [(f, false), (f, true)]);
        let families = families.filter_map(|(family, text)| self.family_section(family, text));
        let method = Section::new("method", "How to read it").say(RULE).say(CLOCK);
        let sections = sections.into_iter().flatten().chain(families).chain(self.gates_section()).chain([method]);
        let names = self.runs().map(|run| format!("{} is {}", run.letter, run.name));
        Page {
            title: "2 runs side by side".into(),
            kind: "tritbench · 2 runs side by side".into(),
            answer: words::answer(self),
            about: names.join(" · "),
            pictures: self.picture().into_iter().collect(),
            warnings: words::remarks(self),
            sections: sections.collect(),
            ..Page::default()
        }
    }

    /// The comparison in a terminal: the answer, what differs, what changed, and the command that settles it.
    pub fn summary(&self, look: Look) -> String {
        let page = self.page();
        let mut out = terminal::opening(&page, look);
        out.push(terminal::wrapped(&page.about, look.width));
        out.extend(page.warnings.iter().map(|warning| terminal::wrapped(warning, look.width)));
        let short = ["differ", "changed", "next"];
        let shown =
            page.sections.iter().filter(|s| if look.full { s.id != "method" } else { short.contains(&s.id.as_str()) });
        out.extend(shown.map(|s| terminal::section(s, look)));
        out.join("\n\n") + "\n"
    }

    /// The comparison for a pull request comment: what changed first, everything else folded.
    pub fn markdown(&self) -> String {
        let page = self.page();
        let mut out = format!("### {}\n\n{}\n\n{}\n", escape(&page.title), escape(&page.answer), escape(&page.about));
        page.warnings.iter().for_each(|warning| out += &format!("\n{}\n", escape(warning)));
        let open = |s: &&Section| ["differ", "changed", "next"].contains(&s.id.as_str());
        for section in page.sections.iter().filter(open) {
            out += &format!("\n**{}**\n\n{}\n", escape(&section.title), document::markdown(section));
        }
        let folded = page.sections.iter().filter(|s| !open(s) && s.id != "method");
        folded.fold(out, |out, section| with_fold(out, &section.title, &document::markdown(section)))
    }

    /// Changes of the products where most is read; of gates alone there is none.
    fn picture(&self) -> Option<chart::Chart> {
        let compared = |pair: &&Pair| pair.change.as_ref().is_some_and(|change| change.ratio.is_some());
        let mut rows: Vec<&Pair> = self.changed();
        let still = self.pairs.iter().filter(compared).filter(|pair| !rows.iter().any(|r| std::ptr::eq(*r, *pair)));
        let still: Vec<&Pair> = still.collect();
        rows.extend(still);
        let row = |pair: &&Pair| {
            let change = pair.change.as_ref()?;
            Some(chart::Moved {
                name: format!("{} {}", pair.kernel, pair.place),
                value: change.ratio?,
                interval: change.low.zip(change.high),
                counts: change.threshold?,
                direction: change.direction,
            })
        };
        let rows: Vec<chart::Moved> = rows.iter().filter_map(row).collect();
        let moved = self.changed();
        let title = match moved.first() {
            Some(pair) => format!("{} of {} figures moved, {} most", moved.len(), rows.len(), pair.kernel),
            None => format!("None of {} figures is known to have moved", rows.len()),
        };
        let note = "B's ratio over A's, each against its own partner";
        let (file, scaled) = ("changes.svg", chart::Scaled::Ratio);
        chart::moved(chart::Frame { file, title: &title, note, hatched: "slower", scaled }, &rows)
    }

    fn runs_section(&self) -> Section {
        let columns = [
            "Run",
            "Started (UTC)",
            "Status",
            "Commit",
            "Scenario",
            "Fastest exact kernel",
            "Counts from",
            "Machine and setting",
        ];
        let row = |run: &Run| {
            let (point, leader) = (Point::new(&run.receipt), Leader::of(&run.receipt));
            let cells = vec![
                Cell::from(format!("{} {}", run.letter, run.name)).to(run.link.clone()),
                point.when.into(),
                status(run.receipt.status).into(),
                Value::Code(point.commit).into(),
                point.scenario.into(),
                match &leader {
                    Some(leader) => speed_up(Some(leader)).under(leader.kernel.as_str()),
                    None => speed_up(None),
                },
                counts_from(&run.receipt),
                point.host.into(),
            ];
            Row::new(format!("run-{}", run.letter), cells)
        };
        let table = Table::new("runs", "Runs", columns.map(Column::words).into()).rows(self.runs().map(row));
        Section::new("runs", "Runs").tables([table])
    }

    fn differ_section(&self) -> Option<Section> {
        let section = Section::new("differ", "Why nothing of B is held against A").say(MACHINES);
        section.tables(facts("differ", &self.differences)).if_any()
    }

    fn circumstances_section(&self) -> Option<Section> {
        let others = identity::circumstances(&self.first.receipt, &self.other.receipt);
        let lacking: Vec<Item> = words::lacking(self).into_iter().map(Item::text).collect();
        let lacking = (!lacking.is_empty()).then(|| {
            let section =
                Section::new("lacking", "Measured in one run only").folded(crate::words::count(lacking.len(), "line"));
            Block::Section(section.with([Block::List(lacking)]))
        });
        Section::new("circumstances", "What else differs")
            .tables(facts("circumstances", &others))
            .with(lacking)
            .if_any()
    }

    fn changed_section(&self) -> Option<Section> {
        let columns = vec![
            Column::words("Kernel"),
            Column::words("B against A"),
            Column::number("ratio of ratios"),
            Column::words("Where"),
        ];
        let row = |(i, pair): (usize, &&Pair)| {
            let change = pair.change.as_ref()?;
            let cells = vec![
                Cell::from(pair.kernel.as_str()).link(pair_id(self, pair)),
                word(change),
                change.figure().unwrap_or_default().into(),
                pair.place.as_str().into(),
            ];
            Some(Row::new(format!("changed-{}", i + 1), cells))
        };
        let changed = self.changed();
        let table = Table::new("changed", "What changed", columns).rows(changed.iter().enumerate().filter_map(row));
        (!table.rows.is_empty()).then(|| Section::new("changed", "What changed").tables([table]))
    }

    fn next_section(&self) -> Option<Section> {
        let (why, commands) = next(self).filter(|_| self.pairs.iter().any(|pair| pair.change.is_some()))?;
        Some(Section::new("next", "For a real verdict").note(SETTLE).say(why).with([Block::Commands(commands)]))
    }

    fn family_section(&self, family: Family, text: bool) -> Option<Section> {
        let unit = if text { "tokens/s" } else { "G weights/s" };
        let kind = if text { ", whole text" } else { "" };
        let mut columns = vec![Column::words("Kernel").filter(), Column::words("Where").filter()];
        columns.extend([Column::words("A"), Column::words("B"), Column::words("B against A").filter()]);
        columns.extend([Column::number("by the clock").under("a hint"), Column::words("Why")]);
        let own = self.pairs.iter().filter(|pair| pair.family == family && pair.text == text);
        let rows = own.map(|pair| {
            let change = pair.change.as_ref();
            let verdict = change.map_or_else(Cell::default, |c| word(c).under(c.figure().unwrap_or_default()));
            let why =
                [pair.note.as_deref(), change.map(|c| c.reason.as_str())].into_iter().flatten().collect::<Vec<_>>();
            let [a, b] = [0, 1].map(|i| figure(&pair.figures[i], unit));
            let clock = self.by_the_clock(pair).map_or(Value::Nothing, Value::Factor);
            let cells = vec![
                pair.kernel.as_str().into(),
                pair.place.as_str().into(),
                a,
                b,
                verdict,
                clock.into(),
                why.join("; ").into(),
            ];
            Row::new(pair_id(self, pair), cells)
        });
        let id = format!("pairs-{}{}", family.name(), if text { "-text" } else { "" });
        let title = format!("{}{kind}", query::family_title(family));
        let table = Table::new(format!("{id}-all"), title.as_str(), columns).rows(rows);
        (!table.rows.is_empty()).then(|| Section::new(id, title).tables([table]))
    }

    /// Speed over speed, on one machine only.
    fn by_the_clock(&self, pair: &Pair) -> Option<f64> {
        let [Ok(a), Ok(b)] = &pair.figures else { return None };
        let ratio = b.rate / a.rate;
        (self.differences.is_empty() && ratio.is_finite() && ratio > 0.0).then_some(ratio)
    }

    fn gates_section(&self) -> Option<Section> {
        let gates: [Option<&GateRecord>; 2] = self.runs().map(|run| run.receipt.gate.as_ref());
        let mut titles: Vec<String> = Vec::new();
        for title in gates.iter().flatten().flat_map(|g| g.cells.iter().map(title)) {
            if !titles.contains(&title) {
                titles.push(title);
            }
        }
        let said = |gate: &Option<&GateRecord>, wanted: &str| {
            let Some(cell) = gate.and_then(|g| g.cells.iter().find(|c| title(c) == wanted)) else {
                return Value::Absent("not in this run").into();
            };
            let v = &cell.verdict;
            let change = format!("{}, threshold {}", Value::Change(v.change).short(), figures::percent(v.delta_eff));
            Cell::from(Value::word(outcome_word(v.outcome))).tone(tone(v.outcome)).under(change)
        };
        let whole = |gate: &Option<&GateRecord>| match gate {
            Some(g) => Cell::from(Value::word(outcome_word(g.outcome))).tone(tone(g.outcome)).under(g.reason.as_str()),
            None => Value::Absent("no gate").into(),
        };
        let row = |id: String, name: &str, cells: [Cell; 2]| {
            let [a, b] = cells;
            Row::new(id, vec![name.into(), a, b])
        };
        let first = row("gate-whole".into(), "The whole gate", [whole(&gates[0]), whole(&gates[1])]);
        let rest = titles
            .iter()
            .enumerate()
            .map(|(i, t)| row(format!("gate-{}", i + 1), t, [said(&gates[0], t), said(&gates[1], t)]));
        let columns = vec![Column::words("Comparison"), Column::words("A"), Column::words("B")];
        let table = Table::new("gates-all", "Gates", columns).rows([first].into_iter().chain(rest));
        gates.iter().any(Option::is_some).then(|| Section::new("gates", "Gates").note(GATES).tables([table]))
    }
}

fn pair_id(comparison: &Comparison, pair: &Pair) -> String {
    let place = comparison.pairs.iter().position(|p| std::ptr::eq(p, pair)).unwrap_or(0);
    format!("pair-{}", place + 1)
}

fn word(change: &Change) -> Cell {
    let tone = match change.direction {
        Some(Direction::Slower) => Tone::Bad,
        Some(Direction::Faster) => Tone::Good,
        _ => Tone::Open,
    };
    Cell::from(Value::word(change.word())).tone(tone)
}

fn figure(figure: &Result<Figure, String>, unit: &str) -> Cell {
    match figure {
        Err(why) => Cell::from(Value::Absent("not measured")).under(why.as_str()),
        Ok(figure) => {
            Cell::from(Value::over(figure.ratio.as_ref())).under(format!("{} {unit}", figures::number(figure.rate)))
        }
    }
}

fn facts(id: &str, differences: &[identity::Difference]) -> Option<Table> {
    let row = |(i, d): (usize, &identity::Difference)| {
        Row::new(format!("{id}-{}", i + 1), vec![d.what.into(), d.first.as_str().into(), d.other.as_str().into()])
    };
    let columns = ["Fact", "A", "B"].map(Column::words).into();
    let table =
        Table::new(format!("{id}-facts"), "What differs", columns).rows(differences.iter().enumerate().map(row));
    (!table.rows.is_empty()).then_some(table)
}
