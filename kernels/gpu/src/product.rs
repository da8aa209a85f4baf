//! Products of a device's kernels: operands there, dispatches that can be recorded again and again, results back.

use crate::device::{Device, Dispatch, Part};
use crate::error::GpuError;
use crate::ladder::{GpuKernel, Step};
use crate::matrix::{Matrix, Window};
use crate::shaders;
use kernels::PackedWeights;
use kernels::conformance::{Elsewhere, Outcome, Token, verify_elsewhere};

/// Words that a token's numbers take: its sum first.
pub(crate) const TOKEN_WORDS: usize = 8;
/// Most tokens of a product.
pub const MOST_TOKENS: usize = 512;
/// Tokens and rows that a workgroup of a gemm makes.
const GEMM_TILE: u32 = 64;
/// Workgroups that a gemv is given by more of them sharing a row, where rows alone make fewer.
const ENOUGH_WORKGROUPS: usize = 64;

/// The activations of some tokens on a device.
pub struct Inputs {
    /// Four int8 a word, padded to 64, token after token.
    rounded: wgpu::Buffer,
    /// [`TOKEN_WORDS`] a token.
    sums: wgpu::Buffer,
    /// The numbers that were rounded.
    floats: wgpu::Buffer,
    k: usize,
    tokens: usize,
}

impl Inputs {
    /// Copies tokens of one length to the device.
    ///
    /// # Errors
    /// None, too many, or of several lengths; what the device says.
    pub fn new(device: &Device, tokens: &[Token]) -> Result<Self, GpuError> {
        let k = tokens.first().map_or(0, |token| token.rounded.len());
        if tokens.is_empty() || tokens.len() > MOST_TOKENS || tokens.iter().any(|token| token.rounded.len() != k) {
            return Err(GpuError::Operands(format!("{} tokens at once, 1 to {MOST_TOKENS} are taken", tokens.len())));
        }
        let (mut bytes, mut sums, mut floats) = (Vec::new(), Vec::new(), Vec::new());
        for Token { rounded, floats: own } in tokens {
            let start = bytes.len();
            bytes.extend_from_slice(bytemuck::cast_slice(rounded.values()));
            bytes.resize(start + k.next_multiple_of(64), 0u8);
            sums.push(rounded.sum());
            sums.resize(sums.len().next_multiple_of(TOKEN_WORDS), 0);
            floats.extend_from_slice(own);
        }
        let rounded = device.buffer(&bytes)?;
        let sums = device.buffer(bytemuck::cast_slice(&sums))?;
        let floats = device.buffer(bytemuck::cast_slice(&floats))?;
        Ok(Self { rounded, sums, floats, k, tokens: tokens.len() })
    }
}

/// Where a product's operands and results lie.
pub(crate) struct Places<'a> {
    pub(crate) rounded: &'a wgpu::Buffer,
    pub(crate) sums: &'a wgpu::Buffer,
    pub(crate) floats: &'a wgpu::Buffer,
    /// Of the int32 sums: token after token, all rows of each.
    pub(crate) result: &'a wgpu::Buffer,
}

/// A product that can be recorded: a matrix, activations, and where its sums go.
pub struct Product {
    pub(crate) dispatches: Vec<Dispatch>,
    result: wgpu::Buffer,
    elements: usize,
}

impl GpuKernel {
    /// Makes a product ready on a device.
    ///
    /// # Errors
    /// Operands that do not fit each other or the kernel; a shader that the driver refuses.
    pub fn product(&self, device: &Device, matrix: &Matrix, inputs: &Inputs) -> Result<Product, GpuError> {
        if matrix.k() != inputs.k {
            let what = format!("activations of {} for a matrix of {} columns", inputs.k, matrix.k());
            return Err(GpuError::Operands(what));
        }
        let elements = matrix.rows() * inputs.tokens;
        // A gemv writes whole panels.
        let result = device.empty(4 * elements.max(matrix.rows().next_multiple_of(64)) as u64)?;
        let Inputs { rounded, sums, floats, .. } = inputs;
        let places = Places { rounded, sums, floats, result: &result };
        let dispatches = self.dispatches(device, matrix, &places, inputs.tokens)?;
        Ok(Product { dispatches, result, elements })
    }

    /// The dispatches of a product.
    pub(crate) fn dispatches(
        &self,
        device: &Device,
        matrix: &Matrix,
        places: &Places<'_>,
        tokens: usize,
    ) -> Result<Vec<Dispatch>, GpuError> {
        let (rows, k) = (matrix.rows(), matrix.k());
        if matrix.layout() != self.descriptor.layout {
            let (own, other) = (self.descriptor.layout, matrix.layout());
            return Err(GpuError::Operands(format!(
                "kernel {} reads packing {own}, the weights are {other}",
                self.id()
            )));
        }
        if k > self.max_k {
            let why = format!("kernel {} is exact up to {} columns", self.id(), self.max_k);
            return Err(GpuError::TooLarge { rows, k, why });
        }
        if self.rounds && 64 * k.div_ceil(64) + 4096 > device.facts().workgroup_bytes as usize {
            let why = format!("kernel {} keeps a token in {} bytes", self.id(), device.facts().workgroup_bytes);
            return Err(GpuError::TooLarge { rows, k, why });
        }
        if rows == 0 || k == 0 {
            return Ok(Vec::new());
        }
        if tokens == 1 {
            return self.gemv(device, matrix, places);
        }
        let gemm = self.gemm.ok_or_else(|| GpuError::Operands(format!("kernel {} has no gemm", self.id())))?;
        let constants = [(self.step_name(), self.step.steps(k) as f64)];
        let pipeline = device.pipeline(gemm, &constants)?;
        let window = |window: &Window| {
            let shape = [window.rows, rows, window.first, tokens].map(|number| number as u32);
            let shape = device.buffer(bytemuck::cast_slice(&shape))?;
            let buffers =
                [matrix.part(window), places.rounded.into(), places.sums.into(), places.result.into(), (&shape).into()];
            let tiles = [window.rows as u32, tokens as u32].map(|n| n.div_ceil(GEMM_TILE));
            device.dispatch(&pipeline, &buffers, [tiles[0], tiles[1], 1])
        };
        matrix.windows.iter().map(window).collect()
    }

    fn step_name(&self) -> &'static str {
        if self.step == Step::Words { "KW" } else { "KV" }
    }

    fn gemv(&self, device: &Device, matrix: &Matrix, places: &Places<'_>) -> Result<Vec<Dispatch>, GpuError> {
        let (k, panel) = (matrix.k(), matrix.layout().rows);
        let steps = self.step.steps(k);
        let shares = shares(matrix.rows().div_ceil(panel), steps.div_ceil(self.step.slices()));
        let mut constants = vec![(self.step_name(), steps as f64), ("SHARES", shares as f64)];
        if self.rounds {
            constants.push(("K", k as f64));
        }
        let pipeline = device.pipeline(self.gemv, &constants)?;
        let mut dispatches = Vec::new();
        if shares > 1 {
            // Sums meet by addition: they begin with zeros.
            let words = matrix.rows().next_multiple_of(panel);
            let result = Part { buffer: places.result, offset: 0, size: Some(4 * words as u64) };
            let zero = device.pipeline(&shaders::ZERO, &[])?;
            dispatches.push(device.dispatch(&zero, &[result], [words.div_ceil(256) as u32, 1, 1])?);
        }
        for window in &matrix.windows {
            let padded = window.rows.next_multiple_of(panel);
            let result = Part { buffer: places.result, offset: 4 * window.first as u64, size: Some(4 * padded as u64) };
            let weights = matrix.part(window);
            let workgroups = [(padded / panel) as u32, shares as u32, 1];
            let dispatch = if self.rounds {
                device.dispatch(&pipeline, &[weights, places.floats.into(), result], workgroups)?
            } else {
                let buffers = [weights, places.rounded.into(), places.sums.into(), result];
                device.dispatch(&pipeline, &buffers, workgroups)?
            };
            dispatches.push(dispatch);
        }
        Ok(dispatches)
    }
}

/// Workgroups that share a row: more than one where panels are few and each has several turns to share out.
fn shares(panels: usize, turns: usize) -> usize {
    (ENOUGH_WORKGROUPS / panels.max(1)).clamp(1, turns.max(1)).min(16)
}

impl Product {
    /// A gemv by a pipeline of its own, which takes the buffers of gemv_tile32.wgsl.
    #[cfg(test)]
    pub(crate) fn by(
        device: &Device,
        pipeline: &crate::device::Pipeline,
        (matrix, inputs): (&Matrix, &Inputs),
        workgroups: [u32; 3],
    ) -> Result<Self, GpuError> {
        let result = device.empty(4 * matrix.rows().next_multiple_of(64) as u64)?;
        let buffers = [&matrix.buffer, &inputs.rounded, &inputs.sums, &result].map(Part::from);
        let dispatches = vec![device.dispatch(pipeline, &buffers, workgroups)?];
        Ok(Self { dispatches, result, elements: matrix.rows() })
    }

    /// Runs it alone and reads its sums: token after token, all rows of each.
    ///
    /// # Errors
    /// What the device says.
    pub fn run(&self, device: &Device) -> Result<Vec<i32>, GpuError> {
        let poison = vec![i32::MIN; self.elements];
        if self.elements > 0 {
            device.queue.write_buffer(&self.result, 0, bytemuck::cast_slice(&poison));
        }
        if self.dispatches.is_empty() {
            return Ok(vec![0; self.elements]);
        }
        device.run(&self.dispatches)?;
        self.sums(device)
    }

    /// The sums that are there.
    ///
    /// # Errors
    /// What the device says.
    pub fn sums(&self, device: &Device) -> Result<Vec<i32>, GpuError> {
        device.read(&self.result, self.elements)
    }
}

/// A kernel on a device, for the suite.
struct OnDevice<'d> {
    kernel: &'d GpuKernel,
    device: &'d mut Device,
    calls: usize,
    /// What the device failed with; what follows is not tried.
    failed: Option<GpuError>,
}

/// A binding of so many bytes makes windows of most matrices of the suite.
const SMALL_BINDING: u64 = 64 << 10;

impl OnDevice<'_> {
    fn note(&mut self, error: GpuError) -> String {
        let words = error.to_string();
        self.failed.get_or_insert(error);
        words
    }

    /// A product by the device as it is limited now.
    fn sums(&self, weights: &PackedWeights, x: &[Token]) -> Result<Vec<i32>, GpuError> {
        let (matrix, inputs) = (Matrix::new(self.device, weights)?, Inputs::new(self.device, x)?);
        self.kernel.product(self.device, &matrix, &inputs)?.run(self.device)
    }
}

impl Elsewhere for OnDevice<'_> {
    fn rounds(&self) -> bool {
        self.kernel.rounds
    }

    fn failed(&self) -> bool {
        self.failed.is_some()
    }

    fn multiply(&mut self, weights: &PackedWeights, x: &[Token], y: &mut [i32]) -> Result<(), String> {
        // Every other product through small windows.
        self.calls += 1;
        let binding = if self.calls.is_multiple_of(2) { SMALL_BINDING } else { u64::MAX };
        self.device.limit_bindings(binding);
        let sums = match self.sums(weights, x) {
            Err(GpuError::TooLarge { .. }) if binding == SMALL_BINDING => {
                // A panel that is larger than the small window.
                self.device.limit_bindings(u64::MAX);
                self.sums(weights, x)
            }
            sums => sums,
        };
        y.copy_from_slice(&sums.map_err(|error| self.note(error))?);
        Ok(())
    }
}

/// Runs the whole suite of a kernel on a device, every other product through windows; `stop` is asked between cases.
/// Beside what it found: the error that ended it, if the device failed.
pub fn verify(kernel: &'static GpuKernel, device: &mut Device, stop: &dyn Fn() -> bool) -> (Outcome, Option<GpuError>) {
    let most = device.settings().binding_bytes;
    let mut on_device = OnDevice { kernel, device: &mut *device, calls: 0, failed: None };
    let outcome = verify_elsewhere(&kernel.descriptor, &mut on_device, stop);
    let failed = on_device.failed.take();
    device.limit_bindings(most);
    (outcome, failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_shared_where_they_are_few_and_long() {
        assert_eq!(
            [shares(1, 1), shares(1, 5), shares(1, 100), shares(20, 5), shares(64, 9), shares(200, 9)],
            [1, 5, 16, 3, 1, 1]
        );
    }
}
