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

    /// A private anonymous mapping, unmapped on drop.
    pub(crate) struct HugePages {
        base: NonNull<c_void>,
        mapped: usize,
        start: NonNull<u8>,
    }

    impl HugePages {
        /// Alignment, and what a buffer must have at least to be worth a mapping.
        pub(crate) const SIZE: usize = 2 << 20;

        /// `bytes` zeros at a multiple of [`Self::SIZE`]; None if there are too few bytes or the system refuses.
        pub(crate) fn zeroed(bytes: usize) -> Option<Self> {
            if bytes < Self::SIZE {
                return None;
            }
            // Room to align the start. Pages that are never touched are never backed by memory.
            let mapped = bytes.checked_add(Self::SIZE)?;
            // SAFETY: a new private mapping at an address of the kernel's choice overlaps nothing that exists.
            let base = unsafe {
                mmap_anonymous(null_mut(), mapped, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE).ok()?
            };
            let offset = base.align_offset(Self::SIZE);
            let start = base.wrapping_byte_add(offset);
            // Whole huge pages only: one more for the rest would take up to 2 MiB that is not used.
            // SAFETY: the range lies in the mapping, as `offset` is below SIZE; the advice changes no contents.
            let advised = unsafe { madvise(start, bytes / Self::SIZE * Self::SIZE, Advice::LinuxHugepage) };
            // A system without transparent huge pages refuses; small pages work too, more slowly.
            let _ = advised;
            Some(Self { base: NonNull::new(base)?, mapped, start: NonNull::new(start.cast())? })
        }

        pub(crate) fn start(&self) -> NonNull<u8> {
            self.start
        }
    }

    impl Drop for HugePages {
        fn drop(&mut self) {
            // SAFETY: the whole mapping that `zeroed` made, once; the buffer that owns it is being dropped.
            let unmapped = unsafe { munmap(self.base.as_ptr(), self.mapped) };
            debug_assert!(unmapped.is_ok(), "the mapping was ours");
        }
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
mod imp {
    use std::ptr::NonNull;

    /// Other systems: never.
    pub(crate) enum HugePages {}

    impl HugePages {
        pub(crate) fn zeroed(_bytes: usize) -> Option<Self> {
            None
        }

        pub(crate) fn start(&self) -> NonNull<u8> {
            match *self {}
        }
    }
}

pub(crate) use imp::HugePages;

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::HugePages;
    use crate::AlignedBuffer;
    use std::fs::read_to_string;

    /// Lines of /proc/self/smaps about the mapping that holds `address`.
    fn smaps_of(address: usize) -> Vec<String> {
        let smaps = read_to_string("/proc/self/smaps").unwrap_or_default();
        let holds = |line: &str| {
            let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'))?;
            let parse = |hex| usize::from_str_radix(hex, 16).ok();
            Some((parse(range.0)?..parse(range.1)?).contains(&address))
        };
        smaps
            .lines()
            .skip_while(|line| holds(line) != Some(true))
            .enumerate()
            .take_while(|(i, line)| *i == 0 || holds(line).is_none())
            .map(|(_, line)| line.to_owned())
            .collect()
    }

    #[test]
    fn large_buffers_are_aligned_zeroed_and_advised() {
        let mut buffer = AlignedBuffer::<u8>::zeroed(4 * HugePages::SIZE + 5);
        let address = buffer.as_ptr() as usize;
        assert!(address.is_multiple_of(HugePages::SIZE));
        assert!(buffer.iter().all(|&v| v == 0));
        buffer.fill(1);
        assert!(buffer.clone().iter().all(|&v| v == 1));
        let enabled = read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
        let smaps = smaps_of(address);
        let Some(flags) = smaps.iter().find(|line| line.starts_with("VmFlags:")) else { return };
        if enabled.is_empty() || enabled.contains("[never]") {
            println!("not checked: no transparent huge pages here");
            return;
        }
        assert!(flags.split_whitespace().any(|flag| flag == "hg"), "{smaps:?}");
        // The advice was given; the system may still have no free huge pages.
        println!("{:?}", smaps.iter().find(|line| line.starts_with("AnonHugePages:")));
    }
}
