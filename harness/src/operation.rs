//! A kernel's operation and family: as a flag, and as receipts and workers hold them.

use crate::words;
use clap::builder::{PossibleValue, TypedValueParser};
use kernels::{Family, Operation};

/// Parser of the flag `--op`: the operations by name, with what help says of each.
pub fn flag() -> impl TypedValueParser<Value = Operation> {
    let values = [Operation::Gemv, Operation::Gemm, Operation::Dequantize].map(|operation| {
        PossibleValue::new(operation.name()).help(match operation {
            Operation::Gemv => "Matrix times vector",
            Operation::Gemm => "Matrix times a batch of vectors",
            Operation::Dequantize => "Weights as f32",
        })
    });
    words::one_of(values.into()).try_map(|name| Operation::parse(&name).ok_or("no such operation"))
}

/// The receipt's value for a kernel's operation.
pub const fn recorded(operation: Operation) -> receipt::Operation {
    match operation {
        Operation::Dequantize => receipt::Operation::Dequantize,
        Operation::Gemv => receipt::Operation::Gemv,
        Operation::Gemm => receipt::Operation::Gemm,
    }
}

/// The kernel operation for a receipt's value; `None` for decoding and prefill of whole models.
pub const fn of_kernels(recorded: receipt::Operation) -> Option<Operation> {
    match recorded {
        receipt::Operation::Dequantize => Some(Operation::Dequantize),
        receipt::Operation::Gemv => Some(Operation::Gemv),
        receipt::Operation::Gemm => Some(Operation::Gemm),
        receipt::Operation::Decode | receipt::Operation::Prefill => None,
    }
}

/// The receipt's value for a kernel's family.
pub const fn family(family: Family) -> receipt::Family {
    match family {
        Family::W2A32 => receipt::Family::W2A32,
        Family::W2A8 => receipt::Family::W2A8,
        Family::W2gA8 => receipt::Family::W2gA8,
    }
}

/// The kernels' value for a receipt's family.
pub const fn family_of_kernels(recorded: receipt::Family) -> Family {
    match recorded {
        receipt::Family::W2A32 => Family::W2A32,
        receipt::Family::W2A8 => Family::W2A8,
        receipt::Family::W2gA8 => Family::W2gA8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_names_of_kernels() {
        for operation in Operation::ALL {
            assert_eq!(recorded(operation).name(), operation.name());
            assert_eq!(of_kernels(recorded(operation)), Some(operation));
        }
        for own in Family::ALL {
            assert_eq!(family(own).name(), own.name());
            assert_eq!(family_of_kernels(family(own)), own);
        }
        assert_eq!(Family::ALL.len(), receipt::Family::ALL.len());
    }
}
