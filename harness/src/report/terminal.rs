//! The result of a run in a terminal of 80 columns: who is faster, and by how much against how much noise.

use super::query::{self, Call};
use super::view::{claims_summary, lut_sentence};
use super::{crossover_in_words, figures, verdict};
use crate::receipt::{GenerationKernel, MicroCell, Ratio, Receipt, SparsityRecord};
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle};

/// Widest line in characters.
const WIDTH: u16 = 80;

/// The ladder, the int8 family, end to end, and what the seed's code table does, as text.
pub fn summary_table(receipt: &Receipt, color: bool) -> String {
    let mut out = vec![wrapped(&printable(&verdict::opening(receipt)))];
    for family in query::families(receipt) {
        if let Some(table) = stages(receipt, &family, color) {
            out.push(format!("{}: speed-up over the first row\n{table}", printable(&query::family_title(&family))));
        }
    }
    for family in query::families(receipt) {
        if let Some(table) = bounds(receipt, &family) {
            let title = format!("{family}: share of the bound (m: memory, c: compute)");
            out.push(format!("{}\n{table}", printable(&title)));
        }
    }
    if let Some(record) = receipt.sparsity.as_ref().filter(|record| !record.points.is_empty()) {
        out.push(format!("Feed-forward block, microseconds\n{}", sparsity(record)));
        out.push(wrapped(&printable(&crossover_in_words(record))));
    }
    if receipt.generation.is_some() {
        for family in query::families(receipt) {
            if let Some(table) = generation(receipt, &family, color) {
                out.push(format!("{} end to end, tokens/s\n{table}", printable(&family)));
            }
        }
    }
    let paired = receipt.generation.as_ref().and_then(query::blocks_in_words);
    out.extend(paired.map(|words| wrapped(&format!("End to end: {}.", printable(&words)))));
    for sparse in receipt.generation.iter().flat_map(|g| &g.kernels).filter(|k| k.sparse_ffn.is_some()) {
        if let Some(ratio) = &sparse.decode_vs_baseline {
            out.push(wrapped(&format!(
                "{} took turns with {} alone: {} as fast. Only this ratio counts; its tokens/s come from warmer caches than the other rows'.",
                printable(&sparse.kernel),
                printable(&ratio.partner),
                figures::ratio_with_interval(ratio)
            )));
        }
    }
    if let Some(lut) = receipt.perplexity.as_ref().and_then(|p| p.lut.as_ref()) {
        out.push(wrapped(&printable(&lut_sentence(lut))));
    }
    if receipt.micro.iter().any(|c| !c.rounds.is_empty()) {
        let judged = crate::claims::judge_all(receipt);
        out.push(wrapped(&format!("Of the analysis's {}; `list claims --run` shows them.", claims_summary(&judged))));
    }
    if let Some((low, high)) = query::noise_range(receipt) {
        out.push(format!(
            "~ within noise   A/A noise of this run: {} to {} by shape",
            figures::percent(low),
            figures::percent(high)
        ));
    }
    out.join("\n\n") + "\n"
}

fn sparsity(record: &SparsityRecord) -> Table {
    let mut table = table();
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    table.set_header(["live share", "dense", "sparse", "sparse over dense", "noise"].map(|h| right(h.into())));
    for p in &record.points {
        table.add_row([
            right(format!("{:.2}", p.live_share)),
            right(figures::number(p.dense_us)),
            right(figures::number(p.sparse_us)),
            right(figures::ratio_with_interval(&p.vs_dense)),
            right(figures::percent(p.noise_floor)),
        ]);
    }
    table
}

fn stages(receipt: &Receipt, family: &str, color: bool) -> Option<Table> {
    let heads: Vec<&MicroCell> =
        query::headlines(receipt, family).into_iter().filter(|c| !c.rounds.is_empty()).collect();
    if heads.is_empty() {
        return None;
    }
    let mut table = table();
    let mut header = vec![Cell::new("kernel")];
    header.extend(heads.iter().map(|c| {
        let at = format!("{}\n{}\n{}", printable(&c.op), query::shape(c), query::residency(c.residency));
        Cell::new(at).set_alignment(CellAlignment::Right)
    }));
    header.push(Cell::new("over stage\nbefore\n(1st column)").set_alignment(CellAlignment::Right));
    table.set_header(header);
    for kernel in query::kernel_ids(receipt, family) {
        let mut row = vec![Cell::new(figures::label(&printable(&kernel), 22))];
        for cell in &heads {
            row.push(match query::kernels(cell).find(|(_, s)| s.kernel == kernel) {
                Some((_, s)) => {
                    let best = query::fastest(cell).is_some_and(|f| f.kernel == kernel);
                    ratio(s.vs_baseline.as_ref(), cell.noise_floor, best, color)
                }
                None => Cell::new("not run").set_alignment(CellAlignment::Right),
            });
        }
        // The first column's shape: the others' are in the report.
        let previous = heads.first().and_then(|c| {
            let (_, s) = query::kernels(c).find(|(_, s)| s.kernel == kernel)?;
            Some(ratio(Some(s.vs_previous.as_ref()?), c.noise_floor, false, color))
        });
        row.push(previous.unwrap_or_else(|| Cell::new("")));
        table.add_row(row);
    }
    Some(table)
}

/// The smaller of memory's and the multiply's bound at the headline shapes: the share that each kernel reached, and for batches the
/// products a cycle.
fn bounds(receipt: &Receipt, family: &str) -> Option<Table> {
    let bounded = |c: &&MicroCell| query::kernels(c).any(|(_, s)| s.bound.is_some());
    let heads: Vec<&MicroCell> = query::headlines(receipt, family).into_iter().filter(bounded).collect();
    if heads.is_empty() {
        return None;
    }
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let mut table = table();
    let mut header = vec![Cell::new("kernel")];
    for c in &heads {
        let unit = if c.tokens > 1 { "\nMAC/cycle" } else { "" };
        header.push(right(format!(
            "{}\n{}\n{}{unit}",
            printable(&c.op),
            query::shape(c),
            query::residency(c.residency)
        )));
    }
    table.set_header(header);
    for kernel in query::kernel_ids(receipt, family) {
        let mut row = vec![Cell::new(figures::label(&printable(&kernel), 22))];
        for cell in &heads {
            let summary = query::kernels(cell).find(|(_, s)| s.kernel == kernel).map(|(_, s)| s);
            row.push(right(match summary.map(|s| s.bound.as_ref()) {
                Some(Some(b)) => {
                    let letter = query::bound(b.bound).chars().next().unwrap_or(' ');
                    let cycle =
                        b.mac_per_cycle.filter(|_| cell.tokens > 1).map_or_else(String::new, |m| format!("\n{m:.1}"));
                    format!("{} {letter}{cycle}", figures::percent(b.share))
                }
                Some(None) => "n/a".into(),
                None => "not run".into(),
            }));
        }
        table.add_row(row);
    }
    Some(table)
}

fn ratio(r: Option<&Ratio>, noise: f64, best: bool, color: bool) -> Cell {
    let Some(r) = r else { return Cell::new("1×").set_alignment(CellAlignment::Right) };
    let call = query::call(r, noise);
    let mark = match call {
        Call::WithinNoise => "~",
        Call::TooFewRounds => "?",
        Call::Faster | Call::Slower => "",
    };
    let cell = Cell::new(format!("{mark}{}", figures::ratio(r.median))).set_alignment(CellAlignment::Right);
    match (color, call) {
        (true, Call::Faster) if best => cell.fg(Color::Green).add_attribute(Attribute::Bold),
        (true, Call::Slower) => cell.fg(Color::Red),
        (true, Call::WithinNoise | Call::TooFewRounds) => cell.add_attribute(Attribute::Dim),
        _ => cell,
    }
}

fn generation(receipt: &Receipt, family: &str, color: bool) -> Option<Table> {
    let record = receipt.generation.as_ref()?;
    let own: Vec<&GenerationKernel> = record.kernels.iter().filter(|k| k.family == family).collect();
    if own.is_empty() {
        return None;
    }
    let mut table = table();
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let header = ["kernel", "decode", "prefill", "first token", "ids", "known answers"];
    table.set_header(header.iter().enumerate().map(|(i, h)| if i == 0 { Cell::new(h) } else { right(h.to_string()) }));
    let ranked = own.iter().filter(|k| k.sparse_ffn.is_none());
    let best = ranked.map(|k| k.decode_tokens_per_s).fold(0.0, f64::max);
    let partner = own[0].kernel.clone();
    for k in own {
        let passed = k.goldens.iter().filter(|c| c.passed).count();
        let speed = |x: f64| if x > 0.0 { figures::number(x) } else { "n/a".into() };
        let mut decode = right(speed(k.decode_tokens_per_s));
        if color && best > 0.0 && k.decode_tokens_per_s >= best && k.sparse_ffn.is_none() {
            decode = decode.fg(Color::Green).add_attribute(Attribute::Bold);
        }
        let ids = match (k.kernel == partner, k.ids_equal_baseline) {
            (true, _) => "partner",
            (false, true) => "equal",
            (false, false) => "differ",
        };
        let goldens = if k.goldens.is_empty() { "none".into() } else { format!("{passed} of {}", k.goldens.len()) };
        table.add_row([
            Cell::new(figures::label(&printable(&k.kernel), 22)),
            decode,
            right(speed(k.prefill_tokens_per_s)),
            right(figures::duration_or_none(k.time_to_first_token_ms * 1e6)),
            right(ids.into()),
            right(goldens),
        ]);
    }
    Some(table)
}

/// An empty table in the style of all of them.
pub fn table() -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(WIDTH);
    // Colour was decided by the caller; without this a pipe would lose it and a test could not ask for it.
    table.enforce_styling();
    table
}

/// A receipt is a file like any other: its text must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Sentences broken at spaces.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut width = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > usize::from(WIDTH) {
            out.push('\n');
            width = 0;
        } else if width > 0 {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn fits_80_columns_without_colour() {
        for receipt in [fixture::complete(), fixture::interrupted(), fixture::empty()] {
            let text = summary_table(&receipt, false);
            assert!(!text.contains('\u{1b}'));
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }

    #[test]
    fn colour_only_when_asked() {
        assert!(summary_table(&fixture::complete(), true).contains("\u{1b}["));
    }

    #[test]
    fn a_receipt_cannot_steer_the_terminal() {
        let mut receipt = fixture::complete();
        for cell in &mut receipt.micro {
            cell.summaries.iter_mut().for_each(|s| s.kernel = s.kernel.replace("avx2", "\u{1b}[2J"));
            cell.op = cell.op.replace("gemv", "\u{1b}]0;x");
        }
        receipt.error = Some("\u{1b}[2J".into());
        receipt.status = crate::receipt::Status::Failed;
        assert!(!summary_table(&receipt, false).contains('\u{1b}'));
    }
}
