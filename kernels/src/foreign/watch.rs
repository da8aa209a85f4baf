//! Which call into foreign code is under way, for whoever finds that it never came back; and what is looked at after
//! each one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// The functions of a library, by their names in the header.
pub const CALLS: [&str; 11] = [
    "nothing",
    "open",
    "close",
    "packed_bytes",
    "pack",
    "prepared_bytes",
    "prepare",
    "gemv",
    "gemm",
    "load",
    "tb_kernels",
];

/// The last call into foreign code: all words are written before the call, from one thread or several. It may lie in
/// memory that another process reads when this one is gone.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Note {
    /// Counts calls; it is raised before each.
    pub count: AtomicU64,
    /// Index in [`CALLS`].
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
        let call = *CALLS.get(read(&self.call) as usize)?;
        let (rows, k, tokens) = (read(&self.rows), read(&self.k), read(&self.tokens));
        match call {
            "nothing" => None,
            "load" | "tb_kernels" => Some(call.to_owned()),
            "prepare" | "prepared_bytes" => Some(format!("{call}, k {k}")),
            "gemm" => Some(format!("{call} {rows}x{k} x {tokens} tokens")),
            _ => Some(format!("{call} {rows}x{k}")),
        }
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
static AFTER: OnceLock<fn() -> Option<String>> = OnceLock::new();

/// Notes calls there from now on.
pub fn note_in(note: &'static Note) {
    NOTE.store(std::ptr::from_ref(note).cast_mut(), Ordering::Release);
}

/// Asks this after each call that is not timed: what the call left behind that it should not have, if anything.
pub fn look_after_each(look: fn() -> Option<String>) {
    // The first one stays.
    let _ = AFTER.set(look);
}

/// Notes a step before there are kernels, by its name in [`CALLS`], makes it, and notes that it is over.
pub fn noted<R>(step: &str, make: impl FnOnce() -> R) -> R {
    let call = CALLS.iter().position(|call| *call == step).unwrap_or(0);
    called(call as u64, 0, 0, 0, make)
}

/// Notes a call, makes it, and notes that it is over.
#[inline]
pub(super) fn called<R>(call: u64, rows: u64, k: u64, tokens: u64, make: impl FnOnce() -> R) -> R {
    let set = NOTE.load(Ordering::Acquire);
    // SAFETY: only `note_in` stores it, from a reference that lives for ever.
    let note = unsafe { set.as_ref() }.unwrap_or(&OWN);
    let write = |word: &AtomicU64, value| word.store(value, Ordering::Relaxed);
    write(&note.call, call);
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
