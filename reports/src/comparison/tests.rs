use super::change::Found;
use super::parts::Pair;
use super::*;
use crate::document::{Page, html};
use crate::{Look, fixture};
use receipt::judge::Direction;
use receipt::{Activations, Family, Operation, Status};

fn compare(first: Receipt, other: Receipt) -> Comparison {
    Comparison::new(vec![("a".into(), None, first), ("b".into(), None, other)]).unwrap()
}

fn page(c: &Comparison) -> String {
    html(&c.page())
}

/// The complete run, of a build without uncommitted changes.
fn clean() -> Receipt {
    let mut r = fixture::complete();
    r.build.git_dirty = Some(false);
    r
}

/// A run on the same machine whose kernel takes `factor` as long in every cell.
fn changed(kernel: &str, factor: f64) -> Receipt {
    let mut r = clean();
    for cell in &mut r.micro {
        let columns: Vec<usize> = (0..cell.entries.len()).filter(|i| cell.entries[*i].kernel == kernel).collect();
        columns.into_iter().for_each(|i| fixture::slow_down(&mut cell.rounds, i, factor - 1.0));
    }
    r.build.git_commit = Some("fedcba9876543210fedcba9876543210fedcba98".into());
    r
}

fn directions(c: &Comparison, kernel: &str) -> Vec<Found> {
    let own = c.pairs.iter().filter(|pair| !pair.text && pair.kernel == kernel);
    own.filter_map(|pair| Some(pair.change.as_ref()?.direction)).collect()
}

fn commands(c: &Comparison) -> Vec<String> {
    next::next(c).expect("a next step").1
}

fn section_ids(page: &Page) -> Vec<&str> {
    page.sections.iter().map(|s| s.id.as_str()).collect()
}

#[test]
fn a_run_against_itself_did_not_move() {
    let c = compare(clean(), clean());
    assert!(c.changed().is_empty());
    assert!(directions(&c, "avx2-permute").iter().all(|v| !matches!(v, Some(Direction::Slower | Direction::Faster))));
    // Partners have no verdict of their own.
    assert!(directions(&c, "scalar").is_empty());
    let page = c.page();
    assert!(page.answer.starts_with("B against A: of "), "{}", page.answer);
    assert!(page.pictures[0].title.starts_with("None of "), "{}", page.pictures[0].title);
    assert!(commands(&c)[0].contains("ci/calibrate.sh"), "one commit, nothing to gate");
}

#[test]
fn a_slower_kernel_and_a_faster_one_are_called_so() {
    let c = compare(clean(), changed("avx2-permute", 1.5));
    let slower = directions(&c, "avx2-permute");
    assert!(slower.iter().all(|v| *v == Some(Direction::Slower)), "{slower:?}");
    assert!(words::answer(&c).contains(&format!("{} slower", slower.len())), "{}", words::answer(&c));
    assert!(c.changed().iter().all(|pair| pair.kernel == "avx2-permute"));
    let (old, commands) = (clean().build.git_commit.unwrap(), commands(&c));
    assert_eq!(commands[0], "git checkout fedcba9876543210fedcba9876543210fedcba98");
    assert!(commands[1].starts_with(&format!("cargo run -p harness -- gate --against {old} --scenario ")));
    assert!(commands[1].contains(" --kernels avx2-permute"), "{commands:?}");
    assert!(page(&c).contains(&commands[1]));
    let c = compare(fixture::complete(), changed("avx2-i8", 0.5));
    assert!(directions(&c, "avx2-i8").iter().all(|v| *v == Some(Direction::Faster)));
}

#[test]
fn a_partner_that_changed_is_suspected() {
    let c = compare(fixture::complete(), changed("scalar", 0.5));
    assert!(directions(&c, "avx2-nibble").iter().all(|v| *v == Some(Direction::Slower)));
    assert!(words::answer(&c).contains("it may be scalar that changed"), "{}", words::answer(&c));
    assert!(c.page().warnings[0].contains("scalar having become faster"), "{:?}", c.page().warnings);
}

/// Two rules are two questions: no cell, no text and no history has both.
#[test]
fn runs_by_two_rules_share_nothing() {
    let [token, by_32] = [Activations::Token, Activations::Per32].map(fixture::by_rule);
    let c = compare(token.clone(), by_32);
    let grouped = c.pairs.iter().filter(|pair| pair.family == Family::W2gA8 && !pair.text);
    assert!(grouped.clone().count() > 0);
    for pair in grouped {
        assert!(pair.figures.iter().filter(|figure| figure.is_ok()).count() == 1, "{}", pair.place);
        assert!(pair.place.contains("groups of 64, "), "{}", pair.place);
    }
    let texts = c.pairs.iter().filter(|pair| pair.text).filter_map(|pair| pair.change.as_ref());
    let reasons: Vec<&str> = texts.map(|change| change.reason.as_str()).collect();
    assert!(reasons.contains(&"activations by token in A, by 32 in B"), "{reasons:?}");
    // The ladder has one form of activations in both.
    let ladder = |c: &Comparison| {
        let both = |pair: &&Pair| pair.family == Family::W2A32 && pair.figures.iter().all(|figure| figure.is_ok());
        c.pairs.iter().filter(both).filter(|pair| !pair.text).count()
    };
    assert_eq!(ladder(&c), ladder(&compare(token.clone(), token)));
    assert!(ladder(&c) > 0);
}

#[test]
fn a_gpu_is_another_machine_than_its_host() {
    let (gpu, mut cpu) = (fixture::gpu(), fixture::gpu());
    cpu.device = None;
    for c in [compare(cpu, gpu.clone()), compare(fixture::complete(), gpu.clone())] {
        assert!(c.pairs.iter().filter_map(|pair| pair.change.as_ref()).all(|change| change.direction.is_none()));
        let answer = c.page().answer;
        assert!(answer.contains("GPU") && answer.contains("nothing is compared"), "{answer}");
    }
    assert!(compare(gpu.clone(), gpu).differences.is_empty());
}

#[test]
fn nothing_of_another_host_is_divided() {
    let mut other = changed("avx2-permute", 2.0);
    other.host.cpu = "<script>".into();
    let c = compare(fixture::complete(), other);
    let moved = c.pairs.iter().filter_map(|pair| pair.change.as_ref());
    assert!(moved.clone().all(|change| change.direction.is_none() && change.ratio.is_none()));
    let page = c.page();
    assert_eq!(page.answer, "B is not from the machine and setting of A (CPU differs), so nothing is compared.");
    assert!(page.pictures.is_empty() && page.warnings.is_empty() && c.changed().is_empty());
    assert_eq!(page.sections[0].id, "next");
    assert_eq!(page.sections[1].title, "Why nothing of B is held against A");
    // Each run's own ratios stand beside each other all the same.
    let both = |pair: &Pair| pair.figures.iter().all(|f| f.as_ref().is_ok_and(|f| f.ratio.is_some()));
    assert!(c.pairs.iter().any(both));
    assert!(self::page(&c).contains("&lt;script&gt;"));
}

#[test]
fn what_one_run_lacks_is_named() {
    let mut other = fixture::complete();
    other.micro.retain(|c| c.op != Operation::Dequantize);
    let kernel = other.kernels.iter_mut().find(|k| k.id == "avx2-i8").unwrap();
    (kernel.available, kernel.reason) = (false, Some("this CPU lacks avx2".into()));
    for cell in other.micro.iter_mut().filter(|c| c.family == Family::W2A8) {
        cell.summaries.truncate(1);
        cell.entries.truncate(1);
        cell.rounds.iter_mut().for_each(|r| r.ns.truncate(1));
    }
    let c = compare(fixture::complete(), other);
    let all = words::lacking(&c).join("\n");
    assert!(all.contains("dequantize ") && all.contains(": only in A"), "{all}");
    assert!(all.contains("avx2-i8: not possible in B: this CPU lacks avx2"), "{all}");
    assert!(words::answer(&c).contains("in one run only"), "{}", words::answer(&c));
    assert!(page(&c).contains("not possible in B: this CPU lacks avx2"));
}

#[test]
fn unstable_and_short_cells_are_not_compared() {
    let c = compare(fixture::complete(), fixture::unstable_headline());
    assert!(directions(&c, "avx2-i8").contains(&Some(Direction::Unstable)));
    let mut short = fixture::complete();
    short.micro.iter_mut().for_each(|cell| cell.rounds.truncate(4));
    let c = compare(fixture::complete(), short);
    let reasons = c.pairs.iter().filter_map(|pair| Some(pair.change.as_ref()?.reason.as_str()));
    assert!(
        reasons.clone().any(|r| r.starts_with("too few rounds for an interval (")),
        "{:?}",
        reasons.collect::<Vec<_>>()
    );
}

#[test]
fn another_result_is_no_matter_of_speed() {
    let mut other = fixture::complete();
    other.micro.iter_mut().flat_map(|c| &mut c.entries).for_each(|e| e.output_sha256 = "cd".repeat(32));
    let c = compare(fixture::complete(), other);
    assert!(words::answer(&c).contains("rows give other results than A"), "{}", words::answer(&c));
    assert!(page(&c).contains("computes something else than in A"));
    // f32 stages may round differently.
    assert!(c.pairs.iter().filter(|pair| pair.family == Family::W2A32).all(|pair| pair.note.is_none()));
}

#[test]
fn gates_are_shown_not_divided() {
    let c = compare(fixture::two_kernels(0.0), fixture::two_kernels(0.1));
    assert_eq!(words::answer(&c), "Gates: A is PASS and B is FAIL.");
    let page = c.page();
    let gates = page.sections.iter().find(|s| s.id == "gates").unwrap().all_tables();
    let row = gates[0].rows.iter().find(|row| row.cells[0].value.short().starts_with("avx2-i8 ")).unwrap();
    assert_eq!([row.cells[1].value.short(), row.cells[2].value.short()], ["PASS", "FAIL"]);
    let c = compare(fixture::complete(), fixture::two_kernels(0.1));
    assert!(words::answer(&c).starts_with("B holds no kernel timings to compare (a gate)."), "{}", words::answer(&c));
}

#[test]
fn runs_that_measured_different_things_still_render() {
    let c = compare(fixture::complete(), fixture::empty());
    assert!(page(&c).contains("not measured"));
    let c = compare(fixture::empty(), fixture::empty());
    assert!(page(&c).contains("None of these runs timed anything"));
    let failed = compare(fixture::complete(), Receipt { status: Status::Failed, ..fixture::empty() });
    assert!(failed.markdown().contains("its run is failed"));
    for n in [0, 1, 3] {
        let runs = (0..n).map(|i| (i.to_string(), None, fixture::empty())).collect();
        assert!(Comparison::new(runs).unwrap_err().to_string().contains("`report DIR`"));
    }
}

#[test]
fn every_form_says_the_same() {
    let c = compare(clean(), changed("avx2-permute", 1.5));
    let (page, wide) = (c.page(), Look { width: 10_000, ..Look::plain() });
    assert_eq!(section_ids(&page)[..2], ["changed", "next"]);
    assert_eq!(html(&page), html(&c.page()), "the same receipts, the same bytes");
    for text in [c.summary(wide), c.markdown().replace('\\', ""), html(&page)] {
        assert!(text.contains(&page.answer) && text.contains(&commands(&c)[1]), "{text}");
        assert!(text.contains("slower"), "{text}");
    }
    let full = c.summary(Look { full: true, ..wide });
    assert!(full.contains("by the clock") && full.len() > 2 * c.summary(wide).len());
}

#[test]
fn hostile_strings_stay_text_everywhere() {
    let mut hostile = fixture::hostile();
    hostile.host = fixture::complete().host;
    hostile.scenario.name = "x'; rm -rf <b>\u{1b}".into();
    hostile.argv.clear();
    hostile.build.git_commit = Some("$(reboot)".into());
    let c = compare(hostile.clone(), hostile);
    let page = page(&c);
    assert!(page.matches("<script").count() == 1 && !page.contains("<b>\u{1b}"), "its own script only");
    assert!(page.contains("&lt;script&gt;alert(") && page.contains("default-src 'none'"));
    let text = c.markdown();
    let outside: String = text.split('`').step_by(2).collect();
    assert!(!outside.contains("<script"), "{outside}");
    assert!(!c.summary(Look { full: true, ..Look::plain() }).contains('\u{1b}'));
    for command in commands(&c) {
        assert!(!command.contains('\u{1b}'));
        assert!(!command.contains("rm -rf") || command.contains("'x'\\''; rm -rf <b>\u{fffd}'"), "{command}");
    }
}
