//! What no working model gives and no quiet machine does, said and never passed over: one token over and over, a
//! perplexity above that of guessing, CPUs that come and go. Logits that are not finite end a run where they occur
//! (`model::sampler`, `model::perplexity`).

use crate::judge::disturbance::{self, disturbances};
use crate::record::{Finding, Receipt};

/// Equal tokens in a row that are worth a warning; honest text has lines of dashes, but not of sixteen times the same
/// token.
const REPEATS: usize = 16;

/// The token that is repeated most often in a row and how often, if that is too often.
pub fn repeated(ids: &[u32]) -> Option<(u32, usize)> {
    let runs = ids.chunk_by(|a, b| a == b).map(|run| (run[0], run.len()));
    runs.max_by_key(|run| run.1).filter(|run| run.1 >= REPEATS)
}

/// The likeliest cause of nonsense. A model that is `known` by the hash of its file has the right weights.
fn cause(known: bool, seen: &str, wrong: &str) -> String {
    if known {
        format!("the file is a known one, so look at the {seen} and at the kernel (`tritbench verify`)")
    } else {
        format!("the weights, their layout or the {wrong} are wrong for this model")
    }
}

/// What is wrong with a generated text, in words, if anything is. `known` says whether the model file's hash is known.
pub fn of_text(ids: &[u32], known: bool) -> Option<String> {
    let (id, times) = repeated(ids)?;
    Some(format!("token {id} was generated {times} times in a row: {}", cause(known, "prompt", "prompt")))
}

/// What is wrong with a perplexity, in words; NaN always is. `vocab` is the number of tokens in the vocabulary, among
/// which a model that was read rightly chooses far better than among a quarter of them.
pub fn of_perplexity(perplexity: f64, vocab: usize, known: bool) -> Option<String> {
    let cause = || cause(known, "text", "code table");
    if perplexity <= vocab as f64 / 4.0 {
        None
    } else if perplexity <= vocab as f64 {
        Some(format!(
            "perplexity {perplexity:.1} is above a quarter of the {vocab} tokens of the vocabulary: {}",
            cause()
        ))
    } else {
        let than = format!("worse than guessing each of the {vocab} tokens with equal probability");
        Some(format!("perplexity {perplexity:.1} is {than}: {}", cause()))
    }
}

/// A system that switches a CPU off moves the threads that were pinned to it.
fn cpus(receipt: &Receipt) -> Option<Finding> {
    let host = &receipt.host;
    let (before, after) = (host.load_before.cpus_online?, host.load_after.as_ref()?.cpus_online?);
    let text = format!(
        "{before} were on when the run began and {after} when it ended, so threads were moved, pinned ones too: its \
         times are not those of one machine. Run again."
    );
    (before != after)
        .then(|| Finding::new("CPUs were switched on or off under this run", text, "/host/load_after/cpus_online"))
}

/// Findings about the machine and a run's output. The weights of a synthetic model are random, so nothing about its
/// text is strange.
pub fn findings(receipt: &Receipt) -> Vec<Finding> {
    let mut all: Vec<Finding> = cpus(receipt).into_iter().collect();
    if let Some(first) = disturbances(receipt).first() {
        let text = disturbance::in_words(receipt).join(" ");
        all.push(Finding::new("What disturbed this run", text, first.evidence));
    }
    let Some(model) = receipt.model.as_ref().filter(|model| !model.synthetic) else { return all };
    if !model.warnings.is_empty() {
        all.push(Finding::new("About this model file", model.warnings.join("; ") + ".", "/model/warnings"));
    }
    for (i, k) in receipt.generation.iter().flat_map(|g| &g.kernels).enumerate() {
        if let Some(what) = of_text(&k.token_ids, model.known) {
            let text = format!("With {}, {what}.", k.kernel);
            all.push(Finding::new("Text that repeats one token", text, format!("/generation/kernels/{i}/token_ids")));
        }
    }
    for (i, k) in receipt.perplexity.iter().flat_map(|p| &p.kernels).enumerate() {
        if let Some(what) = of_perplexity(k.perplexity, model.vocab, model.known) {
            let text = format!("With {}, {what}.", k.kernel);
            all.push(Finding::new("A perplexity that no model has", text, format!("/perplexity/kernels/{i}")));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn sixteen_in_a_row_and_worse_than_guessing() {
        let mut ids: Vec<u32> = (0..40).collect();
        assert_eq!(repeated(&ids), None);
        ids.extend([7; 15]);
        assert_eq!(repeated(&ids), None);
        ids.push(7);
        assert_eq!(repeated(&ids), Some((7, 16)));
        assert_eq!((repeated(&[]), of_text(&[], false)), (None, None));
        assert_eq!(of_perplexity(256.0, 1024, false), None);
        let said = of_perplexity(256.5, 1024, false).expect("strange");
        assert!(said.contains("above a quarter of the 1024 tokens"), "{said}");
        let said = of_perplexity(1024.5, 1024, false).expect("strange");
        assert!(said.contains("worse than guessing each of the 1024"), "{said}");
        assert!([f64::NAN, f64::INFINITY].iter().all(|p| of_perplexity(*p, 1024, false).is_some()));
    }

    #[test]
    fn a_file_that_is_known_by_its_hash_is_not_accused() {
        let said =
            |known| [of_text(&[3; 20], known), of_perplexity(2000.0, 1024, known)].map(|text| text.expect("odd"));
        assert!(said(false).iter().all(|text| text.contains("the weights, their layout")), "{:?}", said(false));
        assert!(said(true).iter().all(|text| !text.contains("weights") && text.contains("verify")), "{:?}", said(true));
        let mut receipt = fixture::complete();
        receipt.generation.as_mut().expect("complete").kernels[0].token_ids = vec![3; 20];
        let found = findings(&receipt);
        assert!(found[0].text.contains("a known one"), "the built-in model is known: {found:?}");
    }

    #[test]
    fn a_receipt_with_nonsense_or_a_disturbance_has_findings_that_point_at_it() {
        let of = |change: &dyn Fn(&mut Receipt)| {
            let mut receipt = fixture::complete();
            change(&mut receipt);
            let json = serde_json::to_value(&receipt).expect("JSON");
            let found = findings(&receipt);
            assert!(found.iter().all(|f| json.pointer(&f.evidence).is_some()), "{found:?}");
            found.into_iter().map(|f| f.text).collect::<Vec<_>>()
        };
        assert_eq!(of(&|_| ()), [""; 0]);
        let quota = of(&|r| r.host.cgroup_cpus = Some(0.3));
        assert!(quota.len() == 1 && quota[0].contains("0.30 CPUs of time"), "{quota:?}");
        let nonsense = |r: &mut Receipt| {
            r.generation.as_mut().expect("complete").kernels[0].token_ids = vec![3; 20];
            r.perplexity.as_mut().expect("complete").kernels[0].perplexity = f64::NAN;
            r.model.as_mut().expect("complete").warnings = vec!["it is odd".into()];
        };
        assert_eq!(of(&nonsense).len(), 3);
        let synthetic = of(&|r| {
            nonsense(r);
            r.model.as_mut().expect("complete").synthetic = true;
        });
        assert_eq!(synthetic, [""; 0]);
        let one_off = |r: &mut Receipt| r.host.load_after.as_mut().expect("complete").cpus_online = Some(1);
        let found = of(&one_off);
        assert!(found.len() == 1 && found[0].starts_with("2 were on when the run began and 1 when"), "{found:?}");
        let unknown = of(&|r| {
            one_off(r);
            r.host.load_before.cpus_online = None;
        });
        assert_eq!(unknown, [""; 0], "a receipt of an older build");
    }
}
