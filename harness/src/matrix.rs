//! Flags that choose what is timed: `--shape`, `--op`, `--residency` and `--rounds`, instead of the scenario's matrix.

use crate::error::{Error, Result};
use crate::guests::Guests;
use crate::machine::{Machine, memory};
use crate::measure::last_level;
use crate::measure::micro::{operands, with_operation};
use crate::operation;
use crate::output::note;
use crate::scenario::{Cell, L2, MAX_ROUNDS, Micro, Product, Scenario, Shape, parse_batch, parse_residency};
use crate::words;
use clap::Args;
use kernels::{Family, Kernel, Operation};
use receipt::Residency;

/// Most products of one call, a second or two of the slowest kernel. A matrix ends at 2^31 of them; a batch may have a
/// little more, because the usual one, 6912x2560x128, has 2.26 x 10^9.
const MAX_PRODUCTS: usize = (1 << 32) - 1;

/// Flags that choose what is timed instead of the scenario's matrix.
#[derive(Args, Clone, Debug, Default)]
pub struct MatrixArgs {
    /// Rows x columns, or rows x columns x tokens of a batch, instead of the scenario's; may be given several times
    #[arg(long = "shape", value_parser = words::shape, value_name = "MxK[xN]")]
    shapes: Vec<String>,
    /// This operation only; of --shape: gemv for MxK and gemm for MxKxN by default
    #[arg(long, value_parser = operation::flag(), ignore_case = true)]
    op: Option<Operation>,
    /// Where the weights are: l2, llc (the last-level cache) or dram; several with commas. Of --shape MxK llc and dram
    /// by default
    #[arg(long, value_delimiter = ',', value_parser = words::name, value_name = "l2|llc|dram")]
    residency: Vec<String>,
    /// Most rounds a cell
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
}

impl MatrixArgs {
    /// Whether any of these flags was given.
    pub fn any(&self) -> bool {
        !self.shapes.is_empty() || self.op.is_some() || !self.residency.is_empty() || self.rounds.is_some()
    }

    /// Puts what the flags ask for in the place of the scenario's matrix. A scenario that times nothing stays as it is.
    pub fn apply(&self, scenario: &mut Scenario) -> Result<()> {
        let asked = self.shapes.iter().map(|text| self.product(text)).collect::<Result<Vec<Product>>>()?;
        let name = scenario.name.clone();
        let Some(micro) = &mut scenario.micro else { return Ok(()) };
        micro.rounds = self.rounds.unwrap_or(micro.rounds);
        if !(1..=MAX_ROUNDS).contains(&micro.rounds) {
            return Err(Error::input(format!("--rounds {} is not between 1 and {MAX_ROUNDS}", micro.rounds)));
        }
        if !asked.is_empty() {
            micro.products = asked;
            micro.residency = vec![Residency::Llc, Residency::Dram];
        } else if let Some(op) = self.op {
            micro.products.retain(|product| product.op == op);
            if micro.products.is_empty() {
                let what = format!("scenario {name} times no {op}; name a matrix with --shape");
                return Err(Error::input(format!("--op {op}: {what}")));
            }
        }
        self.place(micro)
    }

    fn product(&self, text: &str) -> Result<Product> {
        let wrong = |what: String| Error::input(format!("--shape {text}: {what}"));
        let batch = text.matches('x').count() == 2;
        let op = self.op.unwrap_or(if batch { Operation::Gemm } else { Operation::Gemv });
        let (shape, tokens) = match (op, batch) {
            (Operation::Gemm, false) => return Err(wrong(format!("a gemm needs tokens too, for example {text}x128"))),
            (Operation::Gemm, true) => parse_batch(text).map_err(wrong)?,
            (_, true) => return Err(wrong(format!("{} takes no tokens; leave the last number out", op.name()))),
            (_, false) => (Shape::parse(text).map_err(wrong)?, 1),
        };
        let products = shape.m * shape.k * tokens;
        if products > MAX_PRODUCTS {
            return Err(wrong(format!("{products} products a call are more than {MAX_PRODUCTS}; take a smaller one")));
        }
        Ok(Product { op, shape, tokens, only: None, scaling: None })
    }

    /// The residencies asked for, of all operations.
    fn place(&self, micro: &mut Micro) -> Result<()> {
        let mut residencies = Vec::new();
        for name in &self.residency {
            let residency = parse_residency(name).map_err(|what| Error::input(format!("--residency {what}")))?;
            if !residencies.contains(&residency) {
                residencies.push(residency);
            }
        }
        if residencies.is_empty() {
            return Ok(());
        }
        let dequantizes = |product: &Product| product.op == Operation::Dequantize;
        if residencies.contains(&Residency::Dram) && micro.products.iter().any(dequantizes) {
            let why = "dequantize writes 16 times what it reads, so that from memory its stores would be timed";
            if self.op.is_some() || micro.products.iter().all(dequantizes) {
                return Err(Error::input(format!("--residency dram: {why}; take l2 or llc")));
            }
            note(format!("--residency dram is for gemv and gemm: {why}"));
        }
        micro.products.iter_mut().for_each(|product| product.only = None);
        (micro.residency, micro.others_residency) = (residencies.clone(), residencies);
        Ok(())
    }

    /// Refuses shapes, operations and residencies that cannot be measured here, before anything is measured.
    pub fn check(&self, scenario: &Scenario, kernels: &[Kernel], guests: &Guests, machine: &Machine) -> Result<()> {
        let Some(micro) = &scenario.micro else { return Ok(()) };
        let l2 = machine.l2();
        let wants_l2 = |product: &&Product| micro.residencies(product).contains(&Residency::L2);
        let from_l2: Vec<&Product> = micro.products.iter().filter(wants_l2).collect();
        match l2 {
            Some(l2) if !self.shapes.is_empty() => from_l2.into_iter().try_for_each(|p| fits(p, l2))?,
            None if !from_l2.is_empty() => {
                let what = "this system does not say how large the second-level cache is";
                if !self.residency.is_empty() {
                    return Err(Error::input(format!("--residency l2: {what}; take llc or dram")));
                }
                note(format!("{what}: the cells from L2 are left out"));
            }
            _ => {}
        }
        let cells = scenario.cells(l2);
        if let Some(op) = cells
            .iter()
            .map(|cell| cell.op)
            .find(|op| !kernels.iter().any(|k| k.descriptor().has(*op)) && !guests.have(operation::recorded(*op)))
            && (self.op.is_some() || !self.shapes.is_empty())
        {
            let ids = kernels.iter().map(Kernel::id).collect::<Vec<_>>().join(", ");
            return Err(Error::input(format!("no kernel of {ids} has {op}; `list kernels` shows which do")));
        }
        // The last level is measured later; it is never smaller than this.
        require_memory(&cells, kernels, last_level::LEAST_OUTGROWN)
    }
}

/// A shape that was named is measured as named, or not at all.
fn fits(product: &Product, l2: L2) -> Result<()> {
    let (op, Shape { m, k }) = (product.op, product.shape);
    let rows = l2.rows(op, k);
    if m <= rows || l2.holds(op, product.shape) {
        return Ok(());
    }
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let (takes, room) = (mib((m * k) as u64 * L2::bits(op) / 8), mib(l2.room(op)));
    let next = if rows > 0 { format!("at most {rows} rows of {k} fit") } else { "take llc or dram".into() };
    let what = format!("{op} {m}x{k} takes {takes}, and half of the second-level cache is {room}; {next}");
    Err(Error::input(format!("--residency l2: {what}")))
}

/// Refuses cells whose copies memory cannot hold. The largest cell counts, as cells are measured one after another.
pub fn require_memory(cells: &[Cell], kernels: &[Kernel], last_level_cache_bytes: u64) -> Result<()> {
    let Some((bytes, cell)) = most_memory(cells, kernels, last_level_cache_bytes) else { return Ok(()) };
    let what = if cell.residency == Residency::Dram { "all copies of its weights" } else { "its weights" };
    let what = format!("{} {}x{} with {what}", cell.op, cell.shape.m, cell.shape.k);
    memory::require_memory(bytes, &what)
}

/// Bytes that the largest of these cells takes at least: the last-level cache is measured later, and never smaller than
/// this.
pub fn least_memory(cells: &[Cell], kernels: &[Kernel]) -> Option<u64> {
    most_memory(cells, kernels, last_level::LEAST_OUTGROWN).map(|(bytes, _)| bytes)
}

fn most_memory(cells: &[Cell], kernels: &[Kernel], last_level_cache_bytes: u64) -> Option<(u64, Cell)> {
    let needs = cells.iter().flat_map(|&cell| {
        Family::ALL.map(|family| {
            let has = |kernel: &Kernel| cell.is_for(family) && kernel.descriptor().family() == family;
            let kernels: Vec<Kernel> = with_operation(cell, kernels).into_iter().filter(has).collect();
            let bytes = if kernels.is_empty() { 0 } else { operands::bytes(cell, &kernels, last_level_cache_bytes) };
            (bytes, cell)
        })
    });
    needs.max_by_key(|(bytes, _)| *bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scaling;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        matrix: MatrixArgs,
    }

    fn parsed(flags: &str) -> MatrixArgs {
        Line::try_parse_from(std::iter::once("t").chain(flags.split_whitespace())).expect("parses").matrix
    }

    fn two_mib(threads: usize) -> L2 {
        L2 { bytes: 2 << 20, threads }
    }

    /// The cells that the flags make of `quick`, on threads with 2 MiB of L2.
    fn cells(flags: &str) -> std::result::Result<Vec<String>, String> {
        let mut scenario = Scenario::load("quick").expect("built in");
        parsed(flags).apply(&mut scenario).map_err(|e| e.to_string())?;
        let words = |c: &Cell| format!("{} {}x{}x{} {:?}", c.op, c.shape.m, c.shape.k, c.tokens, c.residency);
        Ok(scenario.cells(Some(two_mib(1))).iter().map(words).collect())
    }

    #[test]
    fn shapes_take_the_place_of_the_scenarios() {
        let gemv = ["gemv 6912x2560x1 Llc", "gemv 6912x2560x1 Dram"];
        assert_eq!(cells("--shape 6912x2560").expect("cells"), gemv);
        assert_eq!(cells("--shape 16x32x4").expect("cells"), ["gemm 16x32x4 Llc"]);
        assert_eq!(cells("--shape 16x32x4 --op gemm --residency l2,dram").expect("cells").len(), 2);
        assert_eq!(cells("--shape 1x256 --op dequantize").expect("cells"), ["dequantize 1x256x1 L2"]);
        let two = cells("--shape 16x256 --shape 32x256 --residency llc --residency cache").expect("cells");
        assert_eq!(two, ["gemv 16x256x1 Llc", "gemv 32x256x1 Llc"]);
    }

    #[test]
    fn operations_and_residencies_choose_among_the_scenarios() {
        let all = cells("").expect("cells");
        let dequantize = cells("--op dequantize").expect("cells");
        assert!(!dequantize.is_empty() && dequantize.len() < all.len());
        assert!(dequantize.iter().all(|cell| cell.starts_with("dequantize") && all.contains(cell)));
        let dram = cells("--residency dram").expect("cells");
        let gemv_from_memory = |cell: &String| cell.ends_with("Dram") && !cell.starts_with("deq");
        assert!(!dram.is_empty() && dram.iter().all(gemv_from_memory), "{dram:?}");
        let mut scenario = Scenario::load("quick").expect("built in");
        parsed("--rounds 7").apply(&mut scenario).expect("rounds");
        assert_eq!(scenario.micro.expect("micro").rounds, 7);
        assert!(!parsed("").any() && parsed("--rounds 7").any() && parsed("--op gemv").any());
    }

    #[test]
    fn several_shapes_that_become_one_cell_from_l2_are_measured_once() {
        let mut scenario = Scenario::load("2b-4t").expect("built in");
        parsed("--op gemv --residency l2").apply(&mut scenario).expect("applies");
        let rows: Vec<Shape> = scenario.cells(Some(two_mib(1))).iter().map(|c| c.shape).collect();
        // 1 MiB holds 1638 rows of 2560 and 606 of 6912.
        let want = [(1536, 2560), (640, 2560), (512, 6912)].map(|(m, k)| Shape { m, k });
        assert_eq!(rows, want);
        assert!(scenario.cells(None).is_empty(), "of unknown size");
        assert_eq!(scenario.cells(Some(two_mib(2)))[0].shape.m, 2560);
    }

    #[test]
    fn rows_that_fit_are_a_multiple_of_256_or_of_16() {
        let rows = |bytes, k| L2 { bytes, threads: 1 }.rows(Operation::Gemv, k);
        assert_eq!([rows(2 << 20, 2560), rows(2 << 20, 6912)], [1536, 512]);
        assert_eq!([rows(256 << 10, 2560), rows(1 << 10, 2560)], [192, 0]);
        assert_eq!(two_mib(4).rows(Operation::Dequantize, 1024), 240);
    }

    #[test]
    fn what_cannot_be_is_refused_in_a_line() {
        for (flags, part) in [
            ("--shape 0x256", "--shape 0x256: shape"),
            ("--shape 6912", "rows x columns"),
            ("--shape 1x2x3x4", "--shape 1x2x3x4"),
            ("--shape 99999999999x99999999999", "weights"),
            ("--shape 65536x8192x1024", "549755813888 products"),
            ("--shape 16x256 --op gemm", "16x256x128"),
            ("--shape 16x256x4 --op gemv", "takes no tokens"),
            ("--residency l3", "--residency \"l3\""),
            ("--op dequantize --residency dram", "take l2 or llc"),
            ("--rounds 0", "--rounds 0 is not between 1 and"),
        ] {
            let error = cells(flags).expect_err(flags);
            assert!(error.contains(part) && !error.contains('\n'), "{flags}: {error}");
        }
    }

    #[test]
    fn a_named_shape_must_fit_l2() {
        let product =
            |m, k| Product { op: Operation::Gemv, shape: Shape { m, k }, tokens: 1, only: None, scaling: None };
        fits(&product(1536, 2560), two_mib(1)).expect("fits");
        let error = fits(&product(6912, 2560), two_mib(1)).expect_err("too large").to_string();
        let end = "is 1.0 MiB; at most 1536 rows of 2560 fit";
        assert!(error.contains("takes 4.2 MiB") && error.ends_with(end), "{error}");
        let error = fits(&product(16, 1 << 24), two_mib(1)).expect_err("too wide").to_string();
        assert!(error.ends_with("take llc or dram"), "{error}");
    }

    #[test]
    fn what_memory_cannot_hold_is_refused_by_name() {
        let machine = Machine::for_tests(kernels::CpuFeatures::detect());
        let kernels = machine.kernels(Some(&["scalar-i8".to_owned()])).expect("there");
        let cell = |m, residency| Cell {
            op: Operation::Gemv,
            shape: Shape { m, k: 1 << 20 },
            tokens: 1,
            residency,
            scaling: Scaling::default(),
            of_groups: false,
        };
        let small = cell(16, Residency::Llc);
        require_memory(&[small], &kernels, 1 << 20).expect("64 MiB at most");
        require_memory(&[], &kernels, 1 << 20).expect("nothing");
        if memory::memory().is_some() {
            let cells = [small, cell(1 << 26, Residency::Dram)];
            let error = require_memory(&cells, &kernels, 1 << 20).expect_err("2^46 weights").to_string();
            assert!(error.starts_with("gemv 67108864x1048576 with all copies of its weights takes "), "{error}");
        }
    }
}
