// Activations as int8 by BitNet b1.58's rule, with the bits that the CPU gives: s = 127 / max(1e-5, max |x|), x * s rounded
// to the nearest, ties to even. WGSL promises division to 2.5 units in the last place only, so it is done in integers.

// n / d of normal positive numbers whose quotient is normal, rounded to the nearest, ties to even: bits to bits.
fn quotient(n_bits: u32, d_bits: u32) -> u32 {
    let m = (d_bits & 0x7fffffu) | 0x800000u;
    var n = (n_bits & 0x7fffffu) | 0x800000u;
    var exponent = 127u + (n_bits >> 23u) - (d_bits >> 23u);
    if n < m { n = n << 1u; exponent -= 1u; }        // now 1 <= n / m < 2
    var q = 0u;
    for (var i = 0u; i < 25u; i++) {                 // 1 integer bit, 23 of the mantissa, 1 to round by
        q = q << 1u;
        if n >= m { n -= m; q |= 1u; }
        n = n << 1u;
    }
    let up = (q & 1u) == 1u && (n != 0u || ((q >> 1u) & 1u) == 1u);
    // A carry out of the mantissa adds 1 to the exponent by itself.
    return (exponent << 23u) + ((q >> 1u) & 0x7fffffu) + u32(up);
}
// Bits of the scale for a largest magnitude, given by its bits.
fn scale_bits(largest: u32) -> u32 {
    return quotient(0x42fe0000u, max(largest, 0x3727c5acu));   // 127, 1e-5
}
fn round_to_int8(x: f32) -> i32 {
    return i32(clamp(round(x), -128.0, 127.0));
}
