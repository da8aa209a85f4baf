//! Measuring: interleaved rounds, what they say, microbenchmarks and end-to-end runs.

pub mod bench;
pub mod beside;
pub mod blocks;
pub mod end_to_end;
pub mod generation;
pub mod head;
pub mod last_level;
pub mod limits;
pub mod micro;
pub mod own_threads;
pub mod perplexity;
pub mod plays;
pub mod ready;
pub mod records;
pub mod rounds;
pub mod rules;
pub mod speaker;
pub mod staged;
