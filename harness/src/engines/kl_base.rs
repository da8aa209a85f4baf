//! The truth for a binary that nobody can link to: `llama-perplexity --kl-divergence --kl-divergence-base FILE` takes
//! token ids and right probabilities from FILE, which we write, and prints how far its own are from them.
//!
//! The tool scores by its own rule: chunks of `window` ids, each from an empty cache, and of each chunk only
//! [`positions`]. Its perplexities are about 4% below those of every position; its ratio is one rule to itself.

use crate::error::{Error, Result};
use std::io::Write;
use std::ops::Range;

/// How far below the best logit others are kept, in nats, as the tool itself clips them.
const DEPTH: f32 = 24.0;

/// Positions of a chunk that the tool scores: those of the second half that have a next id in the chunk.
pub fn positions(window: usize) -> Range<usize> {
    window / 2..window.saturating_sub(1)
}

/// Writes the file for the whole chunks of `window` ids. `chunk_logits` is called once a chunk, in order, and gives the
/// logits of its [`positions`]. The tool prints no verdict on fewer than 100 positions.
pub fn write_base(
    out: &mut impl Write,
    window: usize,
    vocabulary: usize,
    ids: &[u32],
    mut chunk_logits: impl FnMut(usize) -> Result<Vec<Vec<f32>>>,
) -> Result<()> {
    let chunks = ids.len().checked_div(window).unwrap_or(0);
    if chunks * positions(window).len() < 100 {
        return Err(Error::input(format!(
            "{} ids in windows of {window} leave fewer than the 100 positions that llama-perplexity judges by",
            ids.len()
        )));
    }
    let mut bytes = b"_logits_".to_vec();
    for number in [window, vocabulary, chunks] {
        bytes.extend(i32_of(number)?);
    }
    for id in &ids[..chunks * window] {
        bytes.extend(id.to_le_bytes());
    }
    put(out, &bytes)?;
    for chunk in 0..chunks {
        let rows = chunk_logits(chunk)?;
        assert_eq!(rows.len(), positions(window).len(), "a row of logits for each position that is scored");
        bytes.clear();
        for row in &rows {
            assert_eq!(row.len(), vocabulary, "a logit for each id");
            push_row(&mut bytes, row)?;
        }
        put(out, &bytes)?;
    }
    Ok(())
}

fn i32_of(number: usize) -> Result<[u8; 4]> {
    let refused = |_| Error::input(format!("{number} is too large for llama-perplexity"));
    Ok(i32::try_from(number).map_err(refused)?.to_le_bytes())
}

fn put(out: &mut impl Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes).map_err(|e| Error::input(format!("cannot write the probabilities for llama-perplexity: {e}")))
}

/// One position: a step, the lowest log-probability, and how many steps above it each id is, padded to an even count.
fn push_row(bytes: &mut Vec<u8>, logits: &[f32]) -> Result<()> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !top.is_finite() || logits.iter().any(|logit| logit.is_nan()) {
        return Err(Error::failed("logits that are no numbers: there is no truth to hold llama-perplexity to"));
    }
    let lowest = logits.iter().copied().fold(top, f32::min).max(top - DEPTH);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - top).exp()).sum();
    let step = (top - lowest) / f32::from(u16::MAX);
    bytes.extend(step.to_le_bytes());
    bytes.extend((lowest - top - sum.ln() as f32).to_le_bytes());
    for logit in logits {
        // A cast of a float holds to the ends of its range, and takes 0/0 of equal logits for 0.
        bytes.extend((((logit - lowest) / step).round() as u16).to_le_bytes());
    }
    if logits.len() % 2 == 1 {
        bytes.extend([0; 2]);
    }
    Ok(())
}

/// What the tool says of an engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KlVerdict {
    /// Mean Kullback-Leibler divergence from the base in nats a position.
    pub mean_kl: f64,
    /// Perplexity over that of the base, by the tool's rule.
    pub ppl_ratio: f64,
    /// Share of positions with the same likeliest id.
    pub same_top: f64,
}

/// Reads what the tool printed; `None` where it printed no verdict. It exits with 0 in either case.
pub fn verdict(output: &str) -> Option<KlVerdict> {
    let number = |name: &str| {
        let rest = output.lines().find_map(|line| line.trim_start().strip_prefix(name))?;
        rest.trim_start().strip_prefix(':')?.split_whitespace().next()?.parse::<f64>().ok()
    };
    Some(KlVerdict {
        mean_kl: number("Mean    KLD")?,
        ppl_ratio: number("Mean PPL(Q)/PPL(base)")?,
        same_top: number("Same top p")? / 100.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: usize = 128;

    fn written(vocabulary: usize, logits: &[f32]) -> Result<Vec<u8>> {
        let ids: Vec<u32> = (0..2 * WINDOW as u32 + 5).collect();
        let mut bytes = Vec::new();
        write_base(&mut bytes, WINDOW, vocabulary, &ids, |_| Ok(vec![logits.to_vec(); positions(WINDOW).len()]))?;
        Ok(bytes)
    }

    fn f32_at(bytes: &[u8], at: usize) -> f32 {
        f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn the_file_has_the_ids_of_whole_chunks_and_a_row_for_each_position() {
        let bytes = written(3, &[1.0, 0.0, -2.0]).unwrap();
        assert_eq!(&bytes[..8], b"_logits_");
        let numbers: Vec<i32> = bytes[8..].chunks(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect();
        assert_eq!(numbers[..3], [128, 3, 2]);
        assert_eq!(numbers[3..3 + 256], (0..256).collect::<Vec<_>>());
        // Two f32, three ids, and one more to make their count even.
        assert_eq!((positions(WINDOW), bytes.len()), (64..127, 20 + 4 * 256 + 2 * 63 * (8 + 2 * 4)));
    }

    #[test]
    fn a_row_gives_back_the_log_probabilities() {
        let logits = [1.0f32, 0.0, -2.0, -100.0];
        let bytes = written(4, &logits).unwrap();
        let row = &bytes[20 + 4 * 256..][..8 + 2 * 4];
        let (step, lowest) = (f32_at(row, 0), f32_at(row, 4));
        let sum: f32 = logits.iter().map(|l| l.exp()).sum();
        for (steps, logit) in row[8..].chunks(2).zip(logits) {
            let right = logit.max(1.0 - DEPTH) - sum.ln();
            let read = lowest + step * f32::from(u16::from_le_bytes(steps.try_into().unwrap()));
            assert!((read - right).abs() <= step, "{read} {right}");
        }
        // The best is at the top of the range and the one that lies too deep at its bottom.
        assert_eq!((&row[8..10], &row[14..16]), (&[255, 255][..], &[0, 0][..]));
        // All alike: no step, and every id has the same share.
        let alike = written(4, &[7.0; 4]).unwrap();
        let row = &alike[20 + 4 * 256..][..16];
        assert_eq!((f32_at(row, 0), &row[8..]), (0.0, &[0; 8][..]));
        assert!((f32_at(row, 4) + 4f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_truth_and_what_gets_no_verdict_is_refused() {
        assert!(written(2, &[0.0, f32::NAN]).unwrap_err().to_string().contains("no numbers"));
        assert!(written(2, &[0.0, f32::INFINITY]).unwrap_err().to_string().contains("no numbers"));
        for (window, ids) in [(0, 500), (1, 500), (128, 200)] {
            let error = write_base(&mut Vec::new(), window, 2, &vec![0; ids], |_| unreachable!()).unwrap_err();
            assert!(error.to_string().contains("fewer than the 100 positions"), "{error}");
        }
    }

    /// What ik_llama.cpp printed of the built-in model as IQ2_BN, held to a float64 oracle; some lines are left out.
    const RIGHT: &str = "\
====== Perplexity statistics ======
Mean PPL(Q)                   :  22.141411 ±   0.863553
Mean PPL(base)                :  22.129073 ±   0.862919
Mean ln(PPL(Q)/PPL(base))     :   0.000557 ±   0.000470
Mean PPL(Q)/PPL(base)         :   1.000558 ±   0.000471
Mean PPL(Q)-PPL(base)         :   0.012339 ±   0.010430

====== KL divergence statistics ======
Mean    KLD:   0.000463 ±   0.000009
Maximum KLD:   0.012056
Same top p: 98.609 ± 0.164 %
";
    /// The same of the I2_S file, which it reads wrongly: exit code 0, too.
    const WRONG: &str = "\
Mean PPL(Q)/PPL(base)         : 24017147093.910408 ± 2280150324.246409
Mean    KLD:  24.679075 ±   0.085793
Same top p:  2.881 ± 0.234 %
";

    #[test]
    fn a_verdict_is_read_as_the_tool_prints_it() {
        let right = KlVerdict { mean_kl: 0.000463, ppl_ratio: 1.000558, same_top: 98.609 / 100.0 };
        assert_eq!(verdict(RIGHT), Some(right));
        let wrong = KlVerdict { mean_kl: 24.679075, ppl_ratio: 24_017_147_093.910_408, same_top: 2.881 / 100.0 };
        assert_eq!(verdict(WRONG), Some(wrong));
        let none = verdict(&RIGHT.replace("0.000463", "-nan")).unwrap();
        assert!(none.mean_kl.is_nan() && none.ppl_ratio == 1.000558);
        for line in ["Mean    KLD", "Mean PPL(Q)/PPL(base)", "Same top p"] {
            assert_eq!(verdict(&RIGHT.replace(&format!("\n{line}"), "\nx")), None, "without {line}");
        }
    }
}
