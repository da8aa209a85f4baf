//! `model convert`.

use crate::error::{Error, Result};
use crate::files::{check_named, stream_atomic};
use crate::model_spec::LayoutArgs;
use crate::output::{Output, note};
use crate::progress::Progress;
use crate::{interrupt, load_model, words};
use clap::Args;
use clap::builder::PossibleValue;
use model::convert::{Conversion, Report, Target, ternary_bytes};
use model::encoding;
use model::gguf::Gguf;
use receipt::figures::mib;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Flags of `model convert`.
#[derive(Args, Debug)]
pub struct ConvertArgs {
    /// builtin, synth:SHAPE, a GGUF file or a folder of safetensors
    model: String,
    /// Encoding of the ternary matrices; other tensors are copied
    #[arg(long, value_name = "ENC", ignore_case = true, value_parser = words::one_of(encodings().into()))]
    to: String,
    /// File to write
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// Refuse a scale that fp16 cannot hold instead of rounding it
    #[arg(long)]
    exact: bool,
    /// How the file is read
    #[command(flatten)]
    layout: LayoutArgs,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn encodings() -> Vec<PossibleValue> {
    let written = encoding::ALL.iter().filter(|encoding| encoding.encode.is_some());
    written.map(|encoding| PossibleValue::new(encoding.name).help(encoding.summary)).collect()
}

#[derive(Serialize)]
struct Converted<'a> {
    path: &'a Path,
    #[serde(flatten)]
    report: &'a Report,
}

/// Runs `model convert`.
pub fn run(args: &ConvertArgs, out: &Output) -> Result<()> {
    let path = &args.out;
    let unknown = || Error::input(format!("no encoding is called \"{}\"; see model convert --help", args.to));
    let target = Target { encoding: encoding::find(&args.to).ok_or_else(unknown)?, exact: args.exact };
    check_named(path, args.force)?;
    let source = load_model::open(&args.layout.of(&args.model))?;
    source.decisions.iter().for_each(|decision| note(format!("note: {} ({})", decision.what, decision.evidence)));
    let report = write(&args.model, &source, target, path)?;
    if args.json { out.json(&Converted { path, report: &report }) } else { out.line(summary(path, &report)) }
}

/// Writes a model, which progress calls `name`, in another encoding to `path`, where it appears only when it is whole.
///
/// # Errors
/// A conversion that is not possible, a file that cannot be written, a model that changed meanwhile, an interrupt.
pub fn write(name: &str, source: &Gguf, target: Target, path: &Path) -> Result<Report> {
    let bytes = ternary_bytes(source);
    let progress = Progress::start(format!("reading {name} ({})", mib(bytes)), bytes);
    let conversion = Conversion::new(source, target, interrupt::flag(), &|more| progress.add(more))?;
    drop(progress);
    let size = conversion.bytes();
    let progress = Progress::start(format!("writing {} ({})", path.display(), mib(size)), size);
    stream_atomic(path, size, |file| {
        let written = conversion.write(file, interrupt::flag(), &|more| progress.add(more));
        written.map_err(|e| match interrupt::requested() {
            true => Error::interrupted(format!("interrupted; {} is not written", path.display())),
            false => Error::io("write", path, &e),
        })?;
        // Before the file gets its name: what was read of a file that changed is not to be kept.
        Ok(source.check_unchanged()?)
    })?;
    Ok(conversion.report().clone())
}

fn summary(path: &Path, report: &Report) -> String {
    let Report { to, bytes, matrices, ternary_weights, copied, .. } = report;
    let what = format!("{matrices} matrices as {to}, {ternary_weights} ternary weights, {copied} tensors copied");
    let beside = match report.scale_tensors {
        0 => String::new(),
        n => format!(", {n} scales in tensors of their own"),
    };
    let scales = match report.largest_scale_change {
        None => "all scales exact".to_string(),
        Some(change) => format!("scales of {} matrices rounded, by {change:.1e} at most", report.rounded),
    };
    format!("{}: {what}{beside}, {}; {scales}", path.display(), mib(*bytes))
}
