//! What a receipt holds, a file a part. Records are data: what follows from them is the judge's.

mod blocks;
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
mod run;
mod verdict;

pub use blocks::{BlockEntry, BlockRound, BlockSummary, TokenBlocks};
pub use count::{CountRecord, LoopRecord, Mix};
pub use finding::Finding;
pub use gate::{Broken, ExactCheck, Gap, GateCell, GatePair, GateRecord, GateSide, Injection, LeftOut, Unsupported};
pub use generation::{
    DecodeTimesNs, ForwardMs, GenerationKernel, GenerationRecord, GenerationRound, GoldenCheck, KvCacheRecord,
    PhasesMs, PrefillProbe, PrefillRecord, SparseFfnRecord, SparseProbe,
};
pub use kernel::{KernelRecord, VerifyRecord};
pub use limits::{
    Bandwidth, Bound, BoundBy, KernelMultiply, LastLevel, Limits, MultiplyPeak, Spread, SweepPoint, TeamPeak,
};
pub use micro::{Lead, MicroCell, MicroEntry, MicroSummary, Ratio, Residency, StreamLimit};
pub use operation::{Family, Operation};
pub use perplexity::{HeadEffect, LutFinding, PerplexityKernel, PerplexityRecord};
pub use provenance::{Build, Host, Load, ModelRecord, ScenarioRecord, Settings};
pub use round::Round;
pub use run::{Receipt, SCHEMA_VERSION, Status};
pub use verdict::{Outcome, Rule, Verdict};
