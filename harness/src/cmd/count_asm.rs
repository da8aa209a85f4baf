//! `count --asm`: the instructions of a call, each with how often it ran.

use crate::count::{Assembly, Model, Pressure};
use crate::error::Result;
use crate::output::{Output, note};
use receipt::{AsmLine, CountRecord};
use reports::assembly;
use serde::Serialize;

/// The assembly of one call, as `count --asm --json` has it.
#[derive(Serialize)]
pub struct Shown {
    /// Every instruction that the call executed, by address; their executions add up to the call's count.
    instructions: Vec<Instruction>,
    /// Why no ports are said where a static model was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    ports_reason: Option<String>,
}

#[derive(Serialize)]
struct Instruction {
    #[serde(flatten)]
    line: AsmLine,
    in_loop: bool,
    /// Cycles that it keeps each port busy, by llvm-mca.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Pressure,
}

impl Shown {
    /// What was executed, with the ports of the loop's path that most passes take.
    pub fn new(assembly: Assembly, model: &Model) -> Self {
        let Assembly { lines, in_loop, pass, text } = assembly;
        let asked = if text.is_empty() { None } else { model.pressure(&text, pass.len()) };
        let (told, ports_reason) = match asked {
            Some(Ok(told)) => (told, None),
            Some(Err(why)) => (Vec::new(), Some(why)),
            None => (Vec::new(), None),
        };
        let ports = |line: &AsmLine| {
            let index = pass.iter().position(|offset| *offset == line.offset);
            index.and_then(|i| told.get(i)).cloned().unwrap_or_default()
        };
        let one = |(i, line): (usize, &AsmLine)| {
            let in_loop = in_loop.contains(&i);
            Instruction { line: line.clone(), in_loop, ports: if in_loop { ports(line) } else { Pressure::new() } }
        };
        Self { instructions: lines.iter().enumerate().map(one).collect(), ports_reason }
    }

    fn in_loop(&self) -> Vec<AsmLine> {
        self.instructions.iter().filter(|i| i.in_loop).map(|i| i.line.clone()).collect()
    }

    fn ports(&self) -> Vec<String> {
        let one = |i: &Instruction| {
            i.ports.iter().map(|(port, cycles)| format!("{port} {cycles:.2}")).collect::<Vec<_>>().join("  ")
        };
        self.instructions.iter().filter(|i| i.in_loop).map(one).collect()
    }

    /// How the loop's executions and the others make up the call's.
    fn sum(&self, record: &CountRecord) -> String {
        let executed = |in_loop: bool| {
            let some = self.instructions.iter().filter(move |i| i.in_loop == in_loop);
            (some.clone().count(), some.map(|i| i.line.executions).sum::<u64>())
        };
        assembly::sum(record, executed(true).1, executed(false))
    }
}

/// Prints loops: two side by side, any other number one after the other.
pub fn print(shown: &[(&CountRecord, &Shown)], out: &Output) -> Result<()> {
    if let [(a, of_a), (b, of_b)] = shown {
        let both = assembly::side_by_side((&a.kernel, &of_a.in_loop()), (&b.kernel, &of_b.in_loop()));
        both.iter().try_for_each(|line| out.line(line))?;
    }
    for (i, (record, of)) in shown.iter().enumerate() {
        if shown.len() != 2 {
            let apart = if i == 0 { "" } else { "\n" };
            out.line(format!("{apart}{}", record.kernel))?;
            assembly::lines(&of.in_loop(), &of.ports()).iter().try_for_each(|line| out.line(line))?;
        }
        out.line(format!("{}: {}", record.kernel, of.sum(record)))?;
        of.ports_reason.iter().for_each(note);
    }
    Ok(())
}
