//! Every figure that follows from raw data, computed again with the code that computed it first.

use super::problem::Problem;
use crate::judge::findings::findings;
use crate::judge::{Method, bound, engines, gate, medians, micro, reading, rules, turns};
use crate::record::{Build, MicroCell, Receipt, Status};
use serde_json::Value;

/// Texts that another version of this program may word differently.
const TEXTS: [&str; 5] = ["reason", "next_step", "title", "text", "why"];

/// Whether the build `own` wrote the receipt, so that its texts must be the same too.
pub fn same_build(receipt: &Receipt, own: Option<&Build>) -> bool {
    let wrote = &receipt.build;
    own.is_some_and(|own| (&wrote.version, &wrote.git_commit) == (&own.version, &own.git_commit))
}

/// The parts that hold figures.
const PARTS: [&str; 8] =
    ["micro", "gate", "generation", "perplexity", "activation_rules", "engines", "head_effect", "findings"];

/// Fields that differ from what the raw data give, and how many values were compared. `written` is the same receipt as
/// its file has it: findings of older receipts point to parts that are no longer read.
pub fn differences(receipt: &Receipt, written: &Value, own: Option<&Build>) -> (Vec<Problem>, usize) {
    let again = recomputed(receipt);
    let mut found = Differences { problems: Vec::new(), compared: 0, texts: same_build(receipt, own) };
    // Both are written by the same types, so a field that an old receipt lacks is no difference.
    let [held, again] = [receipt, &again].map(|receipt| serde_json::to_value(receipt).unwrap_or_default());
    // Findings are texts only, so nothing can be said about another build's.
    let texts = found.texts;
    for part in PARTS.into_iter().filter(|part| texts || *part != "findings") {
        found.compare(format!("/{part}"), &held[part], &again[part]);
    }
    evidence(receipt, written, &mut found.problems);
    impossible(receipt, &mut found.problems);
    (found.problems, found.compared)
}

/// The receipt with all that can be computed made anew.
fn recomputed(receipt: &Receipt) -> Receipt {
    let mut again = receipt.clone();
    let builds_on = |id: &str| receipt.kernels.iter().find(|k| k.id == id)?.builds_on.clone();
    let cell = |cell: &mut MicroCell| micro::summarize(cell, receipt.rule.as_ref(), &builds_on);
    for measured in &mut again.micro {
        cell(measured);
        if let Some(first) = &mut measured.unstable_first {
            cell(first);
        }
    }
    bound::fill(&mut again);
    gate::summarize_run(&mut again);
    if let Some(generation) = &mut again.generation {
        for kernel in &mut generation.kernels {
            let whole = !matches!(kernel.stop_reason.as_str(), "timeout" | "interrupted");
            // Before 1.1 a round did not say how far into the prompt it came.
            if whole || kernel.rounds.iter().all(|r| r.prefill_tokens.is_some()) {
                medians::summarize(kernel, generation.prompt_ids.len());
            }
            for golden in &mut kernel.goldens {
                let n = golden.compared;
                golden.passed = golden.got.len() >= n && golden.got[..n] == golden.expected[..n];
            }
        }
        let threads = generation.threads;
        generation.blocks.iter_mut().for_each(|b| turns::summarize(b, threads, &builds_on));
        medians::compare(Method::of(&receipt.schema_version), &mut generation.kernels, &generation.blocks);
        crate::judge::texts(generation);
    }
    if let Some(perplexity) = &mut again.perplexity {
        perplexity.kernels.iter_mut().for_each(|k| k.perplexity = k.nats_per_token.exp());
        if let Some(lut) = &mut perplexity.lut {
            let own = perplexity.kernels.iter().find(|k| k.kernel == lut.kernel);
            lut.file_perplexity = own.map_or(f64::NAN, |k| k.perplexity);
        }
    }
    again.activation_rules.iter_mut().for_each(rules::summarize);
    if let Some(record) = &mut again.engines {
        engines::summarize(record, reading::Reads::of(receipt));
    }
    if let Some(effect) = &mut again.head_effect {
        effect.perplexity = effect.nats_per_token.exp();
        effect.f16_perplexity = effect.f16_nats_per_token.exp();
        effect.perplexity_change_percent = 100.0 * (effect.nats_per_token - effect.f16_nats_per_token).exp_m1();
    }
    // A run that is going on, or was killed, has none yet; a gate's page makes its own.
    if receipt.status != Status::Running && !receipt.findings.is_empty() {
        again.findings = findings(&again);
    }
    again
}

/// What a finding points to must be there.
fn evidence(receipt: &Receipt, written: &Value, problems: &mut Vec<Problem>) {
    for (i, finding) in receipt.findings.iter().enumerate() {
        if written.pointer(&finding.evidence).is_none() {
            let what = format!("points to {}, which is not there", finding.evidence);
            problems.push(Problem::new(format!("/findings/{i}/evidence"), what));
        }
    }
}

/// A time that cannot be is none: whoever wrote the receipt leaves such rows out.
fn impossible(receipt: &Receipt, problems: &mut Vec<Problem>) {
    for (i, cell) in receipt.micro.iter().enumerate() {
        for (row, why) in reading::impossible(receipt, cell) {
            let what = format!("impossible: {} is {why}", cell.entries[row].kernel);
            problems.push(Problem::new(format!("/micro/{i}/entries/{row}"), what));
        }
    }
    let texts = receipt.generation.iter().flat_map(|generation| generation.kernels.iter().enumerate());
    // One that skips reads fewer bytes than it says.
    for (i, text) in texts.filter(|(_, text)| text.sparse_ffn.is_none()) {
        if let Some(why) = reading::impossible_text(receipt, text.bytes_per_token, text.decode_tokens_per_s) {
            let what = format!("impossible: {} {why}", text.kernel);
            problems.push(Problem::new(format!("/generation/kernels/{i}"), what));
        }
    }
}

struct Differences {
    problems: Vec<Problem>,
    compared: usize,
    texts: bool,
}

impl Differences {
    fn compare(&mut self, pointer: String, found: &Value, again: &Value) {
        match (found, again) {
            (Value::Object(a), Value::Object(b)) => {
                let missing = b.keys().filter(|key| !a.contains_key(*key));
                for key in a.keys().chain(missing) {
                    if self.texts || !TEXTS.contains(&key.as_str()) {
                        let [found, again] = [a, b].map(|fields| fields.get(key).unwrap_or(&Value::Null));
                        self.compare(format!("{pointer}/{key}"), found, again);
                    }
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (i, (a, b)) in a.iter().zip(b).enumerate() {
                    self.compare(format!("{pointer}/{i}"), a, b);
                }
            }
            (found, again) => {
                self.compared += 1;
                // Text, so that floats are compared bit for bit and infinities as the null they are written as.
                let (found, again) = (found.to_string(), again.to_string());
                if found != again {
                    let same = found.chars().zip(again.chars()).take_while(|(a, b)| a == b).count();
                    self.problems.push(Problem {
                        field: pointer,
                        found: Some(around(&found, same)),
                        recomputed: Some(around(&again, same)),
                        what: "does not follow from the raw data".into(),
                    });
                }
            }
        }
    }
}

/// A long value's part where it starts to differ.
fn around(text: &str, at: usize) -> String {
    const MOST: usize = 100;
    if text.len() <= MOST {
        return text.to_owned();
    }
    let start = at.saturating_sub(20);
    let part: String = text.chars().skip(start).take(MOST).collect();
    let before = if start > 0 { "..." } else { "" };
    format!("{before}{part}...")
}
