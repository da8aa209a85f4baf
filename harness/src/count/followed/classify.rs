//! Class of an instruction, width of its vectors, and bytes that it reads and writes.

use super::follow::repeats;
use crate::count::trace::Executed;
use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, OpAccess, OpKind, Register};
use receipt::Mix;

/// Sums executed instructions by class and vector width, with the bytes that they read and write.
pub fn mix<'a>(executed: impl IntoIterator<Item = &'a Executed<Instruction>>) -> Mix<u64> {
    let mut factory = InstructionInfoFactory::new();
    let mut mix = Mix::default();
    for executed in executed {
        add(&mut mix, executed, &mut factory);
    }
    mix
}

fn add(mix: &mut Mix<u64>, executed: &Executed<Instruction>, factory: &mut InstructionInfoFactory) {
    let (instruction, count) = (&executed.instruction, executed.count);
    let mnemonic = format!("{:?}", instruction.mnemonic()).to_lowercase();
    mix.instructions += count;
    *class(instruction, &mnemonic, mix) += count;
    *match width(instruction, &mnemonic) {
        512 => &mut mix.widths.bits_512,
        256 => &mut mix.widths.bits_256,
        128 => &mut mix.widths.bits_128,
        _ => &mut mix.widths.scalar,
    } += count;
    let string = repeats(instruction);
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

const SHUFFLE: &str = "shuf pshuf perm unpck punpck palignr align valign pack insert pinsr extract pextr blend pblend \
                       compress pcompress expand pexpand broadcast pbroadcast";
const MULTIPLY_ADD: &str = "mul pmul pmadd fmadd fmsub fnmadd fnmsub dp pdp";
const SHIFT: &str = "psll psrl psra prol pror pshl pshr kshift";
const LOGIC: &str = "and or xor pand por pxor ptest test ptern gf2p8 kand kor kxor knot kxnor ktest pmovmskb";
const ARITHMETIC: &str = "add sub padd psub pavg min max pmin pmax cmp pcmp comis ucomis pabs psign hadd phadd hsub \
                          phsub psad dbpsad div sqrt round rndscale rcp rsqrt popcnt kadd";
const CONVERT: &str = "pmovsx pmovzx cvt pmovw pmovd pmovq pmovus pmovs";

/// The counter of an instruction's class. Vector instructions are told apart by how their names begin.
fn class<'c>(instruction: &Instruction, mnemonic: &str, mix: &'c mut Mix<u64>) -> &'c mut u64 {
    let classes = &mut mix.classes;
    if instruction.flow_control() != FlowControl::Next {
        return &mut classes.branch;
    }
    if mnemonic.starts_with("prefetch") {
        return &mut classes.prefetch;
    }
    if matches!(mnemonic, "vzeroupper" | "vzeroall" | "nop" | "endbr64") {
        return &mut classes.other;
    }
    let registers = || (0..instruction.op_count()).map(|i| instruction.op_register(i));
    let on_mask = mnemonic.starts_with('k') && registers().any(Register::is_k);
    let from_memory = (1..instruction.op_count()).any(|i| instruction.op_kind(i) == OpKind::Memory);
    let to_memory = instruction.op_count() > 0 && instruction.op0_kind() == OpKind::Memory;
    if !on_mask && !registers().any(Register::is_vector_register) {
        return match mnemonic {
            "mov" | "movzx" | "movsx" | "movsxd" | "movbe" if from_memory => &mut classes.load,
            "mov" | "movbe" | "movnti" if to_memory => &mut classes.store,
            "pop" => &mut classes.load,
            "push" => &mut classes.store,
            "movsb" | "movsw" | "movsd" | "movsq" | "stosb" | "stosw" | "stosd" | "stosq" => &mut classes.store,
            _ => &mut classes.scalar,
        };
    }
    let name = mnemonic.strip_prefix('v').unwrap_or(mnemonic);
    let is = |prefixes: &str| prefixes.split_whitespace().any(|prefix| name.starts_with(prefix));
    if is(CONVERT) {
        &mut classes.convert
    } else if is("movhlps movlhps movddup movshdup movsldup") && !from_memory {
        &mut classes.shuffle
    } else if is("mov lddqu kmov maskmov pmaskmov") || is("broadcast pbroadcast") && from_memory {
        match (from_memory, to_memory) {
            (true, _) => &mut classes.load,
            (_, true) => &mut classes.store,
            _ => &mut classes.register_move,
        }
    } else if is("pextr extract") && to_memory {
        &mut classes.store
    } else if is("pslldq psrldq") || is(SHUFFLE) {
        // The first two shift bytes, not bits: these move lanes.
        &mut classes.shuffle
    } else if is("pmultishift") {
        // Its name begins like that of a product.
        &mut classes.shift
    } else if is(MULTIPLY_ADD) {
        &mut classes.multiply_add
    } else if is(SHIFT) {
        &mut classes.shift
    } else if is(LOGIC) {
        &mut classes.logic
    } else if is(ARITHMETIC) {
        &mut classes.arithmetic
    } else {
        &mut classes.other
    }
}

/// Bits of the widest vector register named, 0 if none or if only its lowest lane counts.
fn width(instruction: &Instruction, mnemonic: &str) -> usize {
    let registers = (0..instruction.op_count()).map(|i| instruction.op_register(i));
    let widest = registers.filter(|r| r.is_vector_register()).map(|r| 8 * r.size()).max().unwrap_or(0);
    let one_lane = (mnemonic.ends_with("ss") || mnemonic.ends_with("sd")) && !mnemonic.starts_with("vpbroad");
    if widest == 128 && one_lane && !mnemonic.contains("pabs") { 0 } else { widest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions};

    fn one(bytes: &[u8]) -> Mix<u64> {
        let instruction = Decoder::with_ip(64, bytes, 0x1000, DecoderOptions::NONE).decode();
        mix(&[Executed { instruction, count: 1, repeats: 5, code_bytes: 0 }])
    }

    type Counter = fn(&Mix<u64>) -> u64;

    #[test]
    fn classes_and_widths() {
        let cases: [(&[u8], Counter, u32); 17] = [
            (&[0x62, 0xf1, 0xfd, 0x48, 0x6f, 0x06], |m| m.classes.load, 512), // vmovdqa64 zmm0, [rsi]
            (&[0x62, 0xf2, 0x75, 0x58, 0x50, 0x07], |m| m.classes.multiply_add, 512), // vpdpbusd .. [rdi]{1to16}
            (&[0x62, 0xf1, 0xfd, 0x48, 0xdb, 0xc1], |m| m.classes.logic, 512), // vpandq zmm0, zmm0, zmm1
            (&[0xc5, 0xfd, 0x71, 0xd0, 0x02], |m| m.classes.shift, 256),      // vpsrlw ymm0, ymm0, 2
            (&[0xc4, 0xe2, 0x7d, 0x00, 0xc1], |m| m.classes.shuffle, 256),    // vpshufb ymm0, ymm0, ymm1
            (&[0xc4, 0xe2, 0x7d, 0x04, 0xc1], |m| m.classes.multiply_add, 256), // vpmaddubsw ymm0, ymm0, ymm1
            (&[0xc4, 0xe2, 0x7d, 0x21, 0xc1], |m| m.classes.convert, 256),    // vpmovsxbd ymm0, xmm1
            (&[0xf3, 0x0f, 0x59, 0xc1], |m| m.classes.multiply_add, 0),       // mulss xmm0, xmm1
            (&[0xf3, 0x0f, 0x10, 0x06], |m| m.classes.load, 0),               // movss xmm0, [rsi]
            (&[0xc5, 0xf9, 0x73, 0xd8, 0x08], |m| m.classes.shuffle, 128),    // vpsrldq xmm0, xmm0, 8
            (&[0xc4, 0xe2, 0x7d, 0x58, 0x06], |m| m.classes.load, 256),       // vpbroadcastd ymm0, [rsi]
            (&[0xc5, 0xf8, 0x77], |m| m.classes.other, 0),                    // vzeroupper
            (&[0x0f, 0x18, 0x0e], |m| m.classes.prefetch, 0),                 // prefetcht0 [rsi]
            (&[0x48, 0x83, 0xc0, 0x01], |m| m.classes.scalar, 0),             // add rax, 1
            (&[0x75, 0xfe], |m| m.classes.branch, 0),                         // jne
            (&[0xc4, 0xe2, 0x7d, 0x1e, 0xc1], |m| m.classes.arithmetic, 256), // vpabsd ymm0, ymm1
            (&[0xc5, 0xf5, 0xf6, 0xc2], |m| m.classes.arithmetic, 256),       // vpsadbw ymm0, ymm1, ymm2
        ];
        for (bytes, class, bits) in cases {
            let mix = one(bytes);
            let widths = &mix.widths;
            let counted = [widths.scalar, widths.bits_128, widths.bits_256, widths.bits_512];
            assert_eq!((class(&mix), counted), (1, [0, 128, 256, 512].map(|b| u64::from(b == bits))), "{bytes:x?}");
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
