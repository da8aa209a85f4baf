//! How fast each output head reads its weights from memory, against the f16 path on AVX2 and a plain read of the same
//! bytes, in turn.
//!
//! `cargo run --release -p kernels --example head_bandwidth -- [ROWS] [THREADS] [ROUNDS]`; k is 2560, as in the 2B
//! model.

use kernels::parallel::Team;
use kernels::random::SplitMix64;
use kernels::{AlignedBuffer, CpuFeatures, HeadFormat, HeadInput, OutputHead, stream};
use std::sync::Arc;
use std::time::Instant;

const K: usize = 2560;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<usize>().expect("a number"));
    let (rows, threads) = (numbers.next().unwrap_or(128_256), numbers.next().unwrap_or(1));
    let rounds = numbers.next().unwrap_or(15);
    let mut team = Team::new(threads, |_| {}).expect("threads start");
    let mut random = SplitMix64::new(1);
    let mut weights = AlignedBuffer::zeroed(rows * K);
    weights.iter_mut().for_each(|w| *w = half::f16::from_f32(random.signed_unit() * 0.05).to_bits());
    let weights = Arc::new(weights);
    let x: Vec<f32> = (0..K).map(|_| random.signed_unit()).collect();

    let mut heads = Vec::new();
    for format in HeadFormat::ALL {
        for features in [CpuFeatures::X86_64_V3, CpuFeatures::detect()] {
            let start = Instant::now();
            let head = OutputHead::new(format, &weights, K, features, &mut team).expect("finite weights");
            println!(
                "{:<16} {:>7.1} MB, made in {:.2} s",
                head.id(),
                head.bytes() as f64 / 1e6,
                start.elapsed().as_secs_f64()
            );
            heads.push(head);
        }
    }
    let (mut input, mut y) = (HeadInput::new(K), vec![0.0; rows]);
    let mut times = vec![Vec::new(); heads.len() + 1];
    for round in 0..=rounds {
        for (head, times) in heads.iter().zip(&mut times) {
            let start = Instant::now();
            head.gemv(&mut team, &x, &mut input, &mut y).expect("lengths agree");
            // The first round touches the memory.
            times.extend((round > 0).then(|| start.elapsed().as_secs_f64()));
        }
        let start = Instant::now();
        std::hint::black_box(stream::read(&mut team, CpuFeatures::detect(), as_bytes(&weights)));
        times[heads.len()].extend((round > 0).then(|| start.elapsed().as_secs_f64()));
    }
    let median = |times: &[f64]| {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let ratios =
        |times: &[f64], to: &[f64]| median(&to.iter().zip(times).map(|(to, own)| to / own).collect::<Vec<_>>());
    let reading = size_of_val(&weights[..]) as f64;
    println!(
        "{:<16} {:>9.3} ms {:>6.1} GB/s",
        "plain read",
        median(&times[6]) * 1e3,
        reading / median(&times[6]) / 1e9
    );
    for (i, head) in heads.iter().enumerate() {
        let (ms, rate) = (median(&times[i]) * 1e3, head.bytes() as f64 / median(&times[i]) / 1e9);
        let (speed, share) =
            (ratios(&times[i], &times[0]), ratios(&times[i], &times[6]) * head.bytes() as f64 / reading);
        println!(
            "{:<16} {ms:>9.3} ms {rate:>6.1} GB/s, {speed:.2}x {}, {share:.2} of a plain read",
            head.id(),
            heads[0].id()
        );
    }
}

fn as_bytes(weights: &[u16]) -> &[u8] {
    // SAFETY: any u16 is two bytes, and u8 needs no alignment.
    unsafe { std::slice::from_raw_parts(weights.as_ptr().cast(), size_of_val(weights)) }
}
