//! Who is right and who is fast, in few words.

use super::status::ranked;
use super::words::{sentence, speed};
use crate::record::{EngineRecord, EnginesRecord, RowStatus};

/// The engines beside our own program that are there, and those of them that are right.
fn there(record: &EnginesRecord) -> (Vec<&EngineRecord>, Vec<&EngineRecord>) {
    let there = record.engines.iter().filter(|engine| !engine.own && engine.status != RowStatus::Unsupported);
    let all: Vec<&EngineRecord> = there.collect();
    (all.iter().copied().filter(|engine| engine.status.is_ok()).collect(), all)
}

/// How many engines are right, of those beside our own program that are there: `2 of 3 engines are right`.
pub fn how_many(record: &EnginesRecord) -> String {
    let (right, all) = there(record);
    format!("{} of {} engines are right", right.len(), all.len())
}

/// [`sentence`] for the first screen: with more than two engines beside ours how many are right, and the fastest of
/// them.
pub fn headline(record: &EnginesRecord) -> Option<String> {
    let (right, all) = there(record);
    if all.len() <= 2 {
        return sentence(record);
    }
    let rest: Vec<&EngineRecord> = all.into_iter().filter(|engine| !engine.status.is_ok()).collect();
    let listed = |engines: &[&EngineRecord]| engines.iter().map(|e| e.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut said = how_many(record);
    if let Some(fastest) = ranked(record).into_iter().map(|i| &record.engines[i]).find(|engine| !engine.own) {
        said += &format!(": {}; {} is the fastest of them{}", listed(&right), fastest.name, speed(fastest));
    }
    said += ".";
    if !rest.is_empty() {
        said += &format!(" Not right or not ranked: {}.", listed(&rest));
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn few_engines_are_told_of_each_and_many_are_counted() {
        let mut record = fixture::engines().engines.expect("engines");
        let many = headline(&record).expect("some");
        assert!(
            many.starts_with("2 of 3 engines are right: ik_llama.cpp, litespark; ik_llama.cpp is the fastest of them")
        );
        assert!(many.ends_with("Not right or not ranked: llama.cpp."), "{many}");
        record.engines.retain(|engine| engine.name != "litespark");
        assert_eq!(headline(&record), sentence(&record));
        record.engines.iter_mut().for_each(|engine| engine.status = RowStatus::Wrong);
        record.engines.extend(record.engines.clone());
        assert!(headline(&record).expect("some").starts_with("0 of "));
    }
}
