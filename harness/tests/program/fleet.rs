//! A thousand receipts made by varying a real one: every edited one is named, copies count once, and what cannot be
//! read takes nothing with it.

use crate::common::*;
use receipt::Receipt;
use serde_json::Value;
use std::collections::BTreeMap;

const MACHINES: usize = 40;
const RUNS: usize = 920;
const COPIES: usize = 30;
const EDITED: usize = 40;
/// Half-written, of another version, no receipt, two runs of one id, a loop of links.
const OTHERS: [(&str, &str); 6] = [
    ("half/receipt.json", "unreadable"),
    ("loop", "loop"),
    ("none/receipt.json", "unreadable"),
    ("twice-a/receipt.json", "other_content"),
    ("twice-b/receipt.json", "other_content"),
    ("version/receipt.json", "other_version"),
];

/// What `receipt verify DIR` and `report DIR` must say of each file, by path.
fn fleet(folder: &Folder) -> BTreeMap<String, String> {
    // A real run, of which a few cells are kept.
    let file = include_bytes!("../../../reports/receipt/tests/fixture/compare.json");
    let whole: Receipt = receipt::parse("a run", file).expect("a receipt");
    let mut expected = BTreeMap::new();
    let mut write = |name: String, bytes: Vec<u8>, standing: &str| {
        folder.write(&format!("{name}/receipt.json"), bytes);
        expected.insert(format!("{name}/receipt.json"), standing.to_owned());
    };
    let varied = |i: usize| {
        let mut r = Receipt { run_id: Some(format!("{i:032x}")), ..whole.clone() };
        let machine = i % MACHINES;
        r.host.family_model_stepping = Some([25, 1 + machine as u32, 1]);
        r.host.cpu = format!("AMD EPYC of kind {}", machine / 2);
        r.timestamp = format!("2026-03-{:02}T{:02}:00:{:02}Z", 1 + i / 48, i / 2 % 24, i % 60);
        receipt::sealed(&r).expect("written")
    };
    for i in 0..RUNS {
        let (name, bytes) = (format!("run-{i:04}"), varied(i));
        if i < COPIES {
            // After the original in the order of paths.
            write(format!("{name}copy"), bytes.clone(), "repeated");
        }
        if i < EDITED {
            let text = String::from_utf8(bytes.clone()).expect("JSON");
            let edited = match i % 3 {
                0 => text.replacen("\"elapsed_s\":", "\"elapsed_s\":1", 1),
                1 => text.replacen("\"pinned_cpus\":[]", "\"pinned_cpus\":[1]", 1),
                _ => text.replacen("\"governor\":null", "\"governor\":\"performance\"", 1),
            };
            assert_ne!(edited, text, "{i}");
            write(format!("edited-{i:04}"), edited.into_bytes(), "fails");
        }
        write(name, bytes, "holds");
    }
    let one = |elapsed: f64| {
        let r = Receipt { run_id: Some("twice".into()), elapsed_s: elapsed, ..whole.clone() };
        receipt::sealed(&r).expect("written")
    };
    write("twice-a".into(), one(1.0), "other_content");
    write("twice-b".into(), one(2.0), "other_content");
    let bytes = varied(RUNS);
    write("half".into(), bytes[..bytes.len() / 2].to_vec(), "unreadable");
    write("none".into(), b"{\"a\": 1}".to_vec(), "unreadable");
    let version = String::from_utf8(bytes).expect("JSON").replacen("schema_version\":\"1.", "schema_version\":\"2.", 1);
    write("version".into(), version.into_bytes(), "other_version");
    std::os::unix::fs::symlink(".", folder.path().join("loop")).expect("a link");
    expected.insert("loop".into(), "loop".into());
    assert!(OTHERS.iter().all(|(path, standing)| expected.get(*path).is_some_and(|known| known == standing)));
    expected
}

fn standings(receipts: &Value) -> BTreeMap<String, String> {
    let rows = list(receipts, "receipts").iter();
    rows.map(|row| (text(row, "path").to_owned(), text(row, "standing").to_owned())).collect()
}

#[test]
fn a_thousand_receipts_are_each_named_and_the_rest_is_whole() {
    let folder = Folder::new();
    let expected = fleet(&folder);
    assert_eq!(expected.len(), RUNS + COPIES + EDITED + OTHERS.len());
    let dir = folder.path().display();

    let output = run(&format!("receipt verify {dir} --json"));
    ends_with_error(&output, 1, &["edited-0000/receipt.json", "; 45 more"]);
    let found = parsed(&output);
    assert_eq!(standings(&found), expected);
    for row in list(&found, "receipts").iter().filter(|row| row["standing"] == "fails") {
        let edited: usize = text(row, "path")[7..11].parse().expect("its number");
        assert_eq!(text(row, "part"), ["/", "/settings", "/host"][edited % 3], "{row}");
    }

    let out = folder.at("page.html");
    let output = run(&format!("report {dir} --out {out} --json"));
    ends_with_error(&output, 1, &["; 45 more"]);
    let shown = parsed(&output);
    assert_eq!(standings(&shown), expected);
    let section = |id: &str| {
        let found = list(&shown, "sections").iter().find(|section| section["id"] == id);
        found.unwrap_or_else(|| panic!("no section {id}"))
    };
    let rows = |id: &str| list(&section(id)["blocks"][0]["table"], "rows");
    assert_eq!((rows("runs").len(), rows("machines").len()), (RUNS, MACHINES));
    assert_eq!(rows("left-out").len(), COPIES + EDITED + OTHERS.len());
    assert!(rows("machines").iter().all(|row| row["cells"][4]["value"] == RUNS / MACHINES), "copies count once");
    let page = folder.read("page.html");
    for path in expected.iter().filter(|(_, standing)| *standing == "fails").map(|(path, _)| path) {
        assert!(page.contains(&path.replace('/', "&#x2f;")) || page.contains(path.as_str()), "{path}");
    }
}
