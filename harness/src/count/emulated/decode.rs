//! Class of an instruction of 64-bit Arm, width of its vectors, bytes that it reads and writes, and where it jumps:
//! from the fields of its 32 bits (Arm Architecture Reference Manual, "A64 instruction set encoding").

use crate::count::trace::{Executed, Instruction};
use receipt::{Classes, Mix};

/// An instruction at an address.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    pub at: u64,
    pub op: u32,
}

/// What an instruction does, as on x86 ([`Classes`] says what each means).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Load,
    Store,
    RegisterMove,
    Shuffle,
    MultiplyAdd,
    Shift,
    Logic,
    Arithmetic,
    Convert,
    Scalar,
    Branch,
    Prefetch,
    Other,
}
use Class::*;

/// Class, whether it names a vector register (more than one lane of it), and bytes that it moves from or to memory.
type Decoded = (Class, bool, u64);

impl Instruction for Code {
    fn jump(&self) -> Option<u64> {
        let words = |low: u32, bits: u32| {
            let field = self.op >> low & ((1 << bits) - 1);
            i64::from((field << (32 - bits)) as i32 >> (32 - bits))
        };
        let words = match self.op {
            op if op >> 26 == 0b00_0101 => words(0, 26),
            // b.cond, cbz and cbnz
            op if op >> 24 == 0x54 || op >> 25 & 0x3F == 0b01_1010 => words(5, 19),
            // tbz and tbnz
            op if op >> 25 & 0x3F == 0b01_1011 => words(5, 14),
            _ => return None,
        };
        Some(self.at.wrapping_add_signed(4 * words))
    }
}

impl Code {
    /// Bytes that it reads from memory.
    pub fn bytes_read(&self) -> u64 {
        match decoded(self.op) {
            (Load, _, bytes) => bytes,
            _ => 0,
        }
    }
}

/// Sums executed instructions by class and vector width, with the bytes that they read and write.
pub fn mix(executed: &mut dyn Iterator<Item = &Executed<Code>>) -> Mix<u64> {
    let mut mix = Mix::default();
    for Executed { instruction, count, .. } in executed {
        let (class, vector, bytes) = decoded(instruction.op);
        mix.instructions += count;
        *counter(&mut mix.classes, class) += count;
        *if vector { &mut mix.widths.bits_128 } else { &mut mix.widths.scalar } += count;
        let memory = &mut mix.memory;
        match class {
            Load => {
                memory.reads += count;
                memory.bytes_loaded += bytes * count;
            }
            Store => {
                memory.writes += count;
                memory.bytes_stored += bytes * count;
            }
            _ => {}
        }
    }
    mix
}

fn counter(classes: &mut Classes<u64>, class: Class) -> &mut u64 {
    match class {
        Load => &mut classes.load,
        Store => &mut classes.store,
        RegisterMove => &mut classes.register_move,
        Shuffle => &mut classes.shuffle,
        MultiplyAdd => &mut classes.multiply_add,
        Shift => &mut classes.shift,
        Logic => &mut classes.logic,
        Arithmetic => &mut classes.arithmetic,
        Convert => &mut classes.convert,
        Scalar => &mut classes.scalar,
        Branch => &mut classes.branch,
        Prefetch => &mut classes.prefetch,
        Other => &mut classes.other,
    }
}

fn bits(op: u32, low: u32, count: u32) -> u32 {
    op >> low & ((1 << count) - 1)
}

fn bit(op: u32, at: u32) -> bool {
    op >> at & 1 == 1
}

fn decoded(op: u32) -> Decoded {
    match bits(op, 25, 4) {
        0b1000 | 0b1001 | 0b0101 | 0b1101 => (Scalar, false, 0),
        // Hints, barriers and system registers.
        0b1010 | 0b1011 if op >> 24 == 0xD5 => (Other, false, 0),
        0b1010 | 0b1011 => (Branch, false, 0),
        group if group & 0b0101 == 0b0100 => memory(op),
        0b0111 | 0b1111 => vector(op),
        // SVE, and what is reserved.
        group => (Other, group == 0b0010, 0),
    }
}

/// Loads, stores and prefetches.
fn memory(op: u32) -> Decoded {
    let (size, vector, load) = (op >> 30, bit(op, 26), bit(op, 22));
    let moved = |load: bool, bytes: u64, registers: u64| {
        // A single number in a vector register is one lane of it.
        (if load { Load } else { Store }, vector && bytes > 4, bytes * registers)
    };
    match bits(op, 27, 3) {
        // ldr of a literal
        0b011 if !bit(op, 24) => match (vector, size) {
            (false, 3) => (Prefetch, false, 0),
            (false, size) => moved(true, if size == 1 { 8 } else { 4 }, 1),
            (true, size) => moved(true, 4 << size, 1),
        },
        // ldp, stp: opc 1 of general registers is ldpsw
        0b101 if vector => moved(load, 4 << size, 2),
        0b101 => moved(load, if size == 2 { 8 } else { 4 }, 2),
        0b111 if vector && bits(op, 22, 2) >= 2 => moved(load, 16, 1),
        0b111 if vector => moved(load, 1 << size, 1),
        // Atomic operations read and write; here they are reads.
        0b111 if !bit(op, 24) && bit(op, 21) && bits(op, 10, 2) == 0 => moved(true, 1 << size, 1),
        0b111 => match bits(op, 22, 2) {
            2 if size == 3 => (Prefetch, false, 0),
            opc => moved(opc > 0, 1 << size, 1),
        },
        // ld1 to ld4 and their stores
        0b001 if vector && !bit(op, 24) => {
            let registers = match bits(op, 12, 4) {
                0b0000 | 0b0010 => 4,
                0b0100 | 0b0110 => 3,
                0b1000 | 0b1010 => 2,
                _ => 1,
            };
            moved(load, if bit(op, 30) { 16 } else { 8 }, registers)
        }
        // One element a register, or one for all lanes
        0b001 if vector => {
            let opcode = bits(op, 13, 3);
            let elements = u64::from((opcode & 1) << 1 | bits(op, 21, 1)) + 1;
            let bytes: u64 = match opcode >> 1 {
                0 => 1,
                1 => 2,
                2 if !bit(op, 10) => 4,
                2 => 8,
                _ => 1 << bits(op, 10, 2),
            };
            (if load { Load } else { Store }, true, bytes * elements)
        }
        // Exclusive and ordered accesses
        _ => moved(load, 1 << size, 1),
    }
}

/// Vectors and floats.
fn vector(op: u32) -> Decoded {
    let scalar = bit(op, 28);
    match (bits(op, 24, 5), scalar && !bit(op, 30)) {
        (0b11110, true) => float(op),
        (0b11111, true) => (MultiplyAdd, false, 0),
        (group, _) => {
            let class = if group & 1 == 0 { of_registers(op) } else { with_immediate_or_element(op) };
            (class, !scalar, 0)
        }
    }
}

/// One float: bits 28 to 24 are 11110.
fn float(op: u32) -> Decoded {
    let class = match (bit(op, 21), bits(op, 10, 2)) {
        // Fixed-point numbers
        (false, _) => Convert,
        // fccmp, fcsel
        (true, 1 | 3) => Arithmetic,
        (true, 2) if matches!(bits(op, 12, 4), 0b0000 | 0b1000) => MultiplyAdd,
        (true, 2) => Arithmetic,
        // A constant
        (true, _) if bit(op, 12) => RegisterMove,
        // fcmp
        (true, _) if bit(op, 13) => Arithmetic,
        (true, _) if bit(op, 14) => match bits(op, 15, 6) {
            0 => RegisterMove,
            1..4 | 8.. => Arithmetic,
            _ => Convert,
        },
        // Between float and integer: fmov moves bits.
        (true, _) if bits(op, 17, 2) == 3 => RegisterMove,
        (true, _) => Convert,
    };
    (class, false, 0)
}

/// Bits 28 to 24 are 01110 or 11110: operands are registers, lane by lane or moved among lanes.
fn of_registers(op: u32) -> Class {
    let (negated, size) = (bit(op, 29), bits(op, 22, 2));
    if !bit(op, 21) {
        return match (bit(op, 15), bit(op, 10), bit(op, 11)) {
            // sdot, usdot, smmla and their like
            (true, true, _) => MultiplyAdd,
            // dup, ins, smov, umov
            (false, true, _) if size & 1 == 0 => Shuffle,
            // tbl and ext; zip, uzp and trn
            (false, false, _) => Shuffle,
            _ => Arithmetic,
        };
    }
    if bit(op, 10) {
        let opcode = bits(op, 11, 5);
        return match (opcode, negated) {
            // orr of a register with itself
            (0b00011, false) if size == 2 && bits(op, 5, 5) == bits(op, 16, 5) => RegisterMove,
            (0b00011, _) => Logic,
            (0b01000..=0b01011, _) => Shift,
            // mla, mul, sqdmulh; fmla, fmulx, fmul
            (0b10010 | 0b10011 | 0b10110 | 0b11001 | 0b11011, _) => MultiplyAdd,
            _ => Arithmetic,
        };
    }
    if !bit(op, 11) {
        // Operands of two widths: smlal, smlsl, smull, pmull and the saturating ones
        return if bit(op, 15) { MultiplyAdd } else { Arithmetic };
    }
    if bits(op, 17, 4) == 0b1000 {
        // Across the lanes: addv, smaxv
        return Arithmetic;
    }
    let (opcode, high) = (bits(op, 12, 5), size >= 2);
    match (opcode, negated) {
        // rev64, rev32, rev16
        (0 | 1, _) => Shuffle,
        // not, rbit
        (0b00101, true) => Logic,
        // shll
        (0b10011, true) => Shift,
        // xtn, sqxtn, sqxtun, uqxtn; fcvtn, fcvtl
        (0b10010 | 0b10100 | 0b10110 | 0b10111, _) => Convert,
        // fcvt* to integers, scvtf, ucvtf
        (0b11010 | 0b11011, _) => Convert,
        (0b11100 | 0b11101, _) if !high => Convert,
        _ => Arithmetic,
    }
}

/// Bits 28 to 24 are 01111 or 11111: an operand is a constant, or one element for all lanes.
fn with_immediate_or_element(op: u32) -> Class {
    if !bit(op, 10) {
        return MultiplyAdd;
    }
    if bits(op, 19, 5) == 0 {
        // movi, mvni, fmov; orr and bic with a constant
        let cmode = bits(op, 12, 4);
        return if cmode & 1 == 1 && cmode < 0b1100 { Logic } else { RegisterMove };
    }
    match bits(op, 11, 5) {
        // sxtl and uxtl are shifts by 0
        0b10100 | 0b11100 | 0b11111 => Convert,
        _ => Shift,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_widths_and_bytes() {
        // As GNU as assembles them.
        #[rustfmt::skip]
        let cases: [(&str, u32, Decoded); 88] = [
            ("ldr x0, [x1]", 0xf940_0020, (Load, false, 8)),
            ("ldr w0, [x1, x2, lsl #2]", 0xb862_7820, (Load, false, 4)),
            ("ldrb w0, [x1], #1", 0x3840_1420, (Load, false, 1)),
            ("ldrsw x0, [x1]", 0xb980_0020, (Load, false, 4)),
            ("ldr q0, [x1], #16", 0x3cc1_0420, (Load, true, 16)),
            ("ldr d0, [x1, #8]", 0xfd40_0420, (Load, true, 8)),
            ("ldr s0, [x1]", 0xbd40_0020, (Load, false, 4)),
            ("ldr h0, [x1]", 0x7d40_0020, (Load, false, 2)),
            ("ldur q0, [x1, #-32]", 0x3cde_0020, (Load, true, 16)),
            ("ldp q0, q1, [x0, #-32]", 0xad7f_0400, (Load, true, 32)),
            ("ldp x0, x1, [sp], #16", 0xa8c1_07e0, (Load, false, 16)),
            ("ldp w0, w1, [x2]", 0x2940_0440, (Load, false, 8)),
            ("stp q0, q1, [x2]", 0xad00_0440, (Store, true, 32)),
            ("stp d8, d9, [sp, #-16]!", 0x6dbf_27e8, (Store, true, 16)),
            ("str q0, [x1]", 0x3d80_0020, (Store, true, 16)),
            ("strh w0, [x1]", 0x7900_0020, (Store, false, 2)),
            ("ld1 {v0.16b, v1.16b}, [x0]", 0x4c40_a000, (Load, true, 32)),
            ("ld1r {v0.4s}, [x0]", 0x4d40_c800, (Load, true, 4)),
            ("ld1 {v0.s}[1], [x0]", 0x0d40_9000, (Load, true, 4)),
            ("ld4 {v0.8b, v1.8b, v2.8b, v3.8b}, [x0]", 0x0c40_0000, (Load, true, 32)),
            ("prfm pldl1keep, [x0, #1024]", 0xf982_0000, (Prefetch, false, 0)),
            ("ldaxr x0, [x1]", 0xc85f_fc20, (Load, false, 8)),
            ("sdot v0.4s, v1.16b, v2.4b[1]", 0x4fa2_e020, (MultiplyAdd, true, 0)),
            ("sdot v0.4s, v1.16b, v2.16b", 0x4e82_9420, (MultiplyAdd, true, 0)),
            ("smmla v0.4s, v1.16b, v2.16b", 0x4e82_a420, (MultiplyAdd, true, 0)),
            ("smlal v0.8h, v1.8b, v2.8b", 0x0e22_8020, (MultiplyAdd, true, 0)),
            ("smlal2 v0.8h, v1.16b, v2.16b", 0x4e22_8020, (MultiplyAdd, true, 0)),
            ("mul v0.4s, v1.4s, v2.4s", 0x4ea2_9c20, (MultiplyAdd, true, 0)),
            ("mla v0.4s, v1.4s, v2.s[1]", 0x6fa2_0020, (MultiplyAdd, true, 0)),
            ("fmla v0.4s, v1.4s, v2.4s", 0x4e22_cc20, (MultiplyAdd, true, 0)),
            ("fmla v0.4s, v1.4s, v2.s[0]", 0x4f82_1020, (MultiplyAdd, true, 0)),
            ("fmul v0.4s, v1.4s, v2.4s", 0x6e22_dc20, (MultiplyAdd, true, 0)),
            ("fmul s0, s1, s2", 0x1e22_0820, (MultiplyAdd, false, 0)),
            ("fmadd s0, s1, s2, s3", 0x1f02_0c20, (MultiplyAdd, false, 0)),
            ("and v0.16b, v1.16b, v2.16b", 0x4e22_1c20, (Logic, true, 0)),
            ("bic v0.4s, #1", 0x6f00_1420, (Logic, true, 0)),
            ("mvn v0.16b, v1.16b", 0x6e20_5820, (Logic, true, 0)),
            ("bsl v0.16b, v1.16b, v2.16b", 0x6e62_1c20, (Logic, true, 0)),
            ("mov v0.16b, v1.16b", 0x4ea1_1c20, (RegisterMove, true, 0)),
            ("movi v0.16b, #3", 0x4f00_e460, (RegisterMove, true, 0)),
            ("movi v0.2d, #0", 0x6f00_e400, (RegisterMove, true, 0)),
            ("fmov s0, s1", 0x1e20_4020, (RegisterMove, false, 0)),
            ("fmov w0, s1", 0x1e26_0020, (RegisterMove, false, 0)),
            ("fmov s0, #1.0", 0x1e2e_1000, (RegisterMove, false, 0)),
            ("ushr v0.16b, v1.16b, #6", 0x6f0a_0420, (Shift, true, 0)),
            ("sshr v0.4s, v1.4s, #2", 0x4f3e_0420, (Shift, true, 0)),
            ("sshl v0.4s, v1.4s, v2.4s", 0x4ea2_4420, (Shift, true, 0)),
            ("shrn v0.8b, v1.8h, #4", 0x0f0c_8420, (Shift, true, 0)),
            ("shll v0.8h, v1.8b, #8", 0x2e21_3820, (Shift, true, 0)),
            ("sxtl v0.8h, v1.8b", 0x0f08_a420, (Convert, true, 0)),
            ("xtn v0.8b, v1.8h", 0x0e21_2820, (Convert, true, 0)),
            ("scvtf v0.4s, v1.4s", 0x4e21_d820, (Convert, true, 0)),
            ("fcvtzs v0.4s, v1.4s", 0x4ea1_b820, (Convert, true, 0)),
            ("fcvtl v0.4s, v1.4h", 0x0e21_7820, (Convert, true, 0)),
            ("scvtf s0, w1", 0x1e22_0020, (Convert, false, 0)),
            ("fcvt s0, h1", 0x1ee2_4020, (Convert, false, 0)),
            ("zip1 v0.4s, v1.4s, v2.4s", 0x4e82_3820, (Shuffle, true, 0)),
            ("uzp2 v0.16b, v1.16b, v2.16b", 0x4e02_5820, (Shuffle, true, 0)),
            ("tbl v0.16b, {v1.16b}, v2.16b", 0x4e02_0020, (Shuffle, true, 0)),
            ("ext v0.16b, v1.16b, v2.16b, #4", 0x6e02_2020, (Shuffle, true, 0)),
            ("dup v0.4s, v1.s[1]", 0x4e0c_0420, (Shuffle, true, 0)),
            ("dup v0.4s, w1", 0x4e04_0c20, (Shuffle, true, 0)),
            ("mov v0.s[1], v1.s[0]", 0x6e0c_0420, (Shuffle, true, 0)),
            ("umov w0, v1.b[3]", 0x0e07_3c20, (Shuffle, true, 0)),
            ("rev64 v0.4s, v1.4s", 0x4ea0_0820, (Shuffle, true, 0)),
            ("add v0.4s, v1.4s, v2.4s", 0x4ea2_8420, (Arithmetic, true, 0)),
            ("addp v0.4s, v1.4s, v2.4s", 0x4ea2_bc20, (Arithmetic, true, 0)),
            ("addv s0, v1.4s", 0x4eb1_b820, (Arithmetic, true, 0)),
            ("sadalp v0.4s, v1.8h", 0x4e60_6820, (Arithmetic, true, 0)),
            ("saddw v0.4s, v1.4s, v2.4h", 0x0e62_1020, (Arithmetic, true, 0)),
            ("fadd v0.4s, v1.4s, v2.4s", 0x4e22_d420, (Arithmetic, true, 0)),
            ("fadd s0, s1, s2", 0x1e22_2820, (Arithmetic, false, 0)),
            ("fcmp s0, s1", 0x1e21_2000, (Arithmetic, false, 0)),
            ("fmaxnm v0.4s, v1.4s, v2.4s", 0x4e22_c420, (Arithmetic, true, 0)),
            ("fsqrt s0, s1", 0x1e21_c020, (Arithmetic, false, 0)),
            ("neg v0.4s, v1.4s", 0x6ea0_b820, (Arithmetic, true, 0)),
            ("cnt v0.16b, v1.16b", 0x4e20_5820, (Arithmetic, true, 0)),
            ("cmeq v0.16b, v1.16b, v2.16b", 0x6e22_8c20, (Arithmetic, true, 0)),
            ("faddp s0, v1.2s", 0x7e30_d820, (Arithmetic, false, 0)),
            ("subs x0, x1, #1", 0xf100_0420, (Scalar, false, 0)),
            ("madd x0, x1, x2, x3", 0x9b02_0c20, (Scalar, false, 0)),
            ("csel x0, x1, x2, eq", 0x9a82_0020, (Scalar, false, 0)),
            ("mov x0, x1", 0xaa01_03e0, (Scalar, false, 0)),
            ("b.ne .", 0x5400_0001, (Branch, false, 0)),
            ("bl .", 0x9400_0000, (Branch, false, 0)),
            ("ret", 0xd65f_03c0, (Branch, false, 0)),
            ("cbz x0, .", 0xb400_0000, (Branch, false, 0)),
            ("nop", 0xd503_201f, (Other, false, 0)),
        ];
        for (text, op, want) in cases {
            assert_eq!(decoded(op), want, "{text} {op:08x}");
        }
    }

    #[test]
    fn jumps_go_where_they_say() {
        let to = |op: u32| Code { at: 0x1000, op }.jump();
        // b .-8, b.ne .-16, cbz x1 .+12, tbnz w2 #3 .-4
        let jumps = [0x17ff_fffe, 0x54ff_ff81, 0xb400_0061, 0x371f_ffe2];
        assert_eq!(jumps.map(to), [0xff8, 0xff0, 0x100c, 0xffc].map(Some));
        // bl, blr, ret, an addition
        assert_eq!([0x97ff_fffe, 0xd63f_0020, 0xd65f_03c0, 0x9100_0421].map(to), [None; 4]);
    }

    #[test]
    fn sums_are_of_executed_instructions() {
        let executed = |op, count| Executed { instruction: Code { at: 0, op }, count, repeats: 0, code_bytes: 0 };
        // ldp q0, q1, [x0]; sdot v0.4s, v1.16b, v2.4b[0]; subs x1, x1, #1; str s0, [x0]
        let all = [(0xad40_0400, 5), (0x4f82_e020, 3), (0xf100_0421, 2), (0xbd00_0000, 1)];
        let all = all.map(|(op, count)| executed(op, count));
        let mix = mix(&mut all.iter());
        assert_eq!((mix.instructions, mix.vector(), mix.widths.scalar), (11, 8, 3));
        assert_eq!((mix.classes.load, mix.classes.multiply_add, mix.classes.scalar, mix.classes.store), (5, 3, 2, 1));
        let memory = mix.memory;
        assert_eq!((memory.reads, memory.bytes_loaded, memory.writes, memory.bytes_stored), (5, 160, 1, 4));
    }
}
