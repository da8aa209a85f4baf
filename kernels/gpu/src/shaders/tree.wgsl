// The end of what makes a token: its norm, if there is one, and its rounding to int8, by one workgroup. Sums are added up
// in one order, so that a device gives the same bits twice.
override K: u32 = 2560u;       // elements of a token, a multiple of 4
override EPS: f32 = 0.00001;
override NORM: u32 = 1u;       // 1: a norm comes first
override SCALES: u32 = 1u;     // matrices that the token is multiplied with
override ROWS: u32 = 0u;       // 1: each row that was multiplied has a scale of its own
@group(0) @binding(0) var<storage, read_write> scratch: array<f32>;      // what is rounded, K a token
@group(0) @binding(1) var<storage, read_write> rounded: array<u32>;      // four int8 a word, zeros up to 64 k
@group(0) @binding(2) var<storage, read_write> token_out: array<i32>;    // 8 words a token: sum, bits of s, of the factors
@group(0) @binding(3) var<storage, read> scales: array<f32>;             // of the matrices
@group(0) @binding(4) var<storage, read> gains: array<f32>;              // K of them, then scales of the rows that were multiplied
var<workgroup> tree: array<f32, 256>;
var<workgroup> largest: array<u32, 256>;       // bits of numbers that are not negative compare as integers do
var<workgroup> total: atomic<i32>;

fn sum_of_all(own: f32, me: u32) -> f32 {
    tree[me] = own;
    workgroupBarrier();
    for (var step = 128u; step > 0u; step >>= 1u) {
        if me < step { tree[me] += tree[me + step]; }
        workgroupBarrier();
    }
    return tree[0];
}

// Every thread has written elements 4w to 4w + 3 of `scratch` for w = me, me + 256, ..., and knows the sum of their squares.
fn norm_and_round(token: u32, me: u32, squares: f32) {
    let at = token * K;
    var factor = 1.0;
    if NORM == 1u { factor = 1.0 / sqrt(sum_of_all(squares, me) / f32(K) + EPS); }
    var most = 0u;
    for (var w = me; w < K / 4u; w += 256u) {
        for (var j = 0u; j < 4u; j++) {
            let i = 4u * w + j;
            var value = scratch[at + i];
            if NORM == 1u {
                value = value * factor * gains[i];
                scratch[at + i] = value;
            }
            most = max(most, bitcast<u32>(abs(value)));
        }
    }
    largest[me] = most;
    if me == 0u { atomicStore(&total, 0); }
    workgroupBarrier();
    for (var step = 128u; step > 0u; step >>= 1u) {
        if me < step { largest[me] = max(largest[me], largest[me + step]); }
        workgroupBarrier();
    }
    let bits = scale_bits(largest[0]);
    let s = bitcast<f32>(bits);
    let words = (K + 63u) / 64u * 16u;
    var own = 0;
    for (var w = me; w < words; w += 256u) {
        var q = vec4(0);
        if 4u * w < K {
            for (var j = 0u; j < 4u; j++) { q[j] = round_to_int8(scratch[at + 4u * w + j] * s); }
        }
        rounded[token * words + w] = pack4xI8(q);
        own += q.x + q.y + q.z + q.w;
    }
    atomicAdd(&total, own);
    workgroupBarrier();
    if me == 0u {
        token_out[token * 8u] = atomicLoad(&total);
        token_out[token * 8u + 1u] = bitcast<i32>(bits);
    }
    if me < SCALES {
        let scale = bitcast<u32>(scales[me]);
        // Scales are positive but for odd files: the sign goes beside the quotient, and zero stays zero.
        let magnitude = scale & 0x7fffffffu;
        let factor_bits = select(quotient(magnitude, bits), 0u, magnitude == 0u) | (scale & 0x80000000u);
        token_out[token * 8u + 2u + me] = bitcast<i32>(factor_bits);
    }
}
