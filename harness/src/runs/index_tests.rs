use super::*;
use crate::fixture;
use crate::receipt_file::write_receipt;
use receipt::Receipt;
use reports::INDEX_FILE;

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
    run(root, "two/earlier/1", "2026-02-02T00:00:00Z", |r| r.host.cpu = "Other".into());
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
    let unread: Vec<(&str, bool)> =
        index.unreadable.iter().map(|u| (u.path.as_str(), page.contains(&format!("<b>{}</b>", u.path)))).collect();
    assert_eq!(unread, [("broken", true), ("future", true), ("photos", true)]);
    assert!(index.unreadable[0].reason.contains("is not JSON") && index.unreadable[1].reason.contains("9.0.0"));
    assert_eq!(index.unreadable[2].reason, "no receipt.json in it or below");
    assert!(index.page.answer.starts_with("avx2-i8 is the fastest exact kernel of 3 of 3 runs, in the newest: "));
    assert!(index.page.answer.ends_with(" 1 gate said FAIL."), "{}", index.page.answer);
    let caveats = index.page.caveats.join(" ");
    assert!(caveats.starts_with("4 runs from 2026-02-01 to 2026-02-03, with 2 machines or settings."), "{caveats}");
    assert!(caveats.ends_with("3 folders could not be read or are no run; see the end."), "{caveats}");
}

/// The first column of the table of runs.
fn runs(index: &Index) -> Vec<String> {
    index.page.sections[0].all_tables()[0].rows.iter().map(|row| row.cells[0].value.short()).collect()
}

#[test]
fn rows_link_to_their_reports_and_say_what_matters() {
    let dir = folder();
    let (index, page) = page(dir.path());
    assert!(page.contains("href=\"one/report.html\"") && page.contains("href=\"two/earlier/1/receipt.json\""));
    assert!(!page.contains("href=\"gate/report.html\""), "there is none");
    let rows = &index.page.sections[0].all_tables()[0].rows;
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
    assert_eq!(page.matches("id=\"group-").count(), 1);
    assert!(page.contains("One run only"));
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
    for (i, folder) in [name, "other"].into_iter().enumerate() {
        let mut receipt = fixture::hostile();
        receipt.timestamp = format!("2026-02-0{}T00:00:00Z", i + 1);
        receipt.scenario.name = "<script>alert(1)</script>".into();
        write_receipt(&receipt, &dir.path().join(folder)).unwrap();
    }
    let (_, page) = page(dir.path());
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
