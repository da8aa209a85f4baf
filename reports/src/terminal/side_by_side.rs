//! Several runs in a terminal: the page's first sentence, what changed, and the command that settles it.

use super::layout::{Look, Rows, Tone, wrapped};
use crate::comparison::{Comparison, change};
use crate::index::Index;
use receipt::figures;
use receipt::judge::Direction;

/// Most changed kernels; the page has all.
const CHANGED: usize = 15;
/// Most runs of an index; the page has all.
const RUNS: usize = 20;

/// A comparison of runs.
pub fn comparison(c: &Comparison, look: Look) -> String {
    let mut out = vec![wrapped(&c.opening, look.width)];
    let names = c.runs.iter().map(|r| wrapped(&format!("{} {}", r.letter, r.name), look.width));
    out.push(names.collect::<Vec<_>>().join("\n"));
    let differences = c.against.iter().flat_map(|a| {
        a.differences.iter().map(move |d| format!("{}: “{}” in A, “{}” in {}", d.what, d.first, d.other, a.letter))
    });
    let differences: Vec<String> = differences.map(|d| wrapped(&d, look.width)).collect();
    if !differences.is_empty() {
        out.push(differences.join("\n"));
    }
    let changed = c.changed();
    if !changed.is_empty() {
        let several = c.against.len() > 1;
        let mut table = Rows::new(["kernel", "against A", "ratio over A's", "where"]);
        table.left = vec![1, 3];
        for x in changed.iter().take(if look.full { usize::MAX } else { CHANGED }) {
            let tone = if x.direction == Some(Direction::Slower) { Tone::Bad } else { Tone::Best };
            let letter = if several { format!(" ({})", x.letter) } else { String::new() };
            let word = format!("{} {}{letter}", change::marker(x.direction), change::words(x.direction));
            let place = figures::label(&x.place(), 32);
            table.rows.push(vec![
                (x.kernel.clone(), Tone::Plain),
                (word, tone),
                (x.range(), Tone::Plain),
                (place, Tone::Plain),
            ]);
        }
        let mut text = table.text(look);
        if changed.len() > table.rows.len() {
            text += &format!("\n{} more are on the page", changed.len() - table.rows.len());
        }
        out.push(text);
    }
    out.extend(c.remarks.iter().map(|r| wrapped(r, look.width)));
    for a in &c.against {
        if let Some(next) = &a.next {
            // Commands are copied: never broken.
            let commands: Vec<String> = next.commands.iter().map(|c| format!("  {c}")).collect();
            out.push(format!("{}\n{}", wrapped(&next.why, look.width), commands.join("\n")));
        }
    }
    out.join("\n\n") + "\n"
}

/// All runs below a folder.
pub fn index(index: &Index, look: Look) -> String {
    let mut out = vec![wrapped(&index.opening, look.width)];
    let mut table = Rows::new(["run", "status", "fastest exact kernel", "counts from"]);
    table.left = vec![1, 2];
    for r in index.runs.iter().take(if look.full { usize::MAX } else { RUNS }) {
        let tone = if matches!(r.status.as_str(), "FAIL" | "failed") { Tone::Bad } else { Tone::Plain };
        let or = |x: &Option<String>| x.clone().unwrap_or_else(|| "–".into());
        table.rows.push(vec![
            (r.run.clone(), Tone::Plain),
            (figures::label(&r.status, 22), tone),
            (figures::label(&or(&r.fastest), 28), Tone::Plain),
            (or(&r.counts_from), Tone::Plain),
        ]);
    }
    if !table.rows.is_empty() {
        let mut text = table.text(look);
        if index.runs.len() > table.rows.len() {
            text += &format!("\n{} more are on the page", index.runs.len() - table.rows.len());
        }
        out.push(text);
    }
    out.join("\n\n") + "\n"
}
