//! Scenarios as they are written, and the cells that they make.

use super::*;

const WHOLE: &str = concat!(
    "name = \"t\"\nsummary = \"s\"\nanalysis = \"a\"\nkernels = [\"scalar\"]\n",
    "[micro]\nrounds = 10\nresidency = [\"cache\", \"dram\"]\n",
    "gemv = [\"16x256\"]\ndequantize = [\"1x256\", \"1x512\", \"1x1024\"]\n",
    "[generate]\nprompt = \"p\"\nmax_tokens = 5\nrounds = 3\n",
);

fn error(text: &str) -> String {
    Scenario::parse("f.toml", text).expect_err("refused").to_string()
}

#[test]
fn the_built_in_ones_are_valid_and_named_like_their_files() {
    for (name, text) in BUILTIN {
        let scenario = Scenario::parse(name, text).expect("valid");
        assert_eq!(scenario.name, name);
        assert!(!scenario.summary.is_empty() && scenario.analysis.len() > 100, "{name} explains itself");
    }
}

#[test]
fn cells_cover_the_matrix() {
    let mut scenario = Scenario::parse("f.toml", WHOLE).expect("valid");
    assert_eq!(scenario.cells(None).len(), 5);
    scenario.make_quick();
    assert_eq!(scenario.cells(None).len(), 4);
    assert!(scenario.record().quick);
}

#[test]
fn residencies_are_named_as_before_and_now() {
    let of = |text: &str| Scenario::parse("f.toml", text).expect("valid").micro.expect("micro").residency;
    assert_eq!(of(WHOLE), [Residency::Llc, Residency::Dram]);
    let now = WHOLE.replace("\"cache\", \"dram\"", "\"l2\", \"llc\"");
    assert_eq!(of(&now), [Residency::L2, Residency::Llc]);
    let e = error(&WHOLE.replace("\"cache\"", "\"l3\""));
    assert!(e.contains("line 7") && e.contains("take l2, llc"), "{e}");
}

#[test]
fn a_shape_may_have_a_residency_of_its_own() {
    let with = |gemv: &str| WHOLE.replace("[\"16x256\"]", gemv);
    let scenario = Scenario::parse("f.toml", &with("[\"16x256\", \"32x256 dram\", \"64x256 l2\"]")).expect("valid");
    let mut cells = scenario.cells(Some(L2 { bytes: 2 << 20, threads: 1 }));
    cells.retain(|c| c.op == Operation::Gemv);
    let want = [(16, Residency::Llc), (16, Residency::Dram), (32, Residency::Dram), (64, Residency::L2)];
    assert_eq!(cells.iter().map(|c| (c.shape.m, c.residency)).collect::<Vec<_>>(), want);
    let with_batch = WHOLE.replace("[micro]", "[micro]\ngemm = [\"16x256x4\", \"16x256x4 dram\"]");
    let batches = Scenario::parse("f.toml", &with_batch).expect("valid").cells(None);
    let batches = batches.iter().filter(|c| c.op == Operation::Gemm).map(|c| (c.tokens, c.residency));
    assert_eq!(batches.collect::<Vec<_>>(), [(4, Residency::Llc), (4, Residency::Dram)]);
    let e = error(&with("[\"16x256 disk\"]"));
    assert!(e.starts_with("f.toml: line 8: gemv: \"disk\" is no place"), "{e}");
}

#[test]
fn quick_keeps_rounds() {
    let mut scenario = Scenario::parse("f.toml", WHOLE).expect("valid");
    scenario.make_quick();
    let rounds = |s: &Scenario| (s.micro.as_ref().map(|m| m.rounds), s.generate.as_ref().map(|g| g.rounds));
    assert_eq!(rounds(&scenario), (Some(10), Some(3)));
    // One text of a slow kernel takes a minute on a large model.
    let mut large = Scenario::parse("f.toml", &WHOLE.replace("[micro]", "model = \"a.gguf\"\n[micro]")).expect("valid");
    large.make_quick();
    assert_eq!(rounds(&large), (Some(10), Some(2)));
}

#[test]
fn errors_name_line_and_key() {
    for (old, new, start, part) in [
        ("[\"scalar\"]", "[\"scalar\", \"avx9\"]", "line 4: kernels: there is no kernel \"avx9\"; known: scalar,", ""),
        ("16x256", "16by256", "line 8: gemv: \"16by256\" is not a shape", ""),
        ("1x512", "0x512", "line 9: dequantize:", ""),
        ("rounds = 10", "round = 10", "line 6: unknown field `round`", ""),
        ("max_tokens = 5", "max_tokens = -5", "line 12:", "max_tokens"),
        ("rounds = 10", "rounds = 0", "line 6: rounds: 0 is not between", ""),
        ("\"dram\"", "\"disk\"", "line 7", "disk"),
        (WHOLE, "name = [", "line 1", ""),
    ] {
        let e = error(&WHOLE.replace(old, new));
        assert!(e.starts_with(&format!("f.toml: {start}")) && e.contains(part) && !e.contains('\n'), "{e}");
    }
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let e = Scenario::load("quik").expect_err("unknown").to_string();
    assert!(e.contains("quick, seed-tables, timeout, 2b-4t, prefill"), "{e}");
    assert!(Scenario::load("nowhere.toml").expect_err("missing").to_string().contains("nowhere.toml"));
}
