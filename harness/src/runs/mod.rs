//! Folders of runs: the one that a run writes to, what is rendered into it, and the pages over several.

mod check;
mod folder;
mod index;
mod links;
mod new_receipt;
mod scan;
mod write;

pub use check::{check_all, unsound};
pub use folder::{RunFolder, SUMMARY_FILE, refuse_to_replace};
pub use index::write_index;
pub use links::link;
#[cfg(feature = "gpu")]
pub use new_receipt::record_of;
pub use new_receipt::{close, kernel_records, new_receipt};
pub use write::{render_run, write_run_folder};
