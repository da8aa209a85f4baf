//! What the kernels of a cell on a GPU are given, and what the oracle makes of it.

use crate::error::{Error, Result};
use crate::scenario::Cell;
use kernels::conformance::Token;
use kernels::random::SplitMix64;
use kernels::{
    CodeTable, Codes, CpuFeatures, F32Ops, Layout, Operation, PackedWeights, QuantizedActivations, Scales, reference,
};
use kernels_gpu::GpuKernel;

/// Weights in every packing, tokens, and the right sums.
pub struct Operands {
    pub op: Operation,
    pub packed: Vec<(&'static Layout, PackedWeights)>,
    pub tokens: Vec<Token>,
    /// The oracle's sums: token after token, all rows of each.
    want: Vec<i32>,
    rows: usize,
}

impl Operands {
    /// Makes random ternary codes and activations, the same for every kernel.
    pub fn new(cell: Cell, kernels: &[&'static GpuKernel], seed: u64) -> Result<Self> {
        let random = &mut SplitMix64::new(seed);
        let (rows, k, table) = (cell.shape.m, cell.shape.k, CodeTable::TERNARY);
        let failed = |why: String| Error::failed(format!("{} {rows}x{k}: {why}", cell.op));
        let codes = random.ternary_codes(rows * k);
        let mut packed: Vec<(&'static Layout, PackedWeights)> = Vec::new();
        for layout in kernels.iter().map(|kernel| kernel.descriptor.layout) {
            if packed.iter().all(|(known, _)| *known != layout) {
                let codes = Codes { rows, k, codes: &codes, table, scales: Scales::PerTensor(0.5) };
                packed.push((layout, PackedWeights::pack(layout, codes).map_err(|why| failed(why.to_string()))?));
            }
        }
        let ops = F32Ops::select(CpuFeatures::detect());
        let mut tokens = Vec::new();
        for _ in 0..cell.tokens {
            // Kernels that round take the floats, the others what the CPU rounds them to: all sums are equal.
            let floats: Vec<f32> = (0..k).map(|_| random.signed_unit()).collect();
            let mut rounded = QuantizedActivations::new(k);
            rounded.quantize(ops, &floats).map_err(|why| failed(why.to_string()))?;
            tokens.push(Token { rounded, floats });
        }
        let sum = |token: &Token, row: usize| reference::dot_i64(&codes[row * k..][..k], table, token.rounded.values());
        let want = tokens.iter().flat_map(|token| (0..rows).map(move |row| sum(token, row) as i32)).collect();
        Ok(Self { op: cell.op, packed, tokens, want, rows })
    }

    /// Compares sums with the oracle's; an error says where they differ.
    pub fn check(&self, sums: &[i32]) -> std::result::Result<(), String> {
        let wrong = self.want.iter().zip(sums).position(|(want, got)| want != got);
        match wrong {
            None if sums.len() == self.want.len() => Ok(()),
            None => Err(format!("{} sums for {}; it is not timed", sums.len(), self.want.len())),
            Some(at) => {
                let (token, row) = (at / self.rows.max(1), at % self.rows.max(1));
                let (got, want) = (sums[at], self.want[at]);
                Err(format!("gives {got} in row {row} of token {token}, the oracle {want}; it is not timed"))
            }
        }
    }
}
