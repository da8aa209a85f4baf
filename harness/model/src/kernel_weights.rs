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
    /// # Errors
    /// Weights in another packing than the kernel reads.
    pub fn new(kernel: Kernel, weights: Arc<Weights>) -> Result<Self> {
        let (id, wants, has) = (kernel.id(), kernel.descriptor().layout, weights.layout);
        if wants != has {
            return Err(Error::failed(format!("kernel {id} reads packing {wants}, the weights are packed as {has}")));
        }
        Ok(Self { kernel, weights })
    }

    /// The kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}
