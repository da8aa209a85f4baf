//! How long each instruction of a loop keeps which port busy, by llvm-mca's tables.

use super::{Model, Pressure, run};

impl Model {
    /// The ports of each instruction of a loop of which a pass is `assembly`, so many instructions, in their order, by
    /// the first model. `None` without a tool, an error in one line where the tool does not answer.
    pub fn pressure(&self, assembly: &str, instructions: usize) -> Option<Result<Vec<Pressure>, String>> {
        let tool = self.tools.iter().flatten().next()?;
        let failed = |why: String| format!("llvm-mca {} on {}: {why}", tool.version, tool.cpu);
        Some(run(&tool.path, tool.cpu, assembly).map_err(failed).and_then(|report| {
            let found = by_instruction(&report).unwrap_or_default();
            if found.len() == instructions {
                Ok(found)
            } else {
                let told = found.len();
                Err(failed(format!("its report has the ports of {told} instructions, not of {instructions}")))
            }
        }))
    }
}

/// The tables of a report: `[0] - Zn4AGU0` names the columns, and below `Resource pressure by instruction:` an
/// instruction is a line, with `-` for a port that it leaves alone.
fn by_instruction(report: &str) -> Option<Vec<Pressure>> {
    let names: Vec<(&str, &str)> = report
        .lines()
        .filter_map(|line| {
            let (number, name) = line.strip_prefix('[')?.split_once("] ")?;
            Some((number, name.trim_start().strip_prefix("- ")?.trim()))
        })
        .collect();
    // `Zn4FP0` and `Zn4AGU1` are ports of one CPU, which the answer names once.
    let same = names.iter().fold(names.first()?.1, |same, (_, name)| {
        let alike = same.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        &same[..alike]
    });
    let (_, table) = report.split_once("Resource pressure by instruction:\n")?;
    let mut lines = table.lines();
    let heads: Vec<&str> = lines.next()?.strip_suffix("Instructions:")?.split_whitespace().collect();
    let name = |head: &str| {
        let number = head.trim_start_matches('[').trim_end_matches(']');
        let own = names.iter().find(|(n, _)| *n == number).map_or(number, |(_, name)| &name[same.len()..]);
        // `SPRPort02` beside `SPRPort11`.
        if own.starts_with(|c: char| c.is_ascii_digit()) { format!("p{own}") } else { own.to_owned() }
    };
    let row = |line: &str| -> Option<Pressure> {
        // A figure for each column, then the instruction.
        let figures: Vec<&str> = line.split_whitespace().take(heads.len()).collect();
        (figures.len() == heads.len()).then_some(())?;
        let mut ports = Pressure::new();
        for (head, cycles) in heads.iter().zip(figures) {
            let Ok(cycles) = cycles.parse::<f64>() else { continue };
            // Ports that are alike have one name, and share what the tool deals out.
            match ports.iter_mut().find(|(port, _)| *port == name(head)) {
                Some((_, sum)) => *sum += cycles,
                None => ports.push((name(head), cycles)),
            }
        }
        Some(ports)
    };
    Some(lines.take_while(|line| !line.trim().is_empty()).map_while(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "Iterations:        1000\n\nResources:\n[0]   - SKXDivider\n[1]   - SKXPort0\n[2.0] - \
                          SKXPort2\n[2.1] - SKXPort2\n\n\nResource pressure by instruction:\n[0]    [1]    [2.0]  \
                          [2.1]  Instructions:\n -      -     0.50   0.25  vmovdqu\t(%rdi), %ymm0\n -     1.00    - \
                          \u{20}    -     vpaddd\t%ymm0, %ymm1, %ymm1\n\n\nTimeline\n";

    #[test]
    fn a_report_says_which_ports_an_instruction_keeps() {
        let ports = |name: &str, cycles| vec![(name.to_owned(), cycles)];
        assert_eq!(by_instruction(REPORT), Some(vec![ports("Port2", 0.75), ports("Port0", 1.0)]));
        assert_eq!(by_instruction("Iterations: 3\n"), None);
    }
}
