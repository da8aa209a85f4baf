//! Which machine a receipt is of, by what the machine says about itself: no host name, so that a receipt can be handed
//! on. Two machines of one kind are one here: their times may stand in one table.

use crate::figures;
use crate::record::Receipt;
use sha2::{Digest, Sha256};

/// A kind of machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// SHA-256 over CPU family, model, stepping, CPUs, caches, memory in GiB and hypervisor; of a run on a GPU, over
    /// this too.
    pub id: String,
    /// Name of the CPU, or of the GPU that the run is about.
    pub name: String,
    /// The rest of what the id is made of, in words.
    pub facts: String,
}

impl Machine {
    /// The machine of a receipt.
    pub fn of(receipt: &Receipt) -> Self {
        let h = &receipt.host;
        // A CPU without CPUID is told by its name.
        let (kind, shown) = match h.family_model_stepping {
            Some([family, model, stepping]) => {
                (format!("{family}/{model}/{stepping}"), format!("family {family}, model {model}, stepping {stepping}"))
            }
            None => (format!("{} {}", h.arch, h.cpu), h.arch.clone()),
        };
        let memory = h.memory_bytes.map(|bytes| bytes.saturating_add(1 << 29) >> 30);
        let device = receipt.device.as_ref().map(|device| device.in_words());
        let (caches, hypervisor) = (&h.caches_bytes, h.hypervisor.as_deref());
        let whole = format!("{:?}", (&kind, h.cpus, caches, memory, hypervisor, &device));
        let id = Sha256::digest(whole.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let sizes: Vec<String> = caches.iter().map(|bytes| figures::bytes(*bytes)).collect();
        let facts = [
            Some(shown),
            Some(format!("{} CPU{}", h.cpus, if h.cpus == 1 { "" } else { "s" })),
            (!sizes.is_empty()).then(|| format!("caches {}", sizes.join(", "))),
            memory.map(|gib| format!("{gib} GiB")),
            hypervisor.map(|name| format!("under {name}")),
        ];
        let facts = facts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        Self { id, name: receipt.measured_on(), facts }
    }

    /// The id as far as it is shown.
    pub fn short(&self) -> &str {
        &self.id[..10]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use std::collections::HashSet;

    #[test]
    fn a_machine_is_what_it_says_about_itself() {
        let id = |change: &dyn Fn(&mut Receipt)| {
            let mut receipt = fixture::complete();
            receipt.host.memory_bytes = Some(64 << 30);
            change(&mut receipt);
            Machine::of(&receipt).id
        };
        let own = id(&|_| {});
        assert_eq!(own.len(), 64);
        // Memory that a system keeps for itself, the day, the load, the system's version.
        assert_eq!(own, id(&|r| r.host.memory_bytes = Some((64 << 30) - (300 << 20))));
        assert_eq!(own, id(&|r| r.timestamp = "2027-01-01T00:00:00Z".into()));
        assert_eq!(own, id(&|r| r.host.os = "another".into()));
        let others: [&dyn Fn(&mut Receipt); 6] = [
            &|r| r.host.family_model_stepping = Some([1, 2, 3]),
            &|r| r.host.family_model_stepping = None,
            &|r| r.host.cpus += 1,
            &|r| r.host.caches_bytes = vec![1, 2, 3],
            &|r| r.host.memory_bytes = Some(32 << 30),
            &|r| r.host.hypervisor = Some("another".into()),
        ];
        let distinct: HashSet<String> = others.into_iter().map(id).chain([own]).collect();
        assert_eq!(distinct.len(), 7);
    }
}
