//! The human form of an inspection.

use comfy_table::{CellAlignment, Table, presets};

use super::rows::{Check, Fact, Inspection, TensorRow, Totals};
use crate::keys::Use;

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
    /// The inspection as text for people: facts, metadata, tensors, checks, notes.
    pub fn to_text(&self) -> String {
        let (version, alignment) = (self.gguf_version, self.alignment);
        let file = format!("  {} bytes, GGUF v{version}, alignment {alignment}", self.bytes);
        let mut lines = vec![self.path.clone(), file, format!("  sha256 {}", self.sha256)];
        if self.synthetic {
            lines.push("  SYNTHETIC: random weights; its text and perplexity mean nothing".into());
        }
        let mut keys = table(&["key", "type", "value", "use"], &[]);
        for row in &self.metadata {
            let usage = match &row.judged {
                Some(Use::Used) => "used".to_string(),
                Some(Use::Harmless(why)) => format!("harmless: {why}"),
                // The reason is an error of its own, and long.
                Some(Use::Refused(_)) => "refused".to_string(),
                None => "?".to_string(),
            };
            keys.add_row([clean(&row.key), row.kind.clone(), clean(&row.value), usage]);
        }
        lines.push(format!("\n{keys}"));
        lines.extend(self.assumed.iter().map(|assumed| clean(assumed)));
        lines.push("\nhow it is read, and what says so".to_owned());
        for Fact { what, value, evidence } in &self.facts {
            let evidence = if evidence.is_empty() { String::new() } else { format!(" ({})", clean(evidence)) };
            lines.push(format!("  {what:<13} {}{evidence}", clean(value)));
        }
        lines.push(format!("\n{}\n", self.tensor_table()));
        let Totals { bytes_by_type, parameters, ternary_weights, .. } = &self.totals;
        lines.extend(bytes_by_type.iter().map(|(kind, bytes)| format!("{kind:>8} {bytes:>14} bytes")));
        lines.push(format!("{parameters} parameters, {ternary_weights} of them ternary"));
        let outcome = |c: &Check| format!("{} {}: {}", if c.ok { "ok    " } else { "FAILED" }, c.name, c.detail);
        lines.extend(self.checks.iter().map(outcome));
        lines.extend(self.traps.iter().map(|t| format!("trap   {}: {}", t.trap, clean(&t.evidence))));
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        if let Some(known) = &self.known {
            lines.push(format!("known model: {} ({})", known.name, known.source));
            lines.extend(known.notes.iter().map(|note| format!("  - {note}")));
        }
        lines.join("\n") + "\n"
    }

    fn tensor_table(&self) -> Table {
        let mut rows =
            table(&["tensor", "type", "dims", "bytes", "offset", "scale", "-1 / 0 / +1 %", "code 3"], &[3, 4, 5, 7]);
        for TensorRow { info: t, ternary } in &self.tensors {
            let dims = t.dims.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ");
            let bytes = t.n_bytes.map_or("?".to_string(), |b| b.to_string());
            let (mut scale, mut shares, mut invalid) = (String::new(), String::new(), String::new());
            if let Some(x) = ternary {
                scale = match (x.scale, x.scales) {
                    (Some(scale), _) => format!("{scale:.6}"),
                    (None, Some([least, most])) => format!("{least:.6} to {most:.6}"),
                    (None, None) => "not finite".to_string(),
                };
                shares = format!("{:.1} / {:.1} / {:.1}", x.minus * 100.0, x.zero * 100.0, x.plus * 100.0);
                invalid = (x.invalid_codes + x.plus_two_codes).to_string();
            }
            let (name, kind, offset) = (clean(&t.name), t.kind.name.to_string(), t.offset.to_string());
            rows.add_row([name, kind, dims, bytes, offset, scale, shares, invalid]);
        }
        rows
    }
}
