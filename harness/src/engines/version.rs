//! The version command of an engine: what it prints is the proof that the engine is there.

use crate::error::Error;
use crate::guests::Failed;
use crate::interrupt;
use crate::worker::log::Log;
use crate::worker::parent::describe;
use receipt::RowStatus;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// The last line that the command prints.
///
/// # Errors
/// A command that cannot be run, fails, is silent or takes longer: the engine is absent, one line.
pub fn ask(command: &[String]) -> Result<String, Failed> {
    let absent = |why: String| Failed::Row { status: RowStatus::Unsupported, why };
    let shown = command.join(" ");
    let [program, arguments @ ..] = command else { return Err(absent("its version names no program".into())) };
    let file = |e: std::io::Error| Error::io("create a file in", &std::env::temp_dir(), &e);
    let (out, err) = (Log::new().map_err(file)?, Log::new().map_err(file)?);
    let mut version = Command::new(program);
    version.args(arguments).stdin(Stdio::null());
    version.stdout(out.stdio().map_err(file)?).stderr(err.stdio().map_err(file)?);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut version, 0);
    let mut child = version.spawn().map_err(|e| absent(format!("cannot run {program}: {e}")))?;
    let begun = Instant::now();
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if begun.elapsed() < PATIENCE && !interrupt::requested() => std::thread::sleep(LOOK),
            _ => break None,
        }
    };
    #[cfg(unix)]
    if ended.is_none() {
        use nix::sys::signal::{Signal, killpg};
        let _ = killpg(nix::unistd::Pid::from_raw(child.id() as i32), Signal::SIGKILL);
    }
    if ended.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    if interrupt::requested() {
        return Err(Error::interrupted("interrupted while an engine was asked for its version").into());
    }
    let Some(status) = ended else {
        return Err(absent(format!("no version within {} s from {shown}", PATIENCE.as_secs())));
    };
    if !status.success() {
        let last = err.last_line().or_else(|| out.last_line()).unwrap_or_else(|| "it said nothing".into());
        return Err(absent(format!("its version command {}: {last}", describe(&status))));
    }
    out.last_line().ok_or_else(|| absent(format!("no version: {shown} printed nothing")))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn told(script: &str) -> String {
        match ask(&["sh".to_owned(), "-c".to_owned(), script.to_owned()]) {
            Ok(version) => version,
            Err(Failed::Row { why, .. }) => why,
            Err(Failed::Run(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn a_version_is_the_last_line_and_nothing_else_is_one() {
        assert_eq!(told("echo building; echo e 1.2 "), "e 1.2");
        assert_eq!(told("echo no libllama >&2; exit 3"), "its version command ended with exit code 3: no libllama");
        assert!(told("true").starts_with("no version: sh -c true printed nothing"));
        let Err(Failed::Row { why, .. }) = ask(&["/no/such/program".to_owned()]) else { panic!("absent") };
        assert!(why.starts_with("cannot run /no/such/program"), "{why}");
    }
}
