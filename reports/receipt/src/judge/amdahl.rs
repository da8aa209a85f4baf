//! A kernel's gain against its gain end to end: what Amdahl's law predicts for decoding from the microbenchmark's ratio
//! and the share of a token that the ternary products take, what was measured, and what the gap between the two is made
//! of.
//!
//! Derived from a receipt whenever it is shown; nothing here is stored.

use crate::figures::number;
use crate::record::{
    Bound, BoundBy, Family, GenerationKernel, GenerationRecord, MicroCell, Operation, Ratio, Receipt, Residency,
};
use crate::titles::cell_title;
use serde::Serialize;

/// Where a prediction counts as met: within this share, or within the measured interval.
const CLOSE: f64 = 0.05;

/// A kernel's gain in its products against its gain in decoding, both over the first kernel of its family.
#[derive(Clone, Debug, Serialize)]
pub struct AmdahlRow {
    /// `W2A32`, `W2A8` or `W2gA8`; rows of different families are not to be compared.
    pub family: Family,
    /// Id of the kernel.
    pub kernel: String,
    /// Id of the family's first kernel, which both ratios are against.
    pub baseline: String,
    /// Share of the baseline's time a token that its ternary products take (qkv, attention out, gate and up, down).
    pub share_of_token: f64,
    /// Share of this kernel's own time a token that the ternary products still take.
    pub own_share_of_token: f64,
    /// Speed of this kernel's product over the baseline's, in the microbenchmark.
    pub micro: Ratio,
    /// The microbenchmark cell that the ratio is from, in words.
    pub micro_cell: String,
    /// Why that cell was chosen, in words.
    pub micro_choice: String,
    /// Decode speed-up that Amdahl's law predicts: 1 / ((1 - share) + share / micro).
    pub predicted: f64,
    /// The speed-ups that Amdahl's law predicts from the ends of the microbenchmark ratio's interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_interval: Option<(f64, f64)>,
    /// Measured decode speed over the baseline's, paired by round.
    pub measured: Ratio,
    /// Measured over predicted speed-up: below 1, decoding gained less than the law allows.
    pub gap: f64,
    /// Speed-up of the ternary products inside the model, over the baseline's.
    pub products: f64,
    /// What the gap is made of, in words, from the receipt's figures.
    pub explanation: String,
}

/// A row for each kernel with generation records and a microbenchmark, but for baselines and entries with sparsity.
pub fn rows(receipt: &Receipt) -> Vec<AmdahlRow> {
    let Some(generation) = &receipt.generation else { return Vec::new() };
    generation.kernels.iter().filter_map(|k| row(receipt, generation, k)).collect()
}

fn row(receipt: &Receipt, generation: &GenerationRecord, own: &GenerationKernel) -> Option<AmdahlRow> {
    let measured = own.decode_vs_baseline.as_ref().filter(|_| own.sparse_ffn.is_none())?;
    let base = generation.kernels.iter().find(|k| k.kernel == measured.partner && k.sparse_ffn.is_none())?;
    let (cell, choice) = choose(receipt, &base.kernel, &own.kernel, base.bytes_per_token)?;
    let summary = cell.summaries.iter().zip(&cell.entries).find(|(s, e)| s.kernel == own.kernel && !e.self_pair)?.0;
    let micro = summary.vs_baseline.as_ref().filter(|r| r.partner == base.kernel && r.median > 0.0)?;
    let (base_time, own_time) = (Time::of(base)?, Time::of(own)?);
    let share = base_time.products / base_time.total;
    let predict = |ratio: f64| 1.0 / ((1.0 - share) + share / ratio);
    let predicted = predict(micro.median);
    let row = AmdahlRow {
        family: own.family,
        kernel: own.kernel.clone(),
        baseline: base.kernel.clone(),
        share_of_token: share,
        own_share_of_token: own_time.products / own_time.total,
        micro: micro.clone(),
        micro_cell: cell_title(cell),
        micro_choice: choice,
        predicted,
        predicted_interval: micro.low.zip(micro.high).map(|(low, high)| (predict(low), predict(high))),
        measured: measured.clone(),
        gap: measured.median / predicted,
        products: base_time.products / own_time.products,
        explanation: String::new(),
    };
    let memory = summary.bound.as_ref().filter(|b| b.bound == BoundBy::Memory);
    Some(AmdahlRow { explanation: explain(&row, &base_time, &own_time, memory), ..row })
}

/// A decoded token's milliseconds, as Amdahl divides it.
struct Time {
    total: f64,
    products: f64,
    attention: f64,
    head: f64,
}

impl Time {
    /// None where the phases were not timed.
    fn of(k: &GenerationKernel) -> Option<Self> {
        let (p, f) = (&k.phases_ms_per_token, &k.forward_ms_per_token);
        let total = p.embed + p.forward + p.logits + p.sample + p.stop_check;
        let products = f.qkv + f.attn_out + f.gate_up + f.down;
        let timed = total.is_finite() && products > 0.0 && total >= products;
        timed.then_some(Self { total, products, attention: f.attention, head: p.logits })
    }
}

/// The gemv cell that is nearest to what decoding does: weights from memory where the model's do not fit the last-level
/// cache, else in cache; of those the shape nearest to the model's gate matrix.
fn choose<'r>(receipt: &'r Receipt, base: &str, own: &str, bytes_per_token: u64) -> Option<(&'r MicroCell, String)> {
    let cache = receipt.caches().last().copied();
    let from_memory = cache.is_some_and(|cache| bytes_per_token > cache);
    let has = |c: &MicroCell, id: &str| c.entries.iter().any(|e| e.kernel == id && !e.self_pair);
    let fits = |c: &&MicroCell| c.op == Operation::Gemv && !c.rounds.is_empty() && has(c, base) && has(c, own);
    let model = receipt.model.as_ref().map(|m| (m.ffn, m.dim)).filter(|(m, k)| *m > 0 && *k > 0);
    let distance = |c: &MicroCell| match model {
        Some((m, k)) => (c.m as f64 / m as f64).ln().abs() + (c.k as f64 / k as f64).ln().abs(),
        None => -((c.m * c.k) as f64),
    };
    let nearest = |residency: Residency| {
        let cells = receipt.micro.iter().filter(|c| c.residency.place() == residency).filter(fits);
        cells.min_by(|a, b| distance(a).total_cmp(&distance(b)))
    };
    let order = if from_memory { [Residency::Dram, Residency::Llc] } else { [Residency::Llc, Residency::Dram] };
    let cell = order.into_iter().find_map(nearest)?;
    let place = match (from_memory, cell.residency == Residency::Dram) {
        (true, true) => "a token reads more than the last-level cache holds",
        (true, false) => "a token reads more than the last-level cache holds, but no such cell was timed from memory",
        (false, false) => "all that a token reads fits the last-level cache",
        (false, true) => "no such cell was timed in cache",
    };
    let shape = match model {
        Some((m, k)) if (m, k) == (cell.m, cell.k) => "the model's own gate matrix".to_string(),
        Some((m, k)) => format!("the nearest timed shape to the model's gate matrix of {m}×{k}"),
        None => "the largest timed shape".to_string(),
    };
    Some((cell, format!("{place}; {shape}")))
}

fn explain(row: &AmdahlRow, base: &Time, own: &Time, memory: Option<&Bound>) -> String {
    let percent = |share: f64| format!("{:.0}%", 100.0 * share);
    let is_inside = |r: &Ratio| r.low.zip(r.high).is_some_and(|(l, h)| l <= row.predicted && row.predicted <= h);
    let mut parts = vec![if (row.gap - 1.0).abs() <= CLOSE {
        "as predicted".to_string()
    } else if is_inside(&row.measured) {
        "the measured interval contains the prediction".to_string()
    } else {
        let side = if row.gap < 1.0 { "less" } else { "more" };
        format!("{} {side} than predicted", percent((row.gap - 1.0).abs()))
    }];
    // The prediction has two terms: the products, and all that is not a product.
    if (row.products / row.micro.median - 1.0).abs() > CLOSE {
        let [products, alone] = [row.products, row.micro.median].map(number);
        parts.push(format!("in the model the products gained {products}× against {alone}× alone"));
    }
    let [rest, own_rest] = [base, own].map(|time| time.total - time.products);
    if (own_rest / rest - 1.0).abs() > CLOSE && (own_rest - rest).abs() > CLOSE * own.total {
        let [from, to] = [rest, own_rest].map(|ms| number(1e3 * ms));
        parts.push(format!("the rest of a token went from {from} to {to} µs"));
    }
    if let Some(Bound { share, what, .. }) = memory {
        parts.push(format!("the products run at {} of memory's bound ({what})", percent(*share)));
    }
    let [head, attention, products] = [own.head, own.attention, own.products].map(|part| percent(part / own.total));
    parts.push(format!("of its token {head} is head, {attention} attention, {products} products"));
    parts.join("; ") + "."
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::record::{ForwardMs, PhasesMs};

    /// A receipt whose baseline spends 8 of 10 ms in products; the other kernel's micro ratio is 4.
    fn receipt() -> Receipt {
        let mut receipt = fixture::complete();
        let phases = |products: f64| PhasesMs { forward: products + 1.0, logits: 1.0, ..PhasesMs::default() };
        for k in texts(&mut receipt) {
            let products = if k.kernel == "scalar-i8" { 8.0 } else { 2.0 };
            let [qkv, attn_out, gate_up, down] = [products / 4.0; 4];
            k.forward_ms_per_token = ForwardMs { qkv, attention: 0.5, attn_out, gate_up, down, ..Default::default() };
            k.phases_ms_per_token = phases(products);
            if let Some(ratio) = &mut k.decode_vs_baseline {
                (ratio.median, ratio.low, ratio.high) = (2.5, Some(2.4), Some(2.6));
            }
        }
        for ratio in receipt.micro.iter_mut().flat_map(|c| &mut c.summaries).filter_map(|s| s.vs_baseline.as_mut()) {
            (ratio.median, ratio.low, ratio.high) = (4.0, Some(3.5), Some(4.5));
        }
        receipt
    }

    fn texts(receipt: &mut Receipt) -> &mut Vec<GenerationKernel> {
        &mut receipt.generation.as_mut().expect("there").kernels
    }

    fn exact(receipt: &Receipt) -> AmdahlRow {
        rows(receipt).into_iter().find(|r| r.kernel == "avx2-i8").expect("a row")
    }

    #[test]
    fn the_law_on_known_numbers() {
        let row = exact(&receipt());
        // 0.8 of the token four times as fast: 1 / (0.2 + 0.2) = 2.5, which is what was measured.
        assert!((row.share_of_token - 0.8).abs() < 1e-12 && (row.predicted - 2.5).abs() < 1e-12, "{row:?}");
        assert!((row.gap - 1.0).abs() < 1e-12 && (row.products - 4.0).abs() < 1e-12);
        let (low, high) = row.predicted_interval.expect("an interval");
        assert!(low < 2.5 && 2.5 < high);
        assert_eq!(row.baseline, "scalar-i8");
        assert!(row.explanation.starts_with("as predicted;"), "{}", row.explanation);
        let parts = "of its token 25% is head, 12% attention, 50% products.";
        assert!(row.explanation.ends_with(parts), "{}", row.explanation);
    }

    #[test]
    fn a_gap_is_explained_by_its_terms() {
        let mut receipt = receipt();
        let own = texts(&mut receipt).iter_mut().find(|k| k.kernel == "avx2-i8").expect("there");
        let ratio = own.decode_vs_baseline.as_mut().expect("there");
        (ratio.median, ratio.high) = (1.6, Some(1.7));
        own.forward_ms_per_token.down += 2.0;
        own.phases_ms_per_token.forward += 2.0;
        let gap = "36% less than predicted; in the model the products gained 2.00× against 4.00× alone";
        let row = exact(&receipt);
        assert!(row.explanation.starts_with(gap), "{}", row.explanation);
    }

    #[test]
    fn the_cell_follows_the_model() {
        let mut receipt = receipt();
        let small = exact(&receipt);
        assert!(small.micro_cell.ends_with("from LLC"), "{}", small.micro_cell);
        assert!(small.micro_choice.starts_with("all that a token reads fits"), "{}", small.micro_choice);
        texts(&mut receipt).iter_mut().for_each(|k| k.bytes_per_token = 1 << 30);
        let model = receipt.model.as_mut().expect("there");
        (model.dim, model.ffn) = (2560, 6912);
        let large = exact(&receipt);
        assert_eq!(large.micro_cell, "gemv 6912×2560, from DRAM");
        assert!(large.micro_choice.ends_with("the model's own gate matrix"), "{}", large.micro_choice);
        assert!(large.explanation.contains("of memory's bound (DRAM read 14.1 GB/s)"), "{}", large.explanation);
    }

    #[test]
    fn baselines_and_runs_without_both_parts_have_no_rows() {
        let mut receipt = receipt();
        assert!(rows(&receipt).iter().all(|r| !r.kernel.starts_with("scalar")));
        receipt.micro.clear();
        assert!(rows(&receipt).is_empty() && rows(&fixture::empty()).is_empty());
    }
}
