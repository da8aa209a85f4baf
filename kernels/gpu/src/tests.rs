//! On whatever adapter there is, software too. Without one they say so, aloud, and `ci/gpu.sh` takes that for a
//! failure.

use crate::device::{Device, Settings};
use crate::error::GpuError;
use crate::ladder::{GpuKernel, LADDER, find};
use crate::matrix::Matrix;
use crate::product::{Inputs, Product, verify};
use crate::shaders::{self, Shader};
use crate::{adapters, find_adapter};
use kernels::conformance::Token;
use kernels::random::SplitMix64;
use kernels::{Codes, KernelDescriptor, PackedWeights, QuantizedActivations, reference};
use std::time::Duration;

/// A device with these settings; none where this machine has no adapter.
fn device(settings: Settings) -> Option<Device> {
    match find_adapter(None) {
        Ok(found) => Some(Device::open(&found, settings).expect("an adapter that was found opens")),
        Err(GpuError::NoAdapter) => {
            assert!(std::env::var_os("TRITBENCH_NEEDS_GPU").is_none(), "no GPU adapter");
            eprintln!("no GPU adapter, not even a software one: nothing of this test was run");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

const NEVER: &dyn Fn() -> bool = &|| false;

#[test]
fn every_kernel_equals_the_oracle_in_the_whole_suite() {
    let Some(mut device) = device(Settings::default()) else { return };
    for kernel in &LADDER {
        let (outcome, failed) = verify(kernel, &mut device, NEVER);
        assert_eq!(failed, None);
        println!("{}: {} cases", kernel.id(), outcome.cases);
        assert_eq!((outcome.mismatches, outcome.first_mismatch), (0, None), "{}", kernel.id());
        assert!(outcome.cases > 150, "{}", outcome.cases);
    }
}

#[test]
fn shaders_without_checks_give_the_same() {
    let Some(mut device) = device(Settings { checked: false, ..Settings::default() }) else { return };
    for kernel in &LADDER {
        assert_eq!(verify(kernel, &mut device, NEVER).0.first_mismatch, None, "{}", kernel.id());
    }
}

/// A kernel whose gemv has another text.
fn changed(kernel: &'static GpuKernel, name: &'static str, from: &str, to: &str) -> &'static GpuKernel {
    let text = kernel.gemv.text();
    assert!(text.contains(from), "{from}");
    let text: &'static str = Box::leak(text.replace(from, to).into_boxed_str());
    let gemv: &'static Shader = Box::leak(Box::new(Shader { name, pieces: Box::leak(Box::new([text])) }));
    let GpuKernel { gemm, step, rounds, max_k, .. } = *kernel;
    let layout = kernel.descriptor.layout;
    let descriptor = KernelDescriptor {
        id: "gpu-planted",
        isa: "gpu",
        gemm: kernel.descriptor.gemm,
        ..KernelDescriptor::device(layout)
    };
    Box::leak(Box::new(GpuKernel { descriptor, gemv, gemm, step, rounds, max_k }))
}

#[test]
fn planted_faults_are_found() {
    let Some(mut device) = device(Settings::default()) else { return };
    for (id, from, to) in [
        ("gpu-dp4a-tile32", "0x0c0c0c0cu", "0x0c0c0c04u"),
        ("gpu-dp4a", "(s1 >> 2u)", "(s1 >> 3u)"),
        ("gpu-unpack", "group.y == 0u", "group.y == 1u"),
        ("gpu-fused", "max(largest[me], largest[me + step])", "largest[me]"),
    ] {
        let planted = changed(find(id).expect("there"), "planted", from, to);
        // A pipeline is known by its shader's name.
        device.forget_pipelines();
        let (outcome, _) = verify(planted, &mut device, NEVER);
        let why = outcome.first_mismatch.unwrap_or_default();
        assert!(why.contains("the oracle says"), "{id}: {from} -> {to} was not noticed: {why}");
    }
}

/// Codes, packed weights and a token.
fn operands(rows: usize, k: usize) -> (Vec<u8>, PackedWeights, Token) {
    let mut random = SplitMix64::new(3);
    let codes = random.ternary_codes(rows * k);
    let weights = PackedWeights::pack(&kernels::layouts::TILE32, Codes::ternary(rows, k, &codes, 0.5)).expect("packs");
    let values = random.int8s(k);
    let floats = values.iter().map(|&value| value.into()).collect();
    (codes, weights, Token { rounded: QuantizedActivations::from_values(&values, 1.0), floats })
}

/// The product's text as SPIR-V without the capability of dot products, as a driver without it gets it.
#[test]
fn a_driver_without_dot_products_gives_the_same() {
    let Some(device) = device(Settings::default()) else { return };
    if !device.device.features().contains(wgpu::Features::PASSTHROUGH_SHADERS) {
        eprintln!("this adapter takes no SPIR-V as it is: nothing of this test was run");
        return;
    }
    let (rows, k) = (100, 1000);
    let (codes, weights, token) = operands(rows, k);
    let kernel = find("gpu-dp4a-tile32").expect("there");
    let text = kernel.gemv.text().replace("override KV: u32 = 40u;", "const KV: u32 = 16u;");
    let text = text.replace("override SHARES: u32 = 1u;", "const SHARES: u32 = 1u;");
    let words = without_dot_products(&text);
    // SAFETY: the words are naga's, of a module that it validated; padded operands keep indices in bounds.
    let module = unsafe {
        device.device.create_shader_module_passthrough(wgpu::ShaderModuleDescriptorPassthrough {
            label: Some("without dot products"),
            entry_points: vec![wgpu::PassthroughShaderEntryPoint { name: "main".into(), workgroup_size: (32, 8, 1) }]
                .into(),
            spirv: Some(words.into()),
            ..Default::default()
        })
    };
    let entry = |binding, read_only| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    let entries = [entry(0, true), entry(1, true), entry(2, true), entry(3, false)];
    let layout = wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries };
    let layout = device.device.create_bind_group_layout(&layout);
    let pipeline = device.pipeline_of(&module, layout, "without dot products").expect("made");
    let matrix = Matrix::new(&device, &weights).expect("fits");
    let inputs = Inputs::new(&device, std::slice::from_ref(&token)).expect("fits");
    let product = Product::by(&device, &pipeline, (&matrix, &inputs), [rows.div_ceil(32) as u32, 1, 1]).expect("made");
    let got = product.run(&device).expect("runs");
    let want: Vec<i64> = codes
        .chunks_exact(k)
        .map(|row| reference::dot_i64(row, kernels::CodeTable::TERNARY, token.rounded.values()))
        .collect();
    assert_eq!(got.into_iter().map(i64::from).collect::<Vec<_>>(), want);
}

fn without_dot_products(text: &str) -> Vec<u32> {
    use naga::back::spv;
    let module = naga::front::wgsl::parse_str(text).expect("WGSL");
    let flags = naga::valid::ValidationFlags::all();
    let info = naga::valid::Validator::new(flags, naga::valid::Capabilities::all()).validate(&module).expect("valid");
    let capabilities = [spv::Capability::Shader].into_iter().collect();
    let options = spv::Options {
        lang_version: (1, 5),
        fake_missing_bindings: true,
        capabilities: Some(capabilities),
        ..Default::default()
    };
    let entry = spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: "main".into() };
    let words = spv::write_vec(&module, &info, &options, Some(&entry)).expect("SPIR-V");
    let mut at = 5;
    while at < words.len() {
        // OpSDot
        assert_ne!(words[at] & 0xffff, 4450, "the dot product is still one instruction");
        at += (words[at] >> 16) as usize;
    }
    words
}

#[test]
fn shaders_are_valid_wherever_they_are_read() {
    for shader in shaders::ALL {
        let parsed = naga::front::wgsl::parse_str(&shader.text());
        let module = parsed.unwrap_or_else(|error| panic!("{}: {}", shader.name, error.emit_to_string(&shader.text())));
        let flags = naga::valid::ValidationFlags::all();
        let validated = naga::valid::Validator::new(flags, naga::valid::Capabilities::all()).validate(&module);
        if let Err(error) = validated {
            panic!("{}: {}", shader.name, error.emit_to_string(&shader.text()));
        }
    }
}

#[test]
fn what_the_device_refuses_is_an_error_in_a_line_and_the_device_goes_on() {
    let Some(mut device) = device(Settings::default()) else { return };
    let invalid = device.new_pipeline(("broken", "@compute @workgroup_size(1) fn main() { let x: u32 = 1.5; }"), &[]);
    let Err(GpuError::Shader { shader: "broken", why }) = invalid else { panic!("no shader") };
    assert!(!why.is_empty() && !why.contains('\n'), "{why}");
    let too_many = "@compute @workgroup_size(65535) fn main() {}";
    assert!(matches!(device.new_pipeline(("wide", too_many), &[]), Err(GpuError::Shader { .. })));
    let most = device.facts().max_buffer_bytes;
    assert!(matches!(device.empty(most + 1), Err(GpuError::Refused(_))));
    // A panel that no window holds.
    let (_, weights, token) = operands(40, 1024);
    device.limit_bindings(1 << 10);
    let Err(error) = Matrix::new(&device, &weights) else { panic!("it fits") };
    assert!(matches!(error, GpuError::TooLarge { rows: 40, k: 1024, .. }), "{error}");
    device.limit_bindings(u64::MAX);
    let kernel = find("gpu-dp4a-tile32").expect("there");
    let matrix = Matrix::new(&device, &weights).expect("fits");
    let inputs = Inputs::new(&device, std::slice::from_ref(&token)).expect("fits");
    let other = find("gpu-dp4a").expect("there").product(&device, &matrix, &inputs);
    assert!(matches!(other, Err(GpuError::Operands(_))));
    assert!(matches!(Inputs::new(&device, &[]), Err(GpuError::Operands(_))));
    assert_eq!(kernel.product(&device, &matrix, &inputs).expect("made").run(&device).expect("runs").len(), 40);
}

#[test]
fn a_submission_that_takes_too_long_is_given_up() {
    let Some(device) = device(Settings { patience: Duration::from_millis(1), ..Settings::default() }) else { return };
    let slow = "override N: u32 = 1u; @group(0) @binding(0) var<storage, read_write> x: array<u32>;
        @compute @workgroup_size(256) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            var v = id.x; for (var i = 0u; i < N; i++) { v = v * 1664525u + 1013904223u; } x[id.x] = v; }";
    let pipeline = device.new_pipeline(("slow", slow), &[("N", 2e6)]).expect("valid");
    let x = device.empty(4 * 256 * 64).expect("fits");
    let dispatch = device.dispatch(&pipeline, &[(&x).into()], [64, 1, 1]).expect("made");
    let error = device.run([&dispatch]).expect_err("it takes longer than a millisecond");
    assert_eq!(error, GpuError::TooLong(Duration::from_millis(1)));
    assert!(error.is_fatal());
}

#[test]
fn adapters_are_numbered_and_another_number_is_refused_with_the_list() {
    let found = adapters();
    assert!(found.iter().enumerate().all(|(i, adapter)| adapter.facts.index == i));
    if found.is_empty() {
        assert_eq!(find_adapter(Some(0)).err(), Some(GpuError::NoAdapter));
        return;
    }
    let Err(GpuError::NoSuchAdapter { asked: 99, found: names }) = find_adapter(Some(99)) else {
        panic!("there are not")
    };
    assert_eq!(names.len(), found.len());
}

/// On a software adapter the numbers mean nothing; that they are there, and the sums right, does.
#[test]
fn an_epoch_is_timed_by_the_device_and_its_sums_stay_right() {
    let Some(device) = device(Settings { checked: false, ..Settings::default() }) else { return };
    if !device.facts().timestamps {
        return;
    }
    let (codes, weights, token) = operands(70, 512);
    let inputs = Inputs::new(&device, std::slice::from_ref(&token)).expect("fits");
    let kernel = find("gpu-dp4a-tile32").expect("there");
    let rotation = crate::Rotation::new(&device, &weights, 3).expect("fits");
    let mut copies = crate::Copies::new(kernel, &device, &rotation, &inputs).expect("fits");
    let spent = copies.epoch(&device, 7).expect("runs");
    assert!(spent.device_ns > 0.0 && spent.wall_ns > 0);
    let want = reference::dot_i64(&codes[..512], kernels::CodeTable::TERNARY, token.rounded.values());
    assert_eq!(i64::from(copies.first().sums(&device).expect("read")[0]), want);
    let mut stream = crate::Stream::new(&device, &rotation).expect("fits");
    assert!(stream.epoch(&device, 3).expect("runs").device_ns > 0.0);
    assert_eq!((stream.bytes(), rotation.bytes(), rotation.copies()), (3 * 32 * 512 / 4, 3 * 32 * 512 / 4, 3));
    let [submitted, back] = copies.host_ns(&device, 5).expect("runs");
    assert!(0 < submitted && submitted <= back && copies.dispatches() > 0);
    let mut alone = crate::Stream::of_bytes(&device, 3 << 20, 2).expect("fits");
    assert!(alone.epoch(&device, 2).expect("runs").device_ns > 0.0 && alone.bytes() == 3 << 20);
}
