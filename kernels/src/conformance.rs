//! Every kernel against the oracle. One suite for `cargo test` and for `tritbench verify`; a kernel that fails it is
//! never timed.
//!
//! W2A8 kernels must equal the oracle's integers. W2gA8 kernels must have the very bits of the oracle that adds groups
//! in the order that is laid down, and that one must lie within its bound of the sum in f64. W2A32 kernels may differ
//! by at most [`F32_BOUND`] of the row's sum of
//! |weight x activation|; their `dequantize` must be equal, because it rounds once.

mod case;
mod compare;
mod elsewhere;
mod foreign;
mod pattern;
pub mod products;
mod run;

pub use case::F32_BOUND;
pub(crate) use case::{Case, CaseScales, Wrong};
pub use compare::{Errors, Expected, Mismatch, compare};
pub use elsewhere::{Elsewhere, Token, verify_elsewhere};
pub use pattern::Pattern;
pub(crate) use run::run_case;

use crate::descriptor::{GemmTile, KernelDescriptor};
use crate::foreign::ForeignKernel;
use crate::kernel::{Kernel, Tuning};
use crate::operation::{Family, Operation};
use crate::packed::{CodeTable, ScaleUnit};
use crate::prefetch::Prefetch;

/// The result of the conformance suite for one kernel: cases, mismatches and largest errors against the oracle.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Number of cases that were run.
    pub cases: usize,
    /// Number of cases with an error above the allowed bound.
    pub mismatches: usize,
    /// Largest absolute difference between a result and the oracle's, over all cases.
    pub max_abs_error: f64,
    /// Largest difference relative to the row's sum of absolute terms.
    pub max_relative_error: f64,
    /// The first mismatch in words (case, element, result and right value); `None` if there was none.
    pub first_mismatch: Option<String>,
    /// Whether that was no wrong result, but a foreign kernel that said it cannot.
    pub refused: bool,
}

/// Allowed error of this kernel, relative to the row's sum of absolute terms: 0 where results must be equal. A foreign
/// kernel that applies scales has exact sums where they are one, and this bound where they are not.
pub fn bound(kernel: &Kernel) -> f64 {
    let scales = kernel.descriptor().foreign_kernel().is_some_and(ForeignKernel::writes_floats);
    if kernel.descriptor().exact() && !scales { 0.0 } else { F32_BOUND }
}

/// The suite for one kernel: every pattern at every length, row counts around panels and tiles, empty and single rows.
fn cases(descriptor: &'static KernelDescriptor) -> Vec<Case> {
    /// k around blocks of 32, 128 and 256, the widths of real models, and odd lengths.
    const K: [usize; 19] =
        [1, 2, 31, 32, 33, 127, 128, 129, 255, 256, 257, 384, 511, 640, 1000, 1024, 2560, 4097, 6912];
    const ROWS: [usize; 11] = [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 33];
    let (family, layout) = (descriptor.family(), descriptor.layout);
    let mut cases = Vec::new();
    let rules = descriptor.rules;
    // Rules take turns too; the cases of groups have all of them.
    let mut add_by = |rows, k, pattern, table, scales, rule: usize| {
        let (seed, rule) = (cases.len() as u64, rules[rule % rules.len()]);
        cases.push(Case { rows, k, pattern, table, scales, rule, seed });
    };
    let sizes: Vec<usize> = layout.group_sizes().collect();
    let held = |i: usize| sizes.get(i % sizes.len().max(1)).copied();
    if family == Family::W2gA8 {
        for (i, &group) in sizes.iter().enumerate() {
            for (j, k) in [group - 1, group, group + 1, 3 * group, 1000, 2560, 6912].into_iter().enumerate() {
                let rows = [1, 8, 17][(i + j) % 3];
                for rule in 0..rules.len() {
                    let mut add = |pattern, table, scales| add_by(rows, k, pattern, table, scales, rule);
                    add(Pattern::NearMax, CodeTable::TERNARY, CaseScales::Groups(group));
                    add(Pattern::Random, CodeTable::TERNARY, CaseScales::Extreme(group));
                    if descriptor.four_codes() {
                        add(Pattern::NearMax, CodeTable::FOUR, CaseScales::Groups(group));
                        add(Pattern::MaxTimesMin, CodeTable::FOUR, CaseScales::Extreme(group));
                    }
                }
            }
        }
    }
    let mut turn = 0;
    let mut add = |rows, k, pattern, table, scales| {
        add_by(rows, k, pattern, table, scales, turn);
        turn += 1;
    };
    for (i, k) in K.into_iter().enumerate() {
        for (j, pattern) in Pattern::ALL.into_iter().enumerate() {
            // Rows take turns, so that each pattern meets several counts without multiplying the suite.
            let rows = ROWS[1 + (i + j) % (ROWS.len() - 1)];
            add(rows, k, pattern, CodeTable::TERNARY, CaseScales::Tensor);
            if family == Family::W2A32 {
                add(rows, k, pattern, CodeTable::SEED, held(i).map_or(CaseScales::Tensor, CaseScales::Groups));
            } else if descriptor.four_codes() && (family == Family::W2gA8 || (i + j) % 2 == 0) {
                add(rows, k, pattern, CodeTable::FOUR, held(i + j).map_or(CaseScales::Tensor, CaseScales::Groups));
            }
        }
    }
    if descriptor.takes(ScaleUnit::Row) {
        // Where groups have scales, that of a row is each of its groups'; integers stay what they are.
        add(19, 300, Pattern::Random, CodeTable::TERNARY, CaseScales::Rows);
    }
    let mut add = |rows, k, pattern| add(rows, k, pattern, CodeTable::TERNARY, CaseScales::Tensor);
    for rows in ROWS {
        [0, 256, 2560].into_iter().for_each(|k| add(rows, k, Pattern::Random));
    }
    // Around the panels of layouts that interleave more rows than ROWS knows of, and more rows than a gemm takes
    // through the cache at once.
    let panel_rows = layout.rows;
    if panel_rows > 16 {
        for rows in [panel_rows - 1, panel_rows, panel_rows + 1, 2 * panel_rows + 3] {
            add(rows, 33, Pattern::MinTimesMin);
            add(rows, 256, Pattern::Random);
            add(rows, 2560, Pattern::Alternating);
        }
    }
    if descriptor.has(Operation::Gemm) {
        add(1000, 1025, Pattern::Random);
        add(300, 6912, Pattern::Random);
    }
    if let Some(foreign) = descriptor.foreign_kernel() {
        let of_it = foreign::cases(foreign, cases.len() as u64);
        cases.retain(|case| case.rows * case.k > 0 && case.table.is_ternary() && foreign.takes(case.rows, case.k));
        cases.extend(of_it);
    }
    if cfg!(miri) {
        // Small operands make the same accesses; Miri would take hours for large ones.
        cases.retain(|case| case.rows * case.k <= 600);
    }
    cases
}

/// Runs the whole conformance suite on one kernel, which may be timed only if there are no mismatches.
pub fn verify(kernel: &Kernel) -> Outcome {
    let mut outcome = Outcome::default();
    for (number, case) in cases(kernel.descriptor()).into_iter().enumerate() {
        // Both ways to ask ahead and both tiles, in turn.
        let (prefetch, tile) = (Prefetch::ALL[number % 2], GemmTile::ALL[number / 2 % 2]);
        let kernel = kernel.tuned(Tuning { prefetch, tile, ..kernel.tuning() });
        outcome.add(&case, run_case(&kernel, &case));
    }
    outcome
}

impl Outcome {
    /// Counts one case in.
    fn add(&mut self, case: &impl std::fmt::Debug, result: Result<Errors, Wrong>) {
        let (Ok(errors) | Err(Wrong { errors, .. })) = result;
        self.cases += 1;
        self.max_abs_error = self.max_abs_error.max(errors.absolute);
        self.max_relative_error = self.max_relative_error.max(errors.relative);
        if let Err(wrong) = result {
            self.mismatches += 1;
            self.refused |= self.first_mismatch.is_none() && wrong.refused;
            self.first_mismatch.get_or_insert_with(|| format!("{case:?}: {}", wrong.what));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::ActivationRule;
    use crate::cpu::CpuFeatures;
    use crate::descriptor::{Dequantize, Gemv, GemvF32, GemvGroups, GemvI8};
    use crate::layouts::{I2S, groups1};
    use crate::packed::Needs;
    use crate::registry;

    /// The mismatch of a kernel that is wrong on purpose.
    fn mismatch_of(descriptor: KernelDescriptor) -> String {
        let descriptor = KernelDescriptor { id: "planted", summary: "wrong on purpose", ..descriptor };
        let kernel = Kernel::new(Box::leak(Box::new(descriptor)), CpuFeatures::NONE).expect("needs nothing");
        let outcome = verify(&kernel);
        assert!(outcome.mismatches > 0, "the suite did not notice");
        outcome.first_mismatch.expect("a mismatch has words")
    }

    fn scalar() -> &'static KernelDescriptor {
        registry::find("scalar").expect("registered")
    }

    fn right_i8(args: GemvI8<'_>, wrap: impl Fn(i32) -> i32) {
        for (y, codes) in args.y.iter_mut().zip(args.codes.chunks_exact(args.panel_bytes)) {
            let mut unpacked = vec![0; codes.len() * 4];
            (I2S.unpack)(codes, &mut unpacked);
            let sum =
                unpacked.iter().zip(args.x).map(|(&c, &x)| i32::from(c) * i32::from(x)).fold(0, |a, b| wrap(a + b));
            *y = sum - args.x_sum;
        }
    }

    #[test]
    fn an_int16_sum_that_wraps_is_caught() {
        // Like the reference engine's 1x1 kernel: right on random data at small k, wrong on all +-127.
        let message = mismatch_of(KernelDescriptor::w2a8(&I2S, |args| right_i8(args, |sum| i32::from(sum as i16))));
        assert!(
            message.contains("AllMax") || message.contains("MinTimesMin") || message.contains("MaxTimesMin"),
            "{message}"
        );
    }

    #[test]
    fn a_forgotten_last_row_is_caught() {
        let forgets = |args: GemvI8<'_>| {
            let rows = args.y.len() / 2 * 2;
            right_i8(GemvI8 { y: &mut args.y[..rows], ..args }, |sum| sum);
        };
        mismatch_of(KernelDescriptor::w2a8(&I2S, forgets));
    }

    /// The oracle's sums, put together by `add(acc, sum of a group, scale)`.
    fn grouped(args: GemvGroups<'_>, add: impl Fn(f32, f32, f32) -> f32) {
        let rows = args.codes.chunks_exact(args.panel_bytes).zip(args.scales.chunks_exact(args.groups));
        for (y, (codes, scales)) in args.y.iter_mut().zip(rows) {
            let mut unpacked = vec![0; codes.len() * 4];
            (groups1::LAYOUT.unpack)(codes, &mut unpacked);
            let sum = |(codes, x): (&[u8], &[i8])| -> i32 {
                codes.iter().zip(x).map(|(&code, &x)| (i32::from(code) - 1) * i32::from(x)).sum()
            };
            let groups = unpacked.chunks(args.group).zip(args.x.chunks(args.group)).map(sum).zip(scales);
            *y = groups.fold(0.0, |acc, (sum, &scale)| add(acc, sum as f32, scale));
        }
    }

    #[test]
    fn a_sum_of_groups_in_any_other_rounding_is_caught() {
        let id = |add: fn(GemvGroups<'_>)| KernelDescriptor {
            rules: &[ActivationRule::Token],
            ..KernelDescriptor::w2ga8(&groups1::LAYOUT, add)
        };
        let right = id(|args| grouped(args, |acc, sum, scale| sum.mul_add(scale, acc)));
        let kernel = Kernel::new(Box::leak(Box::new(right)), CpuFeatures::NONE).expect("needs nothing");
        assert_eq!(verify(&kernel).first_mismatch, None);
        mismatch_of(id(|args| grouped(args, |acc, sum, scale| acc + sum * scale)));
        mismatch_of(id(|args| grouped(args, |acc, sum, scale| (f64::from(acc) + f64::from(sum * scale)) as f32)));
        mismatch_of(id(|args| {
            grouped(args, |acc, sum, scale| if scale.is_subnormal() { acc } else { sum.mul_add(scale, acc) });
        }));
    }

    #[test]
    fn a_kernel_without_a_proof_for_code_3_is_not_tried_with_it() {
        let wraps = |args: GemvI8<'_>| {
            let wrong = args.codes.chunks_exact(args.panel_bytes).any(|codes| {
                let mut unpacked = vec![0; codes.len() * 4];
                (I2S.unpack)(codes, &mut unpacked);
                unpacked.contains(&3)
            });
            right_i8(args, |sum| if wrong { 0 } else { sum });
        };
        assert!(mismatch_of(KernelDescriptor::w2a8(&I2S, wraps)).contains("[-1, 0, 1, 2]"));
        let refuses = KernelDescriptor { id: "refuses", three_codes: true, ..KernelDescriptor::w2a8(&I2S, wraps) };
        let kernel = Kernel::new(Box::leak(Box::new(refuses)), CpuFeatures::NONE).expect("needs nothing");
        assert_eq!(verify(&kernel).first_mismatch, None);
        let needs = Needs { four_codes: true, ..Needs::TERNARY };
        let said = kernel.descriptor().can_run(needs);
        assert!(said.is_err_and(|why| why.contains("refuses takes codes")));
    }

    #[test]
    fn a_constant_table_is_caught() {
        let ternary_only = |args: GemvF32<'_>| {
            let Gemv::F32(gemv) = scalar().gemv else { unreachable!("a W2A32 kernel") };
            // SAFETY: the scalar kernel requires no features.
            unsafe { gemv(GemvF32 { table: [-1, 0, 1, 0], ..args }) }
        };
        assert!(mismatch_of(KernelDescriptor::w2a32(scalar().layout, ternary_only)).contains("[-2, -1, 1, 2]"));
    }

    #[test]
    fn a_dequantize_that_drops_the_scale_is_caught() {
        let Gemv::F32(gemv) = scalar().gemv else { unreachable!("a W2A32 kernel") };
        let unscaled = |args: Dequantize<'_>| args.weights.fill(0.0);
        let descriptor =
            KernelDescriptor { dequantize: Some(unscaled), ..KernelDescriptor::w2a32(scalar().layout, gemv) };
        assert!(mismatch_of(descriptor).contains("dequantize"));
    }
}
