//! Time by the device's own clock: a submission of many dispatches between two timestamps.

use crate::device::{Device, Dispatch, Part};
use crate::error::GpuError;
use crate::ladder::GpuKernel;
use crate::matrix::Matrix;
use crate::product::{Inputs, Product};
use crate::shaders;
use kernels::PackedWeights;
use kernels::random::SplitMix64;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

/// What an epoch took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// Nanoseconds between the pass's timestamps, by the device.
    pub device_ns: f64,
    /// Nanoseconds from recording to having waited, by the host.
    pub wall_ns: u64,
}

/// One copy of a matrix or several, which whatever reads them shares and goes through in turn: with several that
/// together are larger than the device's caches, each is read from memory, whoever read before.
pub struct Rotation {
    matrices: Vec<Matrix>,
    next: Rc<Cell<usize>>,
}

/// Bytes of copies after which the host waits until the device has them, so that they are not in memory twice.
const AT_ONCE: u64 = 64 << 20;

impl Rotation {
    /// Copies weights so many times.
    ///
    /// # Errors
    /// What the device says: they may not fit.
    pub fn new(device: &Device, weights: &PackedWeights, copies: usize) -> Result<Self, GpuError> {
        let mut matrices = Vec::with_capacity(copies);
        let mut waiting = 0;
        for _ in 0..copies.max(1) {
            let matrix = Matrix::new(device, weights)?;
            waiting += matrix.bytes();
            matrices.push(matrix);
            if waiting >= AT_ONCE {
                device.run([])?;
                waiting = 0;
            }
        }
        device.run([])?;
        Ok(Self { matrices, next: Rc::default() })
    }

    /// Bytes of packed weights that a call reads.
    pub fn bytes(&self) -> u64 {
        self.matrices[0].bytes()
    }

    /// How many there are.
    pub fn copies(&self) -> usize {
        self.matrices.len()
    }
}

/// The next so many of `count` places in turn.
fn turn(next: &Cell<usize>, count: usize, calls: u32) -> impl Iterator<Item = usize> {
    let from = next.get();
    next.set((from + calls as usize) % count);
    (0..calls as usize).map(move |call| (from + call) % count)
}

/// A product with each copy of its matrix.
pub struct Copies {
    products: Vec<Product>,
    next: Rc<Cell<usize>>,
}

impl Copies {
    /// Makes a product with each copy ready.
    ///
    /// # Errors
    /// Operands that do not fit the kernel; what the device says.
    pub fn new(kernel: &GpuKernel, device: &Device, weights: &Rotation, inputs: &Inputs) -> Result<Self, GpuError> {
        let product = |matrix| kernel.product(device, matrix, inputs);
        let products = weights.matrices.iter().map(product).collect::<Result<_, _>>()?;
        Ok(Self { products, next: Rc::clone(&weights.next) })
    }

    /// The first copy's product, to look at what it gives.
    pub fn first(&self) -> &Product {
        &self.products[0]
    }

    /// Dispatches of a call.
    pub fn dispatches(&self) -> usize {
        self.products[0].dispatches.len()
    }

    /// Makes so many calls in one pass of one submission.
    ///
    /// # Errors
    /// What the device says.
    pub fn epoch(&mut self, device: &Device, calls: u32) -> Result<Spent, GpuError> {
        let calls = turn(&self.next, self.products.len(), calls);
        let dispatches: Vec<&Dispatch> = calls.flat_map(|copy| &self.products[copy].dispatches).collect();
        device.timed(&dispatches)
    }

    /// What so many calls in one pass of one submission cost the host, in nanoseconds: recording and submitting them,
    /// and the same until they have come back.
    ///
    /// # Errors
    /// What the device says.
    pub fn host_ns(&mut self, device: &Device, calls: u32) -> Result<[u64; 2], GpuError> {
        let calls = turn(&self.next, self.products.len(), calls);
        let dispatches: Vec<&Dispatch> = calls.flat_map(|copy| &self.products[copy].dispatches).collect();
        let start = Instant::now();
        let mut encoder = device.encoder();
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            dispatches.iter().for_each(|dispatch| dispatch.record(&mut pass, 1));
        }
        let submission = device.submit(encoder)?;
        let submitted = start.elapsed().as_nanos() as u64;
        device.wait(submission)?;
        Ok([submitted, start.elapsed().as_nanos() as u64])
    }
}

/// A plain read of as many bytes as a matrix has, of each of its copies in turn.
pub struct Stream {
    reads: Vec<Vec<Dispatch>>,
    bytes: u64,
    next: Rc<Cell<usize>>,
}

/// Workgroups that a read has at most: enough for any card.
const STREAM_WORKGROUPS: u32 = 1024;

impl Stream {
    /// Reads of the very copies that products read.
    ///
    /// # Errors
    /// What the device says.
    pub fn new(device: &Device, weights: &Rotation) -> Result<Self, GpuError> {
        let parts = |matrix: &Matrix| -> Vec<(u64, u64)> {
            matrix.windows.iter().map(|window| (window.offset, window.bytes)).collect()
        };
        let copies = weights.matrices.iter().map(|matrix| (&matrix.buffer, parts(matrix)));
        Ok(Self { next: Rc::clone(&weights.next), ..Self::of(device, copies.collect(), weights.bytes())? })
    }

    /// Reads of buffers of so many bytes each, a multiple of 16, that hold noise.
    ///
    /// # Errors
    /// What the device says: they may not fit.
    pub fn of_bytes(device: &Device, bytes: u64, copies: usize) -> Result<Self, GpuError> {
        let mut random = SplitMix64::new(bytes);
        let noise: Vec<u64> = (0..NOISE_BYTES.min(bytes) / 8).map(|_| random.next_u64()).collect();
        let noise: &[u8] = bytemuck::cast_slice(&noise);
        let mut buffers = Vec::with_capacity(copies);
        for _ in 0..copies.max(1) {
            let buffer = device.empty(bytes)?;
            for offset in (0..bytes).step_by(noise.len().max(1)) {
                let length = (bytes - offset).min(noise.len() as u64) as usize;
                device.queue.write_buffer(&buffer, offset, &noise[..length]);
            }
            device.run([])?;
            buffers.push(buffer);
        }
        let most = (device.settings().binding_bytes / NOISE_BYTES).max(1) * NOISE_BYTES;
        let parts = || (0..bytes).step_by(most as usize).map(|offset| (offset, (bytes - offset).min(most))).collect();
        Self::of(device, buffers.iter().map(|buffer| (buffer, parts())).collect(), bytes)
    }

    fn of(device: &Device, copies: Vec<(&wgpu::Buffer, Vec<(u64, u64)>)>, bytes: u64) -> Result<Self, GpuError> {
        let pipeline = device.pipeline(&shaders::STREAM, &[])?;
        let result = device.empty(4 * 256 * u64::from(STREAM_WORKGROUPS))?;
        let mut reads = Vec::with_capacity(copies.len());
        for (buffer, parts) in copies {
            let read = |(offset, size): (u64, u64)| {
                let buffers = [Part { buffer, offset, size: Some(size) }, (&result).into()];
                // Not more than have a word to read: those that only start would be timed.
                let workgroups = size.div_ceil(16 * 256).clamp(1, u64::from(STREAM_WORKGROUPS)) as u32;
                device.dispatch(&pipeline, &buffers, [workgroups, 1, 1])
            };
            reads.push(parts.into_iter().map(read).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Self { reads, bytes, next: Rc::default() })
    }

    /// Name and SHA-256 of its shader.
    pub fn shader() -> (&'static str, String) {
        (shaders::STREAM.name, shaders::STREAM.sha256())
    }

    /// Bytes that a call reads.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads so many copies in one pass of one submission.
    ///
    /// # Errors
    /// What the device says.
    pub fn epoch(&mut self, device: &Device, calls: u32) -> Result<Spent, GpuError> {
        let calls = turn(&self.next, self.reads.len(), calls);
        let dispatches: Vec<&Dispatch> = calls.flat_map(|copy| &self.reads[copy]).collect();
        device.timed(&dispatches)
    }
}

/// Bytes of noise that buffers repeat; windows begin at multiples of it.
const NOISE_BYTES: u64 = 1 << 20;

impl Device {
    /// Runs dispatches in one pass between two timestamps.
    ///
    /// # Errors
    /// A device without timestamps; what the device says.
    pub(crate) fn timed(&self, dispatches: &[&Dispatch]) -> Result<Spent, GpuError> {
        if !self.facts().timestamps {
            return Err(GpuError::Refused("it has no timestamps, so nothing can be timed on it".into()));
        }
        let set = self.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: None,
            ty: wgpu::QueryType::Timestamp,
            count: 2,
        });
        let resolved = self.made(16, wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC)?;
        let staging = self.staging(16)?;
        let start = Instant::now();
        let mut encoder = self.encoder();
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &set,
                    beginning_of_pass_write_index: Some(0),
                    end_of_pass_write_index: Some(1),
                }),
            });
            dispatches.iter().for_each(|dispatch| dispatch.record(&mut pass, 1));
        }
        encoder.resolve_query_set(&set, 0..2, &resolved, 0);
        encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, 16);
        let submission = self.submit(encoder)?;
        self.wait(submission.clone())?;
        let wall_ns = start.elapsed().as_nanos() as u64;
        let stamps: Vec<u64> = self.mapped(&staging, submission, bytemuck::pod_collect_to_vec)?;
        let ticks = stamps[1].wrapping_sub(stamps[0]);
        Ok(Spent { device_ns: ticks as f64 * f64::from(self.timestamp_period()), wall_ns })
    }
}
