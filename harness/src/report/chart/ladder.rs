//! Each stage of the ladder against scalar and against the stage before it, with intervals, the A/A noise of the same
//! rounds, and what the seed claimed.

use super::canvas::{Anchor, BAND, CLAIM, Canvas, GRID, INK, MUTED, SERIES, Scale, draw};
use super::{Chart, WIDTH};
use crate::receipt::{MicroCell, Ratio, Receipt};
use crate::report::query::{self, Call};
use crate::report::{figures, seed};

const ROW: i32 = 25;
const TOP: i32 = 84;
/// Left plot: over scalar. Right plot: over the previous stage. The text columns stand right of each.
const OVER_BASE: (i32, i32) = (140, 420);
const OVER_PREVIOUS: (i32, i32) = (590, 735);

/// The ladder chart, if any stage was measured.
pub fn chart(receipt: &Receipt) -> Option<Chart> {
    let cells: Vec<&MicroCell> = query::headlines(receipt, query::LADDER)
        .into_iter()
        .filter(|c| query::kernels(c).any(|(_, s)| s.vs_baseline.is_some()))
        .collect();
    let baseline = cells.first()?.summaries.first()?.kernel.clone();
    let ratios = |of: fn(&crate::receipt::MicroSummary) -> Option<&Ratio>| -> Vec<f64> {
        cells.iter().flat_map(|c| query::kernels(c).filter_map(move |(_, s)| of(s))).map(|r| r.median).collect()
    };
    let base = range(ratios(|s| s.vs_baseline.as_ref()).into_iter().chain(seed::ladder().map(|c| c.expected)));
    let previous = range(ratios(|s| s.vs_previous.as_ref()).into_iter());
    let base = Scale::log(base.0..=base.1, OVER_BASE);
    let previous = Scale::log(previous.0..=previous.1, OVER_PREVIOUS);
    let heights: Vec<i32> = cells.iter().map(|c| ROW * query::kernels(c).count() as i32 + 78).collect();
    let height = TOP + heights.iter().sum::<i32>();
    let svg = draw(
        "ladder",
        (WIDTH, height),
        "What each stage of the ladder is worth",
        &description(&cells, &baseline),
        |c| {
            key(c);
            let mut y = TOP;
            for (cell, height) in cells.iter().zip(&heights) {
                panel(c, cell, &baseline, (&base, &previous), y);
                y += height;
            }
        },
    );
    let caption = format!(
        "Bars start at 1×; log scale. Left: speed-up over {baseline}. Right: speed-up over the stage it builds on. Whiskers \
         are sign-test intervals of paired rounds; the grey band is the run's own A/A noise at that shape, so a bar that \
         ends inside it shows nothing. {}",
        seed::ladder_note()
    );
    Some(Chart { file: "ladder.svg", caption, svg })
}

fn key(c: &mut Canvas<'_>) {
    let y = 44;
    c.rect((0, y - 6), (24, y + 6), BAND);
    c.text((32, y), Anchor::Start, 12, MUTED, false, "A/A noise floor");
    c.open_diamond((160, y), CLAIM);
    c.text((174, y), Anchor::Start, 12, MUTED, false, "seed's claim, never measured (§3.3)");
    c.marker(3, (412, y), CLAIM);
    c.text((426, y), Anchor::Start, 12, MUTED, false, "seed's published figure (§5.1)");
    c.text((630, y), Anchor::Start, 12, MUTED, false, "~ within noise");
}

fn panel(c: &mut Canvas<'_>, cell: &MicroCell, baseline: &str, scales: (&Scale, &Scale), top: i32) {
    let rows = query::kernels(cell).count() as i32;
    let (from, to) = (top + 30, top + 30 + rows * ROW);
    let title = format!("{} · A/A noise ±{}", query::cell_title(cell), figures::percent(cell.noise_floor));
    c.text((0, top), Anchor::Start, 13, INK, true, &title);
    let over = format!("over {}", figures::label(baseline, 24));
    for (scale, x, title) in [(scales.0, OVER_BASE.0, over.as_str()), (scales.1, OVER_PREVIOUS.0, "over stage before")]
    {
        c.text((x, top + 18), Anchor::Start, 11, MUTED, false, title);
        let noise = cell.noise_floor.clamp(0.0, 0.9);
        c.rect((scale.at(1.0 - noise), from), (scale.at(1.0 + noise), to), BAND);
        for tick in scale.ticks(34) {
            c.line((scale.at(tick), from), (scale.at(tick), to), GRID, 1);
            c.text((scale.at(tick), to + 12), Anchor::Middle, 11, MUTED, false, &format!("{tick}×"));
        }
        c.line((scale.at(1.0), from), (scale.at(1.0), to), MUTED, 1);
    }
    for (row, (_, summary)) in query::kernels(cell).enumerate() {
        let y = from + row as i32 * ROW + ROW / 2;
        c.text((OVER_BASE.0 - 10, y), Anchor::End, 12, INK, false, &figures::label(&summary.kernel, 18));
        match &summary.vs_baseline {
            Some(r) => bar(c, r, cell.noise_floor, scales.0, y, OVER_BASE.1 + 8),
            None => c.text((OVER_BASE.1 + 8, y), Anchor::Start, 12, MUTED, false, "1× (partner)"),
        }
        if let Some(r) = &summary.vs_previous {
            bar(c, r, cell.noise_floor, scales.1, y, OVER_PREVIOUS.1 + 8);
        }
        if let Some(claim) = seed::claim(&summary.kernel) {
            let at = (scales.0.at(claim.expected), y);
            match claim.standing {
                seed::Standing::Planned => c.open_diamond(at, CLAIM),
                seed::Standing::Published => c.marker(3, at, CLAIM),
            }
        }
    }
}

fn bar(c: &mut Canvas<'_>, r: &Ratio, noise: f64, scale: &Scale, y: i32, text_x: i32) {
    let call = query::call(r, noise);
    let color = match call {
        Call::Faster => SERIES[4],
        Call::Slower => SERIES[6],
        Call::WithinNoise | Call::TooFewRounds => SERIES[0],
    };
    let (one, end) = (scale.at(1.0), scale.at(r.median));
    c.rect((one.min(end), y - 5), (one.max(end), y + 5), color);
    if let (Some(low), Some(high)) = (r.low, r.high) {
        let (low, high) = (scale.at(low), scale.at(high));
        c.line((low, y), (high, y), INK, 1);
        for x in [low, high] {
            c.line((x, y - 4), (x, y + 4), INK, 1);
        }
    }
    let tilde = if call == Call::WithinNoise { "~ " } else { "" };
    let interval = if r.low.is_some() { figures::interval(r) } else { "(few rounds)".into() };
    c.text((text_x, y), Anchor::Start, 12, INK, true, &format!("{tilde}{}", figures::ratio(r.median)));
    c.text((text_x + 58, y), Anchor::Start, 11, MUTED, false, &interval);
}

/// Room around the values, with 1× always inside.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values = values.filter(|v| v.is_finite() && *v > 0.0);
    let (low, high) = values.fold((0.95f64, 1.1f64), |(l, h), v| (l.min(v), h.max(v)));
    (low * 0.95, high * 1.08)
}

fn description(cells: &[&MicroCell], baseline: &str) -> String {
    let one = |cell: &&MicroCell| {
        let stages: Vec<String> = query::kernels(cell)
            .filter_map(|(_, s)| {
                Some(format!("{} {}", s.kernel, figures::ratio_with_interval(s.vs_baseline.as_ref()?)))
            })
            .collect();
        format!("{}: {}.", query::cell_title(cell), stages.join(", "))
    };
    let cells: Vec<String> = cells.iter().map(one).collect();
    format!("Speed-up over {baseline} with intervals. {}", cells.join(" "))
}
