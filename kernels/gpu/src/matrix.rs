//! Packed weights on a device, seen through windows where a binding is smaller than they are.

use crate::device::{Device, Part};
use crate::error::GpuError;
use kernels::{Layout, PackedWeights};

/// Rows of a window are a multiple of this, so that the int32 sums of a window begin where a binding may.
const WINDOW_ROWS: usize = 64;

/// Rows that a shader sees at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// First row.
    pub(crate) first: usize,
    /// Rows, the last ones perhaps padding.
    pub(crate) rows: usize,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// A matrix on a device, or several of the same columns one below the other.
pub struct Matrix {
    layout: &'static Layout,
    rows: usize,
    k: usize,
    pub(crate) buffer: wgpu::Buffer,
    pub(crate) windows: Vec<Window>,
    bytes: u64,
}

impl Matrix {
    /// Copies weights to the device, their bytes as they are.
    ///
    /// # Errors
    /// More bytes than a buffer of the device holds.
    pub fn new(device: &Device, weights: &PackedWeights) -> Result<Self, GpuError> {
        Self::stacked(device, &[weights])
    }

    /// Copies weights of one packing and as many columns, one below the other: each begins with a panel of its own, at
    /// [`Self::padded`] rows of those before it.
    ///
    /// # Errors
    /// As [`Self::new`]; weights that do not fit each other.
    pub fn stacked(device: &Device, all: &[&PackedWeights]) -> Result<Self, GpuError> {
        let Some(first) = all.first() else { return Err(GpuError::Operands("no matrix to stack".into())) };
        let (layout, k) = (first.layout(), first.k());
        if all.iter().any(|weights| weights.layout() != layout || weights.k() != k) {
            return Err(GpuError::Operands("matrices to stack have other columns or another packing".into()));
        }
        let last = all.last().map_or(0, |weights| weights.rows());
        let rows = all[..all.len() - 1].iter().map(|weights| Self::padded(weights)).sum::<usize>() + last;
        let bytes: u64 = all.iter().map(|weights| weights.code_bytes().len() as u64).sum();
        let panel_bytes = layout.panel_bytes(k) as u64;
        let limits = (device.facts(), device.settings().binding_bytes);
        let too_large = |why: String| GpuError::TooLarge { rows, k, why };
        if bytes > limits.0.max_buffer_bytes {
            let most = limits.0.max_buffer_bytes;
            return Err(too_large(format!("{bytes} bytes, and a buffer of {} holds {most}", limits.0.name)));
        }
        let alignment = u64::from(limits.0.offset_alignment);
        let windows = windows((rows, layout.rows), panel_bytes, (limits.1, alignment, limits.0.workgroups))
            .ok_or_else(|| {
                too_large(format!("a panel of {panel_bytes} bytes passes the binding limit {}", limits.1))
            })?;
        let buffer = device.empty(bytes)?;
        let mut offset = 0;
        for weights in all.iter().filter(|weights| !weights.code_bytes().is_empty()) {
            device.queue.write_buffer(&buffer, offset, weights.code_bytes());
            offset += weights.code_bytes().len() as u64;
        }
        device.check()?;
        Ok(Self { layout, rows, k, buffer, windows, bytes })
    }

    /// Rows of a matrix with the padding of its last panel.
    pub fn padded(weights: &PackedWeights) -> usize {
        weights.rows().next_multiple_of(weights.layout().rows)
    }

    /// How it is packed.
    pub fn layout(&self) -> &'static Layout {
        self.layout
    }

    /// Rows, padding between stacked ones included.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn part(&self, window: &Window) -> Part<'_> {
        Part { buffer: &self.buffer, offset: window.offset, size: Some(window.bytes) }
    }
}

/// Cuts so many rows into windows of whole panels that a binding holds and that begin where one may. `None` where not
/// even the fewest panels fit.
fn windows(
    (rows, panel_rows): (usize, usize),
    panel_bytes: u64,
    (most_bytes, alignment, most_workgroups): (u64, u64, u32),
) -> Option<Vec<Window>> {
    let panels = rows.div_ceil(panel_rows);
    let window = |first: usize, count: usize| Window {
        first: first * panel_rows,
        rows: (count * panel_rows).min(rows - (first * panel_rows).min(rows)),
        offset: first as u64 * panel_bytes,
        bytes: count as u64 * panel_bytes,
    };
    if panels as u64 * panel_bytes <= most_bytes && panels <= most_workgroups as usize {
        return Some(vec![window(0, panels)]);
    }
    let fitting = (most_bytes / panel_bytes.max(1)).min(u64::from(most_workgroups)) as usize;
    let begins = |count: usize| {
        (count * panel_rows).is_multiple_of(WINDOW_ROWS) && (count as u64 * panel_bytes).is_multiple_of(alignment)
    };
    let step = (1..=fitting).find(|&count| begins(count))?;
    let at_once = fitting / step * step;
    Some((0..panels).step_by(at_once).map(|first| window(first, at_once.min(panels - first))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_whole_panels_that_begin_where_a_binding_may() {
        let whole = windows((33, 32), 512, (1 << 20, 256, 65535)).expect("fits");
        assert_eq!(whole, [Window { first: 0, rows: 33, offset: 0, bytes: 1024 }]);
        // Of 300 rows in panels of 16 and 192 bytes: 64 rows are 4 panels, 4 x 192 is a multiple of 256.
        let cut = windows((300, 16), 192, (2000, 256, 65535)).expect("fits");
        let rows: Vec<(usize, usize)> = cut.iter().map(|w| (w.first, w.rows)).collect();
        assert_eq!(rows, [(0, 128), (128, 128), (256, 44)]);
        assert!(cut.iter().all(|w| w.offset.is_multiple_of(256) && w.bytes <= 2000));
        assert_eq!(windows((300, 16), 192, (700, 256, 65535)), None);
        // As many as workgroups along a dimension.
        let few = windows((1000, 16), 64, (1 << 20, 256, 8)).expect("fits");
        assert!(few.iter().all(|w| w.bytes <= 8 * 64) && few.len() == 8);
        assert_eq!(windows((0, 16), 64, (1 << 20, 256, 8)).expect("nothing")[0].rows, 0);
    }
}
