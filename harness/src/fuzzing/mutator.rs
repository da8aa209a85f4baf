//! Damage: what disks, networks and people who mean harm do to a file. The same number always gives the same input.

use kernels::random::SplitMix64;

/// Values that break arithmetic on sizes.
const LIES: [u64; 14] = [
    0,
    1,
    7,
    0x7F,
    0xFF,
    0xFFFF,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    1 << 33,
    1 << 62,
    u64::MAX / 2,
    u64::MAX - 7,
    u64::MAX,
];

/// Text that breaks readers of text.
const TOKENS: [&str; 20] = [
    "-1",
    "0",
    "1e999",
    "NaN",
    "18446744073709551616",
    "-0.0",
    "null",
    "true",
    "\"\"",
    "[[[[[[[[",
    "{\"a\":",
    "\\u0000",
    "\u{202e}",
    "''",
    "[micro]",
    "=",
    "\n\n",
    "0x1x2",
    "99999x99999",
    "\"\\ud800\"",
];

pub(super) struct Mutator {
    random: SplitMix64,
}

impl Mutator {
    pub(super) fn new(number: u64) -> Self {
        Self { random: SplitMix64::new(number) }
    }

    fn below(&mut self, n: usize) -> usize {
        (self.random.next_u64() % n.max(1) as u64) as usize
    }

    /// One of the seeds with one to four kinds of damage. Binary seeds are damaged in their first 8 KiB half of the
    /// time: that is where headers are.
    pub(super) fn mutate(&mut self, seeds: &[Vec<u8>], binary: bool) -> Vec<u8> {
        let which = self.below(seeds.len());
        let mut bytes = seeds[which].clone();
        for _ in 0..1 + self.below(4) {
            let reach = if binary && self.below(2) == 0 { bytes.len().min(8 << 10) } else { bytes.len() };
            let at = self.below(reach);
            match self.below(9) {
                0 => bytes.truncate(at),
                1 | 2 => {
                    let bit = self.below(8);
                    bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << bit);
                }
                3 | 4 if binary => self.lie(&mut bytes, at),
                3 | 4 => {
                    let token = TOKENS[self.below(TOKENS.len())];
                    let end = (at + self.below(12)).min(bytes.len());
                    bytes.splice(at.min(end)..end, token.bytes());
                }
                5 => {
                    let end = (at + self.below(200)).min(bytes.len());
                    bytes.drain(at.min(end)..end);
                }
                6 => {
                    let end = (at + self.below(200)).min(bytes.len());
                    let piece = bytes[at.min(end)..end].to_vec();
                    let to = self.below(bytes.len() + 1);
                    bytes.splice(to..to, piece);
                }
                7 => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len());
                    let piece = other[from..(from + self.below(400)).min(other.len())].to_vec();
                    let end = (at + piece.len()).min(bytes.len());
                    bytes.splice(at.min(end)..end, piece);
                }
                _ => {
                    let (value, n) = (self.random.next_u64() as u8, self.below(64));
                    bytes.iter_mut().skip(at).take(n).for_each(|byte| *byte = value);
                }
            }
        }
        bytes
    }

    /// A number that is not true, over four or eight bytes; sometimes one that is nearly true.
    fn lie(&mut self, bytes: &mut [u8], at: usize) {
        let wide = self.below(2) == 0;
        let n = if wide { 8 } else { 4 };
        let Some(field) = bytes.get_mut(at..at + n) else { return };
        let mut old = [0; 8];
        old[..n].copy_from_slice(field);
        let old = u64::from_le_bytes(old);
        let lie = match self.below(3) {
            0 => old.wrapping_add(1),
            1 => old.wrapping_mul(2),
            _ => LIES[self.below(LIES.len())],
        };
        field.copy_from_slice(&lie.to_le_bytes()[..n]);
    }
}

#[test]
fn the_same_number_gives_the_same_input_and_others_differ() {
    let seeds = [b"a reasonably long line of text, again and again".to_vec(), vec![7; 300]];
    let make = |number, binary| Mutator::new(number).mutate(&seeds, binary);
    assert_eq!(make(5, true), make(5, true));
    let different = (0..100).filter(|&n| !seeds.contains(&make(n, n % 2 == 0))).count();
    assert!(different > 80, "{different}");
}
