//! `measurements.csv`: a row a kernel of a cell, a comparison of a gate, or an operation of a whole text. Units are in
//! the column names, and a kernel's throughput and a text's tokens/s have columns of their own, so that no spreadsheet
//! adds them up.

use crate::document::{self, Column, Row, Table, Value};
use crate::{gate_words::outcome_word, query};
use receipt::judge::{coverage, engines};
use receipt::{
    EngineRecord, EnginesRecord, GateCell, GenerationKernel, GenerationRecord, LeftOut, MicroCell, Operation, Ratio,
    Receipt, Residency, Result, RulesRecord, Scaling,
};

/// Columns in their order; tools know them by these names.
const COLUMNS: [&str; 53] = [
    "kind",
    "scenario",
    "run_status",
    "family",
    "kernel",
    "op",
    "m",
    "k",
    "tokens",
    "elements",
    "residency",
    "threads",
    "self_pair",
    "rounds",
    "calls_per_epoch",
    "median_ns_per_call",
    "gelem_s",
    "gb_s",
    "share_of_stream",
    "end_to_end_tokens_per_s",
    "time_to_first_token_ms",
    "ratio_vs_baseline",
    "ratio_vs_baseline_low",
    "ratio_vs_baseline_high",
    "baseline",
    "ratio_vs_previous",
    "ratio_vs_previous_low",
    "ratio_vs_previous_high",
    "previous",
    "confidence",
    "direction_vs_baseline",
    "direction_vs_previous",
    "threshold",
    "bound",
    "bound_set_by",
    "bound_gelem_s",
    "share_of_bound",
    "mac_per_cycle",
    "verdict",
    "change",
    "weight_group",
    "activations",
    "kl_nats",
    "same_top_share",
    "perplexity",
    "status",
    "right_perplexity",
    "head_bits",
    "own_clock_tokens_per_s",
    "threads_used",
    "peak_memory_bytes",
    "wall_ns_per_call",
    "device",
];

/// The file `measurements.csv` of a run, as bytes.
///
/// # Errors
/// Only what the CSV writer itself reports.
pub fn measurements(receipt: &Receipt) -> Result<Vec<u8>> {
    let status = format!("{:?}", receipt.status).to_lowercase();
    let row = |kind: &str, figures: Figures| {
        let mut cells = vec![Value::Nothing; COLUMNS.len()];
        let run = [
            ("kind", kind.into()),
            ("scenario", receipt.scenario.name.as_str().into()),
            ("run_status", status.as_str().into()),
            ("device", receipt.device.as_ref().map(|device| device.in_words()).into()),
        ];
        for (name, value) in run.into_iter().chain(figures) {
            if let Some(place) = COLUMNS.iter().position(|column| *column == name) {
                cells[place] = value;
            }
        }
        Row::new("", cells.into_iter().map(Into::into).collect())
    };
    let gate = || receipt.gate.iter();
    let micro =
        receipt.micro.iter().flat_map(|cell| (0..cell.summaries.len()).map(move |i| ("kernel", micro_row(cell, i))));
    let gated = gate().flat_map(|g| &g.cells).map(|cell| ("gate", gate_row(cell)));
    let left_out = gate().flat_map(coverage::by_gravity).map(|l| ("gate", left_out_row(receipt, l)));
    let texts = receipt.generation.iter().flat_map(|g| {
        let both = |k| [Operation::Prefill, Operation::Decode].map(|op| ("end_to_end", generation_row(g, k, op)));
        g.kernels.iter().flat_map(both)
    });
    let rules = receipt.activation_rules.iter().flat_map(|r| (0..r.rules.len()).map(move |i| rule_row(r, i)));
    let rules = rules.map(|figures| ("activation_rule", figures));
    let engines = receipt.engines.iter().flat_map(|record| {
        let both =
            |engine| [Operation::Prefill, Operation::Decode].map(|op| ("engine", engine_row(record, engine, op)));
        record.engines.iter().flat_map(both)
    });
    let rows = micro.chain(gated).chain(left_out).chain(texts).chain(rules).chain(engines);
    let rows = rows.map(|(kind, figures)| row(kind, figures));
    document::csv(&Table::new("measurements.csv", "", COLUMNS.map(Column::words).into()).rows(rows))
}

/// Named figures of a row.
type Figures = Vec<(&'static str, Value)>;

fn whole(n: usize) -> Value {
    Value::Integer(n as u64)
}

fn if_some(figure: Option<f64>) -> Value {
    figure.map_or(Value::Nothing, Value::Number)
}

fn micro_row(cell: &MicroCell, i: usize) -> Figures {
    let summary = &cell.summaries[i]; // the caller counts the summaries
    let measured = |figure: f64| if cell.rounds.is_empty() { Value::Nothing } else { Value::Number(figure) };
    let entry = cell.entries.get(i);
    // The A/A pair is no comparison.
    let judged = entry.is_some_and(|e| !e.self_pair);
    let (base, previous) = (summary.vs_baseline.as_ref(), summary.vs_previous.as_ref());
    let bound = summary.bound.as_ref();
    let mut out = vec![
        ("family", cell.family.name().into()),
        ("kernel", summary.kernel.as_str().into()),
        ("op", cell.op.name().into()),
        ("m", whole(cell.m)),
        ("k", whole(cell.k)),
        ("tokens", whole(cell.tokens)),
        ("elements", Value::Integer(cell.weights_per_call)),
        ("residency", residency(cell.residency).into()),
        ("threads", whole(cell.threads)),
        ("self_pair", entry.map(|e| e.self_pair.to_string()).into()),
        ("rounds", whole(cell.rounds.len())),
        ("calls_per_epoch", Value::Integer(cell.calls_per_epoch.into())),
        ("median_ns_per_call", measured(summary.median_ns_per_call)),
        ("wall_ns_per_call", if_some(query::wall_ns_per_call(cell, i))),
        ("gelem_s", measured(summary.gelem_s)),
        ("gb_s", measured(summary.gb_s)),
        ("share_of_stream", summary.share_of_stream.map_or(Value::Nothing, measured)),
        ("bound", bound.map(|b| query::bound(b.bound)).into()),
        ("bound_set_by", bound.map(|b| b.what.as_str()).into()),
        ("bound_gelem_s", if_some(bound.map(|b| b.gelem_s))),
        ("share_of_bound", if_some(bound.map(|b| b.share))),
        ("mac_per_cycle", if_some(bound.and_then(|b| b.mac_per_cycle))),
        ("threshold", if_some(base.or(previous).and_then(Ratio::threshold).filter(|_| judged))),
        ("change", if_some(summary.verdict.as_ref().map(|v| v.change))),
    ];
    out.extend(ratios(base, previous, judged));
    out.extend(scales(cell.scaling()));
    out
}

/// What shares a scale, of kernels with scales of groups.
fn scales(scaling: Option<Scaling>) -> Figures {
    let Some(Scaling { weight_group, activations }) = scaling else { return Vec::new() };
    vec![("weight_group", whole(weight_group)), ("activations", activations.name().into())]
}

/// The current build's time against the baseline's, with the verdict over process pairs.
fn gate_row(cell: &GateCell) -> Figures {
    let speed = receipt::judge::gate::tokens_per_s(cell).map(|[_, current]| current);
    let product = |value: Value| if speed.is_none() { value } else { Value::Nothing };
    let mut out = vec![
        ("family", cell.family.name().into()),
        ("kernel", cell.kernel.as_str().into()),
        ("op", cell.op.name().into()),
        ("m", product(whole(cell.m))),
        ("k", product(whole(cell.k))),
        ("tokens", whole(cell.tokens)),
        ("residency", residency(cell.residency).into()),
        ("threads", whole(cell.threads)),
        ("rounds", whole(cell.pairs.iter().map(|pair| pair.rounds.len()).sum())),
        ("calls_per_epoch", Value::Integer(cell.calls_per_epoch.into())),
        ("median_ns_per_call", product(Value::Number(cell.current_ns_per_call))),
        ("end_to_end_tokens_per_s", if_some(speed.filter(|speed| *speed > 0.0))),
        ("baseline", cell.verdict.partner.as_str().into()),
        ("threshold", Value::Number(cell.verdict.delta_eff)),
        ("verdict", outcome_word(cell.verdict.outcome).into()),
        ("change", Value::Number(cell.verdict.change)),
    ];
    out.extend(scales(cell.scaling()));
    out
}

/// What a gate did not compare: its name and what that means for the gate.
fn left_out_row(receipt: &Receipt, left_out: &LeftOut) -> Figures {
    vec![
        ("kernel", left_out.kernel.as_str().into()),
        ("threads", whole(receipt.settings.threads)),
        ("rounds", whole(0)),
        ("verdict", outcome_word(coverage::outcome(left_out)).into()),
    ]
}

fn residency(residency: Residency) -> &'static str {
    match residency {
        Residency::L2 => "l2",
        Residency::Llc => "llc",
        Residency::Cache => "cache",
        Residency::Dram => "dram",
    }
}

fn generation_row(g: &GenerationRecord, kernel: &GenerationKernel, op: Operation) -> Figures {
    let decode = op == Operation::Decode;
    let speed = if decode { kernel.decode_tokens_per_s } else { kernel.prefill_tokens_per_s };
    let ratio = kernel.decode_vs_baseline.as_ref().filter(|_| decode);
    let first = Some(kernel.time_to_first_token_ms).filter(|ms| !decode && *ms > 0.0);
    let mut out = vec![
        ("family", kernel.family.name().into()),
        ("kernel", kernel.kernel.as_str().into()),
        ("op", op.name().into()),
        ("threads", whole(g.threads)),
        ("activations", g.activations.name().into()),
        ("rounds", whole(kernel.rounds.len())),
        // Zero stands for "fewer than two tokens", which is no speed.
        ("end_to_end_tokens_per_s", if_some(Some(speed).filter(|speed| *speed > 0.0))),
        ("time_to_first_token_ms", if_some(first)),
        ("threshold", if_some(ratio.and_then(Ratio::threshold))),
    ];
    out.extend(ratios(ratio, None, true));
    out
}

/// A rule of activations; its speed is compared with the first rule's.
fn rule_row(record: &RulesRecord, index: usize) -> Figures {
    let (rule, own) = (&record.rules[index], record.speed(index));
    let ratio = own.and_then(|own| own.vs_baseline.as_ref());
    let mut out = vec![
        ("family", rule.family.name().into()),
        ("kernel", rule.kernel.as_str().into()),
        ("op", Operation::Decode.name().into()),
        ("tokens", whole(record.tokens)),
        ("threads", whole(record.threads)),
        ("activations", rule.activations.name().into()),
        ("rounds", whole(record.blocks.as_ref().map_or(0, |blocks| blocks.rounds.len()))),
        ("end_to_end_tokens_per_s", if_some(own.map(|own| own.tokens_per_s))),
        ("threshold", if_some(ratio.and_then(Ratio::threshold))),
        ("kl_nats", Value::Number(rule.kl_nats)),
        ("same_top_share", Value::Number(rule.same_top_share)),
        ("perplexity", Value::Number(rule.perplexity)),
    ];
    out.extend(ratios(ratio, None, true));
    out
}

/// What an engine does for an id; only those that are right have speeds. Our own program is what the others are
/// compared with, so it has no ratio.
fn engine_row(record: &EnginesRecord, engine: &EngineRecord, op: Operation) -> Figures {
    let decode = op == Operation::Decode;
    let speed = engine.speed.as_ref();
    let ratio = speed.and_then(|s| if decode { s.decode.as_ref() } else { s.prompt.as_ref() }).filter(|_| !engine.own);
    let rate = speed.map(|s| if decode { s.decode_tokens_per_s } else { s.prompt_tokens_per_s });
    let own = speed.and_then(|s| if decode { s.own_decode_tokens_per_s } else { s.own_prompt_tokens_per_s });
    let score = engine.truth.as_ref().and_then(|truth| truth.score.as_ref());
    let right = engines::oracle(&record.oracles, engine);
    let mut out = vec![
        ("kernel", engine.name.as_str().into()),
        ("op", op.name().into()),
        ("threads", whole(record.threads)),
        ("rounds", whole(record.turns.as_ref().filter(|_| speed.is_some()).map_or(0, |turns| turns.first.len()))),
        ("end_to_end_tokens_per_s", if_some(rate.filter(|rate| *rate > 0.0))),
        ("time_to_first_token_ms", if_some(speed.map(|s| s.first_token_ms).filter(|_| !decode))),
        ("share_of_bound", if_some(speed.and_then(|s| s.share_of_bound).filter(|_| decode))),
        ("threshold", if_some(ratio.and_then(Ratio::threshold))),
        ("perplexity", if_some(score.map(|score| score.nats_per_token.exp()).filter(|x| x.is_finite()))),
        ("status", engine.status.name().into()),
        ("right_perplexity", if_some(right.map(|right| right.perplexity))),
        ("head_bits", engine.loaded.as_ref().map(|l| l.head_bits.to_string()).into()),
        ("own_clock_tokens_per_s", if_some(own)),
        ("threads_used", if_some(speed.map(|s| s.threads_used).filter(|_| decode))),
        ("peak_memory_bytes", Some(engine.peak_memory_bytes).filter(|b| *b > 0).map_or(Value::Nothing, Value::Bytes)),
    ];
    out.extend(ratios(ratio, None, true));
    out
}

fn ratios(base: Option<&Ratio>, previous: Option<&Ratio>, judged: bool) -> Figures {
    let word = |ratio: Option<&Ratio>| ratio.filter(|_| judged).map(|r| r.direction().word()).into();
    vec![
        ("ratio_vs_baseline", if_some(base.map(|r| r.median))),
        ("ratio_vs_baseline_low", if_some(base.and_then(|r| r.low))),
        ("ratio_vs_baseline_high", if_some(base.and_then(|r| r.high))),
        ("baseline", base.map(|r| r.partner.as_str()).into()),
        ("ratio_vs_previous", if_some(previous.map(|r| r.median))),
        ("ratio_vs_previous_low", if_some(previous.and_then(|r| r.low))),
        ("ratio_vs_previous_high", if_some(previous.and_then(|r| r.high))),
        ("previous", previous.map(|r| r.partner.as_str()).into()),
        ("confidence", if_some(base.or(previous).map(|r| r.confidence))),
        ("direction_vs_baseline", word(base)),
        ("direction_vs_previous", word(previous)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use receipt::Activations;

    fn parsed(receipt: &Receipt) -> (csv::StringRecord, Vec<csv::StringRecord>) {
        let bytes = measurements(receipt).unwrap();
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let header = reader.headers().unwrap().clone();
        (header, reader.records().map(|r| r.unwrap()).collect())
    }

    #[test]
    fn every_figure_has_its_column() {
        let complete = fixture::complete();
        let gate = fixture::two_kernels(0.1);
        let cell = &gate.gate.as_ref().expect("a gate").cells[0];
        let texts = complete.generation.as_ref().expect("texts");
        let text = generation_row(texts, &texts.kernels[1], Operation::Decode);
        let grouped = micro_row(&fixture::by_rule(Activations::Per32).micro[1], 1);
        let rule = rule_row(fixture::activation_rules().activation_rules.as_ref().expect("rules"), 1);
        let engines = fixture::engines().engines.expect("engines");
        let engine = engine_row(&engines, &engines.engines[1], Operation::Decode);
        let rows = [micro_row(&complete.micro[0], 1), grouped, gate_row(cell), text, rule, engine];
        for (name, _) in rows.into_iter().flatten() {
            assert!(COLUMNS.contains(&name), "{name}");
        }
    }

    #[test]
    fn rows_of_groups_say_what_shares_a_scale() {
        let (header, rows) = parsed(&fixture::by_rule(Activations::Per32));
        let column = |name: &str| header.iter().position(|h| h == name).unwrap();
        for row in &rows {
            let said = [&row[column("weight_group")], &row[column("activations")]];
            let want = match (&row[column("kind")], &row[column("family")]) {
                ("kernel", "W2gA8") => ["64", "32"],
                ("kernel", _) => ["", ""],
                _ => ["", "32"],
            };
            assert_eq!(said, want, "{row:?}");
        }
    }

    #[test]
    fn every_entry_has_a_row_and_throughputs_never_share_one() {
        let receipt = fixture::complete();
        let (header, rows) = parsed(&receipt);
        let entries: usize = receipt.micro.iter().map(|c| c.entries.len()).sum();
        assert_eq!(rows.len(), entries + 2 * receipt.generation.as_ref().unwrap().kernels.len());
        let column = |name: &str| header.iter().position(|h| h == name).unwrap();
        for row in &rows {
            let kernel = &row[column("kind")] == "kernel";
            assert_eq!(row[column("gelem_s")].is_empty(), !kernel);
            assert_eq!(row[column("share_of_bound")].is_empty(), !kernel, "no row without its bound");
            assert_eq!(row[column("bound")].is_empty(), !kernel);
            assert!(kernel != (&row[column("kind")] == "end_to_end"));
        }
        let first: f64 = rows[1][column("ratio_vs_baseline")].parse().unwrap();
        assert_eq!(first, receipt.micro[0].summaries[1].vs_baseline.as_ref().unwrap().median);
    }

    #[test]
    fn only_right_engines_have_speeds() {
        let (header, rows) = parsed(&fixture::engines());
        let column = |name: &str| header.iter().position(|h| h == name).unwrap();
        let said: Vec<[&str; 3]> =
            rows.iter().map(|row| ["kernel", "op", "status"].map(|name| &row[column(name)])).collect();
        assert_eq!(said[..2], [["tritbench", "prefill", "ok"], ["tritbench", "decode", "ok"]]);
        assert_eq!(
            (said.len(), said[7], said[8]),
            (10, ["llama.cpp", "decode", "wrong"], ["bitnet.cpp", "prefill", "unsupported"])
        );
        for row in &rows {
            let right = &row[column("status")] == "ok";
            assert_eq!(row[column("end_to_end_tokens_per_s")].is_empty(), !right, "{row:?}");
            let own = &row[column("kernel")] == "tritbench";
            assert_eq!(row[column("ratio_vs_baseline")].is_empty(), own || !right, "{row:?}");
            assert_eq!(row[column("perplexity")].is_empty(), &row[column("status")] == "unsupported", "{row:?}");
        }
    }

    #[test]
    fn empty_and_interrupted_runs_parse_too() {
        assert_eq!(parsed(&fixture::empty()).1.len(), 0);
        let (header, rows) = parsed(&fixture::interrupted());
        let low = header.iter().position(|h| h == "ratio_vs_baseline_low").unwrap();
        assert!(rows.iter().all(|r| r[low].is_empty()));
    }

    #[test]
    fn a_row_of_a_gpu_names_it_and_has_both_clocks() {
        let text = String::from_utf8(measurements(&fixture::gpu()).unwrap()).unwrap();
        assert!(text.lines().next().unwrap().ends_with(",wall_ns_per_call,device"), "{text}");
        let rows: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(rows.len(), 6, "two cells of two kernels and A/A");
        for row in rows {
            assert!(row.ends_with(",\"Card 4000, through vulkan, driver Maker 550.54\""), "{row}");
        }
        assert!(!String::from_utf8(measurements(&fixture::complete()).unwrap()).unwrap().contains("through"));
    }
}
