//! Register state that a kernel must restore: the rounding mode, and upper halves of vector registers, which slow down
//! later SSE code.

/// Register state after a call that the ABI forbids or that slows down later code.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// Control bits of MXCSR before and after, if they differ. The exception flags may change.
    pub mxcsr: Option<(u32, u32)>,
    /// Vector registers (0 to 15) whose bits from 128 on are not zero.
    pub dirty: Vec<usize>,
}

impl Left {
    pub(super) const NOTHING: Self = Self { mxcsr: None, dirty: Vec::new() };
}

/// Runs `call` and reads the registers at its return. No code may run between: a `memcpy` would clear the upper halves.
#[cfg(target_arch = "x86_64")]
pub(super) fn left_by(call: impl FnOnce()) -> Left {
    let mut registers = [[0u8; 64]; 16];
    let before = control_bits();
    call();
    save_registers(&mut registers);
    let after = control_bits();
    let dirty = |register: &[u8; 64]| register[16..].iter().any(|&byte| byte != 0);
    Left {
        mxcsr: (before != after).then_some((before, after)),
        dirty: (0..16).filter(|&i| dirty(&registers[i])).collect(),
    }
}

/// Other architectures have neither.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn left_by(call: impl FnOnce()) -> Left {
    call();
    Left::NOTHING
}

#[cfg(target_arch = "x86_64")]
fn control_bits() -> u32 {
    let mut value = 0u32;
    // SAFETY: `stmxcsr` stores four bytes to `value`.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &mut value, options(nostack, preserves_flags)) };
    value & !0x3F
}

/// Stores as much of the vector registers as the CPU has (asked for here and not through [`crate::CpuFeatures`], whose
/// mask hides features but not registers).
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn save_registers(to: &mut [[u8; 64]; 16]) {
    use std::arch::asm;
    macro_rules! store {
        ($width:literal) => {
            // SAFETY: the CPU has the registers; each store is within its 64 bytes of `to`.
            unsafe {
                asm!(
                    ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
                    concat!("vmovups [{0} + 64 * \\r], ", $width, "mm\\r"),
                    ".endr",
                    "vzeroupper",
                    in(reg) to.as_mut_ptr(),
                    options(nostack, preserves_flags)
                );
            }
        };
    }
    if is_x86_feature_detected!("avx512f") {
        store!("z");
    } else if is_x86_feature_detected!("avx") {
        store!("y");
    }
}

/// The check can fail.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_changed_state_is_seen() {
    use std::arch::asm;
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the CPU has AVX2; the register is declared as changed.
        let left = left_by(|| unsafe { asm!("vpcmpeqd ymm9, ymm9, ymm9", out("xmm9") _, options(nostack)) });
        assert_eq!(left, Left { mxcsr: None, dirty: vec![9] });
    }
    let set = |value: u32| {
        // SAFETY: `ldmxcsr` reads four bytes; all exceptions stay masked.
        move || unsafe { asm!("ldmxcsr [{}]", in(reg) &value, options(nostack)) }
    };
    let before = control_bits();
    let left = left_by(set(before | 0x8000));
    set(before)();
    assert_eq!(left, Left { mxcsr: Some((before, before | 0x8000)), dirty: Vec::new() });
    assert_eq!(left_by(|| ()), Left::NOTHING);
}
