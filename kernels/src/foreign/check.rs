//! What a library says of a kernel, checked field by field before anything of it is called.

use super::abi::{ABI, F32, I32, ROW, TENSOR, THREAD_SAFE, TIGHT, TbKernel, W2A8, W2A32};
use super::kernel::ForeignKernel;
use crate::cpu::CpuFeatures;
use crate::layouts;
use std::ffi::{CStr, c_char};
use std::sync::{Mutex, RwLock};

/// Longest id and longest other text, in bytes.
const LONGEST_ID: usize = 64;
const LONGEST_TEXT: usize = 4096;
/// Alignment of weights in a layout of ours, wherever they lie.
const OUR_ALIGNMENT: u32 = 16;

/// A field of a foreign kernel that is not as the header says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kernel {kernel}: {field} {what}")]
pub struct BadField {
    /// The kernel: its number in the library from 0, and its id where that could be read.
    pub kernel: String,
    /// Name of the field.
    pub field: &'static str,
    /// What is wrong with it.
    pub what: String,
}

/// A kernel's fields under inspection.
struct Fields {
    kernel: String,
    raw: TbKernel,
}

impl Fields {
    fn bad(&self, field: &'static str, what: impl Into<String>) -> BadField {
        BadField { kernel: self.kernel.clone(), field, what: what.into() }
    }

    /// One of these numbers.
    fn one_of(&self, field: &'static str, value: u32, known: &[u32]) -> Result<(), BadField> {
        if known.contains(&value) {
            return Ok(());
        }
        let names: Vec<String> =
            known.iter().map(|v| if *v == ROW { "TB_ROW".into() } else { v.to_string() }).collect();
        Err(self.bad(field, format!("is {value}; it must be one of {}", names.join(", "))))
    }

    /// A text that may be missing.
    fn optional(&self, field: &'static str, text: *const c_char) -> Result<Option<&'static str>, BadField> {
        if text.is_null() {
            return Ok(None);
        }
        // SAFETY: the library promises a text that ends with a zero byte and stays as long as it is loaded, which is
        // until the process ends.
        let text = unsafe { CStr::from_ptr(text) };
        let text = text.to_str().map_err(|_| self.bad(field, "is not UTF-8"))?;
        if text.len() > LONGEST_TEXT {
            return Err(self.bad(field, format!("has {} bytes; at most {LONGEST_TEXT} are shown", text.len())));
        }
        match text.chars().find(|c| c.is_control()) {
            Some(c) => Err(self.bad(field, format!("has the control character {c:?}"))),
            None => Ok(Some(text)),
        }
    }

    /// A text that must be there.
    fn text(&self, field: &'static str, text: *const c_char) -> Result<&'static str, BadField> {
        let text = self.optional(field, text)?.ok_or_else(|| self.bad(field, "is NULL"))?;
        if text.trim().is_empty() { Err(self.bad(field, "is empty")) } else { Ok(text) }
    }

    fn there(&self, field: &'static str, is_there: bool) -> Result<(), BadField> {
        if is_there { Ok(()) } else { Err(self.bad(field, "is NULL")) }
    }
}

impl ForeignKernel {
    /// Reads what a library says of its kernel number `number`, and checks it.
    ///
    /// # Errors
    /// The first field that is not as the header says.
    ///
    /// # Safety
    /// `raw` is null or points to a `tb_kernel` of a library that stays loaded until the process ends: as many bytes as
    /// its `struct_size` says, which are at least 8.
    pub unsafe fn read(raw: *const TbKernel, number: usize) -> Result<Self, BadField> {
        let number = format!("number {number}");
        let bad = |field, what: String| BadField { kernel: number.clone(), field, what };
        if raw.is_null() {
            return Err(bad("the pointer to it", "is NULL".into()));
        }
        if !raw.is_aligned() {
            return Err(bad("the pointer to it", "is not aligned".into()));
        }
        // SAFETY: the first field is there, by the contract above.
        let size = unsafe { raw.cast::<u32>().read() } as usize;
        let least = size_of::<TbKernel>();
        if size < least {
            return Err(bad("struct_size", format!("is {size}; version {ABI} of tritbench.h has {least} bytes")));
        }
        // SAFETY: all fields are there, as the size says; any bytes are valid integers and pointers, and a function
        // pointer that is not null is one by the contract.
        let mut fields = Fields { kernel: number.clone(), raw: unsafe { raw.read() } };
        let id = fields.text("id", fields.raw.id)?;
        if id.len() > LONGEST_ID {
            return Err(fields.bad("id", format!("has {} bytes; at most {LONGEST_ID} are shown", id.len())));
        }
        if let Some(c) = id.chars().find(|c| *c == ',' || c.is_whitespace()) {
            return Err(fields.bad("id", format!("has {c:?}, which lists of kernels cannot hold")));
        }
        fields.kernel = id.to_owned();
        fields.checked(id)
    }
}

impl Fields {
    fn checked(self, id: &'static str) -> Result<ForeignKernel, BadField> {
        let raw = &self.raw;
        if raw.flags & !THREAD_SAFE != 0 {
            return Err(self.bad("flags", format!("is {:#x}; version {ABI} knows TB_THREAD_SAFE only", raw.flags)));
        }
        let isa = self.text("isa", raw.isa)?;
        let requires = self.text("requires_cpu", raw.requires_cpu)?;
        let requires = CpuFeatures::parse(requires).map_err(|e| self.bad("requires_cpu", format!("has an {e}")))?;
        self.one_of("family", raw.family, &[W2A8, W2A32])?;
        self.one_of("output", raw.output, &[I32, F32])?;
        if (raw.family, raw.output) == (W2A32, I32) {
            return Err(self.bad("output", "is TB_I32; products of f32 activations are TB_F32"));
        }
        self.one_of("weight_group", raw.weight_group, &[TENSOR, ROW, 64, 128, 256])?;
        self.one_of("act_group", raw.act_group, &[TENSOR, 32, 64, 128, 256])?;
        self.one_of("max_code", raw.max_code, &[2, 3])?;
        for (field, multiple) in [("rows_multiple", raw.rows_multiple), ("k_multiple", raw.k_multiple)] {
            if multiple == 0 || multiple > 1 << 16 {
                return Err(self.bad(field, format!("is {multiple}; it must be from 1 to 65536")));
            }
        }
        if !raw.packed_align.is_power_of_two() || raw.packed_align > 4096 {
            return Err(self.bad("packed_align", format!("is {}; a power of two from 1 to 4096", raw.packed_align)));
        }
        self.one_of("prepared_stride", raw.prepared_stride, &[0, TIGHT])?;
        self.one_of("y_stride", raw.y_stride, &[0, TIGHT])?;
        self.there("prepared_bytes", raw.prepared_bytes.is_some())?;
        self.there("prepare", raw.prepare.is_some())?;
        self.there("gemv", raw.gemv.is_some())?;
        if (raw.family, raw.gemm.is_some()) == (W2A32, true) {
            return Err(self.bad("gemm", "is not NULL; batches are of int8 activations (TB_W2A8)"));
        }
        if raw.open.is_some() != raw.close.is_some() {
            return Err(self.bad(if raw.open.is_some() { "close" } else { "open" }, "is NULL and its partner is not"));
        }
        let builds_on = self.optional("builds_on", raw.builds_on)?;
        if builds_on == Some(id) {
            return Err(self.bad("builds_on", "is the kernel itself"));
        }
        let layout = self.optional("layout", raw.layout)?;
        let layout = match layout {
            None => {
                self.there("packed_bytes", raw.packed_bytes.is_some())?;
                self.there("pack", raw.pack.is_some())?;
                None
            }
            Some(name) => {
                let ours = layouts::find(name).ok_or_else(|| {
                    let known: Vec<&str> = layouts::ALL.iter().map(|layout| layout.name).collect();
                    self.bad("layout", format!("is {name:?}; ours are {}", known.join(", ")))
                })?;
                if raw.pack.is_some() || raw.packed_bytes.is_some() {
                    return Err(self.bad("pack", format!("is not NULL, and layout names {name}, which we pack")));
                }
                // Its codes have no scales among them.
                if raw.output != I32 {
                    return Err(self.bad("output", format!("is TB_F32; weights in {name} come without scales")));
                }
                if raw.packed_align > OUR_ALIGNMENT {
                    let given = raw.packed_align;
                    return Err(self.bad("packed_align", format!("is {given}; {name} is aligned to {OUR_ALIGNMENT}")));
                }
                if !ours.rows.is_multiple_of(raw.rows_multiple as usize) {
                    let (rows, given) = (ours.rows, raw.rows_multiple);
                    return Err(self.bad("rows_multiple", format!("is {given}; panels of {name} have {rows} rows")));
                }
                Some(ours.name)
            }
        };
        Ok(ForeignKernel {
            id,
            isa,
            requires,
            builds_on,
            summary: self.text("summary", raw.summary)?,
            origin: self.optional("origin", raw.origin)?,
            compiler: self.optional("compiler", raw.compiler)?,
            ours: layout,
            raw: self.raw,
            plans: RwLock::default(),
            alone: Mutex::new(()),
        })
    }
}
