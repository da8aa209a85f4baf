//! Which of three layouts the I2_S tensors of a file have.
//!
//! Content says little. All layouts have the same size and cut each byte into the same four fields, so a code 3 is one
//! in every layout, and how often each code occurs is the same in all. Only the order of weights differs, which a
//! model's perplexity shows and nothing else. Shapes may rule a layout out.

use super::cursor::{Cursor, quoted};
use super::reading::{Decision, I2sLayout, Reading};
use super::tensors::{self, TensorInfo};
use super::types;
use crate::error::Result;

/// Chooses the layout of all I2_S tensors, puts it into their descriptions with their sizes, and says why. `None` for a
/// file without such tensors.
///
/// # Errors
/// A shape that the layout does not have.
pub fn decide(cursor: &Cursor<'_>, infos: &mut [(TensorInfo, usize)], reading: Reading) -> Result<Option<Decision>> {
    let mut i2s: Vec<&mut TensorInfo> =
        infos.iter_mut().map(|(tensor, _)| tensor).filter(|t| t.kind.code == types::I2S.code).collect();
    if i2s.is_empty() {
        return Ok(None);
    }
    // Why a layout is impossible, by the first tensor that does not fit.
    let ruled_out = |layout: I2sLayout| {
        i2s.iter().find_map(|t| Some(format!("tensor {}: {}", quoted(&t.name), layout.kind().n_bytes(&t.dims).err()?)))
    };
    let reasons = I2sLayout::ALL.map(|layout| (layout, ruled_out(layout)));
    let possible: Vec<I2sLayout> = reasons.iter().filter(|(_, why)| why.is_none()).map(|(layout, _)| *layout).collect();
    let layout = reading.i2s.or(possible.first().copied()).unwrap_or(I2sLayout::X86);
    let why = match reading.i2s {
        Some(layout) => format!("--i2s-layout {}", layout.name()),
        None if possible.len() == 1 => "no other layout has tensors of these shapes".to_string(),
        None => ASSUMED.to_string(),
    };
    let others = reasons.iter().filter(|(other, _)| *other != layout);
    let others = others.filter_map(|(other, why)| Some(format!("; not {}: {}", other.name(), why.as_ref()?)));
    let decision = Decision {
        what: format!("I2_S layout: {}", layout.name()),
        evidence: others.fold(why, |all, other| all + &other),
    };
    for tensor in &mut i2s {
        tensor.kind = layout.kind();
        tensor.n_bytes = tensors::size(cursor, tensor)?;
    }
    Ok(Some(decision))
}

const ASSUMED: &str = "assumed: the file cannot say, since all layouts have the same size and the same two-bit fields \
                       in another order; perplexity tells them apart";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::testing::{Builder, i2s};
    use crate::gguf::{Decision, Gguf};

    fn open(dims: &[u64], i2s_layout: Option<I2sLayout>) -> Result<Gguf> {
        let n = dims.iter().product::<u64>() as usize;
        let bytes = Builder::new().with_tensor("w", dims, 36, i2s(n, 0x55, 1.0)).build();
        Gguf::from_bytes_as("m.gguf", bytes, Reading { i2s: i2s_layout, ..Reading::default() })
    }

    fn read(dims: &[u64], i2s_layout: Option<I2sLayout>) -> (types::TypeInfo, Decision) {
        let gguf = open(dims, i2s_layout).unwrap();
        assert_eq!(gguf.tensors[0].n_bytes, Some(dims.iter().product::<u64>() / 4 + 32));
        (gguf.tensors[0].kind, gguf.decisions[0].clone())
    }

    #[test]
    fn what_the_user_says_is_done_and_what_is_assumed_is_said() {
        let (kind, decision) = read(&[128, 4], None);
        assert_eq!((kind, decision.what.as_str()), (types::I2S, "I2_S layout: x86"));
        assert!(decision.evidence.starts_with("assumed: the file cannot say"), "{}", decision.evidence);
        for layout in I2sLayout::ALL {
            let (kind, decision) = read(&[128, 4], Some(layout));
            assert_eq!((kind, Some(layout)), (layout.kind(), I2sLayout::by_name(layout.name())));
            assert_eq!(decision.evidence, format!("--i2s-layout {}", layout.name()));
        }
        assert_eq!(I2sLayout::by_name("ARM"), None);
    }

    #[test]
    fn shapes_rule_layouts_out() {
        let (kind, decision) = read(&[64, 4], None);
        assert_eq!(kind, types::I2S_ARM);
        for part in ["no other layout has tensors of these shapes", "not x86: tensor \"w\"", "not x86-rows"] {
            assert!(decision.evidence.contains(part), "{part:?} not in {}", decision.evidence);
        }
        let (kind, decision) = read(&[128, 6], None);
        assert_eq!(kind, types::I2S);
        assert!(decision.evidence.starts_with("assumed") && decision.evidence.contains("6 rows are not a multiple"));
        let refused = |dims: &[u64], layout| open(dims, layout).err().unwrap().to_string();
        let text = refused(&[64, 4], Some(I2sLayout::X86));
        assert!(text.contains("tensor \"w\" at byte") && text.contains("64 is not a multiple of 128"), "{text}");
        let text = refused(&[128, 6], Some(I2sLayout::X86Rows));
        assert!(text.contains("I2_S (i2_s-x86-rows)") && text.contains("6 rows"), "{text}");
        assert!(refused(&[100, 4], None).contains("100 is not a multiple of 128, the block of I2_S"));
    }

    #[test]
    fn a_file_without_such_tensors_needs_no_decision() {
        let gguf = Gguf::from_bytes("m", Builder::new().zeros("n", &[3], 0).build()).unwrap();
        assert!(gguf.decisions.is_empty());
    }
}
