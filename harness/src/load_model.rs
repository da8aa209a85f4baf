//! `--model`: the built-in model, a synthetic one in the cache folder, or a file.

use crate::error::{Error, Result};
use crate::files::stream_atomic;
use crate::interrupt;
use crate::machine::{Machine, memory};
use crate::model_spec::{apart, missing, spelled, with_reading};
use crate::output::note;
use crate::progress::Progress;
use crate::scenario::activations;
use clap::ValueEnum;
use kernels::{ActivationRule, HeadFormat};
use model::gguf::Gguf;
use model::hash::hex;
use model::known::KnownModel;
use model::synth::{SynthShape, SyntheticModel};
use model::tokenizer::Pre;
use model::weights::{Model, Opened};
use model::{builtin, known};
use receipt::ModelRecord;
use receipt::figures::mib;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Number format of the output head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Head {
    /// 16 bits a weight, as in the file
    F16,
    /// 8 bits a weight, a scale a row
    Q8,
    /// 4 bits a weight, a scale for each 128 of a row
    Q4,
    /// The ternary matrix of the file, multiplied by the kernel like all others
    Ternary,
}

impl Head {
    /// The head of rows with so many bits a weight.
    ///
    /// # Errors
    /// Another number than 16, 8 or 4.
    pub fn of_bits(bits: u32) -> Result<Self> {
        match bits {
            16 => Ok(Self::F16),
            8 => Ok(Self::Q8),
            4 => Ok(Self::Q4),
            _ => Err(Error::input(format!("{bits} bits a weight of the output head: there are 16, 8 and 4"))),
        }
    }

    /// The format of its rows; none for a ternary matrix, which a kernel multiplies.
    pub fn rows(self) -> Option<HeadFormat> {
        match self {
            Self::F16 => Some(HeadFormat::F16),
            Self::Q8 => Some(HeadFormat::Q8),
            Self::Q4 => Some(HeadFormat::Q4),
            Self::Ternary => None,
        }
    }
}

/// Seed of the synthetic models in the cache folder.
const CACHED_SEED: u64 = 1;

/// A loaded model with its record for receipts.
pub struct Loaded {
    pub model: Model,
    pub record: ModelRecord,
    /// What this program knows of the model by its hash, if it is a known one.
    pub known: Option<KnownModel>,
}

/// Opens `builtin`, `synth:SHAPE`, `synth:SHAPE?live=SHARE` or a path, each maybe with how it is to be read
/// ([`crate::model_spec`]), without loading the weights.
pub fn open(spec: &str) -> Result<Gguf> {
    let (name, reading) = apart(spec);
    let name = spelled(name);
    match name.strip_prefix("synth:") {
        _ if name == "builtin" => Ok(Gguf::from_bytes_as(builtin::NAME, builtin::bytes(), reading)?),
        Some(shape) => Ok(Gguf::open_as(&cached_synthetic(shape)?, reading)?),
        None => match std::fs::metadata(&*name) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(Error::input(missing(&name))),
            _ => Ok(Gguf::open_as(Path::new(&*name), reading)?),
        },
    }
}

/// Opens and loads a model with the machine's threads. `pre` overrides the file's pre-tokenizer.
pub fn load(spec: &str, pre: Option<Pre>, machine: &Machine) -> Result<Loaded> {
    load_if(spec, pre, machine, Reading::All, |_| Ok(()))
}

/// How much of a model file is read while it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// All: every tensor is checked and the file is hashed, before a run about this very file begins.
    All,
    /// What is needed: tensors are checked when they are packed, and the hash, which takes about a second a GiB, is
    /// computed where it is printed or stored ([`Loaded::confirm`]); until then a known model is one by its name.
    AsNeeded,
}

/// Files of so many bytes are hashed while they are loaded whatever the caller wants: it takes no time worth saving.
const HASHED_AT_ONCE: u64 = 64 << 20;

fn hash_of(model: &Model) -> Result<String> {
    let bytes = model.gguf.n_bytes();
    let progress = Progress::start(format!("hashing model {}", model.gguf.path().display()), bytes);
    Ok(hex(&model.sha256(&|more| progress.add(more))?))
}

impl Loaded {
    /// The model with activations that share scales by this rule, where one is given, whatever its own says.
    pub fn by_rule(mut self, rule: Option<ActivationRule>) -> Self {
        let own = self.model.activations;
        self.model.activations = rule.unwrap_or(own);
        let trained = model::arch::find(&self.model.config.architecture).and_then(|arch| arch.activations);
        if let Some(trained) = trained.filter(|trained| *trained != self.model.activations) {
            let [trained, now] = [trained, self.model.activations].map(|rule| activations(rule).in_words());
            let arch = &self.model.config.architecture;
            note(format!("note: {arch} is trained with {trained} and runs with {now}: its logits are others"));
        }
        self
    }

    /// The model's record with its hash, which says whether a model that was recognised by its name is that one; if
    /// not, that is a warning of the record.
    pub fn confirm(&self) -> Result<ModelRecord> {
        let mut record = self.record.clone();
        if !record.sha256.is_empty() {
            return Ok(record);
        }
        record.sha256 = hash_of(&self.model)?;
        let known = KnownModel::find(&record.sha256)?;
        if let (Some(named), None) = (&self.known, &known) {
            let warning = format!("the model calls itself {}, and its bytes are others", named.name);
            note(format!("warning: {warning}"));
            (record.known, record.notes) = (false, Vec::new());
            record.warnings.push(warning);
        }
        Ok(record)
    }
}

/// As [`load`]; `fits` may refuse the model before its weights are read, which may take long.
pub fn load_if(
    spec: &str,
    pre: Option<Pre>,
    machine: &Machine,
    when: Reading,
    fits: impl FnOnce(&Opened) -> Result<()>,
) -> Result<Loaded> {
    let opened = Opened::new(open(spec)?, pre)?;
    fits(&opened)?;
    let bytes = opened.gguf.n_bytes();
    // Ternary tensors are packed and the head may be quantised: at most the file once more, which itself stays on disk.
    memory::require_memory(bytes, &format!("model {spec}"))?;
    let what = format!("loading model {spec} ({})", mib(bytes));
    let load_bytes = Model::weight_bytes(&opened.gguf);
    opened.assumed().for_each(|text| note(format!("note: {text}")));
    let synthetic = opened.gguf.optional_bool("tritbench.synthetic")?.unwrap_or(false);
    let model = opened.load()?;
    if when == Reading::All {
        machine.loading(what, load_bytes, |loading| model.check_weights(loading))?;
    }
    let sha256 = match when {
        Reading::All => hash_of(&model)?,
        Reading::AsNeeded if bytes <= HASHED_AT_ONCE => hash_of(&model)?,
        Reading::AsNeeded => String::new(),
    };
    let known = match &sha256[..] {
        "" => KnownModel::named(&model.gguf)?,
        sha256 => KnownModel::find(sha256)?,
    };
    let warnings = known::warnings(&model.gguf, known.as_ref())?;
    warnings.iter().for_each(|text| note(format!("warning: {text}")));
    let (tokenizer, c) = (&model.tokenizer, &model.config);
    let source = match (pre, tokenizer.facts.pre_from_file) {
        (Some(_), _) => "chosen by --pre",
        (None, true) => "named by the file",
        (None, false) => "the file names none",
    };
    let (named, reading) = apart(spec);
    let path = if spelled(named) == "builtin" { "builtin".into() } else { model.gguf.path().display().to_string() };
    let record = ModelRecord {
        path: with_reading(&path, reading),
        name: c.name.clone(),
        sha256,
        file_bytes: bytes,
        ternary_weights: model.ternary_weights(),
        layers: c.layers,
        dim: c.dim,
        ffn: c.ffn,
        vocab: c.vocab,
        pre_tokenizer: format!("{} ({source})", tokenizer.facts.pre),
        synthetic,
        known: known.as_ref().is_some_and(|k| k.bad.is_none()),
        notes: known.as_ref().map(|k| k.notes.clone()).unwrap_or_default(),
        warnings,
    };
    Ok(Loaded { model, record, known })
}

/// `SHAPE` or `SHAPE?live=SHARE`, the share of feed-forward elements whose gate is positive.
fn synthetic(spec: &str) -> Result<(&'static SynthShape, Option<f64>)> {
    let Some((shape, option)) = spec.split_once('?') else { return Ok((SynthShape::by_name(spec)?, None)) };
    let share = option.strip_prefix("live=").and_then(|share| share.parse::<f64>().ok());
    let Some(share) = share.filter(|share| (0.0..=1.0).contains(share)) else {
        let what = "after ? comes live=SHARE with a number from 0 to 1, for example synth:2b-4t?live=0.2";
        return Err(Error::input(format!("model \"synth:{spec}\": {what}")));
    };
    Ok((SynthShape::by_name(shape)?, Some(share)))
}

/// Path of a synthetic model in the user's cache folder, written first if it is not there.
fn cached_synthetic(spec: &str) -> Result<PathBuf> {
    let (shape, live_share) = synthetic(spec)?;
    let folder = cache_folder()?;
    // A share in one spelling: 0.2 and .20 are the same file.
    let live = live_share.map_or_else(String::new, |share| format!("-live{share}"));
    let path = folder.join(format!("synth-{}{live}-seed{CACHED_SEED}.gguf", shape.name));
    let synthetic = SyntheticModel::new(shape, None, live_share, CACHED_SEED)?;
    let size = synthetic.bytes();
    match std::fs::metadata(&path) {
        Ok(found) if found.len() == size => return Ok(path),
        Ok(found) => {
            let (has, path) = (found.len(), path.display());
            return Err(Error::input(format!("{path} has {has} bytes instead of {size}; remove it and run again")));
        }
        Err(_) => {}
    }
    std::fs::create_dir_all(&folder).map_err(|e| Error::io("create the cache folder", &folder, &e))?;
    note(format!("writing the synthetic model {} once to {} ({})", spec, path.display(), mib(size)));
    let progress = Progress::start(format!("writing {}", path.display()), size);
    write_synthetic(&path, &synthetic, &progress)?;
    Ok(path)
}

/// Writes a synthetic model to `path`, where it appears only when it is whole.
pub fn write_synthetic(path: &Path, model: &SyntheticModel, progress: &Progress) -> Result<()> {
    stream_atomic(path, model.bytes(), |file| {
        let written = model.write(file, interrupt::flag(), &|more| progress.add(more));
        written.map_err(|e| match interrupt::requested() {
            true => Error::interrupted(format!("interrupted; {} is not written", path.display())),
            false => Error::io("write", path, &e),
        })
    })
}

/// `TRITBENCH_CACHE`, or `tritbench` in the platform's cache folder.
pub fn cache_folder() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let in_home = || set("HOME").map(|home| home.join(".cache"));
    set("TRITBENCH_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").or_else(in_home).map(|folder| folder.join("tritbench")))
        .ok_or_else(|| Error::input("no cache folder: set TRITBENCH_CACHE to a folder with room for the model"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_specs_name_a_shape_and_maybe_a_share() {
        let parsed = |spec| synthetic(spec).map(|(shape, share)| (shape.name, share));
        assert_eq!(parsed("2b-4t").expect("valid"), ("2b-4t", None));
        assert_eq!(parsed("tiny?live=.20").expect("valid"), ("tiny", Some(0.2)));
        for wrong in ["tiny?", "tiny?live=", "tiny?live=2", "tiny?live=NaN", "tiny?share=0.2", "tiny?live=0.2&x=1"] {
            let error = parsed(wrong).expect_err("refused").to_string();
            assert!(error.contains(wrong) && error.contains("synth:2b-4t?live=0.2"), "{error}");
        }
        assert!(parsed("7b?live=0.2").expect_err("refused").to_string().contains("7b"));
    }
}
