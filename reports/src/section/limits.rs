//! The machine's limits, and each kernel's share of the bound that binds it at the headline shapes.

use super::{anchors, of_family};
use crate::document::{Block, Cell, Column, Row, Section, Table, Value};
use crate::{chart, query};
use receipt::{BoundBy, Family, Limits, MicroCell, Receipt, figures};

const NOTE: &str = "The bound of a row is the smallest of these: moving its bytes at this machine's streaming rate, \
                    making its products at the peak of its multiply instruction, and, with weights in cache where the \
                    run could ask llvm-mca, the port mix of its loop, i.e. the cycles in which the ports of a modelled \
                    CPU can take all instructions of the loop. The share is what the kernel reached of it. Small \
                    print: what binds, and the products a cycle and thread. A port mix that some row outran is left \
                    out: that model does not fit this CPU.";

/// The section on the machine's limits, if the receipt has them.
pub fn section(receipt: &Receipt) -> Option<Section> {
    let limits = receipt.limits.as_ref()?;
    let tables = Family::ALL.into_iter().filter_map(|family| shares(receipt, family));
    let section = Section::new("limits", "How far from the limit").note(NOTE);
    let section = section.with(chart::roofline(receipt).map(Block::Chart)).tables(tables);
    Some(section.with([Block::Section(machine(limits))]))
}

fn shares(receipt: &Receipt, family: Family) -> Option<Table> {
    let heads = query::timed_headlines(receipt, family);
    let mut columns = vec![Column::words("Kernel")];
    columns.extend(heads.iter().map(|(_, c)| Column::number(query::cell_title(c))));
    let rows = query::kernel_ids(receipt, family).into_iter().map(|kernel| {
        let cells = heads.iter().map(|(_, c)| share(c, &kernel));
        Row::new(
            format!("limit-{}", anchors::slug(&kernel)),
            [Cell::from(kernel.as_str())].into_iter().chain(cells).collect(),
        )
    });
    let rows: Vec<Row> = rows.collect();
    let any = rows.iter().flat_map(|r| &r.cells).any(|c| matches!(c.value, Value::Percent(_)));
    let table = of_family("limits", family, columns).rows(rows);
    let title = format!("{}: share of the bound", query::family_in(receipt, family));
    any.then_some(Table { title, ..table })
}

fn share(cell: &MicroCell, kernel: &str) -> Cell {
    let Some((_, s)) = query::kernels(cell).find(|(_, s)| s.kernel == kernel) else {
        return Value::Absent("not run").into();
    };
    let Some(bound) = &s.bound else { return Cell::default() };
    let reached =
        bound.mac_per_cycle.map_or_else(String::new, |m| format!(" · reached {} MAC/cycle", figures::number(m)));
    let what = match bound.bound {
        // It begins with these words.
        BoundBy::Ports => bound.what.clone(),
        by => format!("{}: {}", query::bound(by), bound.what),
    };
    let cell = Cell::from(Value::Percent(bound.share)).under(what + &reached);
    let left_out = bound.ports.as_ref().and_then(|ports| ports.left_out.clone());
    left_out.into_iter().fold(cell, |cell, why| cell.under(why))
}

fn machine(limits: &Limits) -> Section {
    let columns = vec![
        Column::words("Fits"),
        Column::number("Bytes"),
        Column::number("Threads"),
        Column::number("Read GB/s"),
        Column::number("Write GB/s"),
    ];
    let rows = limits.bandwidth.iter().enumerate().map(|(i, b)| {
        let threads = Value::Integer(b.threads as u64);
        let rates = [&b.read_gb_s, &b.write_gb_s].map(|s| Cell::from(Value::Spread(*s)));
        let cells = [b.level.as_str().into(), Value::Bytes(b.bytes).into(), threads.into()].into_iter().chain(rates);
        Row::new(format!("bandwidth-{}", i + 1), cells.collect())
    });
    let bandwidth = Table::new("bandwidth", "Bandwidth of this machine", columns).rows(rows);
    let columns = vec![
        Column::words("Multiply"),
        Column::words("Instructions"),
        Column::number("MAC/cycle"),
        Column::number("GMAC/s, one thread"),
        Column::words("Kernels"),
    ];
    let rows = limits.multiplies.iter().enumerate().map(|(i, m)| {
        let kernels =
            limits.kernels.iter().filter(|k| k.multiply == m.id).map(|k| k.kernel.as_str()).collect::<Vec<_>>();
        let cells = vec![
            m.id.as_str().into(),
            m.instructions.as_str().into(),
            Value::Spread(m.mac_per_cycle).into(),
            Value::Spread(m.gmac_s).into(),
            if kernels.is_empty() { Value::Absent("none").into() } else { kernels.join(", ").into() },
        ];
        Row::new(format!("multiply-{}", i + 1), cells)
    });
    let multiplies = Table::new("multiplies", "Multiply instructions of this machine", columns).rows(rows);
    let clock = limits.clock_ghz.as_ref().map_or("unknown".into(), |c| format!("{} GHz", Value::Spread(*c).short()));
    let note = "Median [smallest, largest] of the samples. Bounds use the largest: what else runs on a machine only \
                slows a sample down. The clock is that of a chain of dependent additions, one a cycle.";
    let section = Section::new("machine-limits", "Bandwidth, clock and peaks of this machine");
    section.note(note).tables([bandwidth, multiplies]).folded(format!("clock {clock}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::terminal::Look;
    use crate::{document, fixture, run};
    use receipt::Residency;

    const MIX: &str = "port mix of its loop, by llvm-mca 14.0.6 on haswell (nearest)";

    /// What the page and the terminal say of a run without cells from memory.
    fn shown(mut receipt: Receipt) -> (String, String) {
        receipt.micro.retain(|cell| cell.residency != Residency::Dram);
        (document::html(&run::page(&receipt)), run::summary(&receipt, Look { width: 400, ..Look::plain() }))
    }

    #[test]
    fn a_port_mix_that_binds_is_named_wherever_its_share_is_shown() {
        let (page, terminal) = shown(fixture::with_ports(2.0));
        assert!(page.contains(&format!("{MIX}: 32.0 MAC/cycle at 2.95 GHz · reached 21.6 MAC/cycle")));
        let note = format!("The limit is the {MIX}, for avx2-i8.");
        assert!(page.contains(&note) && terminal.contains(&note), "{terminal}");
        assert!(terminal.contains("67.6% of the limit of its port mix."), "{terminal}");
        let csv = crate::csv::measurements(&fixture::with_ports(2.0)).expect("written");
        assert!(String::from_utf8(csv).expect("UTF-8").contains(&format!("port mix,\"{MIX}: 32.0 MAC/cycle")));
    }

    #[test]
    fn a_model_that_does_not_fit_is_said_and_its_share_is_nowhere() {
        let (page, terminal) = shown(fixture::with_ports(3.2));
        assert!(page.contains(&format!("no bound is the {MIX}: avx2-i8 reached 1.08× what it allows")));
        assert!(!page.contains("The limit is the") && !terminal.contains("port mix"), "{terminal}");
        assert!(terminal.contains("53.2% of the machine's limit."), "{terminal}");
    }

    #[test]
    fn a_run_without_a_model_says_nothing_of_one() {
        let (page, terminal) = shown(fixture::complete());
        assert!(!page.contains("haswell") && !page.contains("Cycles by ports") && !terminal.contains("port mix"));
    }
}
