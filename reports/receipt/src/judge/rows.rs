//! Which rows have no time, and why: of the suite, of the cells, and of whole texts, in one list.

use crate::record::{Receipt, RowStatus};
use crate::titles;

/// Where a row of the suite is.
pub const VERIFICATION: &str = "verification";

/// Where a row of whole texts is, and one of their scores.
const WHOLE_TEXT: &str = "whole text";
const PERPLEXITY: &str = "perplexity";

/// A kernel without a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Id of the kernel.
    pub kernel: String,
    /// Where: [`VERIFICATION`], a cell's title, or what was done with a whole text.
    pub place: String,
    /// Why, in a word.
    pub status: RowStatus,
    /// Why, in a sentence.
    pub why: String,
}

impl Row {
    /// Whether it is a wrong result in the suite, which has a sentence and a finding of its own.
    pub fn is_wrong_in_the_suite(&self) -> bool {
        self.place == VERIFICATION && self.status == RowStatus::Wrong
    }
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
    let texts = receipt.generation.iter().flat_map(|generation| &generation.without_time);
    let scores = receipt.perplexity.iter().flat_map(|perplexity| &perplexity.without_score);
    let whole = texts.map(|out| (WHOLE_TEXT, out)).chain(scores.map(|out| (PERPLEXITY, out)));
    let whole = whole.map(|(place, out)| Row {
        kernel: out.kernel.clone(),
        place: place.into(),
        status: out.status,
        why: out.why.clone(),
    });
    verified.chain(cells).chain(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::judge::findings::findings;
    use crate::record::WithoutTime;

    #[test]
    fn rows_of_the_suite_and_of_cells_are_listed_with_their_reason() {
        let mut receipt = fixture::complete();
        assert_eq!(without_time(&receipt), []);
        let verified = receipt.verify.iter_mut().find(|v| v.available).expect("some");
        (verified.cases, verified.mismatches, verified.status) = (0, 1, RowStatus::Crashed);
        verified.first_mismatch = Some("its process ended in gemv 1x1".into());
        let id = verified.id.clone();
        let why = "1.30 times as fast".to_owned();
        receipt.micro[0].without_time = vec![WithoutTime { kernel: "mine".into(), status: RowStatus::Impossible, why }];
        let [suite, cell] = &without_time(&receipt)[..] else { panic!("two rows") };
        assert_eq!((&suite.kernel, suite.status, &suite.place[..]), (&id, RowStatus::Crashed, VERIFICATION));
        assert_eq!((&cell.kernel[..], cell.status), ("mine", RowStatus::Impossible));
        let told = findings(&receipt);
        let finding = told.iter().find(|f| f.title.contains("rows without a time")).expect("told");
        assert!(finding.text.contains("crashed: its process ended in gemv 1x1"), "{}", finding.text);
        assert!(told.iter().all(|f| f.title != "A kernel computes something else"));
        // What is wrong has a finding of its own; what this CPU lacks is no fault.
        receipt.micro[0].without_time.clear();
        let verified = receipt.verify.iter_mut().find(|v| v.id == id).expect("there");
        (verified.cases, verified.status) = (9, RowStatus::Ok);
        assert_eq!(without_time(&receipt)[0].status, RowStatus::Wrong);
        assert!(findings(&receipt).iter().any(|f| f.title == "A kernel computes something else"));
        let verified = receipt.verify.iter_mut().find(|v| v.id == id).expect("there");
        (verified.available, verified.mismatches) = (false, 0);
        assert_eq!(without_time(&receipt), []);
    }
}
