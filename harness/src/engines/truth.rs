//! The gate: what every engine is asked before it is timed, and what is right.
//!
//! Prompts of many lengths, because engines fail by length: one multiplies nothing above 64 ids. The loss of a text,
//! because a wrong model still continues prompts. Distributions where it gives them. The same request in a second
//! process, and two prompts that end alike, because an engine may answer without reading.

use super::client::Client;
use super::oracle::{Continued, Oracle};
use super::protocol::Request;
use crate::error::Result;
use crate::guests::Failed;
use model::next_token::divergence;
use model::perplexity::Text;
use receipt::judge::engines::TIE;
use receipt::{EngineScore, EngineText, OracleRecord, TruthRecord};

/// Lengths of the prompts that are continued.
pub const PROMPTS: [usize; 6] = [1, 63, 64, 65, 128, 512];
/// Most ids that a prompt is continued by.
const IDS: usize = 24;
/// Stretches of the text among which the prompt of each length is chosen, of a small and of a large model.
const STRETCHES: (usize, usize) = (12, 1);
/// A margin below which another rule of rounding activations may have another id first now and then.
const CLEAR: f32 = 0.25;
/// Length of the two prompts that end alike, and of their texts.
const ALIKE: (usize, usize) = (48, 8);
/// Length of the prompt that a second process is asked too.
const AGAIN: usize = 65;
/// Ids before each position whose distribution is compared.
const BEFORE: usize = 48;
/// Models of more weights are asked for less: seconds a request.
const LARGE: u64 = 100_000_000;
/// Positions whose distributions are compared, of a small and of a large model.
const POSITIONS: (usize, usize) = (32, 8);
/// Windows of the text that are scored of a large model, at most.
const LARGE_WINDOWS: usize = 4;

/// A prompt, and the number of ids by which it is continued.
type Prompt = (Vec<u32>, usize);

/// What is asked of every engine, of one model.
pub struct Questions {
    prompts: Vec<Prompt>,
    /// Beginnings of the text after which distributions are compared.
    places: Vec<Vec<u32>>,
    /// Pairs of prompts that end with the same id.
    alike: Vec<[Vec<u32>; 2]>,
    /// The text that is scored: whole windows, and the id behind the last.
    text: Vec<u32>,
    pub window: usize,
    pub windows: usize,
}

impl Questions {
    /// Questions on the ids of a text, of a model with so many weights and so long a context as its oracle has;
    /// `windows` are scored at most.
    ///
    /// Of each length the prompt is asked whose answer is clearest: the oracle's texts part from honest ones where its
    /// two best logits are near each other, which may be at the first id.
    ///
    /// The oracle's texts behind the prompts come back too.
    ///
    /// # Errors
    /// Those of the oracle.
    pub fn new(
        ids: &[u32],
        weights: u64,
        (window, windows): (usize, usize),
        oracle: &mut Oracle<'_>,
    ) -> Result<(Self, Vec<Continued>)> {
        let stretches = if weights > LARGE { STRETCHES.1 } else { STRETCHES.0 };
        let mut questions = Self::without_prompts(ids, oracle.context(), weights, (window, windows));
        let mut texts = Vec::new();
        for candidates in prompts(ids, oracle.context(), stretches) {
            let mut best: Option<(usize, Prompt, Continued)> = None;
            for (prompt, count) in candidates {
                let text = oracle.greedy(&prompt, count)?;
                let clear = clear_ids(&text.margins);
                if best.as_ref().is_none_or(|(most, ..)| clear > *most) {
                    best = Some((clear, (prompt, count), text));
                }
            }
            if let Some((_, prompt, text)) = best {
                questions.prompts.push(prompt);
                texts.push(text);
            }
        }
        // A distribution binds where ids do not.
        questions.places.extend(questions.prompts.iter().map(|(prompt, _)| prompt.clone()));
        Ok((questions, texts))
    }

    fn without_prompts(ids: &[u32], context: usize, weights: u64, (window, windows): (usize, usize)) -> Self {
        let large = weights > LARGE;
        let positions = if large { POSITIONS.1 } else { POSITIONS.0 };
        let places = ids.chunks_exact(BEFORE.min(context).max(1)).take(positions).map(<[u32]>::to_vec).collect();
        let window = window.min(context).max(1);
        let most = if large { windows.min(LARGE_WINDOWS) } else { windows };
        let windows = (ids.len().saturating_sub(1) / window).min(most);
        let text = ids.get(..windows * window + 1).unwrap_or_default().to_vec();
        Self { prompts: Vec::new(), places, alike: alike(ids, context), text, window, windows }
    }

    /// Positions that are scored.
    pub fn positions(&self) -> usize {
        self.windows * self.window
    }

    /// The text that is scored.
    pub fn scored(&self) -> Text<'_> {
        Text { tokens: &self.text, window: self.window, max_windows: self.windows }
    }

    /// Every request that an engine gets which answers all of them, in order, the last for a second process.
    pub fn requests(&self) -> Vec<Request<'_>> {
        let prompts = self.prompts.iter().map(|(ids, count)| Request::Generate { ids, count: *count });
        let alike = self.alike.first().into_iter().flatten().map(|ids| Request::Generate { ids, count: ALIKE.1 });
        let score = (self.windows > 0).then_some(Request::Score { ids: &self.text, window: self.window });
        let logits = self.places.iter().map(|ids| Request::Logits { ids });
        let again = self.again().map(|(ids, count)| Request::Generate { ids, count: *count });
        prompts.chain(alike).chain(score).chain(logits).chain(again).collect()
    }

    /// The prompt that a second process is asked too, and by how many ids.
    fn again(&self) -> Option<&(Vec<u32>, usize)> {
        self.prompts.iter().find(|(prompt, _)| prompt.len() == AGAIN).or(self.prompts.last())
    }
}

/// The longest sequence that the questions make, where the context allows it.
pub fn longest() -> usize {
    PROMPTS.into_iter().max().unwrap_or(0) + IDS
}

/// For each length the stretches of the text that may be its prompt.
fn prompts(ids: &[u32], context: usize, stretches: usize) -> impl Iterator<Item = Vec<Prompt>> {
    PROMPTS.into_iter().filter(move |length| *length <= context).map(move |length| {
        // Of the last id of a text nothing is computed.
        let count = IDS.min(context + 1 - length);
        ids.chunks_exact(length).take(stretches).map(|stretch| (stretch.to_vec(), count)).collect()
    })
}

/// How many ids of a text every honest engine has: those before the first margin that excuses a difference, unless one
/// of them is hardly above it; then those before that one count, but less than any other text.
fn clear_ids(margins: &[f32]) -> usize {
    let until = |least: f32| margins.iter().position(|margin| *margin <= least).unwrap_or(margins.len());
    let (excused, clear) = (until(TIE), until(CLEAR));
    if excused == clear { 1 + excused } else { 0 }
}

/// Pairs of stretches of the text that end with the same id.
fn alike(ids: &[u32], context: usize) -> Vec<[Vec<u32>; 2]> {
    let length = ALIKE.0;
    if ids.len() < length || context < length + ALIKE.1 {
        return Vec::new();
    }
    let first = &ids[..length];
    let others = ids[length..].windows(length).filter(|other| other.last() == first.last());
    others.take(8).map(|other| [first.to_vec(), other.to_vec()]).collect()
}

/// What is right, of one output head.
pub struct Right {
    pub record: OracleRecord,
    texts: Vec<Continued>,
    logits: Vec<Vec<f32>>,
    /// Index of the first pair of prompts that end alike and have two answers.
    alike: Option<usize>,
}

impl Right {
    /// Computes all answers.
    pub fn new(oracle: &mut Oracle<'_>, questions: &Questions) -> Result<Self> {
        let asked = questions.prompts.iter();
        let texts = asked.map(|(prompt, count)| oracle.greedy(prompt, *count)).collect::<Result<_>>()?;
        Self::with_texts(oracle, questions, texts)
    }

    /// Computes the answers where the texts behind the prompts are there already.
    pub fn with_texts(oracle: &mut Oracle<'_>, questions: &Questions, texts: Vec<Continued>) -> Result<Self> {
        let scored = oracle.score(questions.scored())?;
        let record = oracle.record(&scored, Vec::new());
        let logits = questions.places.iter().map(|place| oracle.logits(place)).collect::<Result<_>>()?;
        let mut alike = None;
        for (i, [one, other]) in questions.alike.iter().enumerate() {
            if oracle.greedy(one, ALIKE.1)?.ids != oracle.greedy(other, ALIKE.1)?.ids {
                alike = Some(i);
                break;
            }
        }
        Ok(Self { record, texts, logits, alike })
    }
}

/// Asks an engine that has loaded the model everything that it answers. What it has answered so far stands in `truth`
/// where it fails; nothing is judged here.
pub fn ask(
    client: &mut Client,
    questions: &Questions,
    right: &Right,
    truth: &mut TruthRecord,
) -> std::result::Result<(), Failed> {
    if client.can("generate") {
        for ((prompt, count), right) in questions.prompts.iter().zip(&right.texts) {
            let ids = client.generate(prompt, *count)?.0.ids;
            let (right, margins) = (right.ids.clone(), right.margins.clone());
            truth.texts.push(EngineText { prompt: prompt.len(), ids, right, margins, wrong_at: None });
        }
        if let Some([one, other]) = right.alike.map(|pair| &questions.alike[pair]) {
            let mut answer = |prompt: &[u32]| client.generate(prompt, ALIKE.1).map(|(generated, _)| generated.ids);
            truth.reads_prompt = Some(answer(one)? != answer(other)?);
        }
    }
    if client.can("score") && questions.windows > 0 {
        let (nats_per_token, feeding) = client.score(&questions.text, questions.window, questions.positions())?;
        truth.score = Some(EngineScore { nats_per_token, ln_ratio: 0.0, bound: 0.0, feeding });
    }
    if client.can("logits") && !right.logits.is_empty() {
        let mut sum = 0.0;
        for (place, right) in questions.places.iter().zip(&right.logits) {
            // Logits that are not finite are no distribution.
            sum += divergence(right, &client.logits(place)?).unwrap_or(f64::NAN);
        }
        truth.kl_positions = right.logits.len();
        truth.mean_kl_nats = Some(sum / right.logits.len() as f64);
    }
    Ok(())
}

/// Asks a second process of the engine, which has loaded the model, what the first was asked, and notes whether it says
/// the same.
pub fn ask_again(
    client: &mut Client,
    questions: &Questions,
    truth: &mut TruthRecord,
) -> std::result::Result<(), Failed> {
    let Some((prompt, count)) = questions.again().filter(|_| client.can("generate")) else { return Ok(()) };
    let before = truth.texts.iter().find(|text| text.prompt == prompt.len()).map(|text| text.ids.clone());
    let now = client.generate(prompt, *count)?.0.ids;
    truth.same_again = before.map(|before| before == now);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_fit_the_context() {
        let ids: Vec<u32> = (0..2000).map(|i| i % 7).collect();
        let lengths = |ids: &[u32], context, stretches| {
            let all = prompts(ids, context, stretches).map(|of_length| {
                let first = of_length.first().map(|(prompt, count)| (prompt.len(), *count));
                (of_length.len(), first)
            });
            all.collect::<Vec<_>>()
        };
        let once = |length, count| (1, Some((length, count)));
        let [a, b, c, d, e, f] = [(1, 24), (63, 24), (64, 24), (65, 24), (128, 24), (512, 1)];
        assert_eq!(lengths(&ids, 512, 1), [a, b, c, d, e, f].map(|(length, count)| once(length, count)));
        assert_eq!(lengths(&ids, 512, 12).iter().map(|found| found.0).collect::<Vec<_>>(), [12, 12, 12, 12, 12, 3]);
        assert_eq!(lengths(&ids[..64], 70, 2), [(2, Some((1, 24))), once(63, 8), once(64, 7), (0, None)]);
        let small = Questions::without_prompts(&ids, 512, 1000, (128, 81));
        assert_eq!((small.windows, small.positions(), small.scored().tokens.len()), (15, 1920, 1921));
        assert_eq!((small.places.len(), small.places[0].len()), (32, 48));
        for [one, other] in &small.alike {
            assert_eq!((one.len(), one.last()), (48, other.last()));
        }
        assert!(!small.alike.is_empty());
        let short = Questions::without_prompts(&ids[..100], 70, 1000, (128, 81));
        assert_eq!((short.window, short.windows), (70, 1));
        let large = Questions::without_prompts(&ids, 4096, 2_000_000_000, (128, 81));
        assert_eq!((large.windows, large.places.len()), (4, 8));
        let none = Questions::without_prompts(&[], 512, 1000, (128, 81));
        assert_eq!((none.places.len(), none.windows, none.scored().tokens.len()), (0, 0, 0));
    }

    #[test]
    fn the_clearest_text_has_most_ids_that_nobody_can_doubt() {
        assert_eq!(clear_ids(&[1.0, 0.3, 0.05, 2.0]), 3, "two, and where it parts it may");
        assert_eq!(clear_ids(&[0.05, 2.0]), 1);
        assert_eq!(clear_ids(&[1.0; 24]), 25);
        assert_eq!(clear_ids(&[1.0, 0.12, 2.0]), 0, "an honest engine may have another id there");
    }
}
