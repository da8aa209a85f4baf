//! `list devices`, and `list kernels` of a device.

use super::open::{Adapter, of_device};
use crate::cmd::kernel_table::kernel_table;
use crate::error::Result;
use crate::output::{Output, table};
use crate::runs::record_of;
use kernels_gpu::{AdapterFacts, GpuError, GpuKernel, LADDER, adapters};
use receipt::KernelRecord;
use receipt::figures::bytes;
use serde::Serialize;

/// Lists every adapter.
pub fn devices(json: bool, out: &Output) -> Result<()> {
    #[derive(Serialize)]
    struct Row {
        device: String,
        name: String,
        kind: &'static str,
        backend: String,
        driver: String,
        timed: bool,
    }
    let found = adapters();
    if found.is_empty() {
        return Err(of_device(&GpuError::NoAdapter));
    }
    let row = |AdapterFacts { index, name, kind, backend, driver, driver_info, .. }: &AdapterFacts| Row {
        device: format!("gpu:{index}"),
        name: name.clone(),
        kind,
        backend: backend.clone(),
        driver: format!("{driver} {driver_info}").trim().to_owned(),
        timed: *kind != "software",
    };
    let rows: Vec<Row> = found.iter().map(|found| row(&found.facts)).collect();
    if json {
        return out.listing("devices", &rows);
    }
    let most = found.iter().map(|found| bytes(found.facts.max_binding_bytes));
    let cells = rows.into_iter().zip(most).map(|(row, most)| {
        let timed = if row.timed { "verified and timed" } else { "verified, never timed: software" };
        vec![row.device, row.name, row.kind.into(), row.backend, row.driver, most, timed.into()]
    });
    out.line(table(&["--device", "name", "kind", "through", "driver", "binding", "here"], &[5], cells))
}

/// A kernel as receipts have it: one of this project's own.
pub fn record(kernel: &'static GpuKernel) -> KernelRecord {
    KernelRecord { foreign: None, ..record_of(&kernel.descriptor, None) }
}

/// Lists the kernels of a device.
pub fn kernels(adapter: &Adapter, json: bool, out: &Output) -> Result<()> {
    let records: Vec<KernelRecord> = LADDER.iter().map(record).collect();
    if json {
        return out.listing("kernels", &records);
    }
    out.line(kernel_table(&records))?;
    out.line(format!("on gpu:{}, {}", adapter.facts().index, adapter.facts().name))
}
