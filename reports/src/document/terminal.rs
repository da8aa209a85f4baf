//! Tables and sentences in a terminal: columns that do not fit are left out, not squeezed, and said to be.

use super::{Block, Cell, Item, Page, Paragraph, Section, Table, Tone, Value};
use comfy_table::{Attribute, Cell as Shown, CellAlignment, Color, ContentArrangement, LineStyle, TableStyle};
use receipt::figures;
use receipt::judge::Direction;

/// Width in columns that terminal summaries are made for.
pub const WIDTH: usize = 80;
/// Longest name in a first column.
const NAME: usize = 26;

/// How to print to a terminal: colour, width, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Whether to colour the output.
    pub color: bool,
    /// Number of columns of the terminal.
    pub width: usize,
    /// Whether to print all tables instead of the summary.
    pub full: bool,
}

impl Look {
    /// A terminal of 80 columns without colour, and the summary.
    pub fn plain() -> Self {
        Self { color: false, width: WIDTH, full: false }
    }
}

/// A page's answer and what belongs right behind it, broken into lines.
pub fn opening(page: &Page, look: Look) -> Vec<String> {
    let open = (!page.caveats.is_empty()).then(|| wrapped(&page.caveats.join(" "), look.width));
    std::iter::once(wrapped(&page.answer, look.width)).chain(open).collect()
}

/// A section as terminal text: everything that it says and shows, pictures and drawings apart.
pub fn section(section: &Section, look: Look) -> String {
    let paragraphs = section.lead.iter().filter(|(weight, _)| *weight != Paragraph::Note);
    let mut out = vec![wrapped(&section.title, look.width)];
    out.extend(paragraphs.map(|(_, text)| wrapped(&text.replace('`', ""), look.width)));
    out.extend(section.blocks.iter().filter_map(|one| match one {
        // The section's title is the table's.
        Block::Table(table) if table.title == section.title => Some(text(table, look)),
        one => block(one, look),
    }));
    out.join("\n\n")
}

fn block(block: &Block, look: Look) -> Option<String> {
    Some(match block {
        Block::Table(table) => titled(table, look),
        Block::List(items) => list(items, look),
        Block::Cards(cards) => {
            let facts = |card: &super::Card| {
                let facts = card.facts.iter().map(|(name, value)| Item::text(format!("{name}: {value}")));
                let items: Vec<Item> = card.items.iter().cloned().chain(facts).collect();
                let commands: String = card.commands.iter().map(|line| format!("\n  {}", printable(line))).collect();
                format!("{}\n{}{commands}", wrapped(&card.title, look.width), list(&items, look))
            };
            cards.iter().map(facts).collect::<Vec<_>>().join("\n\n")
        }
        // Commands are copied: never broken.
        Block::Commands(lines) => {
            lines.iter().map(|line| format!("  {}", printable(line))).collect::<Vec<_>>().join("\n")
        }
        Block::Section(within) => section(within, look),
        Block::Chart(_) | Block::Quote { .. } | Block::Listing { .. } => return None,
    })
}

/// A list as terminal text: a line for each item.
pub fn list(items: &[Item], look: Look) -> String {
    let below = |item: &Item| item.items.iter().map(|i| format!("  {}", i.words())).collect::<Vec<_>>();
    let lines = items.iter().flat_map(|item| std::iter::once(item.words()).chain(below(item)));
    lines.map(|line| wrapped(&line, look.width)).collect::<Vec<_>>().join("\n")
}

/// A table under its title, as terminal text.
pub fn titled(table: &Table, look: Look) -> String {
    format!("{}\n{}", wrapped(&table.title, look.width), text(table, look))
}

/// A table's rows as terminal text, as far as columns fit the width, and a line on what was left out for that.
pub fn text(table: &Table, look: Look) -> String {
    let mut keep: Vec<usize> = (0..table.columns.len()).filter(|i| !table.is_drawn(*i)).collect();
    let needed = keep.len();
    while keep.len() > 2 && total(table, &keep, look.width) > look.width {
        keep.pop();
    }
    let mut out = comfy_table::Table::new();
    out.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    let fits = total(table, &keep, look.width) <= look.width;
    out.set_content_arrangement(if fits { ContentArrangement::Disabled } else { ContentArrangement::Dynamic });
    out.set_width(u16::try_from(look.width).unwrap_or(u16::MAX));
    // Colour was decided by the caller; without this a pipe would lose it and a test could not ask for it.
    out.enforce_styling();
    let aligned = |i: usize, text: &str| {
        let right = table.columns[i].right;
        Shown::new(text).set_alignment(if right { CellAlignment::Right } else { CellAlignment::Left })
    };
    out.set_header(keep.iter().map(|i| aligned(*i, &folded(&table.columns[*i].title))));
    for row in &table.rows {
        let cells = keep.iter().filter_map(|i| Some((*i, row.cells.get(*i)?)));
        out.add_row(cells.map(|(i, cell)| toned(aligned(i, &shown(table, cell, i, look.width)), cell, look.color)));
    }
    out.column_iter_mut().for_each(|column| {
        column.set_padding((1, 0));
    });
    let text = out.trim_fmt();
    let left = match needed - keep.len() {
        0 => return text,
        1 => "(1 column does not fit; the report has it)".into(),
        n => format!("({n} columns do not fit; the report has them)"),
    };
    format!("{text}\n{}", wrapped(&left, look.width))
}

/// A heading of several words on two lines.
fn folded(title: &str) -> String {
    let title = printable(title);
    let middle = title.len().div_ceil(2);
    let breaks = title.match_indices(' ').map(|(at, _)| at).min_by_key(|at| at.abs_diff(middle));
    match breaks.filter(|_| title.chars().count() > 12) {
        Some(at) => format!("{}\n{}", &title[..at], &title[at + 1..]),
        None => title,
    }
}

/// A column of words says which is faster in a word, one of numbers by a sign.
fn shown(table: &Table, cell: &Cell, column: usize, width: usize) -> String {
    let text = printable(&match &cell.value {
        Value::Judged(r) if !table.columns[column].right => {
            format!("{} {}", r.direction().word(), figures::ratio(r.median))
        }
        value => value.short(),
    });
    let most = if column == 0 { NAME.min(width.saturating_sub(12).max(8)) } else { width.saturating_sub(4).max(8) };
    figures::label(&text, most)
}

/// Width of the whole table: a space before each column, and one between two, where other styles have a line.
fn total(table: &Table, keep: &[usize], width: usize) -> usize {
    let widest = |text: &str| text.lines().map(|l| l.chars().count()).max().unwrap_or(0);
    let column = |i: usize| {
        let cells = table.rows.iter().filter_map(|r| r.cells.get(i)).map(|c| widest(&shown(table, c, i, width)));
        cells.chain([widest(&folded(&table.columns[i].title))]).max().unwrap_or(0) + 1
    };
    keep.iter().map(|i| column(*i)).sum::<usize>() + keep.len().saturating_sub(1)
}

fn toned(shown: Shown, cell: &Cell, color: bool) -> Shown {
    let direction = match &cell.value {
        Value::Judged(ratio) => Some(ratio.direction()),
        _ => None,
    };
    match (cell.tone, direction) {
        _ if !color => shown,
        (Tone::Best, None | Some(Direction::Faster)) => shown.fg(Color::Green).add_attribute(Attribute::Bold),
        (Tone::Good, _) => shown.fg(Color::Green),
        (Tone::Bad, _) | (_, Some(Direction::Slower)) => shown.fg(Color::Red),
        (Tone::Open, _) | (_, Some(Direction::Undecided | Direction::Unstable)) => shown.fg(Color::Yellow),
        (Tone::Dim, _) | (_, Some(Direction::Same)) => shown.add_attribute(Attribute::Dim),
        _ => shown,
    }
}

/// `text` without control characters: a receipt is a file like any other, and must not steer the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// `text` in lines of at most `width` columns, broken at spaces; a word longer than a line is broken anywhere.
pub fn wrapped(text: &str, width: usize) -> String {
    textwrap::fill(
        &printable(text),
        textwrap::Options::new(width.max(1)).word_splitter(textwrap::WordSplitter::NoHyphenation),
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Column, Row};
    use super::*;

    #[test]
    fn columns_are_left_out_from_the_right() {
        let columns = vec![Column::words("kernel"), Column::number("first column"), Column::number("second column")];
        let row = Row::new("", vec!["a-kernel".into(), Value::Factor(12.3).into(), Value::Factor(45.6).into()]);
        let table = Table::new("t", "t", columns).rows([row]);
        let text = |width| text(&table, Look { width, ..Look::plain() });
        assert!(text(40).contains("second") && !text(40).contains("fit"));
        let narrow = text(27);
        assert!(narrow.contains("first") && !narrow.contains("second") && narrow.contains("1 column"), "{narrow}");
        assert!(narrow.lines().all(|l| l.chars().count() <= 27), "{narrow}");
    }

    #[test]
    fn long_words_break() {
        let text = wrapped(&format!("a {} b", "x".repeat(50)), 20);
        assert!(text.lines().all(|l| l.chars().count() <= 20), "{text}");
        assert_eq!(text.replace(['\n', ' '], "").len(), 52);
    }
}
