//! The comparison for a pull request comment: what changed first, all cells folded away.

use super::change;
use super::parts::{Cell, Table};
use super::side_by_side::Comparison;
use crate::index;
use crate::markdown::{block, code, escape, table, with_fold};

/// Most changed kernels outside the fold: a comment is no log.
const MOST: usize = 20;

/// As GitHub renders it.
pub fn markdown(c: &Comparison) -> String {
    let mut out = format!("### {} runs side by side\n\n{}\n\n", c.runs.len(), escape(&c.opening));
    let head = ["", "run", "commit", "scenario", "machine and setting", "fastest exact kernel", "counts from"];
    let rows: Vec<Vec<String>> = c
        .runs
        .iter()
        .map(|r| {
            let point = crate::history::Point::new(&r.receipt);
            let or = |x: Option<String>| x.map_or_else(|| "unknown".into(), |x| escape(&x));
            vec![
                r.letter.clone(),
                code(&r.name),
                code(&point.commit),
                escape(&point.scenario),
                escape(&point.host),
                or(index::fastest(&r.receipt)),
                or(index::counts_from(&r.receipt)),
            ]
        })
        .collect();
    out += &table(&head.map(String::from), false, &rows);
    for a in c.against.iter().filter(|a| !a.differences.is_empty()) {
        out += &format!("\nWhat differs between A and {}, so that nothing is compared:\n\n", a.letter);
        for d in &a.differences {
            out += &format!("- {}: {} and {}\n", d.what, code(&d.first), code(&d.other));
        }
    }
    let changed = c.changed();
    if !changed.is_empty() {
        let head = ["kernel", "run", "against A", "its ratio over A's", "where", "of"];
        let rows: Vec<Vec<String>> = changed
            .iter()
            .take(MOST)
            .map(|x| {
                vec![
                    code(&x.kernel),
                    x.letter.clone(),
                    format!("{} {}", change::marker(x.direction), change::words(x.direction)),
                    x.range(),
                    escape(&x.place()),
                    escape(&c.tables[x.table].title),
                ]
            })
            .collect();
        out += &format!("\n{}", table(&head.map(String::from), false, &rows));
        if changed.len() > MOST {
            out += &format!("\n{} more are in the fold below.\n", changed.len() - MOST);
        }
    }
    c.remarks.iter().for_each(|r| out += &format!("\n{}\n", escape(r)));
    for a in &c.against {
        if let Some(next) = &a.next {
            out += &format!("\nFor a real verdict ({}): {}\n\n{}", a.letter, escape(&next.why), block(&next.commands));
        }
    }
    for a in c.against.iter().filter(|a| !a.lacking.is_empty()) {
        let list: String = a.lacking.iter().map(|l| format!("- {}\n", escape(l))).collect();
        out = with_fold(out, &format!("Measured in A or {} only", a.letter), &list);
    }
    for t in &c.tables {
        out = with_fold(out, &format!("{}, {} rows", t.title, t.rows.len()), &whole(c, t));
    }
    let letters = || c.runs.iter().map(|r| r.letter.clone());
    if !c.gates.is_empty() {
        let cell = |x: &Option<(String, String)>| {
            x.as_ref().map_or_else(|| "–".into(), |(w, why)| format!("{w}: {}", escape(why)))
        };
        let rows: Vec<Vec<String>> = c
            .gates
            .iter()
            .map(|g| std::iter::once(escape(&g.title)).chain(g.cells.iter().map(cell)).collect())
            .collect();
        let head: Vec<String> = std::iter::once("comparison".to_string()).chain(letters()).collect();
        out = with_fold(out, "Gates", &table(&head, false, &rows));
    }
    out
}

fn whole(c: &Comparison, t: &Table) -> String {
    let head: Vec<String> =
        ["kernel", "where"].map(String::from).into_iter().chain(c.runs.iter().map(|r| r.letter.clone())).collect();
    let rows: Vec<Vec<String>> = t
        .rows
        .iter()
        .map(|r| [escape(&r.kernel), escape(&r.place)].into_iter().chain(r.cells.iter().map(cell)).collect())
        .collect();
    table(&head, false, &rows)
}

fn cell(c: &Cell) -> String {
    let mut parts = vec![match &c.absent {
        Some(_) => "not measured".into(),
        None => escape(format!("{} {} {}", c.paired, c.interval, c.direction.unwrap_or("")).trim()),
    }];
    if let Some(found) = &c.change {
        let (mark, word) = (change::marker(found.direction), change::words(found.direction));
        parts.push(format!("{mark} {word}: {}", escape(&found.reason)));
    }
    parts.extend(c.note.as_deref().map(escape));
    parts.join("<br>")
}
