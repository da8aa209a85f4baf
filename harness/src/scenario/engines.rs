//! What a scenario asks of engines: how much is scored, and the three requests of a turn.

use schemars::JsonSchema;
use serde::Deserialize;

/// Fewest rounds that a verdict is made of.
const ROUNDS: usize = 12;

/// `[engines]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Engines {
    /// Turns of each engine.
    pub rounds: usize,
    /// Most windows of the text that are scored.
    pub windows: usize,
    /// Tokens of a window.
    pub window: usize,
    /// Ids of the short prompt.
    pub short: usize,
    /// Ids of the long prompt.
    pub long: usize,
    /// Ids of the long text; the short one has 1.
    pub tokens: usize,
}

impl Default for Engines {
    fn default() -> Self {
        Self { rounds: ROUNDS, windows: 81, window: 128, short: 8, long: 136, tokens: 33 }
    }
}

impl Engines {
    /// Checks what TOML does not; the error is the key and what is wrong, in words.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let Self { rounds, windows, window, short, long, tokens } = *self;
        let within = |key: &'static str, value: usize, (least, most): (usize, usize)| match value {
            n if (least..=most).contains(&n) => Ok(()),
            n => Err((key, format!("{n} is not between {least} and {most}"))),
        };
        within("rounds", rounds, (2, 1000))?;
        within("windows", windows, (1, 1 << 20))?;
        within("window", window, (1, 1 << 20))?;
        within("short", short, (1, 1 << 16))?;
        within("long", long, (2, 1 << 16))?;
        within("tokens", tokens, (2, 1 << 16))?;
        if long <= short {
            return Err(("long", format!("{long} is not more than short, {short}")));
        }
        Ok(())
    }

    /// Less of everything, by the same rules.
    pub fn make_quick(&mut self) {
        self.windows = self.windows.min(8);
        self.rounds = self.rounds.min(ROUNDS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_must_be_possible() {
        let own = Engines::default();
        assert_eq!(own.check(), Ok(()));
        let told = |wrong: Engines| wrong.check().expect_err("refused").0;
        assert_eq!(told(Engines { rounds: 1, ..own.clone() }), "rounds");
        assert_eq!(told(Engines { long: 8, ..own.clone() }), "long");
        assert_eq!(told(Engines { tokens: 1, ..own }), "tokens");
    }
}
