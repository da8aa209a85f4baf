//! What a receipt holds, a file a part. Records are data: what follows from them is the judge's.

mod beside;
mod blocks;
mod choice;
mod count;
mod finding;
mod gate;
mod generation;
mod kernel;
mod limits;
mod micro;
mod number;
mod operation;
mod perplexity;
mod provenance;
mod round;
mod row;
mod run;
mod verdict;

pub use beside::{BesideCell, BesideEntry};
pub use blocks::*;
pub use choice::{Candidate, Choice};
pub use count::{CountRecord, LoopRecord, Mix, PortCycles};
pub use finding::Finding;
pub use gate::*;
pub use generation::*;
pub use kernel::*;
pub use limits::*;
pub use micro::*;
pub use operation::{Activations, Family, Operation, Scaling};
pub use perplexity::*;
pub use provenance::*;
pub use round::Round;
pub use row::{ForeignRecord, RowStatus, WithoutTime};
pub use run::{Receipt, SCHEMA_VERSION, Status};
pub use verdict::{Outcome, Rule, Verdict};
