//! Everything that is made out of a receipt for people: charts, CSV, a page, a table on the terminal. The receipt is the
//! only input, so that any old one renders again.

mod chart;
mod csv;
mod figures;
#[cfg(test)]
pub mod fixture;
mod query;
mod seed;
