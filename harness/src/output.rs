//! stdout for results, stderr for everything else. A closed pipe ends the program quietly, as in other tools.

use crate::error::{Error, Result};
use clap::ValueEnum;
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use receipt::figures::plain;
use reports::Look;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{ErrorKind, IsTerminal, Write};

/// When stdout gets colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Below this a table is no table any more; lines run over instead.
const NARROWEST: usize = 30;

/// How results are written: follows `--color`, NO_COLOR and whether stdout is a terminal.
pub struct Output(pub ColorChoice);

impl Output {
    /// Whether stdout gets colours.
    pub fn color(&self) -> bool {
        self.colors(std::io::stdout().is_terminal())
    }

    /// How to print a summary: with colours or not, for the terminal's width, and never for more than 80 columns.
    pub fn look(&self) -> Look {
        let columns = if std::io::stdout().is_terminal() { Table::new().width() } else { None };
        let width = columns.map_or(Look::plain().width, |c| usize::from(c).clamp(NARROWEST, Look::plain().width));
        Look { color: self.color(), width, full: false }
    }

    fn colors(&self, terminal: bool) -> bool {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self.0 {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !no_color,
        }
    }

    /// Prints text and a newline to stdout.
    pub fn line(&self, text: impl AsRef<str>) -> Result<()> {
        self.bytes(format!("{}\n", text.as_ref()).as_bytes())
    }

    /// Prints a value as JSON.
    pub fn json(&self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(|e| Error::failed(format!("cannot write JSON: {e}")))?;
        self.line(text)
    }

    /// Prints values as JSON, under the name that a list of them has.
    pub fn listing<T: Serialize>(&self, name: &str, values: &[T]) -> Result<()> {
        self.json(&BTreeMap::from([(name, values)]))
    }

    /// Writes generated text; to a terminal without control characters, since the model's maker chose its tokens.
    pub fn text(&self, text: &[u8]) -> Result<()> {
        if std::io::stdout().is_terminal() { self.bytes(&without_controls(text)) } else { self.bytes(text) }
    }

    /// Writes bytes to stdout at once.
    pub fn bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
            Err(e) => Err(Error::input(format!("cannot write to standard output: {e}"))),
        }
    }

    /// Prints an error to stderr.
    pub fn error(&self, error: &Error) {
        let label = if self.colors(std::io::stderr().is_terminal()) { "\u{1b}[1;31merror:\u{1b}[0m" } else { "error:" };
        say(&format!("{label} {}", plain(&error.to_string())));
    }
}

/// Prints text and a newline to stderr.
pub fn note(text: impl AsRef<str>) {
    say(&plain_lines(text.as_ref()));
}

/// A closed stderr is no reason to stop, which `eprintln!` would do.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// The same, with its lines left.
fn plain_lines(text: &str) -> String {
    text.split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

/// Control characters but line feeds and tabs become U+FFFD; halves of characters stay, since the other half follows.
fn without_controls(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        let clean = |c: char| if c.is_control() && c != '\n' && c != '\t' { char::REPLACEMENT_CHARACTER } else { c };
        out.extend(chunk.valid().chars().map(clean).collect::<String>().bytes());
        out.extend(chunk.invalid());
    }
    out
}

/// A plain table: `right` names the columns of numbers. What a file says cannot leave its cell.
pub fn table(header: &[&str], right: &[usize], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if !std::io::stdout().is_terminal() {
        // Not wrapped for a width that nobody has.
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| plain_lines(cell)));
    }
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_file_says_moves_the_cursor() {
        assert_eq!(without_controls(b"a\tb\n\x1b[2J\r\x7f\xc3"), b"a\tb\n\xef\xbf\xbd[2J\xef\xbf\xbd\xef\xbf\xbd\xc3");
        assert_eq!(without_controls("\u{9b}31mé".as_bytes()), "\u{fffd}31mé".as_bytes());
        assert_eq!(plain("a\u{1b}[2J\nb\u{9b}c é"), "a\\u{1b}[2J\\nb\\u{9b}c é");
        let shown = table(&["k"], &[], [vec!["two\nlines\u{1b}[31m".to_owned()]]);
        assert!(shown.contains("lines\\u{1b}[31m") && !shown.contains("two\\n"), "{shown}");
    }
}
