// Gemv on `vnni16x16` as gemv_plain.wgsl has it, with a mask a plane and one shift: planes 1 and 2 stay where they are in
// their bytes, and their sums are shifted back at the end. No sum overflows to K = 2 M.
override KW: u32 = 160u;       // words of a row: padded K / 16
override SHARES: u32 = 1u;     // workgroups that share a row, whose sums meet in memory
@group(0) @binding(0) var<storage, read> weights: array<u32>;
@group(0) @binding(1) var<storage, read> activations: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> token: array<i32>;              // [0] sum of the activations
@group(0) @binding(3) var<storage, read_write> result: array<atomic<i32>>;
var<workgroup> partial: array<i32, 256>;

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    var s0 = 0; var s1 = 0; var s2 = 0; var s3 = 0;
    for (var v = group.y * 16u + lane.y; v < KW; v += 16u * SHARES) {
        let x = weights[(group.x * KW + v) * 16u + lane.x];
        let a = activations[v];
        s0 += dot4(x & 0x03030303u, a.x);
        s1 += dot4(x & 0x0c0c0c0cu, a.y);
        s2 += dot4(x & 0x30303030u, a.z);
        s3 += dot4((x >> 6u) & 0x03030303u, a.w);   // 0xc0 would be a negative int8
    }
    partial[me] = s0 + (s1 >> 2u) + (s2 >> 4u) + s3;
    workgroupBarrier();
    if lane.y == 0u {
        var sum = 0;
        for (var slice = 0u; slice < 16u; slice++) { sum += partial[slice * 16u + lane.x]; }
        if group.y == 0u { sum -= token[0]; }
        let at = group.x * 16u + lane.x;
        if SHARES == 1u { atomicStore(&result[at], sum); } else { atomicAdd(&result[at], sum); }
    }
}
