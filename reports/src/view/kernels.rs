//! The kernels: what each is, where its source and documentation are, how it was checked, and why it did not run if it
//! did not.

use super::anchors;
use crate::query;
use receipt::{Family, KernelRecord, Receipt, VerifyRecord};
use serde::Serialize;

/// One family's kernels.
#[derive(Debug, Serialize)]
pub struct FamilyKernels {
    title: String,
    anchor: String,
    rows: Vec<KernelRow>,
}

#[derive(Debug, Serialize)]
struct KernelRow {
    anchor: String,
    id: String,
    summary: String,
    builds_on: Option<String>,
    packing: String,
    bits: String,
    ran: bool,
    reason: Option<String>,
    checked: Option<Checked>,
    source: String,
    source_url: Option<String>,
}

#[derive(Debug, Serialize)]
struct Checked {
    cases: usize,
    mismatches: usize,
    max_abs: String,
    max_relative: String,
    bound: String,
    first_mismatch: Option<String>,
}

/// The registered kernels of each family.
pub fn families(receipt: &Receipt) -> Vec<FamilyKernels> {
    let families = Family::ALL.into_iter().map(|family| FamilyKernels {
        title: query::family_title(family).into(),
        anchor: format!("kernels-{}", anchors::slug(family.name())),
        rows: receipt.kernels.iter().filter(|k| k.family == family).map(|k| row(receipt, k)).collect(),
    });
    families.filter(|f| !f.rows.is_empty()).collect()
}

fn row(receipt: &Receipt, kernel: &KernelRecord) -> KernelRow {
    let verify = receipt.verify.iter().find(|v| v.id == kernel.id && v.available);
    let wrong = verify.filter(|v| v.mismatches > 0);
    let source = source(kernel.family, &kernel.id);
    KernelRow {
        anchor: anchors::kernel(&kernel.id),
        id: kernel.id.clone(),
        summary: kernel.summary.clone(),
        builds_on: kernel.builds_on.clone(),
        packing: kernel.packing.clone(),
        bits: format!("{:.3}", kernel.bits_per_weight),
        ran: kernel.available && wrong.is_none(),
        reason: match (wrong, kernel.available) {
            (Some(v), _) => Some(format!("failed {} of {} cases: a wrong kernel is not timed", v.mismatches, v.cases)),
            (None, false) => Some(kernel.reason.clone().unwrap_or_else(|| "no reason recorded".into())),
            (None, true) => None,
        },
        checked: verify.map(checked),
        source_url: url(receipt, &source),
        source,
    }
}

fn checked(v: &VerifyRecord) -> Checked {
    Checked {
        cases: v.cases,
        mismatches: v.mismatches,
        max_abs: scientific(v.max_abs_error),
        max_relative: scientific(v.max_relative_error),
        bound: if v.bound == 0.0 { "exact".into() } else { scientific(v.bound) },
        first_mismatch: v.first_mismatch.clone(),
    }
}

/// The file of a kernel: each family has a folder, and an id is the file's name with dashes.
pub fn source(family: Family, id: &str) -> String {
    format!("kernels/src/{}/{}.rs", family.name().to_lowercase(), id.replace('-', "_"))
}

/// Where the file can be read as it was built. Nothing but a published place and plain names become a link.
fn url(receipt: &Receipt, source: &str) -> Option<String> {
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:".contains(c));
    let repository = receipt.build.repository.as_deref()?.trim_end_matches('/');
    let commit = receipt.build.git_commit.as_deref()?;
    let known = repository.starts_with("https://") && [repository, commit, source].into_iter().all(plain);
    known.then(|| format!("{repository}/blob/{commit}/{source}"))
}

fn scientific(x: f64) -> String {
    match x {
        0.0 => "0".into(),
        x if x.is_finite() => format!("{x:.1e}"),
        _ => "not finite".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_wrong_kernel_is_marked_like_an_absent_one() {
        let mut receipt = fixture::complete();
        receipt.verify[1].mismatches = 3;
        let rows: Vec<KernelRow> = families(&receipt).into_iter().flat_map(|f| f.rows).collect();
        let absent: Vec<&str> = rows.iter().filter(|k| !k.ran).map(|k| k.id.as_str()).collect();
        assert_eq!(absent, ["avx2-foundation", "avx512-vnni"]);
        assert!(rows[1].reason.as_deref().is_some_and(|r| r.starts_with("failed 3 of 299")));
        assert_eq!(rows.len(), receipt.kernels.len());
    }

    #[test]
    fn a_link_needs_a_published_place_and_plain_names() {
        let mut receipt = fixture::empty();
        assert_eq!(url(&receipt, "kernels/src/w2a32/scalar.rs"), None);
        receipt.build.repository = Some("https://forge.example/o/tritbench/".into());
        let commit = receipt.build.git_commit.clone().expect("there");
        let expected = format!("https://forge.example/o/tritbench/blob/{commit}/kernels/src/w2a32/scalar.rs");
        assert_eq!(url(&receipt, "kernels/src/w2a32/scalar.rs"), Some(expected));
        receipt.build.repository = Some("javascript:alert(1)".into());
        assert_eq!(url(&receipt, "kernels/src/w2a32/scalar.rs"), None);
        receipt.build.repository = Some("https://x/\" onclick=\"y".into());
        assert_eq!(url(&receipt, "kernels/src/w2a32/scalar.rs"), None);
    }
}
