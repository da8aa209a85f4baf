//! Foreign kernels in a worker: a library is loaded here and nowhere else, its kernels are verified between protected
//! pages, and timed when the parent orders it. This folder, with [`kernels::foreign`], is all that touches foreign
//! code.

mod library;
mod look;
mod serve;
mod voice;

pub use library::load;
pub use serve::serve;
