//! Engines: foreign programs that take token ids and give token ids. First who is right, then who is fast.
//!
//! An engine is a process that answers lines of JSON ([`protocol`]). Nothing of it runs in this process, and none is
//! run that the user did not name ([`selection`]). All of them pass one gate ([`truth`]) before any is timed
//! ([`turns`]); what became of each is a row of the receipt.

pub mod answer;
pub mod asked;
pub mod base64;
pub mod client;
pub mod convert;
pub mod definition;
pub mod kl;
pub mod kl_base;
pub mod mistakes;
pub mod oracle;
pub mod own;
pub mod places;
pub mod process;
pub mod protocol;
pub mod run;
pub mod selection;
pub mod truth;
pub mod turns;
pub mod usage;
pub mod version;
