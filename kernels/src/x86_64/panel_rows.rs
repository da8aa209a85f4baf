//! Writes a vector that has one row of a panel in each lane to the rows that the matrix has.

use std::arch::x86_64::*;

/// Declares a function that writes the rows of a panel that `y` has: all of them, or fewer at the end of a matrix.
macro_rules! stores {
    ($($name:ident: $vector:ty as [$number:ty; $rows:literal], $feature:literal, $store:ident;)*) => {$(
        #[inline]
        #[target_feature(enable = $feature)]
        pub(crate) fn $name(y: &mut [$number], rows: $vector) {
            let mut buffer = [<$number>::default(); $rows];
            let full = <&mut [$number; $rows]>::try_from(&mut *y);
            let partial = full.is_err();
            let target = full.unwrap_or(&mut buffer);
            // SAFETY: the target has room for so many numbers; the store needs no alignment.
            unsafe { $store(target.as_mut_ptr().cast(), rows) };
            if partial {
                y.copy_from_slice(&buffer[..y.len()]);
            }
        }
    )*};
}

stores! {
    store_8: __m256i as [i32; 8], "avx2", _mm256_storeu_si256;
    store_8_f32: __m256 as [f32; 8], "avx2", _mm256_storeu_ps;
    store_16: __m512i as [i32; 16], "avx512f", _mm512_storeu_si512;
    store_16_f32: __m512 as [f32; 16], "avx512f", _mm512_storeu_ps;
}
