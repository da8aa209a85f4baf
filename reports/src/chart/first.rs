//! The two pictures of the first screen: one product, weights from memory; and whole text. A row a kernel, both
//! families on one axis, each with its share of the machine's limit. A kernel of another kind is one more row.

use super::canvas::{
    Anchor, CLAIM, Canvas, Font, GRID, HEADING, INK, LABEL, MUTED, NOTE, Pattern, SERIES, STRONG, Scale, draw,
};
use super::parts::{Chart, bar, not_drawn, ticks};
use super::text;
use crate::lead::Lead;
use crate::{answer, query, seed};
use receipt::judge::{Direction, reading};
use receipt::{Family, GenerationKernel, MicroCell, MicroSummary, Ratio, Receipt, figures, titles};

/// Two of them stand side by side.
const WIDTH: i32 = 576;
const ROW: i32 = 22;
const PLOT: (i32, i32) = (150, 454);
/// Where the columns of figures end.
const FIGURE: i32 = 520;
const SHARE: i32 = 572;
/// Below the title: what is shown, and the columns' heads.
const HEAD: i32 = 86;
/// Axis and key.
const FOOT: i32 = 86;
/// Rows of a family; a receipt with more has them in its tables.
const MOST: usize = 24;

/// One kernel.
struct Row<'a> {
    kernel: &'a str,
    /// Where its bar begins: the speed of its family's first row.
    from: f64,
    speed: f64,
    /// Speeds at the ends of its interval.
    interval: Option<(f64, f64)>,
    direction: Option<Direction>,
    figure: String,
    limit: Option<f64>,
    share: Option<f64>,
    claim: Option<f64>,
}

struct Group<'a> {
    title: &'static str,
    color: usize,
    rows: Vec<Row<'a>>,
    /// The same in words, for whoever does not see it.
    words: String,
}

/// What both pictures are drawn from.
struct Picture<'a> {
    file: &'static str,
    title: String,
    note: String,
    figure: &'static str,
    axis: &'static str,
    groups: Vec<Group<'a>>,
    caption: String,
}

/// The pictures of the first screen for which the receipt has data.
pub fn charts(receipt: &Receipt) -> Vec<Chart> {
    [products(receipt), whole_text(receipt)].into_iter().flatten().filter_map(|picture| picture.draw()).collect()
}

fn group(family: Family, rows: Vec<Row<'_>>, words: String) -> Group<'_> {
    let (title, color) = match family {
        Family::W2A32 => ("f32 activations: the ladder", 4),
        Family::W2A8 => ("int8 activations, exact", 3),
        Family::W2gA8 => ("int8 activations, group scales", 2),
    };
    Group { title, color, rows, words }
}

/// One matrix times one vector.
fn products(receipt: &Receipt) -> Option<Picture<'_>> {
    let cells = query::products(receipt);
    // The family that the first sentence is about.
    let (_, cell) = *cells.iter().find(|(family, _)| *family == Family::W2A8).or(cells.last())?;
    let place = titles::residency(cell.residency);
    let title = Lead::of(cell).map_or_else(|| capital(place), |lead| title(&capital(place), &lead));
    Some(Picture {
        file: "products.svg",
        title,
        note: format!(
            "gemv {} {place}, {} thread{} · bar: from the family's first row to the kernel",
            titles::shape(cell),
            cell.threads,
            if cell.threads == 1 { "" } else { "s" }
        ),
        figure: "speed-up",
        axis: "G weights/s, log scale",
        groups: cells
            .iter()
            .map(|(family, cell)| group(*family, product_rows(*family, cell), in_words(cell)))
            .collect(),
        caption: format!(
            "Speed-ups are medians of paired rounds over the family's first row. {}{}{}",
            query::port_mixes(cells.iter().map(|(_, cell)| *cell)).map_or_else(String::new, |said| said + " "),
            seed::ladder_note(),
            not_drawn(cells.iter().map(|(_, cell)| query::kernels(cell).count()).max().unwrap_or(0), MOST)
        ),
    })
}

/// As much as fits, names first: place, figure and verb are in the note and in the columns below, too.
fn title(place: &str, lead: &Lead<'_>) -> String {
    if lead.over_next.is_none() {
        return format!("{place}, only {} was timed", lead.names());
    }
    let names = format!("{}{}", lead.names(), lead.open());
    let who = format!("{} {} fastest{}", lead.names(), lead.verb(), lead.open());
    let figure = lead.best.vs_baseline.as_ref().map(|r| format!(": {} {}", figures::ratio(r.median), r.partner));
    let whole = format!("{place}, {who}{}", figure.unwrap_or_default());
    let shorter = [whole, format!("{place}, {who}"), who];
    shorter.into_iter().find(|title| text::width(title, 16, true) <= WIDTH).unwrap_or(names)
}

fn product_rows(family: Family, cell: &MicroCell) -> Vec<Row<'_>> {
    let first = cell.summaries.first().map_or(0.0, |s| s.gelem_s);
    let rows = query::kernels(cell).map(|(_, s)| s).filter(|s| s.gelem_s.is_finite() && s.gelem_s > 0.0);
    rows.take(MOST).map(|s| product_row(family, first, s)).collect()
}

fn product_row(family: Family, first: f64, s: &MicroSummary) -> Row<'_> {
    let ratio = s.vs_baseline.as_ref();
    let at = |ratio: &Ratio, end: f64| s.gelem_s * end / ratio.median;
    Row {
        kernel: &s.kernel,
        from: first,
        speed: s.gelem_s,
        interval: ratio.and_then(|r| Some((at(r, r.low?), at(r, r.high?)))),
        direction: ratio.map(Ratio::direction),
        figure: ratio.map_or_else(|| "1×".into(), figures::judged),
        limit: s.bound.as_ref().map(|b| b.gelem_s),
        share: s.bound.as_ref().map(|b| b.share),
        claim: (family == query::LADDER).then(|| seed::claim(&s.kernel)).flatten().map(|claim| first * claim.expected),
    }
}

/// Every comparison with the first row, with its word.
fn in_words(cell: &MicroCell) -> String {
    let against_first = |s: &MicroSummary| {
        let ratio = s.vs_baseline.as_ref()?;
        let figure = figures::ratio_with_interval(ratio);
        Some(format!("{} over {} {figure}, {}", s.kernel, ratio.partner, ratio.direction().word()))
    };
    let all: Vec<String> = query::kernels(cell).filter_map(|(_, s)| against_first(s)).collect();
    let counts = figures::percent(query::threshold(cell).unwrap_or(0.0));
    format!("{}, differences count from {counts}: {}.", titles::cell_of_a_run(cell), all.join("; "))
}

/// Tokens a second while a text is generated.
fn whole_text(receipt: &Receipt) -> Option<Picture<'_>> {
    let generation = receipt.generation.as_ref()?;
    let groups = Family::ALL.map(|family| {
        let own = generation.kernels.iter().filter(|k| k.family == family && k.decode_tokens_per_s > 0.0);
        let rows: Vec<Row<'_>> = own.take(MOST).map(|kernel| text_row(receipt, generation.threads, kernel)).collect();
        let words = rows.iter().map(|row| format!("{} {}", row.kernel, row.figure)).collect::<Vec<_>>().join(", ");
        group(family, rows, format!("{family}, tokens/s: {words}."))
    });
    let groups: Vec<Group<'_>> = groups.into_iter().filter(|group| !group.rows.is_empty()).collect();
    let title = match answer::leads_in_text(receipt) {
        Some((k, ratio)) => {
            format!("In whole text {} leads: {} {}", k.kernel, figures::ratio(ratio.median), ratio.partner)
        }
        None if generation.kernels.iter().any(|k| k.decode_vs_baseline.is_some()) => {
            "In whole text no lead is settled".into()
        }
        None => "Whole text, token by token".into(),
    };
    let model = receipt.model.as_ref().map_or("the model", |m| m.name.as_str());
    Some(Picture {
        file: "whole-text.svg",
        title,
        note: format!("model {}: tokens/s are of this model only", figures::label(model, 40)),
        figure: "tokens/s",
        axis: "tokens/s, log scale",
        groups,
        caption:
            "Everything is counted: embedding, attention, norms, output head. The limit is what reading the bytes \
                  of a token takes at the streaming rate of the level that holds them."
                .into(),
    })
}

fn text_row<'a>(receipt: &Receipt, threads: usize, k: &'a GenerationKernel) -> Row<'a> {
    Row {
        kernel: &k.kernel,
        from: 0.0,
        speed: k.decode_tokens_per_s,
        interval: None,
        direction: k.decode_vs_baseline.as_ref().map(Ratio::direction),
        figure: figures::number(k.decode_tokens_per_s),
        limit: reading::tokens(receipt, k.bytes_per_token, threads).map(|b| b.tokens_s),
        share: reading::share_of_decode(receipt, k),
        claim: None,
    }
}

impl Picture<'_> {
    fn draw(&self) -> Option<Chart> {
        let rows: Vec<&Row<'_>> = self.groups.iter().flat_map(|group| &group.rows).collect();
        let values = rows.iter().flat_map(|r| [Some(r.speed), r.limit, r.claim].into_iter().flatten());
        let values = values.filter(|v| v.is_finite() && *v > 0.0);
        let (low, high) = values.fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
        if rows.is_empty() {
            return None;
        }
        let scale = Scale::log(low / 1.3..=high * 1.15, PLOT);
        let plot = ROW * (rows.len() + self.groups.len()) as i32;
        let id = self.file.trim_end_matches(".svg");
        let words: Vec<&str> = self.groups.iter().map(|group| group.words.as_str()).collect();
        let words = words.join(" ");
        let svg = draw(id, (WIDTH, HEAD + plot + FOOT), &self.title, &words, |c| {
            c.text((0, 42), Anchor::Start, NOTE, &self.note);
            c.text((FIGURE, HEAD - 14), Anchor::End, NOTE, self.figure);
            c.text((SHARE, HEAD - 14), Anchor::End, NOTE, "of limit");
            for (value, label) in ticks(&scale, 40, "") {
                c.line((scale.at(value), HEAD), (scale.at(value), HEAD + plot), GRID, 1);
                c.text((scale.at(value), HEAD + plot + 13), Anchor::Middle, NOTE, &label);
            }
            c.text(((PLOT.0 + PLOT.1) / 2, HEAD + plot + 32), Anchor::Middle, NOTE, self.axis);
            let mut y = HEAD + ROW / 2;
            for group in &self.groups {
                c.text((0, y), Anchor::Start, HEADING, group.title);
                for row in &group.rows {
                    y += ROW;
                    row.draw(c, &scale, y, SERIES[group.color]);
                }
                y += ROW;
            }
            self.key(c, HEAD + plot + 60);
        });
        Some(Chart {
            file: self.file.into(),
            title: self.title.clone(),
            caption: self.caption.clone(),
            svg,
            saved: true,
        })
    }

    fn key(&self, c: &mut Canvas, y: i32) {
        let any = |has: fn(&Row<'_>) -> bool| self.groups.iter().flat_map(|g| &g.rows).any(has);
        let mut x = 0;
        let mut entry = |c: &mut Canvas, sign: &dyn Fn(&mut Canvas, i32), words: &str| {
            sign(c, x);
            c.text((x + 18, y), Anchor::Start, NOTE, words);
            x += 18 + text::width(words, 12, false) + 16;
        };
        if any(|r| r.limit.is_some()) {
            entry(c, &|c, x| c.line((x + 8, y - 8), (x + 8, y + 8), INK, 2), "machine's limit");
        }
        if any(|r| r.interval.is_some()) {
            entry(c, &|c, x| c.whisker((x, x + 14), y, 3, INK), "interval");
        }
        if any(|r| r.claim.is_some()) {
            entry(c, &|c, x| c.open_diamond((x + 7, y), CLAIM), "claimed by the analysis");
        }
        if any(|r| r.from > 0.0 && r.direction == Some(Direction::Slower)) {
            let sign = |c: &mut Canvas, x: i32| c.patterned((x, y - 6), (x + 14, y + 6), SERIES[6], Pattern::Falling);
            entry(c, &sign, "slower than first row");
        }
    }
}

impl Row<'_> {
    fn draw(&self, c: &mut Canvas, scale: &Scale, y: i32, color: plotters::style::RGBColor) {
        c.text((PLOT.0 - 10, y), Anchor::End, LABEL, &text::fit(self.kernel, 12, false, PLOT.0 - 12));
        let at = scale.at(self.speed);
        if self.from > 0.0 {
            let start = scale.at(self.from);
            let (left, right) = (start.min(at), start.max(at).max(start.min(at) + 2));
            // The first row has no direction: it is where the bars begin.
            bar(c, (left, right), y, color, self.direction.unwrap_or(Direction::Faster));
        } else {
            c.line((PLOT.0, y), (at, y), GRID, 2);
            c.dot((at, y), 5, color);
        }
        if let Some((low, high)) = self.interval {
            c.whisker((scale.at(low), scale.at(high)), y, 3, INK);
        }
        if let Some(limit) = self.limit.filter(|limit| limit.is_finite() && *limit > 0.0) {
            c.line((scale.at(limit), y - 9), (scale.at(limit), y + 9), INK, 2);
        }
        if let Some(claim) = self.claim {
            c.open_diamond((scale.at(claim), y), CLAIM);
        }
        c.text((FIGURE, y), Anchor::End, STRONG, &text::fit(&self.figure, 12, true, FIGURE - PLOT.1 - 4));
        let share = self.share.filter(|share| share.is_finite()).map_or_else(String::new, figures::percent);
        c.text(
            (SHARE, y),
            Anchor::End,
            Font { color: MUTED, ..LABEL },
            &text::fit(&share, 12, false, SHARE - FIGURE - 6),
        );
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_picture_leads_with_what_is_settled() {
        let title = |receipt: &Receipt| products(receipt).expect("products").title;
        assert!(title(&fixture::complete()).starts_with("From DRAM, avx2-i8 is fastest: "));
        let mut open = fixture::complete();
        let leads = open.micro.iter_mut().filter_map(|cell| cell.lead.as_mut());
        leads.for_each(|lead| lead.over_next.verdict = None);
        assert_eq!(title(&open), "From DRAM, avx2-i8 or scalar-i8 is fastest, undecided");
        // Two long names leave no room for the place.
        let long = "ggml-tq2_0-of-another-build";
        let leads = open.micro.iter_mut().filter_map(|cell| cell.lead.as_mut());
        leads.for_each(|lead| lead.over_next.partner = long.into());
        let short = title(&open);
        assert!(short.starts_with(&format!("avx2-i8 or {long}")) && short.ends_with(", undecided"), "{short}");
        assert!(text::width(&short, 16, true) <= WIDTH, "{short}");
        assert!(charts(&fixture::empty()).is_empty());
    }
}
