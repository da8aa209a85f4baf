//! Names, numbers and lists as people type them: with spaces around them, in any case. Texts stay as they are.

use crate::scenario::parse_rule;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use kernels::ActivationRule;

/// Brings a typed name to one spelling: without spaces around it, in lower case. An empty one is an error, so that a
/// list with an unset variable in it (`--kernels "$A,$B"`) is not taken for a shorter list.
pub fn name(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("an item is empty; leave the comma or the flag out".into()),
        name => Ok(name.to_lowercase()),
    }
}

/// Reads a typed token id, a whole number from 0 on.
pub fn id(text: &str) -> Result<u32, String> {
    name(text)?.parse().map_err(|_| "give the id of a token, a whole number from 0 on".into())
}

/// Brings a typed shape to one spelling: `6912 X 2560` and `6912×2560` are `6912x2560`.
pub fn shape(text: &str) -> Result<String, String> {
    Ok(name(text)?.replace(['×', '*'], "x").split_whitespace().collect())
}

/// Brings a typed comma-separated list to one spelling: `AVX2, FMA` is `avx2,fma`.
pub fn list(text: &str) -> String {
    text.split(',').map(|item| item.trim().to_lowercase()).collect::<Vec<_>>().join(",")
}

/// Reads the name of a rule by which activations share scales: `token`, `256`, `128` or `32`.
pub fn activations(text: &str) -> Result<ActivationRule, String> {
    parse_rule(&name(text)?)
}

/// Parser of a flag that takes one of `values` in any case and gives it in lower case.
pub fn one_of(values: PossibleValuesParser) -> impl TypedValueParser<Value = String> {
    values.map(|name: String| name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_has_one_spelling() {
        assert_eq!(name(" AVX2-I8 ").expect("a name"), "avx2-i8");
        assert_eq!((id(" 2"), id("-1").is_err(), id("two").is_err()), (Ok(2), true, true));
        for text in ["6912x2560", "6912X2560", " 6912 x 2560", "6912×2560", "6912*2560"] {
            assert_eq!(shape(text).expect("a shape"), "6912x2560");
        }
        assert_eq!(list("AVX2, FMA"), "avx2,fma");
        for empty in ["", " "] {
            assert!(name(empty).is_err() && id(empty).is_err() && shape(empty).is_err());
        }
    }
}
