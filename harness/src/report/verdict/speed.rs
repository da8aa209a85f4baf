//! Who is fastest, by how much, how far from the machine's limit, and whether the next one is really behind.

use super::{Statement, count};
use crate::receipt::{GenerationKernel, MicroCell, MicroSummary, Ratio, Receipt, Residency};
use crate::report::figures;
use crate::report::query::{self, Call};

/// The fastest kernel of one cell.
struct Lead<'r> {
    cell: &'r MicroCell,
    best: &'r MicroSummary,
    /// The fastest over the second, paired by round.
    over_next: Option<Ratio>,
    /// Kernels that it was chosen from.
    among: usize,
}

/// A question about one family.
struct Asked {
    family: &'static str,
    label: &'static str,
    /// `exact kernel`
    what: &'static str,
    anchor: &'static str,
    exact_only: bool,
}

const EXACT: Asked = Asked {
    family: query::EXACT,
    label: "Fastest exact kernel",
    what: "exact kernel",
    anchor: "stages-W2A8",
    exact_only: true,
};
const LADDER: Asked = Asked {
    family: query::LADDER,
    label: "Fastest ladder stage",
    what: "ladder stage",
    anchor: "stages-W2A32",
    exact_only: false,
};

/// The sentence that a complete run opens with: the int8 family's, because the model is defined with it, or the ladder's.
pub fn first_sentence(receipt: &Receipt) -> Option<String> {
    let asked = [EXACT, LADDER].into_iter().find_map(|a| leads(receipt, &a).into_iter().next().map(|l| (a, l)));
    let Some((asked, lead)) = asked else { return decode_sentence(receipt) };
    let title = place(lead.cell);
    let what = asked.what;
    if query::unstable(lead.cell) {
        return Some(format!(
            "No {what} is shown to be the fastest here: for {title} the same code differed from itself, so nothing that was timed there counts."
        ));
    }
    let kernel = &lead.best.kernel;
    let Some(ratio) = &lead.best.vs_baseline else {
        return Some(match lead.among {
            1 => format!("{kernel} is the only {what} that was timed here, so nothing says how fast it could be."),
            n => format!("None of {n} kernels is faster than {kernel} for {title}, the partner of all ratios."),
        });
    };
    let partner = &ratio.partner;
    let figure = figures::ratio_with_interval(ratio);
    Some(match query::call(ratio, lead.cell.noise_floor) {
        Call::WithinNoise | Call::Slower => format!(
            "No {what} is shown to be faster than {partner} here: {kernel} runs {figure} as fast for {title}, within the noise of {}.",
            figures::percent(lead.cell.noise_floor)
        ),
        Call::TooFewRounds => format!(
            "{kernel} measured {} against {partner} for {title}, on too few rounds ({}) to be sure.",
            figures::ratio(ratio.median),
            lead.cell.rounds.len()
        ),
        Call::Faster => {
            let tie = lead.tie().map_or_else(String::new, |next| format!(", with {next} within noise of it"));
            let limit =
                limit(lead.best).map_or_else(String::new, |(share, _)| format!(", {share} of the machine's limit"));
            format!("{kernel} is the fastest {what} here{tie}: {figure} as fast as {partner} for {title}{limit}.")
        }
    })
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
    /// The second kernel, if the rounds do not put it behind.
    fn tie(&self) -> Option<&str> {
        let next = self.over_next.as_ref()?;
        (query::call(next, self.cell.noise_floor) == Call::WithinNoise).then_some(next.partner.as_str())
    }
}

/// The fastest in cache and from memory, for gemv if that was measured.
fn leads<'r>(receipt: &'r Receipt, asked: &Asked) -> Vec<Lead<'r>> {
    let heads = query::headlines(receipt, asked.family);
    let Some(op) = heads.first().map(|c| c.op.clone()) else { return Vec::new() };
    let exact = |s: &MicroSummary| receipt.kernels.iter().any(|k| k.id == s.kernel && k.exact);
    let keep = |s: &MicroSummary| !asked.exact_only || exact(s);
    Residency::PLACES
        .into_iter()
        .filter_map(|r| query::headline(receipt, asked.family, &op, r).filter(|c| !c.rounds.is_empty()))
        .filter_map(|cell| lead(cell, keep))
        .collect()
}

fn lead(cell: &MicroCell, keep: impl Fn(&MicroSummary) -> bool) -> Option<Lead<'_>> {
    let mut ran: Vec<(usize, &MicroSummary)> =
        query::kernels(cell).filter(|(_, s)| s.median_ns_per_call > 0.0 && keep(s)).collect();
    ran.sort_by(|a, b| a.1.median_ns_per_call.total_cmp(&b.1.median_ns_per_call));
    let (own, best) = *ran.first()?;
    let over = |next: &(usize, &MicroSummary)| query::between(cell, own, next.0);
    Some(Lead { cell, best, over_next: ran.get(1).map(over), among: ran.len() })
}

fn statement(receipt: &Receipt, asked: &Asked) -> Option<Statement> {
    let leads = leads(receipt, asked);
    let first = leads.first()?;
    let figure = match (&first.best.vs_baseline, query::unstable(first.cell)) {
        (_, true) => "unstable".into(),
        (None, _) => "1×".into(),
        (Some(r), _) => match query::call(r, first.cell.noise_floor) {
            Call::Faster | Call::Slower => figures::ratio(r.median),
            Call::WithinNoise => format!("~{}", figures::ratio(r.median)),
            Call::TooFewRounds => format!("{} ?", figures::ratio(r.median)),
        },
    };
    Some(Statement {
        label: asked.label,
        figure,
        subject: first.best.kernel.clone(),
        text: leads.iter().map(sentences).collect::<Vec<_>>().join("\n"),
        anchor: asked.anchor,
    })
}

/// What one cell says about its fastest kernel.
fn sentences(lead: &Lead<'_>) -> String {
    let (cell, s) = (lead.cell, lead.best);
    let title = query::cell_title(cell);
    if query::unstable(cell) {
        return format!("{title}: unstable, the same code differed from itself; do not use it.");
    }
    let limit =
        limit(s).map_or_else(String::new, |(share, what)| format!("; {share} of the machine's limit there ({what})"));
    let Some(r) = &s.vs_baseline else {
        return match lead.among {
            1 => format!("{title}: only {} was timed{limit}.", s.kernel),
            _ => format!("{title}: {} is the fastest and is itself the partner of all ratios{limit}.", s.kernel),
        };
    };
    let figure = figures::ratio_with_interval(r);
    match query::call(r, cell.noise_floor) {
        Call::Faster | Call::Slower => {
            let tie = match (&lead.over_next, lead.tie()) {
                (Some(next), Some(kernel)) => {
                    format!(" {kernel} is within noise of it ({}).", figures::ratio_with_interval(next))
                }
                _ => String::new(),
            };
            format!("{title}: {} runs {figure} as fast as {}{limit}.{tie}", s.kernel, r.partner)
        }
        Call::WithinNoise => format!(
            "{title}: {} is nominally ahead of {} ({figure}), but that is within the noise of {}.",
            s.kernel,
            r.partner,
            figures::percent(cell.noise_floor)
        ),
        Call::TooFewRounds => format!(
            "{title}: {} measured {} against {}, on too few rounds ({}) to be sure.",
            s.kernel,
            figures::ratio(r.median),
            r.partner,
            cell.rounds.len()
        ),
    }
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
fn fastest<'r>(receipt: &'r Receipt, family: &str) -> Option<&'r GenerationKernel> {
    let own = receipt.generation.as_ref()?.kernels.iter();
    let own = own.filter(|k| k.family == family && k.decode_tokens_per_s > 0.0 && k.sparse_ffn.is_none());
    own.max_by(|a, b| a.decode_tokens_per_s.total_cmp(&b.decode_tokens_per_s))
}

fn decode_sentence(receipt: &Receipt) -> Option<String> {
    let best = [query::EXACT, query::LADDER].iter().find_map(|f| fastest(receipt, f))?;
    Some(format!(
        "{} decodes fastest here, {} tokens/s; no kernel was timed alone.",
        best.kernel,
        figures::number(best.decode_tokens_per_s)
    ))
}

/// "Decode, end to end".
pub fn decode(receipt: &Receipt) -> Option<Statement> {
    let generation = receipt.generation.as_ref()?;
    // The int8 family leads because the model is defined with it; the ladder stands in when only it ran.
    let order = [query::EXACT, query::LADDER];
    let best: Vec<(&str, &GenerationKernel)> = order.iter().filter_map(|f| Some((*f, fastest(receipt, f)?))).collect();
    let (_, first) = best.first()?;
    let model = receipt.model.as_ref().map_or("the model", |m| m.name.as_str());
    let text: Vec<String> = best
        .iter()
        .map(|(family, k)| {
            format!("{family}: {} decodes {} tokens/s.", k.kernel, figures::number(k.decode_tokens_per_s))
        })
        .collect();
    Some(Statement {
        label: "Decode, end to end",
        figure: format!("{} tok/s", figures::number(first.decode_tokens_per_s)),
        subject: first.kernel.clone(),
        text: format!("{} Model {model}, {}.", text.join(" "), count(generation.threads, "thread")),
        anchor: "generation",
    })
}
