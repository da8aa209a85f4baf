//! Kernels as `list kernels` prints them, those of the CPU and those of a GPU.

use crate::output::table;
use receipt::KernelRecord;

/// Kernels as a table, and what each is below it.
pub fn kernel_table(kernels: &[KernelRecord]) -> String {
    let rows = kernels.iter().map(|k| {
        let runs = k.reason.clone().unwrap_or_else(|| "yes".into());
        let exact = if k.exact { "exact" } else { "f32 rounding" };
        vec![
            k.id.clone(),
            k.family.to_string(),
            k.packing.clone(),
            if k.bits_per_weight.is_nan() { "-".into() } else { format!("{:.3}", k.bits_per_weight) },
            exact.into(),
            k.ops.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            runs,
        ]
    });
    let head = ["kernel", "family", "packing", "bits/weight", "result", "operations", "runs here"];
    let mut lines = vec![table(&head, &[3], rows)];
    for kernel in kernels {
        let base = kernel.builds_on.as_ref().map(|b| format!(" (builds on {b})")).unwrap_or_default();
        lines.push(format!("{}: {}{base}", kernel.id, kernel.summary));
        if let Some(foreign) = &kernel.foreign {
            let said = [&foreign.origin, &foreign.compiler].into_iter().flatten().map(|text| format!(", {text}"));
            lines.push(format!("  of {} ({}){}", foreign.library, foreign.sha256, said.collect::<String>()));
        }
    }
    lines.join("\n")
}
