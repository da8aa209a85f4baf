//! An opened device: buffers, pipelines, submissions with a limit. Whatever goes wrong on it becomes an error of the
//! call during which it is noticed.

use crate::adapter::{AdapterFacts, Found};
use crate::error::{GpuError, first_line};
use crate::shaders::Shader;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How a device is used.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether shaders check their own indices and loops: for verifying. Timed ones do not.
    pub checked: bool,
    /// How long a submission may take.
    pub patience: Duration,
    /// Most bytes of a binding; the adapter's own limit where that is less. A small one makes windows of any matrix.
    pub binding_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { checked: true, patience: Duration::from_secs(60), binding_bytes: u64::MAX }
    }
}

/// What is asked of a device, where it has it. Tests hand a driver SPIR-V of their own.
#[cfg(not(test))]
const FEATURES: wgpu::Features = wgpu::Features::TIMESTAMP_QUERY;
#[cfg(test)]
const FEATURES: wgpu::Features = wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::PASSTHROUGH_SHADERS);

/// What went wrong since it was last asked.
#[derive(Default)]
struct Trouble {
    refused: Option<String>,
    lost: Option<String>,
}

/// A shader with its sizes, ready to run.
#[derive(Clone)]
pub(crate) struct Pipeline {
    inner: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

/// A pipeline is known by its shader and its constants.
type PipelineKey = (&'static str, Vec<(&'static str, u64)>);

/// A device that was opened.
pub struct Device {
    facts: AdapterFacts,
    settings: Settings,
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    trouble: Arc<Mutex<Trouble>>,
    pipelines: Mutex<HashMap<PipelineKey, Pipeline>>,
}

/// A buffer, or a part of one, that a shader sees.
#[derive(Clone, Copy)]
pub(crate) struct Part<'b> {
    pub(crate) buffer: &'b wgpu::Buffer,
    /// First byte.
    pub(crate) offset: u64,
    /// Bytes; `None` for all that follow.
    pub(crate) size: Option<u64>,
}

impl<'b> From<&'b wgpu::Buffer> for Part<'b> {
    fn from(buffer: &'b wgpu::Buffer) -> Self {
        Self { buffer, offset: 0, size: None }
    }
}

/// A pipeline with its buffers, and how many workgroups of it run.
pub(crate) struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    workgroups: [u32; 3],
    /// The dimension along which a workgroup is a token, where how many there are is known when it is recorded.
    tokens: Option<usize>,
}

impl Dispatch {
    /// The same with as many workgroups along a dimension as there are tokens.
    pub(crate) fn per_token(self, dimension: usize) -> Self {
        Self { tokens: Some(dimension), ..self }
    }

    pub(crate) fn record(&self, pass: &mut wgpu::ComputePass<'_>, tokens: u32) {
        let mut workgroups = self.workgroups;
        if let Some(dimension) = self.tokens {
            workgroups[dimension] = tokens;
        }
        let [x, y, z] = workgroups;
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Device {
    /// Opens an adapter with all its limits.
    ///
    /// # Errors
    /// The driver gives no device.
    pub fn open(found: &Found, settings: Settings) -> Result<Self, GpuError> {
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("tritbench"),
            required_features: found.adapter.features() & FEATURES,
            required_limits: found.adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(found.adapter.request_device(&descriptor)).map_err(|why| {
            GpuError::NoDevice { adapter: found.facts.name.clone(), why: first_line(&why.to_string()) }
        })?;
        let trouble = Arc::new(Mutex::new(Trouble::default()));
        let of_errors = Arc::clone(&trouble);
        // Without a handler wgpu panics. The first error counts: others follow from it.
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            locked(&of_errors).refused.get_or_insert_with(|| reason(&error));
        }));
        let of_loss = Arc::clone(&trouble);
        device.set_device_lost_callback(move |reason, words| {
            // A device that is dropped is not lost.
            if reason != wgpu::DeviceLostReason::Destroyed {
                locked(&of_loss).lost.get_or_insert_with(|| first_line(&words));
            }
        });
        let binding_bytes = settings.binding_bytes.min(found.facts.max_binding_bytes);
        let settings = Settings { binding_bytes, ..settings };
        Ok(Self { facts: found.facts.clone(), settings, device, queue, trouble, pipelines: Mutex::default() })
    }

    /// What is known of the adapter.
    pub fn facts(&self) -> &AdapterFacts {
        &self.facts
    }

    /// How it is used.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Changes the most bytes of a binding from here on, below the adapter's limit.
    pub fn limit_bindings(&mut self, bytes: u64) {
        self.settings.binding_bytes = bytes.min(self.facts.max_binding_bytes);
    }

    /// Nanoseconds of a tick of the device's clock.
    pub fn timestamp_period(&self) -> f32 {
        self.queue.get_timestamp_period()
    }

    /// What went wrong since the last call, if anything did.
    pub(crate) fn check(&self) -> Result<(), GpuError> {
        let mut trouble = locked(&self.trouble);
        if let Some(why) = &trouble.lost {
            return Err(GpuError::Lost(why.clone()));
        }
        trouble.refused.take().map_or(Ok(()), |why| Err(GpuError::Refused(why)))
    }

    /// A buffer with these bytes, of at least one word.
    pub(crate) fn buffer(&self, bytes: &[u8]) -> Result<wgpu::Buffer, GpuError> {
        let buffer = self.empty(bytes.len() as u64)?;
        if !bytes.is_empty() {
            self.queue.write_buffer(&buffer, 0, bytes);
        }
        self.check()?;
        Ok(buffer)
    }

    /// A buffer of so many zeros, of at least one word.
    pub(crate) fn empty(&self, size: u64) -> Result<wgpu::Buffer, GpuError> {
        use wgpu::BufferUsages as U;
        let usage = U::STORAGE | U::COPY_DST | U::COPY_SRC;
        self.made(size.max(16).next_multiple_of(4), usage)
    }

    /// A buffer that the host reads.
    pub(crate) fn staging(&self, size: u64) -> Result<wgpu::Buffer, GpuError> {
        self.made(size.max(4).next_multiple_of(4), wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)
    }

    pub(crate) fn made(&self, size: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, GpuError> {
        if size > self.facts.max_buffer_bytes {
            let most = self.facts.max_buffer_bytes;
            return Err(GpuError::Refused(format!("a buffer of {size} bytes; {most} are the most")));
        }
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&descriptor);
        self.check()?;
        Ok(buffer)
    }

    /// The pipeline of a shader with these sizes; made once.
    pub(crate) fn pipeline(
        &self,
        shader: &'static Shader,
        constants: &[(&'static str, f64)],
    ) -> Result<Pipeline, GpuError> {
        let key = (shader.name, constants.iter().map(|(name, value)| (*name, value.to_bits())).collect());
        if let Some(known) = locked(&self.pipelines).get(&key) {
            return Ok(known.clone());
        }
        let pipeline = self.new_pipeline((shader.name, &shader.text()), constants)?;
        locked(&self.pipelines).insert(key, pipeline.clone());
        Ok(pipeline)
    }

    pub(crate) fn new_pipeline(
        &self,
        (shader, text): (&'static str, &str),
        constants: &[(&'static str, f64)],
    ) -> Result<Pipeline, GpuError> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let source = wgpu::ShaderSource::Wgsl(text.into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(shader), source };
        let module = if self.settings.checked {
            self.device.create_shader_module(descriptor)
        } else {
            // SAFETY: without checks a shader must stay within its buffers and end. All loops go up to a size that is
            // given when the pipeline is made, or that of a buffer; all indices lie within operands that are padded to
            // what a workgroup takes, or are compared with their number first. The suite runs the same texts with
            // checks, and both must give the oracle's results.
            unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
        };
        let compilation_options = wgpu::PipelineCompilationOptions {
            constants,
            // Every shader writes its memory before it reads it.
            zero_initialize_workgroup_memory: false,
        };
        let inner = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(shader),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options,
            cache: None,
        });
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(GpuError::Shader { shader, why: reason(&error) });
        }
        self.check()?;
        let layout = inner.get_bind_group_layout(0);
        Ok(Pipeline { inner, layout })
    }

    /// Forgets the pipelines: for shaders that share a name.
    #[cfg(test)]
    pub(crate) fn forget_pipelines(&self) {
        locked(&self.pipelines).clear();
    }

    /// A pipeline of a module that was made elsewhere.
    #[cfg(test)]
    pub(crate) fn pipeline_of(
        &self,
        module: &wgpu::ShaderModule,
        layout: wgpu::BindGroupLayout,
        label: &'static str,
    ) -> Result<Pipeline, GpuError> {
        let of_pipeline = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let inner = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(label),
            layout: Some(&of_pipeline),
            module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        self.check()?;
        Ok(Pipeline { inner, layout })
    }

    /// A pipeline with the buffers of its bindings, in their order.
    pub(crate) fn dispatch(
        &self,
        pipeline: &Pipeline,
        buffers: &[Part<'_>],
        workgroups: [u32; 3],
    ) -> Result<Dispatch, GpuError> {
        let mut entries = Vec::with_capacity(buffers.len());
        for (number, part) in buffers.iter().enumerate() {
            let size = part.size.and_then(std::num::NonZeroU64::new);
            let of = wgpu::BufferBinding { buffer: part.buffer, offset: part.offset, size };
            let resource = wgpu::BindingResource::Buffer(of);
            entries.push(wgpu::BindGroupEntry { binding: number as u32, resource });
        }
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &pipeline.layout, entries: &entries };
        let group = self.device.create_bind_group(&descriptor);
        self.check()?;
        Ok(Dispatch { pipeline: pipeline.inner.clone(), group, workgroups, tokens: None })
    }

    pub(crate) fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    /// Submits without waiting.
    pub(crate) fn submit(&self, encoder: wgpu::CommandEncoder) -> Result<wgpu::SubmissionIndex, GpuError> {
        let index = self.queue.submit([encoder.finish()]);
        self.check()?;
        Ok(index)
    }

    /// Waits for a submission, as long as the patience lasts.
    pub(crate) fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<(), GpuError> {
        let timeout = Some(self.settings.patience);
        match self.device.poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout }) {
            Ok(_) => self.check(),
            Err(wgpu::PollError::Timeout) => Err(GpuError::TooLong(self.settings.patience)),
            Err(error) => {
                self.check()?;
                Err(GpuError::Refused(first_line(&error.to_string())))
            }
        }
    }

    /// Runs dispatches in one pass of one submission, and waits.
    pub(crate) fn run<'d>(&self, dispatches: impl IntoIterator<Item = &'d Dispatch>) -> Result<(), GpuError> {
        let mut encoder = self.encoder();
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            dispatches.into_iter().for_each(|dispatch| dispatch.record(&mut pass, 1));
        }
        let submission = self.submit(encoder)?;
        self.wait(submission)
    }

    /// Reads so many elements from the start of a buffer.
    pub(crate) fn read<T: bytemuck::Pod>(&self, from: &wgpu::Buffer, count: usize) -> Result<Vec<T>, GpuError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let size = ((count * size_of::<T>()) as u64).next_multiple_of(4);
        let staging = self.staging(size)?;
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_buffer(from, 0, &staging, 0, size);
        let submission = self.submit(encoder)?;
        self.mapped(&staging, submission, |bytes| bytemuck::pod_collect_to_vec(&bytes[..count * size_of::<T>()]))
    }

    /// What a staging buffer holds once a submission has come back.
    pub(crate) fn mapped<R>(
        &self,
        staging: &wgpu::Buffer,
        submission: wgpu::SubmissionIndex,
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, GpuError> {
        let failed = Arc::new(Mutex::new(None));
        let of_mapping = Arc::clone(&failed);
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            *locked(&of_mapping) = result.err().map(|error| first_line(&error.to_string()));
        });
        self.wait(submission)?;
        if let Some(why) = locked(&failed).take() {
            return Err(GpuError::Refused(why));
        }
        let view = staging.get_mapped_range(..).map_err(|error| GpuError::Refused(first_line(&error.to_string())))?;
        let result = read(&view[..]);
        drop(view);
        staging.unmap();
        Ok(result)
    }
}

/// An error in one line: of a validator's, the line that says what is wrong.
fn reason(error: &wgpu::Error) -> String {
    let words = error.to_string();
    let mut lines = words.lines().map(str::trim).filter(|line| !line.is_empty());
    // The first line says that there is an error; what it is follows.
    let what = lines.clone().find(|line| line.contains("error:") || line.contains("Shader"));
    let last = lines.next_back().unwrap_or("no reason was given");
    first_line(what.filter(|line| !line.ends_with("error")).unwrap_or(last))
}
