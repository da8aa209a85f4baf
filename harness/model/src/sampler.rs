//! Picking the next token: greedy, or temperature with top-k and top-p from a seeded generator.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::error::{Error, Result};

/// How the next token is picked from the logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling {
    /// Picks the token with the largest logit; of equals, the lowest id.
    Greedy,
    /// Draws from the softmax of `logits / temperature` over the `top_k` largest (0: all), cut to the smallest set
    /// whose share reaches `top_p`.
    Random {
        /// Divisor of the logits: finite and above 0; smaller picks likely tokens more often.
        temperature: f32,
        /// Number of likeliest tokens kept; 0 keeps all.
        top_k: usize,
        /// Total share of the likeliest tokens kept: above 0, at most 1; 1 keeps all.
        top_p: f32,
        /// Seed of the generator: same seed, same picks (as long as the platform's `exp` agrees to the last bit).
        seed: u64,
    },
}

/// Picks tokens from logits. Allocates only when it is made.
pub struct Sampler {
    sampling: Sampling,
    rng: ChaCha8Rng,
    /// Candidate ids; reused for every pick.
    ids: Vec<u32>,
    /// Weight of each candidate, in the order of `ids`.
    weights: Vec<f64>,
    vocab: usize,
}

impl Sampler {
    /// A sampler for a vocabulary of `vocab` tokens. Refuses parameters outside the ranges in [`Sampling`].
    pub fn new(sampling: Sampling, vocab: usize) -> Result<Self> {
        if vocab == 0 || u32::try_from(vocab).is_err() {
            return Err(Error::input(format!("cannot sample from a vocabulary of {vocab} tokens")));
        }
        let (mut seed_from, mut capacity) = (0, 0);
        if let Sampling::Random { temperature, top_p, seed, .. } = sampling {
            if !(temperature.is_finite() && temperature > 0.0) {
                let what = format!("--temperature {temperature} is not a finite number above 0");
                return Err(Error::input(format!("{what}; use --greedy for always the likeliest token")));
            }
            if !(top_p > 0.0 && top_p <= 1.0) {
                let what = format!("--top-p {top_p} is not above 0 and at most 1");
                return Err(Error::input(format!("{what} (1 keeps every token)")));
            }
            (seed_from, capacity) = (seed, vocab);
        }
        let rng = ChaCha8Rng::seed_from_u64(seed_from);
        let (ids, weights) = (Vec::with_capacity(capacity), Vec::with_capacity(capacity));
        Ok(Self { sampling, rng, ids, weights, vocab })
    }

    /// Whether the likeliest token is always picked, the lowest id of equal ones.
    pub fn is_greedy(&self) -> bool {
        matches!(self.sampling, Sampling::Greedy)
    }

    /// Picks the next token id. Errors if `logits` has another length than the vocabulary, or holds NaN or +infinity,
    /// or nothing above -infinity.
    pub fn sample(&mut self, logits: &[f32]) -> Result<u32> {
        if logits.len() != self.vocab {
            return Err(Error::failed(format!("{} logits for a vocabulary of {}", logits.len(), self.vocab)));
        }
        let best = argmax(logits)?;
        let Sampling::Random { temperature, top_k, top_p, .. } = self.sampling else { return Ok(best) };
        let largest = f64::from(logits[best as usize]);
        // The softmax, 1 for the largest. f64 keeps the running sum of 128,256 weights exact enough that the last token
        // keeps its share.
        let weight = |logit: f32| ((f64::from(logit) - largest) / f64::from(temperature)).exp();
        Ok(self.pick(logits, weight, top_k, top_p))
    }

    fn pick(&mut self, logits: &[f32], weight: impl Fn(f32) -> f64, top_k: usize, top_p: f32) -> u32 {
        let by_rank = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
        self.ids.clear();
        self.ids.extend(0..self.vocab as u32);
        if top_k > 0 && top_k < self.vocab {
            self.ids.select_nth_unstable_by(top_k - 1, by_rank);
            self.ids.truncate(top_k);
        }
        // Only top-p needs an order among the kept; sorting always makes the pick independent of how selection
        // shuffled.
        if top_p < 1.0 || top_k > 0 {
            self.ids.sort_unstable_by(by_rank);
        }
        self.weights.clear();
        self.weights.extend(self.ids.iter().map(|id| weight(logits[*id as usize])));
        let mut total: f64 = self.weights.iter().sum();
        if top_p < 1.0 {
            let share = total * f64::from(top_p);
            let mut kept = 0.0;
            let mut count = 0;
            while count < self.weights.len() && (count == 0 || kept < share) {
                kept += self.weights[count];
                count += 1;
            }
            self.weights.truncate(count);
            total = kept;
        }
        // 53 random bits: uniform in [0, 1). The largest weight is exp(0) = 1, so `total` is at least 1 unless it was
        // cut off, which it never is: it ranks first.
        let mut left = (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64 * total;
        let mut last = 0;
        for (&id, &weight) in self.ids.iter().zip(&self.weights) {
            if weight > 0.0 {
                last = id;
                if left < weight {
                    return id;
                }
                left -= weight;
            }
        }
        last // rounding used up the sum just before the end
    }
}

/// The id of the largest logit; of equals, the lowest. NaN and +infinity are errors: a pick among them would mean
/// nothing.
pub fn argmax(logits: &[f32]) -> Result<u32> {
    let mut best = (0, f32::NEG_INFINITY);
    for (id, &logit) in logits.iter().enumerate() {
        if logit.is_nan() || logit == f32::INFINITY {
            return Err(beyond_f32(&format!("the logit of token {id} is {logit}")));
        }
        if logit > best.1 {
            best = (id, logit);
        }
    }
    if best.1 == f32::NEG_INFINITY {
        return Err(beyond_f32("every logit is -inf"));
    }
    Ok(best.0 as u32)
}

/// An input error: the kernels match the oracle, so the model's own weights must overflow.
fn beyond_f32(what: &str) -> Error {
    let why = "a scale or norm in the model takes its numbers beyond f32; is the file damaged?";
    Error::input(format!("{what}: {why} (`verify` checks the kernels)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn random(temperature: f32, top_k: usize, top_p: f32, seed: u64) -> Sampling {
        Sampling::Random { temperature, top_k, top_p, seed }
    }

    #[test]
    fn greedy_takes_the_lowest_of_equals() {
        let mut sampler = Sampler::new(Sampling::Greedy, 4).unwrap();
        assert_eq!(sampler.sample(&[1.0, 3.0, 3.0, -1.0]).unwrap(), 1);
        assert_eq!(sampler.sample(&[f32::NEG_INFINITY, -5.0, -5.0, -9.0]).unwrap(), 1);
    }

    #[test]
    fn bad_logits_are_errors() {
        for sampling in [Sampling::Greedy, random(1.0, 0, 1.0, 0)] {
            let mut sampler = Sampler::new(sampling, 3).unwrap();
            let text = sampler.sample(&[0.0, f32::NAN, 1.0]).unwrap_err().to_string();
            assert!(text.contains("token 1 is NaN"), "{text}");
            assert!(sampler.sample(&[0.0, f32::INFINITY, 1.0]).is_err());
            assert!(sampler.sample(&[f32::NEG_INFINITY; 3]).is_err());
            assert!(sampler.sample(&[0.0; 4]).is_err());
        }
    }

    #[test]
    fn bad_parameters_are_errors() {
        for (t, p) in
            [(0.0, 1.0), (-1.0, 1.0), (f32::NAN, 1.0), (f32::INFINITY, 1.0), (1.0, 0.0), (1.0, 1.1), (1.0, f32::NAN)]
        {
            assert!(Sampler::new(random(t, 0, p, 0), 8).is_err(), "{t} {p}");
        }
        assert!(Sampler::new(Sampling::Greedy, 0).is_err());
    }

    #[test]
    fn shares_follow_the_softmax() {
        let logits = [0.0, 2f32.ln(), 1f32.ln() - 100.0, 5f32.ln()];
        let mut sampler = Sampler::new(random(1.0, 0, 1.0, 7), 4).unwrap();
        let mut counts = [0; 4];
        (0..8000).for_each(|_| counts[sampler.sample(&logits).unwrap() as usize] += 1);
        assert!((900..1100).contains(&counts[0]) && (1850..2150).contains(&counts[1]), "{counts:?}");
        assert_eq!(counts[2], 0);
        // 5/8 reaches 0.6, so only the likeliest is left
        let mut narrow = Sampler::new(random(1.0, 0, 0.6, 7), 4).unwrap();
        assert!((0..100).all(|_| narrow.sample(&logits).unwrap() == 3));
    }

    proptest! {
        #[test]
        fn picks_are_repeatable_within_top_k_and_allocate_nothing(
            logits in prop::collection::vec(-20f32..20.0, 1..200),
            top_k in 1usize..50, top_p in 0.01f32..=1.0, temperature in 0.05f32..5.0, seed: u64,
        ) {
            let mut sampler = Sampler::new(random(temperature, top_k, top_p, seed), logits.len()).unwrap();
            let mut again = Sampler::new(random(temperature, top_k, top_p, seed), logits.len()).unwrap();
            let mut ranked: Vec<usize> = (0..logits.len()).collect();
            ranked.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
            let room = (sampler.ids.capacity(), sampler.weights.capacity());
            for _ in 0..20 {
                let id = sampler.sample(&logits).unwrap();
                prop_assert_eq!(id, again.sample(&logits).unwrap());
                prop_assert!(ranked[..top_k.min(logits.len())].contains(&(id as usize)));
            }
            prop_assert_eq!(room, (sampler.ids.capacity(), sampler.weights.capacity()));
        }
    }
}
