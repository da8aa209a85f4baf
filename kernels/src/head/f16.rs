//! The f16 head: rows as the file has them, so that end-to-end differences are the ternary kernel's alone.

use crate::error::{KernelError, same};
use crate::parallel::Team;

/// `y = rows * x`, rows shared among the team, each thread's by `product`. `rows` holds `y.len() * k` f16 bit patterns,
/// row after row.
///
/// # Errors
/// A wrong length.
pub(super) fn gemv(
    team: &mut Team,
    rows: &[u16],
    k: usize,
    y: &mut [f32],
    product: impl Fn(&[u16], &mut [f32]) + Sync,
) -> Result<(), KernelError> {
    same("f16 rows", y.len().saturating_mul(k), rows.len())?;
    if k == 0 {
        y.fill(0.0);
        return Ok(());
    }
    team.split_rows(1, y, |range, y| {
        product(&rows[range.start * k..range.end * k], y);
        Ok(())
    })
}

/// Eight partial sums a row, so that chains stay short and the compiler may use what vectors the target has.
pub(super) fn scalar(rows: &[u16], x: &[f32], y: &mut [f32]) {
    for (y, row) in y.iter_mut().zip(rows.chunks_exact(x.len())) {
        let mut sums = [0f32; 8];
        for (row, x) in row.chunks(8).zip(x.chunks(8)) {
            for ((sum, &w), x) in sums.iter_mut().zip(row).zip(x) {
                *sum += half::f16::from_bits(w).to_f32() * x;
            }
        }
        *y = sums.iter().sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{HEADS, HeadFormat};
    use crate::testing::{bits, f16};
    use crate::{AlignedBuffer, CpuFeatures, HalfRows, HeadInput, OutputHead, Prefetch};
    use std::sync::Arc;

    #[test]
    fn all_paths_agree_with_f64() {
        let allowed = CpuFeatures::detect();
        let runs = || HEADS.iter().filter(|head| head.format == HeadFormat::F16 && head.check(allowed).is_ok());
        for k in [1, 7, 8, 33, 59, 512, 2560] {
            let rows: Vec<u16> = (0..3 * k).map(|i| f16(((i * 37 % 101) as f32 - 50.0) / 64.0)).collect();
            let x: Vec<f32> = (0..k).map(|i| ((i * 17 % 29) as f32 - 14.0) / 7.0).collect();
            let (mut vectors, mut team) = (None, Team::single());
            let shared: HalfRows = Arc::new(AlignedBuffer::from(&rows[..]));
            let head = OutputHead::new(HeadFormat::F16, &shared, k, allowed, &mut team).expect("whole rows");
            for (way, prefetch) in runs().flat_map(|way| Prefetch::ALL.map(|prefetch| (way, prefetch))) {
                let mut y = [0f32; 3];
                let head = head.tuned(way, prefetch).expect("runs here");
                head.gemv(&mut team, &x, &mut HeadInput::new(k), &mut y).expect("lengths agree");
                for (y, row) in y.into_iter().zip(rows.chunks(k)) {
                    let terms = row.iter().zip(&x).map(|(&w, &x)| half::f16::from_bits(w).to_f64() * f64::from(x));
                    let (sum, abs) = terms.fold((0.0, 0.0), |(s, a), t| (s + t, a + t.abs()));
                    assert!((f64::from(y) - sum).abs() <= 1e-6 * abs, "{} k={k}: {y} against {sum}", way.id);
                }
                if way.id != "f16-scalar" {
                    assert_eq!(*vectors.get_or_insert(bits(&y)), bits(&y), "{} k={k}", way.id);
                }
            }
        }
        assert!(gemv(&mut Team::single(), &[0; 5], 1, &mut [0.0; 4], |_, _| {}).is_err());
    }
}
