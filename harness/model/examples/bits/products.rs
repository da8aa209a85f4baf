//! Products of every exact kernel that runs here: each operation, shape, group and rule once, and all kernels must give
//! the same.

use crate::alike::{all_alike, bytes_of};
use kernels::parallel::{Columns, Team};
use kernels::random::SplitMix64;
use kernels::{
    ActivationRule, CodeTable, Codes, CpuFeatures, Family, HalfRows, HeadFormat, HeadInput, Kernel, Operation,
    OutputHead, PackedWeights, QuantizedActivations, Scales, head_implementations, registry,
};
use std::sync::Arc;

/// Whole panels, panels that are cut, columns that are padded.
const SHAPES: [[usize; 2]; 4] = [[64, 1024], [33, 1000], [1, 64], [150, 520]];
const TOKENS: [usize; 3] = [1, 5, 13];

/// A product, for one kernel after the other.
struct Case {
    rows: usize,
    k: usize,
    codes: Vec<u8>,
    scales: Scales,
    x: Vec<QuantizedActivations>,
}

impl Case {
    fn new([rows, k]: [usize; 2], group: Option<usize>, rule: ActivationRule, tokens: usize) -> Self {
        let mut random = SplitMix64::new((rows * k + tokens) as u64);
        let codes = random.ternary_codes(rows * k);
        let scales = match group {
            None => Scales::PerTensor(0.37),
            Some(group) => {
                // Numbers of f16, the smallest among them.
                let scale = |random: &mut SplitMix64| f32::from(random.below(2048) as u16) * 2f32.powi(-24);
                let values = (0..rows * k.div_ceil(group)).map(|_| scale(&mut random)).collect();
                Scales::PerGroup { group, values }
            }
        };
        let token = |random: &mut SplitMix64| {
            let values = random.int8s(k);
            let Some(block) = rule.block() else { return QuantizedActivations::from_values(&values, 3.7) };
            let scales: Vec<f32> = (0..k.div_ceil(block)).map(|_| 0.1 + random.signed_unit() / 16.0).collect();
            QuantizedActivations::from_blocks(&values, rule, &scales)
        };
        let x = (0..tokens).map(|_| token(&mut random)).collect();
        Self { rows, k, codes, scales, x }
    }

    /// What a kernel gives: of one token by its gemv, of several by its gemm.
    fn product(&self, kernel: &Kernel) -> Vec<u8> {
        let Self { rows, k, ref codes, ref x, .. } = *self;
        let codes = Codes { rows, k, codes, table: CodeTable::TERNARY, scales: self.scales.clone() };
        let weights = PackedWeights::pack(kernel.descriptor().layout, codes).expect("packs");
        let (mut integers, mut floats) = (vec![0i32; rows * x.len()], vec![0f32; rows * x.len()]);
        match (kernel.descriptor().family(), &x[..]) {
            (Family::W2A8, [x]) => kernel.gemv_i8(&weights, 0..rows, x, &mut integers),
            (Family::W2A8, x) => kernel.gemm_i8(&weights, 0..rows, x, &mut Columns::all(&mut integers, x.len(), rows)),
            (_, [x]) => kernel.gemv_groups(&weights, 0..rows, x, &mut floats),
            (_, x) => kernel.gemm_groups(&weights, 0..rows, x, &mut Columns::all(&mut floats, x.len(), rows)),
        }
        .expect("multiplies");
        match kernel.descriptor().family() {
            Family::W2A8 => integers.iter().flat_map(|y| y.to_le_bytes()).collect(),
            _ => bytes_of(&floats),
        }
    }

    /// A line of what all kernels give. The portable ones have no gemm: where no other is, their gemv counts.
    fn print(&self, what: &str, family: Family, takes: impl Fn(&Kernel) -> bool) {
        let op = if self.x.len() == 1 { Operation::Gemv } else { Operation::Gemm };
        let here = registry::KERNELS.iter().filter_map(|d| Kernel::new(d, CpuFeatures::detect()).ok());
        let exact = here.filter(|k| k.descriptor().exact() && k.descriptor().family() == family);
        let all: Vec<Kernel> = exact.filter(|k| takes(k)).collect();
        let mut given: Vec<(&str, Vec<u8>)> = Vec::new();
        for kernel in &all {
            if kernel.descriptor().has(op) {
                given.push((kernel.id(), self.product(kernel)));
            }
        }
        // Token by token with the portable kernel: what every batch must equal.
        let portable = all.first().expect("one runs everywhere");
        let one = |x: &QuantizedActivations| {
            let (codes, scales) = (self.codes.clone(), self.scales.clone());
            Self { codes, scales, x: vec![x.clone()], ..*self }.product(portable)
        };
        given.push(("token by token", self.x.iter().flat_map(one).collect()));
        all_alike(what, &given);
    }
}

pub fn print() {
    for shape in SHAPES {
        let [rows, k] = shape;
        for tokens in TOKENS {
            let case = Case::new(shape, None, ActivationRule::Token, tokens);
            case.print(&format!("w2a8 {rows}x{k}x{tokens}"), Family::W2A8, |_| true);
            for (group, rule) in [64, 128, 256].into_iter().flat_map(|g| ActivationRule::ALL.map(|rule| (g, rule))) {
                let case = Case::new([rows, k.next_multiple_of(256)], Some(group), rule, tokens);
                let takes = |kernel: &Kernel| {
                    let d = kernel.descriptor();
                    d.layout.group_sizes().any(|size| size == group) && d.rules.contains(&rule)
                };
                case.print(&format!("w2ga8 {rows}x{k}x{tokens} groups {group} by {rule}"), Family::W2gA8, takes);
            }
        }
    }
    heads();
}

/// Logits of every implementation of the quantised heads, whose sums are exact, and of the portable f16 one: f16 heads
/// with vectors add in another order.
fn heads() {
    let (rows, k) = (75, 320);
    let mut random = SplitMix64::new(5);
    // Any finite f16: numbers as large as 65504 beside the least.
    let halves = (0..rows * k).map(|_| random.below(0x7C00) as u16 | (random.below(2) as u16) << 15).collect();
    let (halves, x): (Vec<u16>, _) = (halves, random.signed_units(k));
    for format in HeadFormat::ALL {
        let features = if format == HeadFormat::F16 { CpuFeatures::NONE } else { CpuFeatures::detect() };
        let (own, team): (HalfRows, _) = (Arc::new(halves.clone()), &mut Team::single());
        let head = OutputHead::new(format, &own, k, features, team).expect("finite");
        let mut given = Vec::new();
        for implementation in head_implementations(format, features) {
            let head = head.tuned(implementation, head.prefetch()).expect("its form");
            let mut y = vec![0f32; rows];
            head.gemv(team, &x, &mut HeadInput::new(k), &mut y).expect("multiplies");
            given.push((implementation.id, bytes_of(&y)));
        }
        all_alike(&format!("head {}", format.name()), &given);
    }
}
