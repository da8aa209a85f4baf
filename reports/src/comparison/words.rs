//! The sentences of a comparison, and the command that gets a real verdict.

use super::change::{self, Found};
use super::gate_rows::GateRow;
use super::identity;
use super::parts::{Against, Next, Run, Table};
use receipt::figures;
use receipt::judge::Direction;

/// One run against the first.
pub fn against(runs: &[Run], tables: &[Table], i: usize) -> Against {
    let (first, run) = (&runs[0], &runs[i]);
    let changes = tables.iter().flat_map(|t| &t.rows).filter_map(|r| r.cells[i].change.as_ref());
    let all: Vec<Found> = changes.map(|c| c.direction).collect();
    let count = |found: Found| all.iter().filter(|x| **x == found).count();
    let counts: Vec<(Found, usize)> = change::ALL.map(|found| (found, count(found))).into();
    let rows = || tables.iter().flat_map(|t| &t.rows).filter(|r| r.cells[i].change.is_some());
    let alone = rows().filter(|r| r.cells[i].absent.is_some() != r.cells[0].absent.is_some()).count();
    let word = |(found, n): &(Found, usize)| match found {
        None if alone > 0 => format!("{n} {} ({alone} of them in one run only)", change::words(*found)),
        _ => format!("{n} {}", change::words(*found)),
    };
    let said: Vec<String> = counts.iter().filter(|(_, n)| *n > 0).map(word).collect();
    let different = tables.iter().flat_map(|t| &t.rows).filter(|r| r.cells[i].note.is_some()).count();
    let wrong = match different {
        0 => String::new(),
        1 => format!(" One row gives another result than {}.", first.letter),
        n => format!(" {n} rows give other results than {}.", first.letter),
    };
    let suspects: Vec<String> = tables.iter().flat_map(|t| alike(t, i)).map(|a| a.partner).collect();
    let suspect = suspects.first().map_or_else(String::new, |partner| {
        format!(" Every kernel over {partner} moved the same way in some cells, so it may be {partner} that changed.")
    });
    let total = all.len();
    let cells = if total == 1 { "1 comparison".into() } else { format!("{total} comparisons") };
    let sentence = match () {
        () if untimed(run) => format!("{} holds no kernel timings to compare ({}).", run.letter, kind(run)),
        () if untimed(first) => format!("{} holds no kernel timings to compare ({}).", first.letter, kind(first)),
        () if total == 0 => format!("{} and {} have nothing in common to compare.", run.letter, first.letter),
        () if !run.differences.is_empty() => {
            let facts: Vec<&str> = run.differences.iter().map(|d| d.what).collect();
            let differ = if facts.len() == 1 { "differs" } else { "differ" };
            let (a, b, facts) = (&first.letter, &run.letter, join(&facts));
            format!("{b} is not from the machine and setting of {a} ({facts} {differ}), so nothing is compared.")
        }
        () => format!("{} against {}: of {cells}, {}.{wrong}{suspect}", run.letter, first.letter, join(&said)),
    };
    Against {
        letter: run.letter.clone(),
        run: run.name.clone(),
        first: first.name.clone(),
        comparable: run.differences.is_empty(),
        differences: run.differences.clone(),
        circumstances: identity::circumstances(&first.receipt, &run.receipt),
        counts,
        sentence,
        lacking: lacking(first, run, tables, i),
        next: if total > 0 && !untimed(first) && !untimed(run) { next(first, run, tables, i) } else { None },
    }
}

fn untimed(run: &Run) -> bool {
    let r = &run.receipt;
    r.micro.iter().all(|c| c.rounds.is_empty()) && r.generation.is_none()
}

/// What a run without timings of its own is.
fn kind(run: &Run) -> String {
    let r = &run.receipt;
    match () {
        () if r.gate.is_some() => "a gate".into(),
        () => format!("its run is {}", super::status::status(r.status)),
    }
}

/// What only one of two runs has, one line a cell.
fn lacking(first: &Run, run: &Run, tables: &[Table], i: usize) -> Vec<String> {
    let mut out = Vec::new();
    for table in tables {
        let mut places: Vec<&str> = table.rows.iter().map(|r| r.place.as_str()).collect();
        places.dedup();
        for place in places {
            let rows: Vec<_> = table.rows.iter().filter(|r| r.place == place).collect();
            for (at, lacks, has) in [(i, run, first), (0, first, run)] {
                let other = if at == 0 { i } else { 0 };
                let of = |r: &&&super::parts::Row| r.cells[at].absent.is_some() && r.cells[other].absent.is_none();
                let missing: Vec<&&super::parts::Row> = rows.iter().filter(of).collect();
                let present = rows.iter().filter(|r| r.cells[other].absent.is_none()).count();
                let Some(one) = missing.first() else { continue };
                if missing.len() == present {
                    out.push(format!("{}, {place}: only in {}", table.title, has.letter));
                } else {
                    let names: Vec<&str> = missing.iter().map(|r| r.kernel.as_str()).collect();
                    let why = one.cells[at].absent.as_deref().unwrap_or_default();
                    let why = if missing.len() == 1 { why.to_string() } else { format!("not in {}", lacks.letter) };
                    out.push(format!("{}, {place}: {}: {why}", table.title, join(&names)));
                }
            }
        }
    }
    out
}

/// `a, b and c`.
fn join(words: &[impl AsRef<str>]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).into(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// The first sentence of page, terminal and Markdown.
pub fn opening(runs: &[Run], tables: &[Table], against: &[Against], gates: &[GateRow]) -> String {
    let mut out: Vec<String> = Vec::new();
    if !tables.is_empty() {
        out.extend(against.iter().map(|a| a.sentence.clone()));
    }
    if let Some(whole) = gates.first() {
        let each = runs.iter().zip(&whole.cells);
        let said: Vec<String> = each.filter_map(|(r, c)| Some(format!("{} is {}", r.letter, c.as_ref()?.0))).collect();
        out.push(format!("Gates: {}.", join(&said)));
    }
    if out.is_empty() {
        return "None of these runs timed anything: there is nothing to compare.".into();
    }
    out.join(" ")
}

/// The gate that settles what the receipts of two runs can only hint at.
fn next(first: &Run, run: &Run, tables: &[Table], i: usize) -> Option<Next> {
    let (a, b) = (&first.receipt.build, &run.receipt.build);
    let clean = |r: &Run| r.receipt.build.git_commit.clone().filter(|_| r.receipt.build.git_dirty != Some(true));
    // Those that changed; if none did, those that could not be decided.
    let of = |wanted: &[Direction]| {
        let mut kernels: Vec<&str> = Vec::new();
        for row in tables.iter().flat_map(|t| &t.rows).filter(|r| !r.kernel.ends_with("+sparse")) {
            let matches =
                row.cells[i].change.as_ref().is_some_and(|c| c.direction.is_some_and(|d| wanted.contains(&d)));
            if matches && !kernels.contains(&row.kernel.as_str()) {
                kernels.push(&row.kernel);
            }
        }
        kernels
    };
    let mut kernels = of(&[Direction::Slower, Direction::Faster]);
    if kernels.is_empty() {
        kernels = of(&[Direction::Undecided, Direction::Unstable]);
    }
    let scenario = &run.receipt.scenario;
    let mut flags = format!("--scenario {}", quoted(asked_scenario(run)));
    if !scenario.quick {
        flags += " --full";
    }
    if !kernels.is_empty() {
        flags += &format!(" --kernels {}", quoted(&kernels.join(",")));
    }
    if run.receipt.settings.threads != 1 {
        flags += &format!(" --threads {}", run.receipt.settings.threads);
    }
    let program = "cargo run -p harness --";
    if a.git_commit.is_some() && a.git_commit == b.git_commit && clean(first).is_some() && clean(run).is_some() {
        let why = "Both runs are of one commit, so what differs is not the code. This says how often a gate of that \
                   build against itself is wrong here:";
        let scenario = quoted(asked_scenario(run));
        let commands = vec![format!("bash ci/calibrate.sh --scenario {scenario}")];
        return run.differences.is_empty().then(|| Next { why: why.into(), commands });
    }
    let both = "The gate runs both builds in turns on one machine:";
    Some(match (clean(first), clean(run)) {
        (Some(old), Some(new)) => Next {
            why: both.into(),
            commands: vec![
                format!("git checkout {}", quoted(&new)),
                format!("{program} gate --against {} {flags}", quoted(&old)),
            ],
        },
        (Some(old), None) => Next {
            why: format!(
                "{both} {}'s sources are in no commit, so start in the checkout it was built from:",
                run.letter
            ),
            commands: vec![format!("{program} gate --against {} {flags}", quoted(&old))],
        },
        (None, _) => Next {
            why: format!(
                "{both} {}'s sources are in no commit, so it takes the program that made that run:",
                first.letter
            ),
            commands: vec![format!("{program} gate --against PATH/TO/OLD/tritbench {flags}")],
        },
    })
}

/// The scenario as it was named on the command line, which may be a file.
fn asked_scenario(run: &Run) -> &str {
    let argv = &run.receipt.argv;
    let after = argv.iter().position(|a| a == "--scenario").and_then(|i| argv.get(i + 1)).map(String::as_str);
    let joined = argv.iter().find_map(|a| a.strip_prefix("--scenario="));
    after.or(joined).unwrap_or(&run.receipt.scenario.name)
}

/// As a POSIX shell reads it back.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    // A control character would end the line that the user copies.
    let word: String = word.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// Cells in which every kernel moved the same way: more likely it was their partner that changed. One remark a partner.
pub fn remarks(runs: &[Run], tables: &[Table]) -> Vec<String> {
    let mut out = Vec::new();
    for (i, run) in runs.iter().enumerate().skip(1) {
        for table in tables {
            for alike in alike(table, i) {
                let range = match (alike.ratios.first(), alike.ratios.last()) {
                    (Some(a), Some(b)) => format!(" ({} to {})", figures::ratio(*a), figures::ratio(*b)),
                    _ => String::new(),
                };
                let places = match &alike.places[..] {
                    [one] => one.clone(),
                    several => format!("{} of {} cells", several.len(), alike.of),
                };
                let (way, partner, letter) = (alike.way, alike.partner, &run.letter);
                out.push(format!(
                    "{}, {places}: in {letter} every kernel changed the same way{range}. Their common partner \
                     {partner} having become {way} explains that as well.",
                    table.title
                ));
            }
        }
    }
    out
}

/// Cells of one partner in which all kernels became slower, or all faster.
struct Alike {
    partner: String,
    /// What the partner would have become.
    way: &'static str,
    places: Vec<String>,
    of: usize,
    /// Sorted.
    ratios: Vec<f64>,
}

fn alike(table: &Table, i: usize) -> Vec<Alike> {
    let mut places: Vec<&str> = table.rows.iter().map(|r| r.place.as_str()).collect();
    places.dedup();
    let mut out: Vec<Alike> = Vec::new();
    for place in &places {
        let rows: Vec<_> = table.rows.iter().filter(|r| r.place == *place).collect();
        let changes: Vec<_> = rows.iter().filter_map(|r| r.cells[i].change.as_ref()).collect();
        let all = |d: Direction| changes.len() >= 3 && changes.iter().all(|c| c.direction == Some(d));
        let way = match () {
            () if all(Direction::Slower) => "faster",
            () if all(Direction::Faster) => "slower",
            () => continue,
        };
        let Some(partner) = rows.iter().find(|r| r.cells[i].change.is_none()) else { continue };
        let ratios = changes.iter().filter_map(|c| c.ratio);
        match out.iter_mut().find(|a| a.partner == partner.kernel && a.way == way) {
            Some(known) => {
                known.places.push(place.to_string());
                known.ratios.extend(ratios);
            }
            None => out.push(Alike {
                partner: partner.kernel.clone(),
                way,
                places: vec![place.to_string()],
                of: places.len(),
                ratios: ratios.collect(),
            }),
        }
    }
    out.iter_mut().for_each(|a| a.ratios.sort_by(f64::total_cmp));
    out
}
