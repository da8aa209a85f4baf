//! Perplexity: what a kernel makes of a text that it did not write, and what the analysis's code table does to it.

use super::{anchors, of_family};
use crate::document::{Cell, Column, Row, Section, Table, Value};
use receipt::{Family, LutFinding, PerplexityRecord, Receipt, figures};

/// The section on perplexity; where nothing was scored it says what is not shown by that.
pub fn section(receipt: &Receipt) -> Section {
    let section = Section::new("perplexity", "Perplexity");
    let Some(p) = &receipt.perplexity else {
        return section.say(
            "Perplexity was not measured in this run: a fast kernel here is not thereby shown to be a right one, \
             beyond the checks below.",
        );
    };
    let mut section = section;
    if let Some(lut) = &p.lut {
        section = section.say(format!("{} (Both read with {}.)", lut_sentence(lut), lut.kernel));
    }
    if let Some(e) = &receipt.head_effect {
        section = section.say(format!("Output head {}: {}.", e.head, e.says()));
    }
    let families = Family::ALL.map(Some).into_iter().chain([None]);
    let (tokens, hash) = (figures::integer(p.tokens as u64), figures::short_hash(&p.text_sha256));
    let setup = format!(
        "{tokens} tokens of {}, windows of {}, each from an empty cache, activations with {} (text {hash}).",
        p.text,
        p.window,
        p.activations.in_words()
    );
    section
        .note(setup)
        .tables(p.lut.as_ref().map(tables))
        .tables(families.filter_map(|family| kernels(receipt, p, family)))
}

fn tables(lut: &LutFinding) -> Table {
    let columns = vec![Column::words("Codes 0–3 read as"), Column::number("Perplexity")];
    let row = |id: &str, words: String, value: Value| Row::new(id, vec![words.into(), value.into()]);
    let seed = lut.seed_perplexity.map_or(Value::Absent("not finite"), Value::Number);
    Table::new("lut", "Perplexity by code table", columns).rows([
        row("lut-file", format!("the file's table {:?}", lut.file_lut), Value::Number(lut.file_perplexity)),
        row("lut-seed", format!("the analysis's table {:?}", lut.seed_lut), seed),
        row("lut-none", "guessing every token alike".into(), Value::Number(lut.uniform_perplexity)),
    ])
}

/// One table a family; a kernel that the receipt does not list has one without a family.
fn kernels(receipt: &Receipt, p: &PerplexityRecord, wanted: Option<Family>) -> Option<Table> {
    let family = |kernel: &str| receipt.kernels.iter().find(|r| r.id == kernel).map(|r| r.family);
    // More digits than elsewhere: perplexities that agree should be seen to agree.
    let rows = p.kernels.iter().filter(|k| family(&k.kernel) == wanted).map(|k| {
        let figures = [Value::Decimals(k.nats_per_token, 5), Value::Decimals(k.perplexity, 4)].map(Cell::from);
        let cells = [Cell::from(k.kernel.as_str())].into_iter().chain(figures).collect();
        Row::new(format!("perplexity-of-{}", anchors::slug(&k.kernel)), cells)
    });
    let columns = vec![Column::words("Kernel"), Column::number("Nats per token"), Column::number("Perplexity")];
    let table = match wanted {
        Some(family) => of_family("perplexity", family, columns),
        None => Table::new("perplexity-other", "other", columns),
    };
    let table = table.rows(rows);
    (!table.rows.is_empty()).then_some(table)
}

/// What the analysis's code table does to perplexity, in one sentence.
pub fn lut_sentence(l: &LutFinding) -> String {
    let (file, uniform) = (figures::number(l.file_perplexity), figures::number(l.uniform_perplexity));
    let judged = match l.seed_perplexity {
        None => "the logits are not even finite".to_string(),
        Some(p) if p >= l.uniform_perplexity => {
            format!("it is {}, worse than guessing every token with equal probability ({uniform})", figures::number(p))
        }
        Some(p) if p > l.file_perplexity * 1.01 => format!("it is {} (guessing: {uniform})", figures::number(p)),
        Some(p) => format!("it is {}, no worse", figures::number(p)),
    };
    format!(
        "With the file's code table {:?} perplexity is {file}; with the seed's {:?}, {judged}.",
        l.file_lut, l.seed_lut
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_lut_sentence_covers_every_outcome() {
        let mut l = fixture::complete().perplexity.unwrap().lut.unwrap();
        let cases = [
            (Some(l.uniform_perplexity), "worse than guessing every token"),
            (None, "the logits are not even finite."),
            (Some(l.file_perplexity * 1.5), "(guessing: "),
            (Some(l.file_perplexity), "no worse."),
        ];
        for (seed, words) in cases {
            l.seed_perplexity = seed;
            assert!(lut_sentence(&l).contains(words), "{}", lut_sentence(&l));
        }
    }
}
