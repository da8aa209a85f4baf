//! Everything that is made out of receipts for people and other tools: tables, pages, charts, Markdown, CSV, exports.
//!
//! *For*: one answer in every form. The receipt is the only input, so that any old one renders again.
//!
//! *Knows*: receipts, how they are shown, and the figures of the analysis that pages quote.
//!
//! *Must never know*: kernels, models, the machine it runs on, the command line. It opens no file and times nothing:
//! receipts come in parsed, [`Document`]s go out as names and bytes, and links between pages are the caller's, who
//! knows folders.

mod chart;
mod comparison;
mod csv;
mod document;
pub mod export;
#[cfg(test)]
#[path = "../receipt/tests/fixture/mod.rs"]
mod fixture;
mod gate;
mod gate_words;
mod history;
mod html;
mod index;
pub mod markdown;
mod matters;
#[cfg(test)]
mod pages;
mod query;
pub mod seed;
mod terminal;
mod verdict;
mod view;
mod words;

pub use self::csv::measurements;
pub use chart::START as CHART_START;
pub use comparison::identity::in_words as host_in_words;
pub use comparison::{Comparison, Run, markdown as comparison_markdown, page as comparison_page, shell_quoted};
pub use document::{Document, run_documents};
pub use gate::{annotation, annotations as gate_annotations, markdown as gate_markdown, table as gate_table};
pub use gate_words::outcome_word;
pub use index::{INDEX_FILE, Index, IndexRow, Links, Listing, Unreadable};
pub use terminal::{Look, comparison as comparison_summary, index as index_summary, noise, summary};
pub use verdict::{answer as first_sentence, caveats, whole_text};
pub use view::{claims_summary, kernel_source};
