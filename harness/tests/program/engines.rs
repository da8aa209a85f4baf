//! Engines: one that is right has a speed, every other has a row that says what is wrong with it. All of them are
//! `ci/hostile/engine.py`, which hands requests to our own program and spoils the answers.

use crate::common::*;
use serde_json::Value;

fn script() -> String {
    scenarios().join("../ci/hostile/engine.py").display().to_string()
}

/// A scenario about engines with these modes of the script.
fn scenario(folder: &Folder, modes: &[&str]) -> String {
    let mut text = concat!(
        "name = \"fakes\"\nsummary = \"s\"\nanalysis = \"a\"\nmodel = \"builtin\"\n",
        "[engines]\nrounds = 12\nwindows = 4\ntokens = 24\nlong = 72\n",
    )
    .to_owned();
    for mode in modes {
        let (name, nats) = mode.split_once(' ').unwrap_or((mode, "0"));
        text += &format!(
            "[[engine]]\nname = \"{name}\"\nsummary = \"s\"\nversion = [\"echo\", \"{name} 1.0\"]\nthreads = true\n\
             run = [\"python3\", '{}', \"{name}\", \"{{self}}\", \"{nats}\"]\nformats = [\"i2_s\"]\ntimeout_s = 3\n",
            script()
        );
    }
    folder.write("fakes.toml", text)
}

fn engine<'r>(receipt: &'r Value, name: &str) -> &'r Value {
    let all = receipt["engines"]["engines"].as_array().expect("engines");
    all.iter().find(|engine| engine["name"] == name).unwrap_or_else(|| panic!("no row {name}"))
}

/// One run with every mode: who is right is timed, and each fault ends as it should.
#[test]
fn each_mode_ends_as_described() {
    let modes = ["right", "slow", "hanging", "crashing", "lying", "threads", "garbage", "nan", "loud", "strange"];
    let more = ["short", "deaf", "moody", "wrong 3.9"];
    let all: Vec<&str> = modes.into_iter().chain(more).collect();
    let folder = Folder::new();
    let (file, out) = (scenario(&folder, &all), folder.at("run"));
    let mut args = format!("compare --scenario {file} --threads 1 --out {out}").words();
    for mode in &all {
        args.extend(["--engine".to_owned(), mode.split(' ').next().expect("a name").to_owned()]);
    }
    let output = succeeds(run(&args[..]));
    assert!(stderr(&output).contains("engine right: right 1.0; runs python3 "), "said before it runs");
    let receipt = read_json(format!("{out}/receipt.json"));
    let row = |name: &str| engine(&receipt, name);
    for name in ["tritbench", "right", "slow"] {
        let row = row(name);
        assert!(row.get("why").is_none() && row["speed"]["decode_tokens_per_s"].as_f64() > Some(0.0), "{row}");
        assert_eq!(row["truth"]["texts"].as_array().map(Vec::len), Some(6), "a prompt of each length");
        assert!(row["truth"]["texts"].as_array().expect("texts").iter().all(|text| text.get("wrong_at").is_none()));
        assert_eq!((&row["truth"]["same_again"], &row["truth"]["reads_prompt"]), (&true.into(), &true.into()));
        assert!(row["peak_memory_bytes"].as_u64() > Some(1_000_000) && row["bytes_per_token"].as_u64() > Some(0));
    }
    // Sleeping costs 2 ms a token of some 0.1: no noise hides that.
    assert!(row("slow")["speed"]["decode"]["median"].as_f64() < Some(0.5), "{}", row("slow")["speed"]);
    for (name, status, part) in [
        ("hanging", "hung", "gave no answer within 3 s when asked to continue 1 ids by 24"),
        ("crashing", "crashed", "its last words: ggml_abort: out of memory"),
        ("lying", "impossible", "times what the whole request took by our clock"),
        ("threads", "refused", "threads and was given 1"),
        ("garbage", "wrong", "answered no JSON: \"llama_model_loader: loaded meta data with 23 key-value pairs"),
        ("nan", "wrong", "perplexity"),
        ("loud", "wrong", "answered more than 1 MiB when asked to give the logits"),
        ("strange", "wrong", "it gave id 1073741824; the vocabulary has 1024"),
        ("short", "wrong", "asked to continue 1 ids by 24, it gave 23"),
        ("deaf", "wrong", "prompt"),
        ("moody", "wrong", "65"),
        ("wrong", "wrong", "65, 128, 512"),
    ] {
        let row = row(name);
        if name == "threads" && cpus() == 1 {
            // More than one thread cannot run there.
            continue;
        }
        let why = text(row, "why");
        assert!(row["status"] == status && why.contains(part), "{name}: {} {why}", row["status"]);
        assert!(row.get("speed").is_none(), "{name} has no speed");
        assert!(stderr(&output).contains(&format!("engine {name}: {status}: ")), "{name} is told");
    }
    let page = folder.read("run/report.html");
    assert!(page.contains("id=\"engines\"") && page.contains("its last words"), "the page has them");
    printed(&["receipt", "verify", &out]);
    // One edited sample is named.
    let text = folder.read("run/receipt.json");
    let mut edited: Value = serde_json::from_str(&text).expect("JSON");
    let ns = &mut edited["engines"]["turns"]["text"][3]["ns"][1];
    *ns = (ns.as_u64().expect("a time") + 1000).into();
    let bad = folder.write("edited.json", edited.to_string());
    let output = run(&["receipt", "verify", &bad]);
    ends_with_error(&output, 1, &["engines"]);
}

/// A wrong engine whose loss is that of a known mistake is told which.
#[test]
fn the_likeliest_mistake_is_named() {
    let folder = Folder::new();
    let checked = |mode: &str| {
        let file = scenario(&folder, &[mode]);
        let output = run(&["engine", "check", "wrong", "--scenario", &file, "--threads", "1", "--json"]);
        ends_with_error(&output, 1, &["engine wrong: wrong: "]);
        serde_json::from_str::<Value>(&stdout(&output)).expect("JSON")
    };
    let first = checked("wrong 5.0");
    assert!(!text(&first["engine"], "why").contains("likely"), "{}", first["engine"]["why"]);
    let mistakes = list(&first["oracle"], "mistakes");
    let silu = mistakes.iter().find(|found| text(found, "mistake").contains("SiLU")).expect("tried");
    let nats = silu["nats_per_token"].as_f64().expect("a number");
    let named = checked(&format!("wrong {}", nats + 0.004));
    assert!(text(&named["engine"], "why").contains("SiLU instead of relu squared"), "{}", named["engine"]["why"]);
}

#[test]
fn a_check_says_what_was_asked_and_answered() {
    let folder = Folder::new();
    let file = scenario(&folder, &["right"]);
    let said = printed(&["engine", "check", "right", "--scenario", &file, "--threads", "1"]);
    assert!(said.starts_with("right right 1.0: ok\n") && said.contains("ln of the ratio +0.00000"), "{said}");
    assert!(said.contains("prompt 512 1 of 1 ids equal: right") && said.contains("two answers: yes"), "{said}");
    let own = printed("engine check tritbench --threads 1".words().as_slice());
    assert!(own.contains("mean KL divergence 0.000000 nats"), "{own}");
}

/// Nothing that a file says runs a program: neither a comparison nor what only reads.
#[test]
fn a_scenario_runs_no_engine_by_itself() {
    let folder = Folder::new();
    let (mark, out) = (folder.at("mark"), folder.at("run"));
    let file = folder.write(
        "s.toml",
        format!(
            "name='s'\nsummary='s'\nanalysis='a'\n[engines]\nwindows=1\nrounds=2\n[[engine]]\nname='evil'\n\
             summary='s'\nversion=['touch','{mark}']\nrun=['touch','{mark}']\nformats=['i2_s']\n"
        ),
    );
    let compared = run(&["compare", "--scenario", &file, "--threads", "1", "--quick", "--out", &out]);
    assert!(stderr(&succeeds(compared)).contains("engine evil: unsupported: not named; --engine evil runs it"));
    for read in [&["receipt", "verify", &out][..], &["report", &out], &["engine", "request", &file]] {
        succeeds(run(read));
    }
    assert!(!folder.has("mark"));
    let receipt = read_json(format!("{out}/receipt.json"));
    assert_eq!(text(engine(&receipt, "evil"), "status"), "unsupported");
}

#[test]
fn what_is_no_engine_is_one_line() {
    let folder = Folder::new();
    let head = "name='s'\nsummary='s'\nanalysis='a'\n[engines]\n";
    let table = "[[engine]]\nname='a'\nsummary='s'\nversion=['true']\nrun=['cat']\nformats=['i2_s']\n";
    let file = |text: &str| folder.write("s.toml", text);
    let check = |text: String, code: i32, parts: &[&str]| {
        let file = file(&text);
        refused(&["compare", "--scenario", &file, "--engine", "a", "--threads", "1"][..], code, parts)
    };
    check(format!("{head}{table}colour='red'\n"), 2, &["line 11", "unknown field `colour`"]);
    check(format!("{head}{table}{table}"), 2, &["line 11", "two engines are called a"]);
    check(format!("{head}rounds = 1\n{table}"), 2, &["line 5: rounds: 1 is not between 2 and 1000"]);
    check(head.to_owned(), 2, &["no engine is called \"a\"; there are tritbench, "]);
    let file = file(&format!("{head}{table}"));
    // `true` prints no version; `cat` would answer with the request.
    refused(&["engine", "check", "a", "--scenario", &file][..], 5, &["engine a: unsupported: no version: true"]);
    refused(&["engine", "check", "nobody"][..], 2, &["no engine is called \"nobody\""]);
}

#[test]
fn the_list_says_who_is_there_and_the_request_is_what_is_asked() {
    let listed = json("engine list --json");
    let engines = list(&listed, "engines");
    assert_eq!((text(&engines[0], "name"), engines[0].get("why")), ("tritbench", None));
    assert!(text(&engines[0], "version_found").starts_with("tritbench "));
    let lines = printed("engine request engines --threads 1".words().as_slice());
    let requests: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(requests.iter().all(|request| request["tritbench"] == 1));
    let kinds: Vec<&str> = requests.iter().map(|request| text(request, "request")).collect();
    assert_eq!((kinds[0], kinds[1], kinds.last()), ("describe", "load", Some(&"quit")));
    let lengths: Vec<usize> = requests
        .iter()
        .filter(|request| request["request"] == "generate")
        .map(|request| list(request, "ids").len())
        .collect();
    assert_eq!(lengths[..6], [1, 63, 64, 65, 128, 512]);
}

/// A program that only prints how far its distributions are from those of a file has a status and no speed.
#[test]
fn a_divergence_that_is_printed_is_held_against_an_engine() {
    let folder = Folder::new();
    let said =
        |kl: &str| format!("Mean PPL(Q)/PPL(base) : 1.0 ± 0.1\nMean    KLD: {kl} ± 0.1\nSame top p: 98.6 ± 0.1 %");
    // The ids that it is given are those of the text, in chunks of 128.
    let magic = "test \"$(head -c 8 \"$4\")\" = _logits_ || exit 3\n";
    let sizes = "test \"$(od -An -td4 -j8 -N8 \"$4\" | tr -s ' ')\" = ' 128 1024' || exit 4\n";
    let script = folder.script(
        "tool",
        &format!("{magic}{sizes}case $2 in right) echo '{}';; far) echo '{}';; esac\n", said("0.0005"), said("0.5")),
    );
    let check = |mode: &str| {
        let text = format!(
            "name='s'\nsummary='s'\nanalysis='a'\n[engines]\nwindows=4\n[[engine]]\nname='kl'\nsummary='s'\n\
             protocol='kl-divergence'\nversion=['echo','kl 1']\n\
             run=['{script}','{{model}}','{mode}','{{threads}}','{{base}}']\nformats=['tq2_0']\n"
        );
        run(&["engine", "check", "kl", "--scenario", &folder.write("s.toml", text), "--threads", "1"])
    };
    let right = stdout(&succeeds(check("right")));
    assert!(right.contains("kl kl 1: ok") && right.contains("mean KL divergence 0.000500 nats over 252"), "{right}");
    let far = check("far");
    assert_eq!(far.status.code(), Some(1));
    assert!(stderr(&far).contains("engine kl: wrong: mean KL divergence 0.500 nats"), "{}", stderr(&far));
    let silent = check("silent");
    assert!(stderr(&silent).contains("printed no verdict (exit status: 0); its last words: it said nothing"));
}
