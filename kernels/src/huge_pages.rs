//! Zeroed memory in transparent huge pages, for buffers that a kernel streams through: one TLB entry covers 2 MiB and
//! not 4 KiB.
//!
//! The pages come from `mmap` and not from the allocator, because the advice must come before the first touch:
//! `alloc_zeroed` with an alignment above 16 clears the memory itself, and a heap may hand out pages that were touched
//! long ago.

#[cfg(all(target_os = "linux", not(miri)))]
mod imp {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
    use std::ffi::c_void;
    use std::ptr::{NonNull, null_mut};
    use std::sync::{Arc, Mutex, PoisonError, Weak};

    /// Alignment, and what a buffer must have at least to be worth a mapping.
    pub(crate) const SIZE: usize = 2 << 20;

    /// A private anonymous mapping, unmapped on drop, and where in it a buffer starts.
    pub(crate) struct Pages {
        base: NonNull<c_void>,
        mapped: usize,
        pub(crate) start: NonNull<u8>,
        /// The mapping that the buffer is a part of, where it has none of its own.
        shared: Option<Arc<Pages>>,
    }

    /// Bytes of a mapping that buffers share. What is never touched takes no memory.
    const SHARED: usize = 16 * SIZE;

    /// Smaller buffers lie on the heap: a huge page for each, as where few are alive at a time, takes longer to clear
    /// than all else that is done with it.
    const LEAST: usize = 128 << 10;

    // SAFETY: a mapping belongs to no thread, and what is done with its bytes is its buffers' business.
    unsafe impl Send for Pages {}
    // SAFETY: as above; shared access reads the address and the length alone.
    unsafe impl Sync for Pages {}

    /// The mapping that the next buffer may be a part of, as long as any of its buffers is alive, and how much of it is
    /// given away.
    static CURRENT: Mutex<(Weak<Pages>, usize)> = Mutex::new((Weak::new(), 0));

    impl Pages {
        /// `bytes` zeros with this access, the start at the start; None if the system refuses.
        pub(crate) fn map(bytes: usize, access: ProtFlags) -> Option<Self> {
            // SAFETY: a new private mapping at an address of the kernel's choice overlaps nothing that exists.
            let base = unsafe { mmap_anonymous(null_mut(), bytes, access, MapFlags::PRIVATE).ok()? };
            let base = NonNull::new(base)?;
            Some(Self { base, mapped: bytes, start: base.cast(), shared: None })
        }

        /// `bytes` zeros behind those of the last call in huge pages that they share, for what lies in memory as long
        /// and is read in the order in which it was made: a matrix of 1.2 MB alone would lie in small pages, and one of
        /// 3.5 MB for the most part. None for few bytes, many, or if the system refuses.
        pub(crate) fn shared(bytes: usize, align: usize) -> Option<Self> {
            if !(LEAST..=SHARED).contains(&bytes) {
                return None;
            }
            let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
            let (last, given) = &mut *current;
            let from = given.next_multiple_of(align);
            let (mapping, from) = match last.upgrade() {
                Some(mapping) if from + bytes <= SHARED => (mapping, from),
                _ => (Arc::new(Self::huge(SHARED)?), 0),
            };
            (*last, *given) = (Arc::downgrade(&mapping), from + bytes);
            let start = NonNull::new(mapping.start.as_ptr().wrapping_add(from))?;
            Some(Self { base: start.cast(), mapped: bytes, start, shared: Some(mapping) })
        }

        /// Whether others lie in the same mapping.
        pub(crate) fn is_shared(&self) -> bool {
            self.shared.is_some()
        }

        /// The first byte of the mapping, and how many it has.
        pub(crate) fn whole(&self) -> (NonNull<u8>, usize) {
            (self.base.cast(), self.mapped)
        }

        /// `bytes` zeros at a multiple of [`SIZE`]; None if there are too few bytes or the system refuses.
        pub(crate) fn huge(bytes: usize) -> Option<Self> {
            if bytes < SIZE {
                return None;
            }
            // Room to align the start. Pages that are never touched are never backed by memory.
            let mut pages = Self::map(bytes.checked_add(SIZE)?, ProtFlags::READ | ProtFlags::WRITE)?;
            let start = pages.base.as_ptr().wrapping_byte_add(pages.base.align_offset(SIZE));
            // Whole huge pages only: one more for the rest would take up to 2 MiB that is not used. A system without
            // transparent huge pages refuses; small pages work too, more slowly.
            // SAFETY: the range lies in the mapping, as the offset is below SIZE; the advice changes no contents.
            let _ = unsafe { madvise(start, bytes / SIZE * SIZE, Advice::LinuxHugepage) };
            pages.start = NonNull::new(start.cast())?;
            Some(pages)
        }
    }

    impl Drop for Pages {
        fn drop(&mut self) {
            if self.shared.is_some() {
                return;
            }
            // SAFETY: the whole mapping that `map` made, once; the buffer that owns it is being dropped.
            let unmapped = unsafe { munmap(self.base.as_ptr(), self.mapped) };
            debug_assert!(unmapped.is_ok(), "the mapping was ours");
        }
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
mod imp {
    /// Other systems: never.
    #[allow(dead_code, reason = "there are none")]
    pub(crate) struct Pages {
        pub(crate) start: std::ptr::NonNull<u8>,
    }

    impl Pages {
        pub(crate) fn huge(_bytes: usize) -> Option<Self> {
            None
        }

        pub(crate) fn shared(_bytes: usize, _align: usize) -> Option<Self> {
            None
        }

        pub(crate) fn is_shared(&self) -> bool {
            false
        }
    }
}

pub(crate) use imp::Pages;

/// Lines of /proc/self/smaps about the mapping that holds `address`.
#[cfg(all(test, target_os = "linux", not(miri)))]
pub(crate) fn smaps_of(address: usize) -> Vec<String> {
    let smaps = std::fs::read_to_string("/proc/self/smaps").expect("Linux has it");
    let holds = |line: &str| {
        let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'))?;
        let parse = |hex| usize::from_str_radix(hex, 16).ok();
        Some((parse(range.0)?..parse(range.1)?).contains(&address))
    };
    let mut lines = smaps.lines().skip_while(|line| holds(line) != Some(true));
    let first = lines.next().unwrap_or_default();
    std::iter::once(first).chain(lines.take_while(|line| holds(line).is_none())).map(str::to_owned).collect()
}

/// Whether advice that any kernel takes can be seen: an emulator writes its own smaps and passes no advice on.
#[cfg(all(test, target_os = "linux", not(miri)))]
fn smaps_shows_advice() -> bool {
    use rustix::mm::{Advice, ProtFlags, madvise};
    let pages = Pages::map(imp::SIZE, ProtFlags::READ).expect("a mapping of 2 MiB");
    let start = pages.start.as_ptr();
    // SAFETY: the range is the mapping; the advice only leaves it out of core dumps.
    unsafe { madvise(start.cast(), imp::SIZE, Advice::LinuxDontDump) }.expect("no kernel refuses this advice");
    let smaps = smaps_of(start as usize);
    smaps.iter().any(|line| line.starts_with("VmFlags:") && line.split_whitespace().any(|flag| flag == "dd"))
}

#[cfg(all(test, target_os = "linux", not(miri)))]
#[test]
fn large_buffers_are_aligned_zeroed_and_advised() {
    let mut buffer = crate::AlignedBuffer::<u8>::zeroed(4 * imp::SIZE + 5);
    let address = buffer.as_ptr() as usize;
    assert!(address.is_multiple_of(imp::SIZE));
    assert!(buffer.iter().all(|&v| v == 0));
    buffer.fill(1);
    assert!(buffer.clone().iter().all(|&v| v == 1));
    let enabled = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let smaps = smaps_of(address);
    let Some(flags) = smaps.iter().find(|line| line.starts_with("VmFlags:")) else { return };
    if enabled.is_empty() || enabled.contains("[never]") {
        println!("not checked: no transparent huge pages here");
        return;
    }
    if !smaps_shows_advice() {
        println!("not checked: smaps shows no advice here, as under qemu-user");
        return;
    }
    assert!(flags.split_whitespace().any(|flag| flag == "hg"), "{smaps:?}");
    // The advice was given; the system may still have no free huge pages.
    println!("{:?}", smaps.iter().find(|line| line.starts_with("AnonHugePages:")));
}
