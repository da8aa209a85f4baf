//! A page as one self-contained file that loads nothing; `maud` escapes whatever is not markup of this file.

use super::{Block, Card, Cell, Column, Drawing, Item, Link, Page, Paragraph, Row, Section, Table, Tone, Value};
use crate::chart::{self, Chart};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use receipt::{Ratio, figures};

const STYLE: &str = include_str!("../../templates/style.css");
const SCRIPT: &str = include_str!("../../templates/report.js");
/// No page may load anything, whatever a receipt says.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'";
/// Columns from which on a table has small print and scrolls on a telephone.
const WIDE: usize = 7;

/// A page as the text of one HTML file.
pub fn html(page: &Page) -> String {
    let body = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (page.title) " · tritbench" }
                style { (PreEscaped(STYLE)) (PreEscaped(chart::theme_css())) }
            }
            body {
                (header(page))
                nav aria-label="Contents" {
                    @for section in &page.sections { a href={ "#" (section.id) } { (section.title) } " " }
                }
                main { @for section in &page.sections { (top_section(section)) } }
                footer { "tritbench · works without scripts or network · computed from receipts; figures quoted from \
                          the analysis carry their section." }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    body.into_string()
}

fn header(page: &Page) -> Markup {
    html! {
        header {
            p.kind { (page.kind) @for (word, tone) in &page.tags { " " (tag(word, *tone)) } }
            h1 #answer { (page.answer) }
            @if !page.caveats.is_empty() { p.caveats { (page.caveats.join(" ")) } }
            p.sub { (page.about) }
            @if !page.pictures.is_empty() {
                div.pictures { @for chart in &page.pictures { (figure(chart, false)) } }
            }
            (cards(&page.cards, true))
            @for warning in &page.warnings { p.warn { (code_in(warning)) } }
        }
    }
}

fn top_section(section: &Section) -> Markup {
    html! { (heading(2, &section.id, &section.title)) (inside(section)) }
}

/// What stands under a section's heading.
fn inside(section: &Section) -> Markup {
    let tables = section.all_tables();
    // Sections within have choices of their own.
    let own =
        section.blocks.iter().filter_map(|block| if let Block::Table(table) = block { Some(table) } else { None });
    let filters = own.flat_map(|table| &table.columns).any(|column| column.filter);
    let titled = tables.len() > 1;
    let of = if titled { section.title.as_str() } else { "" };
    let blocks = html! { @for block in &section.blocks { (self::block(block, of)) } };
    html! {
        @for (weight, text) in &section.lead {
            p class=[class(&[("note", *weight == Paragraph::Note), ("warn", *weight == Paragraph::Warning)])] {
                (code_in(text))
            }
        }
        @if filters { div data-filters=(section.id) { (blocks) } } @else { (blocks) }
    }
}

/// `section` is the title above tables that have titles of their own.
fn block(block: &Block, section: &str) -> Markup {
    match block {
        Block::Table(table) => self::table(table, section),
        Block::Chart(chart) => figure(chart, true),
        Block::List(items) => html! { ul.findings { @for item in items { (self::item(item)) } } },
        Block::Cards(list) => cards(list, false),
        Block::Quote { text, by } => html! { blockquote { pre { (text) } p.note { (by) } } },
        Block::Commands(lines) => html! { pre { (lines.join("\n")) } },
        Block::Listing { label, lines } => html! {
            div.scroll tabindex="0" role="region" aria-label=(label) { pre.listing { (lines.join("\n")) } }
        },
        Block::Section(section) => match &section.fold {
            Some(gist) => html! {
                details id=(section.id) {
                    summary { span.lead { (section.title) } " " span.gist { (gist) } }
                    (inside(section))
                }
            },
            None => html! { (heading(3, &section.id, &section.title)) (inside(section)) },
        },
    }
}

fn heading(level: u8, id: &str, title: &str) -> Markup {
    let here = html! { a.here href={ "#" (id) } aria-label={ "Link to " (title) } { "#" } };
    if level == 2 {
        html! { h2 id=(id) { (title) " " (here) } }
    } else {
        html! { h3 id=(id) { (title) " " (here) } }
    }
}

fn figure(chart: &Chart, captioned: bool) -> Markup {
    let id = format!("chart-{}", chart.file);
    html! {
        figure id=(id) {
            div.scroll tabindex="0" role="region" aria-label={ "Chart " (chart.file) } { (PreEscaped(&chart.svg)) }
            @if captioned {
                figcaption {
                    (chart.caption) " "
                    @if chart.saved { a href={ "charts/" (chart.file) } { (chart.file) } " " }
                    a.here href={ "#" (id) } aria-label={ "Link to the chart " (chart.file) } { "#" }
                }
            }
        }
    }
}

fn cards(cards: &[Card], answers: bool) -> Markup {
    let one = |card: &Card| {
        html! {
            section.card {
                (heading(if answers { 2 } else { 3 }, &card.id, &card.title))
                @if !card.items.is_empty() { ul { @for item in &card.items { (self::item(item)) } } }
                @if !card.facts.is_empty() { dl { @for (name, value) in &card.facts { dt { (name) } dd { (value) } } } }
                @if !card.commands.is_empty() { pre { (card.commands.join("\n")) } }
            }
        }
    };
    html! { @if !cards.is_empty() { div.cards.answers[answers] { @for card in cards { (one(card)) } } } }
}

fn item(item: &Item) -> Markup {
    let id = (!item.id.is_empty()).then_some(&item.id);
    let link = item.link.as_ref().or(id);
    html! {
        li id=[id] {
            @if !item.before.is_empty() { (item.before) " " }
            @if let Some(link) = link { a.row href={ "#" (link) } { b { (item.strong) } } }
            @else { b { (item.strong) } }
            @if !item.strong.is_empty() { " " }
            (code_in(&item.text))
            @for (i, (words, place)) in item.links.iter().enumerate() {
                @if i == 0 { " (" } @else { "; " } a href={ "#" (place) } { (words) }
                @if i + 1 == item.links.len() { ")" }
            }
            @if !item.items.is_empty() { ul { @for below in &item.items { (self::item(below)) } } }
        }
    }
}

fn table(table: &Table, section: &str) -> Markup {
    let titled = !section.is_empty();
    let label = if titled { format!("{section}: {}", table.title) } else { table.title.clone() };
    let columns = table.columns.len();
    let family = (!table.family.is_empty()).then_some(&table.family);
    html! {
        @if titled && !table.title.is_empty() { (heading(3, &table.id, &table.title)) }
        @if !table.note.is_empty() { p.note { (code_in(&table.note)) } }
        div.table.wide[columns > WIDE].narrow[columns < 4] id={ "table-" (table.id) } data-family=[family] {
            div.tools { a.here href={ "#table-" (table.id) } aria-label={ "Link to the table " (label) } { "#" } }
            div.scroll tabindex="0" role="region" aria-label=(label) {
                table {
                    thead {
                        tr {
                            @for (i, column) in table.columns.iter().enumerate() { (head(column, table.is_drawn(i))) }
                        }
                    }
                    tbody { @for row in &table.rows { (self::row(row, &table.columns)) } }
                }
            }
        }
    }
}

fn head(column: &Column, drawn: bool) -> Markup {
    html! {
        th class=[class(&[("n", column.right)])] scope="col" data-filter[column.filter] data-plain[drawn] {
            @if let Some(link) = &column.link { a href={ "#" (link) } { (column.title) } } @else { (column.title) }
            @if !column.sub.is_empty() { small { (column.sub) } }
        }
    }
}

fn row(row: &Row, columns: &[Column]) -> Markup {
    html! {
        tr id=(row.id) class=[class(&[("self", row.aside)])] {
            @for (i, cell) in row.cells.iter().enumerate() {
                @if i == 0 {
                    th scope="row" {
                        @match &cell.link {
                            Some(Link::To(address)) => a href=(address) { (value(&cell.value, cell.tone)) },
                            _ => a.row href={ "#" (row.id) } { (value(&cell.value, cell.tone)) },
                        }
                        (small(cell))
                    }
                } @else { (figure_cell(cell, columns.get(i).is_some_and(|c| c.right))) }
            }
        }
    }
}

fn figure_cell(cell: &Cell, right: bool) -> Markup {
    let shown = value(&cell.value, cell.tone);
    html! {
        td class=[class(&[("n", right), ("r", matches!(cell.value, Value::Judged(_)))])] {
            @match &cell.link {
                Some(Link::Here(id)) => a.figure-link href={ "#" (id) } { (shown) },
                Some(Link::To(address)) => a href=(address) { (shown) },
                None => (shown),
            }
            (small(cell))
        }
    }
}

fn small(cell: &Cell) -> Markup {
    html! {
        @for sub in &cell.sub {
            small {
                @match sub {
                    Value::Judged(r) => { (figures::ratio_with_interval(r)) " over " (r.partner) ": " (judged_tag(r)) },
                    other => (value(other, Tone::Plain)),
                }
            }
        }
        @if !cell.links.is_empty() {
            small.links { @for (words, place) in &cell.links { a href={ "#" (place) } { (words) } " " } }
        }
    }
}

fn value(value: &Value, tone: Tone) -> Markup {
    let shown = match value {
        Value::Nothing | Value::Absent(_) => html! { span.i { (value.short()) } },
        Value::Code(text) => html! { code { (text) } },
        Value::Tag(word) => tag(word, tone),
        Value::Judged(r) => {
            html! { b { (figures::ratio(r.median)) } " " span.i { (figures::interval(r)) } " " (judged_tag(r)) }
        }
        Value::Factor(1.0) => html! { b { "1×" } },
        Value::Drawing(drawing) => self::drawing(drawing),
        other => html! { (other.short()) },
    };
    match tone {
        Tone::Best => html! { span.best { (shown) } },
        Tone::Dim => html! { span.i { (shown) } },
        _ => shown,
    }
}

/// The judge's word on a pair.
fn judged_tag(ratio: &Ratio) -> Markup {
    let counts =
        ratio.threshold().map_or_else(String::new, |t| format!("; differences count from {}", figures::percent(t)));
    let word = ratio.direction().word();
    html! { span class={ "tag " (word) } title={ "over " (ratio.partner) (counts) } { (word) } }
}

fn tag(word: &str, tone: Tone) -> Markup {
    let class = match tone {
        Tone::Good => "tag ok",
        Tone::Bad => "tag bad",
        _ => "tag",
    };
    html! { span class=(class) { (word) } }
}

fn drawing(drawing: &Drawing) -> Markup {
    let points = |line: &[(f64, f64)]| line.iter().map(|(x, y)| format!("{x:.0},{y:.1}")).collect::<Vec<_>>().join(" ");
    html! {
        svg.strip viewBox="0 0 200 20" role="img" aria-label=(drawing.label) {
            @if let Some((top, height)) = drawing.band {
                rect x="0" y=(format!("{top:.1}")) width="200" height=(format!("{height:.1}")) {}
            }
            @if drawing.middle { line x1="100" y1="0" x2="100" y2="20" {} }
            @for line in &drawing.lines { polyline points=(points(line)) {} }
            @for (x, y, hollow) in &drawing.dots {
                circle class=[class(&[("hollow", *hollow)])] cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="2.5" {}
            }
        }
    }
}

/// The classes that apply; no attribute without one.
fn class(names: &[(&str, bool)]) -> Option<String> {
    let names: Vec<&str> = names.iter().filter(|(_, applies)| *applies).map(|(name, _)| *name).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

/// What stands in backticks is code.
fn code_in(text: &str) -> Markup {
    html! {
        @for (i, part) in text.split('`').enumerate() { @if i % 2 == 1 { code { (part) } } @else { (part) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_text_everywhere() {
        const BAD: &str = "<script>alert(1)</script>\" onclick=\"x";
        let cell =
            || Cell { links: vec![("rounds", BAD.into())], ..Cell::from(BAD).under(Value::Tag(BAD.into())).link(BAD) };
        let mut table = Table::new(BAD, BAD, vec![Column::words(BAD).under(BAD); 2]).note(BAD);
        table.rows = vec![Row::new(BAD, vec![cell(), cell()])];
        table.family = BAD.into();
        let item = Item { id: BAD.into(), links: vec![(BAD.into(), BAD.into())], ..Item::text(BAD) };
        let card = Card {
            id: BAD.into(),
            title: BAD.into(),
            facts: vec![("a", BAD.into())],
            commands: vec![BAD.into()],
            items: vec![item.clone()],
        };
        let fold = Section::new(BAD, BAD).say(BAD).folded(BAD).with([Block::Cards(vec![card.clone()])]);
        let quote = Block::Quote { text: BAD.into(), by: BAD.into() };
        let drawn = Cell::from(Value::Drawing(Drawing { label: BAD.into(), ..Drawing::default() }));
        let last = Table::new("t", BAD, vec![Column::words("a")]).rows([Row::new("r", vec![drawn])]);
        let section = Section::new(BAD, BAD).warn(BAD).tables([table, last]).with([
            Block::List(vec![item]),
            Block::Listing { label: BAD.into(), lines: vec![BAD.into()] },
            quote,
            Block::Section(fold),
        ]);
        let page = Page {
            title: BAD.into(),
            answer: BAD.into(),
            about: BAD.into(),
            kind: BAD.into(),
            warnings: vec![BAD.into()],
            cards: vec![card],
            sections: vec![section],
            ..Page::default()
        };
        let text = html(&page);
        assert_eq!(text.matches("<script").count(), 1, "its own");
        assert!(!text.contains("\" onclick"));
        assert!(text.matches("&lt;script&gt;alert(1)").count() > 20);
    }
}
