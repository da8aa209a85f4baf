//! Summaries of runs in a terminal and in Markdown: what they say, and that they keep to their width.

use crate::export::markdown;
use crate::{Look, first_sentence, fixture, summary};
use insta::assert_snapshot;
use receipt::{Receipt, Status};

fn look(width: usize, full: bool) -> Look {
    Look { width, full, ..Look::plain() }
}

fn all() -> [(&'static str, Receipt); 6] {
    [
        ("complete", fixture::complete()),
        ("interrupted", fixture::interrupted()),
        ("activation-rules", fixture::activation_rules()),
        ("engines", fixture::engines()),
        ("gpu", fixture::gpu()),
        ("gate-fail", fixture::two_kernels(0.1)),
    ]
}

#[test]
fn terminal_and_markdown_are_as_they_were() {
    for (name, receipt) in all() {
        assert_snapshot!(format!("{name}.txt"), summary(&receipt, look(80, false)));
        assert_snapshot!(format!("{name}.md"), markdown(&receipt));
    }
    assert_snapshot!("complete-full.txt", summary(&fixture::complete(), look(80, true)));
    assert_snapshot!("complete-60.txt", summary(&fixture::complete(), look(60, false)));
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let mut long = fixture::complete();
    let name = |id: &mut String| *id = format!("{id}-with-a-name-that-nobody-would-give-it");
    long.micro.iter_mut().for_each(|c| c.summaries.iter_mut().for_each(|s| name(&mut s.kernel)));
    long.generation.as_mut().unwrap().kernels.iter_mut().for_each(|k| name(&mut k.kernel));
    let mut gate = fixture::two_kernels(0.1);
    gate.gate.as_mut().unwrap().cells.iter_mut().for_each(|c| name(&mut c.kernel));
    let others = [long, gate, fixture::empty(), fixture::hostile()];
    for receipt in all().into_iter().map(|a| a.1).chain(others) {
        for width in [80, 60, 40] {
            for full in [false, true] {
                let text = summary(&receipt, look(width, full));
                assert!(!text.contains('\u{1b}'));
                // Commands are copied: never broken.
                for line in text.lines().filter(|line| !line.starts_with("  ")) {
                    assert!(line.chars().count() <= width, "{width}: {line}");
                    assert_eq!(line, line.trim_end(), "nothing behind a line");
                }
            }
        }
    }
}

#[test]
fn the_summary_is_short_and_begins_with_the_answer() {
    let receipt = fixture::complete();
    let text = summary(&receipt, look(80, false));
    assert_eq!(text.lines().count().min(60), text.lines().count(), "{text}");
    let first = text.split("\n\n").next().unwrap().replace('\n', " ");
    assert_eq!(first, first_sentence(&receipt));
    assert!(!text.contains("How far from the limit"));
    assert!(summary(&receipt, look(80, true)).contains("How far from the limit"));
}

#[test]
fn narrow_terminals_lose_columns_and_are_told() {
    let text = summary(&fixture::complete(), look(40, false));
    assert!(text.contains("does not fit") || text.contains("do not fit"), "{text}");
}

#[test]
fn colour_only_when_asked() {
    let colored = Look { color: true, ..Look::plain() };
    assert!(summary(&fixture::complete(), colored).contains("\u{1b}["));
    assert!(summary(&fixture::two_kernels(0.1), colored).contains("\u{1b}["));
}

#[test]
fn a_receipt_cannot_steer_the_terminal() {
    let mut receipt = fixture::complete();
    for cell in &mut receipt.micro {
        cell.summaries.iter_mut().for_each(|s| s.kernel = s.kernel.replace("avx2", "\u{1b}[2J"));
        cell.entries.iter_mut().for_each(|e| e.kernel = e.kernel.replace("scalar", "\u{1b}]0;x"));
    }
    receipt.error = Some("\u{1b}[2J".into());
    receipt.status = Status::Failed;
    receipt.host.cpu = "\u{1b}[2J".into();
    for full in [false, true] {
        assert!(!summary(&receipt, look(80, full)).contains('\u{1b}'));
    }
}

#[test]
fn what_is_wrong_end_to_end_is_said() {
    let mut receipt = fixture::complete();
    let kernels = &mut receipt.generation.as_mut().unwrap().kernels;
    (kernels[1].goldens[0].passed, kernels[1].ids_equal_baseline) = (false, false);
    let text = summary(&receipt, look(200, false));
    let known = receipt.generation.iter().flat_map(|g| &g.kernels).map(|k| k.goldens.len()).sum::<usize>();
    assert!(text.contains(&format!("{} of {known} known answers", known - 1)), "{text}");
    assert!(text.contains("avx2-foundation"), "{text}");
}

#[test]
fn what_failed_comes_with_its_reason() {
    let mut receipt = fixture::complete();
    assert!(!markdown(&receipt).contains("| failed"));
    (receipt.verify[1].mismatches, receipt.verify[1].first_mismatch) = (2, Some("row 1 | x".into()));
    let text = markdown(&receipt);
    assert!(text.contains("| `failed` | oracle: ") && text.contains("row 1 \\| x"), "{text}");
}

#[test]
fn families_share_no_table_and_a_comment_has_room() {
    let text = markdown(&fixture::complete());
    assert!(text.len() < 65_536, "{}", text.len());
    for table in text.split("\n\n").filter(|t| t.starts_with("| kernel") || t.starts_with("| Kernel")) {
        assert!(!(table.contains("avx2-nibble") && table.contains("avx2-i8")), "{table}");
    }
    for receipt in [fixture::complete(), fixture::interrupted(), fixture::empty()] {
        let answer = crate::markdown::escape(&first_sentence(&receipt));
        assert_eq!(markdown(&receipt).lines().nth(2), Some(answer.as_str()));
    }
    let hostile = markdown(&fixture::hostile());
    // In code spans and blocks markup is text already.
    let outside: String = hostile.split('`').step_by(2).collect();
    assert!(!outside.contains("<script") && !hostile.contains('\u{1}'), "{outside}");
}
