//! What there is to compute on.

use crate::error::GpuError;

/// What is known of an adapter, as its driver says it.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterFacts {
    /// Number in [`adapters`]: real ones before software ones.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Vendor id, for PCI that of its list.
    pub vendor: u32,
    /// Device id of the vendor.
    pub device: u32,
    /// `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: &'static str,
    /// Driver's name.
    pub driver: String,
    /// Driver's version and what else it says.
    pub driver_info: String,
    /// `vulkan`, `metal`, `dx12`.
    pub backend: String,
    /// Most bytes of a buffer that a shader sees at once.
    pub max_binding_bytes: u64,
    /// Most bytes of a buffer.
    pub max_buffer_bytes: u64,
    /// Multiple that an offset of a binding has to be.
    pub offset_alignment: u32,
    /// Bytes of memory that a workgroup shares.
    pub workgroup_bytes: u32,
    /// Threads of a workgroup at most.
    pub workgroup_threads: u32,
    /// Workgroups of a dispatch along one dimension.
    pub workgroups: u32,
    /// Buffers that a shader sees at once.
    pub buffers_per_shader: u32,
    /// Whether passes can be timed by the device's own clock.
    pub timestamps: bool,
}

impl AdapterFacts {
    /// Whether it is software on the CPU: such a one is verified and never timed.
    pub fn is_software(&self) -> bool {
        self.kind == "software"
    }
}

/// An adapter, not opened yet.
pub struct Found {
    /// What is known of it.
    pub facts: AdapterFacts,
    pub(crate) adapter: wgpu::Adapter,
}

/// Version of wgpu that is linked.
pub const WGPU_VERSION: &str = "30.0";

/// Every adapter that can compute: cards first, software last, in the drivers' order otherwise. None is an ordinary
/// answer.
pub fn adapters() -> Vec<Found> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends = wgpu::Backends::PRIMARY;
    // No validation layers: they change timings, and shaders are validated by wgpu itself.
    descriptor.flags = wgpu::InstanceFlags::empty();
    let instance = wgpu::Instance::new(descriptor);
    let mut all = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    all.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    let enough = |adapter: &wgpu::Adapter| {
        let limits = adapter.limits();
        limits.max_compute_invocations_per_workgroup >= 256 && limits.max_storage_buffers_per_shader_stage >= 8
    };
    let found = all.into_iter().filter(enough).enumerate();
    found.map(|(index, adapter)| Found { facts: facts(index, &adapter), adapter }).collect()
}

/// The adapter of a number; by default the first one, which is a card where there is one.
///
/// # Errors
/// None at all, or none of this number.
pub fn find(number: Option<usize>) -> Result<Found, GpuError> {
    let mut all = adapters();
    if all.is_empty() {
        return Err(GpuError::NoAdapter);
    }
    let asked = number.unwrap_or(0);
    if asked >= all.len() {
        let found = all.into_iter().map(|found| found.facts.name).collect();
        return Err(GpuError::NoSuchAdapter { asked, found });
    }
    Ok(all.swap_remove(asked))
}

fn facts(index: usize, adapter: &wgpu::Adapter) -> AdapterFacts {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    };
    AdapterFacts {
        index,
        name: info.name,
        vendor: info.vendor,
        device: info.device,
        kind,
        driver: info.driver,
        driver_info: info.driver_info,
        backend: format!("{:?}", info.backend).to_lowercase(),
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        offset_alignment: limits.min_storage_buffer_offset_alignment,
        workgroup_bytes: limits.max_compute_workgroup_storage_size,
        workgroup_threads: limits.max_compute_invocations_per_workgroup,
        workgroups: limits.max_compute_workgroups_per_dimension,
        buffers_per_shader: limits.max_storage_buffers_per_shader_stage,
        timestamps: adapter.features().contains(wgpu::Features::TIMESTAMP_QUERY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_locked_one() {
        let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).expect("a lock");
        let wgpu = lock.split("[[package]]").find(|package| package.contains("\nname = \"wgpu\"\n")).expect("wgpu");
        assert!(wgpu.contains(&format!("\nversion = \"{WGPU_VERSION}")), "{wgpu}");
    }
}
