//! How a folder's matrices became ternary: the `quantization_config` of config.json.
//!
//! Two linear layers of `transformers` write files of one shape and mean opposite things by `weight_scale`:
//! `AutoBitLinear` multiplies by it, `BitLinear` divides by it. Only `linear_class` tells them apart, and where it is
//! absent `BitNetQuantConfig` takes `bitlinear` and `offline`. Nothing in the tensors shows which is meant.

use super::json::{Object, found};
use crate::error::{Error, Result};
use crate::gguf::quoted;

/// What a matrix's `weight_scale` does to a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleRule {
    /// The product is multiplied by it.
    Times,
    /// The product is divided by it.
    Divide,
}

impl ScaleRule {
    /// What is done to products, as a participle.
    pub fn done(self) -> &'static str {
        match self {
            Self::Times => "multiplied",
            Self::Divide => "divided",
        }
    }

    /// The factor on decoded codes, which may be no usable number.
    pub fn factor(self, weight_scale: f32) -> f32 {
        match self {
            Self::Times => weight_scale,
            Self::Divide => weight_scale.recip(),
        }
    }
}

/// What config.json says of the matrices.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantization {
    /// The rule for packed codes; the error is why there is none.
    pub packed: std::result::Result<ScaleRule, &'static str>,
    /// Whether matrices of floats are latent weights, which the card's rule quantises; the error is why not.
    /// Ok is by which evidence they are.
    pub latent: std::result::Result<&'static str, &'static str>,
    /// By which evidence the rule for packed codes is what it is.
    pub evidence: &'static str,
}

const NO_CLASS: &str = "config.json: quantization_config has no linear_class, and transformers then takes bitlinear";
const SAID: &str = "config.json: quantization_mode is online";
const BITNET: &str = "the architecture is ternary and config.json has no quantization_mode";
const NO_RULE: &str = "config.json has no \"quantization_config\", so nothing says whether the product is multiplied \
                       or divided by weight_scale; write quant_method and linear_class there";
const ONLINE: &str = "config.json asks for weights that are quantised when they are loaded (quantization_mode \
                      \"online\"), and packed codes are quantised already; write \"offline\" if they are right";
const OFFLINE: &str = "config.json asks for packed U8 codes (quantization_mode \"offline\"); write \"online\" if the \
                       weights are latent ones that the model card quantises by their mean magnitude";
const NOT_TERNARY: &str = "nothing says that it is ternary: config.json has no \"quantization_config\" with \
                           quant_method \"bitnet\", and quantising other weights would make another model";

impl Quantization {
    /// Reads the object of config.json, if it is there. `bitnet`: whether the architecture itself is ternary.
    pub fn read(config: &Object, bitnet: bool) -> Result<Self> {
        let Some(said) = config.object("quantization_config")? else {
            let latent = if bitnet { Ok(BITNET) } else { Err(NOT_TERNARY) };
            return Ok(Self { packed: Err(NO_RULE), latent, evidence: "" });
        };
        check_keys(&said)?;
        match said.text("quant_method")? {
            Some("bitnet") => {}
            None => return Err(said.missing("quant_method", "\"bitnet\" if the model is one")),
            Some(_) => return Err(refused(&said, "quant_method", "bitnet")),
        }
        let (rule, evidence) = match said.text("linear_class")? {
            Some("autobitlinear") => (ScaleRule::Times, "config.json: linear_class is autobitlinear"),
            Some("bitlinear") => (ScaleRule::Divide, "config.json: linear_class is bitlinear"),
            None => (ScaleRule::Divide, NO_CLASS),
            Some(_) => return Err(refused(&said, "linear_class", "bitlinear or autobitlinear")),
        };
        let (packed, latent) = match said.text("quantization_mode")? {
            Some("online") => (Err(ONLINE), Ok(SAID)),
            Some("offline") => (Ok(rule), Err(OFFLINE)),
            None => (Ok(rule), if bitnet { Ok(BITNET) } else { Err(OFFLINE) }),
            Some(_) => return Err(refused(&said, "quantization_mode", "offline or online")),
        };
        Ok(Self { packed, latent, evidence })
    }
}

fn refused(said: &Object, key: &str, known: &str) -> Error {
    let value = said.get(key).map(found).unwrap_or_default();
    said.error(key, format!("{value} is not read here; known: {known}"))
}

/// Refuses what would change the linear layers.
fn check_keys(said: &Object) -> Result<()> {
    for (key, value) in said.entries() {
        match key {
            "quant_method" | "linear_class" | "quantization_mode" | "rms_norm_eps" => {}
            "use_rms_norm" => {
                if said.bool(key)? == Some(true) {
                    let what = "true gives each linear layer a norm of its own, which this program does not have";
                    return Err(said.error(key, what));
                }
            }
            "modules_to_not_convert" => {
                if let Some(text) = said.texts(key)?.into_iter().find(|text| *text != "lm_head") {
                    let what = "stays unquantised, and here all projections are ternary";
                    return Err(said.error(key, format!("{} {what}", quoted(text))));
                }
            }
            _ => {
                let what =
                    format!("{}: this program does not know the key, and it might change the model", found(value));
                return Err(said.error(key, format!("{what}; if it changes nothing, remove it")));
            }
        }
    }
    Ok(())
}
