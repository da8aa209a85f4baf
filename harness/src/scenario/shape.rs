//! Shapes as scenarios and flags write them, and what of them fits the second-level cache.

use super::scaling::Scaling;
use kernels::Operation;
use receipt::Residency;

/// Rows and columns of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows: length of the output vector.
    pub m: usize,
    /// Columns: length of the input vector.
    pub k: usize,
}

/// Largest matrix of a microbenchmark, in weights: 512 MiB packed, 8 GiB as f32.
const MAX_WEIGHTS: usize = 1 << 31;

impl Shape {
    /// Reads a shape written as `MxK`, rows x columns, both at least 1.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let parts = text.split_once('x').and_then(|(m, k)| Some((m.parse().ok()?, k.parse().ok()?)));
        match parts {
            Some((m, k)) if m > 0 && k > 0 && usize::checked_mul(m, k).is_some_and(|n| n <= MAX_WEIGHTS) => {
                Ok(Self { m, k })
            }
            Some(_) => Err(format!("shape \"{text}\" must have 1 to {MAX_WEIGHTS} weights")),
            None => Err(format!("\"{text}\" is not a shape; write rows x columns, for example \"2560x6912\"")),
        }
    }
}

/// Reads a shape and a batch size, written as `MxKxTOKENS`.
pub fn parse_batch(text: &str) -> std::result::Result<(Shape, usize), String> {
    let parts = text.rsplit_once('x').filter(|(shape, _)| shape.contains('x'));
    let Some((shape, tokens)) = parts else {
        return Err(format!("\"{text}\" is not a batch; write rows x columns x tokens, for example \"6912x2560x128\""));
    };
    match tokens.parse() {
        Ok(tokens) if (1..=MAX_TOKENS).contains(&tokens) => Ok((Shape::parse(shape)?, tokens)),
        _ => Err(format!("\"{text}\": tokens must be 1 to {MAX_TOKENS}")),
    }
}

/// Reads where weights are: `l2`, `llc` or `dram`, in scenarios and flags. `cache` is the name that `llc` had.
pub fn parse_residency(name: &str) -> std::result::Result<Residency, String> {
    match name {
        "l2" => Ok(Residency::L2),
        "llc" | "cache" => Ok(Residency::Llc),
        "dram" => Ok(Residency::Dram),
        _ => Err(format!("\"{name}\" is no place for weights; take l2, llc (the last-level cache) or dram")),
    }
}

/// An operation and the size of its matrix and batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    pub op: Operation,
    pub shape: Shape,
    /// Tokens of the batch; 1 but for `gemm`.
    pub tokens: usize,
    /// The one place where its weights are, if not those of the whole matrix.
    pub only: Option<Residency>,
    /// What shares a scale, of one that is for kernels with scales of groups alone.
    pub scaling: Option<Scaling>,
}

/// Reads an entry of a list of shapes. Behind a shape of gemv or gemm may stand the one residency that it is measured
/// at, and at its end what shares a scale.
pub fn parse_product(op: Operation, text: &str) -> std::result::Result<Product, String> {
    let mut words = if op == Operation::Dequantize { vec![text] } else { text.split_whitespace().collect() };
    let scaled = words.len() > 1 && words.last().is_some_and(|word| Scaling::is_like(word));
    let scaling = words.pop_if(|_| scaled).map(Scaling::parse).transpose();
    let scaling = scaling.map_err(|what| format!("\"{text}\": {what}"))?;
    let (shape, only) = match words[..] {
        [shape, residency] => (shape, Some(parse_residency(residency)?)),
        [shape] => (shape, None),
        _ => return Err(format!("\"{text}\" is not a shape, a place and a scaling; for example \"{EXAMPLE}\"")),
    };
    let (shape, tokens) = if op == Operation::Gemm { parse_batch(shape)? } else { (Shape::parse(shape)?, 1) };
    Ok(Product { op, shape, tokens, only, scaling })
}

/// An entry with all that it may say.
const EXAMPLE: &str = "6912x2560 dram g64x32";

/// Largest batch of a microbenchmark.
const MAX_TOKENS: usize = 1024;

/// The second-level caches that a run may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L2 {
    /// Bytes of one core's second-level cache.
    pub bytes: u64,
    /// Threads of the run, each on a core of its own.
    pub threads: usize,
}

impl L2 {
    /// Cache bytes that a cell's weights may take: half, so that activations, results and the system have room too.
    pub fn room(self, op: Operation) -> u64 {
        // Dequantising runs on one thread, whatever the team.
        let threads = if op == Operation::Dequantize { 1 } else { self.threads };
        self.bytes.saturating_mul(threads as u64) / 2
    }

    /// Most rows of `k` weights that fit the cache, at 2 bits a weight, and for `dequantize` 32 more that are written:
    /// a multiple of 256, or of 16 where fewer fit; none where not even 16 do.
    pub fn rows(self, op: Operation, k: usize) -> usize {
        let rows = usize::try_from(8 * self.room(op) / Self::bits(op)).unwrap_or(usize::MAX) / k.max(1);
        rows / 256 * 256 + if rows < 256 { rows / 16 * 16 } else { 0 }
    }

    /// Whether the whole matrix fits in the cache.
    pub fn holds(self, op: Operation, shape: Shape) -> bool {
        (shape.m as u64).saturating_mul(shape.k as u64).saturating_mul(Self::bits(op)) <= 8 * self.room(op)
    }

    /// Bits that an operation reads and writes for each weight.
    pub fn bits(op: Operation) -> u64 {
        if op == Operation::Dequantize { 34 } else { 2 }
    }
}
