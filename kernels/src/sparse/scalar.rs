//! Columns in plain Rust, for every architecture.

use super::call::{Columns, LINE_BYTES, LINE_ROWS};

pub(super) fn columns(args: Columns<'_>) {
    for (quad, q) in args.quads.iter().zip(args.q) {
        for (&column, &q) in quad.iter().zip(q) {
            let start = column as usize * args.stride + args.first_line * LINE_BYTES;
            let lines = args.codes[start..].as_chunks::<LINE_BYTES>().0;
            for (y, line) in args.y.as_chunks_mut::<LINE_ROWS>().0.iter_mut().zip(lines) {
                for (y, group) in y.as_chunks_mut::<64>().0.iter_mut().zip(line.as_chunks::<16>().0) {
                    for (plane, y) in y.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                        y.iter_mut()
                            .zip(group)
                            .for_each(|(y, byte)| *y += i32::from(byte >> (2 * plane) & 3) * i32::from(q));
                    }
                }
            }
        }
    }
    args.y.iter_mut().for_each(|y| *y -= args.x_sum);
}
