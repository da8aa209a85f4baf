//! JUnit XML: what CI systems show as tests.

use super::{Case, State, cases};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use receipt::Receipt;
use receipt::{Error, Result};

/// A run as JUnit XML. Undecided cases are skipped tests with the reason: they are neither passed nor failed.
///
/// # Errors
/// None that is known; the writer can refuse a document.
pub fn junit(receipt: &Receipt) -> Result<String> {
    let mut report = Report::new(format!("tritbench {}", receipt.scenario.name));
    let mut suites: Vec<TestSuite> = Vec::new();
    for case in cases(receipt) {
        if suites.last().is_none_or(|suite| suite.name.as_str() != case.suite) {
            suites.push(TestSuite::new(case.suite));
        }
        if let Some(suite) = suites.last_mut() {
            suite.add_test_case(test_case(case));
        }
    }
    report.add_test_suites(suites);
    report.to_string().map_err(|e| Error::failed(format!("cannot write JUnit XML: {e}")))
}

fn test_case(case: Case) -> TestCase {
    let status = match case.state {
        State::Passed => TestCaseStatus::success(),
        State::Failed(why) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(why).set_type(case.suite);
            status
        }
        State::Warned(why) | State::Skipped(why) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(why);
            status
        }
    };
    let mut test = TestCase::new(case.name, status);
    test.set_classname(case.suite);
    if !case.detail.is_empty() {
        test.set_system_out(case.detail);
    }
    test
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use quick_xml::Reader;
    use quick_xml::events::{BytesStart, Event};
    use std::collections::BTreeMap;

    /// (elements that may hold it, required attributes), as in the schema that Jenkins publishes for its JUnit plugin
    /// (junit-10.xsd), which CI systems at large follow.
    const RULES: [(&str, &[&str], &[&str]); 6] = [
        ("testsuites", &[""], &[]),
        ("testsuite", &["testsuites"], &["name", "tests"]),
        ("testcase", &["testsuite"], &["name", "classname"]),
        ("failure", &["testcase"], &[]),
        ("skipped", &["testcase"], &[]),
        ("system-out", &["testcase", "testsuite"], &[]),
    ];

    fn attributes(element: &BytesStart<'_>) -> BTreeMap<String, String> {
        let pair = |a: quick_xml::events::attributes::Attribute<'_>| {
            let key = String::from_utf8(a.key.as_ref().to_vec()).unwrap();
            (key, String::from_utf8(a.value.to_vec()).unwrap())
        };
        element.attributes().map(|a| pair(a.unwrap())).collect()
    }

    /// Checks the rules; returns how often each element occurs.
    fn assert_valid(xml: &str) -> BTreeMap<String, usize> {
        let mut reader = Reader::from_str(xml);
        reader.config_mut().check_end_names = true;
        let mut open: Vec<String> = vec![String::new()];
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut declared: Vec<(BTreeMap<String, String>, [usize; 3])> = Vec::new();
        let mut enter = |element: &BytesStart<'_>, parent: &str| {
            let name = String::from_utf8(element.name().as_ref().to_vec()).unwrap();
            let (_, parents, required) = RULES.iter().find(|r| r.0 == name).unwrap_or_else(|| panic!("<{name}>"));
            let attributes = attributes(element);
            assert!(parents.contains(&parent), "<{name}> in <{parent}>");
            assert!(required.iter().all(|a| attributes.contains_key(*a)), "<{name}> {attributes:?}");
            if name == "testsuite" {
                declared.push((attributes, [0; 3]));
            }
            let at = ["testcase", "failure", "skipped"].iter().position(|n| *n == name);
            if let (Some(at), Some((_, seen))) = (at, declared.last_mut()) {
                seen[at] += 1;
            }
            *counts.entry(name.clone()).or_default() += 1;
            name
        };
        loop {
            match reader.read_event().unwrap() {
                Event::Start(element) => {
                    let name = enter(&element, open.last().unwrap());
                    open.push(name);
                }
                Event::Empty(element) => drop(enter(&element, open.last().unwrap())),
                Event::End(_) => drop(open.pop()),
                Event::Eof => break,
                _ => {}
            }
        }
        for (attributes, [tests, failures, skipped]) in declared {
            let count = |name: &str| attributes.get(name).map_or(0, |n| n.parse::<usize>().unwrap());
            let skips = count("skipped") + count("disabled");
            assert_eq!([count("tests"), count("failures"), skips], [tests, failures, skipped], "{attributes:?}");
        }
        counts
    }

    #[test]
    fn counts_and_nesting_are_right() {
        let mut receipt = fixture::complete();
        (receipt.verify[1].mismatches, receipt.verify[1].first_mismatch) = (2, Some("row 1: 3 > 2 & <so>".into()));
        let xml = junit(&receipt).unwrap();
        let counts = assert_valid(&xml);
        let goldens = receipt.generation.as_ref().unwrap().kernels.len();
        assert_eq!(counts["testcase"], 1 + receipt.verify.len() + goldens + receipt::judge::tally(&receipt).total());
        assert_eq!(
            (counts["failure"], counts["skipped"]),
            (1, 3),
            "one mismatch; a kernel that does not run here, two open ratios"
        );
    }

    #[test]
    fn hostile_text_stays_text() {
        for receipt in [fixture::hostile(), fixture::interrupted(), fixture::empty()] {
            let xml = junit(&receipt).unwrap();
            assert_valid(&xml);
            assert!(!xml.contains("<script") && !xml.contains('\u{1}'));
        }
    }
}
