// Attention of a head over 128 positions of the cache: the largest score, the sum of the powers, and the values' sum with
// them. A workgroup a head, part and token; join.wgsl puts the parts together.
override HEAD_DIM: u32 = 128u; // at most 256, a multiple of 8
override HEADS: u32 = 20u;
override KV_HEADS: u32 = 5u;
override PARTS: u32 = 32u;     // parts of the cache
override SCALE: f32 = 0.08838835;
@group(0) @binding(0) var<storage, read> queries: array<f32>;
@group(0) @binding(1) var<storage, read> keys: array<vec4<u32>>;         // eight f16 a vec4
@group(0) @binding(2) var<storage, read> values: array<u32>;             // two f16 a word
@group(0) @binding(3) var<storage, read_write> parts: array<f32>;
@group(0) @binding(4) var<storage, read> state: array<u32>;
var<workgroup> query: array<f32, 256>;
var<workgroup> powers: array<f32, 128>;
var<workgroup> tree: array<f32, 128>;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    let token = group.z;
    let last = state[0] + token;
    let first = group.y * 128u;
    // The same for all threads of a workgroup.
    if first <= last {
        let own = token * HEADS + group.x;
        let kv = group.x / (HEADS / KV_HEADS);
        for (var d = me; d < HEAD_DIM; d += 128u) { query[d] = queries[own * HEAD_DIM + d]; }
        workgroupBarrier();
        let position = first + me;
        var score = -3.0e38;
        if position <= last {
            var sum = 0.0;
            let at = (position * KV_HEADS + kv) * (HEAD_DIM / 8u);
            for (var i = 0u; i < HEAD_DIM / 8u; i++) {
                let eight = keys[at + i];
                for (var c = 0u; c < 4u; c++) {
                    let pair = unpack2x16float(eight[c]);
                    sum += query[8u * i + 2u * c] * pair.x + query[8u * i + 2u * c + 1u] * pair.y;
                }
            }
            score = sum * SCALE;
        }
        tree[me] = score;
        workgroupBarrier();
        for (var step = 64u; step > 0u; step >>= 1u) {
            if me < step { tree[me] = max(tree[me], tree[me + step]); }
            workgroupBarrier();
        }
        let most = tree[0];
        workgroupBarrier();
        let power = select(0.0, exp(score - most), position <= last);
        powers[me] = power;
        tree[me] = power;
        workgroupBarrier();
        for (var step = 64u; step > 0u; step >>= 1u) {
            if me < step { tree[me] += tree[me + step]; }
            workgroupBarrier();
        }
        let to = (own * PARTS + group.y) * (HEAD_DIM + 2u);
        if me == 0u {
            parts[to] = most;
            parts[to + 1u] = tree[0];
        }
        let count = min(128u, last - first + 1u);
        for (var d = me; d < HEAD_DIM; d += 128u) {
            var sum = 0.0;
            for (var t = 0u; t < count; t++) {
                let word = values[(((first + t) * KV_HEADS + kv) * HEAD_DIM + d) / 2u];
                sum += powers[t] * unpack2x16float(word)[d % 2u];
            }
            parts[to + 2u + d] = sum;
        }
    }
}
