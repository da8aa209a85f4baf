//! What of a scenario is timed on a GPU: products of ternary weights and int8 activations, with their weights hot (one
//! copy, which may stay in the device's caches) or cold (copies in rotation, each read from the device's memory).

use crate::cmd::compare::MeasureArgs;
use crate::error::{Error, Result};
use crate::scenario::{Cell, Product, Scaling, Scenario};
use kernels::Operation;
use kernels_gpu::MOST_TOKENS;
use receipt::Residency;

/// Most bytes of packed weights of a hot cell: what stays in the caches of most cards.
const HOT_BYTES: u64 = 16 << 20;
/// Most copies of a matrix: each has buffers and bindings of its own.
const MOST_COPIES: u64 = 4096;
/// Fewest copies, of whatever size: a copy's own caches are cold when two others have been read.
const FEWEST_COPIES: u64 = 3;

/// Copies of a cell whose weights take so many bytes; cold ones together take `cold_bytes`.
pub fn copies(residency: Residency, bytes: u64, cold_bytes: u64) -> usize {
    match residency {
        Residency::Dram => cold_bytes.div_ceil(bytes.max(1)).clamp(FEWEST_COPIES, MOST_COPIES) as usize,
        _ => 1,
    }
}

/// The cells of a scenario, and notes on what is left out. A place that is asked for as a cache is the hot one, once.
pub fn of(scenario: &Scenario, cold_bytes: u64) -> (Vec<Cell>, Vec<String>) {
    let (mut cells, mut notes) = (Vec::new(), Vec::new());
    let products = scenario.micro.iter().flat_map(|micro| micro.products.iter().map(move |product| (micro, product)));
    for (micro, product) in products {
        let &Product { op, shape, tokens, scaling, .. } = product;
        if op == Operation::Dequantize || scaling.is_some() {
            continue;
        }
        for place in micro.residencies(product) {
            let residency = if place == Residency::Dram { place } else { Residency::L2 };
            let cell = Cell { op, shape, tokens, residency, scaling: Scaling::default(), of_groups: false };
            let bytes = (shape.m as u64).saturating_mul(shape.k as u64).div_ceil(4);
            let why = match residency {
                _ if tokens > MOST_TOKENS => Some(format!("more than {MOST_TOKENS} tokens at once")),
                Residency::Dram if bytes.saturating_mul(MOST_COPIES) < cold_bytes => {
                    Some(format!("cold it would take more than {MOST_COPIES} copies"))
                }
                Residency::L2 if bytes > HOT_BYTES => Some("hot it would have to fit 16 MiB".into()),
                _ => None,
            };
            match why {
                Some(why) => notes.push(format!("{op} {}x{} is left out: {why}", shape.m, shape.k)),
                None if !cells.contains(&cell) => cells.push(cell),
                None => {}
            }
        }
    }
    notes.dedup();
    (cells, notes)
}

/// Refuses the first flag that was given and means nothing on a GPU.
pub fn refuse(flags: &[(&str, bool)]) -> Result<()> {
    let given = flags.iter().find(|(_, given)| *given);
    given.map_or(Ok(()), |(flag, _)| Err(Error::input(format!("{flag} means nothing with --device gpu; leave it out"))))
}

/// The flags of `micro` that mean nothing on a GPU.
pub fn refuse_of_micro(args: &MeasureArgs) -> Result<()> {
    let library = ("--kernel-library", !args.guests.kernel_library.is_empty());
    let own = [library, ("--deterministic", args.deterministic)];
    let machine = args.machine.given().map(|flag| (flag, true));
    refuse(&own.into_iter().chain(machine).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = "name = \"a\"\nsummary = \"b\"\nanalysis = \"c\"\n[micro]\nrounds = 9\nepoch_us = 1000\n\
                        residency = [\"l2\", \"llc\", \"dram\"]\ngemv = [\"6912x2560\", \"64x256\", \"65536x4096\"]\n\
                        gemm = [\"2560x2560x32\"]\ndequantize = [\"1x1024\"]\n";

    #[test]
    fn hot_and_cold_are_what_is_left_of_a_scenario() {
        let scenario = Scenario::parse("test", TOML).expect("a scenario");
        let (cells, notes) = of(&scenario, 1 << 30);
        let found: Vec<_> = cells.iter().map(|c| (c.op, c.shape.m, c.residency)).collect();
        let (gemv, gemm) = (Operation::Gemv, Operation::Gemm);
        let hot_and_cold = [(gemv, 6912, Residency::L2), (gemv, 6912, Residency::Dram), (gemv, 64, Residency::L2)];
        assert_eq!(found[..3], hot_and_cold);
        assert_eq!(found[3..], [(gemv, 65536, Residency::Dram), (gemm, 2560, Residency::L2)]);
        assert!(notes.len() == 2 && notes[0].contains("64x256") && notes[1].contains("16 MiB"), "{notes:?}");
        assert_eq!(copies(Residency::L2, 1, 1 << 30), 1);
        assert_eq!([400 << 20, 256 << 20, 5 << 20].map(|bytes| copies(Residency::Dram, bytes, 1 << 30)), [3, 4, 205]);
    }

    #[test]
    fn a_flag_without_meaning_is_named() {
        assert!(refuse(&[("--pin", false)]).is_ok());
        assert!(refuse(&[("--a", false), ("--pin", true)]).unwrap_err().to_string().starts_with("--pin means nothing"));
    }
}
