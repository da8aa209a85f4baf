// Gate and up made one, its norm if there is one, rounded: a workgroup a token.
override PITCH: u32 = 13824u;  // sums of a token: of the gate's rows, then of up's
override UP: u32 = 6912u;      // the first of up's
override SILU: u32 = 0u;       // 1: silu(gate) * up, else relu(gate)^2 * up
@group(0) @binding(5) var<storage, read> sums: array<i32>;
@group(0) @binding(6) var<storage, read> token_in: array<i32>;           // of the token that was multiplied
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    let token = group.x;
    let s = bitcast<f32>(token_in[token * 8u + 1u]);
    let of_gate = bitcast<f32>(token_in[token * 8u + 2u]);
    let of_up = bitcast<f32>(token_in[token * 8u + 3u]);
    var squares = 0.0;
    for (var w = me; w < K / 4u; w += 256u) {
        for (var j = 0u; j < 4u; j++) {
            let i = 4u * w + j;
            var own = vec2(of_gate, of_up);
            if ROWS == 1u { own = vec2(gains[K + i], gains[K + UP + i]) / s; }
            let gate = f32(sums[token * PITCH + i]) * own.x;
            let up = f32(sums[token * PITCH + UP + i]) * own.y;
            var turned_on = max(gate, 0.0);
            turned_on = turned_on * turned_on;
            if SILU == 1u {
                // Powers of e from 0 to 1 alone, so that nothing overflows.
                let power = exp(-abs(gate));
                turned_on = gate * select(1.0, power, gate < 0.0) / (1.0 + power);
            }
            let value = turned_on * up;
            scratch[token * K + i] = value;
            squares += value * value;
        }
    }
    norm_and_round(token, me, squares);
}
