//! Generation and perplexity. Families have tables of their own; prefill and decode have columns of their own.

use super::anchors;
use super::stages::RatioView;
use crate::query;
use receipt::figures;
use receipt::{Family, GenerationKernel, GenerationRecord, PerplexityRecord, Receipt};
use serde::Serialize;

/// Longest text shown; the receipt has all of it.
const TEXT_LIMIT: usize = 4000;

/// The generation part.
#[derive(Debug, Serialize)]
pub struct GenerationView {
    prompt: String,
    setup: String,
    families: Vec<FamilyTable>,
    texts: Vec<TextView>,
    goldens: Vec<GoldenView>,
}

#[derive(Debug, Serialize)]
struct FamilyTable {
    partner: String,
    title: String,
    anchor: String,
    rows: Vec<GenerationRow>,
}

#[derive(Debug, Serialize)]
struct GenerationRow {
    id: String,
    kernel: String,
    source: Option<String>,
    /// Decode tokens/s, round by round.
    decode_rounds: Vec<String>,
    best: bool,
    decode: String,
    /// Share of what reading its weights allows.
    share: Option<String>,
    ratio: Option<RatioView>,
    prefill: String,
    first_token: String,
    tokens: usize,
    stop_reason: String,
    bytes_per_token: String,
    ids_equal: bool,
    is_baseline: bool,
    rounds: String,
    goldens: Option<String>,
    goldens_ok: bool,
}

/// One text and who wrote it.
#[derive(Debug, Serialize)]
struct TextView {
    kernels: Vec<String>,
    text: String,
}

#[derive(Debug, Serialize)]
struct GoldenView {
    kernel: String,
    prompt: String,
    expected: String,
    got: String,
    compared: usize,
}

impl GenerationView {
    /// The view, if anything was generated.
    pub fn new(receipt: &Receipt) -> Option<Self> {
        let g = receipt.generation.as_ref().filter(|g| !g.kernels.is_empty())?;
        let families = Family::ALL.into_iter().map(|f| {
            let own: Vec<(usize, &GenerationKernel)> =
                g.kernels.iter().enumerate().filter(|(_, k)| k.family == f).collect();
            let ranked = own.iter().filter(|(_, k)| k.sparse_ffn.is_none());
            let best = ranked.map(|(_, k)| k.decode_tokens_per_s).fold(0.0, f64::max);
            // The partner of ids and ratios is the family's first kernel.
            let partner = own.first().map(|(_, k)| k.kernel.clone()).unwrap_or_default();
            let rows = own.iter().map(|(i, k)| row(receipt, *i, &partner, k, best)).collect();
            let anchor = format!("generation-{}", anchors::slug(f.name()));
            FamilyTable { title: query::family_title(f).into(), anchor, rows, partner }
        });
        let failed = g.kernels.iter().flat_map(|k| k.goldens.iter().filter(|c| !c.passed).map(move |c| (k, c)));
        Some(Self {
            prompt: figures::cut(&g.prompt, TEXT_LIMIT),
            setup: setup(g),
            families: families.filter(|f| !f.rows.is_empty()).collect(),
            texts: texts(g),
            goldens: failed
                .map(|(k, c)| GoldenView {
                    kernel: k.kernel.clone(),
                    prompt: c.prompt.clone(),
                    expected: ids(&c.expected),
                    got: ids(&c.got),
                    compared: c.compared,
                })
                .collect(),
        })
    }
}

fn setup(g: &GenerationRecord) -> String {
    let limit = g.timeout_s.map_or_else(String::new, |s| format!(", time limit {s} s"));
    let blocks = query::blocks_in_words(g).map_or_else(String::new, |words| format!("; {words}"));
    format!(
        "{} prompt tokens, at most {} generated, {}, {} thread{}, output head {}{limit}{blocks}",
        g.prompt_ids.len(),
        g.max_tokens,
        g.sampling,
        g.threads,
        if g.threads == 1 { "" } else { "s" },
        g.head
    )
}

fn row(receipt: &Receipt, index: usize, partner: &str, k: &GenerationKernel, best: f64) -> GenerationRow {
    let passed = k.goldens.iter().filter(|c| c.passed).count();
    let speed = |x: f64| if x > 0.0 { figures::number(x) } else { "n/a".into() };
    let decoded = k.rounds.iter().filter(|r| r.decode_ns > 0);
    GenerationRow {
        id: anchors::generated(index),
        // KERNEL+sparse is the kernel of that name with another feed-forward block.
        source: anchors::source(receipt, k.kernel.split('+').next().unwrap_or_default()),
        decode_rounds: decoded.map(|r| figures::number(r.decode_tokens as f64 / r.decode_ns as f64 * 1e9)).collect(),
        kernel: k.kernel.clone(),
        best: best > 0.0 && k.decode_tokens_per_s >= best && k.sparse_ffn.is_none(),
        decode: speed(k.decode_tokens_per_s),
        share: receipt::judge::bound::share_of_decode(receipt, k).map(figures::percent),
        ratio: k.decode_vs_baseline.as_ref().map(RatioView::new),
        prefill: speed(k.prefill_tokens_per_s),
        first_token: figures::duration_or_none(k.time_to_first_token_ms * 1e6),
        tokens: k.token_ids.len(),
        stop_reason: k.stop_reason.replace('_', " "),
        bytes_per_token: figures::bytes(k.bytes_per_token),
        ids_equal: k.ids_equal_baseline,
        is_baseline: k.kernel == partner,
        rounds: format!("{} round{}", k.rounds.len(), if k.rounds.len() == 1 { "" } else { "s" }),
        goldens: (!k.goldens.is_empty()).then(|| format!("{passed} of {}", k.goldens.len())),
        goldens_ok: passed == k.goldens.len(),
    }
}

/// Kernels that wrote the same share one quotation.
fn texts(g: &GenerationRecord) -> Vec<TextView> {
    let mut out: Vec<(&str, Vec<String>)> = Vec::new();
    for k in &g.kernels {
        match out.iter_mut().find(|t| t.0 == k.text) {
            Some(t) => t.1.push(k.kernel.clone()),
            None => out.push((&k.text, vec![k.kernel.clone()])),
        }
    }
    out.into_iter().map(|(text, kernels)| TextView { kernels, text: figures::cut(text, TEXT_LIMIT) }).collect()
}

fn ids(ids: &[u32]) -> String {
    ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}

/// The perplexity part.
#[derive(Debug, Serialize)]
pub struct PerplexityView {
    setup: String,
    hash: String,
    families: Vec<FamilyPerplexity>,
    lut: Option<LutView>,
    /// What the quantised head does to it, if the run had one.
    head: Option<String>,
}

#[derive(Debug, Serialize)]
struct FamilyPerplexity {
    title: String,
    anchor: String,
    rows: Vec<PerplexityRow>,
}

#[derive(Debug, Serialize)]
struct PerplexityRow {
    id: String,
    kernel: String,
    nats: String,
    perplexity: String,
}

/// What reading the codes with the seed's table does.
#[derive(Debug, Serialize)]
pub struct LutView {
    kernel: String,
    file_lut: String,
    file: String,
    seed_lut: String,
    seed: String,
    uniform: String,
    /// The finding in one sentence.
    pub sentence: String,
}

impl PerplexityView {
    /// All of it in words.
    pub fn new(receipt: &Receipt, p: &PerplexityRecord) -> Self {
        Self {
            setup: format!(
                "{} tokens of {}, windows of {}, each from an empty cache",
                figures::integer(p.tokens as u64),
                p.text,
                p.window
            ),
            hash: figures::short_hash(&p.text_sha256),
            families: perplexities(receipt, p),
            head: receipt.head_effect.as_ref().map(|e| format!("Output head {}: {}.", e.head, e.says())),
            lut: p.lut.as_ref().map(lut),
        }
    }
}

/// One table a family; a kernel that the receipt does not list has one without a family.
fn perplexities(receipt: &Receipt, p: &PerplexityRecord) -> Vec<FamilyPerplexity> {
    let mut out: Vec<FamilyPerplexity> = Vec::new();
    for k in &p.kernels {
        let record = receipt.kernels.iter().find(|r| r.id == k.kernel);
        let family = record.map(|r| r.family);
        let row = PerplexityRow {
            id: format!("perplexity-of-{}", anchors::slug(&k.kernel)),
            kernel: k.kernel.clone(),
            nats: decimals(k.nats_per_token, 5),
            perplexity: decimals(k.perplexity, 4),
        };
        let title: String = family.map_or("other", query::family_title).into();
        match out.iter_mut().find(|f| f.title == title) {
            Some(f) => f.rows.push(row),
            None => {
                let anchor = format!("perplexity-{}", anchors::slug(family.map_or("other", Family::name)));
                out.push(FamilyPerplexity { title, anchor, rows: vec![row] });
            }
        }
    }
    out
}

/// More digits than elsewhere: perplexities that agree should be seen to agree.
fn decimals(x: f64, n: usize) -> String {
    if x.is_finite() { format!("{x:.n$}") } else { "not finite".into() }
}

/// The finding about the seed's code table.
pub fn lut(l: &receipt::LutFinding) -> LutView {
    let (file, uniform) = (figures::number(l.file_perplexity), figures::number(l.uniform_perplexity));
    let seed = l.seed_perplexity.map_or_else(|| "not finite".into(), figures::number);
    let judged = match l.seed_perplexity {
        None => "the logits are not even finite".to_string(),
        Some(p) if p >= l.uniform_perplexity => {
            format!(
                "it is {p}, worse than guessing every token with equal probability ({uniform})",
                p = figures::number(p)
            )
        }
        Some(p) if p > l.file_perplexity * 1.01 => format!("it is {} (guessing: {uniform})", figures::number(p)),
        Some(p) => format!("it is {}, no worse", figures::number(p)),
    };
    let sentence = format!(
        "With the file's code table {:?} perplexity is {file}; with the seed's {:?}, {judged}.",
        l.file_lut, l.seed_lut
    );
    LutView {
        kernel: l.kernel.clone(),
        file_lut: format!("{:?}", l.file_lut),
        file,
        seed_lut: format!("{:?}", l.seed_lut),
        seed,
        uniform,
        sentence,
    }
}

/// What the seed's code table does, in one sentence.
pub fn lut_sentence(finding: &receipt::LutFinding) -> String {
    lut(finding).sentence
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_lut_sentence_covers_every_outcome() {
        let mut l = fixture::complete().perplexity.unwrap().lut.unwrap();
        assert!(lut(&l).sentence.contains("worse than guessing"));
        l.seed_perplexity = None;
        assert!(lut(&l).sentence.ends_with("the logits are not even finite."));
        l.seed_perplexity = Some(900.0);
        assert!(lut(&l).sentence.ends_with("it is 900 (guessing: 1,024)."));
        l.seed_perplexity = Some(l.file_perplexity);
        assert!(lut(&l).sentence.ends_with("no worse."));
    }

    #[test]
    fn kernels_that_wrote_the_same_share_a_text() {
        let view = GenerationView::new(&fixture::complete()).unwrap();
        assert_eq!(view.texts.len(), 1);
        assert_eq!(view.texts[0].kernels.len(), 8);
        assert_eq!(view.families.len(), 2);
    }
}
