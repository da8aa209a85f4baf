//! A kernel's hot loop as lines of text: for the terminal, and folded under each kernel of a page.

use receipt::figures::integer;
use receipt::{AsmLine, CountRecord};

const HEAD: &str = "offset  executions  bytes  memory  class          instruction";
/// Between two listings side by side.
const GAP: &str = "  |  ";

/// What a listing shows of an instruction beside the instruction itself.
fn figures(line: &AsmLine) -> String {
    let AsmLine { offset, bytes, memory_bytes, class, .. } = line;
    let offset = format!("{}{:#x}", if *offset < 0 { "-" } else { "" }, offset.unsigned_abs());
    format!("{offset:>6}  {:>10}  {bytes:>5}  {memory_bytes:>6}  {class:<13}", integer(line.executions))
}

/// The instructions, a line each, with `beside` behind the one that it is about (ports of a static model, say).
pub fn lines(listing: &[AsmLine], beside: &[String]) -> Vec<String> {
    let width = listing.iter().map(|line| line.text.len()).max().unwrap_or(0);
    let rest = beside.iter().any(|text| !text.is_empty());
    let head = if rest {
        format!("{HEAD:<width$}  ports, cycles", width = HEAD.len() - "instruction".len() + width)
    } else {
        HEAD.into()
    };
    let rows = listing.iter().enumerate().map(|(i, line)| {
        let beside = beside.get(i).map_or("", String::as_str);
        format!("{}  {:<width$}  {beside}", figures(line), line.text).trim_end().to_owned()
    });
    [head].into_iter().chain(rows).collect()
}

/// Two listings side by side, each with its kernel's name above it.
pub fn side_by_side(a: (&str, &[AsmLine]), b: (&str, &[AsmLine])) -> Vec<String> {
    let titled = |(kernel, listing): (&str, &[AsmLine])| [vec![kernel.to_owned()], lines(listing, &[])].concat();
    let (a, b) = (titled(a), titled(b));
    let width = a.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let line = |i: usize| {
        let (left, right) = (a.get(i).map_or("", String::as_str), b.get(i).map_or("", String::as_str));
        format!("{left:<width$}{GAP}{right}").trim_end().to_owned()
    };
    (0..a.len().max(b.len())).map(line).collect()
}

/// How a loop's executions make up the call's: `the loop executed 12,800, 31 other instructions 92: 12,892`.
pub fn sum(record: &CountRecord, in_loop: u64, elsewhere: (usize, u64)) -> String {
    let (others, executed) = elsewhere;
    format!(
        "{} {}x{}: the loop executed {} instructions, {others} outside of it {}: {} in all",
        record.op,
        record.m,
        record.k,
        integer(in_loop),
        integer(executed),
        integer(in_loop + executed)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, executions: u64) -> AsmLine {
        AsmLine { bytes: 4, executions, class: "load".into(), memory_bytes: 32, text: text.into(), offset: 0 }
    }

    #[test]
    fn listings_are_columns_of_text() {
        let short = [line("ret", 1)];
        let long = [line("vmovdqu (%rdi), %ymm0", 12_800), line("jne 0x10", 12_800)];
        let shown = lines(&long, &["Load 0.33".into(), String::new()]);
        assert_eq!(shown[1], "   0x0      12,800      4      32  load           vmovdqu (%rdi), %ymm0  Load 0.33");
        assert_eq!(shown[0].find("ports"), shown[1].find("Load"), "{shown:#?}");
        assert_eq!(shown[2], "   0x0      12,800      4      32  load           jne 0x10");
        let both = side_by_side(("one", &short), ("two", &long));
        assert_eq!(both.len(), 4);
        let bar = |line: &String| line.find('|');
        assert!(both.iter().all(|line| bar(line) == bar(&both[0])), "{both:#?}");
        assert!(both[0].starts_with("one") && both[0].ends_with("two"));
        assert!(both[3].trim_start().starts_with('|') && both[3].ends_with("jne 0x10"));
    }
}
