//! All engines of a run: who is there, who is right, who is fast, in this order.

use super::client::{Client, Load};
use super::convert::{Prepared, Source};
use super::definition::{Definition, OWN, Protocol};
use super::oracle::Oracle;
use super::places::Places;
use super::selection::Selected;
use super::truth::{self, Questions, Right};
use super::turns::{self, Player};
use super::{asked, kl, mistakes, version};
use crate::error::Result;
use crate::guests::Failed;
use crate::load_model::Loaded;
use crate::machine::{Machine, memory};
use crate::output::note;
use crate::scenario::Engines;
use model::hash::sha256_hex;
use receipt::judge::{engines as judge, sanity};
use receipt::{EngineRecord, EngineScore, EnginesRecord, RowStatus, Rule, TruthRecord};

/// What a run asks of engines.
pub struct Plan<'p> {
    pub engines: &'p [Selected],
    pub asked: &'p Engines,
    pub machine: &'p Machine,
    /// What `--model` names, for our own program.
    pub model: &'p str,
    /// Bits of the head that engines are asked for.
    pub head_bits: u32,
    pub seed: u64,
    pub rule: &'p Rule,
    /// Whether those that are right are timed.
    pub timed: bool,
}

/// An engine that has answered the gate.
struct Standing {
    /// Index of its row.
    row: usize,
    client: Client,
    /// The second process of our own program.
    again: Option<Client>,
}

/// Everything of one run while it is made.
struct Gathering<'p> {
    plan: &'p Plan<'p>,
    loaded: &'p Loaded,
    places: Places,
    cpus: Vec<usize>,
    questions: Questions,
    rights: Vec<Right>,
    rows: Vec<EngineRecord>,
    standing: Vec<Standing>,
    /// Most ids that a sequence has.
    context: usize,
}

/// Asks all engines, then lets those that are right take turns. `step` gets what is being done.
///
/// # Errors
/// An interrupt, or a fault of this program; what an engine does wrong is its row.
pub fn measure(loaded: &Loaded, plan: &Plan<'_>, mut step: impl FnMut(String)) -> Result<EnginesRecord> {
    let (places, _folder) = Places::new()?;
    let (ids, asked) = (asked::ids(loaded)?, plan.asked);
    step("what is right".into());
    let (questions, texts, mut oracle) = asked::questions(loaded, plan.machine, &ids, asked)?;
    let rights = vec![Right::with_texts(&mut oracle, &questions, texts)?];
    drop(oracle);
    let scored = loaded.model.tokenizer.decode(questions.scored().tokens);
    let cpus: Vec<usize> = match plan.machine.is_pinned() {
        true => plan.machine.cpus_for_pairs().into_iter().take(plan.machine.threads).collect(),
        false => Vec::new(),
    };
    let context = asked::context(loaded, asked);
    let mut all =
        Gathering { plan, loaded, places, cpus, questions, rights, rows: Vec::new(), standing: Vec::new(), context };
    for selected in plan.engines {
        step(format!("engine {}", selected.definition.name));
        all.gate(selected)?;
    }
    all.name_mistakes(&mut step)?;
    let oracles = std::mem::take(&mut all.rights).into_iter().map(|right| right.record).collect();
    let mut record = EnginesRecord {
        threads: plan.machine.threads,
        cpus: all.cpus.clone(),
        text: "the first tokens of the built-in model's held-out text".into(),
        text_sha256: sha256_hex(scored.as_bytes()),
        window: all.questions.window,
        windows: all.questions.windows,
        oracles,
        engines: Vec::new(),
        turns: None,
    };
    let prompt = asked::prompt(loaded, &ids, asked);
    if plan.timed {
        record.turns = all.turns(prompt, &mut step)?;
    }
    record.engines = all.rows;
    Ok(record)
}

impl Gathering<'_> {
    /// Asks one engine everything; what becomes of it is its row.
    fn gate(&mut self, selected: &Selected) -> Result<()> {
        let definition = &selected.definition;
        let mut row = EngineRecord { name: definition.name.clone(), own: definition.name == OWN, ..Default::default() };
        let outcome = match &selected.left_out {
            Some(why) => Err(Failed::Row { status: RowStatus::Unsupported, why: why.clone() }),
            None => self.ask(definition, &mut row),
        };
        match outcome {
            Ok(Some((client, again))) => self.standing.push(Standing { row: self.rows.len(), client, again }),
            Ok(None) => {}
            Err(Failed::Run(error)) => return Err(error),
            Err(Failed::Row { status, why }) => (row.status, row.why) = (status, why),
        }
        self.rows.push(row);
        Ok(())
    }

    /// Asks one engine; its processes come back where it may take turns.
    fn ask(
        &mut self,
        definition: &Definition,
        row: &mut EngineRecord,
    ) -> std::result::Result<Option<(Client, Option<Client>)>, Failed> {
        let absent = |why: String| Failed::Row { status: RowStatus::Unsupported, why };
        let command = definition.filled(&definition.version, &self.places).map_err(absent)?;
        row.version = version::ask(&command)?;
        let command = definition.filled(&definition.run, &self.places).map_err(absent)?;
        row.run.clone_from(&definition.run);
        note(format!("engine {}: {}; runs {}", definition.name, row.version, command.join(" ")));
        let loaded = self.loaded;
        let sha256 = loaded.record.sha256.as_str();
        let prepared = Source { gguf: &loaded.model.gguf, sha256 }.for_engine(definition, &self.places)?;
        row.file = Some(prepared.file.clone());
        if definition.protocol == Protocol::KlDivergence {
            let mut oracle = Oracle::new(&loaded.model, self.plan.machine, asked::HEAD_BITS)?;
            let threads = self.plan.machine.threads;
            let (engine, truth) = kl::ask(definition, &command, &prepared, threads, (&mut oracle, &self.questions))?;
            (row.loaded, row.truth) = (Some(engine), Some(truth));
            return Ok(None);
        }
        let (mut client, engine) = self.load(definition, &command, &prepared)?;
        row.bytes_per_token = prepared.weights.bytes_per_token(engine.head_bits, client.bytes_per_token());
        let right = self.right(engine.head_bits)?;
        row.loaded = Some(engine);
        let truth = row.truth.insert(TruthRecord::default());
        let asked = truth::ask(&mut client, &self.questions, &self.rights[right], truth);
        row.peak_memory_bytes = client.peak_memory_bytes();
        asked?;
        let (mut second, _) = self.load(definition, &command, &prepared)?;
        truth::ask_again(&mut second, &self.questions, truth)?;
        let keep = row.own.then_some(second);
        Ok(Some((client, keep)))
    }

    /// A process of an engine with the model in it.
    fn load(
        &self,
        definition: &Definition,
        command: &[String],
        prepared: &Prepared,
    ) -> std::result::Result<(Client, receipt::EngineLoaded), Failed> {
        memory::require_memory(prepared.file.bytes, &format!("the model in engine {}", definition.name))?;
        let mut client = Client::start(definition, command, &self.cpus)?;
        let path = prepared.path.display().to_string();
        // Our own program reads a model by its name too, with how its file is to be read.
        let model = if definition.name == OWN { self.plan.model } else { &path };
        let config = &self.loaded.model.config;
        let loaded = client.load(Load {
            model,
            threads: self.plan.machine.threads,
            head_bits: self.plan.head_bits,
            batch: self.context,
            context: self.context,
            vocabulary: config.vocab,
        })?;
        Ok((client, loaded))
    }

    /// Index of what is right with a head of so many bits, computed where it is not known yet.
    fn right(&mut self, bits: u32) -> Result<usize> {
        let bits = judge::oracle_bits(bits);
        if let Some(known) = self.rights.iter().position(|right| right.record.head_bits == bits) {
            return Ok(known);
        }
        let mut oracle = Oracle::new(&self.loaded.model, self.plan.machine, bits)?;
        self.rights.push(Right::new(&mut oracle, &self.questions)?);
        Ok(self.rights.len() - 1)
    }

    /// Says of each engine whether it is right; for those that are not the known mistakes are tried, and those that
    /// are wrong are let go.
    fn name_mistakes(&mut self, step: &mut impl FnMut(String)) -> Result<()> {
        for row in 0..self.rows.len() {
            let Some(bits) = self.rows[row].loaded.as_ref().map(|loaded| judge::oracle_bits(loaded.head_bits)) else {
                continue;
            };
            let Some(right) = self.rights.iter().position(|right| right.record.head_bits == bits) else { continue };
            let judged = |rights: &[Right], row: &EngineRecord| judge::truth_status(row, Some(&rights[right].record));
            if !self.rows[row].status.is_ok() {
                continue;
            }
            judge::compare(std::slice::from_ref(&self.rights[right].record), &mut self.rows[row]);
            let (mut status, mut why) = judged(&self.rights, &self.rows[row]);
            if status == RowStatus::Wrong && self.may_have_a_name(row) && self.rights[right].record.mistakes.is_empty()
            {
                step(format!("engine {} is wrong: known mistakes", self.rows[row].name));
                let questions = &self.questions;
                self.rights[right].record.mistakes =
                    mistakes::all(self.plan.model, self.plan.machine, bits, questions.scored())?;
                (status, why) = judged(&self.rights, &self.rows[row]);
            }
            (self.rows[row].status, self.rows[row].why) = (status, why);
        }
        let rows = &self.rows;
        self.standing.retain(|standing| rows[standing.row].status.is_ok());
        Ok(())
    }

    /// Whether a known mistake may have the score of a wrong engine: each costs a load and a pass over the text.
    fn may_have_a_name(&self, row: usize) -> bool {
        let score = self.rows[row].truth.as_ref().and_then(|truth| truth.score.as_ref());
        let vocabulary = self.loaded.model.config.vocab;
        let bad = |score: &EngineScore| score.ln_ratio.abs() > score.bound && score.nats_per_token.is_finite();
        let sense =
            |score: &&EngineScore| sanity::of_perplexity(score.nats_per_token.exp(), vocabulary, false).is_none();
        score.filter(sense).is_some_and(bad)
    }

    /// Lets those that are right and generate take turns, our own program twice.
    fn turns(&mut self, prompt: &[u32], step: &mut impl FnMut(String)) -> Result<Option<receipt::EngineTurns>> {
        let (asked, plan) = (self.plan.asked, self.plan);
        let (mut players, mut twin) = (Vec::new(), None);
        for Standing { row, client, again } in std::mem::take(&mut self.standing) {
            // An engine and its row have one index.
            let (row, threads) = (&self.rows[row], plan.engines[row].definition.threads);
            if !client.can("generate") || !(row.own || threads) {
                continue;
            }
            twin = twin.or(again.map(|client| Player { name: row.name.clone(), self_pair: true, client }));
            players.push(Player { name: row.name.clone(), self_pair: false, client });
        }
        players.extend(twin);
        let short = asked.short.min(prompt.len() / 2);
        if players.len() < 2 || short == 0 {
            return Ok(None);
        }
        let tokens = asked.tokens.min((self.context + 1).saturating_sub(short)).max(2);
        let (rounds, n) = (asked.rounds, players.len());
        let turns = turns::Plan { prompt, short, tokens, rounds, seed: plan.seed, rule: plan.rule };
        let said = |done| step(format!("{} engines in turns, round {} of {rounds}", n - 1, done + 1));
        let (record, lost) = turns::measure(&mut players, turns, said)?;
        for (name, failed) in lost {
            let Failed::Row { status, why } = failed else { continue };
            for row in self.rows.iter_mut().filter(|row| row.name == name) {
                (row.status, row.why) = (status, format!("{why}, in turns"));
            }
        }
        for player in players {
            let peak = player.client.peak_memory_bytes();
            for row in self.rows.iter_mut().filter(|row| row.name == player.name) {
                row.peak_memory_bytes = row.peak_memory_bytes.max(peak);
            }
            player.client.quit();
        }
        Ok(Some(record))
    }
}
