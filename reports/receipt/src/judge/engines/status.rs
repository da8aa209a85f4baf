//! Which engines are right, possible and fair, and so have a speed.

use super::speed::{Turns, speeds};
use super::truth::{self, oracle, truth_status};
use crate::judge::reading::Reads;
use crate::record::{EngineRecord, EngineSpeed, EnginesRecord, RowStatus};

/// How many times our wall time of a request an engine's own times of it may be.
const OWN_TIMES: f64 = 1.05;
/// Threads that one may use beyond those it was given: a share of them, and what a process needs beside its work.
const MORE_THREADS: (f64, f64) = (1.1, 0.1);

/// Fills in everything that follows from answers and rounds: how far scores are off, where texts go wrong, statuses and
/// speeds.
pub fn summarize(record: &mut EnginesRecord, reads: Reads<'_>) {
    truth::fill(record);
    if let Some(turns) = &mut record.turns {
        turns.noise_floor = Turns::of(turns).noise_floor();
    }
    let speeds = speeds(record, reads);
    let statuses = all(record, &speeds, reads);
    for ((engine, speed), (status, why)) in record.engines.iter_mut().zip(speeds).zip(statuses) {
        engine.speed = speed.filter(|_| status.is_ok());
        (engine.status, engine.why) = (status, why);
    }
}

/// The status of each engine and why, in the order of the record.
pub fn statuses(record: &EnginesRecord, reads: Reads<'_>) -> Vec<(RowStatus, String)> {
    all(record, &speeds(record, reads), reads)
}

fn all(record: &EnginesRecord, speeds: &[Option<EngineSpeed>], reads: Reads<'_>) -> Vec<(RowStatus, String)> {
    let turns = record.turns.as_ref().map(Turns::of);
    let of = |(engine, speed): (&EngineRecord, &Option<EngineSpeed>)| {
        if !derived(record, engine) {
            return (engine.status, engine.why.clone());
        }
        let truth = truth_status(engine, oracle(&record.oracles, engine));
        let turns = turns.as_ref().and_then(|turns| Some((turns, turns.entry(&engine.name)?)));
        let Some((speed, turns)) = speed.as_ref().zip(turns).filter(|_| truth.0.is_ok()) else {
            return truth;
        };
        impossible(record, engine, turns, reads)
            .or_else(|| overstated(turns))
            .map(|why| (RowStatus::Impossible, why))
            .or_else(|| unfair(record.threads, speed.threads_used).map(|why| (RowStatus::Refused, why)))
            .unwrap_or(truth)
    };
    record.engines.iter().zip(speeds).map(of).collect()
}

/// Whether an engine's status follows from what the record holds. One that took turns had answered everything; of the
/// others some never did, or answered what could not be read, and only what was written says so.
fn derived(record: &EnginesRecord, engine: &EngineRecord) -> bool {
    let took_turns = record.turns.iter().flat_map(|turns| &turns.entries).any(|entry| entry.engine == engine.name);
    let truth = engine.truth.is_some();
    match engine.status {
        _ if took_turns => true,
        RowStatus::Ok | RowStatus::Impossible => true,
        RowStatus::Wrong | RowStatus::Refused => {
            truth && truth_status(engine, oracle(&record.oracles, engine)).0 == RowStatus::Wrong
        }
        RowStatus::Crashed | RowStatus::Hung | RowStatus::Unsupported => false,
    }
}

/// Weights that were read faster than this machine reads: by decoding for each id, by a prompt once for all ids that
/// the engine takes at once. Decoding is the difference of two requests, which chance may make as small as it likes.
fn impossible(
    record: &EnginesRecord,
    engine: &EngineRecord,
    (turns, entry): (&Turns<'_>, usize),
    reads: Reads<'_>,
) -> Option<String> {
    let read = |a_second: f64| reads.impossible(engine.bytes_per_token, record.threads, a_second);
    let long = turns.long();
    let at_once = engine.loaded.as_ref().map_or(long, |loaded| loaded.batch).max(1);
    let [_, prompt_ns] = turns.wall_ns(entry);
    let decode = turns.decodes_at_least(entry).and_then(read).map(|what| format!("decodes at least {what}"));
    let passes = long.div_ceil(at_once) as f64;
    decode.or_else(|| Some(format!("takes in a prompt of {long} ids {}", read(passes * 1e9 / prompt_ns)?)))
}

/// Own times that are longer than the request was by our clock.
fn overstated((turns, entry): (&Turns<'_>, usize)) -> Option<String> {
    let own = [turns.own_ns(entry, |own| own.text_decode_ns), turns.own_ns(entry, |own| own.prompt_ns)];
    let whats = ["decoding", "the prompt"];
    own.into_iter().zip(turns.wall_ns(entry)).zip(whats).find_map(|((own, wall), what)| {
        let times = own? / wall;
        let why = format!("its own time of {what} is {times:.2} times what the whole request took by our clock");
        (times > OWN_TIMES).then_some(why)
    })
}

fn unfair(given: usize, used: f64) -> Option<String> {
    let most = given as f64 * MORE_THREADS.0 + MORE_THREADS.1;
    (used > most).then(|| format!("used {used:.1} threads and was given {given}"))
}

/// Indices of the engines that are right and took turns, the fastest in decoding first.
pub fn ranked(record: &EnginesRecord) -> Vec<usize> {
    let speed = |i: &usize| record.engines[*i].speed.as_ref().map_or(0.0, |speed| speed.decode_tokens_per_s);
    let ok = |i: &usize| record.engines[*i].status.is_ok() && speed(i) > 0.0;
    let mut ranked: Vec<usize> = (0..record.engines.len()).filter(ok).collect();
    ranked.sort_by(|a, b| speed(b).total_cmp(&speed(a)));
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::judge::engines::sentence;
    use crate::record::{EngineTurns, OwnTimes, Receipt, Round};

    fn engine<'r>(receipt: &'r Receipt, name: &str) -> &'r EngineRecord {
        let record = receipt.engines.as_ref().expect("engines");
        record.engines.iter().find(|engine| engine.name == name).expect("named")
    }

    fn edited(edit: impl Fn(&mut EnginesRecord)) -> Receipt {
        let mut receipt = fixture::engines();
        edit(receipt.engines.as_mut().expect("engines"));
        fixture::summarized(receipt)
    }

    fn turned(edit: impl Fn(&mut EngineTurns)) -> Receipt {
        edited(|record| edit(record.turns.as_mut().expect("turns")))
    }

    /// The column of `ik_llama.cpp` in these rounds.
    fn right(rounds: &mut [Round], edit: impl Fn(&mut u64, &mut u64)) {
        rounds.iter_mut().for_each(|round| edit(&mut round.ns[1], &mut round.cpu_ns[1]));
    }

    #[test]
    fn right_engines_have_speeds_and_others_none() {
        let receipt = fixture::engines();
        let record = receipt.engines.as_ref().expect("engines");
        let said: Vec<(&str, bool)> = record.engines.iter().map(|e| (e.status.name(), e.speed.is_some())).collect();
        let (ok, wrong, absent) = (("ok", true), ("wrong", false), ("unsupported", false));
        assert_eq!(said, [ok, ok, ok, wrong, absent]);
        assert_eq!(ranked(record), [0, 1, 2]);
        let near = |got: f64, wanted: f64| assert!((got / wanted - 1.0).abs() < 0.003, "{got} for {wanted}");
        let speed = engine(&receipt, "ik_llama.cpp").speed.as_ref().expect("a speed");
        near(speed.decode_tokens_per_s, 1e9 / 295_000.0);
        near(speed.prompt_tokens_per_s, 1e9 / 131_000.0);
        near(speed.first_token_ms, (120_000.0 + 16.0 * 131_000.0) / 1e6);
        near(speed.own_decode_tokens_per_s.expect("it says"), 1e9 / 295_000.0 / 0.98);
        near(speed.own_prompt_tokens_per_s.expect("it says"), 1e9 / 131_000.0 / 0.97);
        near(speed.threads_used, 0.99);
        near(speed.share_of_bound.expect("limits"), speed.decode_tokens_per_s * 2_721_000.0 / 29.966017090054336e9);
        near(speed.decode.as_ref().expect("a ratio").median, 183.0 / 295.0);
        near(speed.prompt.as_ref().expect("a ratio").median, 110.0 / 131.0);
        let quiet = engine(&receipt, "litespark").speed.as_ref().expect("a speed");
        assert_eq!((quiet.own_decode_tokens_per_s, quiet.own_prompt_tokens_per_s), (None, None));
        // Of our own program the A/A pair.
        let own = engine(&receipt, "tritbench").speed.as_ref().and_then(|own| own.decode.as_ref()).expect("A/A");
        assert!((own.median - 1.0).abs() < 0.005 && own.partner == "tritbench", "{own:?}");
    }

    #[test]
    fn the_sentence_says_who_is_right_and_how_fast() {
        let said = sentence(fixture::engines().engines.as_ref().expect("engines")).expect("some");
        let [first, second, third, last] = &said.split("; ").collect::<Vec<_>>()[..] else { panic!("{said}") };
        assert!(first.starts_with("ik_llama.cpp is right and decodes 0.62× ["), "{first}");
        assert!(first.ends_with("] as fast as tritbench (slower)"), "{first}");
        assert!(second.starts_with("litespark is right (quantised head, 4 bits) and decodes 0.45× ["), "{second}");
        assert_eq!(*third, "llama.cpp is wrong: perplexity 32.37, right 23.04, likely SiLU instead of relu squared");
        assert_eq!(*last, "bitnet.cpp is absent: adapter --version gave no answer within 10 s.");
        let why = "perplexity 32.37, right 23.04, likely SiLU instead of relu squared; mean KL divergence 0.498 nats \
                   (at most 0.002 is right); wrong ids after prompts of 1, 63, 128 ids";
        assert_eq!(engine(&fixture::engines(), "llama.cpp").why, why);
        let alone = edited(|record| record.engines.truncate(1));
        let said = sentence(alone.engines.as_ref().expect("engines")).expect("some");
        assert_eq!(said, "No engine was named beside tritbench, which is right.");
    }

    #[test]
    fn rounds_in_which_the_longer_request_was_not_longer_say_nothing() {
        let before = fixture::engines();
        let after = turned(|turns| turns.text[3].ns[1] = turns.first[3].ns[1]);
        let samples = |receipt: &Receipt| {
            let speed = engine(receipt, "ik_llama.cpp").speed.as_ref().expect("a speed");
            speed.decode.as_ref().and_then(|ratio| ratio.verdict.as_ref()).expect("judged").samples
        };
        assert_eq!((samples(&before), samples(&after)), (12, 11));
        let never = turned(|turns| {
            turns.text = turns.first.clone();
            turns.own_times.iter_mut().flatten().for_each(|own| *own = OwnTimes::default());
        });
        let speed = engine(&never, "ik_llama.cpp").speed.as_ref().expect("no fault");
        assert_eq!(speed.decode_tokens_per_s, 0.0);
        assert!(ranked(never.engines.as_ref().expect("engines")).is_empty(), "no speed, no rank");
    }

    /// What is refused or impossible stays so when everything is computed again.
    fn without_speed(receipt: Receipt, status: RowStatus, why: &str) {
        for receipt in [receipt.clone(), fixture::summarized(receipt)] {
            let own = engine(&receipt, "ik_llama.cpp");
            assert_eq!((own.status, own.speed.is_none()), (status, true), "{}", own.why);
            assert!(own.why.contains(why), "{}", own.why);
            assert!(!ranked(receipt.engines.as_ref().expect("engines")).contains(&1));
        }
    }

    #[test]
    fn an_engine_that_uses_more_threads_than_it_was_given_is_not_ranked() {
        let using = |share: f64| turned(|turns| right(&mut turns.text, |ns, cpu| *cpu = (*ns as f64 * share) as u64));
        assert!(engine(&using(1.19), "ik_llama.cpp").status.is_ok());
        without_speed(using(2.0), RowStatus::Refused, "used 2.0 threads and was given 1");
    }

    #[test]
    fn what_this_machine_cannot_do_is_impossible() {
        // 2.7 MB a token, of which all but 0.6 MB may stay in a second level that delivers 109 GB/s: 40,091 a second.
        let decoding = |a_second: f64| {
            let ns = (63.0 * 1e9 / a_second) as u64;
            turned(|turns| {
                let first: Vec<u64> = turns.first.iter().map(|round| round.ns[1]).collect();
                turns.text.iter_mut().zip(first).for_each(|(round, first)| round.ns[1] = first + ns);
                turns.text.iter_mut().for_each(|round| round.cpu_ns[1] = round.ns[1]);
                turns.own_times[1] = vec![OwnTimes::default(); 12];
            })
        };
        assert!(engine(&decoding(1.24 * 40_091.0), "ik_llama.cpp").status.is_ok());
        let fast = decoding(1.27 * 40_091.0);
        without_speed(
            fast.clone(),
            RowStatus::Impossible,
            "decodes at least 1.27 times as fast as 2721000 bytes can be read from L3 and L2",
        );
        // Without limits nobody knows.
        let unknown = fixture::summarized(Receipt { limits: None, ..fast });
        let known = engine(&unknown, "ik_llama.cpp");
        assert!(known.status.is_ok() && known.speed.as_ref().expect("a speed").share_of_bound.is_none());
        // A prompt reads all weights at least once.
        let prompt = turned(|turns| {
            right(&mut turns.prompt, |ns, cpu| (*ns, *cpu) = (16_500, 16_500));
            turns.own_times[1] = vec![OwnTimes::default(); 12];
        });
        without_speed(prompt, RowStatus::Impossible, "takes in a prompt of 128 ids 1.51 times as fast as");
    }

    #[test]
    fn own_times_longer_than_the_request_are_impossible() {
        let claiming = |share: f64| {
            turned(|turns| {
                let wall = turns.text[0].ns[1];
                turns.own_times[1].iter_mut().for_each(|own| own.text_decode_ns = (wall as f64 * share) as u64);
            })
        };
        assert!(engine(&claiming(1.04), "ik_llama.cpp").status.is_ok());
        without_speed(claiming(1.2), RowStatus::Impossible, "its own time of decoding is 1.20 times");
        let prompt = turned(|turns| {
            let wall = turns.prompt[0].ns[1];
            turns.own_times[1].iter_mut().for_each(|own| own.prompt_ns = wall * 2);
        });
        without_speed(prompt, RowStatus::Impossible, "its own time of the prompt is 2.00 times");
    }

    #[test]
    fn what_only_the_harness_saw_is_kept() {
        let saw = |status: RowStatus| {
            edited(|record| {
                let engine = &mut record.engines[3];
                (engine.truth, engine.status, engine.why) = (None, status, "its last words".into());
            })
        };
        for status in [RowStatus::Crashed, RowStatus::Hung, RowStatus::Refused, RowStatus::Wrong] {
            let receipt = saw(status);
            let own = engine(&receipt, "llama.cpp");
            assert_eq!((own.status, own.why.as_str()), (status, "its last words"));
        }
        // But nothing that was not checked is right.
        assert_eq!(engine(&saw(RowStatus::Ok), "llama.cpp").status, RowStatus::Refused);
    }
}
