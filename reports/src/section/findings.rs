//! Findings in words. Those of the receipt come first; what a page can see of its figures beyond them follows, so that
//! old receipts have it as well. Each names the place on the page that shows it.

use super::anchors;
use super::claims::summary;
use crate::document::{Block, Item, Section};
use crate::{query, seed, words};
use receipt::judge::Direction;
use receipt::judge::claims::{Claim, Judged, Verdict};
use receipt::{Family, Lead, MicroCell, Ratio, Receipt, figures};

/// Items listed under one finding; the rest is counted.
const ITEMS: usize = 8;
/// Findings that are not folded away.
const SHOWN: usize = 5;
/// Those about how well this run could judge, not about kernels.
const OF_THE_RUN: [&str; 3] = ["finding-noise", "finding-unstable", "finding-absent"];

/// The section of findings: the first five, and a fold with the others.
pub fn section(findings: &[Item]) -> Option<Section> {
    let (first, rest) = findings.split_at(findings.len().min(SHOWN));
    let section = Section::new("findings", "Findings").with([Block::List(first.to_vec())]);
    let more = Section::new("more-findings", format!("{} more findings", rest.len())).folded("");
    let more = more.with([Block::List(rest.to_vec())]);
    (!first.is_empty()).then(|| section.with((!rest.is_empty()).then_some(Block::Section(more))))
}

/// The first findings about kernels, each with its first sentence.
pub fn worth_knowing(findings: &[Item]) -> impl Iterator<Item = Item> {
    let about_kernels = findings.iter().filter(|f| !OF_THE_RUN.contains(&f.id.as_str()));
    about_kernels.map(|f| {
        let first = f.text.split_inclusive(". ").next().unwrap_or_default().trim_end();
        Item { strong: f.strong.clone(), link: Some(f.id.clone()), ..Item::text(first) }
    })
}

/// All findings of a run, as lines of a list.
pub fn findings(receipt: &Receipt, judged: &[Judged]) -> Vec<Item> {
    // Made anew, so that an old receipt speaks with the words of today.
    let made = receipt::judge::findings::findings(receipt);
    let own =
        made.iter().enumerate().map(|(i, f)| finding(receipt, &(i + 1).to_string(), &f.title, &f.text, &f.evidence));
    let seen = [
        slower(receipt),
        crossovers(receipt),
        mixed_stages(receipt),
        unstable(receipt),
        noise(receipt),
        claims(receipt, judged),
        absent(receipt),
    ];
    own.chain(seen.into_iter().flatten()).collect()
}

/// With its evidence: a JSON pointer into the receipt, and the place on the page that shows it.
fn finding(receipt: &Receipt, id: &str, title: &str, text: &str, evidence: &str) -> Item {
    let place = anchors::of_pointer(receipt, evidence).map(|place| (format!("evidence {evidence}"), place));
    let strong = format!("{}.", title.trim_end_matches('.'));
    Item { id: format!("finding-{id}"), strong, links: place.into_iter().collect(), ..Item::text(text) }
}

fn with_items(id: &str, title: &str, text: String, mut items: Vec<Item>) -> Item {
    let more = items.len().saturating_sub(ITEMS);
    items.truncate(ITEMS);
    items.extend((more > 0).then(|| Item::text(format!("{more} more, in the tables below."))));
    Item { id: format!("finding-{id}"), strong: format!("{title}."), items, ..Item::text(text) }
}

/// A line under a finding, with the places that show it.
fn line(text: String, links: Vec<(String, String)>) -> Item {
    Item { links, ..Item::text(text) }
}

/// A measurement as a link.
fn row_link(cell: usize, entry: usize, c: &MicroCell) -> (String, String) {
    (query::cell_title(c), anchors::measurement(cell, entry))
}

/// Kernels that are slower than the stage they build on.
fn slower(receipt: &Receipt) -> Option<Item> {
    let slower = query::comparisons(receipt).filter(|(.., v)| v.direction() == Direction::Slower);
    let mut slower: Vec<_> = slower.collect();
    slower.sort_by(|a, b| b.2.change.total_cmp(&a.2.change));
    let items = slower.iter().map(|(cell, entry, v)| {
        let c = &receipt.micro[*cell];
        let text = format!("{}: {}", c.summaries[*entry].kernel, v.sentence(query::ROUND));
        line(text, vec![row_link(*cell, *entry, c)])
    });
    let items: Vec<Item> = items.collect();
    let text = format!(
        "{} slower than the kernel it builds on.",
        match items.len() {
            1 => "One comparison is".into(),
            n => format!("{n} comparisons are"),
        }
    );
    (!items.is_empty()).then(|| with_items("slower", "Slower than the kernel it builds on", text, items))
}

/// Pairs of kernels of which each leads somewhere, for sure, with the other next.
fn crossovers(receipt: &Receipt) -> Option<Item> {
    type Place<'r> = (usize, &'r MicroCell, &'r Lead);
    let led = usable(receipt).filter_map(|(i, c)| Some((i, c, c.lead.as_ref()?)));
    let led: Vec<Place<'_>> = led.filter(|(.., l)| l.over_next.direction() == Direction::Faster).collect();
    let kernel = |(_, c, l): &Place<'_>| c.summaries.get(l.fastest).map(|s| s.kernel.clone()).unwrap_or_default();
    let mut items = Vec::new();
    let mut told: Vec<[String; 2]> = Vec::new();
    for here in &led {
        let (a, b) = (kernel(here), here.2.over_next.partner.clone());
        let reversed = |there: &&Place<'_>| {
            here.1.family == there.1.family && kernel(there) == b && there.2.over_next.partner == a
        };
        let Some(there) = led.iter().find(reversed) else { continue };
        if told.iter().any(|pair| pair.contains(&a) && pair.contains(&b)) {
            continue;
        }
        let figure = |place: &Place<'_>| figures::ratio_with_interval(&place.2.over_next);
        let place = |place: &Place<'_>| query::cell_title(place.1);
        items.push(Item {
            text: format!(
                "{a} runs {} as fast as {b} for {}; {b} runs {} as fast as {a} for {}",
                figure(here),
                place(here),
                figure(there),
                place(there)
            ),
            links: [here, there].map(|(i, c, l)| row_link(*i, l.fastest, c)).into(),
            ..Item::default()
        });
        told.push([a, b]);
    }
    let text =
        "No kernel is the fastest everywhere: of each pair, one is faster at one place and the other at another.";
    (!items.is_empty()).then(|| with_items("crossovers", "Where the fastest kernel changes", text.into(), items))
}

/// Stages that pay in one place and cost in another.
fn mixed_stages(receipt: &Receipt) -> Option<Item> {
    let mut items = Vec::new();
    for family in Family::ALL {
        for kernel in query::kernel_ids(receipt, family) {
            let own = usable(receipt).filter(|(_, c)| c.family == family).filter_map(|(i, c)| {
                let (e, s) = query::kernels(c).find(|(_, s)| s.kernel == kernel)?;
                Some((i, e, c, s.vs_previous.as_ref()?))
            });
            let own: Vec<(usize, usize, &MicroCell, &Ratio)> = own.collect();
            let clear = |want: Direction| {
                let strength = |r: &Ratio| r.median.ln().abs();
                let found = own.iter().filter(|(.., r)| r.direction() == want);
                found.max_by(|x, y| strength(x.3).total_cmp(&strength(y.3)))
            };
            if let (Some(pays), Some(costs)) = (clear(Direction::Faster), clear(Direction::Slower)) {
                items.push(Item {
                    text: format!(
                        "{kernel} runs {} as fast as {} for {}, but {} for {}",
                        figures::ratio_with_interval(pays.3),
                        pays.3.partner,
                        query::cell_title(pays.2),
                        figures::ratio_with_interval(costs.3),
                        query::cell_title(costs.2)
                    ),
                    links: vec![row_link(pays.0, pays.1, pays.2), row_link(costs.0, costs.1, costs.2)],
                    ..Item::default()
                });
            }
        }
    }
    let text = "A stage that pays for one operation or size and costs at another.";
    (!items.is_empty()).then(|| with_items("mixed", "Stages that do not pay everywhere", text.into(), items))
}

/// Cells that were measured and are not unstable.
fn usable(receipt: &Receipt) -> impl Iterator<Item = (usize, &MicroCell)> {
    receipt.micro.iter().enumerate().filter(|(_, c)| !c.rounds.is_empty() && !query::unstable(c))
}

fn unstable(receipt: &Receipt) -> Option<Item> {
    let cells = receipt.micro.iter().enumerate().filter(|(_, c)| query::unstable(c));
    let items = cells.map(|(i, c)| {
        let stored = c.summaries.iter().filter_map(|s| s.verdict.as_ref());
        let judged = stored.chain(c.ratios().filter_map(|r| r.verdict.as_deref()));
        let reason = judged.into_iter().find(|v| v.direction() == Direction::Unstable);
        let reason = reason.map_or_else(String::new, |v| v.reason.clone());
        let again = if c.unstable_first.is_some() { ", in a second measurement too" } else { "" };
        let reason = format!("{reason}{again}");
        line(format!("{}: {reason}", c.family), vec![(query::cell_title(c), anchors::cell(i))])
    });
    let items: Vec<Item> = items.collect();
    let text = "There the same code against itself came out different, so no ratio of theirs should be used.".into();
    (!items.is_empty()).then(|| with_items("unstable", "Cells that decide nothing", text, items))
}

fn noise(receipt: &Receipt) -> Option<Item> {
    let range = query::threshold_range(receipt)?;
    let cells = receipt.micro.iter().enumerate().filter(|(_, c)| !c.rounds.is_empty());
    let mut cells: Vec<(usize, &MicroCell, f64)> =
        cells.filter_map(|(i, c)| Some((i, c, query::threshold(c)?))).collect();
    cells.sort_by(|a, b| b.2.total_cmp(&a.2));
    let (noisiest, quietest) = (cells.first()?, cells.last()?);
    let item = |words: &str, (i, c, threshold): &(usize, &MicroCell, f64)| Item {
        text: format!("{words}: {} ±{}", c.family, figures::percent(*threshold)),
        links: vec![(query::cell_title(c), anchors::cell(*i))],
        ..Item::default()
    };
    let tally = query::tally(receipt);
    let text = format!(
        "A difference counts from {} on, by cell: at least 3%, and twice what the median of one kernel against itself \
         moved by. Of {}: {}.",
        query::percent_range(range),
        words::count(tally.total(), "comparison"),
        tally.in_words()
    );
    let items = match cells.len() {
        1 => vec![item("only cell", noisiest)],
        _ => vec![item("noisiest", noisiest), item("quietest", quietest)],
    };
    Some(with_items("noise", "How small a difference counts", text, items))
}

/// The claims that make up the ladder, and the tally of all.
fn claims(receipt: &Receipt, judged: &[Judged]) -> Option<Item> {
    if receipt.micro.is_empty() && receipt.generation.is_none() {
        return None;
    }
    let judged_stage = |claim: &Claim| judged.iter().enumerate().find(|(_, j)| j.claim.id == claim.id);
    let stages = seed::ladder().filter_map(judged_stage).filter(|(_, j)| j.verdict != Verdict::NotMeasurable);
    let items = stages.map(|(i, j)| {
        let measured = j.measured.map_or_else(String::new, |m| format!(", measured {}", figures::ratio(m)));
        Item {
            text: format!(
                "{}: {} claimed (§{}, {}){measured}",
                j.claim.metric.kernel().unwrap_or("the ladder"),
                figures::ratio(j.claim.expected),
                j.claim.section,
                j.claim.standing.words()
            ),
            links: vec![(j.verdict.words().into(), anchors::claim(i))],
            ..Item::default()
        }
    });
    let links = vec![("evidence".into(), "claims".into())];
    Some(Item { links, ..with_items("claims", "What the analysis claims", summary(judged) + ".", items.collect()) })
}

fn absent(receipt: &Receipt) -> Option<Item> {
    let items = receipt.kernels.iter().filter(|k| !k.available).map(|k| {
        let why = k.reason.clone().unwrap_or_else(|| "no reason recorded".into());
        line(why, vec![(k.id.clone(), anchors::kernel(&k.id))])
    });
    let items: Vec<Item> = items.collect();
    let text = format!(
        "{} of {} could not run, so nothing is said about them.",
        items.len(),
        words::count(receipt.kernels.len(), "kernel")
    );
    (!items.is_empty()).then(|| with_items("absent", "Kernels that could not run here", text, items))
}
