use super::*;
use crate::comparison::Comparison;
use crate::export::markdown;
use crate::fixture;
use insta::assert_snapshot;
use receipt::Status;

fn look(width: usize, full: bool) -> Look {
    Look { width, full, ..Look::plain() }
}

fn all() -> [(&'static str, Receipt); 3] {
    [
        ("complete", fixture::complete()),
        ("interrupted", fixture::interrupted()),
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
                for line in text.lines() {
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
    assert!(!text.contains("share of the bound"));
    assert!(summary(&receipt, look(80, true)).contains("share of the bound"));
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
    let runs = vec![("\u{1b}[2J".to_string(), fixture::complete()), ("b".to_string(), receipt)];
    assert!(!comparison(&Comparison::new(runs).unwrap(), look(80, false)).contains('\u{1b}'));
}

#[test]
fn what_is_wrong_end_to_end_is_said() {
    let mut receipt = fixture::complete();
    let kernels = &mut receipt.generation.as_mut().unwrap().kernels;
    (kernels[1].goldens[0].passed, kernels[1].ids_equal_baseline) = (false, false);
    let text = summary(&receipt, look(200, false));
    assert!(text.contains("7 of 8 known answers") && text.contains("avx2-foundation"), "{text}");
}
