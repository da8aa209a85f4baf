//! Figures that the seed analysis published, each with its section. They are shown beside measurements as claims, and
//! nothing is computed from them except the shares of its own time budget.

/// How a figure came to be, as the seed itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A benchmark's result (sections 2.4 and 5.1).
    Published,
    /// A plan's estimate; section 6.3 lists its code as "Planned".
    NeverMeasured,
}

/// A cumulative speed-up over scalar dequantisation that the seed states for one stage of the ladder.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The kernel of this bench that does what the seed describes.
    pub kernel: &'static str,
    /// Cumulative factor over scalar.
    pub factor: f64,
    /// Section it is from.
    pub section: &'static str,
    /// Measured there, or planned.
    pub standing: Standing,
}

/// The ladder as claimed. Section 3.3 names its phases 3 and 4 "load combine" and "prefetch"; section 6.1 puts both into
/// phase 3 and makes the permute LUT phase 4. The stages here follow 6.1, with 3.3's cumulative factors by phase number.
pub const CLAIMS: [Claim; 5] = [
    Claim { kernel: "avx2-foundation", factor: 1.2, section: "5.1", standing: Standing::Published },
    Claim { kernel: "avx2-nibble", factor: 2.27, section: "3.3", standing: Standing::NeverMeasured },
    Claim { kernel: "avx2-fma-tile", factor: 3.25, section: "3.3", standing: Standing::NeverMeasured },
    Claim { kernel: "avx2-prefetch", factor: 3.79, section: "3.3", standing: Standing::NeverMeasured },
    Claim { kernel: "avx2-permute", factor: 4.29, section: "3.3", standing: Standing::NeverMeasured },
];

/// What a reader must know about the claims.
pub const CLAIMS_NOTE: &str = "Claims are the seed analysis's cumulative factors over scalar dequantisation: 1.2× \
    (section 5.1, published as measured), then 2.27×, 3.25×, 3.79× and 4.29× for phases 1 to 4 (section 3.3; planned, \
    never measured there). Section 6.2 of the same document gives 1.47× and 1.69× for phases 1 and 2, and section 6.1 \
    orders phases 3 and 4 differently from 3.3; stages here follow 6.1.";

/// The claim about a kernel, if the seed makes one.
pub fn claim(kernel: &str) -> Option<&'static Claim> {
    CLAIMS.iter().find(|c| c.kernel == kernel)
}

/// Section 2.4: dequantisation throughput in Gelem/s as (elements, scalar, AVX2). The AVX2 figure at 4096 is a range
/// there (1.83-1.92); its middle stands here.
pub const DEQUANTIZE_GELEM_S: [(u64, f64, f64); 5] =
    [(256, 1.22, 1.58), (512, 1.27, 1.31), (1024, 1.14, 1.48), (4096, 1.56, 1.875), (16384, 1.41, 1.73)];

/// Section 1.3: milliseconds a token of the 2B model with the scalar kernel. The seed has one line, "Other", for the
/// embedding, stop checks and the rest.
pub const BUDGET_MS: [(&str, f64); 4] = [("forward", 9500.0), ("logits", 400.0), ("sampling", 50.0), ("other", 50.0)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_has_the_published_shares() {
        let total: f64 = BUDGET_MS.iter().map(|p| p.1).sum();
        let shares: Vec<f64> = BUDGET_MS.iter().map(|p| p.1 / total * 100.0).collect();
        assert_eq!(shares, [95.0, 4.0, 0.5, 0.5]);
    }
}
