//! The f16 head: rows as the file has them, so that end-to-end differences are the ternary kernel's alone.

use crate::cpu::Level;
use crate::error::{KernelError, same};
use crate::parallel::Team;

/// `y = rows * x`, rows shared among the team. `rows` holds `y.len() * x.len()` f16 bit patterns, row after row. The
/// AVX-512 and the F16C path give the same bits.
///
/// # Errors
/// A wrong length.
pub(super) fn gemv(level: Level, team: &mut Team, rows: &[u16], x: &[f32], y: &mut [f32]) -> Result<(), KernelError> {
    let k = x.len();
    same("f16 rows", y.len().saturating_mul(k), rows.len())?;
    if k == 0 {
        y.fill(0.0);
        return Ok(());
    }
    team.split_rows(1, y, |range, y| {
        let rows = &rows[range.start * k..range.end * k];
        match level {
            Level::Portable => scalar(rows, x, y),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Level::select` found AVX2, FMA and F16C on this CPU.
            Level::Avx2 => unsafe { crate::x86_64::f16c_head::gemv(rows, x, y) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Level::select` found AVX-512 F and DQ too.
            Level::Avx512 | Level::Avx512Vnni => unsafe { crate::x86_64::head_f16_avx512::gemv(rows, x, y) },
        }
        Ok(())
    })
}

/// Eight partial sums a row, so that chains stay short and the compiler may use what vectors the target has.
fn scalar(rows: &[u16], x: &[f32], y: &mut [f32]) {
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
    use crate::testing::{bits, f16, feature_sets};

    #[test]
    fn all_paths_agree_with_f64() {
        for k in [1, 7, 8, 33, 59, 512, 2560] {
            let rows: Vec<u16> = (0..3 * k).map(|i| f16(((i * 37 % 101) as f32 - 50.0) / 64.0)).collect();
            let x: Vec<f32> = (0..k).map(|i| ((i * 17 % 29) as f32 - 14.0) / 7.0).collect();
            let mut vectors = None;
            for level in feature_sets().into_iter().map(Level::select) {
                let mut y = [0f32; 3];
                gemv(level, &mut Team::single(), &rows, &x, &mut y).expect("lengths agree");
                for (y, row) in y.into_iter().zip(rows.chunks(k)) {
                    let terms = row.iter().zip(&x).map(|(&w, &x)| half::f16::from_bits(w).to_f64() * f64::from(x));
                    let (sum, abs) = terms.fold((0.0, 0.0), |(s, a), t| (s + t, a + t.abs()));
                    assert!((f64::from(y) - sum).abs() <= 1e-6 * abs, "{level:?} k={k}: {y} against {sum}");
                }
                if level != Level::Portable {
                    assert_eq!(*vectors.get_or_insert(bits(&y)), bits(&y), "{level:?} k={k}");
                }
            }
        }
        assert!(gemv(Level::Portable, &mut Team::single(), &[0; 5], &[1.0], &mut [0.0; 4]).is_err());
    }
}
