//! The kernels: what each is, where its source and documentation are, how it was checked, and why it did not run if it
//! did not.

use super::{anchors, of_family};
use crate::document::{Cell, Column, Row, Section, Table, Tone, Value};
use receipt::{Family, KernelRecord, Receipt, RowStatus};

/// The section that lists the registered kernels of each family.
pub fn section(receipt: &Receipt) -> Option<Section> {
    let section = Section::new("verify", "Kernels and correctness");
    let checked = receipt.verify.iter().any(|v| v.available);
    let commit = receipt.build.git_commit.as_ref();
    let commit = commit.map_or_else(String::new, |c| format!("; the files are those of commit `{c}`"));
    let section = if checked {
        section.note(format!(
            "Every kernel against the oracle on random, adversarial and edge shapes, before any timing. A kernel's \
             source begins with its documentation: what it does, why nothing in it can overflow, and what its loop \
             was counted to execute{commit}."
        ))
    } else {
        section.say("No kernel had been checked when this receipt was written.")
    };
    section.tables(Family::ALL.into_iter().filter_map(|family| table(receipt, family))).if_any()
}

fn table(receipt: &Receipt, family: Family) -> Option<Table> {
    let mut columns: Vec<Column> = ["Kernel", "Ran here"].map(Column::words).into();
    columns.extend(["Cases", "Wrong", "Largest error", "Relative", "Bound"].map(Column::number));
    columns.extend([Column::words("Builds on"), Column::words("Packing"), Column::number("Bits a weight")]);
    columns.push(Column::words("Source and documentation"));
    let rows = receipt.kernels.iter().filter(|k| k.family == family).map(|k| row(receipt, k));
    let table = of_family("kernels", family, columns).rows(rows);
    (!table.rows.is_empty()).then_some(table)
}

fn row(receipt: &Receipt, kernel: &KernelRecord) -> Row {
    let verify = receipt.verify.iter().find(|v| v.id == kernel.id && v.available);
    let failed = verify.filter(|v| !v.row_status().is_ok());
    let ran = match (failed, kernel.available) {
        (Some(v), _) => {
            let why = match v.row_status() {
                RowStatus::Wrong if v.cases > 0 => {
                    format!("failed {} of {} cases: a wrong kernel is not timed", v.mismatches, v.cases)
                }
                status => format!("{status}: it is not timed"),
            };
            Cell::from(Value::word("no")).tone(Tone::Bad).under(why)
        }
        (None, false) => {
            let why = kernel.reason.clone().unwrap_or_else(|| "no reason recorded".into());
            Cell::from(Value::word("no")).tone(Tone::Bad).under(why)
        }
        (None, true) => Cell::from(Value::word("yes")).tone(Tone::Good),
    };
    let checked = verify.map_or_else(
        || vec![Cell::default(); 5],
        |v| {
            let wrong = match v.mismatches {
                0 => Value::Integer(0).into(),
                n => Cell::from(Value::word(n.to_string()))
                    .tone(Tone::Bad)
                    .under(v.first_mismatch.clone().unwrap_or_default()),
            };
            let bound = if v.bound == 0.0 { Value::Absent("exact") } else { Value::Small(v.bound) };
            let errors = [Value::Small(v.max_abs_error), Value::Small(v.max_relative_error), bound].map(Cell::from);
            [Value::Integer(v.cases as u64).into(), wrong].into_iter().chain(errors).collect()
        },
    );
    let source = match &kernel.foreign {
        Some(foreign) => foreign.library.as_str().into(),
        None => {
            let source = source(kernel.family, &kernel.id);
            let url = url(receipt, &source);
            Cell::from(Value::Code(source)).to(url)
        }
    };
    let bits = kernel.bits_per_weight;
    let bits = if bits.is_finite() { Value::Decimals(bits, 3) } else { Value::Nothing };
    let mut cells = vec![Cell::from(kernel.id.as_str()).under(kernel.summary.as_str()), ran];
    cells.extend(checked);
    cells.extend([
        Value::from(kernel.builds_on.as_deref()).into(),
        kernel.packing.as_str().into(),
        bits.into(),
        source,
    ]);
    Row::new(anchors::kernel(&kernel.id), cells)
}

/// Path of a kernel's source file: each family has a folder, and an id is the file's name with dashes.
pub fn source(family: Family, id: &str) -> String {
    // Those of a GPU share a list, which names their shaders.
    if id.starts_with("gpu-") {
        return "kernels/gpu/src/ladder.rs".into();
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_wrong_kernel_is_marked_like_an_absent_one() {
        let mut receipt = fixture::complete();
        receipt.verify[1].mismatches = 3;
        let section = section(&receipt).expect("kernels");
        let rows: Vec<&Row> = section.all_tables().into_iter().flat_map(|t| &t.rows).collect();
        let wrong = rows.iter().find(|r| r.cells[0].value.short() == receipt.verify[1].id).expect("a row");
        assert_eq!(wrong.cells[1].value.short(), "no");
        assert!(wrong.cells[1].sub[0].short().starts_with("failed 3 of "));
        let absent = receipt.kernels.iter().filter(|k| !k.available).count();
        assert_eq!(rows.iter().filter(|r| r.cells[1].value.short() == "no").count(), absent + 1);
        assert_eq!(rows.len(), receipt.kernels.len());
    }

    #[test]
    fn a_link_needs_a_published_place_and_plain_names() {
        let mut receipt = fixture::complete();
        let commit = receipt.build.git_commit.clone().expect("there");
        let expected = format!("https://forge.example/o/tritbench/blob/{commit}/kernels/src/w2a32/scalar.rs");
        let cases = [
            ("https://forge.example/o/tritbench/", Some(expected)),
            ("javascript:alert(1)", None),
            ("https://x/\" onclick=\"y", None),
        ];
        for (repository, link) in cases {
            receipt.build.repository = Some(repository.into());
            assert_eq!(url(&receipt, "kernels/src/w2a32/scalar.rs"), link, "{repository}");
        }
    }
}
