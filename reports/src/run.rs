//! One run: its page as a list of sections, and the same in a terminal and in Markdown.

use crate::answer::{answer, caveats, opening, whole_text};
use crate::document::terminal::{self, Look};
use crate::document::{self, Item, Page, Section, Tone};
use crate::markdown::{escape, with_fold};
use crate::section::{
    about, amdahl, beside, cards, checks, claims, counts, engines, explained, field_claims, findings, gate, generation,
    kernels, limits, measurements, method, others, perplexity, products, rounds, rules, stages,
};
use crate::words::count;
use crate::{chart, gate_words, query, seed};
use receipt::judge::claims::{Judged, judge_all};
use receipt::judge::coverage;
use receipt::{GenerationKernel, Outcome, Receipt, Result, Status, figures};

/// A file to write: its name below a run's folder, with `/` between folders, and what is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Name of the file below a run's folder: `charts/phases.svg`.
    pub name: String,
    /// The bytes of the file.
    pub bytes: Vec<u8>,
}

/// The files that show a run: `measurements.csv`, `charts/*.svg` and `report.html`.
///
/// The page is last, so that one that exists has everything it links to.
///
/// # Errors
/// Only what the CSV writer itself reports.
pub fn run_documents(receipt: &Receipt) -> Result<Vec<Document>> {
    let page = page(receipt);
    let document = |name: &str, bytes: Vec<u8>| Document { name: name.into(), bytes };
    let mut documents = vec![document("measurements.csv", crate::csv::measurements(receipt)?)];
    documents.extend(page.charts().map(|c| document(&format!("charts/{}", c.file), c.svg.clone().into())));
    documents.push(document("report.html", document::html(&page).into_bytes()));
    Ok(documents)
}

/// The page of a run: the answer, two pictures, what to know, and why.
pub fn page(receipt: &Receipt) -> Page {
    page_with(receipt, &judge_all(seed::claims(), receipt))
}

/// The page, with the analysis's claims as this run judges them.
fn page_with(receipt: &Receipt, judged: &[Judged]) -> Page {
    let findings = findings::findings(receipt, judged);
    let (answer, opening) = (answer(receipt), opening(receipt));
    let is_gate = receipt.gate.is_some();
    let timed = receipt.micro.iter().any(|c| !c.rounds.is_empty());
    // A gate, or a run about rules of activations or engines, has none of these unless it says otherwise: that they
    // are missing is no news.
    let other = is_gate || receipt.activation_rules.is_some() || receipt.engines.is_some();
    let unless_other = |has: bool, section: Section| (has || !other).then_some(section);
    let sections = [
        gate::section(receipt),
        findings::section(&findings),
        products::section(receipt),
        others::section(receipt),
        unless_other(timed, stages::section(receipt)),
        explained::section(receipt, judged),
        limits::section(receipt),
        unless_other(receipt.generation.is_some(), generation::section(receipt)),
        beside::section(receipt),
        amdahl::section(receipt),
        unless_other(receipt.perplexity.is_some(), perplexity::section(receipt)),
        rules::section(receipt),
        engines::section(receipt),
        unless_other(timed, measurements::section(receipt)),
        rounds::section(receipt),
        counts::section(receipt),
        claims::section(receipt, judged),
        receipt.engines.is_some().then(field_claims::section),
        kernels::section(receipt),
        Some(about::section(receipt)),
        Some(method::section(receipt)),
    ];
    let kind = if is_gate { "gate" } else { "report" };
    let mut tags = Vec::new();
    tags.extend(receipt.scenario.quick.then_some(("quick", Tone::Plain)));
    tags.extend((receipt.status != Status::Complete).then_some(("not complete", Tone::Bad)));
    let mut about = vec![receipt.measured_on(), about::to_the_minute(&receipt.timestamp)];
    about.extend((opening != answer).then_some(opening));
    Page {
        title: format!("{} on {}", receipt.scenario.name, receipt.measured_on()),
        kind: format!("tritbench {kind} · scenario {}", receipt.scenario.name),
        tags,
        answer,
        caveats: caveats(receipt),
        about: about.join(" · "),
        pictures: chart::first(receipt),
        cards: cards::cards(receipt, &findings),
        warnings: about::warnings(receipt),
        sections: sections.into_iter().flatten().collect(),
    }
}

/// A run in a terminal: the answer, then the one table that matters; with `look.full` every section.
pub fn summary(receipt: &Receipt, look: Look) -> String {
    let judged = judge_all(seed::claims(), receipt);
    let page = page_with(receipt, &judged);
    let mut out = terminal::opening(&page, look);
    if look.full {
        out.extend(page.sections.iter().filter(|s| s.id != "method").map(|s| terminal::section(s, look)));
    } else {
        out.extend(whole_text(receipt).map(|sentence| terminal::wrapped(&sentence, look.width)));
        out.extend(tables_that_matter(&page).iter().map(|table| terminal::titled(table, look)));
    }
    let notes = notes(receipt, &judged);
    if !notes.is_empty() {
        out.push(terminal::list(&notes, look));
    }
    out.join("\n\n") + "\n"
}

/// Of a gate what does not pass; else the products, and the rules of activations and the engines where a run asked
/// about them.
fn tables_that_matter(page: &Page) -> Vec<document::Table> {
    let section = |id| -> Vec<&document::Table> {
        page.sections.iter().filter(|s| s.id == id).flat_map(Section::all_tables).collect()
    };
    // Of a gate's tables only those of comparisons: they have a family.
    let gated = section("gate").into_iter().filter(|table| !table.family.is_empty()).map(|table| {
        let open = table.rows.iter().filter(|row| row.cells[1].value.short() != "PASS");
        document::Table { rows: open.cloned().collect(), ..table.clone() }
    });
    gated
        .filter(|table| !table.rows.is_empty())
        .chain(section("products").into_iter().cloned())
        .chain(section("activation-rules").into_iter().cloned())
        .chain(section("engines").into_iter().cloned())
        .collect()
}

/// A run for a pull request comment or a job's page: the same answer and table; the rest is folded.
pub fn markdown(receipt: &Receipt) -> String {
    let judged = judge_all(seed::claims(), receipt);
    let page = page_with(receipt, &judged);
    let kind = match &receipt.gate {
        Some(gate) => format!("tritbench gate: {}", gate_words::outcome_word(gate.outcome)),
        None => format!("tritbench: {}", receipt.scenario.name),
    };
    let mut out = format!("### {}\n\n{}\n", escape(&kind), escape(&page.answer));
    let next = receipt
        .gate
        .as_ref()
        .filter(|gate| gate.outcome != Outcome::Pass)
        .map(|gate| format!("Next: {}.", gate.next_step));
    let caveats = (!page.caveats.is_empty()).then(|| page.caveats.join(" "));
    for text in [next, caveats, whole_text(receipt)].into_iter().flatten() {
        out += &format!("\n{}\n", escape(&text));
    }
    for table in tables_that_matter(&page) {
        out += &format!("\n**{}**\n\n{}", escape(&table.title), document::table(&table));
    }
    if receipt.gate.is_none() {
        out += &format!("\n{}\n", document::markdown(&checks::section(receipt)));
    }
    for note in notes(receipt, &judged) {
        out += &format!("\n- {}", escape(&note.words()));
    }
    out += "\n";
    let folded = page.sections.iter().filter(|s| {
        let shown = ["products", "activation-rules", "engines", "method", "findings", "claims", "rounds"];
        !shown.contains(&s.id.as_str())
    });
    folded.fold(out, |out, section| with_fold(out, &section.title, &document::markdown(section)))
}

/// What stands under the tables: what was left out, whether texts and perplexity are right, what the signs mean.
fn notes(receipt: &Receipt, judged: &[Judged]) -> Vec<Item> {
    let generated: Vec<&GenerationKernel> = receipt.generation.iter().flat_map(|g| &g.kernels).collect();
    let mut out = Vec::new();
    if let Some(gate) = &receipt.gate {
        out.extend(gate.inject.as_ref().map(gate_words::planted));
        out.extend(coverage::by_gravity(gate).into_iter().map(coverage::in_words));
        let passed = gate.cells.iter().filter(|c| c.verdict.outcome == Outcome::Pass).count();
        let (wrong, accepted) = gate_words::differing(gate);
        out.extend(wrong.iter().map(|check| gate_words::check(check)));
        out.extend(accepted.iter().map(|check| format!("accepted: {}", gate_words::check(check))));
        let agree = gate.checks.len() - wrong.len() - accepted.len();
        out.push(format!("{} pass; {} agree.", count(passed, "comparison"), count(agree, "exact check")));
        out.push(format!("{}.", gate_words::sides(gate)));
    }
    out.extend(answers(&generated));
    for (sparse, ratio) in
        generated.iter().filter_map(|k| k.sparse_ffn.as_ref().and(Some((k, k.decode_vs_baseline.as_ref()?))))
    {
        let figure = figures::ratio_with_interval(ratio);
        out.push(format!(
            "{} against {} alone: {}, {figure} as fast.",
            sparse.kernel,
            ratio.partner,
            ratio.direction().word()
        ));
    }
    out.extend(receipt.perplexity.as_ref().and_then(|p| p.lut.as_ref()).map(perplexity::lut_sentence));
    // Where nothing else was measured it is the answer.
    let rules = receipt.activation_rules.as_ref().and_then(receipt::judge::rules::sentence);
    let engines = receipt.engines.as_ref().and_then(receipt::judge::engines::headline);
    out.extend(rules.into_iter().chain(engines).filter(|sentence| !answer(receipt).contains(sentence)));
    // One kernel's question is not the analysis's.
    if receipt.generation.is_some() && receipt.micro.iter().any(|c| !c.rounds.is_empty()) {
        out.push(format!("Of the analysis's {} (`list claims --run`).", claims::summary(judged)));
    }
    out.extend(query::port_mixes(query::products(receipt).into_iter().map(|(_, cell)| cell)));
    out.extend(query::threshold_range(receipt).map(|range| {
        format!("{}; smallest difference that counts here: {}, by cell", figures::SIGNS, query::percent_range(range))
    }));
    out.into_iter().map(Item::text).collect()
}

/// Whether all kernels gave the tokens that they must.
fn answers(generated: &[&GenerationKernel]) -> Option<String> {
    generated.first()?;
    let goldens = generated.iter().flat_map(|k| &k.goldens);
    let (passed, all) = (goldens.clone().filter(|g| g.passed).count(), goldens.count());
    let differ: Vec<&str> = generated.iter().filter(|k| !k.ids_equal_baseline).map(|k| k.kernel.as_str()).collect();
    let ids = match &differ[..] {
        [] => "Token ids agree within each family".into(),
        some => format!("Token ids differ from the first row's for {}", some.join(", ")),
    };
    let known = if all == 0 { String::new() } else { format!("; {passed} of {all} known answers") };
    Some(format!("{ids}{known}."))
}
