//! Engines: foreign programs that take token ids and give token ids, what is said to them, and what is right.

#[allow(dead_code)] // until the gate asks a binary that nobody can link to
pub mod kl_base;
