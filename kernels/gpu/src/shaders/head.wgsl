// Logits: rows of f16 times the normed stream of one token, f32 sums. A workgroup has 16 rows x 16 threads a row, whose
// sums are added in one order.
override K: u32 = 2560u;       // a multiple of 8
override FIRST: u32 = 0u;      // first row of this window
override ROWS: u32 = 1u;       // rows of it
@group(0) @binding(0) var<storage, read> table: array<vec4<u32>>;        // eight f16 a vec4
@group(0) @binding(1) var<storage, read> stream: array<f32>;
@group(0) @binding(2) var<storage, read_write> logits: array<f32>;
@group(0) @binding(3) var<storage, read> state: array<u32>;              // [2] the token of the batch
var<workgroup> partial: array<f32, 256>;
@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    let row = group.x * 16u + lane.y;
    let begin = state[2] * K;
    var sum = 0.0;
    if row < ROWS {
        for (var i = lane.x; i < K / 8u; i += 16u) {
            let eight = table[row * (K / 8u) + i];
            for (var c = 0u; c < 4u; c++) {
                let pair = unpack2x16float(eight[c]);
                sum += pair.x * stream[begin + 8u * i + 2u * c] + pair.y * stream[begin + 8u * i + 2u * c + 1u];
            }
        }
    }
    partial[me] = sum;
    workgroupBarrier();
    for (var step = 8u; step > 0u; step >>= 1u) {
        if lane.x < step { partial[me] += partial[me + step]; }
        workgroupBarrier();
    }
    if lane.x == 0u && row < ROWS { logits[FIRST + row] = partial[me]; }
}
