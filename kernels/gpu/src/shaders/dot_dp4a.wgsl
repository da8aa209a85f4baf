// 16 products as four dot products of four bytes, one instruction each where the device has it.
alias Acc = i32;
fn dot4(codes: u32, a: u32) -> i32 {
    return dot4I8Packed(codes, a);
}
fn dot16(codes: vec4<u32>, a: vec4<u32>) -> i32 {
    return dot4(codes.x, a.x) + dot4(codes.y, a.y) + dot4(codes.z, a.z) + dot4(codes.w, a.w);
}
fn finish(acc: i32, sum: i32) -> i32 {
    return acc - sum;
}
