//! Packed layouts, one file each. A line of `layouts!` makes one known: packed by name, listed, tested with all others.

/// Modules of this folder, each with a `LAYOUT` or with those in braces, and the slice of these.
macro_rules! layouts {
    ($($module:ident $({ $($form:ident),* })?,)*) => {
        $(pub(crate) mod $module;)*

        /// Every packed layout that the program knows.
        pub static ALL: &[&Layout] = layouts!(@ [] $($module $({ $($form),* })?,)*);
    };
    (@ [$($all:expr,)*]) => { &[$($all),*] };
    (@ [$($all:expr,)*] $module:ident, $($rest:tt)*) => { layouts!(@ [$($all,)* &$module::LAYOUT,] $($rest)*) };
    (@ [$($all:expr,)*] $module:ident { $($form:ident),* }, $($rest:tt)*) => {
        layouts!(@ [$($all,)* $(&$module::$form,)*] $($rest)*)
    };
}

layouts! {
    qk256,
    i2s,
    tile8,
    vnni16,
    tile32,
    trit5,
    trit5q,
    lut16,
    lut8,
    groups1,
    groups8,
    planes16 { GROUPS_OF_64, LAYOUT, GROUPS_OF_256 },
    trit5_groups16,
}

pub(crate) mod i2s_rows;
mod interleave;
#[cfg(test)]
mod tests;

pub use i2s::LAYOUT as I2S;
pub use tile32::LAYOUT as TILE32;
pub use vnni16::LAYOUT as VNNI16;

use crate::layout::Layout;

/// Finds a layout by its name in listings and receipts, for example `tile8x16`.
pub fn find(name: &str) -> Option<&'static Layout> {
    ALL.iter().copied().find(|layout| layout.name == name)
}
