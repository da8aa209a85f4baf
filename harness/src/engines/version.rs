//! The version command of an engine: what it prints is the proof that the engine is there.

use crate::error::Error;
use crate::gate::wait;
use crate::guests::Failed;
use crate::worker::log::last_line;
use crate::worker::parent::describe;
use receipt::RowStatus;
use std::io::ErrorKind;
use std::process::Command;
use std::time::Duration;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The last line that the command prints.
///
/// # Errors
/// A command that cannot be run, fails, is silent or takes longer: the engine is absent, one line.
pub fn ask(command: &[String]) -> Result<String, Failed> {
    let absent = |why: String| Failed::Row { status: RowStatus::Unsupported, why };
    let shown = command.join(" ");
    let [program, arguments @ ..] = command else { return Err(absent("its version names no program".into())) };
    let ran = wait::run_within(Command::new(program).args(arguments), program, false, Some(PATIENCE));
    let ran = ran.map_err(|e| match e.kind() {
        ErrorKind::Interrupted => Error::interrupted("interrupted while an engine was asked for its version").into(),
        ErrorKind::TimedOut => absent(format!("no version within {} s from {shown}", PATIENCE.as_secs())),
        _ => absent(format!("cannot run {program}: {e}")),
    })?;
    let [out, err] = [&ran.stdout, &ran.stderr].map(|said| last_line(&String::from_utf8_lossy(said)));
    if !ran.status.success() {
        let last = err.or(out).unwrap_or_else(|| "it said nothing".into());
        return Err(absent(format!("its version command {}: {last}", describe(&ran.status))));
    }
    out.ok_or_else(|| absent(format!("no version: {shown} printed nothing")))
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
