//! Scenarios: what to measure, as TOML with a paragraph on how to read the result. The standard ones are built in.

mod engines;
mod keys;
mod load;
mod scaling;
mod shape;

pub use engines::Engines;
pub use load::BUILTIN;
pub use scaling::{Scaling, activations, parse_rule};
pub use shape::{L2, Product, Shape, parse_batch, parse_residency};

use crate::engines::definition::Definition;
use crate::error::{Error, Result};
use kernels::{ActivationRule, Family, Operation};
use receipt::{Residency, ScenarioRecord};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

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
    #[serde(default, rename = "activations", deserialize_with = "keys::rules")]
    #[schemars(with = "Option<keys::RulesKey>")]
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
    #[serde(deserialize_with = "keys::residencies")]
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

/// The JSON Schema of a scenario, for editors.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Scenario).to_value();
    schema["title"] = "tritbench scenario".into();
    schema
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

#[cfg(test)]
mod tests;
