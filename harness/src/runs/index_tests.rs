use super::*;
use crate::fixture;
use crate::receipt_file::write_receipt;
use receipt::Receipt;
use receipt::recheck::Standing;
use reports::INDEX_FILE;
use reports::document::{Block, Row, Value};

fn run(root: &Path, name: &str, time: &str, change: impl FnOnce(&mut Receipt)) {
    let mut receipt = fixture::complete();
    receipt.timestamp = time.into();
    change(&mut receipt);
    write_receipt(&receipt, &root.join(name)).unwrap();
}

/// Two runs of one machine, one of another, a gate, and things that are no runs.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    run(root, "one", "2026-02-01T00:00:00Z", |_| {});
    run(root, "deep/er/two", "2026-02-03T00:00:00Z", |_| {});
    run(root, "two/earlier/1", "2026-02-02T00:00:00Z", |r| {
        (r.host.cpu, r.host.family_model_stepping) = ("Other".into(), Some([1, 2, 3]));
    });
    let gate = Receipt { timestamp: "2026-02-03T04:05:06Z".into(), ..fixture::two_kernels(0.1) };
    write_receipt(&gate, &root.join("gate")).unwrap();
    for (path, text) in [
        ("broken/receipt.json", "{\"schema_version\": oops"),
        ("future/receipt.json", "{\"schema_version\": \"9.0.0\"}"),
        ("photos/a/b.txt", "x"),
        (".hidden/receipt.json", "x"),
        ("one/charts/a.svg", "x"),
        ("one/report.html", "x"),
    ] {
        std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        std::fs::write(root.join(path), text).unwrap();
    }
    dir
}

fn page(dir: &Path) -> (Index, String) {
    let index = write_index(dir, &dir.join(INDEX_FILE), |_, _| {}).unwrap();
    (index, read(&dir.join(INDEX_FILE)))
}

/// The page with its slashes as a browser reads them.
fn read(page: &Path) -> String {
    std::fs::read_to_string(page).unwrap().replace("&#x2f;", "/")
}

#[test]
fn broken_receipts_and_foreign_folders_are_listed_and_not_fatal() {
    let dir = folder();
    let (index, page) = page(dir.path());
    assert_eq!(runs(&index), ["gate", "deep/er/two", "two/earlier/1", "one"], "the newest first");
    let unsound: Vec<&Checked> = index.checked.iter().filter(|row| !row.standing.is_sound()).collect();
    let said: Vec<(&str, Standing)> = unsound.iter().map(|row| (row.path.as_str(), row.standing)).collect();
    let expected = [("broken/receipt.json", Standing::Unreadable), ("future/receipt.json", Standing::OtherVersion)];
    assert_eq!(said, expected);
    assert!(unsound.iter().all(|row| page.contains(&row.path)), "each has a row");
    assert!(unsound[0].what.starts_with("is not JSON") && unsound[1].what.contains("9.0.0"), "{unsound:?}");
    let others: Vec<(&str, &str)> = index.others.iter().map(|u| (u.path.as_str(), u.reason.as_str())).collect();
    assert_eq!(others, [("photos", "no receipt.json in it or below")]);
    assert!(page.contains("<b>photos</b>"));
    assert!(index.page.answer.starts_with("avx2-i8 is the fastest exact kernel on 2 of 2 machines."));
    assert!(index.page.answer.ends_with(" 1 gate said FAIL."), "{}", index.page.answer);
    let caveats = index.page.caveats.join(" ");
    assert!(
        caveats.starts_with("4 runs from 2026-02-01 to 2026-02-03, on 2 machines by what they say about"),
        "{caveats}"
    );
    let left = "Of 6 receipts, 2 do not hold or cannot be read, and count nowhere. 1 folder holds no run; see the end.";
    assert!(caveats.ends_with(left), "{caveats}");
}

/// The rows of a section's first table.
fn rows<'i>(index: &'i Index, section: &str) -> &'i [Row] {
    let section = index.page.sections.iter().find(|s| s.id == section).unwrap_or_else(|| panic!("no {section}"));
    &section.all_tables()[0].rows
}

/// The first column of the table of runs.
fn runs(index: &Index) -> Vec<String> {
    rows(index, "runs").iter().map(|row| row.cells[0].value.short()).collect()
}

#[test]
fn rows_link_to_their_reports_and_say_what_matters() {
    let dir = folder();
    let (index, page) = page(dir.path());
    assert!(page.contains("href=\"one/report.html\"") && page.contains("href=\"two/earlier/1/receipt.json\""));
    assert!(!page.contains("href=\"gate/report.html\""), "there is none");
    let rows = rows(&index, "runs");
    assert_eq!(rows[0].cells[1].value.short(), "FAIL");
    assert!(rows[0].cells[1].sub[0].short().contains("avx2-i8"));
    assert_eq!(rows[3].cells[2].value.short(), "avx2-i8");
    assert!(rows[3].cells[4].value.short().contains('%'));
    assert_eq!(index.page.pictures.len(), 1);
}

#[test]
fn lines_join_runs_of_one_machine_only() {
    let dir = folder();
    let (_, page) = page(dir.path());
    assert!(page.contains("aria-label=\"2 runs, "), "a small line over the two of one machine");
    assert!(!page.contains("aria-label=\"3 runs, ") && !page.contains("aria-label=\"4 runs, "));
    assert_eq!(page.matches("<details id=\"times-").count(), 2, "a table for each machine");
}

#[test]
fn across_machines_there_is_no_time() {
    let dir = folder();
    let (index, _) = page(dir.path());
    let across = index.page.sections.iter().find(|s| s.id == "across").expect("two machines");
    assert!(across.all_tables().len() >= 3 && across.all_tables().iter().all(|table| table.rows.len() > 1));
    for cell in across.all_tables().iter().flat_map(|t| &t.rows).flat_map(|row| &row.cells) {
        let values = [&cell.value].into_iter().chain(&cell.sub);
        assert!(values.into_iter().all(|value| !matches!(value, Value::Time(_))), "{cell:?}");
    }
    let pictures = across.blocks.iter().filter(|block| matches!(block, Block::Chart(_))).count();
    assert!(pictures > 2, "one a kernel: {pictures}");
}

#[test]
fn links_are_followed_once_and_a_loop_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    run(root, "runs/a", "2026-02-01T00:00:00Z", |_| {});
    run(root, "elsewhere/b", "2026-02-02T00:00:00Z", |_| {});
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, root.join(at)).unwrap();
    link("../elsewhere", "runs/more");
    link("..", "runs/loop");
    link("round", "runs/round");
    link("a", "runs/latest");
    link("nowhere", "runs/gone");
    std::fs::create_dir(root.join("runs/c")).unwrap();
    link("nowhere", "runs/c/receipt.json");
    let index = write_index(&root.join("runs"), &root.join("page.html"), |_, _| {}).unwrap();
    assert_eq!(runs(&index), ["more/b", "a"]);
    let said: Vec<(&str, Standing)> = index.checked.iter().map(|row| (row.path.as_str(), row.standing)).collect();
    use Standing::{Holds, Loop, Unreadable};
    let holds = [("a/receipt.json", Holds), ("c/receipt.json", Unreadable), ("loop", Loop)];
    assert_eq!(said[..3], holds);
    assert_eq!(said[3..], [("more/b/receipt.json", Holds), ("round", Loop)]);
    assert_eq!(index.checked[2].what, "leads back to a folder above it");
}

#[test]
fn copies_count_once_and_runs_that_contradict_each_other_never() {
    let dir = tempfile::tempdir().unwrap();
    let of_run = |id: &'static str| move |r: &mut Receipt| r.run_id = Some(id.into());
    for name in ["a", "copy", "other"] {
        run(dir.path(), name, "2026-02-01T00:00:00Z", of_run("1"));
    }
    run(dir.path(), "b", "2026-02-02T00:00:00Z", of_run("2"));
    let (index, _) = page(dir.path());
    assert_eq!(runs(&index), ["b", "a"]);
    run(dir.path(), "other", "2026-02-03T00:00:00Z", of_run("1"));
    let (index, page) = page(dir.path());
    assert_eq!(runs(&index), ["b"], "nothing of a run that says two things");
    let said: Vec<Standing> = index.checked.iter().map(|row| row.standing).collect();
    assert_eq!(said, [Standing::OtherContent, Standing::Holds, Standing::OtherContent, Standing::OtherContent]);
    assert!(page.contains("2 receipts with different content call themselves run 1"));
}

#[test]
fn the_same_folder_gives_the_same_bytes_and_a_page_elsewhere_links_back() {
    let dir = folder();
    assert_eq!(page(dir.path()).1, page(dir.path()).1);
    let out = dir.path().join("two/site/all.html");
    std::fs::create_dir_all(out.parent().unwrap()).unwrap();
    write_index(dir.path(), &out, |_, _| {}).unwrap();
    assert!(read(&out).contains("href=\"../../one/report.html\""));
}

#[test]
fn hostile_names_and_receipts_stay_text() {
    let dir = tempfile::tempdir().unwrap();
    let name = "javascript:alert(1)\"<b>#?%";
    // One that counts, and one that does not.
    for (i, (folder, receipt)) in [(name, fixture::complete()), ("other", fixture::hostile())].into_iter().enumerate() {
        let mut receipt = receipt;
        receipt.timestamp = format!("2026-02-0{}T00:00:00Z", i + 1);
        receipt.scenario.name = "<script>alert(1)</script>".into();
        write_receipt(&receipt, &dir.path().join(folder)).unwrap();
    }
    let (index, page) = page(dir.path());
    let standing: Vec<Standing> = index.checked.iter().map(|row| row.standing).collect();
    assert_eq!(standing, [Standing::Holds, Standing::Fails], "{:?}", index.checked);
    assert_eq!(page.matches("<script").count(), 1, "only our own");
    assert!(!page.contains("href=\"javascript:") && !page.contains("<b>#"));
    assert!(page.contains("href=\"javascript%3Aalert%281%29%22%3Cb%3E%23%3F%25/receipt.json\""));
}

#[test]
fn an_empty_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = write_index(dir.path(), &dir.path().join(INDEX_FILE), |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("no receipt.json in it or in a folder below"), "{error}");
    assert!(!dir.path().join(INDEX_FILE).exists());
}
