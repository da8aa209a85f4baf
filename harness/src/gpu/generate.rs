//! `generate` and `perplexity` on a device. On a software adapter no speed is printed or stored.

use super::open::Adapter;
use super::text::GpuSequence;
use crate::cmd::generate::{Asked, GenerateArgs, Prompted, Said, finish, repeat, request};
use crate::cmd::model_args::{ModelArgs, ModelUsed};
use crate::cmd::perplexity::{Lut, PerplexityArgs, text_of, tokens_of};
use crate::error::{Error, Result};
use crate::load_model::Head;
use crate::output::{Output, note};
use crate::progress::Progress;
use crate::{build_info, interrupt};
use kernels::ActivationRule;
use kernels_gpu::Settings;
use model::generate::{Generation, Session};
use model::perplexity::{Text, score};
use model::stop::StopReason;
use receipt::Build;
use receipt::judge::sanity;
use serde::Serialize;

/// The kernel of texts on a device.
const KERNEL: &str = "gpu-dp4a-tile32";

/// Which kernel was asked for, and which computed.
#[derive(Serialize)]
struct Executed {
    requested: String,
    executed: &'static str,
}

#[derive(Serialize)]
struct Report {
    prompt_ids: Vec<u32>,
    token_ids: Vec<u32>,
    text: String,
    stop_reason: StopReason,
    kernel: Executed,
    device: String,
    /// Whether the device is software, whose speed is not said.
    software: bool,
    head: &'static str,
    dispatches_per_token: usize,
    deterministic: bool,
    model: ModelUsed,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_to_first_token_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefill_tokens_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decode_tokens_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logits_last: Option<Vec<f32>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    build: Build,
}

/// The flags of a model without what is of the CPU: refused where it was named.
fn of_device(args: &ModelArgs) -> Result<(ModelArgs, Executed)> {
    let refused = |flag: &str, why: &str| Err(Error::input(format!("--device gpu: {flag} {why}; leave it out")));
    if args.kernel != "auto" && args.kernel != KERNEL {
        return refused(&format!("--kernel {}", args.kernel), &format!("does not compute texts; {KERNEL} does"));
    }
    if args.head.is_some_and(|head| head != Head::F16) {
        return refused("--head", "is f16 there");
    }
    if args.activations.is_some_and(|rule| rule != ActivationRule::Token) {
        return refused("--activations", "share one scale a token there");
    }
    if args.dense {
        return refused("--dense", "is how it always computes");
    }
    let executed = Executed { requested: args.kernel.clone(), executed: KERNEL };
    Ok((ModelArgs { kernel: "auto".into(), ..args.clone() }, executed))
}

/// Runs `generate --device gpu`.
pub fn generate(adapter: &Adapter, args: &GenerateArgs, out: &Output) -> Result<()> {
    let Asked { sampling, timeout, deterministic } = Asked::of(args)?;
    let (model, kernel) = of_device(&args.model)?;
    if !["auto", "same"].contains(&&args.prefill_kernel[..]) {
        return Err(Error::input("--device gpu: --prefill-kernel is the decoding kernel's gemm there; leave it out"));
    }
    let Prompted { machine, loaded, prompt, capacity } = Prompted::of(args, &model)?;
    let device = adapter.open(Settings { checked: false, ..Settings::default() })?;
    let facts = adapter.facts();
    note(format!("device: gpu:{}, {}; kernel: {KERNEL}", facts.index, facts.name));
    let mut sequence = GpuSequence::new(&device, &loaded.model, &machine, capacity)?;
    let request = request(args, &loaded, prompt.clone(), (sampling, timeout));
    let again = request.clone();
    let mut session = Session::new(&mut sequence, request)?;
    if args.logits {
        session.keep_prompt_logits();
    }
    let mut written = Ok(());
    let generation = session.run(interrupt::flag(), &mut |text| {
        if !args.model.json && written.is_ok() {
            written = out.text(text);
        }
    })?;
    written?;
    if deterministic {
        repeat(&mut sequence, again, &generation)?;
    }
    loaded.model.gguf.check_unchanged()?;
    let timed = !facts.is_software();
    let warning = sanity::of_text(&generation.token_ids, loaded.record.known).filter(|_| !loaded.record.synthetic);
    let report = Report {
        prompt_ids: prompt,
        time_to_first_token_ms: generation.first_token.filter(|_| timed).map(|t| t.as_secs_f64() * 1e3),
        prefill_tokens_per_s: timed.then(|| generation.prefill_tokens_per_s()),
        decode_tokens_per_s: timed.then(|| generation.decode_tokens_per_s()),
        kernel,
        device: facts.name.clone(),
        software: facts.is_software(),
        head: "f16",
        dispatches_per_token: sequence.dispatches_per_token(),
        deterministic,
        model: ModelUsed::of(&loaded)?,
        warnings: warning.into_iter().collect(),
        build: build_info::build(),
        stop_reason: generation.stop_reason,
        logits_last: generation.prompt_logits.clone(),
        text: generation.text.clone(),
        token_ids: generation.token_ids.clone(),
    };
    let said =
        Said { summary: summary(&report, &generation), warnings: &report.warnings, stop_reason: report.stop_reason };
    finish(args, out, &report, said)
}

fn summary(report: &Report, generation: &Generation) -> String {
    let reason = serde_json::to_string(&report.stop_reason).unwrap_or_default();
    let tokens = format!("{} tokens, stopped by {reason}", report.token_ids.len());
    match (report.prefill_tokens_per_s, report.decode_tokens_per_s) {
        (Some(prefill), Some(decode)) => {
            let prompt = generation.prefill_tokens;
            format!("{tokens}; prefill {prefill:.1} tokens/s over {prompt}, decode {decode:.1} tokens/s")
        }
        _ => format!("{tokens}; not timed: {} is software", report.device),
    }
}

#[derive(Serialize)]
struct Scored {
    nats_per_token: f64,
    perplexity: f64,
    tokens: usize,
    window: usize,
    text: String,
    kernel: Executed,
    device: String,
    head: &'static str,
    model: ModelUsed,
}

/// Runs `perplexity --device gpu`.
pub fn perplexity(adapter: &Adapter, args: &PerplexityArgs, out: &Output) -> Result<()> {
    if args.lut == Lut::Seed {
        return Err(Error::input("--device gpu: --lut seed needs a W2A32 kernel of the CPU; leave one of them out"));
    }
    let (model, kernel) = of_device(&args.model)?;
    let (name, text) = text_of(args)?;
    let (machine, loaded, tokens) = tokens_of(args, &model, (&name, &text))?;
    let device = adapter.open(Settings { checked: false, ..Settings::default() })?;
    let mut sequence = GpuSequence::new(&device, &loaded.model, &machine, args.window)?;
    let windows = if args.quick { 2 } else { args.windows.unwrap_or(usize::MAX) };
    let progress = Progress::start(format!("scoring {} tokens on {}", tokens.len(), adapter.facts().name), 100);
    let step = |done: usize, total: usize| progress.set((done * 100 / total.max(1)) as u64);
    let scored = Text { tokens: &tokens, window: args.window, max_windows: windows };
    let result = score(&mut sequence, scored, interrupt::flag(), step)?;
    drop(progress);
    let report = Scored {
        nats_per_token: result.nats_per_token,
        perplexity: result.nats_per_token.exp(),
        tokens: result.tokens,
        window: args.window,
        text: name,
        kernel,
        device: adapter.facts().name.clone(),
        head: "f16",
        model: ModelUsed::of(&loaded)?,
    };
    let strange = sanity::of_perplexity(report.perplexity, loaded.model.config.vocab, loaded.record.known);
    if let Some(what) = strange.filter(|_| !loaded.record.synthetic) {
        note(format!("warning: {what}"));
    }
    if args.model.json {
        return out.json(&report);
    }
    out.line(format!(
        "perplexity {:.4} ({:.6} nats/token over {} tokens in windows of {}; kernel {}, head f16, on {})",
        report.perplexity, report.nats_per_token, report.tokens, report.window, KERNEL, report.device
    ))
}
