//! Who is right and who is fast, in few words.

use super::status::ranked;
use super::words::{sentence, speed};
use crate::record::{EngineRecord, EnginesRecord, RowStatus};

/// [`sentence`] for the first screen: with more than two engines beside ours how many are right, and the fastest of
/// them.
pub fn headline(record: &EnginesRecord) -> Option<String> {
    let there: Vec<&EngineRecord> =
        record.engines.iter().filter(|engine| !engine.own && engine.status != RowStatus::Unsupported).collect();
    if there.len() <= 2 {
        return sentence(record);
    }
    let (right, rest): (Vec<&EngineRecord>, Vec<&EngineRecord>) =
        there.iter().partition(|engine| engine.status.is_ok());
    let listed = |engines: &[&EngineRecord]| engines.iter().map(|e| e.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut said = format!("{} of {} engines are right", right.len(), there.len());
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
