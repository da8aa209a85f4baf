//! What a run will do, once everything that can be refused before it starts has been looked at.

use super::args::MeasureArgs;
use crate::choose::able;
use crate::choose::prefill_kernel::PrefillPolicy;
use crate::engines::selection::Selected;
use crate::error::{Error, Result};
use crate::examine::examine;
use crate::guests::Guests;
use crate::load_model::{Head, Loaded, Reading, load_if};
use crate::machine::{Machine, emulated, memory};
use crate::measure::end_to_end;
use crate::output::note;
use crate::runs::{RunFolder, new_receipt};
use crate::scenario::{Scaling, Scenario};
use crate::{bitnet_environment, build_info, estimate, matrix, registered};
use kernels::{Kernel, Layout};
use model::sparse_ffn::Sparsity;
use model::weights::Opened;
use receipt::judge::doctor;
use receipt::{KernelRecord, Receipt};

/// The date and time with which a run begins; nothing is timed by it.
pub fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// How texts are generated and scored.
pub struct Texts {
    /// None: the one that suits the file and the kernels.
    pub head: Option<Head>,
    /// Whether a kernel that skips zero gates is measured too, in a row of its own.
    pub sparsity: Sparsity,
    pub prefill: PrefillPolicy,
    /// Engines that are given the model too; none where the run is not about engines.
    pub engines: Vec<Selected>,
}

/// What a run will do: scenario, machine and kernels, checked against each other.
pub struct Plan {
    pub scenario: Scenario,
    pub machine: Machine,
    pub kernels: Vec<Kernel>,
    /// Ids of the kernels that were asked for by name; `None` when all are measured.
    pub named: Option<Vec<String>>,
    pub texts: Texts,
    /// `--strict`: an unstable comparison is an error.
    pub strict: bool,
    deterministic: bool,
}

impl Plan {
    /// Checks flags, scenario, kernels and machine against each other.
    pub fn new(args: &MeasureArgs, mut scenario: Scenario, texts: Texts) -> Result<(Self, Guests)> {
        build_info::refuse_to_time_a_debug_build()?;
        if args.quick {
            scenario.make_quick();
        }
        args.matrix.apply(&mut scenario)?;
        let deterministic = args.deterministic || bitnet_environment::deterministic()?;
        if deterministic && scenario.generate.as_ref().is_some_and(|g| g.timeout_s.is_some()) {
            let name = &scenario.name;
            let what = "its time limit decides how many tokens there are; take another scenario";
            return Err(Error::input(format!("--deterministic: scenario {name}: {what}")));
        }
        let machine = args.machine.check(1)?;
        let strict = args.strict || bitnet_environment::strict_mode()?;
        if strict {
            machine.refuse_mask()?;
        }
        let mut guests = Guests::open(&args.guests, &machine, args.seed)?;
        let named = guests.take_named(args.kernels.clone().or_else(|| scenario.kernel_ids()))?;
        let kernels = machine.kernels(named.as_deref())?;
        texts.prefill.check(&machine)?;
        args.matrix.check(&scenario, &kernels, &guests, &machine)?;
        let texts_asked = scenario.generate.is_some()
            || scenario.perplexity.is_some()
            || !scenario.rules.is_empty()
            || !texts.engines.is_empty();
        if scenario.model.is_none() && texts_asked {
            scenario.model = Some("builtin".into());
        }
        emulated::refuse_to_time()?;
        Ok((Self { scenario, machine, kernels, named, texts, strict, deterministic }, guests))
    }

    /// Makes the run's folder and its receipt, before the first measurement.
    pub fn begin(&self, args: &MeasureArgs, guests: &Guests) -> Result<(RunFolder, Receipt)> {
        let timestamp = now();
        let folder = RunFolder::create(args.out.as_deref(), &self.scenario.name, &timestamp)?;
        let mut receipt = new_receipt(timestamp, &self.scenario, &self.machine, args.seed);
        receipt.settings.kernels_requested = args.kernels.clone().or_else(|| self.named.clone());
        receipt.kernels.extend(guests.records().cloned());
        receipt.settings.deterministic = self.deterministic;
        let needed = matrix::least_memory(&self.scenario.cells(self.machine.l2()), &self.kernels);
        receipt.examination = Some(examine(needed));
        note(doctor::worst_in_words(&doctor::of_receipt(&receipt)));
        Ok((folder, receipt))
    }

    /// Writes the receipt, so that from here on a killed run leaves a readable one, and loads the model. Then says how
    /// long the run will take. From here on cells of groups are scaled as the model is.
    pub fn load(&mut self, folder: &mut RunFolder, receipt: &Receipt) -> Result<Option<Loaded>> {
        folder.begin(receipt)?;
        let fits =
            |opened: &Opened| self.scenario.generate.as_ref().map_or(Ok(()), |asked| end_to_end::fits(asked, opened));
        let model = self.scenario.model.as_deref();
        let loaded = model.map(|model| load_if(model, None, &self.machine, Reading::All, fits)).transpose()?;
        let loaded = loaded.map(|loaded| loaded.by_rule(self.scenario.activations));
        if let Some(loaded) = &loaded {
            self.scenario.scaling = Scaling::of(able::needs(&loaded.model, &self.machine)?);
        }
        loaded.as_ref().map_or(Ok(()), |loaded| self.require_memory_for_all(loaded))?;
        loaded.as_ref().map_or(Ok(()), |loaded| self.require_a_speaker(loaded))?;
        let cells = self.scenario.cells(self.machine.l2());
        let model_weights = loaded.as_ref().map_or(0, |l| l.model.ternary_weights());
        let takes_part = |record: &&KernelRecord| {
            let ours = self.kernels.iter().any(|kernel| kernel.id() == record.id);
            ours || (record.available && registered::find(&record.id).is_none())
        };
        let kernels: Vec<&KernelRecord> = receipt.kernels.iter().filter(takes_part).collect();
        note(estimate::in_words(&self.scenario, &cells, &kernels, model_weights));
        Ok(loaded)
    }

    /// Refuses a run all of whose named kernels cannot multiply the model's weights.
    fn require_a_speaker(&self, loaded: &Loaded) -> Result<()> {
        if self.named.is_none() || self.kernels.is_empty() {
            return Ok(());
        }
        let needs = able::needs(&loaded.model, &self.machine)?;
        let unmet: Vec<String> = self.kernels.iter().filter_map(|k| k.descriptor().can_run(needs).err()).collect();
        match unmet.first() {
            Some(why) if unmet.len() == self.kernels.len() => {
                Err(able::refusal(&loaded.model, why, &self.machine, needs))
            }
            _ => Ok(()),
        }
    }

    /// One copy of the weights for each packing that the kernels read; all are kept, so that kernels can take turns.
    fn require_memory_for_all(&self, loaded: &Loaded) -> Result<()> {
        let mut packings: Vec<&'static Layout> = Vec::new();
        for layout in self.kernels.iter().map(|k| k.descriptor().layout) {
            if !packings.contains(&layout) {
                packings.push(layout);
            }
        }
        let (model, head) = (&loaded.model, matches!(self.texts.head, None | Some(Head::Ternary)));
        let head = |packing| if head { model.ternary_head_bytes(packing) } else { 0 };
        let bytes = packings.iter().map(|&packing| model.packed_bytes(packing) + head(packing)).sum();
        let what = format!("model {} in {} packings (name fewer with --kernels)", loaded.record.path, packings.len());
        memory::require_memory(bytes, &what)
    }
}
