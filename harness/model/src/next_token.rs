//! How far the distributions of one model's next token are apart: those of decoders that differ in one thing, at every
//! position of a text, against those of one that is taken for the truth.

use crate::decoder::Decoder;
use crate::error::{Error, Result};
use crate::perplexity::{Text, nats_of};
use crate::sampler::argmax;
use std::sync::atomic::{AtomicBool, Ordering};

/// Sums over the positions of one window for one decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Loss of the text's own next token in nats.
    pub nats: f64,
    /// Kullback-Leibler divergence in nats: of the truth's distribution from the decoder's. 0 for the truth itself.
    pub kl: f64,
    /// Positions at which the decoder's most probable token is the truth's.
    pub same_top: usize,
}

/// Feeds each window of a text to all decoders side by side, the first of which is the truth. Windows begin with empty
/// caches, as in [`crate::perplexity::score`]. `window` gets what each gave, a decoder an entry, and says whether to go
/// on; the number of windows that were done comes back.
///
/// # Errors
/// A text that is shorter than a window, no decoder, decoders of different models, logits that are not finite, an
/// interrupt.
pub fn compare(
    decoders: &mut [Decoder<'_>],
    Text { tokens, window, max_windows }: Text<'_>,
    interrupted: &AtomicBool,
    mut each: impl FnMut(&[Sums]) -> bool,
) -> Result<usize> {
    let windows = (tokens.len().saturating_sub(1) / window.max(1)).min(max_windows);
    if windows == 0 || window == 0 {
        let what = format!("a window of {window} needs {} tokens and the text has {}", window + 1, tokens.len());
        return Err(Error::input(format!("{what}; use a longer text")));
    }
    let Some(batch) = decoders.iter().map(Decoder::batch).min() else {
        return Err(Error::failed("there are no decoders to compare"));
    };
    let mut truth = Vec::new();
    for start in (0..windows).map(|w| w * window) {
        decoders.iter_mut().for_each(Decoder::reset);
        let mut sums = vec![Sums::default(); decoders.len()];
        let (inputs, targets) = (&tokens[start..start + window], &tokens[start + 1..start + window + 1]);
        for (inputs, targets) in inputs.chunks(batch).zip(targets.chunks(batch)) {
            if interrupted.load(Ordering::Relaxed) {
                return Err(Error::interrupted(format!("interrupted after {} of {windows} windows", start / window)));
            }
            decoders.iter_mut().try_for_each(|decoder| decoder.forward(inputs))?;
            for (t, &target) in targets.iter().enumerate() {
                for (i, (decoder, sums)) in decoders.iter_mut().zip(&mut sums).enumerate() {
                    let logits = decoder.logits_of(t)?;
                    if i == 0 {
                        truth.clear();
                        truth.extend_from_slice(logits);
                    }
                    sums.nats += nats_of(logits, target)?;
                    sums.kl += if i == 0 { 0.0 } else { divergence(&truth, logits)? };
                    sums.same_top += usize::from(argmax(&truth)? == argmax(logits)?);
                }
            }
        }
        if !each(&sums) {
            return Ok(start / window + 1);
        }
    }
    Ok(windows)
}

/// Kullback-Leibler divergence D(p || q) = sum p (ln p - ln q) in nats of two distributions, given by their logits.
///
/// # Errors
/// Logits that are not finite, or not as many.
pub fn divergence(p: &[f32], q: &[f32]) -> Result<f64> {
    let norm = |logits: &[f32]| {
        let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        largest + logits.iter().map(|&l| (f64::from(l) - largest).exp()).sum::<f64>().ln()
    };
    if p.len() != q.len() {
        return Err(Error::failed(format!("{} and {} logits are of different vocabularies", p.len(), q.len())));
    }
    let (norm_p, norm_q) = (norm(p), norm(q));
    let terms = p.iter().zip(q).map(|(&p, &q)| {
        let (p, q) = (f64::from(p) - norm_p, f64::from(q) - norm_q);
        p.exp() * (p - q)
    });
    let sum: f64 = terms.sum();
    // It is never below 0; the sum may be, by its roundings.
    if sum.is_finite() { Ok(sum.max(0.0)) } else { Err(Error::failed("the logits are not finite")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{NEVER, builder, exact, held_out, model};
    use crate::perplexity::score;
    use crate::unrounded::Inputs;
    use kernels::{CodeTable, CpuFeatures};

    fn logits(shares: &[f64]) -> Vec<f32> {
        shares.iter().map(|share| share.ln() as f32).collect()
    }

    #[test]
    fn divergences_are_those_of_the_textbook() {
        let (p, q) = (logits(&[0.5, 0.25, 0.25]), logits(&[0.25, 0.25, 0.5]));
        let two = std::f64::consts::LN_2;
        let near = |got: f64, want: f64| assert!((got - want).abs() < 1e-7, "{got}, not {want}");
        // 1/2 ln 2 + 0 - 1/4 ln 2
        near(divergence(&p, &q).expect("finite"), two / 4.0);
        near(divergence(&q, &p).expect("finite"), two / 4.0);
        // It has a direction: of a certain coin from a fair one ln 2 - H, the other way -1/2 ln(4 a (1 - a)).
        let (certain, fair) = (logits(&[0.9, 0.1]), logits(&[0.5, 0.5]));
        let entropy = -(0.9f64 * 0.9f64.ln() + 0.1 * 0.1f64.ln());
        near(divergence(&certain, &fair).expect("finite"), two - entropy);
        near(divergence(&fair, &certain).expect("finite"), -0.5 * (4.0f64 * 0.9 * 0.1).ln());
        // What is added to all logits is no difference.
        let moved: Vec<f32> = p.iter().map(|l| l + 7.0).collect();
        near(divergence(&p, &moved).expect("finite"), 0.0);
        assert_eq!(divergence(&p, &p).expect("finite"), 0.0);
        assert!(divergence(&p, &[f32::NAN, 0.0, 0.0]).is_err() && divergence(&p, &q[1..]).is_err());
    }

    /// The same decoder is no distance from itself; another is, at as many positions as there are.
    #[test]
    fn a_text_is_gone_through_side_by_side() {
        let model = model();
        let made = |inputs| {
            let decoder = builder(&model, exact(), CodeTable::TERNARY, CpuFeatures::detect()).context(32);
            decoder.inputs(inputs).build().expect("fits")
        };
        let own = Inputs::Rounded(model.activations);
        let mut decoders = [made(Inputs::Whole), made(own), made(Inputs::Whole)];
        let tokens = held_out(&model);
        let text = Text { tokens: &tokens, window: 32, max_windows: 3 };
        let mut all = Vec::new();
        let done = compare(&mut decoders, text, &NEVER, |sums| {
            all.push(sums.to_vec());
            true
        });
        assert_eq!((done.expect("runs"), all.len()), (3, 3));
        let sum = |i: usize, of: fn(&Sums) -> f64| all.iter().map(|sums| of(&sums[i])).sum::<f64>();
        for i in [0, 2] {
            assert_eq!((sum(i, |s| s.kl), sum(i, |s| s.same_top as f64)), (0.0, 96.0));
        }
        let (kl, same) = (sum(1, |s| s.kl) / 96.0, sum(1, |s| s.same_top as f64));
        assert!(kl > 1e-6 && kl < 0.05 && (80.0..=96.0).contains(&same), "{kl} {same}");
        // The loss is that of `perplexity`, to the bit but for the order of the sum.
        let alone = score(&mut made(own), text, &NEVER, |_, _| {}).expect("scores");
        assert!((sum(1, |s| s.nats) / 96.0 - alone.nats_per_token).abs() < 1e-12);
        let stopped = compare(&mut decoders, text, &NEVER, |_| false);
        assert_eq!(stopped.expect("runs"), 1);
        assert!(compare(&mut [], text, &NEVER, |_| true).is_err());
    }
}
