//! The tables of one run.

use super::layout::{Figure, Look, Rows, Tone, printable, wrapped};
use crate::gate_words::{Weight, by_gravity, columns, outcome_word, weight};
use crate::{matters, query};
use receipt::figures;
use receipt::judge::{Direction, medians};
use receipt::{Family, GateRecord, GenerationKernel, MicroCell, Operation, Outcome, Ratio, Receipt, Residency, titles};

/// Most comparisons of a gate in a summary; a gate's own output has all.
const GATE_ROWS: usize = 12;

fn plain(text: impl Into<String>) -> Figure {
    (text.into(), Tone::Plain)
}

/// Operation, shape and place under each other.
fn column(c: &MicroCell) -> String {
    format!("{}\n{}\n{}", c.op, query::shape(c), query::residency(c.residency))
}

/// The table that matters: of every kernel its speed-up over its family's first row, its share of the machine's limit
/// and its direction against the kernel it builds on. A part a family.
pub fn products(receipt: &Receipt, look: Look) -> Option<String> {
    let parts = matters::parts(receipt);
    let part = |part: &matters::Part<'_>| {
        let mut table = Rows::new(
            matters::HEAD.map(|head| head.replace("the first", "the\nfirst").replace("kernel it", "kernel\nit")),
        );
        table.left = vec![3];
        table.rows = part.rows.iter().map(product_row).collect();
        let family = query::family_title(part.family);
        let title = format!("{family}, {}", part.product);
        format!("{}\n{}", wrapped(&title, look.width), table.text(look))
    };
    (!parts.is_empty()).then(|| parts.iter().map(part).collect::<Vec<_>>().join("\n\n"))
}

fn product_row(row: &matters::Row<'_>) -> Vec<Figure> {
    let against = |r: &Ratio| (format!("{} {}", r.direction().word(), figures::ratio(r.median)), tone(r.direction()));
    vec![
        plain(row.kernel),
        ratio(row.speed_up, row.is_fastest),
        plain(row.share.map_or_else(String::new, figures::percent)),
        row.against.map_or_else(|| plain(""), against),
    ]
}

/// Speed-up of each kernel over the first row at the headline shapes, memory first: there also its share of the
/// machine's limit, and its direction against the kernel it builds on.
pub fn stages(receipt: &Receipt, family: Family, look: Look) -> Option<String> {
    let mut heads: Vec<&MicroCell> =
        query::headlines(receipt, family).into_iter().filter(|c| !c.rounds.is_empty()).collect();
    // Stable: operations stay in their order. Products from L2 come last, where a narrow terminal leaves columns out.
    let near = |c: &MicroCell| c.op == Operation::Gemv && c.residency == Residency::L2;
    heads.sort_by_key(|c| (near(c), c.op != Operation::Gemv, query::places_for_answers(c.residency)));
    let (first, others) = heads.split_first()?;
    let bounded = query::kernels(first).any(|(_, s)| s.bound.is_some());
    let head = ["kernel".into(), column(first)].into_iter().chain(bounded.then(|| "of\nlimit".into()));
    let against = "against what\nit builds on".to_string();
    let mut table = Rows::new(head.chain([against]).chain(others.iter().map(|c| column(c))));
    table.left = vec![if bounded { 3 } else { 2 }];
    for kernel in query::kernel_ids(receipt, family) {
        let summary =
            |cell: &'_ MicroCell| query::kernels(cell).find(|(_, s)| s.kernel == kernel).map(|(_, s)| s.clone());
        let speed_up = |cell: &MicroCell| {
            let best = query::fastest(cell).is_some_and(|f| f.kernel == kernel);
            summary(cell).map_or_else(|| plain("not run"), |s| ratio(s.vs_baseline.as_ref(), best))
        };
        let own = summary(first);
        let mut row = vec![plain(kernel.clone()), speed_up(first)];
        if bounded {
            let share = own.as_ref().and_then(|s| s.bound.as_ref()).map(|b| figures::percent(b.share));
            row.push(plain(share.unwrap_or_default()));
        }
        let judged = own.as_ref().and_then(|s| s.vs_previous.as_ref().or(s.vs_baseline.as_ref()));
        row.push(judged.map_or_else(
            || plain(""),
            |r| (format!("{} {}", r.direction().word(), figures::ratio(r.median)), tone(r.direction())),
        ));
        row.extend(others.iter().map(|cell| speed_up(cell)));
        table.rows.push(row);
    }
    Some(table.text(look))
}

/// The smaller of memory's and the multiply's bound at the headline shapes: the share that each kernel reached, and for
/// batches the products a cycle.
pub fn bounds(receipt: &Receipt, family: Family, look: Look) -> Option<String> {
    let bounded = |c: &&MicroCell| query::kernels(c).any(|(_, s)| s.bound.is_some());
    let heads: Vec<&MicroCell> = query::headlines(receipt, family).into_iter().filter(bounded).collect();
    if heads.is_empty() {
        return None;
    }
    let title = |c: &&MicroCell| format!("{}{}", column(c), if c.tokens > 1 { "\nMAC/cycle" } else { "" });
    let mut table = Rows::new(["kernel".to_string()].into_iter().chain(heads.iter().map(title)));
    for kernel in query::kernel_ids(receipt, family) {
        let mut row = vec![plain(kernel.clone())];
        for cell in &heads {
            let summary = query::kernels(cell).find(|(_, s)| s.kernel == kernel).map(|(_, s)| s);
            row.push(plain(match summary.map(|s| s.bound.as_ref()) {
                Some(Some(b)) => {
                    let letter = query::bound(b.bound).chars().next().unwrap_or(' ');
                    let cycle = b.mac_per_cycle.filter(|_| cell.tokens > 1);
                    let cycle = cycle.map_or_else(String::new, |m| format!(" {m:.1}"));
                    format!("{} {letter}{cycle}", figures::percent(b.share))
                }
                Some(None) => "n/a".into(),
                None => "not run".into(),
            }));
        }
        table.rows.push(row);
    }
    Some(table.text(look))
}

fn ratio(r: Option<&Ratio>, best: bool) -> Figure {
    let Some(r) = r else { return plain("1×") };
    let tone = match r.direction() {
        Direction::Faster if best => Tone::Best,
        direction => tone(direction),
    };
    (figures::judged(r), tone)
}

fn tone(direction: Direction) -> Tone {
    match direction {
        Direction::Faster => Tone::Plain,
        Direction::Slower => Tone::Bad,
        Direction::Same => Tone::Dim,
        Direction::Undecided | Direction::Unstable => Tone::Warn,
    }
}

/// Every comparison with its word.
pub fn comparisons(receipt: &Receipt, family: Family, look: Look) -> Option<String> {
    let mut table = Rows::new(["kernel", "against", "cell", "", "ratio", "counts\nfrom"]);
    table.left = vec![1, 2, 3];
    for cell in query::cells(receipt, family).filter(|c| !c.rounds.is_empty()) {
        for (_, s) in query::kernels(cell) {
            let mut partners = Vec::new();
            for r in s.vs_previous.iter().chain(&s.vs_baseline) {
                if partners.contains(&&r.partner) {
                    continue;
                }
                partners.push(&r.partner);
                let place = format!("{} {} {}", cell.op, query::shape(cell), query::level(cell.residency));
                table.rows.push(vec![
                    plain(s.kernel.clone()),
                    plain(r.partner.clone()),
                    plain(place),
                    (r.direction().word().into(), tone(r.direction())),
                    plain(figures::ratio(r.median)),
                    plain(r.threshold().map_or_else(String::new, |t| format!("±{}", figures::percent(t)))),
                ]);
            }
        }
    }
    (!table.rows.is_empty()).then(|| table.text(look))
}

/// Tokens a second under their title; with `full` also what shows that they are the right ones.
pub fn generation(receipt: &Receipt, family: Family, look: Look) -> Option<String> {
    let all = receipt.generation.iter().flat_map(|g| &g.kernels).filter(|k| k.family == family);
    // An entry that took turns with one kernel only has a sentence of its own.
    let own: Vec<&GenerationKernel> = all.filter(|k| look.full || !medians::is_paired(k)).collect();
    let partner = &own.first()?.kernel;
    let bounded = own.iter().any(|k| receipt::judge::bound::share_of_decode(receipt, k).is_some());
    let bound = if bounded { " (bound: reading the weights of a token)" } else { "" };
    let title = wrapped(&format!("{family} end to end, tokens/s{bound}"), look.width);
    let mut head = vec!["kernel", "decode"];
    if bounded {
        head.push("of bound");
    }
    head.extend(["prefill", "first token"]);
    if look.full {
        head.extend(["ids", "known answers"]);
    }
    let mut table = Rows::new(head);
    let ranked = own.iter().filter(|k| k.sparse_ffn.is_none());
    let best = ranked.map(|k| k.decode_tokens_per_s).fold(0.0, f64::max);
    for k in &own {
        let passed = k.goldens.iter().filter(|c| c.passed).count();
        let speed = |x: f64| if x > 0.0 { figures::number(x) } else { "n/a".into() };
        let fastest = best > 0.0 && k.decode_tokens_per_s >= best && k.sparse_ffn.is_none();
        let mut row = vec![
            plain(k.kernel.clone()),
            (speed(k.decode_tokens_per_s), if fastest { Tone::Best } else { Tone::Plain }),
        ];
        if bounded {
            row.push(plain(
                receipt::judge::bound::share_of_decode(receipt, k).map_or_else(|| "n/a".into(), figures::percent),
            ));
        }
        row.extend([
            plain(speed(k.prefill_tokens_per_s)),
            plain(figures::duration_or_none(k.time_to_first_token_ms * 1e6)),
        ]);
        if look.full {
            let ids = match (k.kernel == *partner, k.ids_equal_baseline) {
                (true, _) => plain("partner"),
                (false, true) => plain("equal"),
                (false, false) => ("differ".into(), Tone::Warn),
            };
            let goldens = if k.goldens.is_empty() { "none".into() } else { format!("{passed} of {}", k.goldens.len()) };
            row.extend([ids, (goldens, if passed < k.goldens.len() { Tone::Bad } else { Tone::Plain })]);
        }
        table.rows.push(row);
    }
    Some(format!("{title}\n{}", table.text(look)))
}

/// What does not pass, the gravest first, and with `full` everything.
pub fn gate(record: &GateRecord, look: Look) -> Option<String> {
    let shown = by_gravity(record).into_iter().filter(|c| look.full || c.verdict.outcome != Outcome::Pass);
    let shown: Vec<_> = shown.take(if look.full { usize::MAX } else { GATE_ROWS }).collect();
    if shown.is_empty() {
        return None;
    }
    let mut head = vec!["verdict", "kernel", "cell", "change", "threshold", "A/A"];
    if look.full {
        head.extend(["at most", "pairs"]);
    }
    let mut table = Rows::new(head);
    table.left = vec![1, 2];
    for c in shown {
        let tone = match weight(c.verdict.outcome) {
            Weight::Good => Tone::Best,
            Weight::Bad => Tone::Bad,
            Weight::Open => Tone::Warn,
        };
        let cell = match &c.model {
            Some(model) => {
                titles::gated_text(c.op, c.tokens, &figures::label(&printable(model), 18)).replace(", ", "\n")
            }
            None => {
                let tokens = if c.tokens > 1 { format!("×{}", c.tokens) } else { String::new() };
                format!("{} {}×{}{tokens}\n{}", c.op, c.m, c.k, query::residency(c.residency))
            }
        };
        let kernel = figures::label(&printable(&c.kernel), 18);
        let mut row = vec![(outcome_word(c.verdict.outcome).to_string(), tone), plain(kernel), plain(cell)];
        let [change, most, threshold, aa, pairs] = columns(c);
        row.extend([change, threshold, aa].map(plain));
        if look.full {
            row.extend([most, pairs].map(plain));
        }
        table.rows.push(row);
    }
    Some(table.text(look))
}
