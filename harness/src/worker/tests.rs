//! Workers that die, hang and talk nonsense: scripts in place of a program.

use super::old;
use super::parent::{NotStarted, Patience, Worker};
use super::protocol::{Reply, Request};
use super::start::{Program, Setting, Speech};
use crate::error::{Error, Exit};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// What every worker says first.
const HELLO: &str = r#"echo '{"hello":{"protocol":2}}' >&$channel"#;
/// Waits for a request.
const READ: &str = "read -r request <&$channel";

/// A program that runs `script` in bash, which knows the number of its end as `$channel`.
fn program(folder: &Path, script: &str) -> Program {
    let path = folder.join("program");
    // Written by another process: one that this one starts meanwhile would keep the file open, and it could not run.
    let mut writer = Command::new("sh");
    writer.args(["-c", "cat >\"$0\" && chmod 755 \"$0\""]).arg(&path).stdin(Stdio::piped());
    let mut writer = writer.spawn().expect("sh runs");
    let text = format!("#!/usr/bin/env bash\nchannel=$3\n{script}\n");
    writer.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
    assert!(writer.wait().expect("ends").success());
    Program { path, speech: Speech::Channel }
}

fn start(folder: &Path, script: &str) -> Result<Worker, NotStarted> {
    Worker::start("the other", &program(folder, script), Setting::default(), Patience::default())
}

/// A worker that runs `script` as soon as it has been asked for something.
fn asked(folder: &Path, script: &str) -> Worker {
    start(folder, &format!("{HELLO}\n{READ}\n{script}")).unwrap_or_else(|failed| panic!("{}", failed.error))
}

fn request() -> Request {
    Request::Text { kernel: "scalar".into() }
}

/// The error of a worker that runs `script` when it has been asked for text.
fn error_of(script: &str) -> Error {
    let folder = TempDir::new().expect("a folder");
    asked(folder.path(), script).ask(&request()).expect_err("no answer")
}

#[test]
fn one_that_dies_is_named_with_its_request_and_its_last_words() {
    let error = error_of("echo first >&2; echo 'going down'; kill -SEGV $$");
    let wanted = "the other: the worker was ended by signal 11 SIGSEGV while asked to `generate and score text with \
                  scalar`: going down";
    assert_eq!((error.to_string().as_str(), error.exit()), (wanted, Exit::Failed));
    let error = error_of("exit 3").to_string();
    assert!(error.contains("ended with exit code 3 while asked to `generate and score text with scalar`"), "{error}");
}

#[test]
fn one_that_talks_nonsense_is_quoted() {
    let error = error_of("echo 'what was that?' >&$channel; sleep 600").to_string();
    assert!(error.ends_with(r#"with something that is not the protocol: "what was that?""#), "{error}");
    assert!(error.contains("`generate and score text with scalar`"), "{error}");
    let error = error_of(r#"printf '{"prepared":' >&$channel; exit 0"#).to_string();
    assert!(error.contains("ended with exit code 0"), "half an answer is none: {error}");
}

#[test]
fn one_that_hangs_is_given_up() {
    let folder = TempDir::new().expect("a folder");
    let mut worker = asked(folder.path(), "exec sleep 600");
    worker.impatient(Duration::from_millis(50));
    let error = worker.ask(&request()).expect_err("no answer").to_string();
    assert_eq!(error, "the other: the worker did not answer `generate and score text with scalar` within 0.05 s");
}

#[test]
fn what_it_prints_does_no_harm() {
    let folder = TempDir::new().expect("a folder");
    let answer = r#"{"text":{"kernel":"scalar","token_ids":[1,2],"nats_per_token":2.5}}"#;
    let print = "for i in {1..20000}; do echo '{\"hello\":{\"protocol\":7}}'; done";
    let script = format!("{print}\n{HELLO}\n{READ}\n{print} >&2\necho '{answer}' >&$channel\nsleep 600");
    let mut worker = start(folder.path(), &script).unwrap_or_else(|failed| panic!("{}", failed.error));
    let reply = worker.ask(&request());
    assert!(matches!(reply, Ok(Reply::Text(text)) if text.token_ids == [1, 2]));
}

#[test]
fn an_error_of_its_own_keeps_its_exit_code() {
    let error = error_of(r#"echo '{"error":{"exit":5,"message":"no such thing here"}}' >&$channel; sleep 600"#);
    assert_eq!((error.to_string().as_str(), error.exit()), ("the other: no such thing here", Exit::Unsupported));
}

#[test]
fn it_can_be_told_to_stop() {
    let folder = TempDir::new().expect("a folder");
    let heard = folder.path().join("heard");
    asked(folder.path(), &format!("echo \"$request\" >'{}'", heard.display())).stop();
    assert_eq!(std::fs::read_to_string(&heard).expect("it heard something"), "\"stop\"\n");
}

#[test]
fn what_is_no_worker_does_not_start() {
    let folder = TempDir::new().expect("a folder");
    let error_of = |script: &str| start(folder.path(), script).err().expect("no worker").error;
    let error = error_of("echo 'not for me' >&2; exit 1");
    assert_eq!(error.to_string(), "the other: the worker ended with exit code 1 while asked to `begin`: not for me");
    let error = error_of(r#"echo '{"hello":{"protocol":99}}' >&$channel; sleep 600"#);
    assert!(error.to_string().contains("speaks version 99") && error.exit() == Exit::Unsupported, "{error}");
    let nowhere = Program { path: folder.path().join("nowhere"), speech: Speech::Channel };
    let error = Worker::start("the other", &nowhere, Setting::default(), Patience::default()).err().expect("none");
    assert!(error.error.to_string().starts_with("cannot run the other ("), "{}", error.error);
}

/// As a build from before there were workers answers.
#[test]
fn an_old_program_is_spoken_to_in_its_words() {
    let folder = TempDir::new().expect("a folder");
    let build = serde_json::to_string(&crate::build_info::build()).expect("JSON");
    let ready = format!(r#"{{"ready":{{"protocol":1,"build":{build},"kernels":[]}}}}"#);
    std::fs::write(folder.path().join("ready"), ready).expect("written");
    let path = folder.path().display();
    let script = format!(
        "[ \"$1\" = gate-child ] || {{ echo \"error: unrecognized subcommand '$1'\" >&2; exit 2; }}\n\
         read -r job; echo \"$job\" >'{path}/job'; cat '{path}/ready'; echo\n\
         read -r request; echo \"$request\" >'{path}/request'; echo '{{\"prepared\":{{\"outputs\":[\"ab\"]}}}}'\n\
         sleep 600"
    );
    let found = Worker::find("the baseline", &program(folder.path(), &script).path, Patience::default());
    let found = found.expect("an old program");
    assert_eq!(found.speech, Speech::Old);
    let worker = Worker::start("the baseline", &found, Setting::default(), Patience::default());
    let mut worker = worker.unwrap_or_else(|failed| panic!("{}", failed.error));
    let reply = worker.ask(&Request::Begin(Box::default()));
    assert!(matches!(reply, Ok(Reply::Ready(ready)) if ready.ops == old::OPS), "no decode and no prefill");
    let reply = worker.ask(&Request::Prepare { cell: 0, oracle: true });
    assert!(matches!(reply, Ok(Reply::Prepared { output }) if output == "ab"));
    let kept = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("written");
    assert!(kept("job").contains(r#""protocol":1,"#), "{}", kept("job"));
    assert_eq!(kept("request").trim_end(), r#"{"prepare":{"cell":0,"oracle":true}}"#);
}
