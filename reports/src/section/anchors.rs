//! Names of places on the page, and which of them shows what a JSON pointer into the receipt points at.

use receipt::Receipt;

/// `text` as part of an id: a receipt's free text must not end an attribute or a selector.
pub fn slug(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// Id of a kernel's row in the table of kernels: `kernel-avx2-i8`.
pub fn kernel(id: &str) -> String {
    format!("kernel-{}", slug(id))
}

/// Id of a kernel's row in the table of kernels, for links; none for a kernel that the receipt does not list.
pub fn source(receipt: &Receipt, id: &str) -> Option<String> {
    receipt.kernels.iter().any(|k| k.id == id).then(|| kernel(id))
}

/// Id of a kernel's row in the table of kernels of libraries: `library-mine`.
pub fn library(id: &str) -> String {
    format!("library-{}", slug(id))
}

/// Id of a kernel's row in the table of instruction counts: `count-avx2-i8`.
pub fn count(id: &str) -> String {
    format!("count-{}", slug(id))
}

/// Id of the row of a measurement, by indices of cell and entry: `m-0-2`.
pub fn measurement(cell: usize, entry: usize) -> String {
    format!("m-{cell}-{entry}")
}

/// Id of the raw rounds of a cell, by its index: `cell-0`.
pub fn cell(cell: usize) -> String {
    format!("cell-{cell}")
}

/// Id of the raw rounds of one entry of a cell, by their indices: `rounds-0-2`.
pub fn rounds(cell: usize, entry: usize) -> String {
    format!("rounds-{cell}-{entry}")
}

/// Id of the row of a claim, by its place in the file: `claim-1` for the first.
pub fn claim(index: usize) -> String {
    format!("claim-{}", index + 1)
}

/// Id of a row of the generation tables, by the index of the kernel: `generated-0`.
pub fn generated(index: usize) -> String {
    format!("generated-{index}")
}

/// Id of the part of the page that shows what a JSON pointer points at, if the page has it. Built from known words and
/// checked numbers only.
pub fn of_pointer(receipt: &Receipt, pointer: &str) -> Option<String> {
    let mut parts = pointer.split('/').skip(1);
    let part = parts.next()?;
    let mut number = |limit: usize| parts.next().and_then(|i| i.parse::<usize>().ok()).filter(|i| *i < limit);
    match part {
        "micro" => {
            let Some(index) = number(receipt.micro.len()) else {
                return (!receipt.micro.is_empty()).then(|| "measurements".into());
            };
            let entries = &receipt.micro[index].entries;
            let of_entry = matches!(parts.next(), Some("summaries" | "entries"));
            let entry = parts.next().and_then(|i| i.parse::<usize>().ok()).filter(|i| of_entry && *i < entries.len());
            let shown = entry.filter(|i| !entries[*i].self_pair && !receipt.micro[index].rounds.is_empty());
            Some(shown.map_or_else(|| cell(index), |i| measurement(index, i)))
        }
        "generation" => {
            let kernels = receipt.generation.as_ref().map(|g| g.kernels.len()).filter(|n| *n > 0)?;
            let row = (parts.next() == Some("kernels")).then(|| parts.next()?.parse::<usize>().ok()).flatten();
            Some(row.filter(|i| *i < kernels).map_or_else(|| "generation".into(), generated))
        }
        "verify" => {
            Some(number(receipt.verify.len()).map_or_else(|| "verify".into(), |i| kernel(&receipt.verify[i].id)))
        }
        "kernels" => match number(receipt.kernels.len()) {
            Some(i) => Some(kernel(&receipt.kernels[i].id)),
            None => (!receipt.kernels.is_empty()).then(|| "verify".into()),
        },
        "counts" => match number(receipt.counts.len()) {
            Some(i) => Some(count(&receipt.counts[i].kernel)),
            None => (!receipt.counts.is_empty() || receipt.counts_skipped.is_some()).then(|| "counts".into()),
        },
        "perplexity" => receipt.perplexity.as_ref().map(|_| "perplexity".into()),
        "activation_rules" => receipt.activation_rules.as_ref().map(|_| "activation-rules".into()),
        "engines" => receipt.engines.as_ref().map(|_| "engines".into()),
        "head_effect" => receipt.head_effect.as_ref().map(|_| "head-effect".into()),
        "limits" => receipt.limits.as_ref().map(|_| "limits".into()),
        "model" => receipt.model.as_ref().map(|_| "model".into()),
        "gate" => receipt.gate.as_ref().map(|_| "gate".into()),
        "host" | "build" => Some(part.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn evidence_links_lead_to_known_places_only() {
        let receipt = fixture::complete();
        let at = |p: &str| of_pointer(&receipt, p);
        assert_eq!(at("/micro/3/summaries/1").as_deref(), Some("m-3-1"));
        assert_eq!(at("/micro/3/summaries/99").as_deref(), Some("cell-3"));
        assert_eq!(at("/micro/3").as_deref(), Some("cell-3"));
        assert_eq!(at("/micro/9999").as_deref(), Some("measurements"));
        assert_eq!(at("/perplexity/lut").as_deref(), Some("perplexity"));
        assert_eq!(at("/generation/kernels/1/sparse_ffn").as_deref(), Some("generated-1"));
        assert_eq!(at("/counts/0").as_deref(), Some("count-avx2-nibble"));
        assert_eq!(at("/head_effect"), None);
        assert_eq!(at("/\"onclick=x"), None);
        assert_eq!(at("generation"), None);
    }

    #[test]
    fn an_id_keeps_no_free_text() {
        assert_eq!(kernel("avx512-vnni+sparse"), "kernel-avx512-vnni-sparse");
        assert_eq!(slug("a\" onclick=\"x"), "a--onclick--x");
    }
}
