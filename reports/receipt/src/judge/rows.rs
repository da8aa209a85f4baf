//! Which rows have no time, and why: of the suite and of the cells, in one list.

use crate::record::{Receipt, RowStatus};
use crate::titles;

/// Where a row of the suite is.
pub const VERIFICATION: &str = "verification";

/// A kernel without a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Id of the kernel.
    pub kernel: String,
    /// Where: [`VERIFICATION`], or a cell's title.
    pub place: String,
    /// Why, in a word.
    pub status: RowStatus,
    /// Why, in a sentence.
    pub why: String,
}

/// All rows without a time, those of the suite first. A kernel that this CPU cannot run is none: it is listed as such.
pub fn without_time(receipt: &Receipt) -> Vec<Row> {
    let failed = |status: RowStatus| !matches!(status, RowStatus::Ok | RowStatus::Unsupported);
    let verified = receipt.verify.iter().filter(|v| failed(v.row_status())).map(|v| Row {
        kernel: v.id.clone(),
        place: VERIFICATION.into(),
        status: v.row_status(),
        why: v.first_mismatch.clone().unwrap_or_else(|| format!("{} of {} cases", v.mismatches, v.cases)),
    });
    let cells = receipt.micro.iter().flat_map(|cell| {
        cell.without_time.iter().map(|out| Row {
            kernel: out.kernel.clone(),
            place: titles::cell_title(cell),
            status: out.status,
            why: out.why.clone(),
        })
    });
    verified.chain(cells).collect()
}
