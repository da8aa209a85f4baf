// The residual stream with what a product adds to it, its norm, rounded: a workgroup a token.
override RESIDUAL: u32 = 1u;   // 1: a product's sums are added first
override PITCH: u32 = 2560u;   // sums of a token
@group(0) @binding(5) var<storage, read> sums: array<i32>;
@group(0) @binding(6) var<storage, read> token_in: array<i32>;           // of the token that was multiplied
@group(0) @binding(7) var<storage, read_write> stream: array<f32>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    let token = group.x;
    let factor = bitcast<f32>(token_in[token * 8u + 2u]);
    let s = bitcast<f32>(token_in[token * 8u + 1u]);
    var squares = 0.0;
    for (var w = me; w < K / 4u; w += 256u) {
        for (var j = 0u; j < 4u; j++) {
            let i = 4u * w + j;
            var value = stream[token * K + i];
            if RESIDUAL == 1u {
                var own = factor;
                if ROWS == 1u { own = gains[K + i] / s; }
                value += f32(sums[token * PITCH + i]) * own;
                stream[token * K + i] = value;
            }
            scratch[token * K + i] = value;
            squares += value * value;
        }
    }
    norm_and_round(token, me, squares);
}
