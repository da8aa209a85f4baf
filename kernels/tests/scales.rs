//! Products of weights with scales of tensors, rows and groups: what every kernel that takes them gives, bit for bit.

use half::f16;
use kernels::parallel::Team;
use kernels::random::SplitMix64;
use kernels::{
    ActivationRule, CodeTable, Codes, CpuFeatures, F32Ops, Family, Kernel, KernelError, LinearInput, Needs,
    PackedWeights, Product, QuantizedActivations, ScaleUnit, Scales, layouts, reference, registry,
};

fn kernels() -> impl Iterator<Item = Kernel> {
    registry::KERNELS.iter().filter_map(|d| Kernel::new(d, CpuFeatures::detect()).ok())
}

fn pack(kernel: &Kernel, [rows, k]: [usize; 2], table: CodeTable, scales: Scales) -> PackedWeights {
    let kinds = if table == CodeTable::FOUR { 4 } else { 3 };
    let mut random = SplitMix64::new(7);
    let codes: Vec<u8> = (0..rows * k).map(|_| random.below(kinds) as u8).collect();
    PackedWeights::pack(kernel.descriptor().layout, Codes { rows, k, codes: &codes, table, scales }).expect("valid")
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// `linear` of a batch by a team, with the widest operations between the products.
fn linear_by(
    (kernel, rule): (&Kernel, ActivationRule),
    threads: usize,
    weights: &PackedWeights,
    x: &[f32],
) -> (Vec<f32>, LinearInput) {
    let mut team = Team::new(threads, |_| {}).expect("threads start");
    let (rows, k, tokens) = (weights.rows(), weights.k(), x.len() / weights.k());
    let mut input = LinearInput::by_rule(tokens, k, rule, F32Ops::select(CpuFeatures::detect()));
    input.prepare(&mut team, kernel, k, x).expect("finite");
    let (mut y, mut integers) = (vec![f32::NAN; tokens * rows], vec![0; tokens * rows]);
    kernel.linear(&mut team, [Product { weights, y: &mut y }], &input, &mut integers).expect("shapes fit");
    (y, input)
}

fn linear(kernel: &Kernel, threads: usize, weights: &PackedWeights, x: &[f32]) -> (Vec<f32>, LinearInput) {
    linear_by((kernel, ActivationRule::Token), threads, weights, x)
}

/// So many scales that f16 holds, between -1 and 1.
fn halves(random: &mut SplitMix64, count: usize) -> Vec<f32> {
    random.signed_units(count).into_iter().map(|value| f16::from_f32(value).to_f32()).collect()
}

/// The kernels for groups of this size, and whether they have a use for code 3.
fn of_groups(group: usize) -> impl Iterator<Item = Kernel> {
    let takes = move |kernel: &Kernel| {
        let descriptor = kernel.descriptor();
        descriptor.family() == Family::W2gA8 && descriptor.takes(ScaleUnit::Group(group))
    };
    kernels().filter(takes)
}

/// Of a row, the exact sum times the quotient of both scales; where all rows have one scale, the same bits as for a
/// tensor that has it.
#[test]
fn row_scales_are_applied_by_every_integer_kernel() {
    let (rows, k) = (37, 300);
    let mut random = SplitMix64::new(1);
    let (scales, x) = (random.signed_units(rows), random.signed_units(3 * k));
    for kernel in kernels().filter(|kernel| kernel.descriptor().family() == Family::W2A8) {
        let weights = pack(&kernel, [rows, k], CodeTable::TERNARY, Scales::PerRow(scales.clone()));
        for threads in [1, 2, 3] {
            let (y, input) = linear(&kernel, threads, &weights, &x);
            let want = |i: usize| {
                let x = &input.quantized[i / rows];
                reference::row_i64(&weights, i % rows, x.values()) as f32 * (scales[i % rows] / x.scale())
            };
            assert_eq!(bits(&y), bits(&(0..3 * rows).map(want).collect::<Vec<f32>>()), "{}", kernel.id());
        }
    }
}

/// Token by token and in a batch, by any number of threads, with every kernel: one result for each rule.
#[test]
fn group_scales_give_the_same_bits_everywhere() {
    let (rows, k, tokens) = (43, 1000, 14);
    let mut random = SplitMix64::new(2);
    let x = random.signed_units(tokens * k);
    let rules = || ActivationRule::ALL.into_iter();
    for (group, rule) in [64, 128, 256].into_iter().flat_map(|group| rules().map(move |rule| (group, rule))) {
        let values = halves(&mut random, rows * k.div_ceil(group));
        let mut first: Option<Vec<u32>> = None;
        for kernel in of_groups(group).filter(|kernel| kernel.descriptor().rules.contains(&rule)) {
            let scales = Scales::PerGroup { group, values: values.clone() };
            let weights = pack(&kernel, [rows, k], CodeTable::TERNARY, scales);
            let needs = Needs { scales: weights.scale_unit(), rule, ..Needs::NONE };
            assert_eq!(kernel.descriptor().can_run(needs), Ok(()));
            for threads in [1, 2, 3] {
                let (y, input) = linear_by((&kernel, rule), threads, &weights, &x);
                let want = |i: usize| {
                    let x = &input.quantized[i / rows];
                    reference::row_groups(&weights, i % rows, x) * (1.0 / x.scale())
                };
                let y = bits(&y);
                let what = format!("{} {group} {rule}", kernel.id());
                assert_eq!(y, bits(&(0..tokens * rows).map(want).collect::<Vec<f32>>()), "{what}");
                assert_eq!(first.get_or_insert_with(|| y.clone()), &y, "{what}");
                let alone = linear_by((&kernel, rule), threads, &weights, &x[2 * k..3 * k]).0;
                assert_eq!(bits(&alone), y[2 * rows..3 * rows], "{what}");
            }
        }
        assert!(first.is_some());
    }
}

/// A rule that a kernel lacks is named, and nothing is computed.
#[test]
fn activations_by_a_rule_that_a_kernel_lacks_are_refused() {
    let (k, rule) = (64, ActivationRule::Per32);
    let x = QuantizedActivations::from_blocks(&[1; 64], rule, &[1.0, 2.0]);
    for kernel in kernels().filter(|kernel| !kernel.descriptor().rules.contains(&rule)) {
        let weights = pack(&kernel, [1, k], CodeTable::TERNARY, Scales::PerTensor(1.0));
        let said = match kernel.descriptor().family() {
            Family::W2gA8 => kernel.gemv_groups(&weights, 0..1, &x, &mut [0.0]),
            Family::W2A8 => kernel.gemv_i8(&weights, 0..1, &x, &mut [0]),
            Family::W2A32 => continue,
        };
        assert_eq!(said, Err(KernelError::Activations { kernel: kernel.id(), rule }));
        let said = kernel.descriptor().can_run(Needs { rule, ..Needs::NONE });
        assert!(said.is_err_and(|why| why.ends_with("not 32") && why.contains("takes activations by the rule token")));
    }
}

/// Where scales lie among the codes, each comes back from its place, and only an f16 goes there.
#[test]
fn scales_among_codes_are_those_that_were_given() {
    for layout in layouts::ALL.iter().filter(|layout| layout.half_scale.is_some()) {
        for (rows, k) in [(1usize, 1usize), (5, 130), (17, 640), (33, 1000), (16, 2560), (3, 6912)] {
            let group = layout.usual_group().expect("scales of groups");
            let values = halves(&mut SplitMix64::new(k as u64), rows * k.div_ceil(group));
            let codes = SplitMix64::new(1).ternary_codes(rows * k);
            let scales = Scales::PerGroup { group, values: values.clone() };
            let pack = |scales| {
                PackedWeights::pack(layout, Codes { rows, k, codes: &codes, table: CodeTable::TERNARY, scales })
            };
            let weights = pack(scales).expect("valid");
            for row in 0..rows {
                assert_eq!(weights.row_codes(row), codes[row * k..][..k], "{layout} {rows}x{k}");
                for column in (0..k).step_by(31) {
                    let want = values[row * k.div_ceil(group) + column / group];
                    assert_eq!(weights.scale_at(row, column).to_bits(), want.to_bits(), "{layout} {rows}x{k}");
                }
            }
            assert_eq!(weights.bytes(), rows.div_ceil(layout.rows) * layout.panel_bytes(k));
            let said = pack(Scales::PerTensor(0.1)).expect_err("0.1 is no f16");
            assert_eq!(said, KernelError::NoHalfScale { layout, row: 0, group: 0, scale: 0.1 });
        }
    }
}

/// Three groups whose sums are 16255, -16255 and 16127, worked out by hand in exact arithmetic. One rounding more, of
/// the product, gives other bits.
#[test]
fn a_golden_sum_tells_fused_from_separate_rounding() {
    // f16 patterns whose mantissas have eleven bits.
    const SCALES: [u16; 3] = [0x34e7, 0x3bc1, 0x370b];
    const GOLDEN: u32 = 0xc565_b9f3;
    const TWICE: u32 = 0xc565_b9f4;
    let (sums, scales) = ([16255.0f32, -16255.0, 16127.0], SCALES.map(|bits| f16::from_bits(bits).to_f32()));
    let separate = sums.iter().zip(scales).fold(0f32, |acc, (sum, scale)| acc + sum * scale);
    assert_eq!((separate.to_bits(), GOLDEN != TWICE), (TWICE, true));
    // 128 * 127 less 1, and less 65 + 64.
    let mut x = vec![127i8; 384];
    (x[0], x[128], x[256], x[257]) = (126, 126, 62, 63);
    let codes: Vec<u8> = [[2u8; 128], [0; 128], [2; 128]].concat();
    let x = QuantizedActivations::from_values(&x, 1.0);
    for kernel in of_groups(128) {
        let scales = Scales::PerGroup { group: 128, values: scales.to_vec() };
        let codes = Codes { rows: 1, k: 384, codes: &codes, table: CodeTable::TERNARY, scales };
        let weights = PackedWeights::pack(kernel.descriptor().layout, codes).expect("valid");
        let mut y = [f32::NAN];
        kernel.gemv_groups(&weights, 0..1, &x, &mut y).expect("shapes fit");
        assert_eq!((y[0].to_bits(), reference::row_groups(&weights, 0, &x).to_bits()), (GOLDEN, GOLDEN));
    }
}

/// The bounds of the kernels' proofs, reached: code 3 or 0 everywhere, activations of -128.
#[test]
fn the_largest_sums_of_groups_are_exact() {
    for (group, code, value) in [64, 128, 256].into_iter().flat_map(|g| [(g, 3, -128), (g, 0, -128), (g, 3, 127)]) {
        for kernel in of_groups(group).filter(|kernel| kernel.descriptor().four_codes() || code < 3) {
            let (rows, k) = (9, 5 * group + 3);
            let values: Vec<f32> = (0..rows * 6).map(|i| [1.0, 0.5][i % 2]).collect();
            let table = if code == 3 { CodeTable::FOUR } else { CodeTable::TERNARY };
            let scales = Scales::PerGroup { group, values };
            let codes = Codes { rows, k, codes: &vec![code; rows * k], table, scales };
            let weights = PackedWeights::pack(kernel.descriptor().layout, codes).expect("valid");
            let x = QuantizedActivations::from_values(&vec![value; k], 1.0);
            let mut y = vec![f32::NAN; rows];
            kernel.gemv_groups(&weights, 0..rows, &x, &mut y).expect("shapes fit");
            // Powers of two: every sum is exact.
            let one = (f32::from(code) - 1.0) * f32::from(value);
            let want = one * (3.0 * group as f32 + 2.0 * 0.5 * group as f32 + 0.5 * 3.0);
            assert_eq!(y, vec![want; rows], "{} {group}", kernel.id());
        }
    }
}

#[test]
fn what_a_kernel_cannot_take_is_said_beforehand() {
    let can = |id: &str, scales, four_codes| {
        let needs = Needs { scales, four_codes, ..Needs::NONE };
        registry::find(id).expect("registered").can_run(needs)
    };
    let groups = ScaleUnit::Group(128);
    let each = |groups: &str| format!("a scale for each {groups} weights of a row");
    for (id, unit, takes) in [
        ("scalar-i8", groups, "one scale a tensor or a row".to_owned()),
        ("scalar", groups, each("256")),
        ("scalar-groups", ScaleUnit::Group(32), each("64, 128 or 256")),
    ] {
        assert_eq!(can(id, unit, false), Err(format!("kernel {id} takes {takes}, the weights have {unit}")));
    }
    assert_eq!((groups.to_string(), ScaleUnit::Row.to_string()), (each("128"), "a scale for each row".into()));
    for (id, unit, four) in [
        ("scalar-i8", ScaleUnit::Row, true),
        ("scalar", ScaleUnit::Group(256), true),
        ("scalar-groups", ScaleUnit::Group(64), true),
        ("scalar-groups", ScaleUnit::Tensor, false),
    ] {
        assert_eq!(can(id, unit, four), Ok(()));
    }
    for descriptor in registry::KERNELS.iter().filter(|d| d.layout.ternary_only) {
        let unit = descriptor.layout.usual_group().map_or(ScaleUnit::Tensor, ScaleUnit::Group);
        let why = can(descriptor.id, unit, true).expect_err("three codes");
        assert_eq!(why, format!("kernel {} takes codes of [-1, 0, 1], the weights have +2 too", descriptor.id));
    }
}

/// Products that skip zeros know one scale and three codes.
#[test]
fn sparse_products_refuse_what_they_do_not_know() {
    use kernels::sparse::{ColumnWeights, LiveRows, RowsProduct, SparseOps};
    let kernel =
        kernels().find(|kernel| kernel.descriptor().layout == &layouts::I2S).expect("scalar-i8 runs everywhere");
    let (ops, mut team) = (SparseOps::select(CpuFeatures::detect()), Team::single());
    let x = QuantizedActivations::from_values(&[1; 128], 1.0);
    let by_row = pack(&kernel, [2, 128], CodeTable::TERNARY, Scales::PerRow(vec![1.0, 2.0]));
    let four = pack(&kernel, [2, 128], CodeTable::FOUR, Scales::PerTensor(1.0));
    for (weights, refused) in [
        (&by_row, KernelError::ScalesNotPerTensor { layout: &layouts::I2S }),
        (&four, KernelError::CodeTable { kernel: ops.id(), table: CodeTable::FOUR.0 }),
    ] {
        let mut live = LiveRows::new(2, 128);
        live.set_positive(ops, &[1.0; 2]).expect("room");
        let product = RowsProduct { weights, x: &x, y: &mut [0; 2] };
        assert_eq!(ops.rows(&mut team, &mut live, product), Err(refused));
        assert!(ColumnWeights::from_packed(weights, &mut team).is_err());
    }
}
