//! Who is right and who is fast, in one sentence.

use crate::figures::{measured, number, ratio_with_interval};
use crate::record::{EngineRecord, EnginesRecord, RowStatus};

/// What stands between two faults of an engine.
pub(super) const FAULTS: &str = "; ";

/// Why an engine is not `ok`, of several faults the first; tables have the others.
pub fn first_fault(engine: &EngineRecord) -> &str {
    match engine.status {
        RowStatus::Wrong => engine.why.split(FAULTS).next().unwrap_or_default(),
        _ => &engine.why,
    }
}

/// The status of an engine in tables and pictures; a program that is not there is not unsupported by this CPU.
pub fn status_word(engine: &EngineRecord) -> &'static str {
    match engine.status {
        RowStatus::Unsupported => "absent",
        status => status.name(),
    }
}

/// A perplexity from its nats: `23.04`, `15,908`, `5.3e11`.
pub fn perplexity(nats: f64) -> String {
    match nats.exp() {
        x if x < 1000.0 => format!("{x:.2}"),
        x if x < 1e7 => number(x),
        x if x.is_finite() => format!("{x:.1e}"),
        x if x.is_nan() => "not a number".into(),
        _ => "infinite".into(),
    }
}

/// Two perplexities that differ, with as many digits as show it.
pub(super) fn perplexities(own: f64, right: f64) -> [String; 2] {
    let short = [own, right].map(perplexity);
    if short[0] == short[1] { [own, right].map(|nats| format!("{:.5}", nats.exp())) } else { short }
}

/// What is said of an engine's head behind its name, where it is not the model's: `quantised head, 4 bits`.
fn head(engine: &EngineRecord) -> Option<String> {
    let bits = engine.loaded.as_ref()?.head_bits;
    (0 < bits && bits < 16).then(|| format!("quantised head, {bits} bits"))
}

/// Each engine beside our own program, the right ones with their speed; our own comes first where it is not right.
pub fn sentence(record: &EnginesRecord) -> Option<String> {
    let own = record.engines.iter().find(|engine| engine.own)?;
    let (absent, rest): (Vec<&EngineRecord>, Vec<&EngineRecord>) =
        record.engines.iter().filter(|engine| !engine.own).partition(|engine| engine.status == RowStatus::Unsupported);
    let there = (!own.status.is_ok()).then_some(own).into_iter().chain(rest);
    let mut named: Vec<String> = there.map(clause).collect();
    match absent[..] {
        [one] => named.push(clause(one)),
        [] => {}
        _ => named.push(format!("{} engines are absent", absent.len())),
    }
    Some(match named.is_empty() {
        true => format!("No engine was named beside {}, which is right.", own.name),
        false => named.join("; ") + ".",
    })
}

fn clause(engine: &EngineRecord) -> String {
    // Last words may end as sentences do.
    let (name, why) = (&engine.name, engine.why.trim_end_matches('.'));
    match engine.status {
        RowStatus::Ok => format!("{name} is right{}{}", beside_name(engine), speed(engine)),
        RowStatus::Wrong => format!("{name} is wrong: {}", first_fault(engine)),
        RowStatus::Impossible => format!("{name} is impossible: {why}"),
        RowStatus::Refused => format!("{name} is not ranked: {why}"),
        RowStatus::Crashed => format!("{name} crashed: {why}"),
        RowStatus::Hung => format!("{name} hung: {why}"),
        RowStatus::Unsupported => format!("{name} is absent: {why}"),
    }
}

fn beside_name(engine: &EngineRecord) -> String {
    head(engine).map_or_else(String::new, |head| format!(" ({head})"))
}

/// What follows a right engine's name: how fast it decodes.
pub(super) fn speed(engine: &EngineRecord) -> String {
    let Some(speed) = &engine.speed else { return ", its speed was not measured".into() };
    match &speed.decode {
        Some(ratio) => {
            let (figure, word) = (ratio_with_interval(ratio), ratio.direction().word());
            format!(" and decodes {figure} as fast as {} ({word})", ratio.partner)
        }
        None => format!(" and decodes {} ids/s", measured(speed.decode_tokens_per_s)),
    }
}
