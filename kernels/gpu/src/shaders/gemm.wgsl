// Gemm: a workgroup makes 64 rows x 64 tokens, a thread 4 x 4 of them. Each step of 64 k takes 64 x 4 words of codes apart
// once, into memory that the workgroup shares, for all 64 tokens.
@group(0) @binding(1) var<storage, read> activations: array<vec4<u32>>;  // token after token
@group(0) @binding(2) var<storage, read> tokens: array<i32>;             // 8 words a token, [0] its sum
@group(0) @binding(3) var<storage, read_write> result: array<i32>;       // [token][row]
@group(0) @binding(4) var<storage, read> shape: array<u32>;              // rows here, rows of all, the first row here, tokens

var<workgroup> codes: array<vec4<u32>, 256>;   // [c 0..4][row 0..64]: one byte a code
var<workgroup> inputs: array<vec4<u32>, 256>;  // [c 0..4][token 0..64]

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    var acc: array<array<Acc, 4>, 4>;
    let rows = shape[0];
    let most = shape[3];
    let row = min(group.x * 64u + (me & 63u), rows - 1u);
    let mine = group.y * 64u + (me & 63u);
    let c = me >> 6u;
    let n = steps();
    for (var v = 0u; v < n; v++) {
        let x = code_word(row, v * 4u + c);
        codes[me] = vec4(x, x >> 2u, x >> 4u, x >> 6u) & vec4(0x03030303u);
        inputs[me] = select(vec4(0u), activations[(min(mine, most - 1u) * n + v) * 4u + c], mine < most);
        workgroupBarrier();
        for (var q = 0u; q < 4u; q++) {
            var w: array<vec4<u32>, 4>;
            for (var i = 0u; i < 4u; i++) { w[i] = codes[q * 64u + i * 16u + lane.x]; }
            for (var j = 0u; j < 4u; j++) {
                let a = inputs[q * 64u + j * 16u + lane.y];
                for (var i = 0u; i < 4u; i++) { acc[j][i] += dot16(w[i], a); }
            }
        }
        workgroupBarrier();
    }
    for (var j = 0u; j < 4u; j++) {
        let token = group.y * 64u + j * 16u + lane.y;
        for (var i = 0u; i < 4u; i++) {
            let to = group.x * 64u + i * 16u + lane.x;
            if token < most && to < rows {
                result[token * shape[1] + shape[2] + to] = finish(acc[j][i], tokens[token * 8u]);
            }
        }
    }
}
