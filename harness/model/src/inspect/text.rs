//! The human form of an inspection.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use super::rows::Inspection;

fn table(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    // One line a row: a published model has hundreds of tensors, and people grep.
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().copied());
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// One untrusted value on one line of a terminal.
fn clean(text: &str) -> String {
    text.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

impl Inspection {
    /// The human form: facts, metadata, tensors, checks, notes.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail, so the results are dropped.
        let _ = writeln!(
            out,
            "{}\n  {} bytes, GGUF v{}, alignment {}",
            self.path, self.bytes, self.gguf_version, self.alignment
        );
        let _ = writeln!(out, "  sha256 {}", self.sha256);
        if self.synthetic {
            let _ = writeln!(out, "  SYNTHETIC: random weights; its text and perplexity mean nothing");
        }
        let mut keys = table(&["key", "type", "value", "use"], &[]);
        for row in &self.metadata {
            let usage = row.usage.unwrap_or("?");
            // The reason of a refusal is an error of its own, and long.
            let why = row.why.as_ref().filter(|_| usage == "harmless").map_or(String::new(), |why| format!(": {why}"));
            keys.add_row([clean(&row.key), row.kind.clone(), clean(&row.value), format!("{usage}{why}")]);
        }
        let _ = writeln!(out, "\n{keys}");
        for assumed in &self.assumed {
            let _ = writeln!(out, "{}", clean(assumed));
        }
        let _ = writeln!(out, "\n{}\n", self.tensor_table());
        for (kind, bytes) in &self.totals.bytes_by_type {
            let _ = writeln!(out, "{kind:>8} {bytes:>14} bytes");
        }
        let _ = writeln!(out, "{} parameters, {} of them ternary", self.totals.parameters, self.totals.ternary_weights);
        if let Some(t) = &self.tokenizer {
            let _ = writeln!(
                out,
                "tokenizer: {} tokens, pre-tokenizer {} (in the file: {})",
                t.vocab, t.pre, t.pre_in_file
            );
        }
        for c in &self.checks {
            let _ = writeln!(out, "{} {}: {}", if c.ok { "ok    " } else { "FAILED" }, c.name, c.detail);
        }
        for warning in &self.warnings {
            let _ = writeln!(out, "warning: {warning}");
        }
        if let Some(known) = &self.known {
            let _ = writeln!(out, "known model: {} ({})", known.name, known.source);
            for note in &known.notes {
                let _ = writeln!(out, "  - {note}");
            }
        }
        out
    }

    fn tensor_table(&self) -> Table {
        let mut rows =
            table(&["tensor", "type", "dims", "bytes", "offset", "scale", "-1 / 0 / +1 %", "code 3"], &[3, 4, 5, 7]);
        for t in &self.tensors {
            let dims = t.dims.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ");
            let bytes = t.bytes.map_or("?".to_string(), |b| b.to_string());
            let (mut scale, mut shares, mut invalid) = (String::new(), String::new(), String::new());
            if let Some(x) = &t.ternary {
                scale = x.scale.map_or("not finite".to_string(), |s| format!("{s:.6}"));
                shares = format!("{:.1} / {:.1} / {:.1}", x.minus * 100.0, x.zero * 100.0, x.plus * 100.0);
                invalid = x.invalid_codes.to_string();
            }
            rows.add_row([
                clean(&t.name),
                t.kind.to_string(),
                dims,
                bytes,
                t.offset.to_string(),
                scale,
                shares,
                invalid,
            ]);
        }
        rows
    }
}
