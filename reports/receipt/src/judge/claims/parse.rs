//! `claims.toml` into claims. Errors name line and key.

use super::{Claim, Metric, Phase, Rule, Standing};
use crate::error::{Error, Result};
use crate::toml_error::near;
use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    claim: Vec<Raw>,
}

/// One `[[claim]]` as written: which of the optional keys a metric needs is checked afterwards, so that an error can
/// say where.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    id: Spanned<String>,
    section: String,
    text: String,
    metric: Spanned<String>,
    kernel: Option<Spanned<String>>,
    over: Option<Spanned<String>>,
    op: Option<Spanned<String>>,
    k: Option<usize>,
    phase: Option<Phase>,
    tokens: Option<u32>,
    seconds: Option<f64>,
    numbers: Option<Spanned<Vec<f64>>>,
    expected: Spanned<f64>,
    unit: String,
    judge: Rule,
    #[serde(default)]
    tolerance: Option<Spanned<f64>>,
    standing: Standing,
    note: Option<String>,
    #[serde(default)]
    ladder: bool,
}

/// What is wrong with a kernel id, if anything.
pub type KernelCheck<'a> = &'a dyn Fn(&str) -> std::result::Result<(), String>;

/// Parses and checks a claims file; `origin` is what errors call it, `kernel` says whether there is a kernel of that
/// id.
pub fn parse(origin: &str, text: &str, kernel: KernelCheck<'_>) -> Result<Vec<Claim>> {
    let line = |at: usize| text.get(..at).map_or(0, |before| before.matches('\n').count()) + 1;
    let file: File = toml::from_str(text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        let message = e.message().split_whitespace().collect::<Vec<_>>().join(" ");
        Error::input(format!("{origin}: line {}: {message}{}", line(at), near(text, at)))
    })?;
    let wrong =
        |wrong: Wrong| Error::input(format!("{origin}: line {}: {}: {}", line(wrong.at), wrong.key, wrong.what));
    let mut claims: Vec<Claim> = Vec::new();
    for raw in file.claim {
        if claims.iter().any(|c| c.id == *raw.id.get_ref()) {
            let what = format!("\"{}\" is there already", raw.id.get_ref());
            return Err(wrong(Wrong { at: raw.id.span().start, key: "id", what }));
        }
        claims.push(claim(raw, kernel).map_err(wrong)?);
    }
    Ok(claims)
}

/// What is wrong, and where.
struct Wrong {
    at: usize,
    key: &'static str,
    what: String,
}

fn claim(raw: Raw, kernel: KernelCheck<'_>) -> std::result::Result<Claim, Wrong> {
    let metric = metric(&raw, kernel)?;
    let expected = *raw.expected.get_ref();
    if !(expected.is_finite() && expected > 0.0) {
        return Err(Wrong {
            at: raw.expected.span().start,
            key: "expected",
            what: format!("{expected} is not a number above 0"),
        });
    }
    let tolerance = raw.tolerance.as_ref().map_or(0.0, |t| *t.get_ref());
    if let Some(t) = raw.tolerance.as_ref().filter(|t| !(0.0..1.0).contains(t.get_ref())) {
        let what = format!("{} is not a share between 0 and 1", t.get_ref());
        return Err(Wrong { at: t.span().start, key: "tolerance", what });
    }
    if raw.note.is_none() && metric == Metric::None {
        let what = "metric \"none\" needs a note that says why".into();
        return Err(Wrong { at: raw.metric.span().start, key: "note", what });
    }
    Ok(Claim {
        id: raw.id.into_inner(),
        section: raw.section,
        text: raw.text,
        metric,
        expected,
        unit: raw.unit,
        judge: raw.judge,
        tolerance,
        standing: raw.standing,
        note: raw.note,
        ladder: raw.ladder,
    })
}

fn metric(raw: &Raw, check: KernelCheck<'_>) -> std::result::Result<Metric, Wrong> {
    let name = raw.metric.get_ref().as_str();
    let missing = |key: &'static str| Wrong {
        at: raw.metric.span().start,
        key,
        what: format!("metric \"{name}\" needs it (claim {})", raw.id.get_ref()),
    };
    let id = |key: &'static str, of: &Option<Spanned<String>>| {
        let found = of.as_ref().ok_or_else(|| missing(key))?;
        match check(found.get_ref()) {
            Ok(()) => Ok(found.get_ref().clone()),
            Err(what) => Err(Wrong { at: found.span().start, key, what }),
        }
    };
    let kernel = || id("kernel", &raw.kernel);
    let over = || id("over", &raw.over);
    let op = || {
        let found = raw.op.as_ref().ok_or_else(|| missing("op"))?;
        match found.get_ref().as_str() {
            "dequantize" | "gemv" | "gemm" => Ok(found.get_ref().clone()),
            other => Err(Wrong {
                at: found.span().start,
                key: "op",
                what: format!("\"{other}\" is not dequantize, gemv or gemm"),
            }),
        }
    };
    let phase = || raw.phase.ok_or_else(|| missing("phase"));
    let numbers = |count: usize| {
        let found = raw.numbers.as_ref().ok_or_else(|| missing("numbers"))?;
        match found.get_ref() {
            n if n.len() == count && n.iter().all(|x| x.is_finite() && *x > 0.0) => Ok(n.clone()),
            _ => Err(Wrong {
                at: found.span().start,
                key: "numbers",
                what: format!("metric \"{name}\" takes {count} numbers above 0"),
            }),
        }
    };
    Ok(match name {
        "gelem_s" => Metric::GelemS { kernel: kernel()?, op: op()?, k: raw.k },
        "speed_up" => Metric::SpeedUp { kernel: kernel()?, over: over()?, op: op()?, k: raw.k },
        "saved_share" => Metric::SavedShare { kernel: kernel()?, over: over()?, op: op()? },
        "phase_share" => Metric::PhaseShare { kernel: kernel()?, phase: phase()? },
        "phase_ms" => Metric::PhaseMs { kernel: kernel()?, phase: phase()? },
        "tokens_per_s" => Metric::TokensPerS { kernel: kernel()? },
        "seconds" => Metric::Seconds { kernel: kernel()?, tokens: raw.tokens.ok_or_else(|| missing("tokens"))? },
        "tokens_within" => {
            Metric::TokensWithin { kernel: kernel()?, seconds: raw.seconds.ok_or_else(|| missing("seconds"))? }
        }
        "implied_ms" => Metric::ImpliedMs { kernel: kernel()?, op: op()? },
        "forward_floor_ms" => Metric::ForwardFloorMs { kernel: kernel()? },
        "bits_per_weight" => Metric::BitsPerWeight { kernel: kernel()? },
        "max_error" => Metric::MaxError { kernel: kernel()? },
        "table_perplexity" => Metric::TablePerplexity,
        "quotient" => Metric::Quotient { numbers: numbers(2)? },
        "rate_after" => Metric::RateAfter { numbers: numbers(3)? },
        "none" => Metric::None,
        _ => {
            let what = format!("there is no metric \"{name}\"; see the metrics in scenarios/claims.toml");
            return Err(Wrong { at: raw.metric.span().start, key: "metric", what });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "[[claim]]\n\
                       id = \"a\"\n\
                       section = \"5.1\"\n\
                       text = \"t\"\n\
                       metric = \"speed_up\"\n\
                       kernel = \"scalar\"\n\
                       over = \"scalar\"\n\
                       op = \"gemv\"\n\
                       expected = 1.2\n\
                       unit = \"x\"\n\
                       judge = \"at_least\"\n\
                       standing = \"published\"\n";

    fn only_scalar(id: &str) -> std::result::Result<(), String> {
        if id == "scalar" { Ok(()) } else { Err(format!("there is no kernel \"{id}\"; known: scalar")) }
    }

    fn error(text: &str) -> String {
        parse("f.toml", text, &only_scalar).expect_err("refused").to_string()
    }

    #[test]
    fn a_whole_claim_parses() {
        let claims = parse("f.toml", ONE, &only_scalar).expect("valid");
        assert_eq!((claims.len(), claims[0].expected, claims[0].tolerance), (1, 1.2, 0.0));
        assert!(claims[0].metric.is_ratio());
    }

    #[test]
    fn errors_name_line_and_key() {
        let with = |from: &str, to: &str| error(&ONE.replace(from, to));
        let cases = [
            (with("judge = \"at_least\"", "judge = \"perhaps\""), "f.toml: line 11: unknown variant `perhaps`"),
            (with("expected = 1.2\n", "expected = 1.2\nexpekted = 1\n"), "f.toml: line 10: unknown field `expekted`"),
            (with("expected = 1.2", "expected = -1.0"), "f.toml: line 9: expected: -1 is not a number above 0"),
            (with("over = \"scalar\"\n", ""), "f.toml: line 5: over: metric \"speed_up\" needs it (claim a)"),
            (with("\"speed_up\"", "\"speed\""), "f.toml: line 5: metric: there is no metric \"speed\""),
            (with("op = \"gemv\"", "op = \"gemw\""), "f.toml: line 8: op: \"gemw\" is not"),
            (with("unit = \"x\"", "unit = \"x\"\ntolerance = 2.0"), "f.toml: line 11: tolerance: 2 is not a share"),
            (with("\"speed_up\"", "\"none\""), "f.toml: line 5: note: metric \"none\" needs a note"),
            (
                with("\"speed_up\"", "\"quotient\"\nnumbers = [1.0]"),
                "f.toml: line 6: numbers: metric \"quotient\" takes 2",
            ),
            (error(&format!("{ONE}{ONE}")), "f.toml: line 14: id: \"a\" is there already"),
            (error("[[claim]]\nid = 3"), "f.toml: line 2:"),
        ];
        for (got, want) in cases {
            assert!(got.starts_with(want), "{got}\n{want}");
            assert!(!got.contains('\n'), "{got}");
        }
    }

    #[test]
    fn an_unknown_kernel_is_named() {
        let got = error(&ONE.replace("kernel = \"scalar\"", "kernel = \"avx9\""));
        assert!(got.starts_with("f.toml: line 6: kernel: there is no kernel \"avx9\"; known:"), "{got}");
    }
}
