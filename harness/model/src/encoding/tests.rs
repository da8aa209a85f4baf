//! Every encoding against bytes written out by hand, and against itself.

use super::*;
use half::f16;
use proptest::prelude::*;

/// A strip or tensor whose codes are 1 but for these: row, column, code.
struct Golden {
    encoding: &'static Encoding,
    rows: usize,
    k: usize,
    codes: &'static [(usize, usize, u8)],
    scales: &'static [f32],
    /// The bytes without the tail: (how many, which), one after the other.
    bytes: &'static [(usize, &'static [u8])],
}

/// Worked out from the definitions: two bits a code, highest first, in binary; base 3 in the margin.
static GOLDENS: &[Golden] = &[
    Golden {
        encoding: &I2_S,
        rows: 1,
        k: 128,
        codes: &[(0, 0, 2), (0, 32, 2), (0, 96, 2), (0, 31, 0), (0, 127, 0)],
        scales: &[],
        bytes: &[(1, &[0b10_10_01_10]), (30, &[0b01_01_01_01]), (1, &[0b00_01_01_00])],
    },
    Golden {
        encoding: &I2_S_ARM,
        rows: 1,
        k: 64,
        codes: &[(0, 0, 2), (0, 16, 0), (0, 63, 2)],
        scales: &[],
        bytes: &[(1, &[0b10_00_01_01]), (14, &[0b01_01_01_01]), (1, &[0b01_01_01_10])],
    },
    Golden {
        encoding: &I2_S_ROWS,
        rows: 4,
        k: 128,
        codes: &[(0, 0, 2), (1, 0, 0), (3, 0, 2), (0, 127, 2), (3, 127, 0)],
        scales: &[],
        bytes: &[(1, &[0b10_00_01_10]), (126, &[0b01_01_01_01]), (1, &[0b10_01_01_00])],
    },
    Golden {
        encoding: &TQ2_0,
        rows: 1,
        k: 256,
        codes: &[(0, 0, 2), (0, 32, 2), (0, 31, 0), (0, 127, 0), (0, 128, 2), (0, 255, 0)],
        scales: &[1.5],
        bytes: &[
            (1, &[0b01_01_10_10]),
            (30, &[0b01_01_01_01]),
            (1, &[0b00_01_01_00, 0b01_01_01_10]),
            (30, &[0b01_01_01_01]),
            (1, &[0b00_01_01_01, 0x00, 0x3e]),
        ],
    },
    // 11111 is 121, its fraction 121 * 256 / 243 = 127.5, so 128. In the last bytes 11110 is 120: 126.4, so 127.
    // 21111 is 202: 212.8. 01112 is 41: 43.2. 01111 is 40: 42.1. 11112 is 122: 128.5. 21110 is 201: 211.8. 11100 is
    // 117: 123.3.
    Golden {
        encoding: &TQ1_0,
        rows: 1,
        k: 256,
        codes: &[(0, 0, 2), (0, 31, 0), (0, 159, 2), (0, 160, 0), (0, 239, 2), (0, 240, 2), (0, 255, 0)],
        scales: &[0.25],
        bytes: &[(1, &[213]), (30, &[128]), (1, &[44, 43]), (14, &[128]), (1, &[129, 212, 127, 127, 124, 0x00, 0x34])],
    },
    Golden {
        encoding: &PTQ1_0,
        rows: 1,
        k: 128,
        codes: &[(0, 0, 2), (0, 79, 2), (0, 80, 0), (0, 119, 2), (0, 120, 2), (0, 127, 0)],
        scales: &[0.25],
        bytes: &[(1, &[213]), (14, &[128]), (1, &[129, 43]), (6, &[128]), (1, &[129, 212, 124, 0x00, 0x34])],
    },
    Golden {
        encoding: &Q2_0,
        rows: 1,
        k: 128,
        codes: &[(0, 0, 2), (0, 3, 3), (0, 63, 0), (0, 64, 3), (0, 127, 2)],
        scales: &[0.5, -2.0],
        bytes: &[
            (1, &[0x00, 0x38, 0b11_01_01_10]),
            (14, &[0b01_01_01_01]),
            (1, &[0b00_01_01_01, 0x00, 0xc0, 0b01_01_01_11]),
            (14, &[0b01_01_01_01]),
            (1, &[0b10_01_01_01]),
        ],
    },
    Golden {
        encoding: &Q2_0_G128,
        rows: 1,
        k: 128,
        codes: &[(0, 0, 2), (0, 3, 3), (0, 127, 0)],
        scales: &[0.5],
        bytes: &[(1, &[0x00, 0x38, 0b11_01_01_10]), (30, &[0b01_01_01_01]), (1, &[0b00_01_01_01])],
    },
    Golden {
        encoding: &PQ2_0,
        rows: 1,
        k: 128,
        codes: &[(0, 0, 2), (0, 3, 3), (0, 127, 0)],
        scales: &[0.5],
        bytes: &[(1, &[0x00, 0x38, 0b11_01_01_10]), (30, &[0b01_01_01_01]), (1, &[0b00_01_01_01])],
    },
    Golden {
        encoding: &IQ2_BN,
        rows: 1,
        k: 64,
        codes: &[(0, 0, 2), (0, 16, 0), (0, 63, 2)],
        scales: &[0.75],
        bytes: &[(1, &[0x00, 0x00, 0x40, 0x3f, 0b01_01_00_10]), (14, &[0b01_01_01_01]), (1, &[0b10_01_01_01])],
    },
    Golden {
        encoding: &HF_PACKED,
        rows: 8,
        k: 3,
        codes: &[(0, 0, 2), (2, 0, 0), (6, 0, 2), (7, 2, 0)],
        scales: &[],
        bytes: &[(1, &[0b10_01_00_10]), (4, &[0b01_01_01_01]), (1, &[0b00_01_01_01])],
    },
];

#[test]
fn bytes_by_hand() {
    for golden in GOLDENS {
        let Golden { encoding, rows, k, .. } = *golden;
        let mut codes = vec![1; rows * k];
        golden.codes.iter().for_each(|&(row, column, code)| codes[row * k + column] = code);
        let bytes: Vec<u8> = golden.bytes.iter().flat_map(|(n, bytes)| bytes.repeat(*n)).collect();
        assert_eq!(bytes.len() + encoding.tail, encoding.n_bytes(rows, k), "{}", encoding.name);
        // 0.15, and bytes that nobody reads.
        let tail = [&[0x9a, 0x99, 0x19, 0x3e][..], &[7; 28]].concat();
        let whole = [&bytes[..], &tail[..encoding.tail]].concat();
        let tensor = Tensor { bytes: &whole, rows, k };
        assert_eq!(read(encoding, tensor), (codes.clone(), golden.scales.to_vec()), "{}", encoding.name);
        if encoding.tail > 0 {
            assert_eq!(encoding.tensor_scale.expect("it has a tail")(tensor), 0.15, "{}", encoding.name);
        }
        if let Some(encode) = encoding.encode {
            let mut written = vec![0xaa; bytes.len()];
            encode(&codes, golden.scales, &mut written);
            assert_eq!(written, bytes, "{}", encoding.name);
        }
    }
    // Latent weights have tests of their own.
    let names = |of: &mut dyn Iterator<Item = &&Encoding>| of.map(|encoding| encoding.name).collect::<Vec<_>>();
    let mut with: Vec<&str> = GOLDENS.iter().map(|golden| golden.encoding.name).collect();
    let mut all = names(&mut ALL.iter().filter(|encoding| !encoding.name.ends_with("-master")));
    with.sort_unstable();
    all.sort_unstable();
    assert_eq!(with, all);
}

/// Codes and scales of all rows, one row after the other.
fn read(encoding: &Encoding, tensor: Tensor<'_>) -> (Vec<u8>, Vec<f32>) {
    let (mut codes, mut scales) = (Vec::new(), Vec::new());
    for row in 0..tensor.rows {
        let mut row_codes = vec![9; tensor.k];
        let mut row_scales = vec![f32::NAN; encoding.scales_in_row(tensor.k)];
        (encoding.decode)(tensor, row, 1.0, &mut row_codes, &mut row_scales);
        codes.extend(row_codes);
        scales.extend(row_scales);
    }
    (codes, scales)
}

proptest! {
    /// Random tensors of one to three strips and blocks, with scales that fp16 has, come back as they were.
    #[test]
    fn what_is_written_is_read(
        number in 0..ALL.len(), strips in 1..4usize, blocks in 1..4usize, seed in any::<u64>(),
    ) {
        let encoding = ALL[number];
        let Some(encode) = encoding.encode else { return Ok(()) };
        let (rows, k) = (strips * encoding.rows, blocks * encoding.block);
        let mut random = random_numbers(seed);
        let most = if encoding.four_codes { 4 } else { 3 };
        let codes: Vec<u8> = (0..rows * k).map(|_| (random() % most) as u8).collect();
        let finite = |bits: u64| f16::from_bits(bits as u16 & 0xbfff).to_f32();
        let scales: Vec<f32> = (0..rows * encoding.scales_in_row(k)).map(|_| finite(random())).collect();
        let mut bytes = Vec::new();
        for strip in 0..strips {
            let mut written = vec![0xaa; encoding.strip_bytes(k)];
            let per_strip = encoding.rows * encoding.scales_in_row(k);
            let scales = &scales[strip * per_strip..][..per_strip];
            encode(&codes[strip * encoding.rows * k..][..encoding.rows * k], scales, &mut written);
            bytes.extend(written);
        }
        bytes.resize(bytes.len() + encoding.tail, 0);
        prop_assert_eq!(bytes.len(), encoding.n_bytes(rows, k));
        let found = read(encoding, Tensor { bytes: &bytes, rows, k });
        prop_assert_eq!(found, (codes, scales), "{}", encoding.name);
    }

    /// The four quarters of Hugging Face's rows, packed by their definition.
    #[test]
    fn quarters_of_packed_rows(quarter in 1..4usize, k in 1..9usize, seed in any::<u64>()) {
        let rows = 4 * quarter;
        let mut random = random_numbers(seed);
        let codes: Vec<u8> = (0..rows * k).map(|_| (random() % 4) as u8).collect();
        let code = |row: usize, column: usize| codes[row * k + column];
        let mut bytes = Vec::new();
        for i in 0..quarter {
            for c in 0..k {
                bytes.push((0..4).fold(0, |byte, part| byte | code(i + part * quarter, c) << (2 * part)));
            }
        }
        let found = read(&HF_PACKED, Tensor { bytes: &bytes, rows, k });
        prop_assert_eq!(found.0, codes);
    }
}

/// Numbers by a seed: SplitMix64.
fn random_numbers(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[test]
fn names_are_unique_and_found() {
    for (i, encoding) in ALL.iter().enumerate() {
        assert!(ALL[..i].iter().all(|other| other.name != encoding.name), "{}", encoding.name);
        assert_eq!(find(encoding.name).map(|found| found.name), Some(encoding.name));
        assert!(!encoding.summary.is_empty() && encoding.block > 0 && encoding.bytes > 0);
        assert_eq!(encoding.tensor_scale.is_some(), encoding.tail > 0 || encoding.name.ends_with("-master"));
    }
    assert!(find("TQ2_0").is_none());
}

/// Not a test: `cargo test -p model --release decode_speed -- --ignored --nocapture` shows Gweights/s of one thread.
#[test]
#[ignore = "a measurement"]
fn decode_speed() {
    let (rows, k) = (64, 7680);
    for encoding in ALL {
        let bytes = vec![0x55; encoding.n_bytes(rows, k)];
        let tensor = Tensor { bytes: &bytes, rows, k };
        let (mut codes, mut scales) = (vec![0; k], vec![0.0; encoding.scales_in_row(k)]);
        let start = std::time::Instant::now();
        let rounds = 100;
        for row in (0..rounds).flat_map(|_| 0..rows) {
            (encoding.decode)(tensor, row, 1.0, &mut codes, &mut scales);
            std::hint::black_box(&codes);
        }
        let rate = (rounds * rows * k) as f64 / start.elapsed().as_secs_f64() / 1e9;
        println!("{:>16} {rate:.2}", encoding.name);
    }
}
