//! A kernel's operation, as a flag.

use crate::words;
use clap::builder::{PossibleValue, TypedValueParser};
use kernels::Operation;

/// The operations by name, and what help says of each.
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
