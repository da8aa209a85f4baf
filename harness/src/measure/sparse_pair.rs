//! One kernel with and without skipping zero gates, in the same rounds. Ids and logits must be the same.

use super::clock::ThreadUsage;
use super::generation::{as_round, summarize};
use super::records;
use super::rounds::orders;
use crate::error::{Error, Result};
use kernels::Kernel;
use model::decoder::Decoder;
use model::generate::{Generation, Request, Session};
use model::stop::StopReason;
use receipt::judge::{Method, medians};
use receipt::{GenerationKernel, GenerationRound, SparseFfnRecord};
use std::sync::atomic::{AtomicBool, Ordering};

/// What an entry with sparsity is called.
pub fn sparse_id(kernel: &Kernel) -> String {
    format!("{}+sparse", kernel.id())
}

/// The two decoders and what both generate.
pub struct Pair<'p, 'm> {
    pub kernel: Kernel,
    pub dense: &'p mut Decoder<'m>,
    pub sparse: &'p mut Decoder<'m>,
    pub request: Request,
    pub seed: u64,
}

/// Whether a time limit or the user ended it: then two runs may differ in length.
fn cut_off(out: &Generation) -> bool {
    matches!(out.stop_reason, StopReason::Timeout | StopReason::Interrupted)
}

impl Pair<'_, '_> {
    /// The record of the sparse decoder, with the dense one in interleaved rounds beside it. None without a whole
    /// round.
    ///
    /// # Errors
    /// Ids or last logits that differ in a single bit.
    pub fn run(self, rounds: usize, interrupted: &AtomicBool) -> Result<Option<GenerationKernel>> {
        let mut runs: [Vec<(GenerationRound, Generation)>; 2] = Default::default();
        let decoders = [self.dense, self.sparse];
        // The dense decoder has run before. A few tokens take the page faults of the new one.
        let warm_up = Request { max_tokens: self.request.max_tokens.min(3), ..self.request.clone() };
        Session::new(decoders[1], warm_up)?.run(interrupted, &mut |_| {})?;
        'rounds: for (round, order) in orders(2, rounds, self.seed).into_iter().enumerate() {
            for (position, index) in order.into_iter().map(usize::from).enumerate() {
                if interrupted.load(Ordering::Relaxed) {
                    break 'rounds;
                }
                let session = Session::new(decoders[index], self.request.clone())?;
                let before = ThreadUsage::now();
                let out = session.run(interrupted, &mut |_| {})?;
                runs[index].push((as_round(round, position, &out, ThreadUsage::now().since(before)), out));
            }
            let [Some((_, dense)), Some((_, sparse))] = runs.each_ref().map(|r| r.last()) else { break };
            let id = sparse_id(&self.kernel);
            let both = dense.token_ids.len().min(sparse.token_ids.len());
            let cut = cut_off(dense) || cut_off(sparse);
            if dense.token_ids[..both] != sparse.token_ids[..both] || (!cut && dense.token_ids != sparse.token_ids) {
                return Err(Error::failed(format!("{id} generates other ids than {}", self.kernel.id())));
            }
            let logits = decoders.each_ref().map(|decoder| decoder.last_logits());
            let differs = logits[0].iter().zip(logits[1]).position(|(a, b)| a.to_bits() != b.to_bits());
            if let (false, Some(at)) = (cut, differs) {
                let (dense, sparse) = (logits[0][at], logits[1][at]);
                return Err(Error::failed(format!("{id}: last logit {at} is {sparse}, without sparsity {dense}")));
            }
        }
        let [dense, sparse] = runs;
        let Some(record) = summarize(&self.kernel, sparse, decoders[1].bytes_per_token()) else { return Ok(None) };
        let sparse_ffn = decoders[1].sparse().map(records::sparse_ffn).map(|record| SparseFfnRecord {
            dense_kernel: Some(self.kernel.id().into()),
            dense_rounds: dense.into_iter().map(|(round, _)| round).collect(),
            ..record
        });
        let mut record = GenerationKernel { kernel: sparse_id(&self.kernel), sparse_ffn, ..record };
        medians::summarize(&mut record, 0);
        medians::compare(Method::Current, std::slice::from_mut(&mut record), &[]);
        Ok(Some(record))
    }
}
