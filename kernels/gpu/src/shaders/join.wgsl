// What the parts of attention come to, its norm if there is one, rounded: a workgroup a token. K is that of all heads.
override HEAD_DIM: u32 = 128u;
override HEADS: u32 = 20u;
override PARTS: u32 = 32u;
@group(0) @binding(5) var<storage, read> parts: array<f32>;
@group(0) @binding(6) var<storage, read> state: array<u32>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    let token = group.x;
    let used = (state[0] + token) / 128u + 1u;
    var squares = 0.0;
    for (var w = me; w < K / 4u; w += 256u) {
        // HEAD_DIM is a multiple of 8: the four elements are of one head.
        let begin = (token * HEADS + 4u * w / HEAD_DIM) * PARTS * (HEAD_DIM + 2u);
        var most = -3.0e38;
        for (var p = 0u; p < used; p++) { most = max(most, parts[begin + p * (HEAD_DIM + 2u)]); }
        var sum = 0.0;
        var four = vec4(0.0);
        for (var p = 0u; p < used; p++) {
            let at = begin + p * (HEAD_DIM + 2u);
            let power = exp(parts[at] - most);
            sum += power * parts[at + 1u];
            let d = at + 2u + 4u * w % HEAD_DIM;
            four += power * vec4(parts[d], parts[d + 1u], parts[d + 2u], parts[d + 3u]);
        }
        four = four / sum;
        for (var j = 0u; j < 4u; j++) {
            scratch[token * K + 4u * w + j] = four[j];
            squares += four[j] * four[j];
        }
    }
    norm_and_round(token, me, squares);
}
