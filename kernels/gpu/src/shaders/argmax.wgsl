// The largest logit of each of 64 parts, and its row; of equal ones the lowest row.
override VOCAB: u32 = 1u;
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> best: array<vec2<u32>>;   // bits of the logit, row
var<workgroup> logit: array<f32, 256>;
var<workgroup> row: array<u32, 256>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    var most = -3.4e38;
    var at = 0xffffffffu;
    for (var i = group.x * 256u + me; i < VOCAB; i += 16384u) {
        if logits[i] > most || at == 0xffffffffu {
            most = logits[i];
            at = i;
        }
    }
    logit[me] = most;
    row[me] = at;
    workgroupBarrier();
    for (var step = 128u; step > 0u; step >>= 1u) {
        if me < step {
            let other = me + step;
            if logit[other] > logit[me] || (logit[other] == logit[me] && row[other] < row[me]) {
                logit[me] = logit[other];
                row[me] = row[other];
            }
        }
        workgroupBarrier();
    }
    if me == 0u { best[group.x] = vec2(bitcast<u32>(logit[0]), row[0]); }
}
