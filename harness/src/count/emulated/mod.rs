//! Counts on an emulated Arm: this very process makes the call, between two instructions that do nothing on a CPU and
//! by which a plugin of qemu (`ci/qemu-count.c`) knows when to begin and when to give its counts. No ptrace: qemu-user
//! has none, and starts no other program of its architecture.

mod decode;

use crate::count::trace::{Executed, Trace};
use decode::Code;
use std::collections::HashSet;

#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
pub use here::count;

/// Environment variable that names the file by which program and plugin speak.
#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
const FILE: &str = "TRITBENCH_QEMU_COUNT";

/// The plugin's lines: address, count, instruction, and the first address in memory that it took. `codes` is where the
/// packed weights lie, and how many bytes they are.
fn parse(lines: &str, (from, length): (u64, u64)) -> Option<Trace<Code>> {
    let mut trace = Trace::new();
    let mut first = Vec::new();
    for line in lines.lines() {
        let mut words = line.split_whitespace();
        let hex = |word: Option<&str>| u64::from_str_radix(word?, 16).ok();
        let at = hex(words.next())?;
        let count = words.next()?.parse().ok()?;
        let (op, memory) = (hex(words.next())?.try_into().ok()?, hex(words.next())?);
        first.push((at, memory));
        trace.insert(at, Executed { instruction: Code { at, op }, count, repeats: 0, code_bytes: 0 });
    }
    // In the order of the code: what an instruction before has read is read once.
    first.sort_unstable();
    let mut seen = HashSet::new();
    for (at, memory) in first {
        let executed = trace.get_mut(&at)?;
        let end = memory + executed.instruction.bytes_read();
        let read = (memory.max(from)..end.min(from + length)).filter(|&byte| seen.insert(byte));
        executed.code_bytes = read.count() as u64;
    }
    (!trace.is_empty()).then_some(trace)
}

#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
mod here {
    use super::{Code, Executed, FILE, Trace, decode, parse};
    use crate::count::assembly::{Assembly, line, offset};
    use crate::count::call::{Call, Counted, Method, Subject};
    use crate::count::hot_loop;
    use crate::count::record::{Facts, record};
    use crate::count::static_model::Model;
    use crate::error::{Error, Result};
    use crate::operation::recorded;
    use crate::scenario::Shape;
    use crate::worker::call::watched;
    use crate::worker::protocol::Call as CallRequest;
    use kernels::Family;
    use receipt::AsmLine;
    use std::arch::asm;
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    /// Counts one call of a kernel, and asks `model` about its hot loop. `method` makes no difference: the plugin sees
    /// every instruction.
    ///
    /// # Errors
    /// Exit 5 where no plugin watches, and for a library's kernel; exit 1 when the kernel does not match the oracle.
    pub fn count(subject: Subject<'_>, call: Call, _: Method, model: &Model) -> Result<Counted> {
        if subject.library.is_some() {
            return Err(Error::unsupported(format!(
                "{}: a library's kernels are counted with ptrace, on Linux for x86-64; this is Arm",
                subject.id
            )));
        }
        let Some(path) = std::env::var_os(FILE).map(PathBuf::from) else {
            return Err(Error::unsupported(
                "counting follows instructions with ptrace on Linux for x86-64, or, of Arm, with a plugin of qemu-user \
                 (ci/qemu-count.c says how); none watches this program",
            ));
        };
        let Call { op, shape: Shape { m, k }, tokens, seed, scaling } = call;
        let (weight_group, activations) = scaling.recorded(Family::W2gA8);
        let (kernel, op) = (subject.id.to_owned(), recorded(op));
        let request = CallRequest { kernel, op, m, k, tokens, seed, weight_group, activations, library: None };
        let mut entry = 0;
        let done = watched(&request, |at| {
            entry = at;
            std::fs::write(&path, format!("{entry:x}\n")).map_err(|e| Error::io("write", &path, &e))?;
            // SAFETY: a move to no register.
            unsafe { asm!("movz xzr, #0xB17") };
            Ok(())
        })?;
        // SAFETY: as above.
        unsafe { asm!("movz xzr, #0xE17") };
        let counted = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, &e))?;
        let none = || {
            Error::failed(format!(
                "{}: the plugin of qemu counted nothing: {} is as this program left it, or the kernel did not return",
                subject.id,
                path.display()
            ))
        };
        let executed = parse(&counted, done.codes).ok_or_else(none)?;
        let hot = hot_loop::find(&executed);
        let in_loop = hot.as_ref().map_or(0..0, |hot| hot.within(&executed));
        let texts = disassembled(&executed, model);
        let lines = lines(&executed, entry, texts.as_ref().unwrap_or(&BTreeMap::new()));
        let facts = Facts {
            name: done.name,
            code_bytes: done.codes.1,
            method: "plugin",
            fixed_addresses: false,
            output_sha256: done.output_sha256,
            listing: lines[in_loop.clone()].to_vec(),
        };
        let (record, weights) = record(subject.id, call, facts, (&executed, hot.as_ref()), |e| decode::mix(e));
        let pass: Vec<u64> = hot.iter().flat_map(|hot| &hot.pass).map(|e| e.instruction.at).collect();
        let of_pass = |texts: BTreeMap<u64, String>| {
            pass.iter().filter_map(|at| texts.get(at)).map(|text| format!("{text}\n")).collect::<String>()
        };
        let text = texts.map(of_pass);
        let static_models = match &text {
            Ok(text) if text.is_empty() => Vec::new(),
            Ok(text) => model.ask(text, weights),
            Err(why) => vec![Err(why.clone())],
        };
        let pass = pass.iter().map(|at| offset(entry, *at)).collect();
        Ok(Counted {
            record,
            static_models,
            assembly: Assembly { lines, in_loop, pass, text: text.unwrap_or_default() },
        })
    }

    /// The instructions as text, by address; none without a decoder.
    fn disassembled(executed: &Trace<Code>, model: &Model) -> std::result::Result<BTreeMap<u64, String>, String> {
        let ops: Vec<u32> = executed.values().map(|e| e.instruction.op).collect();
        let text = model.disassembled(&ops)?;
        let texts: Vec<String> = text.lines().map(|text| text.trim().replace('\t', " ")).collect();
        if !texts.is_empty() && texts.len() != ops.len() {
            return Err(format!("{} instructions were decoded as {}", ops.len(), texts.len()));
        }
        Ok(executed.keys().copied().zip(texts).collect())
    }

    /// All executed instructions in order of address: as text where a decoder is there, else as they are in the code.
    fn lines(executed: &Trace<Code>, entry: u64, texts: &BTreeMap<u64, String>) -> Vec<AsmLine> {
        let one = |(&at, e): (&u64, &Executed<Code>)| {
            let once = decode::mix(&mut [&Executed { count: 1, ..*e }].into_iter());
            let text = texts.get(&at).cloned().unwrap_or_else(|| format!(".inst {:#010x}", e.instruction.op));
            line((entry, at), (4, e.count), &once, text)
        };
        executed.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugins_lines_are_a_trace() {
        // ldp q25, q26, [x11, #-32] and ldr q24, [x12], #16; the second pair overlaps the first by 16 bytes.
        let lines = "1000 7 ad7f6979 8000\n1004 7 3cc10598 9000\n1008 7 ad7f6979 8010\n100c 1 d65f03c0 0\n";
        let trace = parse(lines, (0x8000, 0x40)).expect("lines");
        let read: Vec<u64> = trace.values().map(|e| e.code_bytes).collect();
        assert_eq!(read, [32, 0, 16, 0]);
        assert_eq!(trace.values().map(|e| e.count).sum::<u64>(), 22);
        for bad in ["", "1000\n", "zz 1 00000000 0\n", "55f0\n"] {
            assert!(parse(bad, (0, 0)).is_none(), "{bad:?}");
        }
    }
}
