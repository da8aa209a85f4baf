//! stdout and stderr: results on one, everything else on the other. A closed pipe ends the program quietly, as in other tools.

use crate::cli::ColorChoice;
use crate::error::{Error, Result};
use crate::report::Look;
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use serde::Serialize;
use std::io::{ErrorKind, IsTerminal, Write};

/// Below this a table is no table any more; lines run over instead.
const NARROWEST: usize = 30;

/// How to write.
pub struct Output {
    choice: ColorChoice,
}

impl Output {
    /// Follows `--color`, NO_COLOR and whether stdout is a terminal.
    pub fn new(choice: ColorChoice) -> Self {
        Self { choice }
    }

    /// Whether stdout gets colours.
    pub fn color(&self) -> bool {
        self.colors(std::io::stdout().is_terminal())
    }

    /// How to print a summary: with colours or not, for the terminal's width where it is one, and never for more than 80 columns.
    pub fn look(&self) -> Look {
        let columns = if std::io::stdout().is_terminal() { Table::new().width() } else { None };
        let width = columns.map_or(Look::plain().width, |c| usize::from(c).clamp(NARROWEST, Look::plain().width));
        Look { color: self.color(), width, full: false }
    }

    fn colors(&self, terminal: bool) -> bool {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self.choice {
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
        note(format!("{label} {}", one_line(&error.to_string())));
    }
}

/// Prints a line to stderr. A closed stderr is no reason to stop, which `eprintln!` would do.
pub fn note(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
}

/// An error is one line and cannot move the cursor, whatever is in the file name or flag that it quotes.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// A plain table: `right` names the columns of numbers.
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
        table.add_row(row);
    }
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}
