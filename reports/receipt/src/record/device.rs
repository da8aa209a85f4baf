//! The GPU that a run was about: what its driver says of it, what ran on it, and a text that it generated.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A GPU as its driver describes it, and the shaders that were measured on it. Times of a run with one are its own.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// Number in the list of devices: `gpu:0` is the first.
    pub index: usize,
    /// Name of the adapter.
    pub name: String,
    /// Id of the vendor; for PCI that of its list.
    pub vendor: u32,
    /// Id of the device, the vendor's own.
    pub device: u32,
    /// `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: String,
    /// Name of the driver.
    pub driver: String,
    /// Version of the driver and what else it says.
    pub driver_info: String,
    /// The interface that was used: `vulkan`, `metal` or `dx12`.
    pub backend: String,
    /// Most bytes of a buffer that a shader sees at once.
    pub max_binding_bytes: u64,
    /// Most bytes of a buffer.
    pub max_buffer_bytes: u64,
    /// Number of bytes of which an offset of a binding is a multiple.
    pub offset_alignment: u32,
    /// Bytes of memory that a workgroup shares.
    pub workgroup_bytes: u32,
    /// Number of threads that a workgroup has at most.
    pub workgroup_threads: u32,
    /// Number of workgroups that a dispatch has at most along one dimension.
    pub workgroups: u32,
    /// Number of buffers that a shader sees at once.
    pub buffers_per_shader: u32,
    /// Whether passes can be timed by the device's own clock.
    pub timestamps: bool,
    /// Nanoseconds of one tick of that clock.
    pub timestamp_period_ns: f64,
    /// Version of wgpu.
    pub wgpu: String,
    /// Shaders of every kernel that was measured, and of the loop that only reads.
    pub shaders: Vec<ShaderRecord>,
    /// A text that was generated on the device; absent where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<DeviceText>,
}

impl DeviceRecord {
    /// Name, interface and driver in a few words: `NVIDIA H100, through vulkan, driver NVIDIA 550.54`.
    pub fn in_words(&self) -> String {
        let driver = format!("{} {}", self.driver, self.driver_info);
        format!("{}, through {}, driver {}", self.name, self.backend, driver.trim())
    }
}

/// A shader by its text.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct ShaderRecord {
    /// Name of the shader, as in errors.
    pub name: String,
    /// SHA-256 of its text in WGSL.
    pub sha256: String,
}

/// A text that was generated on a device, held against the CPU's, and what its rounds took.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct DeviceText {
    /// Number of dispatches of one token.
    pub dispatches_per_token: usize,
    /// Bytes of weights that one token reads.
    pub bytes_per_token: u64,
    /// Number of outputs that were compared with the CPU's.
    pub outputs: u64,
    /// Number of outputs whose bits differ from the CPU's.
    pub differing_bits: u64,
    /// Largest absolute difference of an output from the CPU's.
    pub max_abs_difference: f64,
    /// Raw rounds, each one text.
    pub rounds: Vec<DeviceTextRound>,
}

/// One text on a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct DeviceTextRound {
    /// Nanoseconds of going through the prompt.
    pub prefill_ns: u64,
    /// Number of tokens of the prompt.
    pub prefill_tokens: usize,
    /// Nanoseconds of decoding.
    pub decode_ns: u64,
    /// Number of tokens that were decoded.
    pub decode_tokens: usize,
}
