//! Time of a feed-forward block against the share of live gates: dense, sparse, and where they meet.

use super::canvas::{Anchor, Canvas, GRID, LABEL, MUTED, NOTE, SERIES, Scale, draw};
use super::parts::{Chart, WIDTH, head, legend, say};
use super::text::{self, Taken};
use receipt::figures;
use receipt::judge::sparsity::{crossover_in_words, number};
use receipt::{Receipt, SparsityPoint, SparsityRecord};

const HEIGHT: i32 = 400;
const LEFT: i32 = 64;
const TOP: i32 = 92;
const BOTTOM: i32 = HEIGHT - 56;
const RIGHT: i32 = WIDTH - 24;

/// The sparsity chart, if the sweep was run.
pub fn chart(receipt: &Receipt) -> Option<Chart> {
    let record = receipt.sparsity.as_ref()?;
    let longest = record.points.iter().flat_map(|p| [p.dense_us, p.sparse_us]).filter(|us| us.is_finite());
    let longest = longest.fold(0.0, f64::max);
    if longest <= 0.0 {
        return None;
    }
    let found = crossover_in_words(record);
    let points: Vec<String> = record
        .points
        .iter()
        .map(|p| {
            let ratio = figures::ratio_with_interval(&p.vs_dense);
            let [dense, sparse] = [p.dense_us, p.sparse_us].map(figures::number);
            format!("at {} dense {dense}, sparse {sparse}, {ratio}", number(p.live_share))
        })
        .collect();
    let description = format!("{found} Microseconds a block by share of positive gates: {}.", points.join("; "));
    let down = head(&found) - 44;
    let svg = draw("sparsity", (WIDTH, HEIGHT + down), "What skipping zero gates is worth", &description, |c| {
        say(c, &found);
        paint(c, record, longest, down);
    });
    let caption = "Medians over rounds. The figures at the marks are dense time over sparse time, paired by round: \
                   above 1× skipping pays. Both compute the same bits."
        .into();
    Some(Chart { file: "sparsity.svg", caption, svg })
}

fn paint(c: &mut Canvas<'_>, record: &SparsityRecord, longest: f64, down: i32) {
    let (top, bottom) = (TOP + down, BOTTOM + down);
    legend(c, (0, 56 + down), ["dense", "sparse, the same bits"].into_iter().enumerate(), true);
    let x = Scale::linear(1.0, (LEFT, RIGHT));
    let y = Scale::linear(longest * 1.08, (bottom, top));
    c.text((RIGHT, 56 + down), Anchor::End, NOTE, "microseconds a block");
    for tick in y.ticks(32) {
        c.line((LEFT, y.at(tick)), (RIGHT, y.at(tick)), GRID, 1);
        c.text((LEFT - 6, y.at(tick)), Anchor::End, NOTE, &figures::number(tick));
    }
    for tenth in 0..=10 {
        let at = x.at(f64::from(tenth) / 10.0);
        c.line((at, bottom), (at, bottom + 4), MUTED, 1);
        c.text((at, bottom + 14), Anchor::Middle, NOTE, &number(f64::from(tenth) / 10.0));
    }
    c.line((LEFT, bottom), (RIGHT, bottom), MUTED, 1);
    c.text(((LEFT + RIGHT) / 2, bottom + 36), Anchor::Middle, NOTE, "share of gates that are positive");
    let times: [fn(&SparsityPoint) -> f64; 2] = [|p| p.dense_us, |p| p.sparse_us];
    for (i, us) in times.into_iter().enumerate() {
        let points: Vec<(i32, i32)> = record.points.iter().map(|p| (x.at(p.live_share), y.at(us(p)))).collect();
        if points.len() > 1 {
            c.path(&points, SERIES[i], 2);
        }
        points.into_iter().for_each(|at| c.marker(i, at, SERIES[i]));
    }
    let mut taken = Taken::new((LEFT, top - 20), (WIDTH, bottom - 4));
    for p in &record.points {
        let at = (x.at(p.live_share), y.at(p.sparse_us) + if p.sparse_us > p.dense_us { -14 } else { 16 });
        let label = text::fit(&figures::ratio(p.vs_dense.median), 12, false, 90);
        let width = text::width(&label, 12, false);
        if taken.take((at.0 - width / 2, at.1), width, 12) {
            c.plated(at, Anchor::Middle, LABEL, &label);
        }
    }
    if let Some(at) = record.crossover {
        c.dashed((x.at(at), top), (x.at(at), bottom), MUTED);
        let label = text::fit(&format!("crossover {at:.2}"), 12, false, 120);
        let width = text::width(&label, 12, false);
        let (anchor, from) = if at < 0.7 { (Anchor::Start, x.at(at) + 6) } else { (Anchor::End, x.at(at) - 6 - width) };
        if taken.take((from, bottom - 14), width, 12) {
            c.plated((x.at(at) + if at < 0.7 { 6 } else { -6 }, bottom - 14), anchor, NOTE, &label);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_crossover_is_said_in_every_case() {
        let mut record = fixture::complete().sparsity.expect("there");
        let said = |record: &SparsityRecord| crossover_in_words(record);
        assert!(said(&record).starts_with("Skipping pays below a live share of 0."), "{}", said(&record));
        record.crossover = None;
        assert!(said(&record).contains("do not show one crossover"));
        record.points.iter_mut().for_each(|p| p.vs_dense.median = 2.0);
        assert!(said(&record).starts_with("Skipping pays at every share"));
        record.points.iter_mut().for_each(|p| p.vs_dense.median = 0.5);
        assert!(said(&record).starts_with("Skipping pays at no share"));
        record.points.clear();
        assert!(said(&record).starts_with("No share was measured"));
    }
}
