//! Where scenarios come from: the built-in ones and files, read and checked. Errors name the line and the key.

use super::shape::parse_product;
use super::{MAX_ROUNDS, Scenario};
use crate::engines::definition::check;
use crate::error::{Error, Result};
use crate::files::read_limited;
use crate::kernel_ids::unknown_kernel;
use crate::registered;
use kernels::{Operation, registry};
use model::hash::sha256_hex;
use receipt::{Residency, toml_error};
use std::path::Path;
use toml::Spanned;

/// The built-in scenarios, each as (name, TOML text).
pub static BUILTIN: [(&str, &str); 9] = [
    ("quick", include_str!("../../../scenarios/quick.toml")),
    ("seed-tables", include_str!("../../../scenarios/seed-tables.toml")),
    ("timeout", include_str!("../../../scenarios/timeout.toml")),
    ("2b-4t", include_str!("../../../scenarios/2b-4t.toml")),
    ("prefill", include_str!("../../../scenarios/prefill.toml")),
    ("bonsai-1.7b", include_str!("../../../scenarios/bonsai-1.7b.toml")),
    ("bonsai-8b", include_str!("../../../scenarios/bonsai-8b.toml")),
    ("activation-rules", include_str!("../../../scenarios/activation-rules.toml")),
    ("engines", include_str!("../../../scenarios/engines.toml")),
];

impl Scenario {
    /// Loads a built-in scenario by name, or a TOML file by path.
    pub fn load(name_or_path: &str) -> Result<Self> {
        let (origin, text) = text_of(name_or_path)?;
        Self::parse(&origin, &text)
    }

    /// Loads the built-in scenario of this name, whatever files there are.
    pub fn load_built_in(name: &str) -> Result<Self> {
        let found = BUILTIN.iter().find(|(built_in, _)| *built_in == name);
        let (name, text) = found.ok_or_else(|| Error::failed(format!("there is no built-in scenario {name}")))?;
        Self::parse(&format!("scenario {name}"), text)
    }

    /// As [`Self::load`], for builds that may have other kernels than this one; also returns the TOML text.
    pub fn load_of_any_build(name_or_path: &str) -> Result<(Self, String)> {
        let (origin, text) = text_of(name_or_path)?;
        Ok((Self::of_any_build(&origin, &text)?, text))
    }

    /// Reads a scenario from TOML text and checks it. Errors name the line and the key.
    pub fn parse(origin: &str, text: &str) -> Result<Self> {
        let scenario = Self::of_any_build(origin, text)?;
        let unknown = scenario.kernels.iter().flatten().find(|id| registered::find(id.get_ref()).is_none());
        let Some(id) = unknown else { return Ok(scenario) };
        let what = format!("kernels: {}", unknown_kernel(id.get_ref()));
        let error = toml_error::error(origin, text, id.span().start, &what);
        match registry::elsewhere(id.get_ref()) {
            Some(_) => Err(Error::unsupported(error.to_string())),
            None => Err(error.into()),
        }
    }

    /// As [`Self::parse`]; kernels may be those of another build, which is asked for them.
    pub fn of_any_build(origin: &str, text: &str) -> Result<Self> {
        let mut scenario: Self = toml_error::parse(origin, text)?;
        let wrong =
            |at: usize, key: &str, what: String| toml_error::error(origin, text, at, &format!("{key}: {what}")).into();
        let positive = |key: &str, value: usize, most: usize| match value {
            n if (1..=most).contains(&n) => Ok(()),
            n => Err(wrong(find_key(text, key), key, format!("{n} is not between 1 and {most}"))),
        };
        if let Some(micro) = &mut scenario.micro {
            positive("rounds", micro.rounds, MAX_ROUNDS)?;
            positive("epoch_us", micro.epoch_us as usize, 1_000_000)?;
            let product = |op: Operation, text: &Spanned<String>| {
                parse_product(op, text.get_ref()).map_err(|what| wrong(text.span().start, op.name(), what))
            };
            let gemv = micro.gemv.iter().map(|text| product(Operation::Gemv, text));
            let gemm = micro.gemm.iter().map(|text| product(Operation::Gemm, text));
            let dequantize = micro.dequantize.iter().map(|text| product(Operation::Dequantize, text));
            micro.products = gemv.chain(gemm).chain(dequantize).collect::<Result<_>>()?;
            micro.others_residency = vec![Residency::Llc];
            if micro.products.is_empty() {
                let what = "needs \"gemv\", \"gemm\" or \"dequantize\" shapes".into();
                return Err(wrong(find_key(text, "[micro]"), "micro", what));
            }
            if micro.residency.is_empty() {
                let what = "needs \"l2\", \"llc\", \"dram\" or several".into();
                return Err(wrong(find_key(text, "residency"), "residency", what));
            }
        }
        if let Some(generate) = &scenario.generate {
            positive("rounds", generate.rounds, 1000)?;
            positive("max_tokens", generate.max_tokens, 1 << 20)?;
            if generate.timeout_s.is_some_and(|s| !(s.is_finite() && s > 0.0 && s < 1e6)) {
                let what = "must be a number of seconds above 0".into();
                return Err(wrong(find_key(text, "timeout_s"), "timeout_s", what));
            }
        }
        if let Some(perplexity) = &scenario.perplexity {
            positive("windows", perplexity.windows, 1 << 20)?;
            positive("window", perplexity.window, 1 << 20)?;
        }
        if let Some(engines) = &scenario.engines {
            engines.check().map_err(|(key, what)| wrong(find_key(text, key), key, what))?;
        }
        check(&scenario.tables).map_err(|(i, what)| wrong(find_table(text, "[[engine]]", i), "engine", what))?;
        scenario.activations = scenario.rules.first().copied();
        // One rule is what the run computes by, several are a question besides.
        scenario.rules.truncate(if scenario.rules.len() > 1 { usize::MAX } else { 0 });
        scenario.by_rule(None);
        scenario.sha256 = sha256_hex(text.as_bytes());
        Ok(scenario)
    }
}

/// A scenario's TOML, and what it is called in errors.
fn text_of(name_or_path: &str) -> Result<(String, String)> {
    // A built-in scenario in any case, unless a file is called so.
    let typed = |name: &str| match Path::new(name_or_path).exists() {
        true => name == name_or_path,
        false => name.eq_ignore_ascii_case(name_or_path.trim()),
    };
    if let Some((name, text)) = BUILTIN.iter().find(|(name, _)| typed(name)) {
        return Ok((format!("scenario {name}"), (*text).to_owned()));
    }
    let path = Path::new(name_or_path);
    if path.extension().is_none() && !path.exists() {
        let next = format!("built in: {}; or name a .toml file", BUILTIN.map(|(name, _)| name).join(", "));
        return Err(Error::input(format!("there is no scenario \"{name_or_path}\"; {next}")));
    }
    let bytes = read_limited(path, "a scenario", 1 << 20)?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Error::input(format!("{}: byte {at} is not UTF-8: this is not a scenario", path.display()))
    })?;
    Ok((path.display().to_string(), text))
}

/// Where a key stands; the start when it is not written.
fn find_key(text: &str, key: &str) -> usize {
    let assigns = |rest: &str| key.ends_with(']') || rest.trim_start().starts_with('=');
    let mut at = 0;
    let found = text.split_inclusive('\n').find_map(|line| {
        at += line.len();
        line.trim_start().strip_prefix(key).is_some_and(assigns).then_some(at - line.len())
    });
    found.unwrap_or(0)
}

/// Where table `index` of an array of tables begins.
fn find_table(text: &str, header: &str, index: usize) -> usize {
    text.match_indices(header).nth(index).map_or(0, |(at, _)| at)
}
