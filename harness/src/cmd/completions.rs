//! The command line for shells and manuals, made of its own definition.

use crate::error::{Error, Result};
use crate::output::Output;
use clap::{Args, Command, ValueEnum};
use std::path::PathBuf;

/// Flags of `completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, ignore_case = true)]
    pub shell: Shell,
}

/// Shells that completions are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

/// Flags of `man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Folder that is there
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Runs `completions` of a command line.
pub fn run(args: &CompletionsArgs, mut of: Command, out: &Output) -> Result<()> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut of, "tritbench", &mut script);
    out.line(String::from_utf8_lossy(&script).trim_end())
}

/// Runs `man` of a command line.
pub fn man(args: &ManArgs, of: Command) -> Result<()> {
    clap_mangen::generate_to(of, &args.folder).map_err(|e| Error::io("write", &args.folder, &e))
}
