//! What pages, terminal, Markdown, CSV and JSON are rendered from: sections of tables, pictures and lists. Figures stay
//! numbers until one of the renderers writes them, so that all forms say the same.

mod csv;
mod html;
mod markdown;
pub mod terminal;
mod value;

pub use csv::csv;
pub use html::html;
pub use markdown::{section as markdown, table};
pub use value::{Drawing, Value};

use crate::chart::Chart;
use receipt::Family;
use serde::Serialize;

/// How a figure is set off by colour, on a page and on a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Not set off.
    #[default]
    Plain,
    /// Set off as the fastest of its column.
    Best,
    /// Set off as good: it is as it should be.
    Good,
    /// Set off as bad: something is wrong or slower.
    Bad,
    /// Set off as open: nothing can be said.
    Open,
    /// Dimmed: of no weight.
    Dim,
}

/// A place that a figure leads to: in this page by its id, or another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// A place in this page, by its id.
    Here(String),
    /// A file or another page, by its address, shown as it is.
    To(String),
}

/// One figure of a table, with the small print under it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cell {
    /// The figure that the cell shows.
    pub value: Value,
    /// The small print under the figure, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sub: Vec<Value>,
    /// How the figure is set off by colour.
    #[serde(skip)]
    pub tone: Tone,
    /// The place that the figure leads to.
    #[serde(skip)]
    pub link: Option<Link>,
    /// More places that the cell leads to, by name, in small print.
    #[serde(skip)]
    pub links: Vec<(&'static str, String)>,
}

impl<V: Into<Value>> From<V> for Cell {
    fn from(value: V) -> Self {
        Self { value: value.into(), ..Self::default() }
    }
}

impl Cell {
    /// Adds a line of small print under the figure.
    pub fn under(mut self, sub: impl Into<Value>) -> Self {
        self.sub.push(sub.into());
        self
    }

    /// Sets the figure off by colour.
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// Makes the figure lead to an id of the page.
    pub fn link(mut self, id: impl Into<String>) -> Self {
        self.link = Some(Link::Here(id.into()));
        self
    }

    /// Makes the figure lead to another file or address; without one it leads nowhere.
    pub fn to(mut self, address: Option<String>) -> Self {
        self.link = address.map(Link::To);
        self
    }
}

/// A column of a table: its heading, and what it holds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Column {
    /// Heading of the column.
    pub title: String,
    /// Small print under the heading.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sub: String,
    /// Whether the column holds numbers, which stand to the right.
    #[serde(skip)]
    pub right: bool,
    /// Whether readers can choose rows by the column's values.
    #[serde(skip)]
    pub filter: bool,
    /// Id of the place that the heading leads to.
    #[serde(skip)]
    pub link: Option<String>,
}

impl Column {
    /// A column of words with this heading.
    pub fn words(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// A column of numbers with this heading.
    pub fn number(title: impl Into<String>) -> Self {
        Self { right: true, ..Self::words(title) }
    }

    /// Adds small print under the heading.
    pub fn under(mut self, sub: impl Into<String>) -> Self {
        self.sub = sub.into();
        self
    }

    /// Lets readers choose rows by the column's values.
    pub fn filter(mut self) -> Self {
        self.filter = true;
        self
    }
}

/// A row of a table; its first cell names it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Id of the row on the page.
    pub id: String,
    /// The row's cells, one for each column.
    pub cells: Vec<Cell>,
    /// Whether the row is there for comparison only, as the A/A pair is.
    #[serde(skip)]
    pub aside: bool,
}

impl Row {
    /// A row with its id on the page and its cells.
    pub fn new(id: impl Into<String>, cells: Vec<Cell>) -> Self {
        Self { id: id.into(), cells, aside: false }
    }
}

/// A table: columns, rows, and how to read it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Table {
    /// Id of the table, without the `table-` that its anchor begins with.
    pub id: String,
    /// Title of the table; a heading where a section has several.
    pub title: String,
    /// How to read the table.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The columns from left to right.
    pub columns: Vec<Column>,
    /// The rows from top to bottom.
    pub rows: Vec<Row>,
    /// The family whose rows the table holds, where readers may choose between families.
    #[serde(skip)]
    pub family: String,
}

impl Table {
    /// A table with these columns and no rows.
    pub fn new(id: impl Into<String>, title: impl Into<String>, columns: Vec<Column>) -> Self {
        Self { id: id.into(), title: title.into(), columns, ..Self::default() }
    }

    /// Sets the note on how to read the table.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Names the family whose rows the table holds, so that readers may choose between families.
    pub fn of(mut self, family: Family) -> Self {
        self.family = family.name().into();
        self
    }

    /// Whether a column holds drawings, which cannot be sorted, copied or written as text.
    pub fn is_drawn(&self, column: usize) -> bool {
        self.rows.iter().any(|row| matches!(row.cells.get(column).map(|c| &c.value), Some(Value::Drawing(_))))
    }

    /// Adds rows to the table.
    pub fn rows(mut self, rows: impl IntoIterator<Item = Row>) -> Self {
        self.rows = rows.into_iter().collect();
        self
    }
}

/// A line of a list: what it comes to, the words around it, and where it is shown.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Item {
    /// Id of the line on the page, if it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Words before `strong`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub before: String,
    /// What the line comes to, in bold.
    pub strong: String,
    /// Words after `strong`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Id of the place that `strong` leads to.
    #[serde(skip)]
    pub link: Option<String>,
    /// Other places that show it: words, and the id.
    #[serde(skip)]
    pub links: Vec<(String, String)>,
    /// Lines under this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
}

impl Item {
    /// A line of words alone.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// The line as words, with the places that show it.
    pub fn words(&self) -> String {
        let places = self.links.iter().map(|(words, _)| words.as_str()).filter(|words| !words.starts_with("evidence"));
        let places = places.collect::<Vec<_>>().join("; ");
        let places = if places.is_empty() { places } else { format!("({places})") };
        let parts = [self.before.as_str(), &self.strong, &self.text, &places];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// A few lines or facts under one heading.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Card {
    /// Id of the card on the page.
    pub id: String,
    /// Heading of the card.
    pub title: String,
    /// Lines of the card.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
    /// Facts of the card: names and values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<(&'static str, String)>,
    /// Commands that the card shows, to type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
}

/// One element of a section.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// A table.
    Table(Table),
    /// A picture.
    Chart(Chart),
    /// A list of lines.
    List(Vec<Item>),
    /// Cards side by side.
    Cards(Vec<Card>),
    /// Foreign text, with whose it is.
    Quote {
        /// The text as it came.
        text: String,
        /// Whose text it is.
        by: String,
    },
    /// Commands to type.
    Commands(Vec<String>),
    /// Lines of code, on a page alone: too many for a terminal or a pull request.
    Listing {
        /// What the lines are, for those who hear a page.
        label: String,
        /// The lines, which must not be broken.
        lines: Vec<String>,
    },
    /// A section within this one.
    Section(Section),
}

/// What a paragraph is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paragraph {
    /// The section's own words.
    Text,
    /// A note on how to read the section.
    Note,
    /// A warning that a careful reader must know first.
    Warning,
}

/// One question and its answer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Section {
    /// Id of the section on the page.
    pub id: String,
    /// Heading of the section.
    pub title: String,
    /// Paragraphs of the section; what stands in backticks is code.
    #[serde(serialize_with = "words_only")]
    pub lead: Vec<(Paragraph, String)>,
    /// What the section shows below its paragraphs.
    pub blocks: Vec<Block>,
    /// What is said beside the title where the section is folded away; absent where it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<String>,
}

fn words_only<S: serde::Serializer>(lead: &[(Paragraph, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(lead.iter().map(|(_, text)| text))
}

impl Section {
    /// A section with this id and heading and nothing in it yet.
    pub fn new(id: impl Into<String>, title: impl Into<String>) -> Self {
        Self { id: id.into(), title: title.into(), ..Self::default() }
    }

    /// Adds a paragraph.
    pub fn say(mut self, text: impl Into<String>) -> Self {
        self.lead.push((Paragraph::Text, text.into()));
        self
    }

    /// Adds a paragraph on how to read the section.
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.lead.push((Paragraph::Note, text.into()));
        self
    }

    /// Adds a paragraph that is a warning.
    pub fn warn(mut self, text: impl Into<String>) -> Self {
        self.lead.push((Paragraph::Warning, text.into()));
        self
    }

    /// Adds tables.
    pub fn tables(mut self, tables: impl IntoIterator<Item = Table>) -> Self {
        self.blocks.extend(tables.into_iter().map(Block::Table));
        self
    }

    /// Adds tables, pictures, lists or sections.
    pub fn with(mut self, blocks: impl IntoIterator<Item = Block>) -> Self {
        self.blocks.extend(blocks);
        self
    }

    /// Folds the section away, with `gist` beside its title.
    pub fn folded(mut self, gist: impl Into<String>) -> Self {
        self.fold = Some(gist.into());
        self
    }

    /// The section, if it says or shows anything.
    pub fn if_any(self) -> Option<Self> {
        (!self.blocks.is_empty()).then_some(self)
    }

    /// All tables of the section, those of sections within too.
    pub fn all_tables(&self) -> Vec<&Table> {
        fn of_block(block: &Block) -> Vec<&Table> {
            match block {
                Block::Table(table) => vec![table],
                Block::Section(section) => section.all_tables(),
                _ => Vec::new(),
            }
        }
        self.blocks.iter().flat_map(of_block).collect()
    }
}

/// A page: the answer, a picture, what to know, and the sections that show why.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Page {
    /// Title of the browser's tab.
    pub title: String,
    /// What kind of page it is, with what sets it apart.
    pub kind: String,
    /// Words that must not be missed beside the kind.
    #[serde(skip)]
    pub tags: Vec<(&'static str, Tone)>,
    /// The answer in one sentence.
    pub answer: String,
    /// Sentences that belong right behind the answer.
    pub caveats: Vec<String>,
    /// Where and when it was measured, in small print.
    pub about: String,
    /// Pictures of the first screen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<Chart>,
    /// What to use when, what is worth knowing, what is not settled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<Card>,
    /// What makes the figures less than they seem, in sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The sections that show why the answer is what it is.
    pub sections: Vec<Section>,
}

impl Page {
    /// All pictures, those of the first screen first.
    pub fn charts(&self) -> impl Iterator<Item = &Chart> {
        let inside = self.sections.iter().flat_map(|section| &section.blocks).filter_map(|block| match block {
            Block::Chart(chart) => Some(chart),
            _ => None,
        });
        self.pictures.iter().chain(inside)
    }
}
