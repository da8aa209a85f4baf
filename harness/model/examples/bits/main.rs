//! What must be the same bits on every CPU, as a line and a hash each: the outputs of every exact kernel, of the float
//! operations (NaN, ties, denormals too), of the heads, and ids and logits of whole texts.
//!
//! `cargo run -p model --example bits`; `ci/arm.sh` compares the lines of two architectures. What is said of a line
//! beyond its hash (which kernels gave it) stands behind `# `.

mod alike;
mod floats;
mod products;
mod texts;

fn main() {
    products::print();
    floats::print();
    texts::print();
}
