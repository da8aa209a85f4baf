//! Engines: which of them is right, and what the turns of those say of their speed.

mod headline;
mod speed;
mod status;
mod truth;
mod words;

pub use headline::{headline, how_many};
pub use speed::{fill, samples};
pub use status::{ranked, statuses, summarize};
pub use truth::{TIE, compare, likeliest_mistake, oracle, oracle_bits, truth_status};
pub use words::{first_fault, perplexity, sentence, status_word};
