//! Every output head and the streaming read on guarded operands.

use super::state::{Left, left_by};
use super::{guard, placed, sides_and_features};
use crate::parallel::Team;
use crate::random::SplitMix64;
use crate::testing::{bits, f16};
use crate::{AlignedBuffer, HeadFormat, HeadInput, OutputHead, stream};
use std::sync::Arc;

/// Vocabulary sizes around a panel of 16.
const ROWS: [usize; 8] = [1, 2, 3, 15, 16, 17, 33, 50];
/// Widths around 4, 8, 16, 32 and the group of 128.
const K: [usize; 15] = [1, 3, 4, 7, 8, 15, 17, 31, 33, 64, 127, 128, 129, 257, 640];

#[test]
fn every_head_reads_its_rows_and_nothing_else() {
    let mut random = SplitMix64::new(5);
    let mut team = Team::single();
    for (rows, k) in ROWS.into_iter().flat_map(|rows| K.map(|k| (rows, k))) {
        let weights: Vec<u16> = random.signed_units(rows * k).into_iter().map(f16).collect();
        let x = random.signed_units(k);
        for (side, features) in sides_and_features() {
            let (source, x) = (Arc::new(guard(side, &weights)), guard(side, &x));
            let ordinary = Arc::new(AlignedBuffer::clone(&source));
            for format in HeadFormat::ALL {
                let what = format!("{format:?} {rows}x{k} {side:?} {features}");
                let mut want = vec![f32::NAN; rows];
                OutputHead::new(format, &ordinary, k, features, &mut team)
                    .and_then(|head| head.gemv(&mut team, &x, &mut HeadInput::new(k), &mut want))
                    .expect("finite and fits");
                let head = placed(side, || OutputHead::new(format, &source, k, features, &mut team));
                let (head, mut input) = (head.expect("finite"), placed(side, || HeadInput::new(k)));
                let mut y = guard(side, &vec![f32::NAN; rows]);
                let left = left_by(|| head.gemv(&mut team, &x, &mut input, &mut y).expect("fits"));
                assert_eq!(left, Left::NOTHING, "{what}");
                assert_eq!(bits(&y), bits(&want), "{what}");
            }
        }
    }
}

#[test]
fn the_streaming_read_ends_with_the_bytes() {
    for len in (0..20).chain([63, 64, 65, 255, 256, 257, 511, 512, 4095, 4096, 4097, 70_000]) {
        for (side, features) in sides_and_features() {
            let bytes = guard(side, &vec![1u8; len]);
            let mut sum = 0;
            let left = left_by(|| sum = stream::read(&mut Team::single(), features, &bytes));
            assert_eq!(left, Left::NOTHING, "{len} {features}");
            assert_eq!(sum, ((len / 256 * 32) as u64).wrapping_mul(0x0101_0101_0101_0101));
        }
    }
}
