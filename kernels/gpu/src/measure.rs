//! Time by the device's own clock: a submission of many dispatches between two timestamps.

use crate::device::{Device, Dispatch};
use crate::error::GpuError;
use crate::ladder::GpuKernel;
use crate::matrix::Matrix;
use crate::product::{Inputs, Product};
use crate::shaders;
use kernels::PackedWeights;
use std::time::Instant;

/// What an epoch took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// Nanoseconds between the pass's timestamps, by the device.
    pub device_ns: f64,
    /// Nanoseconds from recording to having waited, by the host.
    pub wall_ns: u64,
}

/// A product with one copy of its matrix or several, which take turns: with several that together are larger than the
/// device's caches, each is read from memory.
pub struct Copies {
    products: Vec<Product>,
    bytes: u64,
    next: usize,
}

impl Copies {
    /// Makes so many copies ready.
    ///
    /// # Errors
    /// What the device says: they may not fit.
    pub fn new(
        kernel: &GpuKernel,
        device: &Device,
        weights: &PackedWeights,
        inputs: &Inputs,
        copies: usize,
    ) -> Result<Self, GpuError> {
        let mut products = Vec::with_capacity(copies);
        let mut bytes = 0;
        for _ in 0..copies.max(1) {
            let matrix = Matrix::new(device, weights)?;
            bytes = matrix.bytes();
            products.push(kernel.product(device, &matrix, inputs)?);
        }
        Ok(Self { products, bytes, next: 0 })
    }

    /// Bytes of packed weights that a call reads.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The first copy's product, to look at what it gives.
    pub fn first(&self) -> &Product {
        &self.products[0]
    }

    /// Makes so many calls in one pass of one submission.
    ///
    /// # Errors
    /// What the device says.
    pub fn epoch(&mut self, device: &Device, calls: u32) -> Result<Spent, GpuError> {
        let count = self.products.len();
        let calls = (0..calls as usize).map(|call| &self.products[(self.next + call) % count]);
        let dispatches: Vec<&Dispatch> = calls.clone().flat_map(|product| &product.dispatches).collect();
        let number = calls.len();
        let spent = device.timed(&dispatches)?;
        self.next = (self.next + number) % count;
        Ok(spent)
    }
}

/// A plain read of as many bytes as a product's matrix has, in as many copies.
pub struct Stream {
    reads: Vec<Vec<Dispatch>>,
    bytes: u64,
    next: usize,
}

/// Workgroups that a read has: enough for any card.
const STREAM_WORKGROUPS: u32 = 1024;

impl Stream {
    /// Buffers of so many bytes.
    ///
    /// # Errors
    /// What the device says.
    pub fn new(device: &Device, weights: &PackedWeights, copies: usize) -> Result<Self, GpuError> {
        let pipeline = device.pipeline(&shaders::STREAM, &[])?;
        let result = device.empty(4 * 256 * u64::from(STREAM_WORKGROUPS))?;
        let (mut reads, mut bytes) = (Vec::with_capacity(copies), 0);
        for _ in 0..copies.max(1) {
            let matrix = Matrix::new(device, weights)?;
            bytes = matrix.bytes();
            let read = |window| {
                let buffers = [matrix.part(window), (&result).into()];
                device.dispatch(&pipeline, &buffers, [STREAM_WORKGROUPS, 1, 1])
            };
            reads.push(matrix.windows.iter().map(read).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Self { reads, bytes, next: 0 })
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
        let count = self.reads.len();
        let dispatches: Vec<&Dispatch> =
            (0..calls as usize).flat_map(|call| &self.reads[(self.next + call) % count]).collect();
        let spent = device.timed(&dispatches)?;
        self.next = (self.next + calls as usize) % count;
        Ok(spent)
    }
}

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
