//! The truth of a binary that nobody can link to: `llama-perplexity` is given a file of the oracle's distributions and
//! prints how far its own are. It says nothing of speed that could be compared.

use super::asked;
use super::convert::Prepared;
use super::definition::Definition;
use super::kl_base::{positions, verdict, write_base};
use super::oracle::Oracle;
use super::truth::Questions;
use crate::error::Error;
use crate::gate::wait;
use crate::guests::Failed;
use crate::worker::log::last_line;
use receipt::{EngineLoaded, RowStatus, TruthRecord};
use std::io::{BufWriter, Write};
use std::process::Command;

/// Fewest chunks that the tool judges by, and most that it is given: a chunk of a large model takes seconds.
const CHUNKS: (usize, usize) = (2, 16);

/// Asks the engine, and gives what it said: as little as there is to know of how it loaded the model, and the
/// divergence.
///
/// # Errors
/// A text that is too short, a command that fails or prints no verdict: a row.
pub fn ask(
    engine: &Definition,
    command: &[String],
    prepared: &Prepared,
    threads: usize,
    (oracle, questions): (&mut Oracle<'_>, &Questions),
) -> Result<(EngineLoaded, TruthRecord), Failed> {
    let row = |status: RowStatus, why: String| Failed::Row { status, why };
    let (window, text) = (questions.window, questions.scored().tokens);
    let chunks = questions.windows.clamp(CHUNKS.0, CHUNKS.1).min(text.len() / window);
    let ids = &text[..chunks * window];
    let folder = std::env::temp_dir();
    let base = tempfile::NamedTempFile::new().map_err(|e| Error::io("create a file in", &folder, &e))?;
    let mut out = BufWriter::new(base.as_file());
    let vocabulary = oracle.vocabulary();
    write_base(&mut out, window, vocabulary, ids, |chunk| {
        let (all, kept) = (&ids[chunk * window..][..window], positions(window));
        let mut logits = oracle.all_logits(all, kept.start)?;
        logits.truncate(kept.len());
        Ok(logits)
    })
    .and_then(|()| out.flush().map_err(|e| Error::io("write", base.path(), &e)))
    .map_err(
        |error| if error.is_interrupt() { error.into() } else { row(RowStatus::Unsupported, error.to_string()) },
    )?;
    drop(out);
    let [model, path] = [prepared.path.as_path(), base.path()].map(|path| path.display().to_string());
    let fill = |word: &String| {
        word.replace("{model}", &model).replace("{base}", &path).replace("{threads}", &threads.to_string())
    };
    let words: Vec<String> = command.iter().map(fill).collect();
    let [program, arguments @ ..] = &words[..] else {
        return Err(row(RowStatus::Unsupported, "its run names no program".into()));
    };
    let ran = wait::run(Command::new(program).args(arguments), &engine.name, false).map_err(|e| match e.kind() {
        std::io::ErrorKind::Interrupted => Error::interrupted(format!("interrupted while {program} ran")).into(),
        _ => row(RowStatus::Unsupported, format!("cannot run {program}: {e}")),
    })?;
    let said = [&ran.stdout, &ran.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let found = verdict(&said[0]).or_else(|| verdict(&said[1])).ok_or_else(|| {
        let last = last_line(&said[1]).unwrap_or_else(|| "it said nothing".into());
        row(RowStatus::Crashed, format!("printed no verdict ({}); its last words: {last}", ran.status))
    })?;
    let loaded = EngineLoaded {
        ns: 0,
        vocabulary,
        threads,
        head_bits: asked::HEAD_BITS,
        cache: "its own".into(),
        batch: window,
        activations: "its own".into(),
    };
    let kl_positions = chunks * positions(window).len();
    Ok((loaded, TruthRecord { mean_kl_nats: Some(found.mean_kl), kl_positions, ..TruthRecord::default() }))
}
