//! The sequence: what goes in, what comes out, and what runs ahead.

use super::BATCH;
use super::plan::Graph;
use super::shape::{LayerWeights, TextShape, TextWeights};
use super::state::Buffers;
use crate::device::{Device, Dispatch};
use crate::error::GpuError;

/// Submissions whose ids can be on their way to the host at once.
const RING: usize = 3;

/// A submission whose token was not read yet.
struct Flight {
    submission: wgpu::SubmissionIndex,
    /// Place in the ring.
    place: usize,
}

/// Computes what follows each token of one sequence, on a device.
pub struct TextDecoder<'d> {
    device: &'d Device,
    shape: TextShape,
    buffers: Buffers,
    /// Dispatches from ids to the last norm: of one token, and of a batch.
    single: Vec<Dispatch>,
    batched: Vec<Dispatch>,
    head: Vec<Dispatch>,
    next: Vec<Dispatch>,
    ring: Vec<wgpu::Buffer>,
    logits_staging: wgpu::Buffer,
    logits: Vec<f32>,
    position: usize,
    /// Tokens of the last forward.
    tokens: usize,
    /// The last forward, where its likeliest token is computed too and not read yet.
    current: Option<Flight>,
    /// The one behind it, which began with that token: it runs while the host looks at the token.
    ahead: Option<Flight>,
    /// The token that `ahead` began with, once it is known.
    predicted: Option<u32>,
    /// Whether the text went on as it was predicted, so that running ahead pays.
    follows: bool,
    /// The last token of the sequence.
    last: u32,
    turn: usize,
    bytes_per_token: u64,
}

impl<'d> TextDecoder<'d> {
    /// Copies the weights to the device and makes all that a text needs.
    ///
    /// # Errors
    /// A shape that the shaders do not compute, weights that do not fit it, memory that the device lacks.
    pub fn new(
        device: &'d Device,
        shape: &TextShape,
        layers: &[LayerWeights<'_>],
        weights: &TextWeights<'_>,
    ) -> Result<Self, GpuError> {
        if weights.angles.len() < shape.context * shape.head_dim || layers.len() != shape.layers {
            let (angles, context) = (weights.angles.len(), shape.context);
            return Err(GpuError::Operands(format!(
                "{} layers and {angles} angles for {context} positions",
                layers.len()
            )));
        }
        let graph = Graph::new(device, shape, layers, weights)?;
        let buffers = Buffers::new(device, shape, weights.angles, graph.widest())?;
        let [single, batched] = [1, BATCH].map(|tokens| graph.body(device, &buffers, tokens));
        let (head, next) = (graph.logits(device, &buffers)?, graph.next(device, &buffers)?);
        Ok(Self {
            single: single?,
            batched: batched?,
            head,
            next,
            ring: (0..RING).map(|_| device.staging(4)).collect::<Result<_, _>>()?,
            logits_staging: device.staging(4 * shape.vocab as u64)?,
            logits: vec![0.0; shape.vocab],
            position: 0,
            tokens: 0,
            current: None,
            ahead: None,
            predicted: None,
            follows: false,
            last: 0,
            turn: 0,
            bytes_per_token: graph.bytes_per_token(),
            shape: shape.clone(),
            buffers,
            device,
        })
    }

    /// Dispatches of a decoded token.
    pub fn dispatches_per_token(&self) -> usize {
        self.single.len() + self.head.len() + self.next.len()
    }

    /// Bytes of weights that a decoded token reads.
    pub fn bytes_per_token(&self) -> u64 {
        self.bytes_per_token
    }

    /// Most tokens of a [`Self::forward`].
    pub fn batch(&self) -> usize {
        BATCH
    }

    /// Starts a new sequence.
    pub fn reset(&mut self) {
        self.position = 0;
        self.tokens = 0;
        self.land();
    }

    /// Forgets what is on its way.
    fn land(&mut self) {
        (self.current, self.ahead, self.predicted, self.follows) = (None, None, None, false);
    }

    /// Appends tokens, 1 to [`Self::batch`], to the sequence.
    ///
    /// # Errors
    /// More tokens than there is room for, or an id outside the vocabulary; what the device says.
    pub fn forward(&mut self, tokens: &[u32]) -> Result<(), GpuError> {
        if tokens.is_empty() || tokens.len() > BATCH || self.position + tokens.len() > self.shape.context {
            let (n, at, room) = (tokens.len(), self.position, self.shape.context);
            return Err(GpuError::Operands(format!("{n} tokens at {at} of {room} positions")));
        }
        if let Some(id) = tokens.iter().find(|id| **id as usize >= self.shape.vocab) {
            return Err(GpuError::Operands(format!("token id {id} is outside the vocabulary of {}", self.shape.vocab)));
        }
        let (predicted, ahead) = (self.predicted, self.ahead.take());
        self.land();
        self.follows = tokens.len() == 1 && predicted == tokens.first().copied();
        let flight = match ahead.filter(|_| self.follows) {
            // It runs already.
            Some(flight) => flight,
            None => {
                self.write_state(self.position, tokens)?;
                self.submit(tokens.len())?
            }
        };
        (self.current, self.tokens) = (Some(flight), tokens.len());
        self.position += tokens.len();
        self.last = tokens[tokens.len() - 1];
        Ok(())
    }

    /// Says where the next submission begins, and with what.
    fn write_state(&mut self, position: usize, ids: &[u32]) -> Result<(), GpuError> {
        let state = [position, ids.len(), ids.len() - 1, 0].map(|number| number as u32);
        let queue = &self.device.queue;
        queue.write_buffer(&self.buffers.state, 0, bytemuck::cast_slice(&state));
        queue.write_buffer(&self.buffers.ids, 0, bytemuck::cast_slice(ids));
        self.device.check()
    }

    /// Submits a body with its head and the choice of the next token, whose id is copied to the ring.
    fn submit(&mut self, tokens: usize) -> Result<Flight, GpuError> {
        let place = self.turn % RING;
        self.turn += 1;
        let mut encoder = self.device.encoder();
        let body = if tokens == 1 { &self.single } else { &self.batched };
        record(&mut encoder, [body, &self.head, &self.next], tokens as u32);
        encoder.copy_buffer_to_buffer(&self.buffers.ids, 0, &self.ring[place], 0, 4);
        Ok(Flight { submission: self.device.submit(encoder)?, place })
    }

    /// The likeliest token behind the last one, the lowest id of equal ones; the device goes on with it meanwhile.
    ///
    /// # Errors
    /// Nothing was computed yet; what the device says.
    pub fn likeliest(&mut self) -> Result<u32, GpuError> {
        if let Some(known) = self.predicted {
            return Ok(known);
        }
        let Some(current) = self.current.take() else {
            return Err(GpuError::Operands("no token was computed since the last one was read".into()));
        };
        // Where the text went as predicted it is likely to do so again.
        if self.follows && self.position < self.shape.context {
            self.ahead = Some(self.submit(1)?);
        }
        let read = |bytes: &[u8]| bytemuck::pod_read_unaligned::<u32>(&bytes[..4]);
        let id = self.device.mapped(&self.ring[current.place], current.submission, read)?;
        self.predicted = Some(id);
        Ok(id)
    }

    /// The logits behind the last token.
    ///
    /// # Errors
    /// What the device says.
    pub fn logits(&mut self) -> Result<&[f32], GpuError> {
        if self.ahead.is_some() {
            // The device is past it: that token once more.
            self.land();
            self.position -= 1;
            self.forward(&[self.last])?;
        }
        let mut encoder = self.device.encoder();
        let bytes = 4 * self.shape.vocab as u64;
        encoder.copy_buffer_to_buffer(&self.buffers.logits, 0, &self.logits_staging, 0, bytes);
        self.read_logits(encoder)
    }

    /// The logits behind token `token` of the last [`Self::forward`].
    ///
    /// # Errors
    /// No such token; what the device says.
    pub fn logits_of(&mut self, token: usize) -> Result<&[f32], GpuError> {
        if token >= self.tokens {
            return Err(GpuError::Operands(format!("token {token} of {}", self.tokens)));
        }
        if self.tokens == 1 {
            return self.logits();
        }
        let state = [self.position as u32, 1, token as u32, 0];
        self.device.queue.write_buffer(&self.buffers.state, 0, bytemuck::cast_slice(&state));
        let mut encoder = self.device.encoder();
        record(&mut encoder, [&self.head], 1);
        let bytes = 4 * self.shape.vocab as u64;
        encoder.copy_buffer_to_buffer(&self.buffers.logits, 0, &self.logits_staging, 0, bytes);
        self.read_logits(encoder)
    }

    fn read_logits(&mut self, encoder: wgpu::CommandEncoder) -> Result<&[f32], GpuError> {
        let submission = self.device.submit(encoder)?;
        let (logits, bytes_of_all) = (&mut self.logits, 4 * self.shape.vocab);
        let read = |bytes: &[u8]| logits.copy_from_slice(bytemuck::cast_slice(&bytes[..bytes_of_all]));
        self.device.mapped(&self.logits_staging, submission, read)?;
        Ok(&self.logits)
    }
}

/// Records dispatches as one pass.
fn record<'a>(encoder: &mut wgpu::CommandEncoder, all: impl IntoIterator<Item = &'a Vec<Dispatch>>, tokens: u32) {
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    all.into_iter().flatten().for_each(|dispatch| dispatch.record(&mut pass, tokens));
}
