//! A folder's tensors as a GGUF file would describe them, and the scales of its packed matrices.

use super::names::{self, HEAD, Role};
use super::quantization::{Quantization, ScaleRule};
use super::shards::Stored;
use crate::error::{Error, Result};
use crate::gguf::{Decision, Part, TensorInfo, TypeInfo, quoted, types};
use safetensors::Dtype;
use std::collections::{BTreeMap, HashMap};

/// ggml's limit of dimensions.
const MAX_DIMS: usize = 4;
/// Ending of the name of a packed matrix's scale; without `_scale` it is the matrix's own.
const SCALE: &str = ".weight_scale";
/// A buffer of old checkpoints: the rotary angles, which follow from their base.
const ANGLES: &str = ".rotary_emb.inv_freq";

/// Makes descriptions of what is in the shards.
pub struct Reader<'a> {
    /// Tensors of all shards, by name.
    pub stored: &'a BTreeMap<String, Stored>,
    /// All files of the folder.
    pub files: &'a [Part],
    /// How the matrices became ternary.
    pub quantization: &'a Quantization,
    /// Whether the output head is the embedding; `None` where config.json does not say.
    pub tied: Option<bool>,
}

/// What [`Reader::read`] gives.
#[derive(Default)]
pub struct Described {
    /// In file order.
    pub tensors: Vec<TensorInfo>,
    /// By name of the matrix: the factor on its decoded codes.
    pub scales: HashMap<String, f32>,
    /// By name: what the folder calls the tensor.
    pub origins: HashMap<String, String>,
    /// What was decided, and by which evidence.
    pub decisions: Vec<Decision>,
}

impl Reader<'_> {
    /// Describes all tensors.
    pub fn read(&self) -> Result<Described> {
        let mut described = Described::default();
        let mut scaled = 0;
        for (name, stored) in self.stored {
            if let Some(module) = name.strip_suffix(SCALE) {
                self.check_owner(name, stored, module)?;
            } else if name.ends_with(ANGLES) {
                let what = format!("{} is not read", quoted(name));
                described.decisions.push(Decision::new(what, "the angles follow from rope_theta"));
            } else if name == HEAD && self.tied == Some(true) {
                let why = "tie_word_embeddings is true in config.json, so the head is the embedding";
                described.decisions.push(Decision::new(format!("{} is not read", quoted(name)), why));
            } else {
                let (gguf_name, role) = names::in_gguf(name).unwrap_or_else(|| (name.clone(), Role::Dense));
                let scale = self.stored.get(&format!("{name}_scale"));
                let kind = self.kind(name, stored, role, scale.is_some())?;
                if kind == types::HF_PACKED
                    && let (Ok(rule), Some(scale)) = (self.quantization.packed, scale)
                {
                    described.scales.insert(gguf_name.clone(), self.factor(&format!("{name}_scale"), scale, rule)?);
                    scaled += 1;
                }
                described.tensors.push(self.info(name, stored, &gguf_name, kind)?);
                described.origins.insert(gguf_name, name.clone());
            }
        }
        if let (Ok(rule), true) = (self.quantization.packed, scaled > 0) {
            let what = format!("products of {scaled} matrices are {} by weight_scale", rule.done());
            described.decisions.push(Decision::new(what, self.quantization.evidence));
        }
        let latent = described.tensors.iter().filter(|t| is_latent(t.kind)).count();
        if let (Ok(evidence), true) = (self.quantization.latent, latent > 0) {
            let rule = "codes are round(w / mean|w|) and the scale is mean|w|, by the model card's rule";
            let what = format!("{latent} matrices are latent weights: {rule}");
            described.decisions.push(Decision::new(what, evidence));
        }
        described.decisions.extend(self.head()?);
        described.tensors.sort_by_key(|tensor| (tensor.file, tensor.offset));
        Ok(described)
    }

    /// Checks that the head is where config.json says, and says what was taken where it does not.
    fn head(&self) -> Result<Option<Decision>> {
        let there = self.stored.contains_key(HEAD);
        match self.tied {
            Some(false) if !there => {
                let folder = self.files.first().and_then(|part| part.path.parent()).unwrap_or("".as_ref()).display();
                let what = "is missing, and config.json says that the head is not the embedding";
                let next = "download all shards, or write true if the head is the embedding";
                Err(Error::input(format!("{folder}: tensor \"{HEAD}\" {what} (tie_word_embeddings is false); {next}")))
            }
            None => {
                let (is, has) = if there { ("is a tensor of its own", "has") } else { ("is the embedding", "lacks") };
                let evidence = format!("config.json has no tie_word_embeddings, and the folder {has} {HEAD}");
                Ok(Some(Decision::new(format!("the output head {is}"), evidence)))
            }
            Some(_) => Ok(None),
        }
    }

    fn error(&self, name: &str, stored: &Stored, what: impl std::fmt::Display) -> Error {
        let path = self.part(stored).map_or(stored.shard.clone(), |(_, part)| part.path.display().to_string());
        Error::input(format!("{path}: tensor {} at byte {}: {what}", quoted(name), stored.at))
    }

    /// The shard of a tensor, and its number.
    fn part(&self, stored: &Stored) -> Option<(usize, &Part)> {
        let is_shard = |part: &Part| part.path.file_name().is_some_and(|name| name == stored.shard.as_str());
        self.files.iter().enumerate().find(|(_, part)| is_shard(part))
    }

    fn kind(&self, name: &str, stored: &Stored, role: Role, scaled: bool) -> Result<TypeInfo> {
        let fail = |what: &str| Err(self.error(name, stored, what));
        let dtype = stored.dtype;
        match (role, dtype) {
            (Role::Dense, Dtype::BF16) => Ok(types::BF16),
            (Role::Dense, Dtype::F16) => Ok(types::F16),
            (Role::Dense, Dtype::F32) => Ok(types::F32),
            (Role::Matrix, Dtype::U8) => match (self.quantization.packed, scaled) {
                (Err(why), _) => fail(&format!("holds packed codes: {why}")),
                (Ok(_), false) => {
                    fail(&format!("holds packed codes, and \"{name}_scale\" is missing; download all shards"))
                }
                (Ok(_), true) => Ok(types::HF_PACKED),
            },
            (Role::Matrix, Dtype::BF16 | Dtype::F16 | Dtype::F32) if scaled => {
                let what =
                    format!("is {dtype} and has a weight_scale: codes that were unpacked, which are not read here");
                fail(&format!("{what}; download the model with packed U8 weights"))
            }
            (Role::Matrix, Dtype::BF16 | Dtype::F16 | Dtype::F32) => match self.quantization.latent {
                Err(why) => fail(&format!("is {dtype}: {why}")),
                Ok(_) if dtype == Dtype::BF16 => Ok(types::BF16_MASTER),
                Ok(_) if dtype == Dtype::F16 => Ok(types::F16_MASTER),
                Ok(_) => Ok(types::F32_MASTER),
            },
            (_, Dtype::U32) => {
                let what = "is U32, as in MLX models, whose groups have a scale and a bias; they are not read here";
                fail(&format!("{what}; download the model's GGUF file"))
            }
            (Role::Matrix, _) => {
                fail(&format!("is {dtype}; ternary matrices are U8 (packed), BF16, F16 or F32 (latent)"))
            }
            (Role::Dense, _) => fail(&format!("is {dtype}; here it must be BF16, F16 or F32")),
        }
    }

    /// Describes a tensor with dimensions innermost first; those of packed codes are the matrix's.
    fn info(&self, name: &str, stored: &Stored, gguf_name: &str, kind: TypeInfo) -> Result<TensorInfo> {
        let mut dims: Vec<u64> = stored.shape.iter().rev().copied().collect();
        if dims.is_empty() {
            dims.push(1);
        }
        if dims.len() > MAX_DIMS || dims.contains(&0) {
            let what = format!("shape {:?}; a tensor has 1 to {MAX_DIMS} dimensions, none of them 0", stored.shape);
            return Err(self.error(name, stored, what));
        }
        if kind == types::HF_PACKED {
            let [_, rows] = &mut dims[..] else {
                let what = format!("shape {:?} of packed codes; a matrix has two dimensions", stored.shape);
                return Err(self.error(name, stored, what));
            };
            *rows = rows.checked_mul(4).ok_or_else(|| self.error(name, stored, "has too many rows"))?;
        }
        let Some((number, _)) = self.part(stored) else { return Err(self.error(name, stored, "its shard is missing")) };
        let (offset, n_bytes) = (stored.at, Some(stored.bytes));
        Ok(TensorInfo { name: gguf_name.to_owned(), kind, dims, n_bytes, offset, header_offset: 0, file: number + 1 })
    }

    /// Checks that a scale belongs to a ternary matrix.
    fn check_owner(&self, name: &str, stored: &Stored, module: &str) -> Result<()> {
        let matrix = format!("{module}.weight");
        let is_matrix = names::in_gguf(&matrix).is_some_and(|(_, role)| role == Role::Matrix);
        if is_matrix && self.stored.contains_key(&matrix) {
            return Ok(());
        }
        let what = format!("is the scale of {}, which is no ternary matrix of this folder", quoted(&matrix));
        Err(self.error(name, stored, format!("{what}; download all shards again")))
    }

    /// The factor that a scale tensor stands for.
    fn factor(&self, name: &str, stored: &Stored, rule: ScaleRule) -> Result<f32> {
        let bytes = self.part(stored).and_then(|(_, part)| part.bytes.get(stored.at as usize..)).unwrap_or_default();
        let bytes = &bytes[..bytes.len().min(stored.bytes as usize)];
        let value = match (stored.dtype, bytes) {
            (Dtype::BF16, &[a, b]) => half::bf16::from_le_bytes([a, b]).to_f32(),
            (Dtype::F16, &[a, b]) => half::f16::from_le_bytes([a, b]).to_f32(),
            (Dtype::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            (dtype, _) => {
                let what = format!("is {dtype} of shape {:?}; a scale is one number in BF16, F16 or F32", stored.shape);
                return Err(self.error(name, stored, what));
            }
        };
        let (good, factor) = (|x: f32| x.is_finite() && x > 0.0, rule.factor(value));
        if !good(value) {
            let next = "convert or download the model again";
            return Err(self.error(
                name,
                stored,
                format!("the scale is {value}, not a finite number above zero; {next}"),
            ));
        }
        if !good(factor) {
            let next = "its linear_class may be autobitlinear, by which products are multiplied";
            return Err(self.error(
                name,
                stored,
                format!("products divided by the scale {value} are not finite; {next}"),
            ));
        }
        Ok(factor)
    }
}

fn is_latent(kind: TypeInfo) -> bool {
    [types::BF16_MASTER, types::F16_MASTER, types::F32_MASTER].contains(&kind)
}
