//! SplitMix64 (Steele, Lea, Flood 2014): reproducible test and benchmark data on every platform. Not for sampling or
//! secrets.

/// A generator of reproducible pseudo-random numbers, which depend on the seed only.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// A generator from a seed; it gives the same numbers on every platform.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 pseudo-random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// A number in `0..bound` (bound > 0); the bias of the multiplication is below 2^-32 for the small bounds used
    /// here.
    pub fn below(&mut self, bound: u32) -> u32 {
        (((self.next_u64() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// A pseudo-random f32 in [-1, 1).
    pub fn signed_unit(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// Makes `n` random ternary codes 0, 1, 2, to serve as weights.
    pub fn ternary_codes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.below(3) as u8).collect()
    }

    /// Makes `n` random int8 values, -128 included, to serve as activations of integer products.
    pub fn int8s(&mut self, n: usize) -> Vec<i8> {
        (0..n).map(|_| (self.next_u64() >> 56) as i8).collect()
    }

    /// Makes `n` random f32 in [-1, 1), to serve as activations of f32 products.
    pub fn signed_units(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.signed_unit()).collect()
    }

    /// Puts the items in random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u32 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_numbers_are_the_published_ones() {
        let mut random = SplitMix64::new(1234567);
        assert_eq!([random.next_u64(), random.next_u64()], [6457827717110365317, 3203168211198807973]);
        assert!((0..1000).all(|_| random.below(3) < 3 && random.signed_unit().abs() <= 1.0));
    }
}
