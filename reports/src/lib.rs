//! Everything that is made out of receipts for people and other tools: tables, pages, charts, Markdown, CSV, exports.
//!
//! *For*: one answer in every form. The receipt is the only input, so that any old one renders again. A page is a list
//! of [`document::Section`]s of tables whose figures are numbers; `document` renders them for a browser, a terminal,
//! Markdown, CSV and JSON.
//!
//! *Knows*: receipts, how they are shown, and the figures of the analysis that pages quote.
//!
//! *Must never know*: kernels, models, the machine it runs on, the command line. It opens no file and times nothing:
//! receipts come in parsed, [`Document`]s go out as names and bytes, and links between pages are the caller's, who
//! knows folders.

mod answer;
pub mod assembly;
mod chart;
mod comparison;
mod csv;
pub mod document;
pub mod export;
pub mod field;
#[cfg(test)]
#[path = "../receipt/tests/fixture/mod.rs"]
mod fixture;
mod gate;
mod gate_words;
mod history;
mod index;
mod lead;
pub mod markdown;
#[cfg(test)]
mod pages;
mod query;
mod run;
mod section;
pub mod seed;
#[cfg(test)]
mod terminal_tests;
mod words;

pub use self::csv::measurements;
pub use answer::answer as first_sentence;
pub use chart::START as CHART_START;
pub use comparison::Comparison;
pub use document::html as page_html;
pub use document::terminal::Look;
pub use gate::{annotation, annotations as gate_annotations};
pub use gate_words::outcome_word;
pub use index::{Entry, INDEX_FILE, Links, Unreadable, page as index_page, summary as index_summary};
pub use run::{Document, page as run_page, run_documents, summary};
pub use section::claims::summary as claims_summary;
pub use section::field_claims::{FIELD_FILE, page as field_page};
pub use section::kernels::source as kernel_source;
