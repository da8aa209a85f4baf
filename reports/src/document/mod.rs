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
use serde::Serialize;

/// How a figure is set off: colour on a page and on a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// The fastest of its column.
    Best,
    /// As it should be.
    Good,
    /// Something is wrong or slower.
    Bad,
    /// Nothing can be said.
    Open,
    /// Of no weight.
    Dim,
}

/// A place: in this page by its id, or another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// An id of this page.
    Here(String),
    /// An address, shown as it is.
    To(String),
}

/// One figure of a table, with the small print under it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cell {
    /// The figure.
    pub value: Value,
    /// What stands under it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sub: Vec<Value>,
    /// How it is set off.
    #[serde(skip)]
    pub tone: Tone,
    /// Where it leads.
    #[serde(skip)]
    pub link: Option<Link>,
    /// More places, by name, in small print.
    #[serde(skip)]
    pub links: Vec<(&'static str, String)>,
}

impl<V: Into<Value>> From<V> for Cell {
    fn from(value: V) -> Self {
        Self { value: value.into(), ..Self::default() }
    }
}

impl Cell {
    /// With small print under it.
    pub fn under(mut self, sub: impl Into<Value>) -> Self {
        self.sub.push(sub.into());
        self
    }

    /// Set off.
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// Leading to an id of the page.
    pub fn link(mut self, id: impl Into<String>) -> Self {
        self.link = Some(Link::Here(id.into()));
        self
    }

    /// Leading to another file or address.
    pub fn to(mut self, address: Option<String>) -> Self {
        self.link = address.map(Link::To);
        self
    }
}

/// What a column holds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Column {
    /// Its heading.
    pub title: String,
    /// What the heading's small print says.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sub: String,
    /// Whether it is a column of numbers, to the right.
    #[serde(skip)]
    pub right: bool,
    /// Whether rows can be chosen by it.
    #[serde(skip)]
    pub filter: bool,
    /// Where its heading leads.
    #[serde(skip)]
    pub link: Option<String>,
}

impl Column {
    /// Of words.
    pub fn words(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// Of numbers.
    pub fn number(title: impl Into<String>) -> Self {
        Self { right: true, ..Self::words(title) }
    }

    /// With small print under the heading.
    pub fn under(mut self, sub: impl Into<String>) -> Self {
        self.sub = sub.into();
        self
    }

    /// By which rows can be chosen.
    pub fn filter(mut self) -> Self {
        self.filter = true;
        self
    }
}

/// A row; its first cell names it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its anchor on the page.
    pub id: String,
    /// One a column.
    pub cells: Vec<Cell>,
    /// Whether it is there for comparison only, as the A/A pair is.
    #[serde(skip)]
    pub aside: bool,
}

impl Row {
    /// With its anchor.
    pub fn new(id: impl Into<String>, cells: Vec<Cell>) -> Self {
        Self { id: id.into(), cells, aside: false }
    }
}

/// Rows of one kind.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Table {
    /// `table-` and this is its anchor.
    pub id: String,
    /// What it is of; a heading where a section has several.
    pub title: String,
    /// How to read it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// From left to right.
    pub columns: Vec<Column>,
    /// From top to bottom.
    pub rows: Vec<Row>,
    /// The family whose rows it holds, where readers may choose between families.
    #[serde(skip)]
    pub family: String,
}

impl Table {
    /// Without rows.
    pub fn new(id: impl Into<String>, title: impl Into<String>, columns: Vec<Column>) -> Self {
        Self { id: id.into(), title: title.into(), columns, ..Self::default() }
    }

    /// With a note.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// With rows.
    pub fn rows(mut self, rows: impl IntoIterator<Item = Row>) -> Self {
        self.rows = rows.into_iter().collect();
        self
    }
}

/// A line of a list: what it comes to, the words around it, and where it is shown.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Item {
    /// Its anchor, if it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Words before.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub before: String,
    /// What it comes to.
    pub strong: String,
    /// Words after.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Where `strong` leads.
    #[serde(skip)]
    pub link: Option<String>,
    /// Where else it is shown, in words, and the place.
    #[serde(skip)]
    pub links: Vec<(String, String)>,
    /// Lines under it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
}

impl Item {
    /// Words alone.
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
    /// Its anchor.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// Lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
    /// Names and values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<(&'static str, String)>,
    /// Commands to type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
}

/// What a section is made of.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// A table.
    Table(Table),
    /// A picture.
    Chart(Chart),
    /// A list.
    List(Vec<Item>),
    /// Cards side by side.
    Cards(Vec<Card>),
    /// Foreign text with whose it is.
    Quote {
        /// As it came.
        text: String,
        /// Whose.
        by: String,
    },
    /// Commands to type.
    Commands(Vec<String>),
    /// A section within.
    Section(Section),
}

/// A paragraph's weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The section's words.
    Text,
    /// How to read it.
    Note,
    /// What a careful reader must know first.
    Warning,
}

/// One question and its answer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Section {
    /// Its anchor.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// Paragraphs; what stands in backticks is code.
    #[serde(serialize_with = "words_only")]
    pub lead: Vec<(Weight, String)>,
    /// What it shows.
    pub blocks: Vec<Block>,
    /// Whether it is folded away, and what is said of it beside its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<String>,
}

fn words_only<S: serde::Serializer>(lead: &[(Weight, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(lead.iter().map(|(_, text)| text))
}

impl Section {
    /// With nothing in it yet.
    pub fn new(id: impl Into<String>, title: impl Into<String>) -> Self {
        Self { id: id.into(), title: title.into(), ..Self::default() }
    }

    /// With a paragraph.
    pub fn say(mut self, text: impl Into<String>) -> Self {
        self.lead.push((Weight::Text, text.into()));
        self
    }

    /// With a paragraph on how to read it.
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.lead.push((Weight::Note, text.into()));
        self
    }

    /// With a warning.
    pub fn warn(mut self, text: impl Into<String>) -> Self {
        self.lead.push((Weight::Warning, text.into()));
        self
    }

    /// With tables.
    pub fn tables(mut self, tables: impl IntoIterator<Item = Table>) -> Self {
        self.blocks.extend(tables.into_iter().map(Block::Table));
        self
    }

    /// With anything else.
    pub fn with(mut self, blocks: impl IntoIterator<Item = Block>) -> Self {
        self.blocks.extend(blocks);
        self
    }

    /// Folded away.
    pub fn folded(mut self, gist: impl Into<String>) -> Self {
        self.fold = Some(gist.into());
        self
    }

    /// If it says or shows anything.
    pub fn if_any(self) -> Option<Self> {
        (!self.blocks.is_empty()).then_some(self)
    }

    /// Its tables, those of sections within too.
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
    /// Of a browser's tab.
    pub title: String,
    /// What kind of page it is, with what sets it apart.
    pub kind: String,
    /// Words that must not be missed beside the kind.
    #[serde(skip)]
    pub tags: Vec<(&'static str, Tone)>,
    /// The answer in one sentence.
    pub answer: String,
    /// What belongs right behind it.
    pub caveats: Vec<String>,
    /// Where and when, in small print.
    pub about: String,
    /// Pictures of the first screen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<Chart>,
    /// What to use when, what is worth knowing, what is not settled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<Card>,
    /// What makes the figures less than they seem.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Why.
    pub sections: Vec<Section>,
}
