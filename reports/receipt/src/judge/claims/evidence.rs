//! A claim's metric, looked up in a receipt: a figure with its interval and where it stands, or why there is none.

use super::{Metric, Operation, Phase, Positive};
use crate::figures::number;
use crate::judge::stats::{CONFIDENCE, median, sign_test_interval};
use crate::record::{GenerationKernel, MicroCell, PhasesMs, Receipt};
use crate::titles::cell_title;

/// Ternary weights of BitNet-b1.58-2B-4T: 30 blocks of 2560 x 2560 (q, output), 640 x 2560 (k, v) and 6912 x 2560
/// (gate, up, down).
const WEIGHTS_2B: f64 = 30.0 * (2.0 * 2560.0 * 2560.0 + 2.0 * 640.0 * 2560.0 + 3.0 * 6912.0 * 2560.0);
/// How far a model may be from it to stand for it.
const NEAR: f64 = 0.05;

/// A figure of a receipt that a claim is held against, with its interval and place.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The measured figure, in the unit of the metric; a median where there are several samples.
    pub value: f64,
    /// Ends of the figure's interval; absent for figures that are no samples or too few.
    pub interval: Option<(f64, f64)>,
    /// The kernel, cell or model that was looked at, in words.
    pub place: String,
    /// JSON pointer to the figure in the receipt; empty for what comes from the analysis itself.
    pub at: String,
}

/// Looks up a claim's metric in a receipt: the figure, or why this receipt does not have it.
pub fn evidence(metric: &Metric, receipt: &Receipt) -> Result<Evidence, String> {
    match metric {
        Metric::GelemS { kernel, op, k } => rate(receipt, kernel, *op, *k),
        Metric::SpeedUp { kernel, over, op, k } => {
            let cell = cell(receipt, *op, *k, &[kernel, over])?;
            paired(cell, &[kernel, over], |t| t[1] / t[0], &format!("{kernel} over {over}"))
        }
        Metric::SavedShare { kernel, over, of, op } => {
            let kernels = [kernel.as_str(), over, of];
            let cell = cell(receipt, *op, None, &kernels)?;
            paired(cell, &kernels, |t| (t[1] - t[0]) / t[2], &format!("{kernel} against {over}"))
        }
        Metric::PhaseShare { kernel, phase } => {
            phase_of(receipt, generated(receipt, kernel)?, *phase, |part, all| part / all)
        }
        Metric::PhaseMs { kernel, phase } => phase_of(receipt, generated_2b(receipt, kernel)?, *phase, |part, _| part),
        Metric::TokensPerS { kernel } => decode(receipt, kernel, |rate| rate),
        Metric::Seconds { kernel, tokens } => decode(receipt, kernel, |rate| f64::from(*tokens) / rate),
        Metric::TokensWithin { kernel, seconds } => decode(receipt, kernel, |rate| seconds * rate),
        Metric::ImpliedMs { kernel, op } => {
            let rate = rate(receipt, kernel, *op, None)?;
            let ms = |gelem_s: f64| WEIGHTS_2B / gelem_s / 1e6;
            let interval = rate.interval.map(|(low, high)| (ms(high), ms(low)));
            Ok(Evidence { value: ms(rate.value), interval, place: format!("2.08 G weights at {}", rate.place), ..rate })
        }
        Metric::ForwardFloorMs { kernel } => floor(receipt, kernel),
        Metric::BitsPerWeight { kernel } => {
            let i = position(receipt.kernels.iter().map(|k| &k.id), kernel)?;
            let k = &receipt.kernels[i];
            point(k.bits_per_weight, format!("packing {}", k.packing), format!("/kernels/{i}/bits_per_weight"))
        }
        Metric::MaxError { kernel } => {
            let i = position(receipt.verify.iter().map(|v| &v.id), kernel)?;
            let v = &receipt.verify[i];
            match v.cases {
                0 => Err(format!("{kernel} does not run on this CPU")),
                n => point(v.max_relative_error, format!("{n} conformance cases"), format!("/verify/{i}")),
            }
        }
        Metric::TablePerplexity {} => table(receipt),
        Metric::Quotient { numbers: [Positive(a), Positive(b)] } => {
            point(a / b, format!("{a} / {b} from its own figures"), String::new())
        }
        Metric::RateAfter { numbers: [Positive(total), Positive(part), Positive(factor)] } => {
            let words = format!("1000 / ({total} - {part} + {part} / {factor}) from its own budget");
            point(1000.0 / (total - part + part / factor), words, String::new())
        }
        Metric::None { why } => Err(why.clone()),
    }
}

/// A figure without samples. One that is not a number was not measured.
fn point(value: f64, place: String, at: String) -> Result<Evidence, String> {
    match value.is_finite() {
        true => Ok(Evidence { value, interval: None, place, at }),
        false => Err(format!("{place}: not a number")),
    }
}

fn position<'s>(ids: impl Iterator<Item = &'s String>, kernel: &str) -> Result<usize, String> {
    ids.enumerate().find(|(_, id)| *id == kernel).map(|(i, _)| i).ok_or_else(|| format!("this run has no {kernel}"))
}

/// The cell for an operation in cache: that of one row of `k`, or the largest.
fn cell<'r>(
    receipt: &'r Receipt,
    op: Operation,
    k: Option<usize>,
    kernels: &[&str],
) -> Result<(usize, &'r MicroCell), String> {
    let in_cell = |c: &MicroCell, id: &str| c.entries.iter().any(|e| e.kernel == id && !e.self_pair);
    let fitting = receipt.micro.iter().enumerate().filter(|(_, c)| {
        c.op == op
            && (c.residency.place() == crate::record::Residency::Llc || c.op == Operation::Dequantize)
            && k.is_none_or(|k| c.k == k && c.m == 1)
            && !c.rounds.is_empty()
            && kernels.iter().all(|id| in_cell(c, id))
    });
    // The first of the largest.
    let found = fitting.min_by_key(|(i, c)| (std::cmp::Reverse(c.weights_per_call), *i));
    found.ok_or_else(|| {
        let size = k.map_or_else(String::new, |k| format!(" of {k} elements"));
        format!("this run did not time {op}{size} with {} in cache; scenario seed-tables does", kernels.join(" and "))
    })
}

fn column(cell: &MicroCell, kernel: &str) -> Vec<f64> {
    let entry = cell.entries.iter().position(|e| e.kernel == kernel && !e.self_pair).unwrap_or(usize::MAX);
    let calls = f64::from(cell.calls_per_epoch.max(1));
    cell.rounds.iter().map(|r| r.ns.get(entry).map_or(f64::NAN, |&ns| ns as f64 / calls)).collect()
}

fn sampled(values: Vec<f64>, place: String, at: String) -> Result<Evidence, String> {
    let values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    if values.is_empty() {
        return Err(format!("{place}: no rounds"));
    }
    Ok(Evidence { value: median(&values), interval: sign_test_interval(&values, CONFIDENCE), place, at })
}

fn rate(receipt: &Receipt, kernel: &str, op: Operation, k: Option<usize>) -> Result<Evidence, String> {
    let (i, cell) = cell(receipt, op, k, &[kernel])?;
    let weights = cell.weights_per_call as f64;
    let rates = column(cell, kernel).into_iter().map(|ns| weights / ns).collect();
    sampled(rates, format!("{kernel}, {}", cell_title(cell)), format!("/micro/{i}"))
}

/// A function of several kernels' times, round by round.
fn paired(
    (i, cell): (usize, &MicroCell),
    kernels: &[&str],
    figure: impl Fn(&[f64]) -> f64,
    what: &str,
) -> Result<Evidence, String> {
    let columns: Vec<Vec<f64>> = kernels.iter().map(|id| column(cell, id)).collect();
    let rounds = (0..cell.rounds.len()).map(|r| figure(&columns.iter().map(|c| c[r]).collect::<Vec<_>>())).collect();
    sampled(rounds, format!("{what}, {}", cell_title(cell)), format!("/micro/{i}"))
}

fn generated<'r>(receipt: &'r Receipt, kernel: &str) -> Result<(usize, &'r GenerationKernel), String> {
    let generation = receipt.generation.as_ref().ok_or("this run generated nothing")?;
    let i = position(generation.kernels.iter().map(|k| &k.kernel), kernel)?;
    let k = &generation.kernels[i];
    if k.decode_tokens_per_s > 0.0 { Ok((i, k)) } else { Err(format!("{kernel} generated fewer than two tokens")) }
}

fn generated_2b<'r>(receipt: &'r Receipt, kernel: &str) -> Result<(usize, &'r GenerationKernel), String> {
    let weights = receipt.model.as_ref().map_or(0, |m| m.ternary_weights);
    if (weights as f64 / WEIGHTS_2B - 1.0).abs() > NEAR {
        return Err(match weights {
            0 => "this run has no model; scenario timeout runs one of the 2B shape".into(),
            n => format!(
                "{} has {} M ternary weights and not 2084; scenario timeout runs the 2B shape",
                model(receipt),
                number(n as f64 / 1e6)
            ),
        });
    }
    generated(receipt, kernel)
}

fn model(receipt: &Receipt) -> String {
    receipt.model.as_ref().map_or_else(|| "the model".into(), |m| m.name.clone())
}

fn decode(receipt: &Receipt, kernel: &str, of: impl Fn(f64) -> f64) -> Result<Evidence, String> {
    let (i, k) = generated_2b(receipt, kernel)?;
    let rate = |r: &crate::record::GenerationRound| r.decode_tokens as f64 / r.decode_ns as f64 * 1e9;
    let rounds = k.rounds.iter().filter(|r| r.decode_ns > 0 && r.decode_tokens > 0);
    let place = format!("decode with {kernel} on {}, {} round(s)", model(receipt), k.rounds.len());
    sampled(rounds.map(rate).map(of).collect(), place, format!("/generation/kernels/{i}"))
}

/// A figure of a phase's and the whole token's milliseconds.
fn phase_of(
    receipt: &Receipt,
    (i, k): (usize, &GenerationKernel),
    phase: Phase,
    figure: fn(f64, f64) -> f64,
) -> Result<Evidence, String> {
    let (part, total) = phases(&k.phases_ms_per_token, phase);
    let place = format!("decode with {} on {}", k.kernel, model(receipt));
    point(figure(part, total), place, format!("/generation/kernels/{i}/phases_ms_per_token"))
}

/// Milliseconds of one phase of a decoded token, and of the whole token.
pub fn phases(p: &PhasesMs, phase: Phase) -> (f64, f64) {
    let total = p.embed + p.forward + p.logits + p.sample + p.stop_check;
    let part = match phase {
        Phase::Forward => p.forward,
        Phase::Logits => p.logits,
        Phase::Sampling => p.sample,
        Phase::Other => p.embed + p.stop_check,
        Phase::Total => total,
    };
    (part, total)
}

fn floor(receipt: &Receipt, kernel: &str) -> Result<Evidence, String> {
    let i = position(receipt.kernels.iter().map(|k| &k.id), kernel)?;
    let bits = receipt.kernels[i].bits_per_weight;
    let limits = receipt.limits.as_ref().ok_or("this receipt holds no limits of its machine")?;
    let dram = limits.bandwidth.iter().enumerate().filter(|(_, b)| b.level == "DRAM");
    let (at, best) = dram
        .max_by(|a, b| a.1.read_gb_s.high.total_cmp(&b.1.read_gb_s.high))
        .ok_or("no bandwidth of memory was measured")?;
    let ms = |gb_s: f64| WEIGHTS_2B * bits / 8.0 / gb_s / 1e6;
    let place = format!(
        "{} MB at {} GB/s ({} thread(s))",
        number(WEIGHTS_2B * bits / 8e6),
        number(best.read_gb_s.high),
        best.threads
    );
    point(ms(best.read_gb_s.high), place, format!("/limits/bandwidth/{at}"))
}

fn table(receipt: &Receipt) -> Result<Evidence, String> {
    let lut = receipt.perplexity.as_ref().and_then(|p| p.lut.as_ref());
    let lut = lut.ok_or("this run did not score the analysis's code table")?;
    let place = format!("perplexity with {}", lut.kernel);
    // Logits that overflow are as wrong as can be.
    let seed = lut.seed_perplexity.unwrap_or(f64::MAX);
    point(seed / lut.file_perplexity, place, "/perplexity/lut".into())
}
