//! The result of a run in a terminal: the verdict first, then who is faster, and by how much against how much noise.
//! Made for 80 columns, and for fewer.

pub mod layout;
mod side_by_side;
mod tables;

pub use layout::{Look, wrapped};
pub use side_by_side::{comparison, index};

use super::query;
use super::view::{claims_summary, lut_sentence};
use super::{caveats, first_sentence, verdict};
use layout::printable;
use receipt::figures;
use receipt::judge::{coverage, medians};
use receipt::{Family, GenerationKernel, LutFinding, Receipt};

/// The page's first sentence, then the one table that matters. With `look.full` every table, shares of bounds
/// included.
pub fn summary(receipt: &Receipt, look: Look) -> String {
    let mut out = vec![wrapped(&first_sentence(receipt), look.width)];
    let open = caveats(receipt);
    if !open.is_empty() {
        out.push(wrapped(&open.join(" "), look.width));
    }
    let matters = if look.full { None } else { tables::products(receipt, look) };
    let is_short = matters.is_some();
    if !is_short {
        out.extend(figures_of(receipt, look));
    }
    out.extend(receipt.gate.as_ref().and_then(|g| tables::gate(g, look)));
    if is_short && let Some(sentence) = verdict::whole_text(receipt) {
        out.push(wrapped(&sentence, look.width));
    }
    out.extend(matters);
    for family in Family::ALL.into_iter().filter(|_| !is_short) {
        if let Some(table) = tables::stages(receipt, family, look) {
            let title = format!("{}: speed-up over the first row", query::family_title(family));
            out.push(format!("{}\n{table}", wrapped(&title, look.width)));
        }
    }
    for family in Family::ALL.into_iter().filter(|_| look.full) {
        if let Some(table) = tables::bounds(receipt, family, look) {
            let title = format!("{family}: share of the bound (m: memory, c: compute)");
            out.push(format!("{}\n{table}", wrapped(&title, look.width)));
        }
    }
    for family in Family::ALL.into_iter().filter(|_| look.full) {
        if let Some(table) = tables::comparisons(receipt, family, look) {
            let title = format!("{family}: every comparison, and the smallest difference that counts in it");
            out.push(format!("{}\n{table}", wrapped(&title, look.width)));
        }
    }
    for family in Family::ALL.into_iter().filter(|_| !is_short) {
        if let Some(table) = tables::generation(receipt, family, look) {
            out.push(table);
        }
    }
    let notes: Vec<String> = notes(receipt, look).iter().map(|n| wrapped(n, look.width)).collect();
    if !notes.is_empty() {
        // What is short stands together.
        out.push(notes.join(if look.full { "\n\n" } else { "\n" }));
    }
    out.join("\n\n") + "\n"
}

/// Label, figure and kernel of the page's statements, aligned.
fn figures_of(receipt: &Receipt, look: Look) -> Option<String> {
    let lines: Vec<[String; 3]> = verdict::statements(receipt)
        .into_iter()
        .map(|s| [s.label.to_string(), s.figure, s.subject].map(|t| printable(&t)))
        .collect();
    let wide = |i: usize, most: usize| lines.iter().map(|l| l[i].chars().count()).max().unwrap_or(0).min(most);
    let (labels, figures) = (wide(0, 35), wide(1, 16));
    let line = |[label, figure, subject]: &[String; 3]| {
        let rest = look.width.saturating_sub(labels + figures + 4);
        if rest < 12 {
            return wrapped(&format!("{label}: {figure} {subject}"), look.width);
        }
        let (label, figure) = (figures::label(label, labels), figures::label(figure, figures));
        format!("{label:labels$}  {figure:>figures$}  {}", figures::label(subject, rest)).trim_end().to_string()
    };
    (!lines.is_empty()).then(|| lines.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// What stands under the tables.
fn notes(receipt: &Receipt, look: Look) -> Vec<String> {
    let generated: Vec<&GenerationKernel> = receipt.generation.iter().flat_map(|g| &g.kernels).collect();
    let left_out = receipt.gate.iter().flat_map(coverage::by_gravity);
    let mut out: Vec<String> = left_out.map(coverage::in_words).collect();
    if !look.full {
        out.extend(answers(&generated));
    }
    for sparse in generated.iter().filter(|k| k.sparse_ffn.is_some()) {
        let Some(ratio) = &sparse.decode_vs_baseline else { continue };
        let figure = figures::ratio_with_interval(ratio);
        out.push(if look.full && medians::is_paired(sparse) {
            format!(
                "{} took turns with {} alone: {}, {figure} as fast. Only this ratio counts; its tokens/s come from \
                 warmer caches than the other rows'.",
                sparse.kernel,
                ratio.partner,
                ratio.direction().word()
            )
        } else {
            let word = ratio.direction().word();
            format!("{} against {} alone: {word}, {figure} as fast.", sparse.kernel, ratio.partner)
        });
    }
    if look.full {
        let paired = receipt.generation.as_ref().and_then(query::blocks_in_words);
        out.extend(paired.map(|words| format!("End to end: {words}.")));
    }
    if let Some(lut) = receipt.perplexity.as_ref().and_then(|p| p.lut.as_ref()) {
        out.push(if look.full { lut_sentence(lut) } else { lut_in_short(lut) });
    }
    // One kernel's question is not the analysis's.
    if receipt.generation.is_some() && receipt.micro.iter().any(|c| !c.rounds.is_empty()) {
        let judged = receipt::judge::claims::judge_all(crate::seed::claims(), receipt);
        out.push(format!("Of the analysis's {} (`list claims --run`).", claims_summary(&judged)));
    }
    out.extend(noise(receipt));
    out
}

/// Whether all kernels gave the tokens that they must.
fn answers(generated: &[&GenerationKernel]) -> Option<String> {
    let goldens = generated.iter().flat_map(|k| &k.goldens);
    let (passed, all) = (goldens.clone().filter(|g| g.passed).count(), goldens.count());
    let differ: Vec<&str> = generated.iter().filter(|k| !k.ids_equal_baseline).map(|k| k.kernel.as_str()).collect();
    if generated.is_empty() {
        return None;
    }
    let ids = match &differ[..] {
        [] => "Token ids agree within each family".into(),
        some => format!("Token ids differ from the first row's for {}", some.join(", ")),
    };
    let known = if all == 0 { String::new() } else { format!("; {passed} of {all} known answers") };
    Some(format!("{ids}{known}."))
}

fn lut_in_short(lut: &LutFinding) -> String {
    let seed = lut.seed_perplexity.map_or_else(|| "not finite".into(), figures::number);
    format!(
        "Perplexity {}; with the seed's code table {:?} it is {seed}.",
        figures::number(lut.file_perplexity),
        lut.seed_lut
    )
}

/// What the signs mean, and how small a difference counts.
pub fn noise(receipt: &Receipt) -> Option<String> {
    let range = query::percent_range(query::threshold_range(receipt)?);
    Some(format!("{}; smallest difference that counts here: {range}, by cell", figures::SIGNS))
}

#[cfg(test)]
mod tests;
