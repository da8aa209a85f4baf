// Rows of the embedding, f16 made f32, or f32 as they are: a workgroup a token. Of a table in several windows each has a dispatch, and takes
// the tokens whose rows it has.
override K: u32 = 2560u;
override FIRST: u32 = 0u;      // first row of this window
override ROWS: u32 = 1u;       // rows of it
override WIDE: u32 = 0u;       // 1: rows are f32
@group(0) @binding(0) var<storage, read> table: array<u32>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> stream: array<f32>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    let id = ids[group.x];
    if id >= FIRST && id - FIRST < ROWS {
        if WIDE == 1u {
            for (var i = me; i < K; i += 256u) {
                stream[group.x * K + i] = bitcast<f32>(table[(id - FIRST) * K + i]);
            }
            return;
        }
        for (var w = me; w < K / 2u; w += 256u) {
            let pair = unpack2x16float(table[(id - FIRST) * (K / 2u) + w]);
            stream[group.x * K + 2u * w] = pair.x;
            stream[group.x * K + 2u * w + 1u] = pair.y;
        }
    }
}
