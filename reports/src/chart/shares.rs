//! One kernel over machines: how much of each machine's own limit it reaches, the most first.

use super::canvas::{Anchor, Canvas, GRID, LABEL, NOTE, SERIES, STRONG, Scale, draw};
use super::parts::Chart;
use super::text;
use receipt::figures;

const WIDTH: i32 = 760;
const PLOT: (i32, i32) = (346, 690);
const ROW: i32 = 22;
const HEAD: i32 = 60;
const FOOT: i32 = 52;
/// So many machines have a row with a name and a figure each; of more each is a dot, and the table has the names.
const NAMED: usize = 24;
/// Height of the picture of more machines.
const DOTS: i32 = 300;

/// A machine, and the share of its limit that the kernel reaches.
pub struct OneMachine {
    /// Name of the machine.
    pub name: String,
    /// The share: 0.8 is 80%.
    pub share: f64,
}

/// The picture of `kernel` on these machines, for `what` was asked of all of them; the machines by their share, the
/// largest first. None without a machine.
pub fn shares(kernel: &str, what: &str, machines: &[OneMachine]) -> Option<Chart> {
    let (most, least) = (machines.first()?.share, machines.last()?.share);
    let median = figures::median(machines.iter().map(|machine| machine.share))?;
    let file = format!("shares-{}.svg", plain_name(kernel));
    let title = format!(
        "{kernel}: {} of the limit on {} machines, {} to {}",
        figures::percent(median),
        figures::integer(machines.len() as u64),
        figures::percent(least),
        figures::percent(most)
    );
    let note = format!("Share of each machine's own limit, {what}");
    let plot = if machines.len() > NAMED { DOTS } else { ROW * machines.len() as i32 };
    let scale = Scale::linear(most.max(1.0), PLOT);
    let id = file.trim_end_matches(".svg").to_owned();
    let svg = draw(&id, (WIDTH, HEAD + plot + FOOT), &title, &described(&note, machines), |c| {
        c.text((0, 42), Anchor::Start, NOTE, &note);
        for value in scale.ticks(58) {
            c.line((scale.at(value), HEAD), (scale.at(value), HEAD + plot), GRID, 1);
            c.text((scale.at(value), HEAD + plot + 13), Anchor::Middle, NOTE, &figures::percent(value));
        }
        if machines.len() > NAMED { dots(c, &scale, machines) } else { rows(c, &scale, machines) }
    });
    Some(Chart { file: file.into(), title, caption: format!("{note}, the largest first."), svg, saved: false })
}

fn rows(c: &mut Canvas, scale: &Scale, machines: &[OneMachine]) {
    for (i, machine) in machines.iter().enumerate() {
        let y = HEAD + ROW * i as i32 + ROW / 2;
        c.text((PLOT.0 - 10, y), Anchor::End, LABEL, &text::fit(&machine.name, 12, false, PLOT.0 - 12));
        c.line((PLOT.0, y), (scale.at(machine.share), y), GRID, 2);
        c.dot((scale.at(machine.share), y), 5, SERIES[3]);
        c.text((WIDTH - 2, y), Anchor::End, STRONG, &figures::percent(machine.share));
    }
}

/// A dot a machine from top to bottom, and the names of the first, the middle and the last.
fn dots(c: &mut Canvas, scale: &Scale, machines: &[OneMachine]) {
    let last = machines.len() - 1;
    let y = |i: usize| HEAD + 6 + ((DOTS - 12) as usize * i / last) as i32;
    for (i, machine) in machines.iter().enumerate() {
        c.dot((scale.at(machine.share), y(i)), 3, SERIES[3]);
    }
    for i in [0, last / 2, last] {
        let machine = &machines[i];
        c.text((PLOT.0 - 10, y(i)), Anchor::End, LABEL, &text::fit(&machine.name, 12, false, PLOT.0 - 12));
        c.text((WIDTH - 2, y(i)), Anchor::End, STRONG, &figures::percent(machine.share));
    }
}

/// The picture in words: every machine where each has a row, else how many reach how much.
fn described(note: &str, machines: &[OneMachine]) -> String {
    if machines.len() <= NAMED {
        let words: Vec<String> = machines.iter().map(|m| format!("{} {}", m.name, figures::percent(m.share))).collect();
        return format!("{note}: {}.", words.join("; "));
    }
    let at = |share: f64| machines[((machines.len() - 1) as f64 * share).round() as usize].share;
    let quartiles = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| figures::percent(at(share)));
    format!("{note}: {} machines; from the largest, by quarters: {}.", machines.len(), quartiles.join(", "))
}

/// A kernel's id as part of a file's name and of an id.
fn plain_name(kernel: &str) -> String {
    kernel.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::tests::{figures_of, well_formed};

    fn of(n: usize) -> Chart {
        let machine = |i: usize| OneMachine { name: format!("<CPU> {i}"), share: 0.95 - 0.5 * i as f64 / n as f64 };
        shares("a-kernel", "gemv", &(0..n).map(machine).collect::<Vec<_>>()).expect("a picture")
    }

    #[test]
    fn few_machines_have_names_and_many_have_dots() {
        let (few, many) = (of(5), of(500));
        for chart in [&few, &many] {
            well_formed(&chart.svg);
            assert!(chart.svg.len() < 60_000, "{}", chart.svg.len());
        }
        assert_eq!(figures_of(&few.svg), ["95.0%", "85.0%", "75.0%", "65.0%", "55.0%"]);
        // Dots that look alike are one path: a line of no length each.
        assert_eq!(many.svg.matches("h0").count(), 500);
        assert_eq!(figures_of(&many.svg).len(), 3);
        assert!(many.title.starts_with("a-kernel: 70") && many.title.ends_with("on 500 machines, 45.1% to 95.0%"));
        assert!(shares("a", "b", &[]).is_none());
    }
}
