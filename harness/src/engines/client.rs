//! An engine that answers: requests with what is checked of every answer.

use super::base64;
use super::definition::Definition;
use super::process::Process;
use super::protocol::{Described, Generated, Loaded, Logits, Request, Scored};
use crate::guests::Failed;
use crate::measure::rounds::Spent;
use receipt::{EngineLoaded, RowStatus};

/// Loading may take so many times as long as an answer.
const LOADING: u32 = 5;

type Result<T> = std::result::Result<T, Failed>;

/// How a model is to be loaded.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    pub model: &'a str,
    pub threads: usize,
    pub head_bits: u32,
    pub batch: usize,
    pub context: usize,
    /// Entries of the model's vocabulary.
    pub vocabulary: usize,
}

/// A running engine that has said what it is.
pub struct Client {
    process: Process,
    described: Described,
    vocabulary: usize,
    /// What the engine says of the bytes that an id reads.
    bytes_per_token: Option<u64>,
    loading: std::time::Duration,
}

impl Client {
    /// Starts an engine on these CPUs and asks what it is.
    pub fn start(engine: &Definition, command: &[String], cpus: &[usize]) -> Result<Self> {
        let mut process = Process::start(command, cpus, engine.patience())?;
        let (described, _): (Described, Spent) = process.ask(&Request::Describe)?;
        let known = ["generate", "score", "logits"];
        if !described.requests.iter().any(|request| known.contains(&request.as_str())) {
            let why = "answers none of generate, score and logits".to_owned();
            return Err(Failed::Row { status: RowStatus::Refused, why });
        }
        Ok(Self { process, described, vocabulary: 0, bytes_per_token: None, loading: engine.patience() * LOADING })
    }

    /// Whether it answers a request.
    pub fn can(&self, request: &str) -> bool {
        self.described.requests.iter().any(|known| known == request)
    }

    /// Loads a model.
    pub fn load(&mut self, load: Load<'_>) -> Result<EngineLoaded> {
        let Load { model, threads, head_bits, batch, context, vocabulary } = load;
        let request = Request::Load { model, threads, head_bits, batch, context };
        let (loaded, spent): (Loaded, Spent) = self.process.ask_within(&request, self.loading)?;
        // 0: a server that does not say.
        if ![0, vocabulary].contains(&loaded.vocabulary) {
            let why = format!("has a vocabulary of {} where the model has {vocabulary}", loaded.vocabulary);
            return Err(wrong(why));
        }
        self.vocabulary = vocabulary;
        self.bytes_per_token = loaded.bytes_per_token;
        let Loaded { threads, head_bits, cache, batch, activations, .. } = loaded;
        Ok(EngineLoaded { ns: spent.ns, vocabulary, threads, head_bits, cache, batch, activations })
    }

    /// Continues a prompt greedily.
    pub fn generate(&mut self, ids: &[u32], count: usize) -> Result<(Generated, Spent)> {
        let (generated, spent): (Generated, Spent) = self.process.ask(&Request::Generate { ids, count })?;
        let (got, asked) = (generated.ids.len(), format!("continue {} ids by {count}", ids.len()));
        if got != count {
            return Err(wrong(format!("asked to {asked}, it gave {got}")));
        }
        match generated.ids.iter().find(|id| **id as usize >= self.vocabulary) {
            Some(id) => {
                Err(wrong(format!("asked to {asked}, it gave id {id}; the vocabulary has {}", self.vocabulary)))
            }
            None => Ok((generated, spent)),
        }
    }

    /// Mean loss in nats a position, NaN where the engine says so, and how it fed the text.
    pub fn score(&mut self, ids: &[u32], window: usize, positions: usize) -> Result<(f64, String)> {
        let (scored, _): (Scored, Spent) = self.process.ask(&Request::Score { ids, window })?;
        if scored.rule != "every" || scored.positions != positions {
            let what = format!("scored {} positions by the rule {:?}", scored.positions, scored.rule);
            return Err(wrong(format!("{what} where {positions} by the rule \"every\" were asked for")));
        }
        Ok((scored.nats.unwrap_or(f64::NAN), scored.feeding))
    }

    /// Logits after the last id.
    pub fn logits(&mut self, ids: &[u32]) -> Result<Vec<f32>> {
        let (answer, _): (Logits, Spent) = self.process.ask(&Request::Logits { ids })?;
        let logits = base64::numbers(&answer.logits)
            .map_err(|what| wrong(format!("the logits after {} ids are none: {what}", ids.len())))?;
        if logits.len() != self.vocabulary {
            let (got, vocabulary) = (logits.len(), self.vocabulary);
            return Err(wrong(format!("gave {got} logits for a vocabulary of {vocabulary}")));
        }
        Ok(logits)
    }

    /// Bytes of weights that a decoded id reads, as the engine says.
    pub fn bytes_per_token(&self) -> Option<u64> {
        self.bytes_per_token
    }

    /// Peak of resident memory in bytes of all its processes so far.
    pub fn peak_memory_bytes(&self) -> u64 {
        self.process.peak_memory_bytes()
    }

    /// Ends it.
    pub fn quit(self) {
        self.process.quit();
    }
}

fn wrong(why: String) -> Failed {
    Failed::Row { status: RowStatus::Wrong, why }
}
