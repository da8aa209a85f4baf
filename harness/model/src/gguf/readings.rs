//! The readings between which a file does not decide.

use super::file::Gguf;
use super::reading::{I2sLayout, Reading};
use super::types;

impl Gguf {
    /// Every reading that the file's own words allow, the one in force first: other layouts of I2_S, and reciprocals of
    /// all scales.
    pub fn readings(&self) -> Vec<Reading> {
        let mut all = vec![self.reading];
        let i2s = self.tensors.iter().find_map(|t| I2sLayout::ALL.into_iter().find(|layout| layout.kind() == t.kind));
        if let Some(current) = i2s {
            let fits = |layout: &I2sLayout| {
                let mut tensors = self.tensors.iter().filter(|t| t.kind.code == types::I2S.code);
                tensors.all(|t| layout.kind().n_bytes(&t.dims).is_ok())
            };
            let others = I2sLayout::ALL.into_iter().filter(|layout| *layout != current && fits(layout));
            all.extend(others.map(|layout| Reading { i2s: Some(layout), ..self.reading }));
        }
        if self.tensors.iter().any(|t| t.kind.encoding.is_some_and(|encoding| !encoding.latent())) {
            all.push(Reading { reciprocal: !self.reading.reciprocal, ..self.reading });
        }
        all
    }
}
