//! The flag.

use super::Adapter;
use crate::error::Result;
use crate::words;
use clap::Args;

/// Where kernels run.
#[derive(Args, Clone, Debug, Default)]
pub struct DeviceArgs {
    /// Where kernels run: cpu (the default), gpu, or gpu:N of `list devices`
    #[arg(long, value_name = "cpu|gpu[:N]", value_parser = device)]
    pub device: Option<Device>,
}

/// The CPU, or a GPU by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Cpu,
    /// The first one where there is no number: a card before a software adapter.
    Gpu(Option<usize>),
}

impl DeviceArgs {
    /// The adapter that the flag names; none for the CPU.
    ///
    /// # Errors
    /// A program without GPUs, a machine without one (exit 5), a number that none has (exit 2).
    pub fn gpu(&self) -> Result<Option<Adapter>> {
        match self.device {
            Some(Device::Gpu(number)) => Adapter::find(number).map(Some),
            Some(Device::Cpu) | None => Ok(None),
        }
    }
}

fn device(text: &str) -> std::result::Result<Device, String> {
    let name = words::name(text)?;
    let number = |text: &str| text.parse().map_err(|_| "write cpu, gpu, or gpu:0, gpu:1, ... of `list devices`");
    match name.split_once(':') {
        None if name == "cpu" => Ok(Device::Cpu),
        None if name == "gpu" => Ok(Device::Gpu(None)),
        Some(("gpu", at)) => Ok(Device::Gpu(Some(number(at)?))),
        _ => Err("write cpu, gpu, or gpu:0, gpu:1, ... of `list devices`".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_named_as_people_type_it() {
        assert_eq!((device("CPU"), device(" gpu ")), (Ok(Device::Cpu), Ok(Device::Gpu(None))));
        assert_eq!(device("GPU:3"), Ok(Device::Gpu(Some(3))));
        for wrong in ["", "gpu:", "gpu:-1", "gpu:x", "cuda", "cpu:0"] {
            assert!(device(wrong).is_err(), "{wrong}");
        }
    }
}
