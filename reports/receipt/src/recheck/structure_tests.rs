//! Each rule of `structure`, broken and at its edge.

use super::structure::problems;
use super::{Problem, refusal};
use crate::fixture;
use crate::fixture::gate;
use crate::record::{DecodeTimesNs, Receipt, Residency, Status};

type Edit<'a> = (&'a str, &'a str, &'a dyn Fn(&mut Receipt));
type Allowed<'a> = (&'a str, &'a dyn Fn(&mut Receipt));

fn sound() -> Receipt {
    Receipt { gate: Some(gate::record(0.0)), ..fixture::complete() }
}

/// 31 ns of phases.
fn phases() -> DecodeTimesNs {
    DecodeTimesNs { embed: 1, forward: 2, logits: 4, sample: 8, stop_check: 16, ..DecodeTimesNs::default() }
}

/// The problem at `field`, which must be there, and say `what`.
fn broken(receipt: &Receipt, field: &str, what: &str) {
    let found = problems(receipt);
    let problem = found.iter().find(|p| p.field == field);
    let problem = problem.unwrap_or_else(|| panic!("nothing is wrong with {field}: {found:?}"));
    assert!(problem.what.contains(what) && problem.found.is_some(), "{field}: {problem:?}");
}

#[test]
fn what_breaks_a_rule_is_named() {
    assert_eq!(problems(&sound()), []);
    let edits: &[Edit<'_>] = &[
        ("/timestamp", "RFC 3339", &|r| r.timestamp = "yesterday".into()),
        ("/elapsed_s", "duration", &|r| r.elapsed_s = -0.1),
        ("/elapsed_s", "duration", &|r| r.elapsed_s = f64::INFINITY),
        ("/settings/threads", "number of threads", &|r| r.settings.threads = 0),
        ("/scenario/sha256", "hex", &|r| r.scenario.sha256 = "5E".repeat(32)),
        ("/build/cargo_lock_sha256", "hex", &|r| r.build.cargo_lock_sha256 = Some("ab".repeat(31))),
        ("/micro/1/entries/0/output_sha256", "hex", &|r| r.micro[1].entries[0].output_sha256 = "g".repeat(64)),
        ("/gate/baseline/binary_sha256", "hex", &|r| r.gate.as_mut().unwrap().baseline.binary_sha256.clear()),
        ("/gate/current/binary_sha256", "hex", &|r| r.gate.as_mut().unwrap().current.binary_sha256.push('0')),
        ("/verify/0/mismatches", "more than", &|r| r.verify[0].mismatches = r.verify[0].cases + 1),
        ("/verify/0/cases", "only what runs", &|r| r.verify[0].cases = 0),
        ("/verify/0/available", "reason", &|r| r.verify[0].reason = Some("it does not".into())),
        ("/verify/1/max_relative_error", "above the bound", &|r| r.verify[1].max_relative_error = f64::NAN),
        ("/micro/0/entries/0/kernel", "never verified", &|r| r.micro[0].entries[0].kernel = "unheard-of".into()),
        ("/micro/0/entries/0/kernel", "not available", &|r| r.verify[0].available = false),
        ("/micro/0/entries/0/kernel", "has mismatches", &|r| r.verify[0].mismatches = 1),
        ("/micro/0/weights_per_call", "m x k", &|r| r.micro[0].tokens = 2),
        ("/micro/0/weights_per_call", "m x k", &|r| (r.micro[0].m, r.micro[0].k) = (usize::MAX, 3)),
        ("/micro/0/calls_per_epoch", "count", &|r| r.micro[0].calls_per_epoch = 0),
        ("/micro/0/copies", "residency", &|r| r.micro[0].copies = 2),
        ("/micro/0/copies", "residency", &|r| r.micro[0].residency = Residency::Dram),
        ("/micro/0/entries", "A/A", &|r| r.micro[0].entries[0].self_pair = true),
        ("/micro/0/entries", "A/A", &|r| r.micro[0].entries.last_mut().unwrap().self_pair = false),
        ("/micro/0/entries", "A/A", &|r| r.micro[0].entries.rotate_right(1)),
        ("/micro/0/entries", "A/A", &|r| {
            let last = r.micro[0].entries.pop().expect("not empty");
            r.micro[0].entries = vec![last];
        }),
        ("/micro/0/summaries", "one an entry", &|r| drop(r.micro[0].summaries.pop())),
        ("/micro/0/stream/ns", "one a round", &|r| {
            let mut stream = fixture::complete().micro.into_iter().find_map(|cell| cell.stream).expect("one has");
            stream.ns.truncate(3);
            r.micro[0].stream = Some(stream);
        }),
        ("/micro/0/rounds/1/order", "each entry", &|r| r.micro[0].rounds[1].order.truncate(1)),
        ("/micro/0/rounds/1/order", "each entry", &|r| r.micro[0].rounds[1].order[0] = 200),
        ("/micro/0/rounds/1/cpu_ns", "one an entry", &|r| r.micro[0].rounds[1].cpu_ns.push(1)),
        ("/micro/0/rounds/1/involuntary_switches", "one an entry", &|r| {
            r.micro[0].rounds[1].involuntary_switches.clear();
        }),
        ("/gate/cells/1/calls_per_epoch", "count", &|r| r.gate.as_mut().unwrap().cells[1].calls_per_epoch = 0),
        ("/gate/cells/0/pairs/3/rounds", "more than", &|r| r.gate.as_mut().unwrap().rounds_per_pair = 11),
        ("/gate/cells/0/pairs/2/rounds/1/ns/2", "no time", &|r| {
            r.gate.as_mut().unwrap().cells[0].pairs[2].rounds[1].ns[2] = 0;
        }),
        ("/gate/checks/1/passed", "without a note", &|r| r.gate.as_mut().unwrap().checks[1].passed = false),
        ("/gate/checks/0/passed", "without a note", &|r| r.gate.as_mut().unwrap().checks[0].current = "7".into()),
        ("/generation/kernels/1/token_ids", "more than", &|r| {
            let generation = r.generation.as_mut().unwrap();
            generation.kernels[1].token_ids = vec![1; generation.max_tokens + 1];
        }),
        ("/generation/kernels/0/goldens/0/compared", "expected", &|r| {
            let golden = &mut r.generation.as_mut().unwrap().kernels[0].goldens[0];
            golden.compared = golden.expected.len() + 1;
        }),
        ("/generation/kernels/2/rounds", "listed", &|r| r.generation.as_mut().unwrap().kernels[2].rounds.clear()),
        ("/generation/kernels/0/rounds/0/decode_tokens", "max_tokens", &|r| {
            let generation = r.generation.as_mut().unwrap();
            generation.kernels[0].rounds[0].decode_tokens = generation.max_tokens + 1;
        }),
        ("/generation/kernels/0/rounds/0/prefill_tokens", "prompt", &|r| {
            let generation = r.generation.as_mut().unwrap();
            generation.kernels[0].rounds[0].prefill_tokens = Some(generation.prompt_ids.len() + 1);
        }),
        ("/generation/kernels/0/rounds/0/time_to_first_token_ns", "before the prompt", &|r| {
            let round = &mut r.generation.as_mut().unwrap().kernels[0].rounds[0];
            (round.prefill_ns, round.time_to_first_token_ns) = (10, 9);
        }),
        ("/generation/kernels/0/rounds/0/decode_times_ns", "more than decode_ns", &|r| {
            let round = &mut r.generation.as_mut().unwrap().kernels[0].rounds[0];
            (round.decode_times_ns, round.decode_ns) = (Some(phases()), 30);
        }),
    ];
    for &(field, what, edit) in edits {
        let mut receipt = sound();
        edit(&mut receipt);
        broken(&receipt, field, what);
    }
}

#[test]
fn what_is_just_allowed_is_let_pass() {
    let edits: &[Allowed<'_>] = &[
        ("no time at all", &|r| r.elapsed_s = 0.0),
        ("one thread", &|r| r.settings.threads = 1),
        ("an A/A entry that is not the last", &|r| {
            let last = r.micro[0].entries.len() - 1;
            r.micro[0].entries.swap(last, last - 1);
        }),
        ("every case of a kernel fails that is not timed", &|r| {
            r.verify[0].mismatches = r.verify[0].cases;
            (r.micro, r.generation) = (Vec::new(), None);
        }),
        ("an error of the bound", &|r| r.verify[1].max_relative_error = r.verify[1].bound),
        ("an error of an exact kernel that mismatches", &|r| {
            (r.verify[7].mismatches, r.verify[7].max_abs_error) = (1, 1.0);
            (r.micro, r.generation) = (Vec::new(), None);
        }),
        ("a kernel that computes live rows only", &|r| {
            r.generation.as_mut().unwrap().kernels[0].kernel.push_str("+sparse")
        }),
        ("all rounds of a pair", &|r| r.gate.as_mut().unwrap().rounds_per_pair = 12),
        ("a failed check with a note", &|r| {
            let check = &mut r.gate.as_mut().unwrap().checks[1];
            (check.passed, check.note) = (false, "why".into());
        }),
        ("as many ids as were asked for", &|r| {
            let generation = r.generation.as_mut().unwrap();
            generation.kernels[1].token_ids = vec![1; generation.max_tokens];
            generation.kernels[0].rounds[0].decode_tokens = generation.max_tokens;
            generation.kernels[0].rounds[0].prefill_tokens = Some(generation.prompt_ids.len());
        }),
        ("all ids of a golden", &|r| {
            let golden = &mut r.generation.as_mut().unwrap().kernels[0].goldens[0];
            golden.compared = golden.expected.len();
        }),
        ("no first token", &|r| r.generation.as_mut().unwrap().kernels[0].rounds[0].time_to_first_token_ns = 0),
        ("a first token at once", &|r| {
            let round = &mut r.generation.as_mut().unwrap().kernels[0].rounds[0];
            round.time_to_first_token_ns = round.prefill_ns;
        }),
        ("nothing but phases", &|r| {
            let round = &mut r.generation.as_mut().unwrap().kernels[0].rounds[0];
            (round.decode_times_ns, round.decode_ns) = (Some(phases()), 31);
        }),
        ("several copies in memory", &|r| (r.micro[0].residency, r.micro[0].copies) = (Residency::Dram, 2)),
        ("an old receipt", &|r| {
            (r.schema_version, r.gate, r.rule) = ("1.0.3".into(), None, None);
        }),
    ];
    for (what, edit) in edits {
        let mut receipt = sound();
        edit(&mut receipt);
        assert_eq!(problems(&receipt), [], "{what}");
    }
}

#[test]
fn an_old_receipt_has_no_newer_fields() {
    let newer: &[&dyn Fn(&mut Receipt)] =
        &[&|r| r.rule = Some(gate::record(0.0).rule), &|r| r.gate = Some(gate::record(0.0)), &|r| {
            r.integrity = Some(crate::integrity::Integrity::of(&serde_json::json!({})))
        }];
    for add in newer {
        let mut receipt = sound();
        (receipt.schema_version, receipt.gate, receipt.rule) = ("1.0.0".into(), None, None);
        assert_eq!(problems(&receipt), []);
        add(&mut receipt);
        broken(&receipt, "/schema_version", "fields of 1.1");
    }
    let mut running = sound();
    running.status = Status::Running;
    assert_eq!(problems(&running), [], "the rules hold at any time");
}

#[test]
fn a_problem_is_one_line_of_words() {
    let both = Problem { found: Some("1".into()), recomputed: Some("2".into()), ..Problem::new("/a", "what") };
    assert_eq!(both.line(), "/a is 1, recomputed 2");
    assert_eq!(Problem { recomputed: None, ..both.clone() }.line(), "/a is 1: what");
    assert_eq!(Problem { found: None, ..both.clone() }.line(), "/a: what");
    assert_eq!(Problem::new("/a\u{1b}[2J\nb", "what").line(), "/a\\u{1b}[2J\\nb: what");
    let file = "r.json";
    assert_eq!(refusal(file, &both, 1).to_string(), "r.json: /a is 1, recomputed 2");
    assert_eq!(refusal(file, &both, 3).to_string(), "r.json: /a is 1, recomputed 2; 2 more");
}
