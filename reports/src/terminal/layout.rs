//! Tables and sentences that keep to a width: columns that do not fit are left out, not squeezed, and said to be.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle};
use receipt::figures;

/// The width that summaries are made for.
pub const WIDTH: usize = 80;
/// Longest name in a first column.
const NAME: usize = 22;

/// How to print.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Whether to colour.
    pub color: bool,
    /// Columns of the terminal.
    pub width: usize,
    /// All tables instead of the summary.
    pub full: bool,
}

impl Look {
    /// 80 columns, the summary.
    pub fn plain() -> Self {
        Self { color: false, width: WIDTH, full: false }
    }
}

/// How a figure is coloured, where colours are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Best,
    Bad,
    Warn,
    Dim,
}

/// A figure and its tone.
pub type Figure = (String, Tone);

/// A table of names and figures.
#[derive(Debug, Default)]
pub struct Rows {
    /// Headings, with line breaks.
    pub head: Vec<String>,
    /// Cells; the first column is a name.
    pub rows: Vec<Vec<Figure>>,
    /// Columns of words beside the first: to the left.
    pub left: Vec<usize>,
}

impl Rows {
    /// With these headings.
    pub fn new(head: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { head: head.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// As text that keeps to the width, and a line on what was left out for that.
    pub fn text(&self, look: Look) -> String {
        let name = |text: &str| figures::label(&printable(text), NAME.min(look.width.saturating_sub(12).max(8)));
        let mut head: Vec<String> = self.head.iter().map(|h| printable_of(h)).collect();
        let mut rows: Vec<Vec<Figure>> = self.rows.iter().map(|r| named(r, &name)).collect();
        let needed = head.len();
        while head.len() > 2 && total(&head, &rows) > look.width {
            head.pop();
            let left = head.len();
            rows.iter_mut().for_each(|r| r.truncate(left));
        }
        let mut table = table(look.width);
        if total(&head, &rows) <= look.width {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        let cell = |i: usize, text: &str| {
            let right = i > 0 && !self.left.contains(&i);
            Cell::new(text).set_alignment(if right { CellAlignment::Right } else { CellAlignment::Left })
        };
        table.set_header(head.iter().enumerate().map(|(i, h)| cell(i, h)));
        for row in &rows {
            table.add_row(row.iter().enumerate().map(|(i, (text, tone))| toned(cell(i, text), *tone, look.color)));
        }
        table.column_iter_mut().for_each(|column| {
            column.set_padding((1, 0));
        });
        let text = table.trim_fmt();
        match needed - head.len() {
            0 => text,
            1 => format!("{text}\n{}", wrapped("(1 column does not fit; the report has it)", look.width)),
            n => format!("{text}\n{}", wrapped(&format!("({n} columns do not fit; the report has them)"), look.width)),
        }
    }
}

/// Line breaks are ours: names and words have none.
fn printable_of(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

fn named(row: &[Figure], name: &impl Fn(&str) -> String) -> Vec<Figure> {
    let cell = |(i, (text, tone)): (usize, &Figure)| (if i == 0 { name(text) } else { printable_of(text) }, *tone);
    row.iter().enumerate().map(cell).collect()
}

/// Width of the whole table: a space before each column, and one between two, where other styles have a line.
fn total(head: &[String], rows: &[Vec<Figure>]) -> usize {
    let widest = |text: &str| text.lines().map(|l| l.chars().count()).max().unwrap_or(0);
    let column = |i: usize| {
        let cells = rows.iter().filter_map(|r| r.get(i)).map(|c| widest(&c.0));
        cells.chain([widest(&head[i])]).max().unwrap_or(0) + 1
    };
    (0..head.len()).map(column).sum::<usize>() + head.len().saturating_sub(1)
}

fn toned(cell: Cell, tone: Tone, color: bool) -> Cell {
    match tone {
        _ if !color => cell,
        Tone::Plain => cell,
        Tone::Best => cell.fg(Color::Green).add_attribute(Attribute::Bold),
        Tone::Bad => cell.fg(Color::Red),
        Tone::Warn => cell.fg(Color::Yellow),
        Tone::Dim => cell.add_attribute(Attribute::Dim),
    }
}

/// An empty table in the style of all of them.
pub fn table(width: usize) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    // Colour was decided by the caller; without this a pipe would lose it and a test could not ask for it.
    table.enforce_styling();
    table
}

/// A receipt is a file like any other: its text must not steer the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Sentences broken at spaces, and words that are longer than a line anywhere.
pub fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for word in printable(text).split(' ') {
        let mut letters: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + letters.len() > width {
            out.push('\n');
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        while letters.len() > width.max(1) {
            out.extend(letters.drain(..width.max(1)));
            out.push('\n');
        }
        out.extend(&letters);
        used += letters.len();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_left_out_from_the_right() {
        let mut rows = Rows::new(["kernel", "first\ncolumn", "second\ncolumn"]);
        rows.rows.push(["a-kernel", "12.3×", "45.6×"].map(|t| (t.to_string(), Tone::Plain)).into());
        let look = |width| Look { width, ..Look::plain() };
        assert!(rows.text(look(40)).contains("second") && !rows.text(look(40)).contains("fit"));
        let narrow = rows.text(look(22));
        assert!(narrow.contains("first") && !narrow.contains("second") && narrow.contains("1 column"), "{narrow}");
        assert!(narrow.lines().all(|l| l.chars().count() <= 22), "{narrow}");
    }

    #[test]
    fn long_words_break() {
        let text = wrapped(&format!("a {} b", "x".repeat(50)), 20);
        assert!(text.lines().all(|l| l.chars().count() <= 20), "{text}");
        assert_eq!(text.replace(['\n', ' '], "").len(), 52);
    }
}
