//! Every cell and kernel as a forest plot: the ratio over the stage that a kernel builds on (over the baseline where
//! that stage did not run), its interval, the smallest difference that counts as a band, and the direction. Families
//! have charts of their own.

use super::canvas::{Anchor, BAND, Canvas, Font, GRID, INK, LABEL, MUTED, NOTE, SERIES, STRONG, Scale, draw};
use super::parts::{Chart, WIDTH, head, key, say, ticks};
use super::text;
use crate::{query, words};
use receipt::figures;
use receipt::judge::{Direction, Tally};
use receipt::{Family, MicroCell, MicroSummary, Ratio, Receipt};

const ROW: i32 = 18;
/// Pixels of rows in one chart: what a printed page holds.
const PAGE: i32 = 960;
/// The columns: kernel (ends), partner, plot, ratio, verdict.
const NAME: i32 = 128;
const PARTNER: i32 = 136;
const PLOT: (i32, i32) = (268, 590);
const FIGURE: i32 = 604;
const WORD: i32 = 748;

/// File names by family, then by page.
const FILES: [[&str; 4]; 2] = [
    ["ratios-w2a32.svg", "ratios-w2a32-2.svg", "ratios-w2a32-3.svg", "ratios-w2a32-4.svg"],
    ["ratios-w2a8.svg", "ratios-w2a8-2.svg", "ratios-w2a8-3.svg", "ratios-w2a8-4.svg"],
];

/// A cell, or as much of one as fits a page.
struct Block<'a> {
    cell: &'a MicroCell,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    kernel: &'a str,
    ratio: &'a Ratio,
}

impl Block<'_> {
    fn height(&self) -> i32 {
        30 + ROW * self.rows.len() as i32
    }
}

/// The charts: as many as the families and the cells take.
pub fn charts(receipt: &Receipt) -> Vec<Chart> {
    let mut out = Vec::new();
    for family in Family::ALL {
        let pages = pages(blocks(receipt, family));
        let count = pages.len();
        let mut files = match family {
            Family::W2A32 => FILES[0].iter(),
            Family::W2A8 => FILES[1].iter(),
        };
        for (i, page) in pages.iter().enumerate() {
            let Some(file) = files.next() else { break };
            let left = if i + 1 < count && files.len() == 0 { count - i - 1 } else { 0 };
            out.push(chart(file, family, page, (i + 1, count), left));
        }
    }
    out
}

fn blocks<'a>(receipt: &'a Receipt, family: Family) -> Vec<Block<'a>> {
    let row = |s: &'a MicroSummary| {
        let ratio = s.vs_previous.as_ref().or(s.vs_baseline.as_ref())?;
        Some(Row { kernel: &s.kernel, ratio })
    };
    let mut cells: Vec<&MicroCell> = query::cells(receipt, family).filter(|c| !c.rounds.is_empty()).collect();
    // Operations in the order measured, and of each the cells in cache first: those are alike.
    let ops: Vec<_> = cells.iter().map(|c| c.op).collect();
    cells.sort_by_key(|c| (ops.iter().position(|o| *o == c.op), c.residency == receipt::Residency::Dram));
    let most = ((PAGE - 30) / ROW) as usize;
    let mut out = Vec::new();
    for cell in cells {
        let mut rows = query::kernels(cell).filter_map(|(_, s)| row(s)).peekable();
        while rows.peek().is_some() {
            out.push(Block { cell, rows: rows.by_ref().take(most).collect() });
        }
    }
    out
}

/// Blocks by chart: one for all if they fit, else one an operation, and as many as that takes.
fn pages(blocks: Vec<Block<'_>>) -> Vec<Vec<Block<'_>>> {
    let whole = blocks.iter().map(Block::height).sum::<i32>() <= PAGE;
    let mut pages: Vec<Vec<Block<'_>>> = Vec::new();
    for block in blocks {
        let fits = pages.last().is_some_and(|page| {
            let used: i32 = page.iter().map(Block::height).sum();
            used + block.height() <= PAGE && (whole || page.iter().all(|b| b.cell.op == block.cell.op))
        });
        match pages.last_mut() {
            Some(page) if fits => page.push(block),
            _ => pages.push(vec![block]),
        }
    }
    pages
}

fn chart(file: &'static str, family: Family, page: &[Block<'_>], number: (usize, usize), left: usize) -> Chart {
    let found = finding(page);
    let part = if number.1 > 1 { format!(", {} of {}", number.0, number.1) } else { String::new() };
    let title = format!("Every ratio: {}{part}", query::family_title(family));
    let values = page.iter().flat_map(|b| &b.rows).flat_map(|r| [Some(r.ratio.median), r.ratio.low, r.ratio.high]);
    let values = values.flatten().filter(|v| v.is_finite() && *v > 0.0);
    let (low, high) = values.fold((0.9f64, 1.15f64), |(l, h), v| (l.min(v), h.max(v)));
    // A few kernels that leave plain code far behind would press all others together: those stand at the edge.
    let mut medians: Vec<f64> = page.iter().flat_map(|b| &b.rows).map(|r| r.ratio.median).collect();
    medians.sort_by(f64::total_cmp);
    let usual = 1.25 * medians.get(medians.len() * 4 / 5).copied().filter(|m| m.is_finite()).unwrap_or(high).max(1.2);
    let high = if high > 2.0 * usual { usual } else { high };
    let scale = Scale::log(low / 1.06..=high * 1.06, PLOT);
    let top = head(&found) + 36;
    let bottom = top + page.iter().map(Block::height).sum::<i32>();
    let id = file.trim_end_matches(".svg");
    let svg = draw(id, (WIDTH, bottom + 48), &title, &describe(&found, page), |c| {
        say(c, &found);
        legend(c, head(&found));
        for (value, label) in ticks(&scale, 44, "×") {
            c.line((scale.at(value), top), (scale.at(value), bottom), GRID, 1);
            c.text((scale.at(value), bottom + 13), Anchor::Middle, NOTE, &label);
        }
        let mut y = top;
        for block in page {
            paint(c, block, &scale, y);
            y += block.height();
        }
        let axis = "times as fast as its partner, ×, log scale";
        c.text(((PLOT.0 + PLOT.1) / 2, bottom + 32), Anchor::Middle, NOTE, axis);
    });
    let mut caption = String::from(
        "Each kernel against the kernel that it builds on; right of 1× is faster. The band is the smallest difference \
         that counts in the cell, and the word is the direction of the comparison.",
    );
    if left > 0 {
        caption +=
            &format!(" {left} more pages of ratios are not drawn; they are in the tables and in measurements.csv.");
    }
    Chart { file, caption, svg }
}

fn legend(c: &mut Canvas, y: i32) {
    key(
        c,
        (0, y),
        &[
            (&|c, x, y| mark(c, (x + 12, y), Direction::Faster), "faster"),
            (&|c, x, y| mark(c, (x + 12, y), Direction::Slower), "slower"),
            (&|c, x, y| mark(c, (x + 12, y), Direction::Same), "same, undecided or unstable"),
            (&|c, x, y| c.arrow((x + 18, y), SERIES[4]), "beyond the axis"),
            (&|c, x, y| c.whisker((x, x + 24), y, 4, INK), "interval"),
            (&|c, x, y| c.rect((x, y - 8), (x + 24, y + 8), BAND), "smallest difference that counts"),
        ],
    );
}

fn paint(c: &mut Canvas, block: &Block<'_>, scale: &Scale, top: i32) {
    let cell = block.cell;
    let threshold = query::threshold(cell).unwrap_or(0.0);
    let mut facts = format!(
        "counts from ±{}, {} round{}",
        figures::percent(threshold),
        cell.rounds.len(),
        if cell.rounds.len() == 1 { "" } else { "s" }
    );
    if query::unstable(cell) {
        facts += ", unstable: the same kernel differed from itself";
    }
    let title = text::fit(&query::cell_title(cell), 12, true, PLOT.0 + 120);
    c.text((0, top + 14), Anchor::Start, STRONG, &title);
    let x = (text::width(&title, 12, true) + 12).max(PLOT.0);
    let (from, to) = (top + 26, top + 26 + ROW * block.rows.len() as i32);
    let band = 1.0 + threshold.clamp(0.0, 9.0);
    c.rect((scale.at(1.0 / band), from), (scale.at(band), to), BAND);
    c.line((scale.at(1.0), from), (scale.at(1.0), to), MUTED, 1);
    c.plated((x, top + 14), Anchor::Start, NOTE, &text::fit(&facts, 12, false, WIDTH - x));
    for (i, row) in block.rows.iter().enumerate() {
        let y = from + i as i32 * ROW + ROW / 2;
        c.text((NAME, y), Anchor::End, LABEL, &text::fit(row.kernel, 12, false, NAME));
        let partner = text::fit(&format!("/ {}", row.ratio.partner), 12, false, PLOT.0 - PARTNER - 8);
        c.text((PARTNER, y), Anchor::Start, NOTE, &partner);
        if let (Some(low), Some(high)) = (row.ratio.low, row.ratio.high)
            && row.ratio.median <= scale.value(1.0)
        {
            c.whisker((scale.at(low), scale.at(high)), y, 4, INK);
        }
        if row.ratio.median > scale.value(1.0) {
            c.arrow((PLOT.1 + 6, y), SERIES[4]);
        } else {
            mark(c, (scale.at(row.ratio.median), y), row.ratio.direction());
        }
        let figure = text::fit(&figures::ratio(row.ratio.median), 12, true, 52);
        c.text((FIGURE, y), Anchor::Start, STRONG, &figure);
        let interval = if row.ratio.low.is_some() { figures::interval(row.ratio) } else { String::new() };
        let interval = text::fit(&interval, 12, false, WORD - FIGURE - 64);
        c.text((FIGURE + 56, y), Anchor::Start, NOTE, &interval);
        let (word, bold) = (row.ratio.direction().word(), row.ratio.direction() != Direction::Faster);
        c.text((WORD, y), Anchor::Start, Font { px: 12, color: INK, bold }, &text::fit(word, 12, bold, WIDTH - WORD));
    }
}

fn mark(c: &mut Canvas, at: (i32, i32), direction: Direction) {
    match direction {
        Direction::Faster => c.marker(1, at, SERIES[4]),
        Direction::Slower => c.marker(4, at, SERIES[5]),
        Direction::Same | Direction::Undecided | Direction::Unstable => c.hollow(0, at, MUTED),
    }
}

fn finding(page: &[Block<'_>]) -> String {
    let rows: Vec<(&MicroCell, &Row<'_>)> = page.iter().flat_map(|b| b.rows.iter().map(|r| (b.cell, r))).collect();
    let tally = Tally::of(rows.iter().map(|(_, r)| r.ratio.direction()));
    let mut said = format!("{}: {}.", words::count(rows.len(), "comparison"), tally.in_words());
    let slower: Vec<String> = rows
        .iter()
        .filter(|(_, r)| r.ratio.direction() == Direction::Slower)
        .map(|(cell, r)| format!("{} ({}, {})", r.kernel, query::cell_title(cell), figures::ratio(r.ratio.median)))
        .collect();
    if !slower.is_empty() {
        let more = if slower.len() > 3 { format!(" and {} more", slower.len() - 3) } else { String::new() };
        said += &format!(" Slower than the kernel they build on: {}{more}.", slower[..slower.len().min(3)].join("; "));
    }
    said
}

fn describe(found: &str, page: &[Block<'_>]) -> String {
    let row = |r: &Row<'_>| {
        let word = r.ratio.direction().word();
        format!("{} over {} {}, {word}", r.kernel, r.ratio.partner, figures::ratio_with_interval(r.ratio))
    };
    let block = |b: &Block<'_>| {
        let rows: Vec<String> = b.rows.iter().map(row).collect();
        let counts = figures::percent(query::threshold(b.cell).unwrap_or(0.0));
        format!("{}, differences count from {counts}: {}.", query::cell_title(b.cell), rows.join("; "))
    };
    let blocks: Vec<String> = page.iter().map(block).collect();
    format!("{found} {}", blocks.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn every_kernel_of_every_cell_is_drawn_once_and_families_apart() {
        let receipt = fixture::complete();
        let charts = charts(&receipt);
        let rows: usize = charts.iter().map(|c| c.svg.matches(">/ ").count()).sum();
        let compared = |c: &MicroCell| query::kernels(c).filter(|(_, s)| s.vs_baseline.is_some()).count();
        assert_eq!(rows, receipt.micro.iter().map(compared).sum::<usize>());
        for chart in &charts {
            assert!(!(chart.svg.contains("avx2-nibble") && chart.svg.contains("avx2-i8")), "{}", chart.file);
        }
    }

    #[test]
    fn what_does_not_fit_a_page_starts_another_and_what_is_left_out_is_said() {
        let mut receipt = fixture::complete();
        let cells = receipt.micro.clone();
        for _ in 0..12 {
            receipt.micro.extend(cells.iter().filter(|c| c.family == query::EXACT).cloned());
        }
        let w2a8 = charts(&receipt).into_iter().filter(|c| c.file.starts_with("ratios-w2a8")).collect::<Vec<_>>();
        assert!(w2a8.len() > 1 && w2a8.iter().all(|c| !c.caption.contains("not drawn")));
        for _ in 0..100 {
            receipt.micro.extend(cells.iter().filter(|c| c.family == query::EXACT).cloned());
        }
        let w2a8 = charts(&receipt).into_iter().filter(|c| c.file.starts_with("ratios-w2a8")).collect::<Vec<_>>();
        assert_eq!(w2a8.len(), 4);
        assert!(w2a8[3].caption.contains("more pages of ratios are not drawn"), "{}", w2a8[3].caption);
    }
}
