use super::change::Found;
use super::*;
use crate::fixture;
use receipt::judge::Direction;
use receipt::{Family, Operation, Receipt, Residency, Status};

fn compare(runs: Vec<Receipt>) -> Comparison {
    let named = ["a", "b", "c"].map(String::from).into_iter().zip(runs);
    Comparison::new(named.collect()).unwrap()
}

fn page(c: &Comparison) -> String {
    super::page(c, &[]).unwrap()
}

/// A run on the same machine whose kernel takes `factor` as long in every cell.
fn changed(kernel: &str, factor: f64) -> Receipt {
    let mut r = fixture::complete();
    for cell in &mut r.micro {
        let columns: Vec<usize> = (0..cell.entries.len()).filter(|i| cell.entries[*i].kernel == kernel).collect();
        for i in columns {
            cell.rounds.iter_mut().for_each(|round| round.ns[i] = (round.ns[i] as f64 * factor) as u64);
        }
    }
    r.build.git_commit = Some("fedcba9876543210fedcba9876543210fedcba98".into());
    r
}

fn directions(c: &Comparison, kernel: &str) -> Vec<Found> {
    let rows = c.tables.iter().filter(|t| t.unit == "Gelem/s").flat_map(|t| &t.rows).filter(|r| r.kernel == kernel);
    rows.filter_map(|r| Some(r.cells[1].change.as_ref()?.direction)).collect()
}

fn count(c: &Comparison, direction: Direction) -> usize {
    c.against[0].counts.iter().find(|(found, _)| *found == Some(direction)).unwrap().1
}

#[test]
fn a_run_against_itself_is_the_same() {
    let c = compare(vec![fixture::complete(), fixture::complete()]);
    assert_eq!((count(&c, Direction::Slower), count(&c, Direction::Faster)), (0, 0));
    // Half the level each: rounds that settle one run leave two of these open.
    let [same, open] = [Direction::Same, Direction::Undecided].map(Some);
    assert_eq!(directions(&c, "avx2-permute"), [open, same, open]);
    // Partners have no verdict of their own.
    assert!(directions(&c, "scalar").is_empty());
    assert!(c.opening.starts_with("B against A: of "), "{}", c.opening);
    let page = page(&c);
    assert!(page.contains("1.00× as fast by the clock") && page.contains("no verdict"));
    assert!(c.against[0].next.as_ref().unwrap().commands[0].contains("ci/calibrate.sh"), "one commit, nothing to gate");
}

#[test]
fn a_slower_kernel_and_a_faster_one_are_called_so() {
    let c = compare(vec![fixture::complete(), changed("avx2-permute", 1.2)]);
    assert!(directions(&c, "avx2-permute").iter().all(|v| *v == Some(Direction::Slower)));
    let [same, open] = [Direction::Same, Direction::Undecided].map(Some);
    assert_eq!(directions(&c, "avx2-nibble"), [same, same, open]);
    assert!(c.opening.contains(&format!("{} slower", count(&c, Direction::Slower))), "{}", c.opening);
    let changed_rows = c.changed();
    assert_eq!((changed_rows.len(), changed_rows[0].place().as_str()), (1, "all 3 cells"));
    let next = c.against[0].next.clone().unwrap();
    assert_eq!(next.commands[0], "git checkout fedcba9876543210fedcba9876543210fedcba98");
    assert_eq!(
        next.commands[1],
        "cargo run -p harness -- gate --against e61ebe635fd0a3d3f4c2efff5ddca6f08f80cd0d --scenario quick --full \
         --kernels avx2-permute"
    );
    let page = page(&c);
    assert!(page.contains("▼ slower") && page.contains(&next.commands[1]));

    let c = compare(vec![fixture::complete(), changed("avx2-i8", 0.8)]);
    assert!(directions(&c, "avx2-i8").iter().all(|v| *v == Some(Direction::Faster)));
}

#[test]
fn a_partner_that_changed_is_suspected() {
    let c = compare(vec![fixture::complete(), changed("scalar", 0.8)]);
    assert!(directions(&c, "avx2-nibble").iter().all(|v| *v == Some(Direction::Slower)));
    assert!(c.opening.contains("it may be scalar that changed"), "{}", c.opening);
    assert!(c.remarks[0].contains("scalar having become faster"), "{:?}", c.remarks);
}

#[test]
fn nothing_of_another_host_is_divided() {
    let mut other = changed("avx2-permute", 2.0);
    other.host.cpu = "<script>".into();
    let c = compare(vec![fixture::complete(), other]);
    for cell in c.tables.iter().flat_map(|t| t.rows.iter().map(|r| &r.cells[1])) {
        assert_eq!(cell.unpaired, None);
        assert!(cell.change.as_ref().is_none_or(|c| c.direction.is_none() && c.ratio.is_none()));
    }
    assert!(c.changed().is_empty() && c.remarks.is_empty());
    assert_eq!(c.opening, "B is not from the machine and setting of A (CPU differs), so nothing is compared.");
    let page = page(&c);
    assert!(!page.contains("by the clock</small>") && !page.contains("× as fast by the clock"));
    assert!(page.contains("Why nothing of B is held against A") && page.contains("&lt;script&gt;"));
    assert!(!page.contains("<svg"), "no line joins two hosts");
    // Each run's own ratios stand beside each other all the same.
    assert!(c.tables[0].rows.iter().any(|r| r.cells.iter().all(|c| c.paired.ends_with('×'))));
}

#[test]
fn only_the_other_host_is_left_out_of_three() {
    let mut other = fixture::complete();
    other.host.cpus = 64;
    let c = compare(vec![fixture::complete(), other, changed("avx2-permute", 1.2)]);
    assert!(!c.against[0].comparable && c.against[1].comparable);
    assert!(c.opening.contains("(number of CPUs differs)") && c.opening.contains("C against A: of "));
    assert!(page(&c).contains("over 2 runs"), "A and C share a history");
}

#[test]
fn what_one_run_lacks_is_named() {
    let mut other = fixture::complete();
    other
        .micro
        .retain(|c| c.op != Operation::Dequantize && (c.residency == Residency::Cache || c.family != Family::W2A32));
    other.kernels.iter_mut().filter(|k| k.id == "avx2-i8").for_each(|k| {
        (k.available, k.reason) = (false, Some("this CPU lacks avx2".into()));
    });
    for cell in other.micro.iter_mut().filter(|c| c.family == Family::W2A8) {
        cell.summaries.truncate(1);
        cell.entries.truncate(1);
        cell.rounds.iter_mut().for_each(|r| r.ns.truncate(1));
    }
    let c = compare(vec![fixture::complete(), other]);
    let all = c.against[0].lacking.join("\n");
    assert!(all.contains("dequantize 1×16384, from L2: only in A"), "{all}");
    assert!(all.contains("avx2-i8: not possible in B: this CPU lacks avx2"), "{all}");
    assert!(c.opening.contains("in one run only"), "{}", c.opening);
    assert!(page(&c).contains("not possible in B: this CPU lacks avx2"));
}

#[test]
fn unstable_and_short_cells_are_not_compared() {
    let mut unstable = fixture::complete();
    for cell in &mut unstable.micro {
        let again = cell.entries.iter().position(|e| e.self_pair).unwrap();
        cell.rounds.iter_mut().for_each(|round| round.ns[again] = (round.ns[again] as f64 * 1.06) as u64);
    }
    let c = compare(vec![fixture::complete(), unstable]);
    assert!(directions(&c, "avx2-permute").iter().all(|v| *v == Some(Direction::Unstable)));
    let c = compare(vec![fixture::complete(), fixture::interrupted()]);
    let reasons: Vec<&str> =
        c.tables[0].rows.iter().filter_map(|r| Some(r.cells[1].change.as_ref()?.reason.as_str())).collect();
    assert!(reasons.iter().any(|r| r.contains("too few rounds for an interval (50 and 4)")), "{reasons:?}");
}

#[test]
fn another_result_is_no_matter_of_speed() {
    let mut other = fixture::complete();
    other.micro.iter_mut().flat_map(|c| &mut c.entries).for_each(|e| e.output_sha256 = "cd".repeat(32));
    let c = compare(vec![fixture::complete(), other]);
    assert!(c.opening.contains("rows give other results than A"), "{}", c.opening);
    assert!(page(&c).contains("computes something else than in A"));
    // f32 stages may round differently.
    assert!(c.tables[0].rows.iter().all(|r| r.cells[1].note.is_none()));
}

#[test]
fn gates_are_shown_not_divided() {
    let c = compare(vec![fixture::two_kernels(0.0), fixture::two_kernels(0.1)]);
    assert_eq!(c.opening, "Gates: A is PASS and B is FAIL.");
    let row = c.gates.iter().find(|g| g.title.starts_with("avx2-i8 ")).unwrap();
    let words: Vec<&str> = row.cells.iter().map(|c| c.as_ref().unwrap().0.as_str()).collect();
    assert_eq!(words, ["PASS", "FAIL"]);
    assert!(page(&c).contains("its verdicts stand by themselves"));
    let c = compare(vec![fixture::complete(), fixture::two_kernels(0.1)]);
    assert!(c.opening.starts_with("B holds no kernel timings to compare (a gate)."), "{}", c.opening);
}

#[test]
fn runs_that_measured_different_things_still_render() {
    let c = compare(vec![fixture::complete(), fixture::empty()]);
    assert!(page(&c).contains("not measured"));
    let c = compare(vec![fixture::empty(), fixture::empty()]);
    assert!(page(&c).contains("None of these runs timed anything."));
    assert!(Comparison::new(vec![("a".into(), fixture::empty())]).is_err());
    let many = (0..27).map(|i| (i.to_string(), fixture::empty())).collect();
    assert!(Comparison::new(many).unwrap_err().to_string().contains("report DIR"));
}

#[test]
fn hostile_strings_stay_text_everywhere() {
    let mut hostile = fixture::hostile();
    hostile.host = fixture::complete().host;
    hostile.scenario.name = "x'; rm -rf <b>\u{1b}".into();
    hostile.argv.clear();
    hostile.build.git_commit = Some("$(reboot)".into());
    let c = compare(vec![hostile.clone(), hostile]);
    let page = page(&c);
    assert!(!page.contains("<script") && !page.contains("<b>\u{1b}"), "no script at all on this page");
    assert!(page.contains("&lt;script&gt;alert("));
    assert!(page.contains("default-src 'none'"));
    let text = markdown(&c);
    let outside: String = text.split('`').step_by(2).collect();
    assert!(!outside.contains("<script"), "{outside}");
    let commands = c.against[0].next.iter().flat_map(|n| &n.commands);
    for command in commands {
        assert!(!command.contains('\u{1b}'));
        assert!(!command.contains("rm -rf") || command.contains("'x'\\''; rm -rf <b>\u{fffd}'"), "{command}");
    }
}

#[test]
fn the_same_receipts_give_the_same_bytes() {
    let make = || page(&compare(vec![fixture::complete(), changed("avx2-i8", 1.1)]));
    assert_eq!(make(), make());
    let empty = compare(vec![fixture::complete(), Receipt { status: Status::Failed, ..fixture::empty() }]);
    assert!(markdown(&empty).contains("its run is failed"));
}
