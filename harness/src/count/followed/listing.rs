//! Executed instructions as lines that people read.

use super::classify;
use super::follow::Instructions;
use crate::count::assembly::{line, offset};
use crate::count::trace::Executed;
use iced_x86::{FlowControl, Formatter, GasFormatter, Instruction};
use receipt::AsmLine;

/// All executed instructions in order of address; `entry` is the address of the function's first one.
pub fn lines(executed: &Instructions, entry: u64) -> Vec<AsmLine> {
    let mut formatter = GasFormatter::new();
    formatter.options_mut().set_space_after_operand_separator(true);
    let mut one = |e: &Executed<Instruction>| {
        let once = classify::mix([&Executed { count: 1, repeats: e.repeats.min(1), ..*e }]);
        let (at, bytes) = (e.instruction.ip(), e.instruction.len() as u64);
        line((entry, at), (bytes, e.count), &once, text(&e.instruction, entry, &mut formatter))
    };
    executed.values().map(&mut one).collect()
}

/// The instruction in AT&T syntax. Addresses differ from build to build: a jump says the offset that it goes to.
fn text(instruction: &Instruction, entry: u64, formatter: &mut GasFormatter) -> String {
    let mut text = String::new();
    let jumps = matches!(
        instruction.flow_control(),
        FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch | FlowControl::Call
    );
    if jumps && instruction.near_branch_target() != 0 {
        formatter.format_mnemonic(instruction, &mut text);
        let offset = offset(entry, instruction.near_branch_target());
        let sign = if offset < 0 { "-" } else { "" };
        return format!("{text} {sign}{:#x}", offset.unsigned_abs());
    }
    formatter.format(instruction, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions};

    #[test]
    fn a_line_says_what_runs_how_often_and_where_it_goes() {
        // vmovdqu ymm0, [rdi]; jne -6; rep stosq
        let code = [0xc5, 0xfe, 0x6f, 0x07, 0x75, 0xfa, 0xf3, 0x48, 0xab];
        let decoded = Decoder::with_ip(64, &code, 0x1010, DecoderOptions::NONE).into_iter();
        let executed: Instructions = decoded
            .map(|instruction| (instruction.ip(), Executed { instruction, count: 7, repeats: 35, code_bytes: 0 }))
            .collect();
        let lines = lines(&executed, 0x1000);
        let expected = [
            (0x10, 4, "load", 32, "vmovdqu (%rdi), %ymm0"),
            (0x14, 2, "branch", 0, "jne 0x10"),
            (0x16, 3, "store", 8, "rep stos %rax, (%rdi)"),
        ];
        for (line, (offset, bytes, class, memory, text)) in lines.iter().zip(expected) {
            assert_eq!(
                (line.offset, line.bytes, line.class.as_str(), line.memory_bytes, line.executions),
                (offset, bytes, class, memory, 7),
                "{line:?}"
            );
            assert!(line.text == text || line.text.starts_with("rep stos"), "{line:?}");
        }
    }
}
