//! Class of an instruction, width of its vectors, and bytes that it reads and writes.

use super::follow::{Executed, Instructions};
use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, OpAccess, OpKind, Register};
use receipt::Mix;

/// Sums over instructions.
pub fn mix<'a>(executed: impl IntoIterator<Item = &'a Executed>) -> Mix<u64> {
    let mut factory = InstructionInfoFactory::new();
    let mut mix = Mix::default();
    for executed in executed {
        add(&mut mix, executed, &mut factory);
    }
    mix
}

/// Sum over a whole call.
pub fn total(trace: &Instructions) -> Mix<u64> {
    mix(trace.values())
}

fn add(mix: &mut Mix<u64>, executed: &Executed, factory: &mut InstructionInfoFactory) {
    let (instruction, count) = (&executed.instruction, executed.count);
    mix.instructions += count;
    let classes = &mut mix.classes;
    *match class(instruction) {
        Class::Load => &mut classes.load,
        Class::Store => &mut classes.store,
        Class::RegisterMove => &mut classes.register_move,
        Class::Shuffle => &mut classes.shuffle,
        Class::MultiplyAdd => &mut classes.multiply_add,
        Class::Shift => &mut classes.shift,
        Class::Logic => &mut classes.logic,
        Class::Arithmetic => &mut classes.arithmetic,
        Class::Convert => &mut classes.convert,
        Class::Scalar => &mut classes.scalar,
        Class::Branch => &mut classes.branch,
        Class::Prefetch => &mut classes.prefetch,
        Class::Other => &mut classes.other,
    } += count;
    let widths = &mut mix.widths;
    *match width(instruction) {
        512 => &mut widths.bits_512,
        256 => &mut widths.bits_256,
        128 => &mut widths.bits_128,
        _ => &mut widths.scalar,
    } += count;
    let string =
        instruction.is_string_instruction() && (instruction.has_rep_prefix() || instruction.has_repne_prefix());
    let accesses = if string { executed.repeats } else { count };
    for memory in factory.info(instruction).used_memory() {
        // With a rep prefix the size of the access is unknown, but the size of one element is known.
        let size = if string { instruction.memory_size() } else { memory.memory_size() };
        let bytes = size.size() as u64 * accesses;
        let access = memory.access();
        if matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite) {
            mix.memory.reads += accesses;
            mix.memory.bytes_loaded += bytes;
        }
        if matches!(access, OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite) {
            mix.memory.writes += accesses;
            mix.memory.bytes_stored += bytes;
        }
    }
}

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

fn class(instruction: &Instruction) -> Class {
    if instruction.flow_control() != FlowControl::Next {
        return Class::Branch;
    }
    let mnemonic = format!("{:?}", instruction.mnemonic()).to_lowercase();
    if mnemonic.starts_with("prefetch") {
        return Class::Prefetch;
    }
    if matches!(&mnemonic[..], "vzeroupper" | "vzeroall" | "nop" | "endbr64") {
        return Class::Other;
    }
    let registers = || (0..instruction.op_count()).map(|i| instruction.op_register(i));
    let mask = registers().any(Register::is_k);
    let vector = registers().any(Register::is_vector_register);
    let from_memory = (1..instruction.op_count()).any(|i| instruction.op_kind(i) == OpKind::Memory);
    let to_memory = instruction.op_count() > 0 && instruction.op0_kind() == OpKind::Memory;
    let on_mask = mask && mnemonic.starts_with('k');
    if !(vector || on_mask) {
        return match &mnemonic[..] {
            "mov" | "movzx" | "movsx" | "movsxd" | "movbe" if from_memory => Class::Load,
            "mov" | "movbe" | "movnti" if to_memory => Class::Store,
            "pop" => Class::Load,
            "push" => Class::Store,
            "movsb" | "movsw" | "movsd" | "movsq" | "stosb" | "stosw" | "stosd" | "stosq" => Class::Store,
            _ => Class::Scalar,
        };
    }
    let name = mnemonic.strip_prefix('v').unwrap_or(&mnemonic);
    let is = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if is(&["pmovsx", "pmovzx", "cvt", "pmovw", "pmovd", "pmovq", "pmovus", "pmovs"]) {
        return Class::Convert;
    }
    if is(&["movhlps", "movlhps", "movddup", "movshdup", "movsldup"]) && !from_memory {
        return Class::Shuffle;
    }
    if is(&["mov", "lddqu", "kmov", "maskmov", "pmaskmov"]) || is(&["broadcast", "pbroadcast"]) && from_memory {
        return match (from_memory, to_memory) {
            (true, _) => Class::Load,
            (_, true) => Class::Store,
            _ => Class::RegisterMove,
        };
    }
    if is(&["pextr", "extract"]) && to_memory {
        return Class::Store;
    }
    // Bytes, not bits: these move lanes.
    if is(&["pslldq", "psrldq"]) {
        return Class::Shuffle;
    }
    const RULES: [(Class, &[&str]); 5] = [
        (
            Class::Shuffle,
            &[
                "shuf",
                "pshuf",
                "perm",
                "unpck",
                "punpck",
                "palignr",
                "align",
                "valign",
                "pack",
                "insert",
                "pinsr",
                "extract",
                "pextr",
                "blend",
                "pblend",
                "compress",
                "pcompress",
                "expand",
                "pexpand",
                "broadcast",
                "pbroadcast",
            ],
        ),
        (Class::MultiplyAdd, &["mul", "pmul", "pmadd", "fmadd", "fmsub", "fnmadd", "fnmsub", "dp", "pdp"]),
        (Class::Shift, &["psll", "psrl", "psra", "prol", "pror", "pshl", "pshr", "kshift"]),
        (
            Class::Logic,
            &[
                "and", "or", "xor", "pand", "por", "pxor", "ptest", "test", "ptern", "gf2p8", "kand", "kor", "kxor",
                "knot", "kxnor", "ktest", "pmovmskb",
            ],
        ),
        (
            Class::Arithmetic,
            &[
                "add", "sub", "padd", "psub", "pavg", "min", "max", "pmin", "pmax", "cmp", "pcmp", "comis", "ucomis",
                "pabs", "psign", "hadd", "phadd", "hsub", "phsub", "psad", "dbpsad", "div", "sqrt", "round",
                "rndscale", "rcp", "rsqrt", "popcnt", "kadd",
            ],
        ),
    ];
    // Its name begins like that of a product.
    if is(&["pmultishift"]) {
        return Class::Shift;
    }
    RULES.iter().find(|(_, prefixes)| is(prefixes)).map_or(Class::Other, |(class, _)| *class)
}

/// Bits of the widest vector register named, 0 if none or if only its lowest lane counts.
fn width(instruction: &Instruction) -> u32 {
    let registers = (0..instruction.op_count()).map(|i| instruction.op_register(i));
    let widest = registers
        .map(|r| {
            if r.is_zmm() {
                512
            } else if r.is_ymm() {
                256
            } else if r.is_xmm() {
                128
            } else {
                0
            }
        })
        .max();
    let mnemonic = format!("{:?}", instruction.mnemonic()).to_lowercase();
    let one_lane = ["ss", "sd"].iter().any(|end| mnemonic.ends_with(end)) && !mnemonic.starts_with("vpbroad");
    match widest {
        Some(128) if one_lane && !mnemonic.contains("pabs") => 0,
        widest => widest.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions};

    fn decoded(bytes: &[u8]) -> Instruction {
        Decoder::with_ip(64, bytes, 0x1000, DecoderOptions::NONE).decode()
    }

    fn one(bytes: &[u8]) -> Mix<u64> {
        mix(&[Executed { instruction: decoded(bytes), count: 1, repeats: 5, code_bytes: 0 }])
    }

    #[test]
    fn classes_and_widths() {
        let cases: [(&[u8], Class, u32); 17] = [
            (&[0x62, 0xf1, 0xfd, 0x48, 0x6f, 0x06], Class::Load, 512), // vmovdqa64 zmm0, [rsi]
            (&[0x62, 0xf2, 0x75, 0x58, 0x50, 0x07], Class::MultiplyAdd, 512), // vpdpbusd zmm0, zmm1, [rdi]{1to16}
            (&[0x62, 0xf1, 0xfd, 0x48, 0xdb, 0xc1], Class::Logic, 512), // vpandq zmm0, zmm0, zmm1
            (&[0xc5, 0xfd, 0x71, 0xd0, 0x02], Class::Shift, 256),      // vpsrlw ymm0, ymm0, 2
            (&[0xc4, 0xe2, 0x7d, 0x00, 0xc1], Class::Shuffle, 256),    // vpshufb ymm0, ymm0, ymm1
            (&[0xc4, 0xe2, 0x7d, 0x04, 0xc1], Class::MultiplyAdd, 256), // vpmaddubsw ymm0, ymm0, ymm1
            (&[0xc4, 0xe2, 0x7d, 0x21, 0xc1], Class::Convert, 256),    // vpmovsxbd ymm0, xmm1
            (&[0xf3, 0x0f, 0x59, 0xc1], Class::MultiplyAdd, 0),        // mulss xmm0, xmm1
            (&[0xf3, 0x0f, 0x10, 0x06], Class::Load, 0),               // movss xmm0, [rsi]
            (&[0xc5, 0xf9, 0x73, 0xd8, 0x08], Class::Shuffle, 128),    // vpsrldq xmm0, xmm0, 8
            (&[0xc4, 0xe2, 0x7d, 0x58, 0x06], Class::Load, 256),       // vpbroadcastd ymm0, [rsi]
            (&[0xc5, 0xf8, 0x77], Class::Other, 0),                    // vzeroupper
            (&[0x0f, 0x18, 0x0e], Class::Prefetch, 0),                 // prefetcht0 [rsi]
            (&[0x48, 0x83, 0xc0, 0x01], Class::Scalar, 0),             // add rax, 1
            (&[0x75, 0xfe], Class::Branch, 0),                         // jne
            (&[0xc4, 0xe2, 0x7d, 0x1e, 0xc1], Class::Arithmetic, 256), // vpabsd ymm0, ymm1
            (&[0xc5, 0xf5, 0xf6, 0xc2], Class::Arithmetic, 256),       // vpsadbw ymm0, ymm1, ymm2
        ];
        for (bytes, expected, bits) in cases {
            let instruction = decoded(bytes);
            assert_eq!((class(&instruction), width(&instruction)), (expected, bits), "{instruction:?}");
        }
    }

    #[test]
    fn memory_operands_count_wherever_they_are() {
        let broadcast = one(&[0x62, 0xf2, 0x75, 0x58, 0x50, 0x07]).memory;
        assert_eq!((broadcast.reads, broadcast.bytes_loaded, broadcast.writes), (1, 4, 0), "four bytes to all lanes");
        let load = one(&[0x62, 0xf1, 0xfd, 0x48, 0x6f, 0x06]).memory;
        assert_eq!((load.reads, load.bytes_loaded), (1, 64));
        let push = one(&[0x55]).memory;
        assert_eq!((push.writes, push.bytes_stored, push.reads), (1, 8, 0));
        let lea = one(&[0x48, 0x8d, 0x06]).memory;
        assert_eq!((lea.reads, lea.writes), (0, 0), "an address is no access");
        let prefetch = one(&[0x0f, 0x18, 0x0e]).memory;
        assert_eq!(prefetch.reads, 0, "nothing arrives in a register");
        let rep_stosq = one(&[0xf3, 0x48, 0xab]);
        assert_eq!((rep_stosq.instructions, rep_stosq.memory.writes, rep_stosq.memory.bytes_stored), (1, 5, 40));
    }
}
