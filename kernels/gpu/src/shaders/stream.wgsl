// Reads every word of a window once: the bound of what has to read it.
@group(0) @binding(0) var<storage, read> words: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> result: array<u32>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    var sum = vec4(0u);
    let n = arrayLength(&words);
    for (var i = id.x; i < n; i += groups.x * 256u) { sum += words[i]; }
    result[id.x] = sum.x + sum.y + sum.z + sum.w;
}
