//! What kernels for Arm share.

pub(crate) mod dot;
