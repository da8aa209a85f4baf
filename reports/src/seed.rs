//! The seed analysis's figures that charts and tables quote, out of the built-in claims (`scenarios/claims.toml`):
//! nothing is computed from them except the shares of its own time budget.

use receipt::figures;
use receipt::judge::claims::{Claim, Claims, Metric, Phase, parse};
use std::sync::LazyLock;

pub use receipt::judge::claims::Standing;

/// The text of the claims file of the analysis (`scenarios/claims.toml`).
pub const CLAIMS: &str = include_str!("../../scenarios/claims.toml");

static PARSED: LazyLock<Claims> = LazyLock::new(|| {
    // The text is part of the program and a test parses it, so this cannot fail for a user. That each kernel in it
    // exists is for a test where kernels are known.
    parse("scenarios/claims.toml", CLAIMS, &|_| Ok(())).expect("scenarios/claims.toml is checked by a test")
});

/// The seed analysis that this project answers, as its claims file states it.
pub fn analysis() -> &'static Claims {
    &PARSED
}

/// The claims of the seed analysis, in the order of the file.
pub fn claims() -> &'static [Claim] {
    &PARSED.claims
}

/// The cumulative factors of the ladder's stages. Section 3.3 names its phases 3 and 4 "load combine" and "prefetch";
/// section 6.1 puts both into phase 3 and makes the permute table phase 4. The stages here follow 6.1, with 3.3's
/// factors by phase number.
pub fn ladder() -> impl Iterator<Item = &'static Claim> {
    analysis().stages()
}

/// The note on what a reader must know about the ladder's claimed factors.
pub fn ladder_note() -> String {
    let factors = |standing: Standing| {
        let of = ladder().filter(|c| c.standing == standing).map(|c| figures::ratio(c.expected));
        of.collect::<Vec<_>>().join(", ")
    };
    format!(
        "Claims are the seed analysis's cumulative factors over scalar dequantisation: {} (section 5.1, published as \
         measured), then {} for phases 1 to 4 (section 3.3; planned, never measured there). Section 6.2 of the same \
         document gives other factors for phases 1 and 2, and section 6.1 orders phases 3 and 4 differently from 3.3; \
         stages here follow 6.1. Every claim has its verdict in a table of its own.",
        factors(Standing::Published),
        factors(Standing::Planned)
    )
}

/// The claim that states the factor of a kernel, if the seed analysis states one.
pub fn claim(kernel: &str) -> Option<&'static Claim> {
    analysis().stage(kernel)
}

/// Section 1.3: milliseconds a token of the 2B model with the scalar kernel, by phase. The seed has one line, "Other",
/// for the embedding, stop checks and the rest.
pub fn budget_ms() -> impl Iterator<Item = (Phase, f64)> {
    let of = |c: &Claim| match &c.metric {
        Metric::PhaseMs { phase, .. } if *phase != Phase::Total => Some((*phase, c.expected)),
        _ => None,
    };
    claims().iter().filter_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_has_the_published_shares() {
        let total: f64 = budget_ms().map(|p| p.1).sum();
        let shares: Vec<(Phase, f64)> = budget_ms().map(|p| (p.0, p.1 / total * 100.0)).collect();
        let want = [(Phase::Forward, 95.0), (Phase::Logits, 4.0), (Phase::Sampling, 0.5), (Phase::Other, 0.5)];
        assert_eq!(shares, want);
    }

    #[test]
    fn quoted_figures_are_the_published_ones() {
        let factors: Vec<f64> = ladder().map(|c| c.expected).collect();
        assert_eq!(factors, [1.2, 2.27, 3.25, 3.79, 4.29]);
        assert_eq!(claim("avx2-nibble").map(|c| c.expected), Some(2.27));
        assert!(claim("scalar").is_none());
        assert!(ladder_note().contains("1.20×") && ladder_note().contains("2.27×, 3.25×, 3.79×, 4.29×"));
    }
}
