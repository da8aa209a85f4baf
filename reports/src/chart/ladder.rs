//! The ladder as a waterfall: each stage's bar begins where the stage it builds on ended and ends at its own speed over
//! the baseline. On a logarithmic axis factors add up as lengths, so a bar's length is the stage's own worth. With it
//! its interval, the A/A noise of the same rounds around its beginning, and what the seed claimed.

use super::canvas::{
    Anchor, BAND, CLAIM, Canvas, GRID, HEADING, INK, LABEL, MUTED, NOTE, Pattern, SERIES, STRONG, SURFACE, Scale, draw,
};
use super::parts::{Chart, WIDTH, head, key, not_drawn, say, ticks};
use super::text;
use crate::query;
use crate::seed;
use receipt::figures;
use receipt::judge::Direction;
use receipt::{MicroCell, MicroSummary, Ratio, Receipt};

const ROW: i32 = 26;
const PLOT: (i32, i32) = (146, 540);
/// Columns of figures: the stage's own factor, and all stages so far.
const OWN: i32 = 556;
const SO_FAR: i32 = 736;
/// Rows of one panel; a receipt with more has them in its table.
const MOST: usize = 40;

/// One stage: where it begins and ends, as factors of the baseline.
struct Step<'a> {
    kernel: &'a str,
    from: f64,
    to: f64,
    /// Its own factor over the stage before it; absent for the baseline.
    own: Option<&'a Ratio>,
    so_far: Option<&'a Ratio>,
    /// Row of the stage that it builds on.
    before: usize,
}

/// A cell and its stages.
type Stages<'a> = (&'a MicroCell, Vec<Step<'a>>);

/// The ladder chart, if any stage was measured.
pub fn chart(receipt: &Receipt) -> Option<Chart> {
    let cells: Vec<&MicroCell> = query::headlines(receipt, query::LADDER)
        .into_iter()
        .filter(|c| query::kernels(c).any(|(_, s)| s.vs_baseline.is_some()))
        .collect();
    let baseline = cells.first()?.summaries.first()?.kernel.clone();
    let panels: Vec<Stages<'_>> = cells.into_iter().map(|c| (c, steps(c))).collect();
    let ends = panels.iter().flat_map(|(_, steps)| steps.iter().map(|s| s.to));
    let (low, high) = range(ends.chain(seed::ladder().map(|c| c.expected)));
    let scale = Scale::log(low..=high, PLOT);
    let found = panels.iter().find_map(|(cell, steps)| finding(cell, steps, &baseline)).unwrap_or_default();
    let height = |steps: &[Step<'_>]| ROW * steps.len() as i32 + 92;
    let top = head(&found) + 56;
    let total = top + panels.iter().map(|p| height(&p.1)).sum::<i32>();
    let description = format!("{found} {}", description(&panels, &baseline));
    let svg = draw("ladder", (WIDTH, total), "What each stage of the ladder is worth", description.trim(), |c| {
        say(c, &found);
        legend(c, head(&found));
        let mut y = top;
        for stages in &panels {
            panel(c, stages, &baseline, &scale, y);
            y += height(&stages.1);
        }
    });
    let caption = format!(
        "A bar begins at the speed of the stage that it builds on and ends at its own, so that its length is what that \
         stage alone is worth (log scale). The factors beside it are medians of paired rounds with their sign-test \
         intervals, taken for each pair apart: they multiply up to the whole only nearly. {}{}",
        seed::ladder_note(),
        not_drawn(query::kernel_ids(receipt, query::LADDER).len(), MOST)
    );
    Some(Chart { file: "ladder.svg", caption, svg })
}

fn steps(cell: &MicroCell) -> Vec<Step<'_>> {
    let rows: Vec<&MicroSummary> = query::kernels(cell).map(|(_, s)| s).take(MOST).collect();
    let so_far = |s: &MicroSummary| s.vs_baseline.as_ref().map_or(1.0, |r| r.median);
    let mut steps = Vec::new();
    for s in &rows {
        let before = s.vs_previous.as_ref().and_then(|r| rows.iter().position(|p| p.kernel == r.partner));
        steps.push(Step {
            kernel: &s.kernel,
            from: before.map_or(1.0, |row| so_far(rows[row])),
            to: so_far(s),
            own: before.map_or(s.vs_baseline.as_ref(), |_| s.vs_previous.as_ref()),
            so_far: s.vs_baseline.as_ref(),
            before: before.unwrap_or(0),
        });
    }
    steps
}

fn legend(c: &mut Canvas, y: i32) {
    key(
        c,
        (0, y),
        &[
            (&|c, x, y| bar(c, (x, x + 24), y, Direction::Faster), "faster"),
            (&|c, x, y| bar(c, (x, x + 24), y, Direction::Slower), "slower than the kernel before"),
            (&|c, x, y| bar(c, (x, x + 24), y, Direction::Same), "same, undecided or unstable"),
            (&|c, x, y| c.whisker((x, x + 24), y, 4, INK), "interval"),
            (&|c, x, y| c.rect((x, y - 8), (x + 24, y + 8), BAND), "too small a difference to count"),
            (&|c, x, y| c.open_diamond((x + 12, y), CLAIM), "seed's claim, never measured (§3.3)"),
            (&|c, x, y| c.marker(3, (x + 12, y), CLAIM), "seed's published figure (§5.1)"),
        ],
    );
}

fn panel(c: &mut Canvas, (cell, steps): &Stages<'_>, baseline: &str, scale: &Scale, top: i32) {
    let (from, to) = (top + 30, top + 30 + steps.len() as i32 * ROW);
    let threshold = query::threshold(cell).unwrap_or(0.0);
    let title = format!(
        "{} · counts from ±{}{}",
        query::cell_title(cell),
        figures::percent(threshold),
        if query::unstable(cell) { " · unstable" } else { "" }
    );
    c.text((0, top), Anchor::Start, HEADING, &text::fit(&title, 13, true, WIDTH));
    c.text((OWN, top + 18), Anchor::Start, NOTE, "this stage alone");
    let over = text::fit(&format!("so far, over {baseline}"), 12, false, WIDTH - SO_FAR);
    c.text((SO_FAR, top + 18), Anchor::Start, NOTE, &over);
    for (value, label) in ticks(scale, 36, "×") {
        c.line((scale.at(value), from), (scale.at(value), to), GRID, 1);
        c.text((scale.at(value), to + 13), Anchor::Middle, NOTE, &label);
    }
    let axis = text::fit(&format!("speed over {baseline}, ×, log scale"), 12, false, PLOT.1 - PLOT.0);
    c.text(((PLOT.0 + PLOT.1) / 2, to + 32), Anchor::Middle, NOTE, &axis);
    let middle = |row: usize| from + row as i32 * ROW + ROW / 2;
    let counts = 1.0 + threshold.clamp(0.0, 9.0);
    for (row, step) in steps.iter().enumerate().filter(|(_, s)| s.own.is_some()) {
        let band = (scale.at(step.from / counts), scale.at(step.from * counts));
        c.rect((band.0, middle(row) - 11), (band.1, middle(row) + 11), BAND);
    }
    for (row, step) in steps.iter().enumerate() {
        let y = middle(row);
        c.text((PLOT.0 - 8, y), Anchor::End, LABEL, &text::fit(step.kernel, 12, false, PLOT.0 - 10));
        let Some(own) = step.own else {
            c.line((scale.at(1.0), y - 9), (scale.at(1.0), y + 9), INK, 2);
            c.text((OWN, y), Anchor::Start, NOTE, "begins at 1×");
            continue;
        };
        let start = scale.at(step.from);
        c.line((start, middle(step.before)), (start, y), MUTED, 1);
        let direction = own.direction();
        bar(c, (start, scale.at(step.to)), y, direction);
        if let (Some(low), Some(high)) = (own.low, own.high) {
            c.whisker((scale.at(step.from * low), scale.at(step.from * high)), y, 5, INK);
        }
        if let Some(claim) = seed::claim(step.kernel) {
            let at = (scale.at(claim.expected), y);
            match claim.standing {
                seed::Standing::Planned => c.open_diamond(at, CLAIM),
                seed::Standing::Published => c.marker(3, at, CLAIM),
            }
        }
        factor(c, own, (OWN, y), SO_FAR - OWN - 8);
        if let Some(so_far) = step.so_far {
            factor(c, so_far, (SO_FAR, y), WIDTH - SO_FAR);
        }
    }
}

/// A stage's bar, which reads without its colour: filled, hatched or hollow.
fn bar(c: &mut Canvas, x: (i32, i32), y: i32, direction: Direction) {
    let (from, to) = ((x.0.min(x.1), y - 6), (x.0.max(x.1), y + 6));
    match direction {
        Direction::Faster => c.rect(from, to, SERIES[4]),
        Direction::Slower => c.patterned(from, to, SERIES[6], Pattern::Falling),
        Direction::Same | Direction::Undecided | Direction::Unstable => {
            c.rect(from, to, SURFACE);
            c.outline(from, to, MUTED);
        }
    }
}

/// `3.45× [3.40, 3.49]`, as far as there is room.
fn factor(c: &mut Canvas, r: &Ratio, at: (i32, i32), room: i32) {
    let main = text::fit(&figures::judged(r), 12, true, room);
    let interval = if r.low.is_some() { figures::interval(r) } else { "[few rounds]".into() };
    c.text(at, Anchor::Start, STRONG, &main);
    let used = (text::width(&main, 12, true) + 8).max(60);
    c.text((at.0 + used, at.1), Anchor::Start, NOTE, &text::fit(&interval, 12, false, room - used));
}

/// Room around the values, with 1× always inside.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values = values.filter(|v| v.is_finite() && *v > 0.0);
    let (low, high) = values.fold((0.95f64, 1.1f64), |(l, h), v| (l.min(v), h.max(v)));
    (low * 0.88, high * 1.12)
}

/// What the first panel says: the whole, the stage that brings most, and those that bring nothing to be seen.
fn finding(cell: &MicroCell, steps: &[Step<'_>], baseline: &str) -> Option<String> {
    let last = steps.iter().rev().find(|s| s.so_far.is_some())?;
    let worth = steps.iter().filter_map(|s| Some((s, s.own.filter(|r| r.median.is_finite())?)));
    let (most, own) = worth.max_by(|a, b| a.1.median.total_cmp(&b.1.median))?;
    let called = |direction: Direction| -> Vec<&str> {
        let all = steps.iter().filter(|s| s.own.is_some_and(|r| r.direction() == direction));
        all.map(|s| s.kernel).collect()
    };
    let mut said = format!(
        "{}: all stages together run {} as fast as {baseline}. {} brings most, {} over the stage before it.",
        query::cell_title(cell),
        figures::ratio_with_interval(last.so_far?),
        most.kernel,
        figures::ratio_with_interval(own)
    );
    let rest = [
        (Direction::Same, "the same as the kernel before"),
        (Direction::Undecided, "undecided"),
        (Direction::Unstable, "unstable"),
        (Direction::Slower, "slower than the kernel before"),
    ];
    for (direction, what) in rest {
        let kernels = called(direction);
        if !kernels.is_empty() {
            said += &format!(" {}: {}.", sentence_case(what), kernels.join(", "));
        }
    }
    Some(said)
}

fn sentence_case(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

fn description(panels: &[(&MicroCell, Vec<Step<'_>>)], baseline: &str) -> String {
    let one = |(cell, steps): &(&MicroCell, Vec<Step<'_>>)| {
        let stages: Vec<String> = steps
            .iter()
            .filter_map(|s| {
                let own = figures::ratio_with_interval(s.own?);
                Some(format!("{} {own}, so far {}", s.kernel, figures::ratio(s.to)))
            })
            .collect();
        format!("{}: {}.", query::cell_title(cell), stages.join("; "))
    };
    let cells: Vec<String> = panels.iter().map(one).collect();
    format!("Each stage's own factor with its interval, and the speed so far over {baseline}. {}", cells.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_stage_begins_where_the_one_before_it_ended() {
        let receipt = fixture::complete();
        let cell = query::headline(&receipt, query::LADDER, receipt::Operation::Gemv, receipt::Residency::Cache)
            .expect("there");
        let steps = steps(cell);
        assert!(steps[0].own.is_none() && steps.len() == 6);
        for pair in steps.windows(2).skip(1) {
            assert_eq!(pair[1].from, pair[0].to);
        }
        let whole: f64 = steps.iter().filter_map(|s| s.own).map(|r| r.median).product();
        assert!((whole / steps[5].to - 1.0).abs() < 0.02, "factors multiply up: {whole} and {}", steps[5].to);
        let said = finding(cell, &steps, "scalar").expect("something");
        assert!(said.contains("avx2-nibble brings most"), "{said}");
        assert!(said.contains("The same as the kernel before: avx2-foundation, avx2-prefetch."), "{said}");
    }
}
