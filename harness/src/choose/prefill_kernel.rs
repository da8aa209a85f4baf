//! `--prefill-kernel`: which kernel computes batches of prompt tokens.
//!
//! The kernel that decodes fastest need not have the fastest gemm, and the fastest gemm may want a packing of its own,
//! which is a second copy of the weights: 0.5 GB at the 2B shape, and the time to pack it. `same` stays with the
//! decoding kernel; `auto` measures products of several batch sizes on the model's own matrix and takes another kernel
//! where this prompt gains more than the copy costs, if the memory is there; an id is taken as told. Whatever happens
//! is said and recorded.
//!
//! A kernel that reads weights as the file has them needs no copy where they may stay in the mapped file
//! ([`Chooser::mapped`]). Then a short prompt is done with it before packing for the decoding kernel would be: so the
//! prompt and the first token come first, and the packing after.

use super::chooser::Chooser;
use super::operands::MOST_TOKENS;
use super::probe::TIE;
use super::tuning::{Batch, Batches, SIZES, batches, gemm_from, with_gemm_from};
use crate::error::{Error, Result};
use crate::kernel_ids::unknown_kernel;
use crate::machine::{Machine, memory};
use crate::output::note;
use crate::registered;
use kernels::{Kernel, Tuning, registry};
use model::decoder::BATCH;
use receipt::figures::mib;
use receipt::{PrefillProbe, PrefillRecord};

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
    /// Whether it computes the whole prompt, and nothing is packed for the decoding kernel before.
    pub before_packing: bool,
}

/// The prompt that a kernel is wanted for.
#[derive(Clone, Copy, Debug)]
pub struct Prompt {
    pub tokens: usize,
    /// Whether the weights of the decoding kernel are still to be packed.
    pub unpacked: bool,
}

/// A plan, or none where the decoding kernel takes batches too; and for receipts why.
pub type PrefillDecision = (Option<PrefillPlan>, PrefillRecord);

impl PrefillPolicy {
    /// Reads the value of `--prefill-kernel`: `same`, `auto` or a kernel id.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "same" => Ok(Self::Same),
            "auto" => Ok(Self::Auto),
            id => {
                let wrong = |what: String| Error::input(format!("--prefill-kernel: {what}"));
                let fit = registered::all().filter(|d| d.exact() && d.gemm.is_some());
                let fit = fit.map(|d| d.id).collect::<Vec<_>>();
                match registered::find(id) {
                    None if registry::elsewhere(id).is_some() => {
                        Err(Error::unsupported(format!("--prefill-kernel: {}", unknown_kernel(id))))
                    }
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
    /// `decode` is not exact: then no kernel with a gemm gives its results. Says what it decides.
    pub fn decide(
        &self,
        decode: &Kernel,
        prompt: Prompt,
        chooser: &mut Chooser<'_>,
    ) -> Result<Option<PrefillDecision>> {
        let (d, prompt_tokens) = (decode.descriptor(), prompt.tokens);
        if !d.exact() || *self == Self::Same {
            chooser.with_batches(*decode, prompt_tokens)?;
            return Ok(None);
        }
        let requested = if let Self::Named(id) = self { id } else { "auto" };
        let mut choice = Choosing { requested, decode, chooser };
        let decision = match self {
            Self::Named(id) if *id != decode.id() => choice.named(id)?,
            Self::Named(_) => {
                choice.alone(prompt_tokens)?.decision(None, "named on the command line".into(), Vec::new())
            }
            Self::Auto | Self::Same => choice.measured(prompt)?,
        };
        let (plan, r) = &decision;
        let how = match plan {
            Some(plan) if plan.before_packing => format!(" before weights are packed for {} (", decode.id()),
            Some(_) => format!(" for batches of {} tokens and more beside {} (", r.from_tokens, decode.id()),
            None => ", as decoding (".into(),
        };
        let more = plan.filter(|_| r.extra_bytes > 0);
        let more = more.map_or_else(String::new, |_| format!("; {} more memory", mib(r.extra_bytes)));
        note(format!("prefill: {}{how}{}{more})", r.executed, r.reason));
        Ok(Some(decision))
    }
}

/// A choice for one decoding kernel.
struct Choosing<'a, 'm> {
    requested: &'a str,
    decode: &'a Kernel,
    chooser: &'a mut Chooser<'m>,
}

impl Choosing<'_, '_> {
    fn decision(&self, plan: Option<PrefillPlan>, reason: String, probe: Vec<PrefillProbe>) -> PrefillDecision {
        let (kernel, from_tokens) = plan.map_or((*self.decode, 2), |plan| (plan.kernel, plan.from_tokens));
        let (requested, executed) = (self.requested.into(), kernel.id().into());
        let extra_bytes = self.extra_bytes(&kernel);
        (plan, PrefillRecord { requested, executed, from_tokens, extra_bytes, reason, probe })
    }

    /// Whether an exact kernel gives the bits that the decoding one gives: those of its family do.
    fn same_results(&self, kernel: &Kernel) -> bool {
        kernel.descriptor().family() == self.decode.descriptor().family()
    }

    /// Memory of a second copy of the weights: 0 where the packing is the decoding kernel's, or the file's.
    fn extra_bytes(&self, prefill: &Kernel) -> u64 {
        let packing = prefill.descriptor().layout;
        let there = packing == self.decode.descriptor().layout || self.chooser.stays_mapped(packing);
        if there { 0 } else { self.chooser.model.packed_bytes(packing) }
    }

    /// The kernel asks ahead as the decoding one does, and all batches go to its gemm.
    fn plan(&mut self, kernel: Kernel, from_tokens: usize) -> PrefillPlan {
        let prefetch = self.decode.tuning().prefetch;
        let kernel = kernel.tuned(Tuning { prefetch, gemm_from: 2, ..kernel.tuning() });
        self.chooser.adopt(kernel);
        PrefillPlan { kernel, from_tokens, before_packing: false }
    }

    /// Without another kernel: batches go to the decoding kernel as it takes them.
    fn alone(&mut self, prompt_tokens: usize) -> Result<&Self> {
        self.chooser.with_batches(*self.decode, prompt_tokens)?;
        Ok(self)
    }

    fn named(&mut self, id: &str) -> Result<PrefillDecision> {
        // Its own gemm computes nothing: every batch goes to the other.
        self.chooser.batches_of(*self.decode, &[]);
        let kernel = self.chooser.machine.kernel(id)?;
        self.chooser.check_needs(&kernel)?;
        if !self.same_results(&kernel) {
            let (decode, family) = (self.decode.id(), self.decode.descriptor().family());
            let what = format!("{id} does not give the results of {decode}, which decodes; take one of {family}");
            return Err(Error::input(format!("--prefill-kernel: {what}")));
        }
        self.chooser.verify_meanwhile(kernel)?;
        let plan = self.plan(kernel, 2);
        Ok(self.decision(Some(plan), "named on the command line".into(), Vec::new()))
    }

    fn measured(&mut self, Prompt { tokens: prompt_tokens, unpacked }: Prompt) -> Result<PrefillDecision> {
        let stay = |own: &Self, why: String, probe| Ok(own.decision(None, why, probe));
        if prompt_tokens < SIZES[0] {
            self.alone(prompt_tokens)?;
            return stay(self, "the prompt is one token".into(), Vec::new());
        }
        if let Some(why) = self.chooser.cannot_probe()? {
            self.alone(prompt_tokens)?;
            return stay(self, format!("static choice: {why}"), Vec::new());
        }
        let (fitting, left_out) = self.that_fit()?;
        let kernels: Vec<Kernel> = [*self.decode].into_iter().chain(fitting).collect();
        let there: Vec<&str> = kernels.iter().filter(|kernel| self.extra_bytes(kernel) == 0).map(Kernel::id).collect();
        let to_pack = unpacked && !self.chooser.stays_mapped(self.decode.descriptor().layout);
        let operands = self.chooser.operands()?;
        let Batches { sizes: batches, kernels: gemms } = batches(&kernels, operands, prompt_tokens.min(MOST_TOKENS))?;
        let (share, probe) = (operands.share_of_model(), probed(&kernels, &batches));
        // What the prompt takes: batches of the decoder, each like the largest probed size that is no larger.
        let prompt_s = |us: &dyn Fn(&Batch) -> f64| {
            let (whole, rest) = (prompt_tokens / BATCH * BATCH, prompt_tokens % BATCH);
            let part = |tokens: usize| {
                let batch = batches.iter().rfind(|batch| batch.tokens <= tokens).or(batches.first());
                batch.map_or(0.0, |batch| us(batch) * tokens as f64 / batch.tokens as f64)
            };
            (part(whole) + part(rest)) / share / 1e6
        };
        let own = |batch: &Batch| batch.token_by_token_us.min(batch.gemm(self.decode.id()));
        let own_s = prompt_s(&own);
        let others = gemms.iter().filter(|kernel| kernel.id() != self.decode.id()).filter_map(|kernel| {
            let from = gemm_from(kernel.id(), &batches, own);
            let theirs = |batch: &Batch| if batch.tokens < from { own(batch) } else { batch.gemm(kernel.id()) };
            // A second copy costs the time to make it, once.
            let packing = || operands.packing_time(kernel.descriptor().layout).as_secs_f64();
            let copy_s = if there.contains(&kernel.id()) { 0.0 } else { packing() };
            let theirs_s = prompt_s(&theirs);
            (theirs_s * (1.0 + TIE) + copy_s < own_s).then_some((*kernel, from, theirs_s, copy_s))
        });
        let own_way = gemms.iter().find(|kernel| kernel.id() == self.decode.id()).unwrap_or(self.decode);
        let own_way = with_gemm_from(*own_way, &batches);
        let best = others.min_by(|a, b| (a.2 + a.3).total_cmp(&(b.2 + b.3)));
        let packing_s = operands.packing_time(self.decode.descriptor().layout).as_secs_f64();
        let in_file = gemms.iter().filter(|kernel| to_pack && self.chooser.stays_mapped(kernel.descriptor().layout));
        let in_file = in_file.map(|kernel| (*kernel, prompt_s(&|batch: &Batch| batch.gemm(kernel.id()))));
        let first = before_packing(in_file, packing_s);
        self.chooser.batches_of(own_way, &batches);
        let n = prompt_tokens;
        if let Some((kernel, s)) = first {
            let reason = format!("products of {n} tokens take {s:.2} s on the file as it is, packing {packing_s:.2} s");
            self.chooser.verify_meanwhile(kernel)?;
            let plan = PrefillPlan { before_packing: true, ..self.plan(kernel, 2) };
            return Ok(self.decision(Some(plan), reason, probe));
        }
        let Some((kernel, from_tokens, theirs_s, copy_s)) = best else {
            let why =
                format!("products of {n} tokens take {own_s:.2} s; no other kernel saves more than its copy costs");
            return stay(self, why + &left_out, probe);
        };
        let reason = format!(
            "products of {n} tokens take {theirs_s:.2} s and packing {copy_s:.2} s, with {} {own_s:.2} s{left_out}",
            self.decode.id()
        );
        self.chooser.verify_meanwhile(kernel)?;
        let plan = self.plan(kernel, from_tokens);
        Ok(self.decision(Some(plan), reason, probe))
    }

    /// The other kernels with a gemm whose copy of the weights fits, and which was left out because its does not.
    fn that_fit(&self) -> Result<(Vec<Kernel>, String)> {
        let free = memory::available();
        // As much again stays free.
        let fits = |kernel: &Kernel| {
            let extra = self.extra_bytes(kernel);
            extra == 0 || free.is_some_and(|free| extra.saturating_mul(2) <= free)
        };
        let gemms = self.chooser.candidates()?.into_iter().filter(|k| k.descriptor().exact());
        let others = gemms.filter(|k| k.descriptor().gemm.is_some() && k.id() != self.decode.id());
        let others = others.filter(|k| self.same_results(k));
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

/// Of what needs no copy the fastest, if its whole prompt takes less than half of the time of the packing that would
/// come first: packing has to be done some time, and what is won is the wait for the first token.
fn before_packing<K>(in_file: impl Iterator<Item = (K, f64)>, packing_s: f64) -> Option<(K, f64)> {
    in_file.min_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, prompt_s)| 2.0 * prompt_s < packing_s)
}

/// The times by kernel; those of the decoding kernel without a gemm are of its tokens one by one.
fn probed(kernels: &[Kernel], batches: &[Batch]) -> Vec<PrefillProbe> {
    let times = |kernel: &Kernel| {
        let us = |batch: &Batch| {
            batch.gemm_us.iter().find(|(id, _)| *id == kernel.id()).map_or(batch.token_by_token_us, |(_, us)| *us)
        };
        batches.iter().map(|batch| (batch.tokens, us(batch))).collect()
    };
    kernels.iter().map(|kernel| PrefillProbe { kernel: kernel.id().into(), tokens_us: times(kernel) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::builtin;
    use model::loading::Loading;
    use model::weights::Model;

    #[test]
    fn words_and_ids_are_told_apart() {
        assert_eq!(PrefillPolicy::parse("same").expect("known"), PrefillPolicy::Same);
        assert_eq!(PrefillPolicy::parse("auto").expect("known"), PrefillPolicy::Auto);
        // Of this architecture: one with a product for batches, one without, one of another.
        let [with, without, theirs] = if cfg!(target_arch = "aarch64") {
            ["neon-sdot-tile16", "neon-i8", "avx2-i8"]
        } else {
            ["avx2-i8", "scalar-i8", "neon-i8"]
        };
        assert!(matches!(PrefillPolicy::parse(with), Ok(PrefillPolicy::Named(_))));
        let error = |text| PrefillPolicy::parse(text).expect_err("refused").to_string();
        assert!(error("avx9").contains("no kernel \"avx9\""), "{}", error("avx9"));
        for no_gemm in ["scalar", "scalar-i8", without] {
            assert!(error(no_gemm).contains(&format!("these have: {with}, ")), "{}", error(no_gemm));
        }
        assert_eq!(PrefillPolicy::parse(theirs).expect_err("another architecture's").exit() as i32, 5);
    }

    #[test]
    fn decisions_name_the_kernel_the_memory_and_the_reason() {
        let model = Model::load(builtin::open().expect("built in"), None, &mut Loading::alone()).expect("valid");
        let machine = Machine::for_tests(kernels::CpuFeatures::detect());
        let mut exact = machine.kernels(None).expect("some");
        exact.retain(|k| k.descriptor().exact());
        let mut chooser = Chooser::new(&model, &machine);
        let mut decide = |policy: PrefillPolicy, kernel: &Kernel, tokens| {
            policy.decide(kernel, Prompt { tokens, unpacked: true }, &mut chooser).expect("decides")
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
            assert!(plan.is_some_and(|plan| !plan.before_packing));
        }
        // In the mapped file, what reads it as it is needs no memory.
        chooser.mapped = true;
        for kernel in exact.iter().filter(|k| k.descriptor().gemm.is_some() && k.id() != decode.id()) {
            let prompt = Prompt { tokens: 100, unpacked: true };
            let named = PrefillPolicy::Named(kernel.id().into()).decide(decode, prompt, &mut chooser);
            let (plan, record) = named.expect("decides").expect("recorded");
            assert!(plan.is_some_and(|plan| !plan.before_packing), "as told: {}", kernel.id());
            let [layout, own] = [kernel, decode].map(|kernel| kernel.descriptor().layout);
            let there = layout == own || model.lies_as(layout);
            assert_eq!(record.extra_bytes, if there { 0 } else { model.packed_bytes(layout) }, "{}", kernel.id());
        }
    }

    /// Faked timings.
    #[test]
    fn the_prompt_comes_before_the_packing_where_the_wait_is_much_shorter() {
        let first = |times: &[(&'static str, f64)]| before_packing(times.iter().copied(), 0.4);
        assert_eq!(first(&[("slow", 0.3), ("fast", 0.1)]), Some(("fast", 0.1)));
        assert_eq!(first(&[("slow", 0.3), ("fast", 0.21)]), None, "a long prompt");
        assert_eq!(first(&[]), None, "nothing reads the file as it is");
        assert_eq!(before_packing([("fast", 0.0)].into_iter(), 0.0), None, "nothing to pack");
    }
}
