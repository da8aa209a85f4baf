// Gemv on `vnni16x16`, the packing of the CPU's kernel: 64 bytes hold 16 rows x 16 k, one row a word. A workgroup has 16
// rows x 16 slices of k: at each step its 256 threads read 1 KiB that lies together. Every word is taken apart into one
// byte a code.
override KW: u32 = 160u;       // words of a row: padded K / 16
override SHARES: u32 = 1u;     // workgroups that share a row, whose sums meet in memory
@group(0) @binding(0) var<storage, read> weights: array<u32>;
@group(0) @binding(1) var<storage, read> activations: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> token: array<i32>;              // [0] sum of the activations
@group(0) @binding(3) var<storage, read_write> result: array<atomic<i32>>;
var<workgroup> partial: array<Acc, 256>;

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    var s = Acc(0);
    for (var v = group.y * 16u + lane.y; v < KW; v += 16u * SHARES) {
        let x = weights[(group.x * KW + v) * 16u + lane.x];
        s += dot16(vec4(x, x >> 2u, x >> 4u, x >> 6u) & vec4(0x03030303u), activations[v]);
    }
    partial[me] = s;
    workgroupBarrier();
    if lane.y == 0u {
        var sum = Acc(0);
        for (var slice = 0u; slice < 16u; slice++) { sum += partial[slice * 16u + lane.x]; }
        let off = select(0, token[0], group.y == 0u);
        let at = group.x * 16u + lane.x;
        if SHARES == 1u { atomicStore(&result[at], finish(sum, off)); } else { atomicAdd(&result[at], finish(sum, off)); }
    }
}
