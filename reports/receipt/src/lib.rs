//! What a run measured, and everything that follows from it.
//!
//! *For*: whoever audits a receipt builds this crate alone, in seconds, on any CPU: it reads a receipt's bytes,
//! computes every figure and verdict again from the raw rounds, and says what does not hold.
//!
//! *Knows*: what a receipt holds ([`Receipt`] and its parts), the one [`judge`] of comparisons, the [`recheck`], how
//! figures are written, the JSON Schema.
//!
//! *Must never know*: kernels, models, the machine it runs on, pages and charts, the command line. It opens no file and
//! times nothing: a receipt comes in as bytes and goes out as bytes. Claims and kernel ids come as arguments.

#[cfg(test)]
extern crate self as receipt;

mod error;
pub mod figures;
#[cfg(test)]
#[path = "../tests/fixture/mod.rs"]
mod fixture;
mod integrity;
pub mod judge;
pub mod random;
pub mod recheck;
mod record;
mod schema;
mod store;
pub mod titles;
pub mod toml_error;

pub use error::{Error, Kind, Result};
pub use integrity::{FIELD as INTEGRITY_FIELD, Integrity};
pub use record::*;
pub use schema::schema;
pub use store::{RECEIPT_FILE, parse, sealed};
