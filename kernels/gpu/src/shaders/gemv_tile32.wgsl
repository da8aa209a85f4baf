// Gemv on `tile32x64`: vec4 number (tile * KV + v) * 32 + r holds row r, k = 64 v to 64 v + 63, so that neighbouring
// threads read neighbouring 16 bytes. A workgroup has 32 rows x 8 slices of k. Planes as in gemv_vnni16.wgsl.
override KV: u32 = 40u;        // quads of words of a row: padded K / 64
override SHARES: u32 = 1u;     // workgroups that share a row, whose sums meet in memory
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> activations: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> token: array<i32>;              // [0] sum of the activations
@group(0) @binding(3) var<storage, read_write> result: array<atomic<i32>>;
var<workgroup> partial: array<i32, 256>;

@compute @workgroup_size(32, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    var s0 = 0; var s1 = 0; var s2 = 0; var s3 = 0;
    for (var v = group.y * 8u + lane.y; v < KV; v += 8u * SHARES) {
        let w = weights[(group.x * KV + v) * 32u + lane.x];
        for (var c = 0u; c < 4u; c++) {
            let a = activations[v * 4u + c];
            let x = w[c];
            s0 += dot4(x & 0x03030303u, a.x);
            s1 += dot4(x & 0x0c0c0c0cu, a.y);
            s2 += dot4(x & 0x30303030u, a.z);
            s3 += dot4((x >> 6u) & 0x03030303u, a.w);
        }
    }
    partial[lane.y * 32u + lane.x] = s0 + (s1 >> 2u) + (s2 >> 4u) + s3;
    workgroupBarrier();
    if lane.y == 0u {
        var sum = 0;
        for (var slice = 0u; slice < 8u; slice++) { sum += partial[slice * 32u + lane.x]; }
        if group.y == 0u { sum -= token[0]; }
        let at = group.x * 32u + lane.x;
        if SHARES == 1u { atomicStore(&result[at], sum); } else { atomicAdd(&result[at], sum); }
    }
}
