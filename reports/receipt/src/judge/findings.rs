//! Statements in words, computed from a receipt's numbers. What the numbers do not decide is said to be undecided.

use super::{engines, rows, rules};
use crate::figures::{integer, mib, prompt, ratio, ratio_with_interval};
use crate::record::{
    Family, Finding, GenerationKernel, GenerationRecord, MicroCell, Operation, Receipt, Residency, RowStatus,
    SparseFfnRecord,
};
use crate::titles::{cell_title, shape};

/// All findings that a receipt's numbers support, each a statement in words.
pub fn findings(receipt: &Receipt) -> Vec<Finding> {
    let makers = [
        verification,
        without_time,
        code_table,
        activation_rules,
        right_engines,
        ladder,
        memory_bound,
        end_to_end,
        head,
        sparsity,
        live,
        prefill_share,
        goldens,
    ];
    let own = makers.into_iter().filter_map(|finding| finding(receipt));
    own.chain(crate::judge::sanity::findings(receipt)).collect()
}

fn verification(receipt: &Receipt) -> Option<Finding> {
    let wrong = receipt.verify.iter().filter(|v| v.row_status() == RowStatus::Wrong);
    let wrong: Vec<String> =
        wrong.map(|v| format!("{} fails {} of {} cases and was not timed", v.id, v.mismatches, v.cases)).collect();
    let text = wrong.join("; ") + ".";
    (!wrong.is_empty()).then(|| Finding::new("A kernel computes something else", text, "/verify"))
}

/// Kernels of libraries that failed otherwise, or in a cell.
fn without_time(receipt: &Receipt) -> Option<Finding> {
    let mut rows = rows::without_time(receipt);
    rows.retain(|row| !row.is_wrong_in_the_suite());
    let named = rows.iter().map(|row| format!("{}, {}: {}: {}", row.kernel, row.place, row.status, row.why));
    let text = named.collect::<Vec<_>>().join("; ") + ".";
    let suite = rows.first().is_some_and(|row| row.place == rows::VERIFICATION);
    let evidence = if suite { "/verify" } else { "/micro" };
    (!rows.is_empty()).then(|| Finding::new("A kernel has rows without a time", text, evidence))
}

fn code_table(receipt: &Receipt) -> Option<Finding> {
    let perplexity = receipt.perplexity.as_ref()?;
    let lut = perplexity.lut.as_ref()?;
    let seed = match lut.seed_perplexity {
        Some(p) if p > lut.uniform_perplexity => {
            let [p, vocabulary] = [p, lut.uniform_perplexity].map(|x| integer(x.round() as u64));
            format!("{p}, worse than guessing each of the {vocabulary} tokens with equal probability")
        }
        Some(p) => format!("{p:.1}"),
        None => "not a number at all: the logits overflow".into(),
    };
    let text = format!(
        "The model scores perplexity {:.2} with the file's table {:?} and with the analysis's {:?} {seed}. Over {} \
         tokens, both with {}.",
        lut.file_perplexity, lut.file_lut, lut.seed_lut, perplexity.tokens, lut.kernel
    );
    let title = match lut.seed_perplexity {
        Some(p) if p < lut.file_perplexity * 1.01 => "The analysis's code table does no harm here",
        _ => "The analysis's code table is not the file's",
    };
    Some(Finding::new(title, text, "/perplexity/lut"))
}

/// What each rule of activations loses, and what the closest one costs.
fn activation_rules(receipt: &Receipt) -> Option<Finding> {
    let text = rules::sentence(receipt.activation_rules.as_ref()?)?;
    Some(Finding::new("What rounding activations costs", text, "/activation_rules"))
}

/// Which engines are right, and how fast they are beside our own program.
fn right_engines(receipt: &Receipt) -> Option<Finding> {
    let text = engines::sentence(receipt.engines.as_ref()?)?;
    Some(Finding::new("Which engines are right, and how fast", text, "/engines"))
}

/// The ladder's last stage against scalar, in cache and from memory, at the largest gemv shape.
fn ladder(receipt: &Receipt) -> Option<Finding> {
    let last_stage = |residency: Residency| {
        let (index, cell) = largest_gemv(receipt, Family::W2A32, residency)?;
        let entry = (0..cell.entries.len()).rfind(|&i| !cell.entries[i].self_pair)?;
        let (s, r) = (&cell.summaries[entry], cell.summaries[entry].vs_baseline.as_ref()?);
        let figure = if r.low.is_some() { ratio_with_interval(r) } else { ratio(r.median) };
        let word = r.direction().word();
        Some((index, format!("{} is {figure} {} for {} ({word})", s.kernel, r.partner, cell_title(cell))))
    };
    let places: Vec<(usize, String)> = [Residency::Llc, Residency::Dram].into_iter().filter_map(last_stage).collect();
    let evidence = format!("/micro/{}", places.first()?.0);
    let stages: Vec<String> = places.into_iter().map(|(_, text)| text).collect();
    let text = format!("{}. The roadmap claimed 4.29× for all four phases; 3× was its target.", stages.join("; "));
    Some(Finding::new("What the whole ladder is worth", text, evidence))
}

/// How near the exact kernels come to the bound when the weights come from memory.
fn memory_bound(receipt: &Receipt) -> Option<Finding> {
    let (index, dram) = largest_gemv(receipt, Family::W2A8, Residency::Dram)?;
    let stream = dram.stream.as_ref().filter(|s| s.gb_s > 0.0)?;
    let own = (0..dram.entries.len()).filter(|&i| !dram.entries[i].self_pair).map(|i| &dram.summaries[i]);
    let best = own.max_by(|a, b| a.gelem_s.total_cmp(&b.gelem_s))?;
    let text = format!(
        "{} is the fastest from memory: {:.1} G weights/s at {:.2} bits each, {:.0}% of the {:.1} GB/s at which {} \
         only read the packed weights of {} in the same rounds.",
        best.kernel,
        best.gelem_s,
        8.0 * best.gb_s / best.gelem_s,
        best.share_of_stream? * 100.0,
        stream.gb_s,
        if receipt.device.is_some() { "workgroups".into() } else { format!("{} thread(s)", dram.threads) },
        shape(dram),
    );
    Some(Finding::new("How near memory's bound the exact kernels come", text, format!("/micro/{index}")))
}

fn largest_gemv(receipt: &Receipt, family: Family, residency: Residency) -> Option<(usize, &MicroCell)> {
    let cells = receipt.micro.iter().enumerate();
    let fitting =
        cells.filter(|(_, c)| c.op == Operation::Gemv && c.family == family && c.residency.place() == residency);
    // The first of the largest, as in the report.
    fitting.filter(|(_, c)| !c.rounds.is_empty()).min_by_key(|(i, c)| (usize::MAX - c.m * c.k, *i))
}

fn end_to_end(receipt: &Receipt) -> Option<Finding> {
    let generation = receipt.generation.as_ref()?;
    // An entry with sparsity counts by its own ratio only, see `sparsity`.
    let own_rounds = generation.kernels.iter().filter(|k| k.sparse_ffn.is_none());
    let best = own_rounds.max_by(|a, b| a.decode_tokens_per_s.total_cmp(&b.decode_tokens_per_s))?;
    let against = best.decode_vs_baseline.as_ref();
    let partner = against.and_then(|r| generation.kernels.iter().find(|k| k.kernel == r.partner));
    let Some((against, partner)) = against.zip(partner) else { return timeouts(generation) };
    let phases = &partner.phases_ms_per_token;
    let sum = phases.embed + phases.forward + phases.logits + phases.sample + phases.stop_check;
    let text = format!(
        "On {}, {} decodes {} as fast as {} ({}), which spends {:.0}% of a token in the forward pass. A kernel's own \
         gain shows in whole text in proportion to that share.",
        receipt.model.as_ref().map_or("the model", |m| m.name.as_str()),
        best.kernel,
        ratio(against.median),
        against.partner,
        against.direction().word(),
        if sum > 0.0 { 100.0 * phases.forward / sum } else { 0.0 },
    );
    Some(Finding::new("End to end", text, "/generation"))
}

/// A quantised head is its own axis: what it does to perplexity stands beside what it does to speed.
fn head(receipt: &Receipt) -> Option<Finding> {
    let effect = receipt.head_effect.as_ref()?;
    let text = format!(
        "{} changes the logits: {}. Both heads saw the same hidden states; speeds are to be compared only with runs \
         that have the same head.",
        effect.head,
        effect.says()
    );
    Some(Finding::new("The output head is quantised", text, "/head_effect"))
}

/// The last entry that skips the gate's zeros.
fn sparse_entry(receipt: &Receipt) -> Option<(&GenerationKernel, &SparseFfnRecord, String)> {
    let kernels = receipt.generation.as_ref()?.kernels.iter().enumerate();
    let (i, k, sparse) = kernels.filter_map(|(i, k)| Some((i, k, k.sparse_ffn.as_ref()?))).next_back()?;
    Some((k, sparse, format!("/generation/kernels/{i}/sparse_ffn")))
}

/// What skipping the gate's zeros is worth.
fn sparsity(receipt: &Receipt) -> Option<Finding> {
    let (kernel, _, evidence) = sparse_entry(receipt)?;
    let against = kernel.decode_vs_baseline.as_ref()?;
    let figure = match against.low {
        Some(_) => ratio_with_interval(against),
        None => format!("{} (in {} rounds, too few for an interval)", ratio(against.median), kernel.rounds.len()),
    };
    let text = format!(
        "Skipping them makes decoding {figure} as fast with {} ({}), ids and last logits equal bit for bit.",
        against.partner,
        against.direction().word()
    );
    Some(Finding::new("What the zeros of the gate are worth", text, evidence))
}

/// How many zeros the gate has, and how often they are skipped.
fn live(receipt: &Receipt) -> Option<Finding> {
    let (kernel, sparse, evidence) = sparse_entry(receipt)?;
    kernel.decode_vs_baseline.as_ref()?;
    let share = sparse.live_share.iter().sum::<f64>() / sparse.live_share.len().max(1) as f64;
    let (low, high) = sparse.live_share.iter().fold((1f64, 0f64), |(l, h), s| (l.min(*s), h.max(*s)));
    let text = format!(
        "{:.0}% of the feed-forward elements are live ({:.0}% to {:.0}% by block). {:.0}% of the block steps went the \
         sparse way (crossover at a live share of {:.2}); the extra copies take {}.",
        share * 100.0,
        low * 100.0,
        high * 100.0,
        sparse.sparse_steps_share * 100.0,
        sparse.crossover,
        mib(sparse.extra_bytes),
    );
    Some(Finding::new("How many zeros the gate has", text, evidence))
}

fn timeouts(generation: &GenerationRecord) -> Option<Finding> {
    let late = generation.kernels.iter().filter(|k| k.stop_reason == "timeout");
    let late: Vec<String> =
        late.map(|k| format!("{} after {} of {} tokens", k.kernel, k.token_ids.len(), generation.max_tokens)).collect();
    let text = format!("Cut off at {} s: {}.", generation.timeout_s?, late.join("; "));
    (!late.is_empty()).then(|| Finding::new("Not done in time", text, "/generation"))
}

fn goldens(receipt: &Receipt) -> Option<Finding> {
    let generation = receipt.generation.as_ref()?;
    let checks = || generation.kernels.iter().flat_map(|k| k.goldens.iter().map(move |g| (k, g)));
    let (total, passed) = (checks().count(), checks().filter(|(_, g)| g.passed).count());
    if total == 0 {
        return None;
    }
    let failed: Vec<String> =
        checks().filter(|(_, g)| !g.passed).map(|(k, g)| format!("{} on {}", k.kernel, prompt(&g.prompt))).collect();
    let kernels = generation.kernels.iter().filter(|k| !k.goldens.is_empty()).count();
    let with = if receipt.head_effect.is_some() { " with the f16 head" } else { "" };
    let (title, text) = if failed.is_empty() {
        let text = format!(
            "{passed} of {total} known answers reproduced{with}: every one of {kernels} kernels gives the ids of an \
             independent implementation, as far as its margins are safe to compare."
        );
        ("The model computes what it should", text)
    } else {
        ("Known answers are not reproduced", format!("{passed} of {total}; failing: {}.", failed.join("; ")))
    };
    Some(Finding::new(title, text, "/generation"))
}

/// Prefill in the unit of its products: what is left of the rate that the largest one alone has, with as many tokens as
/// the prompt.
fn prefill_share(receipt: &Receipt) -> Option<Finding> {
    let (model, generation) = (receipt.model.as_ref()?, receipt.generation.as_ref()?);
    let tokens = generation.prompt_ids.len();
    let is_like = |c: &&MicroCell| (c.op, c.tokens, c.m, c.k) == (Operation::Gemm, tokens, model.ffn, model.dim);
    let cells = receipt.micro.iter().filter(is_like);
    let cell = cells.max_by_key(|c| c.weights_per_call)?;
    let shares = generation.kernels.iter().filter_map(|kernel| {
        let own = kernel.prefill.as_ref().map_or(&kernel.kernel, |prefill| &prefill.executed);
        let alone = cell.summaries.iter().find(|s| s.kernel == *own).map(|s| s.gelem_s).filter(|rate| *rate > 0.0)?;
        let whole = kernel.prefill_tokens_per_s * model.ternary_weights as f64 / 1e9;
        (whole > 0.0).then(|| {
            let (id, share) = (&kernel.kernel, whole / alone);
            let speed = kernel.prefill_tokens_per_s;
            format!(
                "{id} {speed:.0} tokens/s: {whole:.0} GMAC/s of ternary products, {share:.2} of the {alone:.0} of \
                 {own}'s product alone"
            )
        })
    });
    let shares: Vec<String> = shares.collect();
    let text = format!("{tokens} prompt tokens. {}.", shares.join("; "));
    (!shares.is_empty()).then(|| Finding::new("Prefill against its products", text, "/generation/kernels"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_whole_run_is_summed_up() {
        let receipt = serde_json::to_value(fixture::complete()).expect("serialises");
        let said: Vec<String> = findings(&fixture::complete())
            .into_iter()
            .inspect(|f| assert!(receipt.pointer(&f.evidence).is_some(), "{f:?} points nowhere"))
            .map(|f| format!("{}: {}", f.title, f.text))
            .collect();
        assert_eq!(
            said,
            [
                "The analysis's code table is not the file's: The model scores perplexity 21.68 with the file's table \
                 [-1, 0, 1, 0] and with the analysis's [-2, -1, 1, 2] 2,451, worse than guessing each of the 1,024 \
                 tokens with equal probability. Over 128 tokens, both with avx2-permute.",
                "What the whole ladder is worth: avx2-permute is 6.34× [6.19, 6.51] scalar for gemv 6912×2560, from \
                 LLC (faster); avx2-permute is 5.14× [4.92, 5.43] scalar for gemv 6912×2560, from DRAM (faster). The \
                 roadmap claimed 4.29× for all four phases; 3× was its target.",
                "How near memory's bound the exact kernels come: avx2-i8 is the fastest from memory: 26.6 G weights/s \
                 at 2.00 bits each, 47% of the 14.1 GB/s at which 1 thread(s) only read the packed weights of \
                 6912×2560 in the same rounds.",
                "End to end: On shakespeare-ternary, avx2-i8 decodes 9.84× as fast as scalar-i8 (undecided), which \
                 spends 97% of a token in the forward pass. A kernel's own gain shows in whole text in proportion to \
                 that share.",
                "The model computes what it should: 8 of 8 known answers reproduced: every one of 8 kernels gives the \
                 ids of an independent implementation, as far as its margins are safe to compare.",
            ]
        );
    }

    #[test]
    fn prefill_is_set_beside_its_product() {
        let mut receipt = fixture::complete();
        assert!(prefill_share(&receipt).is_none(), "no product with as many tokens");
        let tokens = receipt.generation.as_ref().expect("there").prompt_ids.len();
        let model = receipt.model.clone().expect("there");
        let mut cell = receipt.micro.iter().rfind(|c| c.family == Family::W2A8).expect("there").clone();
        (cell.op, cell.tokens, cell.m, cell.k) = (Operation::Gemm, tokens, model.ffn, model.dim);
        cell.summaries[0].gelem_s = 400.0;
        let kernel = cell.summaries[0].kernel.clone();
        receipt.micro.push(cell);
        let kernels = &mut receipt.generation.as_mut().expect("there").kernels;
        let own = kernels.iter_mut().find(|k| k.kernel == kernel).expect("it generated");
        own.prefill_tokens_per_s = 300e9 / model.ternary_weights as f64;
        let said = prefill_share(&receipt).expect("said").text;
        assert!(said.contains("300 GMAC/s") && said.contains("0.75 of the 400"), "{said}");
    }

    #[test]
    fn a_quantised_head_is_said() {
        let mut receipt = fixture::complete();
        receipt.head_effect = Some(crate::record::HeadEffect {
            head: "q4-avx2".into(),
            f16_head: "f16-avx2-f16c".into(),
            nats_per_token: 4.02,
            f16_nats_per_token: 4.0,
            perplexity: 4.02f64.exp(),
            f16_perplexity: 4.0f64.exp(),
            perplexity_change_percent: 100.0 * 0.02f64.exp_m1(),
            tokens: 256,
            window: 128,
            text: "built-in held-out text".into(),
        });
        let found = findings(&receipt);
        let head = found.iter().find(|f| f.title == "The output head is quantised").expect("said");
        assert!(head.text.contains("+2.020%") && head.text.contains("+0.020000 nats/token"), "{}", head.text);
        let receipt = serde_json::to_value(receipt).expect("serialises");
        assert!(receipt.pointer(&head.evidence).is_some());
    }

    #[test]
    fn nothing_measured_says_nothing() {
        assert!(findings(&fixture::empty()).is_empty());
    }

    #[test]
    fn a_failed_golden_is_loud() {
        let mut receipt = fixture::complete();
        let kernel = &mut receipt.generation.as_mut().expect("there").kernels[1];
        kernel.goldens = vec![crate::record::GoldenCheck {
            prompt: "p".into(),
            expected: vec![1],
            got: vec![2],
            compared: 1,
            passed: false,
        }];
        let found = findings(&receipt);
        assert!(found.iter().any(|f| f.title == "Known answers are not reproduced" && f.text.contains("\"p\"")));
    }
}
