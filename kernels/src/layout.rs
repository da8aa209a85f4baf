//! What a packed layout is. Each is one file of [`crate::layouts`], which says how codes become bytes; nothing here
//! knows what a code means.

use crate::foreign::kernel::ForeignKernel;
use crate::layouts::i2s_rows::{BLOCK_BYTES, BLOCK_K, I2sRows};
use std::fmt;
use std::hash::{Hash, Hasher};

/// Columns beyond which no size is computed.
const MOST_K: usize = 1 << (usize::BITS - 16);
/// Most bytes of codes: four times as many, for codes that are not packed, still fit a size.
const MOST_BYTES: usize = 1 << (usize::BITS - 4);

/// A layout of 2-bit codes in memory, as data: one `static` of this type a file, one line in [`crate::layouts`].
/// Kernels name the one they read.
///
/// Two layouts are the same if they are the same `static`: what a kernel relies on is then what its own layout says,
/// whatever another one calls itself.
pub struct Layout {
    /// Unique name of the layout in listings and receipts, for example `tile8x16`.
    pub name: &'static str,
    /// Rows that are packed together, a panel. The last panel is padded.
    pub rows: usize,
    /// Weights along k that are packed together, a block. Rows are padded to whole blocks with code 1, weight 0; beyond
    /// [`crate::K_PADDING`] by at most [`crate::K_SLACK`].
    pub block_k: usize,
    /// Bytes of one block: [`Self::block_k`] codes of each of [`Self::rows`] rows.
    pub block_bytes: usize,
    /// Whether there is no place for code 3: the layout holds codes 0, 1, 2 with the ternary table and refuses
    /// everything else.
    pub ternary_only: bool,
    /// Numbers of weights of a row that may share an f32 scale, where scales of groups lie in an array beside the
    /// codes: group after group, for each one the scales of a panel's rows. None where a matrix has one scale, or one a
    /// row.
    pub groups: &'static [usize],
    /// Bytes of a panel where they are not a multiple of one block's.
    pub panel: Option<fn(k: usize) -> usize>,
    /// Where the scale of a group lies within its panel, as f16, where a layout has scales among its codes: (k, number
    /// of the group, row of the panel) to bytes from the panel's start. Then there are no others.
    pub half_scale: Option<fn(k: usize, group: usize, row: usize) -> usize>,
    /// This layout for each size of groups, where the order of the codes depends on it. A kernel names one of them and
    /// takes all; [`Self::form`] finds the one that a matrix is packed in.
    pub forms: fn() -> &'static [&'static Layout],
    /// Packs one panel: [`Self::rows`] rows of codes, all of one length that is a multiple of [`Self::block_k`], into
    /// [`Self::panel_bytes`] bytes.
    pub pack: fn(codes: &[u8], packed: &mut [u8]),
    /// Unpacks one panel into single codes: the inverse of [`Self::pack`].
    pub unpack: fn(packed: &[u8], codes: &mut [u8]),
    /// Packs one panel from rows of an I2_S tensor, to the same bytes as [`Self::pack`].
    pub from_i2s: FromI2s,
    /// The foreign kernel whose own layout this is: its library packs whole matrices, and nothing else here says how.
    pub foreign: Option<&'static ForeignKernel>,
}

/// Packs one panel of a layout from its rows of an I2_S tensor; rows that are missing become padding. The vector is
/// scratch that is kept from panel to panel.
pub type FromI2s = fn(layout: &Layout, rows: I2sRows<'_>, scratch: &mut Vec<u8>, packed: &mut [u8]);

impl Layout {
    /// Single rows, one scale, any code, packed from I2_S by way of single codes: what a layout is where it does not
    /// say otherwise. A layout gives at least its name, its block and the two functions.
    pub const PLAIN: Self = Self {
        name: "",
        rows: 1,
        block_k: 1,
        block_bytes: 1,
        ternary_only: false,
        groups: &[],
        panel: None,
        half_scale: None,
        forms: || &[],
        pack: |codes, packed| packed.copy_from_slice(codes),
        unpack: |packed, codes| codes.copy_from_slice(packed),
        from_i2s: by_single_codes,
        foreign: None,
    };

    /// Bytes of packed codes that one panel of `k` columns takes.
    pub fn panel_bytes(&self, k: usize) -> usize {
        self.panel.map_or_else(|| k.div_ceil(self.block_k) * self.block_bytes, |bytes| bytes(k))
    }

    /// The form of this layout whose groups are so large; none where no form holds them.
    pub fn form(&'static self, group: usize) -> Option<&'static Self> {
        let forms = (self.forms)().iter().copied();
        forms.chain([self]).find(|form| form.groups.contains(&group))
    }

    /// Whether a kernel that names this layout reads that one.
    pub(crate) fn has_form(&self, other: &Self) -> bool {
        self == other || (self.forms)().contains(&other)
    }

    /// Numbers of weights that may share a scale, in all forms of this layout.
    pub fn group_sizes(&self) -> impl Iterator<Item = usize> {
        let forms = (self.forms)();
        let own = if forms.is_empty() { self.groups } else { &[] };
        own.iter().chain(forms.iter().flat_map(|form| form.groups)).copied()
    }

    /// Bits that one weight takes in a full block, scales of [`Self::usual_group`] included.
    pub fn bits_per_weight(&self) -> f64 {
        if let Some(foreign) = self.foreign {
            // Of a matrix as models have them: about 1024 x 2560.
            let (rows, k) = (1024usize.next_multiple_of(self.rows), 2560usize.next_multiple_of(self.block_k));
            return foreign.packed_bytes(rows, k).map_or(f64::NAN, |bytes| 8.0 * bytes as f64 / (rows * k) as f64);
        }
        // So many are whole blocks of whatever size, or of none.
        let k = if self.panel.is_some() { 2560 } else { self.block_k };
        let panel = self.panel_bytes(k) as f64 * 8.0 / (k * self.rows) as f64;
        let beside = self.usual_group().filter(|_| self.half_scale.is_none());
        panel + beside.map_or(0.0, |group| 8.0 * size_of::<f32>() as f64 / group as f64)
    }

    /// Weights of a group where the matrix does not say: 128, which most published files have, or the only number there
    /// is. None where the layout holds no scales of groups.
    pub fn usual_group(&self) -> Option<usize> {
        self.groups.iter().copied().find(|&group| group == 128).or(self.groups.first().copied())
    }

    /// Bytes of the scales that lie beside the codes of `rows` x `k` in groups of [`Self::usual_group`]; 0 where the
    /// layout holds none.
    pub fn scale_bytes(&self, rows: usize, k: usize) -> u64 {
        let beside = self.usual_group().filter(|_| self.half_scale.is_none());
        let groups = beside.map_or(0, |group| k.div_ceil(group));
        (rows.next_multiple_of(self.rows) as u64).saturating_mul(groups as u64).saturating_mul(4)
    }

    /// What scales it holds, in words.
    pub(crate) fn held_scales(&self) -> String {
        match &self.group_sizes().collect::<Vec<_>>()[..] {
            [] => "one scale a tensor or a row".into(),
            [group] => format!("a scale for each {group} weights of a row"),
            [groups @ .., last] => {
                let groups = groups.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
                format!("a scale for each {groups} or {last} weights of a row")
            }
        }
    }

    /// Bytes of codes that `rows` x `k` take, None if that is more than any memory has.
    pub fn code_bytes(&self, rows: usize, k: usize) -> Option<usize> {
        if let Some(foreign) = self.foreign {
            return foreign.packed_bytes(rows, k).ok();
        }
        // `panel_bytes` overflows only for k that no memory holds a row of.
        let panel_bytes = if k > MOST_K { return None } else { self.panel_bytes(k) };
        rows.div_ceil(self.rows).checked_mul(panel_bytes).filter(|&bytes| bytes <= MOST_BYTES)
    }
}

/// The way that every layout can go.
fn by_single_codes(layout: &Layout, rows: I2sRows<'_>, scratch: &mut Vec<u8>, packed: &mut [u8]) {
    let k = rows.row_bytes / BLOCK_BYTES * BLOCK_K;
    let stride = k.next_multiple_of(layout.block_k);
    // Padding is 1 from here on: the codes are overwritten, the columns beyond never.
    scratch.resize(layout.rows * stride, 1);
    let mut sources = rows.bytes.chunks_exact(rows.row_bytes);
    for codes in scratch.chunks_exact_mut(stride) {
        match sources.next() {
            Some(row) => crate::layouts::i2s_rows::unpack(row, &mut codes[..k]),
            None => codes.fill(1),
        }
    }
    (layout.pack)(scratch, packed);
}

impl PartialEq for Layout {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Layout {}

impl Hash for Layout {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::hash(self, state);
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Layout({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts::{ALL, find};
    use crate::random::SplitMix64;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_layout_round_trips(blocks in 1usize..8, seed in any::<u64>()) {
            for &layout in ALL {
                let k = blocks * layout.block_k;
                let (mut random, kinds) = (SplitMix64::new(seed), if layout.ternary_only { 3 } else { 4 });
                let codes: Vec<u8> = (0..k * layout.rows).map(|_| random.below(kinds) as u8).collect();
                let mut packed = vec![0; layout.panel_bytes(k)];
                (layout.pack)(&codes, &mut packed);
                let mut unpacked = vec![9; codes.len()];
                (layout.unpack)(&packed, &mut unpacked);
                prop_assert_eq!(&codes, &unpacked);
            }
        }
    }

    #[test]
    fn sizes_end_where_memory_does() {
        for &layout in ALL {
            let a_panel = layout.panel_bytes(layout.block_k);
            let panels = MOST_BYTES / a_panel;
            let rows = layout.rows;
            for (rows, k, bytes) in [
                (rows + 1, layout.block_k, Some(2 * a_panel)),
                (panels * rows, layout.block_k, Some(panels * a_panel)),
                ((panels + 1) * rows, layout.block_k, None),
                (1, MOST_K, Some(layout.panel_bytes(MOST_K))),
                (1, MOST_K + 1, None),
                (usize::MAX, MOST_K, None),
            ] {
                assert_eq!(layout.code_bytes(rows, k), bytes, "{layout} {rows}x{k}");
            }
        }
        assert_eq!(Layout::PLAIN.code_bytes(MOST_BYTES, 1), Some(MOST_BYTES), "exactly as many");
    }

    #[test]
    fn a_layout_is_known_by_its_name_alone_and_is_no_other_of_that_name() {
        for &layout in ALL {
            assert!(find(layout.name) == Some(layout) && !layout.name.is_empty());
            assert_eq!(ALL.iter().filter(|other| other.to_string() == layout.name).count(), 1);
            assert_ne!(layout, &Layout { name: layout.name, ..Layout::PLAIN });
        }
    }

    #[test]
    fn padding_beyond_that_of_activations_meets_zeros() {
        for layout in ALL {
            let beyond = |k: usize| k.next_multiple_of(layout.block_k).saturating_sub(crate::padded_k(k));
            let most = (1..=crate::K_PADDING * layout.block_k).step_by(crate::K_PADDING).map(|k| k + 255).map(beyond);
            assert!(most.max() <= Some(crate::K_SLACK), "{layout}");
        }
    }

    #[test]
    fn bits_per_weight_are_the_published_ones() {
        let bits = |name: &str| find(name).map(Layout::bits_per_weight);
        assert_eq!([bits("qk256"), bits("i2s-128x32")], [Some(2.125), Some(2.0)]);
        assert_eq!([bits("groups1x64"), bits("groups8x128")], [Some(2.25); 2]);
        assert_eq!(["64", "128", "256"].map(|n| bits(&format!("planes16x{n}"))), [2.25, 2.125, 2.0625].map(Some));
        assert_eq!(
            ["trit5x16x20", "trit5q16x20", "trit5x16x640", "lut16x128"].map(bits),
            [1.6, 1.6, 1.75, 16.0 / 9.0].map(Some)
        );
    }
}
