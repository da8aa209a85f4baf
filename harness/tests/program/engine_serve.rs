//! Our own program as an engine: what it answers on the protocol is what its other commands say.

use crate::common::*;
use serde_json::{Value, json as value};
use std::io::Write;

/// Sends requests, a line each, and reads the answers, until the input ends.
fn said(requests: &[String]) -> Vec<Value> {
    let mut engine = command("engine serve").stdin(std::process::Stdio::piped()).spawn().expect("it starts");
    let mut stdin = engine.stdin.take().expect("piped");
    stdin.write_all(requests.iter().map(|line| format!("{line}\n")).collect::<String>().as_bytes()).expect("read");
    drop(stdin);
    let output = succeeds(engine.wait_with_output().expect("it ends"));
    stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON in every line")).collect()
}

fn load(head_bits: u32) -> String {
    let load = value!({"tritbench": 1, "request": "load", "model": "builtin", "threads": 1, "head_bits": head_bits,
        "batch": 128, "context": 512});
    load.to_string()
}

/// The ids of the held-out text, as far as `words` of it.
fn ids(count: usize) -> Vec<u64> {
    let text = std::fs::read_to_string(scenarios().join("model/shakespeare.txt")).expect("the text");
    let at = (text.len() as f64 * 0.95) as usize;
    let args = ["generate", "--json", "--max-tokens", "1", "--threads", "1", "--prompt", &text[at..at + 1000]];
    let report = json(&args);
    let ids: Vec<u64> = list(&report, "prompt_ids").iter().map(|id| id.as_u64().expect("an id")).collect();
    assert!(ids.len() > count, "{} ids", ids.len());
    ids[..count].to_vec()
}

#[test]
fn answers_are_those_of_the_other_commands() {
    let golden = read_json(scenarios().join("model/golden.json"));
    let mut requests = vec!["{\"request\": \"describe\", \"tritbench\": 1, \"unknown\": [1]}".to_owned(), load(16)];
    let ids = ids(257);
    requests.push(value!({"request": "score", "ids": ids, "window": 128}).to_string());
    for case in list(&golden, "cases") {
        let (prompt, count) = (&case["prompt_ids"], list(case, "greedy_ids").len());
        requests.push(value!({"request": "generate", "ids": prompt, "count": count}).to_string());
        requests.push(value!({"request": "logits", "ids": prompt}).to_string());
    }
    // Another head of the same model, then the end.
    requests.push(load(4));
    requests.push(value!({"request": "score", "ids": ids, "window": 128}).to_string());
    requests.push("{\"request\": \"quit\"}".to_owned());
    requests.push("{\"request\": \"describe\"}".to_owned());
    let answers = said(&requests);
    assert_eq!(answers.len(), requests.len() - 2, "nothing after quit, nothing to quit");
    assert_eq!(answers[0]["name"], "tritbench");
    assert_eq!(answers[0]["requests"], value!(["generate", "score", "logits"]));
    let loaded = &answers[1];
    assert_eq!(
        (&loaded["vocabulary"], &loaded["threads"], &loaded["head_bits"]),
        (&1024.into(), &1.into(), &16.into())
    );
    assert_eq!(
        (&loaded["cache"], &loaded["batch"], &loaded["activations"]),
        (&"f16".into(), &128.into(), &"token".into())
    );
    let scored = &answers[2];
    let perplexity = json("perplexity --json --windows 2 --threads 1 --head f16");
    assert_eq!(scored["nats"], perplexity["nats_per_token"], "{scored}");
    assert_eq!((&scored["positions"], &scored["rule"]), (&256.into(), &"every".into()));
    for (case, said) in list(&golden, "cases").iter().zip(answers[3..].chunks(2)) {
        let safe = list(case, "margins").iter().take_while(|margin| margin.as_f64() > Some(0.1)).count();
        let (have, want) = (list(&said[0], "ids"), list(case, "greedy_ids"));
        assert_eq!(have.len(), want.len());
        assert_eq!(have[..safe], want[..safe], "{}", case["prompt"]);
        assert!(said[0]["prompt_ns"].as_u64() > Some(0) && said[0]["decode_ns"].as_u64() > Some(0), "{}", said[0]);
        // 1,024 numbers of 4 bytes: 1,365 times 3 bytes and 1 more.
        let logits = text(&said[1], "logits");
        assert!(logits.len() == 5464 && logits.ends_with("=="), "{} characters", logits.len());
    }
    let four = &answers[answers.len() - 2..];
    assert_eq!(four[0]["head_bits"], 4);
    let quantised = json("perplexity --json --windows 2 --threads 1 --head q4");
    assert_eq!(four[1]["nats"], quantised["nats_per_token"]);
    assert_ne!(four[1]["nats"], scored["nats"]);
}

#[test]
fn what_it_cannot_do_it_says_and_goes_on() {
    let request = |request: Value| request.to_string();
    let answers = said(&[
        "ROMEO: what?".to_owned(),
        request(value!({"request": "generate", "ids": [1], "count": 1})),
        request(value!({"request": "load", "model": "no-such.gguf", "threads": 1, "head_bits": 16, "batch": 1,
            "context": 8})),
        request(value!({"request": "load", "model": "builtin", "threads": 1, "head_bits": 16, "batch": 1,
            "context": 513})),
        load(6),
        load(16),
        request(value!({"request": "generate", "ids": [836, 1024], "count": 1})),
        request(value!({"request": "score", "ids": [5, 6, 7, 70000], "window": 2})),
        request(value!({"request": "score", "ids": [5, 6], "window": 2})),
        request(value!({"request": "logits", "ids": []})),
        request(value!({"request": "generate", "ids": vec![1; 512], "count": 2})),
        request(value!({"request": "generate", "ids": vec![1; 512], "count": 1})),
    ]);
    let parts = [
        "not a request",
        "send load first",
        "no-such.gguf",
        "at most 512",
        "6 bits",
        "",
        "id 1024 (number 1)",
        "id 70000 (number 3)",
        "no whole window of 2",
        "at least one",
        "513 ids",
    ];
    assert_eq!(answers.len(), parts.len() + 1, "{answers:?}");
    for (answer, part) in answers.iter().zip(parts).filter(|(_, part)| !part.is_empty()) {
        assert!(text(answer, "error").contains(part), "{answer} without {part}");
    }
    assert_eq!(answers[5]["vocabulary"], 1024);
    assert_eq!(list(&answers[11], "ids").len(), 1, "a prompt as long as the context has one next id");
}
