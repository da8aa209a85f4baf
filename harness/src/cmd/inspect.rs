//! `model inspect`.

use super::score;
use crate::choose::able;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::load_model::{self, Head};
use crate::machine::MachineArgs;
use crate::measure::bench::Bench;
use crate::measure::generation::{asked_of, check_golden};
use crate::model_spec::LayoutArgs;
use crate::output::{Output, note, table};
use crate::progress::Progress;
use clap::Args;
use kernels::CodeTable;
use model::inspect::{Inspection, inspect};
use model::known::Golden;
use receipt::{GoldenCheck, figures};
use serde::Serialize;

/// Flags of `model inspect`.
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// builtin, synth:SHAPE, a GGUF file or a folder of safetensors
    model: String,
    /// Run the file's known greedy answers with every kernel, if it has any
    #[arg(long)]
    goldens: bool,
    /// Score the built-in text by each reading that the file allows; exit 1 if another one than the file's is right
    #[arg(long)]
    score: bool,
    /// How the file is read
    #[command(flatten)]
    layout: LayoutArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Threads, features
    #[command(flatten)]
    machine: MachineArgs,
}

#[derive(Serialize)]
struct KernelGoldens {
    kernel: String,
    goldens: Vec<GoldenCheck>,
}

#[derive(Serialize)]
struct Inspected<'a> {
    #[serde(flatten)]
    inspection: &'a Inspection,
    #[serde(skip_serializing_if = "Option::is_none")]
    goldens: Option<Vec<KernelGoldens>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<score::Score>,
}

/// Runs `model inspect`.
pub fn run(args: &InspectArgs, out: &Output) -> Result<()> {
    let InspectArgs { goldens, json, machine, .. } = args;
    let spec = &args.layout.of(&args.model);
    let gguf = load_model::open(spec)?;
    let inspection = inspect(&gguf)?;
    drop(gguf);
    let fault = inspection.checks.iter().find(|check| !check.ok);
    let fault = fault.map(|check| Error::input(check.detail.clone()));
    // Known answers are checked with --goldens, and always for a known file below 64 MiB, where it is quick.
    let known_and_small = inspection.known.is_some() && inspection.bytes < 64 << 20;
    let checked = match (*goldens || known_and_small, &fault) {
        (true, None) => check_goldens(spec, machine)?,
        _ => None,
    };
    if *goldens && checked.is_none() && fault.is_none() {
        note("note: no known answers for a file with this hash");
    }
    let failed = checked.iter().flatten().flat_map(|k| &k.goldens).filter(|g| !g.passed).count();
    let scored = match (args.score, &fault) {
        (true, None) => Some(score::readings(spec, &machine.check(crate::machine::all_cpus())?)?),
        _ => None,
    };
    let findings = scored.iter().flat_map(|score| score.findings.clone()).next();
    if *json {
        out.json(&Inspected { inspection: &inspection, goldens: checked, score: scored })?;
    } else {
        out.line(inspection.to_text().trim_end())?;
        if let Some(checked) = &checked {
            out.line(goldens_table(checked))?;
        } else if inspection.known.is_some() && fault.is_none() {
            out.line("known answers: not checked; add --goldens to run them with every kernel")?;
        }
        scored.iter().try_for_each(|score| out.line(score.to_text()))?;
    }
    match fault {
        Some(fault) => Err(fault),
        None if failed > 0 => Err(Error::failed(format!("{failed} known answers are not reproduced"))),
        None => findings.map_or(Ok(()), |finding| Err(Error::failed(format!("{spec}: {finding}")))),
    }
}

/// The file's known answers with every kernel that runs here; None when the file is not known.
fn check_goldens(spec: &str, args: &MachineArgs) -> Result<Option<Vec<KernelGoldens>>> {
    let machine = args.check(crate::machine::all_cpus())?;
    let loaded = load_model::load(spec, None, &machine)?;
    let machine = machine.suit(args, loaded.record.ternary_weights);
    let Some(known) = loaded.known.as_ref().filter(|k| !k.goldens.is_empty()) else { return Ok(None) };
    let capacity = known.goldens.iter().map(Golden::positions).max().unwrap_or(1);
    let kernels = machine.kernels_for(able::needs(&loaded.model, &machine)?);
    let progress = Progress::start("checking known answers", kernels.len() as u64);
    let mut bench = Bench::new(&loaded, &machine, Some(Head::F16), interrupt::flag());
    let mut all = Vec::new();
    for (done, kernel) in kernels.into_iter().enumerate() {
        progress.set(done as u64);
        let mut decoder = bench.decoder(kernel, CodeTable::TERNARY)?.context(capacity).build()?;
        let goldens = asked_of(kernel.descriptor().family(), &known.goldens).map(|golden| {
            interrupt::check("interrupted while checking known answers")?;
            check_golden(&mut decoder, golden, interrupt::flag())
        });
        all.push(KernelGoldens { kernel: kernel.id().into(), goldens: goldens.collect::<Result<_>>()? });
    }
    // The prompt's tokens must be the known ones too.
    for golden in &known.goldens {
        let ids = loaded.model.tokenizer.encode(&golden.prompt, None)?;
        if ids != golden.prompt_ids {
            let (prompt, known) = (&golden.prompt, &golden.prompt_ids);
            note(format!("note: {prompt:?} tokenises to {ids:?} here, the known answer starts from {known:?}"));
        }
    }
    Ok(Some(all))
}

fn goldens_table(checked: &[KernelGoldens]) -> String {
    let rows = checked.iter().flat_map(|k| {
        k.goldens.iter().map(|g| {
            let verdict = if g.passed { "equal" } else { "DIFFERENT" };
            let compared = format!("{} of {}", g.compared, g.expected.len());
            vec![k.kernel.clone(), figures::prompt(&g.prompt), compared, verdict.into()]
        })
    });
    format!("known answers\n{}", table(&["kernel", "prompt", "ids compared", "verdict"], &[2], rows))
}
