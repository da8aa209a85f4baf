//! Scenarios as they are written, and the cells that they make.

use super::*;
use model::synth::SynthShape;

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

/// What a scenario is named after is in this program, and its products are those of that model.
#[test]
fn scenarios_of_models_time_their_matrices() {
    let sizes = [("2b-4t", 2560, 6912), ("bonsai-1.7b", 2048, 6144), ("bonsai-8b", 4096, 12_288)];
    for (name, dim, ffn) in sizes {
        let scenario = Scenario::load(name).expect("built in");
        assert_eq!(scenario.model, Some(format!("synth:{name}")));
        SynthShape::by_name(name).expect("a shape of model synth");
        let cells = scenario.cells(None);
        let gemv = |m, k| cells.iter().any(|c| c.op == Operation::Gemv && c.shape == Shape { m, k });
        assert!(gemv(ffn, dim) && gemv(dim, ffn) && gemv(dim, dim), "{name}");
        assert!(cells.iter().all(|cell| [dim, ffn].contains(&cell.shape.k)), "{name}");
    }
}

/// One rule is what a run computes by; of several the first is, and what each costs is asked besides.
#[test]
fn a_list_of_rules_is_a_question() {
    let of =
        |key: &str| Scenario::parse("f.toml", &WHOLE.replace("[micro]", &format!("{key}\n[micro]"))).expect("valid");
    let rules = |scenario: &Scenario| (scenario.activations, scenario.rules.clone());
    assert_eq!(rules(&of("")), (None, vec![]));
    assert_eq!(rules(&of("activations = \"128\"")), (Some(ActivationRule::Per128), vec![]));
    let both = vec![ActivationRule::Per32, ActivationRule::Token];
    let mut several = of("activations = [\"32\", \"token\"]");
    assert_eq!(rules(&several), (Some(ActivationRule::Per32), both.clone()));
    several.by_rule(Some(ActivationRule::Per256));
    assert_eq!(rules(&several), (Some(ActivationRule::Per256), both));
    let asked = Scenario::load("activation-rules").expect("built in");
    assert_eq!((asked.rules, asked.micro.is_none()), (ActivationRule::ALL.to_vec(), true));
}

/// A scenario says a rule, a flag says another; what neither says is one scale a token.
#[test]
fn cells_have_the_rule_that_is_asked_for() {
    let rules = |scenario: &Scenario| {
        let cells = scenario.cells(None);
        assert!(cells.iter().all(|cell| cell.scaling == cells[0].scaling && cell.scaling.group == 128));
        (scenario.activations, cells[0].scaling.rule)
    };
    let said = WHOLE.replace("[micro]", "activations = \"32\"\n[micro]");
    let mut scenario = Scenario::parse("f.toml", &said).expect("valid");
    assert_eq!(rules(&scenario), (Some(ActivationRule::Per32), ActivationRule::Per32));
    scenario.by_rule(None);
    assert_eq!(rules(&scenario), (Some(ActivationRule::Per32), ActivationRule::Per32));
    scenario.by_rule(Some(ActivationRule::Per128));
    assert_eq!(rules(&scenario), (Some(ActivationRule::Per128), ActivationRule::Per128));
    let nothing = Scenario::parse("f.toml", WHOLE).expect("valid");
    assert_eq!(rules(&nothing), (None, ActivationRule::Token));
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
fn an_entry_may_say_what_shares_a_scale() {
    let with = |gemv: &str| WHOLE.replace("[\"16x256\"]", gemv);
    let entries = "[\"16x256\", \"16x256 g64x32\", \"16x256 dram g128xtoken\", \"32x256 dram g256x256\"]";
    let batch = "[micro]\ngemm = [\"16x256x4 llc g64xtoken\"]";
    let mut scenario = Scenario::parse("f.toml", &with(entries).replace("[micro]", batch)).expect("valid");
    scenario.by_rule(Some(ActivationRule::Per128));
    let cells = |scenario: &Scenario| -> Vec<(usize, Residency, usize, ActivationRule)> {
        let cells = scenario.cells(None).into_iter().filter(|c| c.of_groups);
        cells.map(|c| (c.shape.m, c.residency, c.scaling.group, c.scaling.rule)).collect()
    };
    let want = [
        (16, Residency::Llc, 64, ActivationRule::Per32),
        (16, Residency::Dram, 64, ActivationRule::Per32),
        (16, Residency::Dram, 128, ActivationRule::Token),
        (32, Residency::Dram, 256, ActivationRule::Per256),
        (16, Residency::Llc, 64, ActivationRule::Token),
    ];
    assert_eq!(cells(&scenario), want, "the run's rule is that of other entries alone");
    let whole = |c: &&Cell| !c.of_groups;
    assert!(scenario.cells(None).iter().filter(whole).all(|c| c.scaling.rule == ActivationRule::Per128));
    let of_groups = scenario.cells(None).into_iter().find(|c| c.of_groups).expect("there");
    assert_eq!(Family::ALL.map(|family| of_groups.is_for(family)), Family::ALL.map(|f| f == Family::W2gA8));
    // What the run's own rule and groups are is measured once.
    scenario.by_rule(Some(ActivationRule::Token));
    assert_eq!(cells(&scenario), [want[0], want[1], want[3], want[4]]);
    for (entry, what) in [
        ("16x256 dram g96x32", "\"16x256 dram g96x32\": \"g96x32\" is no scaling; write g64x32 or g128xtoken"),
        ("16x256 g64x64", "\"16x256 g64x64\": \"g64x64\" is no scaling"),
        ("16x256 dram l2 g64x32", "\"16x256 dram l2 g64x32\" is not a shape, a place and a scaling"),
        ("16x256 g64x32 dram", "\"16x256 g64x32 dram\" is not a shape, a place and a scaling"),
        ("g64x32", "\"g64x32\" is not a shape"),
    ] {
        let e = error(&with(&format!("[\"{entry}\"]")));
        assert!(e.starts_with(&format!("f.toml: line 8: gemv: {what}")), "{e}");
    }
    let e = error(&WHOLE.replace("\"1x512\"", "\"1x512 g64x32\""));
    assert!(e.starts_with("f.toml: line 9: dequantize: \"1x512 g64x32\" is not a shape"), "{e}");
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
        (
            "[micro]",
            "activations = \"64\"\n[micro]",
            "line 5: \"64\" is no rule of activations;",
            "token, 256, 128, 32",
        ),
        ("[micro]", "activations = 128\n[micro]", "line 5: invalid type: integer `128`, expected a string", ""),
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
    assert!(e.contains("quick, seed-tables, timeout, 2b-4t, prefill, bonsai-1.7b, bonsai-8b"), "{e}");
    assert!(Scenario::load("nowhere.toml").expect_err("missing").to_string().contains("nowhere.toml"));
}
