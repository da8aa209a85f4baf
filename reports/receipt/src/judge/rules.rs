//! What the raw sums and rounds of rules of activations say.

use super::turns;
use crate::figures::{measured, ratio_with_interval};
use crate::record::{RuleSums, RulesRecord};

/// Fills in the figures of every rule from the windows, and those of decoding from its rounds.
pub fn summarize(record: &mut RulesRecord) {
    let (tokens, windows) = (record.tokens.max(1) as f64, std::mem::take(&mut record.windows));
    let of = |index: usize, figure: fn(&RuleSums) -> f64| -> f64 {
        windows.iter().filter_map(|window| window.by_rule.get(index)).map(figure).sum()
    };
    record.nats_per_token = windows.iter().map(|window| window.nats).sum::<f64>() / tokens;
    record.perplexity = record.nats_per_token.exp();
    for (i, rule) in record.rules.iter_mut().enumerate() {
        let below = |sums: &[RuleSums]| sums.get(i).zip(sums.first()).is_some_and(|(own, first)| own.kl < first.kl);
        rule.kl_nats = of(i, |sums| sums.kl) / tokens;
        rule.same_top = windows.iter().filter_map(|window| window.by_rule.get(i)).map(|sums| sums.same_top).sum();
        rule.same_top_share = rule.same_top as f64 / tokens;
        rule.windows_below_first = windows.iter().filter(|window| below(&window.by_rule)).count();
        rule.nats_per_token = of(i, |sums| sums.nats) / tokens;
        rule.perplexity = rule.nats_per_token.exp();
    }
    record.windows = windows;
    let threads = record.threads;
    if let Some(blocks) = &mut record.blocks {
        // No rule builds on another: each is compared with the first.
        turns::summarize(blocks, threads, &|_| None);
    }
}

/// Index of the rule with the smallest divergence; of equals the first, which is the coarsest as people ask for them.
pub fn closest(record: &RulesRecord) -> Option<usize> {
    let kl = |i: &usize| record.rules[*i].kl_nats;
    (0..record.rules.len()).filter(|i| kl(i).is_finite()).min_by(|a, b| kl(a).total_cmp(&kl(b)))
}

/// Which rule loses least, and what it costs in speed.
pub fn sentence(record: &RulesRecord) -> Option<String> {
    let index = closest(record)?;
    let (own, first) = (&record.rules[index], record.rules.first()?);
    let lost = format!(
        "Activations with {} lose least of {} rules: {} nats of KL divergence from f32 activations",
        own.activations.in_words(),
        record.rules.len(),
        measured(own.kl_nats),
    );
    if index == 0 {
        return Some(format!("{lost}."));
    }
    let than = format!("{lost}, {} with {}", measured(first.kl_nats), first.activations.in_words());
    let Some(ratio) = record.speed(index).and_then(|speed| speed.vs_baseline.as_ref()) else {
        return Some(format!("{than}. Speed was not measured."));
    };
    let (figure, word) = (ratio_with_interval(ratio), ratio.direction().word());
    let (kernel, partner) = (&own.kernel, &first.kernel);
    let partner = if kernel == partner { "it does" } else { partner };
    Some(format!("{than}; {kernel} decodes by the former {figure} as fast as {partner} by the latter ({word})."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn figures_are_means_over_all_windows() {
        let mut record = fixture::activation_rules().activation_rules.expect("rules");
        record.rules.truncate(2);
        let sums = |nats: f64, kl: f64, same_top: usize| RuleSums { nats, kl, same_top };
        let window = |nats: f64, by_rule: [RuleSums; 2]| crate::record::RuleWindow { nats, by_rule: by_rule.into() };
        record.windows = vec![
            window(10.0, [sums(11.0, 0.5, 3), sums(10.5, 0.1, 4)]),
            window(20.0, [sums(21.0, 0.3, 4), sums(20.5, 0.4, 4)]),
        ];
        (record.tokens, record.window, record.blocks) = (8, 4, None);
        summarize(&mut record);
        assert_eq!((record.nats_per_token, record.perplexity), (3.75, 3.75f64.exp()));
        let [first, other] = &record.rules[..] else { panic!("two rules") };
        assert_eq!((first.kl_nats, first.same_top, first.same_top_share), (0.1, 7, 0.875));
        assert_eq!((first.nats_per_token, first.windows_below_first), (4.0, 0));
        assert_eq!((other.kl_nats, other.same_top, other.windows_below_first), (0.0625, 8, 1));
        assert_eq!(closest(&record), Some(1));
        let said = sentence(&record).expect("some");
        assert!(
            said.contains(": 0.0625 nats of KL divergence from f32 activations, 0.100 with one scale")
                && said.ends_with("Speed was not measured."),
            "{said}"
        );
        record.rules.truncate(1);
        assert!(sentence(&record).expect("some").ends_with("from f32 activations."));
    }

    #[test]
    fn the_sentence_says_what_the_closest_rule_costs() {
        let record = fixture::activation_rules().activation_rules.expect("rules");
        let said = sentence(&record).expect("some");
        assert!(said.starts_with("Activations with a scale for each 32 activations lose least of 4 rules: "), "{said}");
        assert!(said.contains("avx2-groups decodes by the former 0.") && said.ends_with("(slower)."), "{said}");
    }
}
