//! Who is fastest, by how much, how far from the machine's limit: the best settled evidence first.

use super::statement::Statement;
use crate::query;
use crate::words::count;
use receipt::figures;
use receipt::judge::Direction;
use receipt::{Family, GenerationKernel, MicroCell, MicroSummary, Operation, Ratio, Receipt};

/// A question about one family.
struct Asked {
    family: Family,
    label: &'static str,
    /// `exact kernel`
    what: &'static str,
    anchor: &'static str,
}

const EXACT: Asked =
    Asked { family: query::EXACT, label: "Fastest exact kernel", what: "exact kernel", anchor: "stages-W2A8" };
const LADDER: Asked =
    Asked { family: query::LADDER, label: "Fastest ladder stage", what: "ladder stage", anchor: "stages-W2A32" };

/// The fastest kernel of one cell.
struct Lead<'r> {
    cell: &'r MicroCell,
    best: &'r MicroSummary,
    /// Against the second, if there is one.
    over_next: Option<&'r Ratio>,
}

/// The sentence that a complete run opens with: the int8 family's, because the model is defined with it, or the
/// ladder's; of each the place where most is settled, memory first, since that is where a model's weights are.
pub fn first_sentence(receipt: &Receipt) -> Option<String> {
    let families = [EXACT, LADDER];
    let leads: Vec<(&Asked, Lead<'_>)> =
        families.iter().flat_map(|a| leads(receipt, a).into_iter().map(move |l| (a, l))).collect();
    let best = |settled: &dyn Fn(&Lead<'_>) -> bool| leads.iter().find(|(_, lead)| settled(lead));
    let told = best(&|l| l.is_faster() && l.order_is_settled()).or_else(|| best(&|l| l.is_faster()));
    told.map(|(asked, lead)| lead.sentence(asked))
        .or_else(|| decode_sentence(receipt))
        .or_else(|| best(&|l| l.best.vs_baseline.is_none()).map(|(asked, lead)| lead.no_faster(asked)))
        .or_else(|| nothing_settled(receipt))
}

/// Where no comparison of interest is settled, what is known all the same: that the kernels are right.
fn nothing_settled(receipt: &Receipt) -> Option<String> {
    let timed: Vec<&MicroCell> = receipt.micro.iter().filter(|c| !c.rounds.is_empty()).collect();
    if timed.is_empty() {
        return None;
    }
    let right = receipt.verify.iter().filter(|v| v.available && v.mismatches == 0).count();
    let rounds: usize = timed.iter().map(|c| c.rounds.len()).sum();
    let why = if query::tally(receipt).count(Direction::Unstable) > 0 {
        "the same code differs from itself too much on this machine now"
    } else {
        "the rounds are too few"
    };
    Some(format!(
        "{} equal the oracle; which is faster was measured in {} and not settled, because {why}.",
        count(right, "kernel"),
        count(rounds, "round")
    ))
}

/// "Fastest exact kernel".
pub fn exact(receipt: &Receipt) -> Option<Statement> {
    statement(receipt, &EXACT)
}

/// "Fastest ladder stage".
pub fn ladder(receipt: &Receipt) -> Option<Statement> {
    statement(receipt, &LADDER)
}

impl Lead<'_> {
    /// Whether the fastest is faster than the family's first row for sure.
    fn is_faster(&self) -> bool {
        self.best.vs_baseline.as_ref().is_some_and(|r| r.direction() == Direction::Faster)
    }

    fn order_is_settled(&self) -> bool {
        self.over_next.is_none_or(|next| next.direction().is_settled())
    }

    fn sentence(&self, asked: &Asked) -> String {
        let (kernel, what) = (&self.best.kernel, asked.what);
        let Some(ratio) = &self.best.vs_baseline else { return self.no_faster(asked) };
        let limit = limit(self.best).map_or_else(String::new, |(share, _)| format!(", {share} of the machine's limit"));
        let place = place(self.cell);
        let figure = format!("{} as fast as {} for {place}{limit}", figures::ratio_with_interval(ratio), ratio.partner);
        let order = self.over_next.map(|next| (next, next.direction()));
        match order {
            Some((next, Direction::Same)) => {
                format!("{kernel} and {} are the fastest {what}s: {kernel} runs {figure}.", next.partner)
            }
            Some((next, Direction::Undecided | Direction::Unstable)) => {
                format!("{kernel} runs {figure}; whether it or {} is the fastest {what} is undecided.", next.partner)
            }
            _ => format!("{kernel} is the fastest {what}: {figure}."),
        }
    }

    /// The first row itself has the shortest time, or nothing is faster than it for sure.
    fn no_faster(&self, asked: &Asked) -> String {
        let (kernel, place, what) = (&self.best.kernel, place(self.cell), asked.what);
        match self.over_next {
            None => format!("{kernel} is the only {what} that was timed: {} for {place}.", rate(self.best)),
            Some(next) if next.direction() == Direction::Faster => {
                format!("{kernel} is the fastest {what}: {} for {place}, the partner of all ratios.", rate(self.best))
            }
            Some(_) => format!("No other {what} is faster than {kernel} for {place}: {}.", rate(self.best)),
        }
    }
}

fn rate(s: &MicroSummary) -> String {
    format!("{} G weights/s", figures::number(s.gelem_s))
}

/// The fastest of each cell, in the order in which they answer: gemv before batches, the largest shape first, memory
/// before caches.
fn leads<'r>(receipt: &'r Receipt, asked: &Asked) -> Vec<Lead<'r>> {
    let cells = query::cells(receipt, asked.family).filter(|c| !c.rounds.is_empty() && c.op != Operation::Dequantize);
    let mut cells: Vec<&MicroCell> = cells.collect();
    cells.sort_by_key(|c| {
        (c.op != Operation::Gemv, query::places_for_answers(c.residency), std::cmp::Reverse(c.weights_per_call))
    });
    cells.into_iter().filter_map(lead).collect()
}

fn lead(cell: &MicroCell) -> Option<Lead<'_>> {
    Some(Lead { cell, best: query::fastest(cell)?, over_next: cell.lead.as_ref().map(|lead| &lead.over_next) })
}

fn statement(receipt: &Receipt, asked: &Asked) -> Option<Statement> {
    let heads = query::headlines(receipt, asked.family);
    let op = heads.first()?.op;
    let mut cells: Vec<&MicroCell> = heads.into_iter().filter(|c| c.op == op && !c.rounds.is_empty()).collect();
    cells.sort_by_key(|c| query::places_for_answers(c.residency));
    let leads: Vec<Lead<'_>> = cells.into_iter().filter_map(lead).collect();
    let first = leads.first()?;
    Some(Statement {
        label: asked.label,
        figure: first.best.vs_baseline.as_ref().map_or_else(|| "1×".into(), figures::judged),
        subject: first.best.kernel.clone(),
        text: leads.iter().map(sentences).collect::<Vec<_>>().join("\n"),
        anchor: asked.anchor,
    })
}

/// What one cell says about its fastest kernel.
fn sentences(lead: &Lead<'_>) -> String {
    let (cell, s) = (lead.cell, lead.best);
    let title = query::cell_title(cell);
    let limit =
        limit(s).map_or_else(String::new, |(share, what)| format!("; {share} of the machine's limit there ({what})"));
    let Some(r) = &s.vs_baseline else {
        return match lead.over_next {
            None => format!("{title}: only {} was timed{limit}.", s.kernel),
            Some(_) => format!("{title}: {} is the fastest and is itself the partner of all ratios{limit}.", s.kernel),
        };
    };
    let figure = figures::ratio_with_interval(r);
    let judged = match r.direction() {
        Direction::Faster | Direction::Slower => String::new(),
        other => format!(", {}", other.word()),
    };
    let other = lead.over_next.filter(|next| next.partner != r.partner);
    let next = other.map_or_else(String::new, |next| {
        format!(" Against {}: {}, {}.", next.partner, next.direction().word(), figures::ratio_with_interval(next))
    });
    format!("{title}: {} runs {figure} as fast as {}{judged}{limit}.{next}", s.kernel, r.partner)
}

/// Share of the bound and what sets it; older receipts know only the streaming rate.
fn limit(s: &MicroSummary) -> Option<(String, String)> {
    match (&s.bound, s.share_of_stream) {
        (Some(b), _) => Some((figures::percent(b.share), format!("{}: {}", query::bound(b.bound), b.what))),
        (None, Some(share)) => Some((figures::percent(share), "memory: reading the same bytes".into())),
        (None, None) => None,
    }
}

/// `gemv 6912×2560 in cache`, for the middle of a sentence.
fn place(cell: &MicroCell) -> String {
    format!("{} {} {}", cell.op, query::shape(cell), query::residency(cell.residency))
}

/// The fastest of a family end to end; an entry with sparsity counts by its own ratio only.
fn fastest(receipt: &Receipt, family: Family) -> Option<&GenerationKernel> {
    let own = receipt.generation.as_ref()?.kernels.iter();
    let own = own.filter(|k| k.family == family && k.decode_tokens_per_s > 0.0 && k.sparse_ffn.is_none());
    own.max_by(|a, b| a.decode_tokens_per_s.total_cmp(&b.decode_tokens_per_s))
}

/// Who leads in whole text: the int8 family's fastest, else the ladder's, if it is faster than its first row for sure.
pub fn leads_in_text(receipt: &Receipt) -> Option<(&GenerationKernel, &Ratio)> {
    [query::EXACT, query::LADDER].into_iter().find_map(|f| {
        let kernel = fastest(receipt, f)?;
        let ratio = kernel.decode_vs_baseline.as_ref()?;
        (ratio.direction() == Direction::Faster).then_some((kernel, ratio))
    })
}

/// Whole text, by the ratio: tokens/s are of one model on one machine.
pub fn decode_sentence(receipt: &Receipt) -> Option<String> {
    let (kernel, ratio) = leads_in_text(receipt)?;
    Some(format!(
        "In whole text {} decodes {} as fast as {}.",
        kernel.kernel,
        figures::ratio_with_interval(ratio),
        ratio.partner
    ))
}

/// "Decode, end to end".
pub fn decode(receipt: &Receipt) -> Option<Statement> {
    let generation = receipt.generation.as_ref()?;
    // The int8 family leads because the model is defined with it; the ladder stands in when only it ran.
    let order = [query::EXACT, query::LADDER];
    let best: Vec<(Family, &GenerationKernel)> =
        order.into_iter().filter_map(|f| Some((f, fastest(receipt, f)?))).collect();
    let (_, first) = best.first()?;
    let model = receipt.model.as_ref().map_or("the model", |m| m.name.as_str());
    let sentence = |(family, k): &(Family, &GenerationKernel)| match &k.decode_vs_baseline {
        Some(r) => format!(
            "{family}: {} decodes {} as fast as {}, {}.",
            k.kernel,
            figures::ratio_with_interval(r),
            r.partner,
            r.direction().word()
        ),
        None => format!("{family}: {} decodes fastest and is itself the partner of all ratios.", k.kernel),
    };
    let text: Vec<String> = best.iter().map(sentence).collect();
    Some(Statement {
        label: "Whole text, decoding",
        figure: first.decode_vs_baseline.as_ref().map_or_else(|| "1×".into(), figures::judged),
        subject: first.kernel.clone(),
        text: format!("{} Model {model}, {}.", text.join(" "), count(generation.threads, "thread")),
        anchor: "generation",
    })
}
