//! How fast each output head reads its weights from memory, against the f16 path on AVX2 and a plain read of the same
//! bytes, in turn.
//!
//! `cargo run --release -p kernels --example head_bandwidth -- [ROWS] [THREADS] [ROUNDS]`; k is 2560, as in the 2B
//! model.

mod median;

use kernels::parallel::Team;
use kernels::random::SplitMix64;
use kernels::{
    AlignedBuffer, CpuFeatures, HalfRows, HeadFormat, HeadInput, OutputHead, Prefetch, head_implementations, stream,
};
use median::median;
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
    let weights: HalfRows = Arc::new(weights);
    let x = random.signed_units(K);

    let mut heads = Vec::new();
    for format in HeadFormat::ALL {
        let start = Instant::now();
        let head = OutputHead::new(format, &weights, K, CpuFeatures::detect(), &mut team).expect("finite weights");
        let (megabytes, seconds) = (head.bytes() as f64 / 1e6, start.elapsed().as_secs_f64());
        println!("{:<16} {megabytes:>7.1} MB, made in {seconds:.2} s", format.name());
        for way in head_implementations(format, CpuFeatures::detect()) {
            heads.extend(Prefetch::ALL.map(|prefetch| head.tuned(way, prefetch).expect("runs here")));
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
        std::hint::black_box(stream::read(
            &mut team,
            CpuFeatures::detect(),
            Prefetch::TwoLevels,
            as_bytes((*weights).as_ref()),
        ));
        times[heads.len()].extend((round > 0).then(|| start.elapsed().as_secs_f64()));
    }
    let seconds = |i: usize| median(times[i].iter().copied());
    let ratio = |i: usize, to: usize| median(times[to].iter().zip(&times[i]).map(|(to, own)| to / own));
    let plain = heads.len();
    let reading = size_of_val((*weights).as_ref()) as f64;
    println!("{:<26} {:>9.3} ms {:>6.1} GB/s", "plain read", seconds(plain) * 1e3, reading / seconds(plain) / 1e9);
    for (i, head) in heads.iter().enumerate() {
        let (id, bytes, first) =
            (format!("{}, {}", head.id(), head.prefetch().name()), head.bytes() as f64, heads[0].id());
        let (ms, rate) = (seconds(i) * 1e3, bytes / seconds(i) / 1e9);
        let (speed, share) = (ratio(i, 0), ratio(i, plain) * bytes / reading);
        println!("{id:<26} {ms:>9.3} ms {rate:>6.1} GB/s, {speed:.2}x {first}, {share:.2} of a plain read");
    }
}

fn as_bytes(weights: &[u16]) -> &[u8] {
    // SAFETY: any u16 is two bytes, and u8 needs no alignment.
    unsafe { std::slice::from_raw_parts(weights.as_ptr().cast(), size_of_val(weights)) }
}
