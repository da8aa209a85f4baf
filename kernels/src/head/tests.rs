use super::*;
use crate::random::SplitMix64;
use crate::testing::{bits, f16, team};

fn f16s(values: impl Iterator<Item = f32>) -> HalfRows {
    Arc::new(AlignedBuffer::from(&values.map(f16).collect::<Vec<_>>()[..]))
}

/// Every way to multiply with a head of this format that this CPU has.
fn ways(format: HeadFormat) -> impl Iterator<Item = (&'static HeadDescriptor, Prefetch)> {
    let all = implementations(format, CpuFeatures::detect()).into_iter();
    all.flat_map(|way| Prefetch::ALL.map(|prefetch| (way, prefetch)))
}

/// Codes of a row are within their range, those of 4 bits stand for weights within half a step.
fn check_codes(weights: &[f32]) {
    let largest = weights.iter().fold(0f32, |m, w| m.max(w.abs()));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    assert!(weights.iter().all(|w| (w * inverse).round_ties_even().abs() <= 127.0));
    for weights in weights.chunks(GROUP) {
        let mut group = [0f32; GROUP];
        group[..weights.len()].copy_from_slice(weights);
        let mut codes = [0i8; GROUP];
        let scale = q4::quantize(F32Ops::select(CpuFeatures::NONE), &group, &mut codes).to_f32();
        for (w, q) in weights.iter().zip(codes) {
            assert!((-8..=7).contains(&q));
            // Half a step, or what is cut off at the ends; the last term is f16's smallest step.
            let bound = scale.abs() * if q == 7 || q == -8 { 1.5 } else { 0.51 } + 3e-7;
            assert!((w - scale * f32::from(q)).abs() <= bound, "{w} {scale} {q}");
        }
    }
}

fn check(name: &str, rows: usize, k: usize, weight: impl Fn(usize) -> f32, x: &[f32]) {
    let weights = f16s((0..rows * k).map(weight));
    let floats: Vec<f32> = (*weights).as_ref().iter().map(|&w| half::f16::from_bits(w).to_f32()).collect();
    let mut quantized = QuantizedActivations::new(k);
    quantized.quantize(F32Ops::select(CpuFeatures::NONE), x).expect("finite");
    floats.chunks(k).for_each(check_codes);
    for format in [HeadFormat::Q8, HeadFormat::Q4] {
        let oracle = |row: &[f32]| reference::product(format, row, quantized.values(), quantized.scale()).0 as f32;
        let want: Vec<f32> = floats.chunks(k).map(oracle).collect();
        for threads in [1, 3] {
            let mut team = team(threads);
            let made = OutputHead::new(format, &weights, k, CpuFeatures::detect(), &mut team).expect("quantises");
            let anew = OutputHead::anew(format, &weights, k, CpuFeatures::detect()).expect("short rows");
            let heads = ways(format).flat_map(|way| [(&made, way), (&anew, way)]);
            for (head, (way, prefetch)) in heads {
                let head = head.tuned(way, prefetch).expect("runs here");
                let mut y = vec![f32::NAN; rows];
                head.gemv(&mut team, x, &mut HeadInput::new(k), &mut y).expect("lengths agree");
                assert_eq!(bits(&y), bits(&want), "{name}: {} {rows} x {k}, {threads} threads", head.id());
            }
        }
    }
}

#[test]
fn every_path_gives_the_oracles_bits() {
    let mut random = SplitMix64::new(5);
    for (rows, k) in [(1, 1), (16, 128), (17, 130), (5, 255), (40, 257), (33, 640), (16, 2560), (19, 6912)] {
        let (weights, x) = (random.signed_units(rows * k), random.signed_units(k));
        check("random", rows, k, |i| weights[i], &x);
        for sign in [1.0, -1.0] {
            check("all largest", rows, k, |_| 1.5, &vec![sign; k]);
            check("all lowest", rows, k, |_| -1.5, &vec![sign; k]);
            let alternating: Vec<f32> = (0..k).map(|i| if i % 2 == 0 { sign } else { -sign }).collect();
            check("signs that agree", rows, k, |i| if i % k % 2 == 0 { 2.0 } else { -2.0 }, &alternating);
        }
        check("zero weights", rows, k, |_| 0.0, &x);
        check("tiny weights", rows, k, |i| if i % 3 == 0 { 6e-8 } else { -1e-7 }, &x);
        check("zero activations", rows, k, |i| weights[i], &vec![0.0; k]);
        check("one outlier", rows, k, |i| if i % k == k / 2 { 60000.0 } else { weights[i] }, &x);
    }
}

/// The largest k, all products at their extreme: no sum passes int32.
#[test]
fn the_bound_on_k_is_exact() {
    let k = MAX_K_HEAD;
    for sign in [1.0, -1.0] {
        check("bound", 2, k, |_| sign, &vec![1.0; k]);
    }
    // -128 never comes from the rule, and would be within bounds too.
    let panel = vec![255u8; (k / 4 + 1) * 64];
    let x = vec![-128i8; k];
    let panel = PanelQ8::new(&panel, &x, -128 * k as i32);
    assert_eq!(q8::scalar(&panel), [-255 * 128 * k as i32; PANEL_ROWS]);
    let weights = f16s((0..k + 1).map(|_| 1.0));
    let error = OutputHead::new(HeadFormat::Q8, &weights, k + 1, CpuFeatures::NONE, &mut Team::single());
    assert!(matches!(error, Err(KernelError::TooLarge { .. })), "{error:?}");
}

/// Every stored byte and every activation, -128 included, through every path.
#[test]
fn all_stored_values_and_activations() {
    let x: Vec<i8> = (0..1024).map(|i| (i % 256 - 128) as i8).collect();
    let x_sum = x.iter().map(|&x| i32::from(x)).sum();
    let group_sums: Vec<i32> = x.chunks(GROUP).map(|g| g.iter().map(|&x| i32::from(x)).sum()).collect();
    let mut random = SplitMix64::new(8);
    // A stored 0 would be -128, which the rule never gives.
    let mut q8: Vec<u8> = (0..(1024 / 4 + 1) * 64).map(|_| 1 + random.below(255) as u8).collect();
    q8[..64].fill(255);
    q8[64..128].fill(1);
    let mut q4: Vec<u8> = (0..q4::panel_bytes(1024)).map(|_| random.below(256) as u8).collect();
    for scale in q4[..8 * 32].as_chunks_mut::<2>().0 {
        *scale = f16(random.signed_unit()).to_le_bytes();
    }
    q4[8 * 32..][..1024].fill(0xFF);
    q4[8 * 32 + 1024..][..1024].fill(0);
    let (q8, q4) = (PanelQ8::new(&q8, &x, x_sum), PanelQ4::new(&q4, 1024, &x, &group_sums));
    for (way, prefetch) in [HeadFormat::Q8, HeadFormat::Q4].into_iter().flat_map(ways) {
        match way.product {
            // SAFETY: `ways` gives what this CPU has.
            HeadProduct::Q8(product) => assert_eq!(unsafe { product(&q8, prefetch) }, q8::scalar(&q8), "{}", way.id),
            HeadProduct::Q4(product) => {
                // SAFETY: as above.
                let got = unsafe { product(&q4, prefetch) };
                assert_eq!(bits(&got), bits(&q4::scalar(&q4)), "{}", way.id);
            }
            HeadProduct::F16(_) => unreachable!("{} is of another format", way.id),
        }
    }
}

#[test]
fn sizes_names_and_refusals() {
    let weights = f16s((0..100 * 256).map(|i| i as f32 / 25600.0));
    let mut team = Team::single();
    let mut new = |format, weights, k| OutputHead::new(format, weights, k, CpuFeatures::NONE, &mut team);
    let all = HeadFormat::ALL.map(|format| new(format, &weights, 256).expect("valid"));
    assert_eq!(all.each_ref().map(OutputHead::id), ["f16-scalar", "q8-scalar", "q4-scalar"]);
    assert_eq!(all.each_ref().map(OutputHead::format), HeadFormat::ALL);
    // 7 panels of 16 rows.
    assert_eq!(all.each_ref().map(OutputHead::bytes), [51200, 7 * 65 * 64, 7 * 33 * 64]);
    assert_eq!((all[1].rows(), all[1].k()), (100, 256));
    let holed = f16s((0..512).map(|i| if i == 300 { f32::INFINITY } else { 1.0 }));
    let refused = new(HeadFormat::Q4, &holed, 256).expect_err("not finite");
    assert_eq!(refused, KernelError::NonFiniteWeight { row: 1, column: 44 });
    assert!(matches!(new(HeadFormat::F16, &weights, 255), Err(KernelError::Shape { .. })));
    let mut gemv = |head: &OutputHead, x: &[f32], y: &mut [f32]| head.gemv(&mut team, x, &mut HeadInput::new(256), y);
    for head in &all {
        assert!(gemv(head, &[0.0; 255], &mut [0.0; 100]).is_err());
        assert!(gemv(head, &[0.0; 256], &mut [0.0; 99]).is_err());
    }
    assert!(gemv(&all[1], &[f32::NAN; 256], &mut [0.0; 100]).is_err());
    let anew = OutputHead::anew(HeadFormat::Q8, &holed, 256, CpuFeatures::NONE).expect("not looked at yet");
    assert_eq!((anew.rows(), anew.bytes()), (2, 1024));
    assert_eq!(gemv(&anew, &[0.0; 256], &mut [0.0; 2]).expect_err("not finite"), refused);
    let short = OutputHead::anew(HeadFormat::Q8, &weights, 255, CpuFeatures::NONE);
    assert!(matches!(short, Err(KernelError::Shape { .. })));
}

/// A head of decoded rows has the bytes of one of the same rows as f16, and says what f16 cannot hold.
#[test]
fn decoded_rows_make_the_same_head() {
    let (rows, k) = (37, 96);
    let mut random = SplitMix64::new(3);
    let weights = f16s((0..rows * k).map(|_| random.signed_unit()));
    let halves: &[u16] = (*weights).as_ref();
    let decode = |row: usize, out: &mut [f32]| {
        for (out, &bits) in out.iter_mut().zip(&halves[row * k..]) {
            *out = half::f16::from_bits(bits).to_f32();
        }
    };
    let x: Vec<f32> = (0..k).map(|i| (i as f32 - 40.0) / 32.0).collect();
    for (format, threads) in HeadFormat::ALL.into_iter().flat_map(|f| [(f, 1), (f, 3)]) {
        let (mut team, features) = (team(threads), CpuFeatures::detect());
        let made = OutputHead::new(format, &weights, k, features, &mut team).expect("finite");
        let other = OutputHead::from_rows(format, HeadRows { rows, k, decode: &decode }, features, &mut team);
        let heads = [made, other.expect("finite")];
        assert_eq!(heads[0].bytes(), heads[1].bytes());
        let products = heads.map(|head| {
            let mut y = vec![f32::NAN; rows];
            head.gemv(&mut team, &x, &mut HeadInput::new(k), &mut y).expect("lengths agree");
            bits(&y)
        });
        assert_eq!(products[0], products[1], "{format:?}, {threads} threads");
    }
    let with = |value: f32| move |row: usize, out: &mut [f32]| out.fill(if row == 2 { value } else { 1.0 });
    let refused = |format, value| {
        let source = HeadRows { rows: 3, k, decode: &with(value) };
        OutputHead::from_rows(format, source, CpuFeatures::NONE, &mut Team::single()).err()
    };
    assert_eq!(refused(HeadFormat::F16, 7e4), Some(KernelError::WeightBeyondF16 { row: 2, column: 0, value: 7e4 }));
    assert_eq!(refused(HeadFormat::Q8, 7e4), None);
    for format in HeadFormat::ALL {
        assert_eq!(refused(format, f32::NAN), Some(KernelError::NonFiniteWeight { row: 2, column: 0 }));
    }
}
