// Queries, keys and values of a head: scaled, normed where the model does, rotated; keys and values as f16 into the cache.
// A workgroup a head and token: queries first, then keys, then values.
override HEAD_DIM: u32 = 128u; // at most 256, a multiple of 8
override HEADS: u32 = 20u;
override KV_HEADS: u32 = 5u;
override K_AT: u32 = 2560u;    // first sum of the keys, of the values, and all of a token
override V_AT: u32 = 3200u;
override PITCH: u32 = 3840u;
override NEIGHBOURS: u32 = 0u; // 1: elements 2i and 2i + 1 are a pair, else i and i + HEAD_DIM / 2
override NORM: u32 = 0u;       // 1: queries and keys have a norm
override EPS: f32 = 0.00001;
override ROWS: u32 = 0u;       // 1: each row has a scale of its own
@group(0) @binding(0) var<storage, read> sums: array<i32>;
@group(0) @binding(1) var<storage, read> token_in: array<i32>;
@group(0) @binding(2) var<storage, read> angles: array<f32>;             // HEAD_DIM / 2 cosines and as many sines a position
@group(0) @binding(3) var<storage, read> gains: array<f32>;              // of queries, of keys, then scales of the rows
@group(0) @binding(4) var<storage, read_write> queries: array<f32>;
@group(0) @binding(5) var<storage, read_write> keys: array<u32>;         // two f16 a word
@group(0) @binding(6) var<storage, read_write> values: array<u32>;
@group(0) @binding(7) var<storage, read> state: array<u32>;              // [0] position of the batch's first token
var<workgroup> head: array<f32, 256>;
var<workgroup> turned: array<f32, 256>;
var<workgroup> tree: array<f32, 128>;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    let token = group.y;
    let position = state[0] + token;
    var what = 0u;             // 0 queries, 1 keys, 2 values
    var number = group.x;
    var begin = 0u;
    if number >= HEADS + KV_HEADS {
        what = 2u;
        number -= HEADS + KV_HEADS;
        begin = V_AT;
    } else if number >= HEADS {
        what = 1u;
        number -= HEADS;
        begin = K_AT;
    }
    let factor = bitcast<f32>(token_in[token * 8u + 2u + what]);
    let s = bitcast<f32>(token_in[token * 8u + 1u]);
    var squares = 0.0;
    for (var d = me; d < HEAD_DIM; d += 128u) {
        let row = begin + number * HEAD_DIM + d;
        var own = factor;
        if ROWS == 1u { own = gains[2u * HEAD_DIM + row] / s; }
        let value = f32(sums[token * PITCH + row]) * own;
        head[d] = value;
        squares += value * value;
    }
    tree[me] = squares;
    workgroupBarrier();
    for (var step = 64u; step > 0u; step >>= 1u) {
        if me < step { tree[me] += tree[me + step]; }
        workgroupBarrier();
    }
    if NORM == 1u {
        let norm = 1.0 / sqrt(tree[0] / f32(HEAD_DIM) + EPS);
        for (var d = me; d < HEAD_DIM; d += 128u) {
            let gain = gains[min(what, 1u) * HEAD_DIM + d];
            head[d] = select(head[d] * norm * gain, head[d], what == 2u);
        }
    }
    workgroupBarrier();
    let half = HEAD_DIM / 2u;
    for (var i = me; i < half; i += 128u) {
        let one = select(i, 2u * i, NEIGHBOURS == 1u);
        let other = select(i + half, 2u * i + 1u, NEIGHBOURS == 1u);
        let cosine = angles[position * HEAD_DIM + i];
        let sine = angles[position * HEAD_DIM + half + i];
        turned[one] = select(head[one] * cosine - head[other] * sine, head[one], what == 2u);
        turned[other] = select(head[one] * sine + head[other] * cosine, head[other], what == 2u);
    }
    workgroupBarrier();
    if what == 0u {
        for (var d = me; d < HEAD_DIM; d += 128u) {
            queries[(token * HEADS + number) * HEAD_DIM + d] = turned[d];
        }
    } else {
        for (var i = me; i < half; i += 128u) {
            let at = ((position * KV_HEADS + number) * HEAD_DIM) / 2u + i;
            let pair = pack2x16float(vec2(turned[2u * i], turned[2u * i + 1u]));
            if what == 1u { keys[at] = pair; } else { values[at] = pair; }
        }
    }
}
