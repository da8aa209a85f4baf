//! Whether an engine is right: what it answered, held to what this program computes of the same model with its head.

use super::words::{FAULTS, perplexities};
use crate::figures::measured;
use crate::judge::sanity;
use crate::record::{EngineLoaded, EngineRecord, EnginesRecord, MistakeRecord, OracleRecord, RowStatus, TruthRecord};

/// A difference of the oracle's two best logits up to which either id is right.
pub const TIE: f32 = 0.1;
/// Largest |ln(perplexity ratio)| of an engine that rounds activations by the oracle's rule.
const SAME_RULE: f64 = 0.001;
/// The same where it rounds them by another rule.
const OTHER_RULE: f64 = 0.005;
/// Largest mean Kullback-Leibler divergence from the oracle in nats.
const MOST_KL: f64 = 0.002;
/// Both bounds on a model of random weights, which makes more of every rounding: right engines that round by another
/// rule are up to 0.0055 and 0.0031 off on 2 billion weights.
const RANDOM_WEIGHTS: f64 = 0.02;
/// How far a score may be from that of a mistake which is named for it, in nats.
const NEAR: f64 = 0.05;
/// How many times nearer to the mistake than to the right score it must be.
const NEARER: f64 = 4.0;

/// The largest |ln(perplexity ratio)| that passes, by the engine's rule of activations and the oracle's.
fn bound(activations: &str, oracle: &OracleRecord) -> f64 {
    match activations == oracle.activations.name() {
        true => SAME_RULE,
        false if oracle.random_weights => RANDOM_WEIGHTS,
        false => OTHER_RULE,
    }
}

/// The largest mean divergence from the oracle that passes.
fn most_kl(oracle: &OracleRecord) -> f64 {
    if oracle.random_weights { RANDOM_WEIGHTS } else { MOST_KL }
}

/// Index of the first id that is not the oracle's, if its margin is above [`TIE`]. Texts part at the first difference,
/// so nothing behind it is compared. A text of another length is wrong where the shorter one ends.
fn wrong_at(ids: &[u32], right: &[u32], margins: &[f32]) -> Option<usize> {
    let differ = ids.iter().zip(right).position(|(id, right)| id != right);
    // A margin that is no number excuses nothing.
    let excused = |at: usize| margins.get(at).is_some_and(|margin| *margin <= TIE);
    match differ {
        Some(at) => (!excused(at)).then_some(at),
        None => (ids.len() != right.len()).then_some(ids.len().min(right.len())),
    }
}

/// The known mistake whose score is nearest, if it is near, and far nearer than the right score.
pub fn likeliest_mistake(nats: f64, right: f64, mistakes: &[MistakeRecord]) -> Option<&MistakeRecord> {
    let far = |mistake: &MistakeRecord| (nats - mistake.nats_per_token).abs();
    let nearest = mistakes.iter().min_by(|a, b| far(a).total_cmp(&far(b)))?;
    let fits = far(nearest) <= NEAR && NEARER * far(nearest) <= (nats - right).abs();
    fits.then_some(nearest)
}

/// Bits of the oracle's head that an engine with a head of so many is held to: the nearest that is not coarser, 4 where
/// there is none, and 16 for an engine that does not say (0).
pub fn oracle_bits(head_bits: u32) -> u32 {
    match head_bits {
        0 | 9.. => 16,
        5..9 => 8,
        _ => 4,
    }
}

/// The oracle with an engine's head, if it was asked.
pub fn oracle<'r>(oracles: &'r [OracleRecord], engine: &EngineRecord) -> Option<&'r OracleRecord> {
    let bits = oracle_bits(engine.loaded.as_ref()?.head_bits);
    oracles.iter().find(|oracle| oracle.head_bits == bits)
}

/// What the answers of an engine say of it: `ok`, or not, and why. One that could not be held to anything is refused.
pub fn truth_status(engine: &EngineRecord, oracle: Option<&OracleRecord>) -> (RowStatus, String) {
    let unchecked = |why: String| (RowStatus::Refused, why);
    let Some((truth, loaded)) = engine.truth.as_ref().zip(engine.loaded.as_ref()) else {
        return unchecked("nothing of it was checked".into());
    };
    let Some(oracle) = oracle else {
        return unchecked(format!("no right answer is known for an output head of {} bits", loaded.head_bits));
    };
    if truth.score.is_none() && truth.mean_kl_nats.is_none() && truth.texts.is_empty() {
        return unchecked("nothing of it was checked".into());
    }
    let faults = [
        wrong_score(truth, loaded, oracle),
        truth.mean_kl_nats.filter(|kl| kl.is_nan() || *kl > most_kl(oracle)).map(|kl| match kl.is_finite() {
            true => format!("mean KL divergence {} nats (at most {} is right)", measured(kl), most_kl(oracle)),
            false => "logits that are not finite".into(),
        }),
        (truth.same_again == Some(false)).then(|| "two processes gave two answers to one request".into()),
        (truth.reads_prompt == Some(false)).then(|| "two prompts with the same last id got one answer".into()),
        (!oracle.random_weights).then(|| wrong_texts(truth)).flatten(),
    ];
    let why = faults.into_iter().flatten().collect::<Vec<String>>().join(FAULTS);
    (if why.is_empty() { RowStatus::Ok } else { RowStatus::Wrong }, why)
}

fn wrong_score(truth: &TruthRecord, loaded: &EngineLoaded, oracle: &OracleRecord) -> Option<String> {
    let (activations, vocabulary) = (loaded.activations.as_str(), loaded.vocabulary);
    let nats = truth.score.as_ref()?.nats_per_token;
    let right = oracle.nats_per_token;
    if (nats - right).abs() <= bound(activations, oracle) {
        return None;
    }
    let [own, right_one] = perplexities(nats, right);
    if nats.is_nan() {
        return Some(format!("its loss is not a number, right is perplexity {right_one}"));
    }
    let mistake = likeliest_mistake(nats, right, &oracle.mistakes).map(|m| m.mistake.as_str());
    // How bad a misread weight is depends on the tool and its batches: no figure says which it is.
    let nonsense = sanity::of_perplexity(nats.exp(), vocabulary, false);
    let likely = mistake.or(nonsense.map(|_| "a layout, a scale or a table that is read wrongly"));
    let likely = likely.map_or_else(String::new, |what| format!(", likely {what}"));
    Some(format!("perplexity {own}, right {right_one}{likely}"))
}

/// After which prompts the ids are wrong. One text is held to be wrong by its ids, not by what was made of them.
fn wrong_texts(truth: &TruthRecord) -> Option<String> {
    let is_wrong = |text: &&crate::record::EngineText| wrong_at(&text.ids, &text.right, &text.margins).is_some();
    let lengths = |wrong: bool| {
        let mut of: Vec<usize> = truth.texts.iter().filter(|t| is_wrong(t) == wrong).map(|t| t.prompt).collect();
        of.sort_unstable();
        of.dedup();
        of
    };
    let (wrong, right) = (lengths(true), lengths(false));
    let (first, most) = (wrong.first()?, right.last());
    let all = wrong.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    if wrong.len() > 1 && most.is_some_and(|most| most < first) {
        return Some(format!("wrong ids from prompts of {first} ids on: {all}"));
    }
    Some(format!("wrong ids after prompts of {all} ids"))
}

/// What follows from the answers alone: the oracles' perplexities, how far scores are off, where texts go wrong.
pub(super) fn fill(record: &mut EnginesRecord) {
    for oracle in &mut record.oracles {
        oracle.perplexity = oracle.nats_per_token.exp();
    }
    let oracles = &record.oracles;
    record.engines.iter_mut().for_each(|engine| compare(oracles, engine));
}

/// Holds the answers of an engine to those of its oracle: how far its score is off, where texts go wrong.
pub fn compare(oracles: &[OracleRecord], engine: &mut EngineRecord) {
    let oracle = oracle(oracles, engine);
    let activations = engine.loaded.as_ref().map_or("", |loaded| &loaded.activations);
    let Some(truth) = &mut engine.truth else { return };
    if let Some((score, oracle)) = truth.score.as_mut().zip(oracle) {
        score.ln_ratio = score.nats_per_token - oracle.nats_per_token;
        score.bound = bound(activations, oracle);
    }
    let binds = oracle.is_none_or(|oracle| !oracle.random_weights);
    for text in &mut truth.texts {
        text.wrong_at = wrong_at(&text.ids, &text.right, &text.margins).filter(|_| binds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::record::EngineText;

    #[test]
    fn texts_part_at_the_first_difference() {
        let right = [5, 6, 7, 8];
        let at = |ids: &[u32], margins: &[f32]| wrong_at(ids, &right, margins);
        assert_eq!(at(&right, &[1.0; 4]), None);
        assert_eq!(at(&[5, 9, 7, 8], &[1.0; 4]), Some(1));
        // Either id was right, and what follows continues another text.
        assert_eq!(at(&[5, 9, 9, 9], &[1.0, 0.1, 1.0, 1.0]), None);
        assert_eq!(at(&[5, 9, 9, 9], &[1.0, 0.1001, 1.0, 1.0]), Some(1));
        assert_eq!(at(&[5, 9, 7, 8], &[1.0, f32::NAN, 1.0, 1.0]), Some(1));
        assert_eq!(at(&[5, 6, 7], &[0.0; 4]), Some(3), "fewer ids than asked");
        assert_eq!(at(&[5, 6, 7, 8, 9], &[0.0; 4]), Some(4), "more");
        assert_eq!(at(&[5, 9, 7], &[0.0; 4]), None);
        assert_eq!(at(&[], &[]), Some(0));
    }

    #[test]
    fn a_mistake_is_named_where_it_fits_far_better_than_the_right_one() {
        let mistake =
            |mistake: &str, perplexity: f64| MistakeRecord { mistake: mistake.into(), nats_per_token: perplexity.ln() };
        let known = [mistake("SiLU instead of relu squared", 32.24), mistake("codes in another order", 15_908.0)];
        let named =
            |perplexity: f64| likeliest_mistake(perplexity.ln(), 23.04f64.ln(), &known).map(|m| m.mistake.as_str());
        assert_eq!(named(32.37), Some("SiLU instead of relu squared"));
        assert_eq!(named(15_000.0), None, "0.06 nats off");
        assert_eq!((named(28.0), named(1265.7), named(f64::NAN)), (None, None, None));
        // A mistake that hardly moves the score is not told from none.
        let slight = [mistake("slight", 23.2)];
        assert!(likeliest_mistake(23.16f64.ln(), 23.04f64.ln(), &slight).is_none());
        assert!(likeliest_mistake(23.18f64.ln(), 23.04f64.ln(), &slight).is_some());
    }

    /// The right engine of the fixture with other answers.
    fn judged(edit: impl Fn(&mut EngineRecord)) -> (RowStatus, String) {
        let record = fixture::engines().engines.expect("engines");
        let mut engine = record.engines.into_iter().nth(1).expect("the right one");
        edit(&mut engine);
        let oracle = oracle(&record.oracles, &engine);
        truth_status(&engine, oracle)
    }

    fn truth(edit: impl Fn(&mut TruthRecord)) -> (RowStatus, String) {
        judged(|engine| edit(engine.truth.as_mut().expect("asked")))
    }

    #[test]
    fn every_fault_is_named() {
        assert_eq!(judged(|_| ()), (RowStatus::Ok, String::new()));
        let right = fixture::engines().engines.expect("engines").oracles[0].nats_per_token;
        let score = |nats: f64| truth(|t| t.score.as_mut().expect("a score").nats_per_token = nats);
        assert_eq!(score(right + 0.0049).0, RowStatus::Ok);
        let (status, why) = score(right - 0.0051);
        assert_eq!((status, why.as_str()), (RowStatus::Wrong, "perplexity 22.92, right 23.04"));
        let why = "its loss is not a number, right is perplexity 23.04";
        assert_eq!(score(f64::NAN), (RowStatus::Wrong, why.into()));
        // By our rule it must be nearer.
        let by_our_rule = judged(|engine| {
            engine.loaded.as_mut().expect("loaded").activations = "token".into();
            let score = engine.truth.as_mut().and_then(|t| t.score.as_mut());
            score.expect("a score").nats_per_token = right + 0.0011;
        });
        assert_eq!(by_our_rule.1, "perplexity 23.07, right 23.04");
        assert_eq!(truth(|t| t.mean_kl_nats = Some(0.002)).0, RowStatus::Ok);
        assert!(truth(|t| t.mean_kl_nats = Some(0.0021)).1.starts_with("mean KL divergence "));
        assert_eq!(truth(|t| t.mean_kl_nats = Some(f64::NAN)).1, "logits that are not finite");
        assert_eq!(truth(|t| t.same_again = Some(false)).1, "two processes gave two answers to one request");
        assert_eq!(truth(|t| t.reads_prompt = Some(false)).1, "two prompts with the same last id got one answer");
    }

    #[test]
    fn lengths_that_fail_are_listed() {
        let failing = |lengths: &'static [usize]| {
            let spoil = |text: &mut EngineText| {
                if lengths.contains(&text.prompt) {
                    text.ids[0] += 1;
                }
            };
            truth(|t| t.texts.iter_mut().for_each(spoil)).1
        };
        assert_eq!(failing(&[512, 65, 128]), "wrong ids from prompts of 65 ids on: 65, 128, 512");
        assert_eq!(failing(&[1, 65]), "wrong ids after prompts of 1, 65 ids");
        assert_eq!(failing(&[512]), "wrong ids after prompts of 512 ids");
        assert_eq!(failing(&[1, 63, 64, 65, 128, 512]), "wrong ids after prompts of 1, 63, 64, 65, 128, 512 ids");
    }

    #[test]
    fn what_was_not_checked_is_not_right() {
        let refused = |edit: &dyn Fn(&mut EngineRecord)| {
            let (status, why) = judged(edit);
            assert_eq!(status, RowStatus::Refused, "{why}");
            why
        };
        assert_eq!(refused(&|engine| engine.truth = None), "nothing of it was checked");
        assert_eq!(refused(&|engine| engine.truth = Some(TruthRecord::default())), "nothing of it was checked");
        let other_head = |engine: &mut EngineRecord| engine.loaded.as_mut().expect("loaded").head_bits = 6;
        assert_eq!(refused(&other_head), "no right answer is known for an output head of 6 bits");
    }
}
