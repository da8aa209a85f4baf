//! Statements in words, computed from a receipt's numbers. What the numbers do not decide is said to be undecided.

use crate::record::{Family, Finding, GenerationRecord, MicroCell, Operation, Receipt, Residency};

/// All findings that the receipt supports.
pub fn findings(receipt: &Receipt) -> Vec<Finding> {
    let mut all = Vec::new();
    all.extend(verification(receipt));
    all.extend(code_table(receipt));
    all.extend(ladder(receipt));
    all.extend(memory_bound(receipt));
    all.extend(end_to_end(receipt));
    all.extend(head(receipt));
    all.extend(sparsity(receipt));
    all.extend(prefill_share(receipt));
    all.extend(goldens(receipt));
    all.extend(crate::judge::sanity::findings(receipt));
    all
}

fn finding(title: impl Into<String>, text: String, evidence: impl Into<String>) -> Finding {
    Finding { title: title.into(), text, evidence: evidence.into() }
}

fn verification(receipt: &Receipt) -> Option<Finding> {
    let wrong: Vec<String> = receipt
        .verify
        .iter()
        .filter(|v| v.mismatches > 0)
        .map(|v| format!("{} fails {} of {} cases and was not timed", v.id, v.mismatches, v.cases))
        .collect();
    (!wrong.is_empty()).then(|| finding("A kernel computes something else", wrong.join("; ") + ".", "/verify"))
}

fn code_table(receipt: &Receipt) -> Option<Finding> {
    let lut = receipt.perplexity.as_ref()?.lut.as_ref()?;
    let tokens = receipt.perplexity.as_ref()?.tokens;
    let seed = match lut.seed_perplexity {
        Some(p) if p > lut.uniform_perplexity => {
            format!(
                "{p:.0}, worse than guessing each of the {:.0} tokens with equal probability",
                lut.uniform_perplexity
            )
        }
        Some(p) => format!("{p:.1}"),
        None => "not a number at all: the logits overflow".into(),
    };
    let text = format!(
        "Read as {:?}, the file's table, the model scores perplexity {:.2} over {tokens} tokens; read as {:?}, the \
         analysis's table, {seed}. Both with {}: the table is data, the kernel the same.",
        lut.file_lut, lut.file_perplexity, lut.seed_lut, lut.kernel
    );
    let title = match lut.seed_perplexity {
        Some(p) if p < lut.file_perplexity * 1.01 => "The analysis's code table does no harm here",
        _ => "The analysis's code table is not the file's",
    };
    Some(finding(title, text, "/perplexity/lut"))
}

/// The ladder's last stage against scalar, in cache and from memory, at the largest gemv shape.
fn ladder(receipt: &Receipt) -> Option<Finding> {
    let describe = |residency: Residency, place: &str| {
        let (index, cell) = largest_gemv(receipt, Family::W2A32, residency)?;
        let entry = (0..cell.entries.len()).rfind(|&i| !cell.entries[i].self_pair)?;
        let (s, r) = (&cell.summaries[entry], cell.summaries[entry].vs_baseline.as_ref()?);
        let interval = match (r.low, r.high) {
            (Some(l), Some(h)) => format!(" [{l:.2}, {h:.2}]"),
            _ => String::new(),
        };
        let text = format!(
            "{} is {:.2}x{interval} {} {place} at {}x{} ({})",
            s.kernel,
            r.median,
            r.partner,
            cell.m,
            cell.k,
            r.direction().word()
        );
        Some((index, text))
    };
    let cache = describe(Residency::Llc, "from the last-level cache");
    let dram = describe(Residency::Dram, "from memory");
    let evidence = cache.as_ref().or(dram.as_ref())?.0;
    let parts: Vec<String> = cache.into_iter().chain(dram).map(|(_, text)| text).collect();
    let text = format!("{}. The roadmap claimed 4.29x for all four phases and 3x as its target.", parts.join("; "));
    Some(finding("What the whole ladder is worth", text, format!("/micro/{evidence}")))
}

/// How near the exact kernels come to the bound when the weights come from memory.
fn memory_bound(receipt: &Receipt) -> Option<Finding> {
    let (index, dram) = largest_gemv(receipt, Family::W2A8, Residency::Dram)?;
    let stream = dram.stream.as_ref().filter(|s| s.gb_s > 0.0)?;
    let own = || (0..dram.entries.len()).filter(|&i| !dram.entries[i].self_pair).map(|i| &dram.summaries[i]);
    let best = own().max_by(|a, b| a.gelem_s.total_cmp(&b.gelem_s))?;
    let share = best.share_of_stream?;
    let text = format!(
        "Only reading the packed weights of {}x{} runs at {:.1} GB/s on {} thread(s). {} is the fastest from memory: \
         {:.1} G weights/s at {:.2} bits each, {:.0}% of that bandwidth in the same rounds.",
        dram.m,
        dram.k,
        stream.gb_s,
        dram.threads,
        best.kernel,
        best.gelem_s,
        8.0 * best.gb_s / best.gelem_s,
        share * 100.0
    );
    Some(finding("How near memory's bound the exact kernels come", text, format!("/micro/{index}")))
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
    let Some((ratio, partner)) = against.zip(partner) else { return timeouts(generation) };
    let (phases, model) =
        (&partner.phases_ms_per_token, receipt.model.as_ref().map_or("the model", |m| m.name.as_str()));
    let sum = phases.embed + phases.forward + phases.logits + phases.sample + phases.stop_check;
    let share = if sum > 0.0 { 100.0 * phases.forward / sum } else { 0.0 };
    let text = format!(
        "On {model}, {} decodes {:.1}x as fast as {} ({}), which spends {share:.0}% of a token in the forward pass. \
         A kernel's own gain shows in whole text only in proportion to its share of that time.",
        best.kernel,
        ratio.median,
        ratio.partner,
        ratio.direction().word()
    );
    Some(finding("End to end", text, "/generation"))
}

/// A quantised head is its own axis: what it does to perplexity stands beside what it does to speed.
fn head(receipt: &Receipt) -> Option<Finding> {
    let effect = receipt.head_effect.as_ref()?;
    let text = format!(
        "Generation and perplexity were measured with {}, which changes the logits: {}. Both heads saw the same hidden \
         states. Speeds are to be compared only with runs that have the same head.",
        effect.head,
        effect.says()
    );
    Some(finding("The output head is quantised", text, "/head_effect"))
}

/// What skipping the gate's zeros is worth.
fn sparsity(receipt: &Receipt) -> Option<Finding> {
    let kernels = receipt.generation.as_ref()?.kernels.iter().enumerate();
    let (index, sparse) = kernels.filter_map(|(i, k)| k.sparse_ffn.as_ref().map(|s| (i, s))).next_back()?;
    let ratio = receipt.generation.as_ref()?.kernels[index].decode_vs_baseline.as_ref()?;
    let dense = &ratio.partner;
    let interval = match (ratio.low, ratio.high) {
        (Some(l), Some(h)) => format!(" [{l:.2}, {h:.2}]"),
        _ => format!(
            " (in {} rounds, too few for an interval)",
            receipt.generation.as_ref()?.kernels[index].rounds.len()
        ),
    };
    let share = sparse.live_share.iter().sum::<f64>() / sparse.live_share.len().max(1) as f64;
    let (low, high) = sparse.live_share.iter().fold((1f64, 0f64), |(l, h), s| (l.min(*s), h.max(*s)));
    let text = format!(
        "{:.0}% of the feed-forward elements are live ({:.0}% to {:.0}% by block); skipping the others makes decoding \
         {:.2}x{interval} as fast with {dense} ({}), ids and last logits equal bit for bit. {:.0}% of the block steps \
         went the sparse way (crossover at a live share of {:.2}); the extra copies take {}.",
        share * 100.0,
        low * 100.0,
        high * 100.0,
        ratio.median,
        ratio.direction().word(),
        sparse.sparse_steps_share * 100.0,
        sparse.crossover,
        crate::figures::mib(sparse.extra_bytes),
    );
    Some(finding("What the zeros of the gate are worth", text, format!("/generation/kernels/{index}/sparse_ffn")))
}

fn timeouts(generation: &GenerationRecord) -> Option<Finding> {
    let late: Vec<String> = generation
        .kernels
        .iter()
        .filter(|k| k.stop_reason == "timeout")
        .map(|k| format!("{} after {} of {} tokens", k.kernel, k.token_ids.len(), generation.max_tokens))
        .collect();
    let limit = generation.timeout_s?;
    (!late.is_empty())
        .then(|| finding("Not done in time", format!("Cut off at {limit} s: {}.", late.join("; ")), "/generation"))
}

fn goldens(receipt: &Receipt) -> Option<Finding> {
    let generation = receipt.generation.as_ref()?;
    let checks = || generation.kernels.iter().flat_map(|k| k.goldens.iter().map(move |g| (k, g)));
    let (total, passed) = (checks().count(), checks().filter(|(_, g)| g.passed).count());
    if total == 0 {
        return None;
    }
    let failed: Vec<String> =
        checks().filter(|(_, g)| !g.passed).map(|(k, g)| format!("{} on {:?}", k.kernel, g.prompt)).collect();
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
    Some(finding(title, text, "/generation"))
}

/// Prefill in the unit of its products: what is left of the rate that the largest one alone has, with as many tokens as
/// the prompt.
fn prefill_share(receipt: &Receipt) -> Option<Finding> {
    let (model, generation) = (receipt.model.as_ref()?, receipt.generation.as_ref()?);
    let tokens = generation.prompt_ids.len();
    let cells = receipt
        .micro
        .iter()
        .filter(|c| c.op == Operation::Gemm && c.tokens == tokens && (c.m, c.k) == (model.ffn, model.dim));
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
    let text = format!("{} prompt tokens. {}.", tokens, shares.join("; "));
    let title = "Prefill against its products";
    (!shares.is_empty()).then(|| finding(title, text, "/generation/kernels"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_whole_run_is_summed_up() {
        let found = findings(&fixture::complete());
        let titles: Vec<&str> = found.iter().map(|f| f.title.as_str()).collect();
        assert!(titles.contains(&"The analysis's code table is not the file's"), "{titles:?}");
        assert!(titles.contains(&"What the whole ladder is worth") && titles.contains(&"End to end"), "{titles:?}");
        let receipt = serde_json::to_value(fixture::complete()).expect("serialises");
        for finding in &found {
            assert!(
                receipt.pointer(&finding.evidence).is_some(),
                "{}: {} is not in the receipt",
                finding.title,
                finding.evidence
            );
        }
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
