//! The published figures of others and what physics says of each, out of the built-in file
//! (`scenarios/field-claims.toml`). No run is needed for them.

use receipt::judge::field::{Field, Judged, judge_all, parse};
use std::sync::LazyLock;

/// The text of the file of published figures (`scenarios/field-claims.toml`).
pub const CLAIMS: &str = include_str!("../../scenarios/field-claims.toml");

static PARSED: LazyLock<Field> = LazyLock::new(|| {
    // The text is part of the program and a test parses it, so this cannot fail for a user. That each scenario in it
    // exists is for a test where scenarios are known.
    parse("scenarios/field-claims.toml", CLAIMS, &|_| Ok(())).expect("scenarios/field-claims.toml is checked by a test")
});

static JUDGED: LazyLock<Vec<Judged>> = LazyLock::new(|| judge_all(&PARSED));

/// The file of published figures: machines, models and claims.
pub fn field() -> &'static Field {
    &PARSED
}

/// Each claim with its verdict, in the order of the file.
pub fn judged() -> &'static [Judged] {
    &JUDGED
}
