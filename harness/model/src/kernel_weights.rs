//! A kernel and a model's weights that it can read.

use crate::error::{Error, Result};
use crate::weights::Weights;
use kernels::Kernel;
use std::sync::Arc;

/// A kernel and the model's weights in its packing: whoever holds one need not check that they fit each other.
#[derive(Clone)]
pub struct KernelWeights {
    kernel: Kernel,
    weights: Arc<Weights>,
}

impl KernelWeights {
    /// Joins a kernel and weights, after checking that the kernel reads their layout.
    ///
    /// # Errors
    /// Weights in another packing than the kernel reads.
    pub fn new(kernel: Kernel, weights: Arc<Weights>) -> Result<Self> {
        let (id, wants, has) = (kernel.id(), kernel.descriptor().layout, weights.layout);
        if wants != has {
            return Err(Error::failed(format!("kernel {id} reads packing {wants}, the weights are packed as {has}")));
        }
        Ok(Self { kernel, weights })
    }

    /// The kernel that computes with these weights.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The model's weights, in the kernel's layout.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}
