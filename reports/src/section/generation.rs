//! Generation: prefill and decode have columns of their own, families tables of their own.

use super::{anchors, of_family, percent};
use crate::document::{Block, Cell, Column, Row, Section, Table, Tone, Value};
use crate::words::count;
use crate::{chart, query};
use receipt::judge::reading;
use receipt::{Family, GenerationKernel, GenerationRecord, Receipt, figures};

/// Longest text shown; the receipt has all of it.
const TEXT_LIMIT: usize = 4000;
const OF_BOUND: &str = "“Of limit”: of the tokens/s at which the bytes a token reads would stream from where they \
                        fit, by this run's own reading of that level with as many threads. Attention, the rest of a \
                        token and the cache of keys and values are not in it.";
const SPARSE: &str = "A row KERNEL+sparse skips what the gate's zeros make irrelevant; its ratio is to KERNEL alone. \
                      In receipts before 1.3 it took turns with KERNEL only, in rounds of its own with warmer \
                      caches: there only the ratio says something.";
const IDS: &str = "“Token ids” compares with the first kernel of the family, as far as both go. Exact kernels must \
                   agree to the last id; f32 stages may choose another token where two are nearly tied, as they are \
                   in a model of random weights.";

/// The section on whole texts: what was generated, how fast, and whether it is right.
pub fn section(receipt: &Receipt) -> Section {
    let section = Section::new("generation", "Whole text");
    let Some(g) = receipt.generation.as_ref().filter(|g| !g.kernels.is_empty()) else {
        return section.say("No text was generated in this run.");
    };
    let mut section = section.note(setup(g) + ". Speed of whole text: not to be compared with a kernel's own.");
    for (k, missed) in g.kernels.iter().flat_map(|k| k.goldens.iter().filter(|c| !c.passed).map(move |c| (k, c))) {
        section = section.warn(format!(
            "Known answer missed by {} for {}: expected {}, got {} ({} steps compared).",
            k.kernel,
            figures::prompt(&missed.prompt),
            ids(&missed.expected),
            ids(&missed.got),
            missed.compared
        ));
    }
    let sparse = g.kernels.iter().any(|k| k.sparse_ffn.is_some());
    let section = section.with(chart::phases(receipt).map(Block::Chart));
    let section = section.tables(Family::ALL.into_iter().filter_map(|family| table(receipt, g, family)));
    let section = if sparse { section.note(SPARSE) } else { section };
    let texts =
        Section::new("texts", "What was generated").note(format!("Prompt: “{}”", figures::cut(&g.prompt, TEXT_LIMIT)));
    section.note(OF_BOUND).note(IDS).with([Block::Section(texts.with(quotes(g)))])
}

fn table(receipt: &Receipt, g: &GenerationRecord, family: Family) -> Option<Table> {
    let own: Vec<(usize, &GenerationKernel)> =
        g.kernels.iter().enumerate().filter(|(_, k)| k.family == family).collect();
    let partner = own.first()?.1;
    let ranked = own.iter().filter(|(_, k)| k.sparse_ffn.is_none());
    let best = ranked.map(|(_, k)| k.decode_tokens_per_s).fold(0.0, f64::max);
    let columns = vec![
        Column::words("Kernel"),
        Column::number("Decode tokens/s"),
        Column::number("Of limit"),
        Column::words("Decode over the first row"),
        Column::number("Prefill tokens/s"),
        Column::number("First token"),
        Column::words("Token ids"),
        Column::words("Known answers"),
        Column::number("Read per token"),
        Column::words("Decode tokens/s, round by round"),
    ];
    let rows = own.iter().map(|(i, k)| row(receipt, *i, k, partner, best));
    let table = of_family("generation", family, columns).rows(rows);
    Some(Table { title: format!("{}, whole text", table.title), ..table })
}

fn row(receipt: &Receipt, index: usize, k: &GenerationKernel, partner: &GenerationKernel, best: f64) -> Row {
    let is_partner = std::ptr::eq(k, partner);
    let fastest = best > 0.0 && k.decode_tokens_per_s >= best && k.sparse_ffn.is_none();
    // KERNEL+sparse is the kernel of that name with another feed-forward block.
    let source = anchors::source(receipt, k.kernel.split('+').next().unwrap_or_default());
    let name = Cell::from(k.kernel.as_str()).under(count(k.rounds.len(), "round"));
    let over = match &k.decode_vs_baseline {
        Some(ratio) => {
            let cell = Cell::from(Value::Judged(ratio.clone()));
            if ratio.partner == partner.kernel { cell } else { cell.under(format!("over {} alone", ratio.partner)) }
        }
        None if is_partner => Value::Factor(1.0).into(),
        None => Value::Absent("not compared").into(),
    };
    let (ids, tone) = match (is_partner, k.ids_equal_baseline) {
        (true, _) => ("partner", Tone::Plain),
        (false, true) => ("equal", Tone::Good),
        (false, false) => ("differ", Tone::Bad),
    };
    let ids = Cell::from(Value::word(ids)).tone(tone);
    let passed = k.goldens.iter().filter(|c| c.passed).count();
    let tone = if passed == k.goldens.len() { Tone::Good } else { Tone::Bad };
    let goldens = match k.goldens.len() {
        0 => Value::Absent("none").into(),
        n => Cell::from(Value::word(format!("{passed} of {n}"))).tone(tone),
    };
    let rounds = k.rounds.iter().filter(|r| r.decode_ns > 0);
    let rounds = rounds.map(|r| figures::number(r.decode_tokens as f64 / r.decode_ns as f64 * 1e9)).collect::<Vec<_>>();
    let cells = vec![
        Cell { links: source.map(|place| ("source", place)).into_iter().collect(), ..name },
        Cell::from(Value::rate(k.decode_tokens_per_s)).tone(if fastest { Tone::Best } else { Tone::Plain }),
        percent(reading::share_of_decode(receipt, k)).into(),
        over,
        Value::rate(k.prefill_tokens_per_s).into(),
        Value::Time(k.time_to_first_token_ms * 1e6).into(),
        ids.under(format!("{} tokens, stopped by {}", k.token_ids.len(), k.stop_reason.replace('_', " "))),
        goldens,
        Value::Bytes(k.bytes_per_token).into(),
        rounds.join(" · ").into(),
    ];
    Row::new(anchors::generated(index), cells)
}

fn setup(g: &GenerationRecord) -> String {
    let limit = g.timeout_s.map_or_else(String::new, |s| format!(", time limit {s} s"));
    let blocks = query::blocks_in_words(g).map_or_else(String::new, |words| format!("; {words}"));
    format!(
        "{} prompt tokens, at most {} generated, {}, {}, output head {}, activations with {}{limit}{blocks}",
        g.prompt_ids.len(),
        g.max_tokens,
        g.sampling,
        count(g.threads, "thread"),
        g.head,
        g.activations.in_words()
    )
}

/// Kernels that wrote the same share one quotation.
fn quotes(g: &GenerationRecord) -> Vec<Block> {
    let mut out: Vec<(&str, Vec<&str>)> = Vec::new();
    for k in &g.kernels {
        match out.iter_mut().find(|t| t.0 == k.text) {
            Some(t) => t.1.push(&k.kernel),
            None => out.push((&k.text, vec![&k.kernel])),
        }
    }
    let quote = |(text, kernels): (&str, Vec<&str>)| Block::Quote {
        text: figures::cut(text, TEXT_LIMIT),
        by: kernels.join(", "),
    };
    out.into_iter().map(quote).collect()
}

fn ids(ids: &[u32]) -> String {
    ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}
