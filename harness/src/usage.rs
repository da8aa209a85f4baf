//! Usage errors in one line, like all others: what is wrong, what was perhaps meant, and where help is.

use crate::bitnet_environment;
use crate::cli::Cli;
use crate::error::{Error, Exit};
use crate::output::{ColorChoice, Output};
use clap::CommandFactory;
use clap::error::ErrorKind;
use std::process::ExitCode;

/// Prints clap's answer: help where it was asked for (or where nothing was), and an error in one line otherwise.
pub fn report(error: &clap::Error) -> ExitCode {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    match error.kind() {
        DisplayHelp | DisplayVersion | DisplayHelpOnMissingArgumentOrSubcommand => {
            // A closed pipe is no reason to complain.
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { Exit::Input as u8 } else { 0 })
        }
        _ => {
            let args: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
            // clap takes the seed from the environment, but names only the flag.
            let error = bitnet_environment::check().err().unwrap_or_else(|| Error::input(one_line(error, &args)));
            Output(ColorChoice::Auto).error(&error);
            ExitCode::from(Exit::Input as u8)
        }
    }
}

/// clap's message without its usage block: the flag, the hint if there is one, and whose `--help` has the rest.
pub fn one_line<S: AsRef<str>>(error: &clap::Error, args: &[S]) -> String {
    let text = error.render().to_string();
    let message = ["\nUsage:", "For more information"]
        .iter()
        .fold(text.as_str(), |text, end| text.split_once(end).map_or(text, |(message, _)| message));
    let lines = message.trim().trim_start_matches("error: ").lines().map(str::trim).filter(|line| !line.is_empty());
    let message = lines.collect::<Vec<_>>().join("; ").replace(":; ", ": ");
    format!("{message}; see {} --help", command(args))
}

/// The program and the commands at the start of the command line, flags between them left out.
fn command<S: AsRef<str>>(args: &[S]) -> String {
    let (mut level, mut names) = (Cli::command(), vec!["tritbench".to_owned()]);
    for arg in args.iter().skip(1).map(AsRef::as_ref) {
        match level.find_subcommand(arg) {
            Some(found) => {
                names.push(arg.to_owned());
                level = found.clone();
            }
            None if arg.starts_with('-') => {}
            None => break,
        }
    }
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::one_line;
    use crate::cli::Cli;
    use clap::Parser;

    fn line(args: &str) -> String {
        let args: Vec<&str> = std::iter::once("tritbench").chain(args.split(' ')).collect();
        one_line(&Cli::try_parse_from(&args).expect_err("refused"), &args)
    }

    #[test]
    fn each_kind_names_the_flag_and_the_next_step() {
        for (args, expected) in [
            (
                "generate",
                "the following required arguments were not provided: --prompt <T>; see tritbench generate --help",
            ),
            (
                "generate --prompt x --seed x",
                "invalid value 'x' for '--seed <SEED>': invalid digit found in string; see tritbench generate --help",
            ),
            (
                "generate --promt x",
                "unexpected argument '--promt' found; tip: a similar argument exists: '--prompt'; see \
                 tritbench generate --help",
            ),
            (
                "model synth --shape",
                "a value is required for '--shape <SHAPE>' but none was supplied; see tritbench model synth --help",
            ),
            (
                "kompare",
                "unrecognized subcommand 'kompare'; tip: a similar subcommand exists: 'compare'; see tritbench --help",
            ),
            (
                "list xyz",
                "invalid value 'xyz' for '[WHAT]'; [possible values: kernels, scenarios, models, claims, devices]; \
                 see tritbench list --help",
            ),
        ] {
            assert_eq!(line(args), expected);
        }
    }
}
