// Gemv on `tile32x64` from f32 activations: each workgroup rounds the whole token itself, into memory of its own, so that
// rounding is no dispatch of its own. The rule is that of quantise.wgsl, with the same bits.
override K: u32 = 2560u;
override KV: u32 = 40u;        // quads of words of a row: padded K / 64
override SHARES: u32 = 1u;     // workgroups that share a row, whose sums meet in memory
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> floats: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<atomic<i32>>;
var<workgroup> rounded: array<u32, KV * 16u>;  // four int8 a word
var<workgroup> largest: array<u32, 256>;       // bits of numbers that are not negative compare as integers do
var<workgroup> total: atomic<i32>;
var<workgroup> partial: array<i32, 256>;

@compute @workgroup_size(32, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    var most = 0u;
    for (var i = me; i < K; i += 256u) { most = max(most, bitcast<u32>(abs(floats[i]))); }
    largest[me] = most;
    if me == 0u { atomicStore(&total, 0); }
    workgroupBarrier();
    for (var step = 128u; step > 0u; step >>= 1u) {
        if me < step { largest[me] = max(largest[me], largest[me + step]); }
        workgroupBarrier();
    }
    let s = bitcast<f32>(scale_bits(largest[0]));
    var own = 0;
    for (var w = me; w < KV * 16u; w += 256u) {
        var q = vec4(0);
        for (var j = 0u; j < 4u; j++) {
            let k = 4u * w + j;
            if k < K { q[j] = round_to_int8(floats[k] * s); }
        }
        rounded[w] = pack4xI8(q);
        own += q.x + q.y + q.z + q.w;
    }
    atomicAdd(&total, own);
    workgroupBarrier();
    var s0 = 0; var s1 = 0; var s2 = 0; var s3 = 0;
    for (var v = group.y * 8u + lane.y; v < KV; v += 8u * SHARES) {
        let w = weights[(group.x * KV + v) * 32u + lane.x];
        for (var c = 0u; c < 4u; c++) {
            let at = (v * 4u + c) * 4u;
            let x = w[c];
            s0 += dot4(x & 0x03030303u, rounded[at]);
            s1 += dot4(x & 0x0c0c0c0cu, rounded[at + 1u]);
            s2 += dot4(x & 0x30303030u, rounded[at + 2u]);
            s3 += dot4((x >> 6u) & 0x03030303u, rounded[at + 3u]);
        }
    }
    partial[lane.y * 32u + lane.x] = s0 + (s1 >> 2u) + (s2 >> 4u) + s3;
    workgroupBarrier();
    if lane.y == 0u {
        var sum = 0;
        for (var slice = 0u; slice < 8u; slice++) { sum += partial[slice * 32u + lane.x]; }
        if group.y == 0u { sum -= atomicLoad(&total); }
        let at = group.x * 32u + lane.x;
        if SHARES == 1u { atomicStore(&result[at], sum); } else { atomicAdd(&result[at], sum); }
    }
}
