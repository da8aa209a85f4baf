//! Scenarios: what to measure, as TOML with a paragraph on how to read the result. The standard ones are built in.

mod engines;
mod scaling;
mod shape;

pub use engines::Engines;
pub use scaling::{Scaling, activations, parse_rule};
pub use shape::{L2, Product, Shape, parse_batch, parse_residency};

use crate::engines::definition::{Definition, check};
use crate::error::{Error, Result};
use crate::files::read_limited;
use crate::kernel_ids::unknown_kernel;
use crate::registered;
use kernels::{ActivationRule, Family, Operation, registry};
use model::hash::sha256_hex;
use receipt::{Residency, ScenarioRecord, toml_error};
use schemars::JsonSchema;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use shape::parse_product;
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

/// A scenario: what to measure, read from TOML. Parts that are absent are not run.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What reports call it.
    pub name: String,
    /// What the scenario is for, in one sentence.
    pub summary: String,
    /// How to read the result, in a paragraph.
    pub analysis: String,
    /// Kernel ids; absent means all.
    #[schemars(with = "Option<Vec<String>>")]
    kernels: Option<Vec<Spanned<String>>>,
    /// The model: `builtin`, `synth:SHAPE[?live=SHARE]` or a path.
    pub model: Option<String>,
    /// Rules of which the run finds out what each costs, two or more; the key may be one rule, which is no question.
    #[serde(default, rename = "activations", deserialize_with = "rules")]
    #[schemars(with = "Option<RulesKey>")]
    pub rules: Vec<ActivationRule>,
    /// Which activations share a scale: the first of the key; by the model's architecture, else all of a token, where
    /// it is absent.
    #[serde(skip)]
    pub activations: Option<ActivationRule>,
    /// Products of single matrices that are timed.
    pub micro: Option<Micro>,
    /// The text that every kernel generates.
    pub generate: Option<Generate>,
    /// The text that every kernel scores.
    pub perplexity: Option<Perplexity>,
    /// What engines are asked, where the scenario is about engines.
    pub engines: Option<Engines>,
    /// Engines that it defines: each runs when `--engine` names it.
    #[serde(default, rename = "engine")]
    pub tables: Vec<Definition>,
    /// What shares a scale in cells of kernels with scales of groups, as far as the scenario says it; in a run with a
    /// model, that model's.
    #[serde(skip)]
    pub scaling: Scaling,
    #[serde(skip)]
    sha256: String,
    /// Whether `--quick` was applied.
    #[serde(skip)]
    pub quick: bool,
}

/// The microbenchmarks of a scenario: shapes, places of the weights, rounds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Micro {
    /// Most rounds a cell; it ends at the first look (50, 100, 200, 400, 800) at which every direction is settled.
    pub rounds: usize,
    /// Target length of an epoch in microseconds.
    #[serde(default = "default_epoch_us")]
    pub epoch_us: u32,
    /// Where the weights of gemv are: each shape is timed in every place of this list.
    #[serde(deserialize_with = "residencies")]
    #[schemars(with = "Vec<String>")]
    pub residency: Vec<Residency>,
    /// Where the weights of batches and of dequantising are, see [`Scenario::cells`].
    #[serde(skip)]
    pub others_residency: Vec<Residency>,
    /// Matrices times a vector: `6912x2560`, with a place or what shares a scale behind it (`dram`, `g64x32`).
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    gemv: Vec<Spanned<String>>,
    /// Matrices times a batch of vectors: `6912x2560x32`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    gemm: Vec<Spanned<String>>,
    /// Matrices whose weights are widened to f32: `256x2560`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    dequantize: Vec<Spanned<String>>,
    /// Operations and sizes that are timed: the three lists, until flags change it.
    #[serde(skip)]
    pub products: Vec<Product>,
}

impl Micro {
    /// The places in which a product's weights are timed, one after another.
    pub fn residencies(&self, product: &Product) -> Vec<Residency> {
        let all = if product.op == Operation::Gemv { &self.residency } else { &self.others_residency };
        product.only.map_or_else(|| all.clone(), |only| vec![only])
    }
}

/// The key `activations` as a schema has it: one rule, or several to compare.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum RulesKey {
    One(String),
    Several(Vec<String>),
}

/// The JSON Schema of a scenario, for editors.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Scenario).to_value();
    schema["title"] = "tritbench scenario".into();
    schema
}

/// Reads one rule or a list of names.
struct Rules;

impl<'de> Visitor<'de> for Rules {
    type Value = (bool, Vec<String>);

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string, or a list of several")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<Self::Value, E> {
        Ok((false, vec![name.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> std::result::Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(name) = names.next_element()? {
            all.push(name);
        }
        Ok((true, all))
    }
}

fn rules<'de, D: Deserializer<'de>>(toml: D) -> std::result::Result<Vec<ActivationRule>, D::Error> {
    let parsed = |name: &String| parse_rule(name).map_err(serde::de::Error::custom);
    let (is_list, names) = toml.deserialize_any(Rules)?;
    let rules = names.iter().map(parsed).collect::<std::result::Result<Vec<_>, _>>()?;
    let twice = rules.iter().enumerate().find(|(i, rule)| rules[..*i].contains(rule));
    match twice {
        Some((_, rule)) => Err(serde::de::Error::custom(format!("names the rule {rule} twice"))),
        None if is_list && rules.len() < 2 => {
            Err(serde::de::Error::custom("a list names two rules or more; take one as a text"))
        }
        None => Ok(rules),
    }
}

fn residencies<'de, D: Deserializer<'de>>(toml: D) -> std::result::Result<Vec<Residency>, D::Error> {
    let names = Vec::<String>::deserialize(toml)?;
    names.iter().map(|name| parse_residency(name).map_err(serde::de::Error::custom)).collect()
}

/// What a scenario generates: prompt, length, rounds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// The prompt.
    pub prompt: String,
    /// Most tokens to generate.
    pub max_tokens: usize,
    /// Texts that each kernel generates.
    pub rounds: usize,
    /// Limit on each generated text in seconds.
    pub timeout_s: Option<f64>,
    /// Check the model's known answers with every kernel, if it has any.
    #[serde(default)]
    pub goldens: bool,
}

/// What a scenario scores for perplexity: windows of the built-in held-out text.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Perplexity {
    /// Most windows to score.
    pub windows: usize,
    /// Tokens of a window.
    pub window: usize,
    /// Whether perplexity is also measured with the codes read by the seed's table [-2,-1,1,2].
    #[serde(default)]
    pub seed_table: bool,
}

fn default_epoch_us() -> u32 {
    1000
}

/// Most rounds of a cell that a scenario may ask for.
pub const MAX_ROUNDS: usize = 10_000;

/// One microbenchmark: an operation on a matrix of one shape with its weights in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub op: Operation,
    pub shape: Shape,
    /// Tokens of the batch; 1 but for `gemm`.
    pub tokens: usize,
    pub residency: Residency,
    /// What shares a scale, of kernels with scales of groups.
    pub scaling: Scaling,
    /// Whether it is for these kernels alone: its entry says what shares a scale.
    pub of_groups: bool,
}

impl Cell {
    /// Whether kernels of a family are timed in it.
    pub fn is_for(&self, family: Family) -> bool {
        !self.of_groups || family == Family::W2gA8
    }
}

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

    /// Lets activations share scales by this rule, where one is given, whatever the scenario says.
    pub fn by_rule(&mut self, rule: Option<ActivationRule>) {
        self.activations = rule.or(self.activations);
        self.scaling.rule = self.activations.unwrap_or_default();
    }

    /// An error for a scenario without microbenchmarks, for commands that time nothing else.
    pub fn require_micro(&self) -> Result<()> {
        let missing = || format!("scenario {} has no [micro] part to time; try --scenario quick", self.name);
        self.micro.as_ref().map(|_| ()).ok_or_else(|| Error::input(missing()))
    }

    /// Kernel ids that the scenario asks for; `None` means all.
    pub fn kernel_ids(&self) -> Option<Vec<String>> {
        self.kernels.as_ref().map(|ids| ids.iter().map(|id| id.get_ref().clone()).collect())
    }

    /// Cells in order: for each operation all shapes, for each shape all residencies. A scenario times batches and
    /// dequantising with one copy only: a batch reads weights once for many products, and what dequantising writes is
    /// 16 times what it reads, so that from memory it would time the stores; such a cell does not exist.
    ///
    /// Cells from the second-level cache have at most as many rows as fit there, so that several shapes may become one
    /// cell. Where its size is unknown there are none.
    pub fn cells(&self, l2: Option<L2>) -> Vec<Cell> {
        let Some(micro) = &self.micro else { return Vec::new() };
        let mut cells = Vec::new();
        for product in &micro.products {
            let &Product { op, shape, tokens, scaling, .. } = product;
            let (of_groups, scaling) = (scaling.is_some(), scaling.unwrap_or(self.scaling));
            for residency in micro.residencies(product) {
                // Named by where the bytes are: what a core's own cache holds is not read from the last level.
                let near = op == Operation::Dequantize && l2.is_some_and(|l2| l2.holds(op, shape));
                let residency = if near && residency == Residency::Llc { Residency::L2 } else { residency };
                let shape = match residency {
                    Residency::L2 if near => Some(shape),
                    Residency::L2 => {
                        let rows = l2.map_or(0, |l2| l2.rows(op, shape.k).min(shape.m));
                        (rows > 0).then_some(Shape { m: rows, ..shape })
                    }
                    Residency::Dram if op == Operation::Dequantize => None,
                    _ => Some(shape),
                };
                let cell = shape.map(|shape| Cell { op, shape, tokens, residency, scaling, of_groups });
                cells.extend(cell.filter(|cell| !cells.contains(cell)));
            }
        }
        // What an entry says of scales may be what the run's other entries have.
        let whole: Vec<Cell> = cells.iter().filter(|cell| !cell.of_groups).copied().collect();
        cells.retain(|cell| !(cell.of_groups && whole.contains(&Cell { of_groups: false, ..*cell })));
        cells
    }

    /// What shares a scale in the entries that say so.
    pub fn scalings_of_entries(&self) -> Vec<Scaling> {
        let entries = self.micro.iter().flat_map(|micro| &micro.products);
        entries.filter_map(|product| product.scaling).collect()
    }

    /// Makes the matrix smaller for `--quick`, with as many rounds: first gemv and gemm and the ends of the size table.
    pub fn make_quick(&mut self) {
        self.quick = true;
        if let Some(micro) = &mut self.micro {
            let of = |op: Operation| micro.products.iter().filter(|p| p.op == op).copied().collect::<Vec<_>>();
            let (gemv, gemm, dequantize) = (of(Operation::Gemv), of(Operation::Gemm), of(Operation::Dequantize));
            let ends = dequantize.iter().take(1).chain(dequantize.iter().skip(1).next_back());
            micro.products = gemv.iter().take(1).chain(gemm.iter().take(1)).chain(ends).copied().collect();
        }
        // One text of a slow kernel takes a minute on a large model; the built-in one takes a tenth of a second.
        let small = self.model.as_deref().is_none_or(|model| model == "builtin");
        if let Some(generate) = &mut self.generate {
            if !small {
                generate.rounds = generate.rounds.min(2);
            }
            generate.max_tokens = generate.max_tokens.min(24);
        }
        if let Some(perplexity) = &mut self.perplexity {
            perplexity.windows = perplexity.windows.min(1);
        }
        self.engines.iter_mut().for_each(Engines::make_quick);
    }

    /// The scenario as receipts keep it.
    pub fn record(&self) -> ScenarioRecord {
        let Self { name, summary, analysis, sha256, quick, .. } = self.clone();
        ScenarioRecord { name, summary, analysis, sha256, quick }
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

#[cfg(test)]
mod tests;
