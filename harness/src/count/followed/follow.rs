//! Follows the child from the entry of the kernel's function to its return, and says how often each instruction ran.
//!
//! Code without branches runs as a whole or not at all, so it is enough to stop at branches: the child runs to a
//! breakpoint on the next branch, and the parent decides by the flags where a jump goes. Calls, returns and other
//! instructions that are not plain jumps are single-stepped. A test checks that stopping after every instruction gives
//! the same counts.

use super::tracee::Tracee;
use crate::count::call::Method;
use crate::count::trace::{self, Executed, Trace};
use crate::error::{Error, Result};
use iced_x86::{
    Code, ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpAccess, Register,
};
use nix::libc::user_regs_struct;
use std::collections::{HashMap, HashSet};

/// The executed instructions by their address.
pub type Instructions = Trace<Instruction>;

impl trace::Instruction for Instruction {
    fn jump(&self) -> Option<u64> {
        let jumps = matches!(self.flow_control(), FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch);
        jumps.then(|| self.near_branch_target())
    }
}

/// Follows a child that has stopped before the call to the end of the call; returns what it executed.
pub fn follow(child: &mut Tracee, method: Method) -> Result<Instructions> {
    let entry = child.ready.entry;
    let mut registers = child.run_to(entry)?;
    // `run_to` left a breakpoint where the function begins, and loops may come back there.
    child.clear_breakpoint(entry)?;
    child.set_registers(registers)?;
    let mut follower = Follower { child, frame: registers.rsp, blocks: HashMap::new(), repeats: HashMap::new() };
    while let Some(next) = follower.block(registers, method)? {
        registers = next;
    }
    Ok(follower.executed())
}

/// Straight code: instructions that run one after the other, the last of which may go elsewhere.
struct Block {
    instructions: Vec<Instruction>,
    count: u64,
    /// Bytes of packed weights that each instruction reads, from the second time that the block ran.
    code_bytes: Vec<u64>,
}

struct Follower<'a> {
    child: &'a mut Tracee,
    /// Stack pointer at the entry: a return with this value is the function's own.
    frame: u64,
    /// By address of the first instruction. Two may share a tail.
    blocks: HashMap<u64, Block>,
    /// Repetitions of `rep` string instructions, by address.
    repeats: HashMap<u64, u64>,
}

impl Follower<'_> {
    /// Runs a block, by steps one of a single instruction; `None` when it ended with the function's return, which is
    /// left to be carried out.
    fn block(&mut self, registers: user_regs_struct, method: Method) -> Result<Option<user_regs_struct>> {
        let last = self.count_block(registers.rip, |last| method == Method::Steps || ends_block(last))?;
        let at = if self.blocks[&registers.rip].count == 2 {
            self.watch(registers)?
        } else if last.ip() == registers.rip {
            registers
        } else {
            self.child.run_to(last.ip())?
        };
        if last.flow_control() == FlowControl::Return && at.rsp == self.frame {
            self.child.set_registers(at)?;
            return Ok(None);
        }
        let to = match last.flow_control() {
            _ if method == Method::Steps => None,
            FlowControl::UnconditionalBranch => Some(last.near_branch_target()),
            FlowControl::ConditionalBranch => holds(last.condition_code(), at.eflags)
                .map(|taken| if taken { last.near_branch_target() } else { last.next_ip() }),
            _ => None,
        };
        match to {
            Some(rip) => {
                let registers = user_regs_struct { rip, ..at };
                self.child.set_registers(registers)?;
                Ok(Some(registers))
            }
            None => self.step(&last, at).map(Some),
        }
    }

    /// Runs a block up to its last instruction, one by one, and notes which of them read packed weights.
    fn watch(&mut self, mut registers: user_regs_struct) -> Result<user_regs_struct> {
        let start = registers.rip;
        let instructions = self.blocks[&start].instructions.clone();
        let mut reads = CodeReads::new(self.child.ready.codes);
        let last = instructions.len() - 1;
        for (i, instruction) in instructions.iter().enumerate() {
            let bytes = reads.of(instruction, &registers);
            self.blocks.get_mut(&start).expect("it is running").code_bytes[i] = bytes;
            if i < last {
                registers = self.child.step(registers)?;
            }
        }
        Ok(registers)
    }

    /// Steps over `instruction`. A `rep` string instruction stops after each repetition: all of them are one
    /// instruction.
    fn step(&mut self, instruction: &Instruction, registers: user_regs_struct) -> Result<user_regs_struct> {
        let mut after = self.child.step(registers)?;
        if repeats(instruction) && registers.rcx > 0 {
            let repeated = self.repeats.entry(instruction.ip()).or_default();
            *repeated += 1;
            while after.rip == instruction.ip() {
                *repeated += 1;
                after = self.child.step(after)?;
            }
        }
        Ok(after)
    }

    /// Counts the block at `start`, decoding it the first time, and returns its last instruction.
    fn count_block(&mut self, start: u64, ends: impl Fn(&Instruction) -> bool) -> Result<Instruction> {
        if !self.blocks.contains_key(&start) {
            let mut instructions = Vec::new();
            let mut at = start;
            loop {
                let code = self.child.code(at)?;
                let instruction = Decoder::with_ip(64, &code, at, DecoderOptions::NONE).decode();
                if instruction.code() == Code::INVALID {
                    let id = &self.child.id;
                    return Err(Error::failed(format!("{id}: cannot decode the instruction at {at:#x}: {code:02x?}")));
                }
                instructions.push(instruction);
                if ends(&instruction) {
                    break;
                }
                at = instruction.next_ip();
            }
            let code_bytes = vec![0; instructions.len()];
            self.blocks.insert(start, Block { instructions, count: 0, code_bytes });
        }
        let block = self.blocks.get_mut(&start).expect("inserted above");
        block.count += 1;
        Ok(*block.instructions.last().expect("a block has an instruction"))
    }

    fn executed(self) -> Instructions {
        let mut trace = Instructions::new();
        for block in self.blocks.values() {
            for (&instruction, &code_bytes) in block.instructions.iter().zip(&block.code_bytes) {
                let none = Executed { instruction, count: 0, repeats: 0, code_bytes: 0 };
                let entry = trace.entry(instruction.ip()).or_insert(none);
                entry.count += block.count;
                entry.code_bytes = entry.code_bytes.max(code_bytes);
            }
        }
        for (address, repeats) in self.repeats {
            if let Some(executed) = trace.get_mut(&address) {
                executed.repeats = repeats;
            }
        }
        trace
    }
}

/// Which bytes of the packed weights the instructions of a block read.
struct CodeReads {
    from: u64,
    to: u64,
    seen: HashSet<u64>,
    factory: InstructionInfoFactory,
}

impl CodeReads {
    fn new((from, length): (u64, u64)) -> Self {
        Self { from, to: from + length, seen: HashSet::new(), factory: InstructionInfoFactory::new() }
    }

    /// Bytes that `instruction` reads and that none before it has read.
    fn of(&mut self, instruction: &Instruction, registers: &user_regs_struct) -> u64 {
        let mut bytes = 0;
        for memory in self.factory.info(instruction).used_memory() {
            if !matches!(memory.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite) {
                continue;
            }
            let value = |register: Register, _, _| value(register, registers);
            let Some(address) = memory.virtual_address(0, value) else { continue };
            let end = address.wrapping_add(memory.memory_size().size() as u64);
            bytes += (address.max(self.from)..end.min(self.to)).filter(|&byte| self.seen.insert(byte)).count() as u64;
        }
        bytes
    }
}

/// Value of a 64-bit register; segments start at 0 but for those of thread-local storage.
fn value(register: Register, r: &user_regs_struct) -> Option<u64> {
    let general =
        [r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15];
    match register {
        Register::FS => Some(r.fs_base),
        Register::GS => Some(r.gs_base),
        register if register.is_segment_register() => Some(0),
        register if register.is_gpr64() => Some(general[register.number()]),
        _ => None,
    }
}

/// Whether the instruction ends a block: it may jump, or must be stepped over alone.
fn ends_block(instruction: &Instruction) -> bool {
    instruction.flow_control() != FlowControl::Next || repeats(instruction)
}

/// Whether this is a string instruction with a `rep` prefix, which repeats as often as a register says.
pub fn repeats(instruction: &Instruction) -> bool {
    (instruction.has_rep_prefix() || instruction.has_repne_prefix()) && instruction.is_string_instruction()
}

/// Whether a conditional jump is taken, by the flags register. `None` for `loop` and `jrcxz`, which look at a register
/// instead.
fn holds(condition: ConditionCode, flags: u64) -> Option<bool> {
    let flag = |bit: u32| flags >> bit & 1 == 1;
    let (carry, parity, zero, sign, overflow) = (flag(0), flag(2), flag(6), flag(7), flag(11));
    let less = sign != overflow;
    // In the order of the processor's own codes, in which each condition stands before its opposite: o, b, e, be, ...
    let conditions = [overflow, carry, zero, carry || zero, sign, parity, less, zero || less];
    let code = (condition as usize).checked_sub(ConditionCode::o as usize)?;
    Some(conditions[code / 2] != (code % 2 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_conditions_look_at_three_flags() {
        const ZERO: u64 = 1 << 6;
        const SIGN: u64 = 1 << 7;
        const OVERFLOW: u64 = 1 << 11;
        for (flags, less, equal) in
            [(0, false, false), (SIGN, true, false), (OVERFLOW, true, false), (ZERO, false, true)]
        {
            assert_eq!(holds(ConditionCode::l, flags), Some(less), "{flags:#x}");
            assert_eq!(holds(ConditionCode::ge, flags), Some(!less), "{flags:#x}");
            assert_eq!(holds(ConditionCode::le, flags), Some(less || equal), "{flags:#x}");
            assert_eq!(holds(ConditionCode::g, flags), Some(!(less || equal)), "{flags:#x}");
        }
        assert_eq!(holds(ConditionCode::l, SIGN | OVERFLOW), Some(false));
        // The other flags, each alone, and the condition that it makes true.
        for (flags, holding) in [(1, "b be no ne ns np ge g"), (1 << 2, "p no ae ne a ns ge g"), (SIGN, "s l le no")] {
            let all = ConditionCode::values().filter(|code| *code != ConditionCode::None);
            let named = |code: ConditionCode| holding.split(' ').any(|name| name == format!("{code:?}"));
            let wrong = all.filter(|code| named(*code) && holds(*code, flags) != Some(true));
            assert_eq!(wrong.count(), 0, "{flags:#x}");
        }
        assert_eq!(holds(ConditionCode::None, 0), None);
    }
}
