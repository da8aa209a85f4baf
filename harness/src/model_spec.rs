//! What `--model` names, and how its file is to be read where the file does not say: `FILE?i2s-layout=arm`.

use crate::words;
use clap::Args;
use clap::builder::PossibleValue;
use model::gguf::{I2sLayout, Reading};
use std::borrow::Cow;
use std::path::Path;

/// The flag with which a user says what no I2_S file does.
#[derive(Args, Clone, Debug, Default)]
pub struct LayoutArgs {
    /// Byte layout of the file's I2_S tensors, which no file says; x86 by default, `model inspect --score` tells
    #[arg(long, value_name = "LAYOUT", ignore_case = true, value_parser = words::one_of(layouts().into()))]
    pub i2s_layout: Option<String>,
}

fn layouts() -> Vec<PossibleValue> {
    I2sLayout::ALL.map(|layout| PossibleValue::new(layout.name())).to_vec()
}

impl LayoutArgs {
    /// The name of a model with what these flags say of its file, in one text that other processes take too.
    pub fn of(&self, model: &str) -> String {
        let i2s = self.i2s_layout.as_deref().and_then(I2sLayout::by_name);
        let (name, reading) = apart(model);
        with_reading(name, Reading { i2s: i2s.or(reading.i2s), ..reading })
    }
}

/// The name of a model whose file is to be read so.
pub fn with_reading(name: &str, reading: Reading) -> String {
    if reading == Reading::default() { name.to_owned() } else { format!("{name}?{reading}") }
}

/// The name of a model, apart from how its file is to be read. A file that is called like both is that file.
pub fn apart(spec: &str) -> (&str, Reading) {
    let found = spec.rsplit_once('?').and_then(|(name, words)| Some((name, Reading::parse(words)?)));
    found.filter(|_| !Path::new(spec).exists()).unwrap_or((spec, Reading::default()))
}

/// A model's name in one spelling: `builtin` and `synth:` in any case, unless a file is called so. A path as it is.
pub fn spelled(name: &str) -> Cow<'_, str> {
    let lower = name.trim().to_lowercase();
    let named = lower == "builtin" || lower.starts_with("synth:");
    if named && !Path::new(name).exists() { Cow::Owned(lower) } else { Cow::Borrowed(name) }
}

/// One line about a file that is not there.
pub fn missing(name: &str) -> String {
    let what = match std::fs::read_link(name) {
        Ok(to) => {
            format!("it is a link to {}, which does not exist; download the file that it stands for", to.display())
        }
        Err(_) => {
            "there is no such file; name a GGUF file, a folder of safetensors, builtin, or synth:2b-4t".to_owned()
        }
    };
    format!("cannot open model \"{name}\": {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_stands_behind_the_name() {
        let arm = Reading { i2s: Some(I2sLayout::Arm), ..Reading::default() };
        assert_eq!(apart("m.gguf?i2s-layout=arm"), ("m.gguf", arm));
        for plain in ["m.gguf", "synth:tiny?live=0.2", "m.gguf?", "m.gguf?i2s-layout=mips"] {
            assert_eq!(apart(plain), (plain, Reading::default()));
        }
        let flag = |layout: &str| LayoutArgs { i2s_layout: Some(layout.to_owned()) };
        assert_eq!(flag("arm").of("builtin"), "builtin?i2s-layout=arm");
        assert_eq!(flag("x86-rows").of("m?i2s-layout=arm&scale=reciprocal"), "m?i2s-layout=x86-rows&scale=reciprocal");
        assert_eq!(LayoutArgs::default().of("m.gguf"), "m.gguf");
    }
}
