//! `engine`: which foreign engines there are, whether one is right, and what exactly it is asked.

use crate::engines::definition::{self, Definition};
use crate::engines::places::Places;
use crate::engines::run::{Plan, measure};
use crate::engines::selection::{Selected, find, shipped, table as all_of};
use crate::engines::{asked, own, version};
use crate::error::{Error, Result};
use crate::guests::Failed;
use crate::load_model::load;
use crate::machine::MachineArgs;
use crate::output::{Output, table};
use crate::progress::Progress;
use crate::scenario::Scenario;
use crate::words;
use clap::{Args, Subcommand};
use receipt::judge::engines as judge;
use receipt::judge::reading::Reads;
use receipt::judge::sequential;
use receipt::{EngineRecord, Receipt, RowStatus, Rule};
use serde::Serialize;

/// The subcommands of `engine`.
#[derive(Subcommand, Debug)]
pub enum EngineCommand {
    /// Engines that this program knows how to run, and which of them are there
    List(ListArgs),
    /// Is an engine right? The gate of compare alone
    Check(CheckArgs),
    /// Print what exactly an engine is asked in a scenario, line by line
    Request(RequestArgs),
    /// Speak the protocol of engines: our own program is one
    #[command(hide = true)]
    Serve,
}

/// Flags of `engine list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// The JSON Schema of an engine's table, for editors
    #[arg(long, conflicts_with = "json")]
    schema: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Flags of `engine check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Engine of `engine list` or of the scenario; it is run
    #[arg(value_parser = words::name)]
    name: String,
    /// Built-in scenario or TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "engines")]
    scenario: String,
    /// builtin, synth:SHAPE, a GGUF file or a folder; the scenario's by default
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Threads (1 by default), pinning, features
    #[command(flatten)]
    machine: MachineArgs,
}

/// Flags of `engine request`.
#[derive(Args, Debug)]
pub struct RequestArgs {
    /// Built-in scenario or TOML file
    #[arg(value_name = "SCENARIO")]
    scenario: String,
    /// builtin, synth:SHAPE, a GGUF file or a folder; the scenario's by default
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// Threads (1 by default), pinning, features
    #[command(flatten)]
    machine: MachineArgs,
}

/// Runs `engine`.
pub fn run(command: &EngineCommand, out: &Output) -> Result<()> {
    match command {
        EngineCommand::List(args) if args.schema => out.json(&definition::schema()),
        EngineCommand::List(args) => list(args, out),
        EngineCommand::Check(args) => check(args, out),
        EngineCommand::Request(args) => request(args, out),
        EngineCommand::Serve => own::serve(std::io::stdin().lock(), std::io::stdout().lock()),
    }
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    definition: Definition,
    /// What its version command printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    version_found: Option<String>,
    /// Why it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

fn list(args: &ListArgs, out: &Output) -> Result<()> {
    let (places, _folder) = Places::new()?;
    let found = |definition: &Definition| match definition.filled(&definition.version, &places) {
        Ok(command) => match version::ask(&command) {
            Ok(version) => Ok(Ok(version)),
            Err(Failed::Row { why, .. }) => Ok(Err(why)),
            Err(Failed::Run(error)) => Err(error),
        },
        Err(why) => Ok(Err(why)),
    };
    let row = |definition: Definition| {
        let (version_found, why) = match found(&definition)? {
            Ok(version) => (Some(version), None),
            Err(why) => (None, Some(why)),
        };
        Ok(Row { definition, version_found, why })
    };
    let rows = shipped()?.into_iter().map(row).collect::<Result<Vec<Row>>>()?;
    if args.json {
        return out.listing("engines", &rows);
    }
    let shown = rows.iter().map(|row| {
        let there = row.version_found.clone().or_else(|| row.why.as_ref().map(|why| format!("absent: {why}")));
        let formats = row.definition.formats.join(", ");
        vec![row.definition.name.clone(), formats, row.definition.summary.clone(), there.unwrap_or_default()]
    });
    out.line(table(&["engine", "reads", "what it is", "version here"], &[], shown))
}

/// What `engine check --json` prints.
#[derive(Serialize)]
struct Checked<'a> {
    engine: &'a EngineRecord,
    oracle: Option<&'a receipt::OracleRecord>,
}

fn check(args: &CheckArgs, out: &Output) -> Result<()> {
    let scenario = Scenario::load(&args.scenario)?;
    let machine = args.machine.to_measure(1)?;
    let shipped = shipped()?;
    let definition = find(&all_of(&shipped, &scenario.tables), &args.name)?.clone();
    let model = args.model.clone().or(scenario.model).unwrap_or_else(|| "builtin".into());
    let loaded = load(&model, None, &machine)?;
    let asked = scenario.engines.unwrap_or_default();
    let rule = Rule::new(sequential::DELTA, "round", &[asked.rounds], asked.rounds, 1);
    let plan = Plan {
        engines: &[Selected { definition, left_out: None }],
        asked: &asked,
        machine: &machine,
        model: &model,
        head_bits: asked::HEAD_BITS,
        seed: 1,
        rule: &rule,
        timed: false,
    };
    let progress = Progress::start("engine", 1);
    let mut record = measure(&loaded, &plan, |what| progress.say(what))?;
    drop(progress);
    judge::summarize(&mut record, Reads::of(&Receipt::default()));
    let [engine] = &record.engines[..] else { return Err(Error::failed("one engine was asked and not one answered")) };
    let oracle = judge::oracle(&record.oracles, engine);
    if args.json {
        out.json(&Checked { engine, oracle })?;
    } else if engine.status != RowStatus::Unsupported {
        out.line(in_words(engine, oracle))?;
    }
    let why = format!("engine {}: {}: {}", engine.name, engine.status, engine.why);
    match engine.status {
        RowStatus::Ok => Ok(()),
        RowStatus::Unsupported => Err(Error::unsupported(why)),
        _ => Err(Error::failed(why)),
    }
}

/// What was asked and answered, a line each.
fn in_words(engine: &EngineRecord, oracle: Option<&receipt::OracleRecord>) -> String {
    let mut lines = vec![format!("{} {}: {}", engine.name, engine.version, engine.status)];
    if let Some(file) = &engine.file {
        let how = if file.converted { ", converted from the model" } else { "" };
        lines.push(format!("  reads      {}, {} bytes{how}", file.format, file.bytes));
    }
    if let Some(loaded) = &engine.loaded {
        let (bits, cache, batch) = (loaded.head_bits, &loaded.cache, loaded.batch);
        lines.push(format!("  loaded     head of {bits} bits, cache {cache}, {batch} ids at once"));
    }
    let Some(truth) = &engine.truth else { return lines.join("\n") };
    if let (Some(score), Some(oracle)) = (&truth.score, oracle) {
        let (own, right) = (judge::perplexity(score.nats_per_token), judge::perplexity(oracle.nats_per_token));
        let (ratio, bound) = (score.ln_ratio, score.bound);
        lines.push(format!("  perplexity {own}, right {right}: ln of the ratio {ratio:+.5}, at most {bound}"));
    }
    for text in &truth.texts {
        let n = text.ids.iter().zip(&text.right).take_while(|(own, right)| own == right).count();
        let verdict = text.wrong_at.map_or("right", |_| "WRONG");
        lines.push(format!("  prompt {:>3} {n} of {} ids equal: {verdict}", text.prompt, text.right.len()));
    }
    if let Some(kl) = truth.mean_kl_nats {
        lines.push(format!("  logits     mean KL divergence {kl:.6} nats over {} positions", truth.kl_positions));
    }
    let yes = |yes: bool| if yes { "yes" } else { "NO" };
    lines.extend(truth.same_again.map(|same| format!("  same answer from a second process: {}", yes(same))));
    lines.extend(truth.reads_prompt.map(|reads| format!("  two prompts that end alike, two answers: {}", yes(reads))));
    lines.join("\n")
}

fn request(args: &RequestArgs, out: &Output) -> Result<()> {
    let scenario = Scenario::load(&args.scenario)?;
    let machine = args.machine.check(1)?;
    let model = args.model.clone().or(scenario.model).unwrap_or_else(|| "builtin".into());
    let loaded = load(&model, None, &machine)?;
    asked::lines(&loaded, &scenario.engines.unwrap_or_default(), &machine, |line| out.line(line))
}
