//! `engine`: programs that take token ids and give token ids.

use crate::engines::own;
use crate::error::Result;
use clap::Subcommand;

/// The subcommands of `engine`.
#[derive(Subcommand, Debug)]
pub enum EngineCommand {
    /// This program as an engine: a line of JSON in, one out
    #[command(hide = true)]
    Serve,
}

/// Runs `engine`.
pub fn run(command: &EngineCommand) -> Result<()> {
    match command {
        EngineCommand::Serve => own::serve(std::io::stdin().lock(), std::io::stdout().lock()),
    }
}
