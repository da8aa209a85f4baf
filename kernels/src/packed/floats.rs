//! Packed weights as numbers, for whoever multiplies them otherwise than a kernel does.

use super::PackedWeights;
use std::ops::Range;

impl PackedWeights {
    /// Calls `each` with every row of a range (below [`Self::rows`]) and its k weights as f32: the table's value times
    /// the scale, rounded once. A panel is unpacked once for all its rows in the range.
    pub fn each_row(&self, rows: Range<usize>, mut each: impl FnMut(usize, &[f32])) {
        let (of_panel, stride) = (self.layout.rows, self.k.next_multiple_of(self.layout.block_k));
        let group = self.group().unwrap_or(self.k).max(1);
        let (mut codes, mut weights) = (vec![0; of_panel * stride], vec![0.0; self.k]);
        for panel in rows.start / of_panel..rows.end.div_ceil(of_panel) {
            (self.layout.unpack)(&self.codes[panel * self.panel_bytes..][..self.panel_bytes], &mut codes);
            for row in rows.start.max(panel * of_panel)..rows.end.min((panel + 1) * of_panel) {
                let codes = &codes[row % of_panel * stride..][..self.k];
                for (g, (weights, codes)) in weights.chunks_mut(group).zip(codes.chunks(group)).enumerate() {
                    let scale = self.scale_at(row, g * group);
                    let values = self.table.0.map(|value| f32::from(value) * scale);
                    weights.iter_mut().zip(codes).for_each(|(weight, &code)| *weight = values[usize::from(code)]);
                }
                each(row, &weights);
            }
        }
    }
}
