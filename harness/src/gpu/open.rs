//! Adapters and devices, with errors as the command line has them.

use crate::error::{Error, Result};
use kernels_gpu::{AdapterFacts, Device, Found, GpuError, Settings, find_adapter};
use receipt::RowStatus;
use std::fmt;

/// An adapter that the command line named.
pub struct Adapter(Found);

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Adapter({})", self.facts().name)
    }
}

impl Adapter {
    /// The adapter of a number; the first one without.
    pub fn find(number: Option<usize>) -> Result<Self> {
        Ok(Self(find_adapter(number).map_err(|error| of_device(&error))?))
    }

    /// What is known of it.
    pub fn facts(&self) -> &AdapterFacts {
        &self.0.facts
    }

    /// Opens it.
    pub fn open(&self, settings: Settings) -> Result<Device> {
        Device::open(&self.0, settings).map_err(|error| of_device(&error))
    }

    /// Refuses to time software: its times are those of another CPU program.
    pub fn refuse_to_time_software(&self) -> Result<()> {
        if !self.facts().is_software() {
            return Ok(());
        }
        let name = &self.facts().name;
        let what = "is a software adapter: it is verified (`verify`, `generate`, `perplexity`) and never timed";
        Err(Error::unsupported(format!("--device gpu:{}: {name} {what}", self.facts().index)))
    }
}

impl Adapter {
    /// Refuses to time by the host's clock, which has the driver in it.
    pub fn refuse_without_clock(&self) -> Result<()> {
        let AdapterFacts { index, name, timestamps, .. } = self.facts();
        let what = format!("--device gpu:{index}: {name} has no timestamps, so nothing is timed on it");
        if *timestamps { Ok(()) } else { Err(Error::unsupported(what)) }
    }
}

/// An error of a device as one of the command line.
pub fn of_device(error: &GpuError) -> Error {
    match error {
        GpuError::NoAdapter | GpuError::NoDevice { .. } => Error::unsupported(format!("--device gpu: {error}")),
        GpuError::NoSuchAdapter { .. } => Error::input(format!("--device: {error}")),
        GpuError::TooLarge { .. } => Error::unsupported(error.to_string()),
        error => Error::failed(error.to_string()),
    }
}

/// The status of a row that has no result because of an error.
pub fn status(error: &GpuError) -> RowStatus {
    match error {
        GpuError::Lost(_) => RowStatus::Crashed,
        GpuError::TooLong(_) => RowStatus::Hung,
        GpuError::TooLarge { .. } | GpuError::NoAdapter | GpuError::NoDevice { .. } => RowStatus::Unsupported,
        _ => RowStatus::Refused,
    }
}
