// 16 products in integers, bytes unpacked one by one. Codes are weights plus one: the sum of the activations goes off at
// the end.
alias Acc = i32;
fn dot4(codes: u32, a: u32) -> i32 {
    return dot(unpack4xI8(codes), unpack4xI8(a));
}
fn dot16(codes: vec4<u32>, a: vec4<u32>) -> i32 {
    return dot4(codes.x, a.x) + dot4(codes.y, a.y) + dot4(codes.z, a.z) + dot4(codes.w, a.w);
}
fn finish(acc: i32, sum: i32) -> i32 {
    return acc - sum;
}
