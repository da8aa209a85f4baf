//! `--prefill-kernel`: which kernel computes batches of prompt tokens.
//!
//! The kernel that decodes fastest need not have the fastest gemm, and the fastest gemm may want a packing of its own,
//! which is a second copy of the weights: 0.5 GB at the 2B shape, and the time to pack it. So nothing is taken unasked:
//! `same` stays with the decoding kernel; `auto` measures products of several batch sizes on the model's own matrix and
//! takes another kernel from the size on from which it is faster, if the memory is there; an id is taken as told.
//! Whatever happens is said and recorded.

use super::decode_kernel::{packed, verified};
use super::probe;
use crate::error::{Error, Result};
use crate::kernel_ids::unknown_kernel;
use crate::machine::{Machine, memory};
use crate::output::note;
use kernels::random::SplitMix64;
use kernels::{F32Ops, Kernel, KernelError, LinearInput, Product, registry};
use model::weights::Model;
use receipt::figures::mib;
use receipt::{PrefillProbe, PrefillRecord};
use std::time::Duration;

/// What `--prefill-kernel` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrefillPolicy {
    /// `same`: the decoding kernel computes batches of prompt tokens too.
    Same,
    /// `auto`: a measurement decides whether another kernel takes the batches.
    Auto,
    /// The kernel with this id.
    Named(String),
}

/// Another kernel than the decoding one for batches of prompt tokens, and from which batch size on.
#[derive(Clone, Copy, Debug)]
pub struct PrefillPlan {
    pub kernel: Kernel,
    /// Tokens of the smallest batch that goes to this kernel.
    pub from_tokens: usize,
}

/// A plan, or none where the decoding kernel takes batches too; and for receipts why.
pub type PrefillDecision = (Option<PrefillPlan>, PrefillRecord);

/// Batch sizes of the probe: around the tiles of the kernels, up to the decoder's batch.
const PROBED: [usize; 7] = [2, 4, 8, 24, 48, 96, 128];
/// Time for the probe of each size.
const PROBE: Duration = Duration::from_millis(60);
/// A gemm must be this much faster to be taken, above what noise may feign; with a second copy of the weights it must
/// be worth that.
const GAIN: f64 = 1.03;
const GAIN_WITH_COPY: f64 = 1.10;

impl PrefillPolicy {
    /// Reads the value of `--prefill-kernel`: `same`, `auto` or a kernel id.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "same" => Ok(Self::Same),
            "auto" => Ok(Self::Auto),
            id => {
                let wrong = |what: String| Error::input(format!("--prefill-kernel: {what}"));
                let fit = registry::KERNELS.iter().filter(|d| d.exact() && d.gemm.is_some());
                let fit = fit.map(|d| d.id).collect::<Vec<_>>();
                match registry::find(id) {
                    None => Err(wrong(format!("{}; or same, or auto", unknown_kernel(id)))),
                    Some(_) if fit.contains(&id) => Ok(Self::Named(id.into())),
                    _ => Err(wrong(format!("{id} has no exact product for batches; these have: {}", fit.join(", ")))),
                }
            }
        }
    }

    /// Whether this CPU has the named kernel.
    pub fn check(&self, machine: &Machine) -> Result<()> {
        if let Self::Named(id) = self { machine.kernel(id).map(|_| ()) } else { Ok(()) }
    }

    /// The kernel for batches of a prompt of `prompt_tokens` beside `decode`. None when nothing was asked, or when
    /// `decode` is not exact on int8: then no other kernel gives its results. Says what it decides.
    pub fn decide(
        &self,
        decode: &Kernel,
        prompt_tokens: usize,
        model: &Model,
        machine: &Machine,
    ) -> Result<Option<PrefillDecision>> {
        if !decode.descriptor().exact() {
            return Ok(None);
        }
        let decision = match self {
            Self::Same => return Ok(None),
            Self::Named(id) => {
                let kernel = verified(machine.kernel(id)?)?;
                let plan = (kernel.id() != decode.id()).then_some(PrefillPlan { kernel, from_tokens: 2 });
                let choice = Choice { requested: id, decode, model, machine };
                choice.decision(plan, "named on the command line".into(), Vec::new())
            }
            Self::Auto => Choice { requested: "auto", decode, model, machine }.measured(prompt_tokens)?,
        };
        let (plan, r) = &decision;
        let how = match plan {
            Some(_) => format!(" for batches of {} tokens and more beside {} (", r.from_tokens, decode.id()),
            None => ", as decoding (".into(),
        };
        let more = plan.map_or_else(String::new, |_| format!("; {} more memory", mib(r.extra_bytes)));
        note(format!("prefill: {}{how}{}{more})", r.executed, r.reason));
        Ok(Some(decision))
    }
}

/// A choice for one decoding kernel.
struct Choice<'a> {
    requested: &'a str,
    decode: &'a Kernel,
    model: &'a Model,
    machine: &'a Machine,
}

impl Choice<'_> {
    fn decision(&self, plan: Option<PrefillPlan>, reason: String, probe: Vec<PrefillProbe>) -> PrefillDecision {
        let (kernel, from_tokens) = plan.map_or((*self.decode, 2), |plan| (plan.kernel, plan.from_tokens));
        let (requested, executed) = (self.requested.into(), kernel.id().into());
        let extra_bytes = self.extra_bytes(&kernel);
        (plan, PrefillRecord { requested, executed, from_tokens, extra_bytes, reason, probe })
    }

    /// Memory of a second copy of the weights, 0 where the packing is the decoding kernel's.
    fn extra_bytes(&self, prefill: &Kernel) -> u64 {
        let packing = prefill.descriptor().layout;
        if packing == self.decode.descriptor().layout { 0 } else { self.model.packed_bytes(packing) }
    }

    fn measured(&self, prompt_tokens: usize) -> Result<PrefillDecision> {
        let stay = |why: String, probe| Ok(self.decision(None, why, probe));
        if prompt_tokens < PROBED[0] {
            return stay("the prompt is one token".into(), Vec::new());
        }
        let (fitting, left_out) = self.that_fit()?;
        let candidates = [*self.decode].into_iter().chain(fitting).map(verified).collect::<Result<Vec<_>>>()?;
        let probe = probe_products(&candidates, self.model, self.machine)?;
        let own = &probe[0].tokens_us;
        // From which size on a kernel is faster at every probed size, and how much it gains where this prompt will be.
        let at = own.iter().rposition(|(tokens, _)| *tokens <= prompt_tokens).unwrap_or(0);
        let best = candidates
            .iter()
            .zip(&probe)
            .skip(1)
            .filter_map(|(kernel, theirs)| {
                let gain = |i: usize| own[i].1 / theirs.tokens_us[i].1;
                let needed = if self.extra_bytes(kernel) > 0 { GAIN_WITH_COPY } else { GAIN };
                let from = (0..own.len()).rev().take_while(|&i| gain(i) >= needed).last()?;
                (from <= at).then(|| (kernel, own[from].0, gain(at)))
            })
            .max_by(|a, b| a.2.total_cmp(&b.2));
        let tokens = own[at].0;
        let Some((&kernel, from_tokens, gain)) = best else {
            let why = format!(
                "no other kernel's product with {tokens} tokens measured {GAIN_WITH_COPY:.2}x its own \
                 ({GAIN:.2}x without a second copy of the weights){left_out}"
            );
            return stay(why, probe);
        };
        let reason = format!(
            "its product with {tokens} tokens measured {gain:.2}x that of {} on this model's largest matrix{left_out}",
            self.decode.id()
        );
        Ok(self.decision(Some(PrefillPlan { kernel, from_tokens }), reason, probe))
    }

    /// The other kernels with a gemm whose copy of the weights fits, and which was left out because its does not.
    fn that_fit(&self) -> Result<(Vec<Kernel>, String)> {
        let free = memory::available();
        // As much again stays free.
        let fits = |kernel: &Kernel| {
            let extra = self.extra_bytes(kernel);
            extra == 0 || free.is_some_and(|free| extra.saturating_mul(2) <= free)
        };
        let gemms = self.machine.kernels(None)?.into_iter().filter(|k| k.descriptor().exact());
        let others = gemms.filter(|k| k.descriptor().gemm.is_some() && k.id() != self.decode.id());
        let (fitting, too_large): (Vec<Kernel>, Vec<Kernel>) = others.partition(fits);
        let left_out = match (too_large.first(), free) {
            (None, _) => String::new(),
            (Some(k), Some(free)) => {
                let (id, copy, free) = (k.id(), mib(self.extra_bytes(k)), mib(free));
                format!("; {id} was left out: its copy of {copy} needs twice that in free memory, there are {free}")
            }
            (Some(k), None) => format!("; {} was left out: how much memory is free is not known here", k.id()),
        };
        Ok((fitting, left_out))
    }
}

/// Median time of one product by batch size. All kernels must give the same sums.
fn probe_products(kernels: &[Kernel], model: &Model, machine: &Machine) -> Result<Vec<PrefillProbe>> {
    let failed = |e: KernelError| Error::failed(format!("prefill probe: {e}"));
    let mut team = machine.team()?;
    let packed = packed(kernels, model)?;
    let (k, rows, most) = (model.config.dim, model.config.ffn, PROBED[PROBED.len() - 1]);
    let mut random = SplitMix64::new(1);
    let x: Vec<f32> = (0..most * k).map(|_| random.signed_unit()).collect();
    let input = LinearInput::new(most, k, F32Ops::select(machine.features));
    let mut inputs = vec![input; kernels.len()];
    let (mut y, mut integers, mut expected) = (vec![0f32; most * rows], vec![0i32; most * rows], Vec::new());
    let named = |kernel: &Kernel| PrefillProbe { kernel: kernel.id().into(), tokens_us: Vec::new() };
    let mut probes: Vec<PrefillProbe> = kernels.iter().map(named).collect();
    for tokens in PROBED {
        for (input, kernel) in inputs.iter_mut().zip(kernels) {
            input.prepare(&mut team, kernel, k, &x[..tokens * k]).map_err(failed)?;
        }
        let evidence = probe::probe(kernels.len(), PROBE, |number, first| {
            let (kernel, y) = (&kernels[number], &mut y[..tokens * rows]);
            let weights = &packed[&kernel.descriptor().layout];
            let product = [Product { weights, y: &mut *y }];
            kernel.linear(&mut team, product, &inputs[number], &mut integers).map_err(failed)?;
            if first && number == 0 {
                expected = y.to_vec();
            } else if first && y != expected {
                let (id, other) = (kernel.id(), kernels[0].id());
                return Err(Error::failed(format!("prefill probe: {id} and {other} differ at {tokens} tokens")));
            }
            Ok(())
        })?;
        probes.iter_mut().zip(evidence.us).for_each(|(probe, us)| probe.tokens_us.push((tokens, us)));
    }
    Ok(probes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::builtin;
    use model::loading::Loading;

    #[test]
    fn words_and_ids_are_told_apart() {
        assert_eq!(PrefillPolicy::parse("same").expect("known"), PrefillPolicy::Same);
        assert_eq!(PrefillPolicy::parse("auto").expect("known"), PrefillPolicy::Auto);
        assert!(matches!(PrefillPolicy::parse("avx512-lut16"), Ok(PrefillPolicy::Named(_))));
        let error = |text| PrefillPolicy::parse(text).expect_err("refused").to_string();
        assert!(error("avx9").contains("no kernel \"avx9\""), "{}", error("avx9"));
        for no_gemm in ["scalar", "scalar-i8", "avx512-vnni-trit5"] {
            assert!(error(no_gemm).contains("avx2-i8-tile8, avx2-lut8, avxvnni-tile8"), "{}", error(no_gemm));
        }
    }

    #[test]
    fn decisions_name_the_kernel_the_memory_and_the_reason() {
        let model = Model::load(builtin::open().expect("built in"), None, &mut Loading::alone()).expect("valid");
        let machine = Machine::for_tests(kernels::CpuFeatures::detect());
        let mut exact = machine.kernels(None).expect("some");
        exact.retain(|k| k.descriptor().exact());
        let decide = |policy: PrefillPolicy, kernel: &Kernel, tokens| {
            policy.decide(kernel, tokens, &model, &machine).expect("decides")
        };
        for kernel in &exact {
            assert!(decide(PrefillPolicy::Same, kernel, 100).is_none());
            let (plan, record) = decide(PrefillPolicy::Auto, kernel, 1).expect("recorded");
            assert!(plan.is_none() && record.executed == kernel.id());
        }
        // With several candidates the probe runs, and all of them give the same sums.
        let decode = exact.last().expect("scalar-i8 runs everywhere");
        let (_, record) = decide(PrefillPolicy::Auto, decode, 100).expect("recorded");
        let gemms = exact.iter().filter(|k| k.descriptor().gemm.is_some() && k.id() != decode.id());
        assert_eq!(record.probe.len(), 1 + gemms.clone().count());
        for kernel in gemms {
            let named = decide(PrefillPolicy::Named(kernel.id().into()), decode, 100);
            let (plan, record) = named.expect("recorded");
            let layout = kernel.descriptor().layout;
            let copy = if layout == decode.descriptor().layout { 0 } else { model.packed_bytes(layout) };
            assert_eq!((&record.executed[..], record.from_tokens, record.extra_bytes), (kernel.id(), 2, copy));
            assert!(plan.is_some());
        }
    }
}
