// The likeliest token becomes the next one, and the position moves on, so that the next submission needs nothing from the
// host.
@group(0) @binding(0) var<storage, read> best: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read_write> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> state: array<u32>;        // position, tokens of the batch, token of the logits
@compute @workgroup_size(1)
fn main() {
    var most = bitcast<f32>(best[0].x);
    var at = best[0].y;
    for (var i = 1u; i < 64u; i++) {
        let logit = bitcast<f32>(best[i].x);
        if best[i].y != 0xffffffffu && (at == 0xffffffffu || logit > most || (logit == most && best[i].y < at)) {
            most = logit;
            at = best[i].y;
        }
    }
    ids[0] = at;
    state[0] += state[1];
    state[1] = 1u;
    state[2] = 0u;
}
