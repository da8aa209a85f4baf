// 16 products in f32, weights and activations made floats first: what a port without integers does. Every partial sum is
// an integer below 2^24 where k is at most 65536, so none is rounded.
alias Acc = f32;
fn dot4(codes: u32, a: u32) -> f32 {
    return dot(vec4<f32>(unpack4xU8(codes)) - vec4<f32>(1.0), vec4<f32>(unpack4xI8(a)));
}
fn dot16(codes: vec4<u32>, a: vec4<u32>) -> f32 {
    return dot4(codes.x, a.x) + dot4(codes.y, a.y) + dot4(codes.z, a.z) + dot4(codes.w, a.w);
}
fn finish(acc: f32, sum: i32) -> i32 {
    return i32(acc);
}
