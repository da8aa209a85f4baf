//! The claims of the analysis as far as this run could measure them: what was measured over what was claimed.

use super::forest::{Frame, Moved, Scaled, moved};
use super::parts::Chart;
use receipt::judge::Direction;
use receipt::judge::claims::{Judged, Verdict};

/// The picture of the claims that this run could measure; none where it could measure none.
pub fn chart(judged: &[Judged]) -> Option<Chart> {
    let count = |verdict| judged.iter().filter(|j| j.verdict == verdict).count();
    let (holds, fails) = (count(Verdict::Holds), count(Verdict::Fails));
    // Those first that lie furthest from what was said.
    let mut rows: Vec<Moved> = judged
        .iter()
        .filter(|j| j.verdict != Verdict::NotMeasurable && j.claim.expected > 0.0)
        .filter_map(|j| {
            let over = |measured: f64| measured / j.claim.expected;
            Some(Moved {
                name: format!("§{} {}", j.claim.section, j.claim.id),
                value: over(j.measured?),
                interval: j.low.zip(j.high).map(|(low, high)| (over(low), over(high))),
                counts: 0.0,
                direction: Some(if j.verdict == Verdict::Holds { Direction::Faster } else { Direction::Slower }),
            })
        })
        .filter(|row| row.value > 0.0)
        .collect();
    rows.sort_by(|a, b| b.value.ln().abs().total_cmp(&a.value.ln().abs()));
    let title = format!("{fails} of {} measurable claims fail", holds + fails);
    let note = "Measured over stated, those first that lie furthest apart";
    let frame = Frame { file: "claims.svg", title: &title, note, hatched: "the claim fails", scaled: Scaled::Ratio };
    Some(Chart { saved: true, ..moved(frame, &rows)? })
}
