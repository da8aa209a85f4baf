//! Which call into foreign code is under way, for whoever finds that it never came back; and what is looked at after
//! each one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

/// A step into foreign code: loading it, or one of its functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is called as its name says")]
pub enum Call {
    Load,
    TbKernels,
    Open,
    Close,
    PackedBytes,
    Pack,
    PreparedBytes,
    Prepare,
    Gemv,
    Gemm,
}

impl Call {
    const ALL: [Self; 10] = [
        Self::Load,
        Self::TbKernels,
        Self::Open,
        Self::Close,
        Self::PackedBytes,
        Self::Pack,
        Self::PreparedBytes,
        Self::Prepare,
        Self::Gemv,
        Self::Gemm,
    ];

    /// The name in the header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::TbKernels => "tb_kernels",
            Self::Open => "open",
            Self::Close => "close",
            Self::PackedBytes => "packed_bytes",
            Self::Pack => "pack",
            Self::PreparedBytes => "prepared_bytes",
            Self::Prepare => "prepare",
            Self::Gemv => "gemv",
            Self::Gemm => "gemm",
        }
    }
}

/// The last call into foreign code: all words are written before the call, from one thread or several. It may lie in
/// memory that another process reads when this one is gone.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Note {
    /// Counts calls; it is raised before each.
    pub count: AtomicU64,
    /// Which [`Call`], counted from 1; 0 before the first.
    pub call: AtomicU64,
    /// Rows of the matrix.
    pub rows: AtomicU64,
    /// Columns of the matrix.
    pub k: AtomicU64,
    /// Tokens of the batch.
    pub tokens: AtomicU64,
    /// 1 while the call is under way.
    pub busy: AtomicU64,
}

impl Note {
    /// `gemv 640x2560`, `gemm 640x2560 x 64 tokens`; `None` before the first call.
    pub fn in_words(&self) -> Option<String> {
        let read = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let call = *Call::ALL.get((read(&self.call) as usize).checked_sub(1)?)?;
        let (rows, k, tokens, name) = (read(&self.rows), read(&self.k), read(&self.tokens), call.name());
        Some(match call {
            Call::Load | Call::TbKernels => name.to_owned(),
            Call::Prepare | Call::PreparedBytes => format!("{name}, k {k}"),
            Call::Gemm => format!("{name} {rows}x{k} x {tokens} tokens"),
            _ => format!("{name} {rows}x{k}"),
        })
    }
}

static OWN: Note = Note {
    count: AtomicU64::new(0),
    call: AtomicU64::new(0),
    rows: AtomicU64::new(0),
    k: AtomicU64::new(0),
    tokens: AtomicU64::new(0),
    busy: AtomicU64::new(0),
};
static NOTE: AtomicPtr<Note> = AtomicPtr::new(std::ptr::null_mut());
static IN_SERIES: AtomicBool = AtomicBool::new(false);
static AFTER: OnceLock<fn() -> Option<String>> = OnceLock::new();

/// Notes calls there from now on.
pub fn note_in(note: &'static Note) {
    NOTE.store(std::ptr::from_ref(note).cast_mut(), Ordering::Release);
}

/// From here on calls belong to a series (`series.rs`) or do not any more.
pub fn in_series(now: bool) {
    IN_SERIES.store(now, Ordering::Relaxed);
}

/// Whether calls belong to a series.
#[inline]
pub(super) fn is_in_series() -> bool {
    IN_SERIES.load(Ordering::Relaxed)
}

/// Asks this after each call that is not timed: what the call left behind that it should not have, if anything.
pub fn look_after_each(look: fn() -> Option<String>) {
    // The first one stays.
    let _ = AFTER.set(look);
}

/// Notes a step before there are kernels, makes it, and notes that it is over.
pub fn noted<R>(call: Call, make: impl FnOnce() -> R) -> R {
    called(call, 0, 0, 0, make)
}

/// Notes a call, makes it, and notes that it is over.
#[inline]
pub(super) fn called<R>(call: Call, rows: u64, k: u64, tokens: u64, make: impl FnOnce() -> R) -> R {
    let set = NOTE.load(Ordering::Acquire);
    // SAFETY: only `note_in` stores it, from a reference that lives for ever.
    let note = unsafe { set.as_ref() }.unwrap_or(&OWN);
    let write = |word: &AtomicU64, value| word.store(value, Ordering::Relaxed);
    write(&note.call, call as u64 + 1);
    write(&note.rows, rows);
    write(&note.k, k);
    write(&note.tokens, tokens);
    note.count.fetch_add(1, Ordering::Relaxed);
    write(&note.busy, 1);
    let made = make();
    write(&note.busy, 0);
    made
}

/// What the last call left behind.
pub(super) fn left_behind() -> Option<String> {
    AFTER.get().and_then(|look| look())
}
