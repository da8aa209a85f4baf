/* The AVX2 and AVX-512 kernels of litespark-inference behind tritbench.h. build.sh compiles it beside their sources.
 *
 * Weights: byte i of a row has weights 4 i to 4 i + 3, the first in the low bits; one scale a matrix. A prepared token
 * is its int8, then its scale. Their kernels for batches take at most 64 tokens and return at once, without a result
 * and without a word, when given more: hence max_tokens.
 */
#include "tritbench.h"

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstring>

using Gemv = void(const int8_t *x, const uint8_t *weights, float w_scale, float x_scale, float *y, int rows, int k);
using Gemm = void(const int8_t *x, const float *x_scales, const uint8_t *weights, float w_scale, float *y, int tokens,
                  int rows, int k);
extern "C" {
Gemv matmul_lut_avx2_m1, matmul_lut_avx512_m1;
Gemm matmul_lut_avx2_mT, matmul_lut_avx512_mT;
}

namespace {

constexpr uint64_t MOST_TOKENS = 64;
/* k is a multiple of 4, and that of what they unpack at once. */
constexpr uint32_t K_MULTIPLE = 4;

/* Where the weights begin: behind the scale, at a cache line. */
constexpr uint64_t HEAD = 64;

bool fits(const tb_shape *shape) {
    return shape->rows <= INT_MAX && shape->k <= INT_MAX && shape->k % K_MULTIPLE == 0;
}

int32_t packed_bytes(void *, const tb_shape *shape, uint64_t *bytes) {
    *bytes = HEAD + shape->rows * (shape->k / 4);
    return TB_OK;
}

int32_t pack(void *, const tb_shape *shape, const tb_weights *weights, void *packed) {
    if (!fits(shape))
        return TB_SHAPE;
    std::memcpy(packed, weights->scales, sizeof(float));
    uint8_t *bytes = static_cast<uint8_t *>(packed) + HEAD;
    for (uint64_t i = 0; i < shape->rows * shape->k; i++) {
        if (weights->codes[i] > 2)
            return TB_CODE;
        bytes[i / 4] = static_cast<uint8_t>(bytes[i / 4] | weights->codes[i] << 2 * (i % 4));
    }
    return TB_OK;
}

int32_t prepared_bytes(void *, uint64_t k, uint64_t *bytes) {
    *bytes = k + sizeof(float);
    return TB_OK;
}

int32_t prepare(void *, uint64_t k, const tb_activations *x, void *prepared) {
    std::memcpy(prepared, x->i8, k);
    std::memcpy(static_cast<int8_t *>(prepared) + k, x->scales, sizeof(float));
    return TB_OK;
}

float read_float(const void *from) {
    float value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

const uint8_t *row(const tb_shape *shape, const void *packed, uint64_t number) {
    return static_cast<const uint8_t *>(packed) + HEAD + number * (shape->k / 4);
}

template <Gemv *KERNEL>
int32_t gemv(void *, const tb_shape *shape, const void *packed, const void *prepared, uint64_t begin, uint64_t end,
             void *y) {
    const int8_t *x = static_cast<const int8_t *>(prepared);
    KERNEL(x, row(shape, packed, begin), read_float(packed), read_float(x + shape->k), static_cast<float *>(y),
           static_cast<int>(end - begin), static_cast<int>(shape->k));
    return TB_OK;
}

/* Their kernel wants the tokens one right behind the other and the scales in a vector of their own, which no stride of
 * prepared tokens can give: both are gathered first, 4 us for 64 tokens of 2560 where a product with 640 rows takes
 * 1.7 ms. Nothing is allocated: the room is on the stack, for 64 tokens up to a k of 8192, beyond it for fewer. */
template <Gemm *KERNEL>
int32_t gemm(void *, const tb_shape *shape, const void *packed, const void *prepared, uint64_t stride, uint64_t tokens,
             uint64_t begin, uint64_t end, void *y, uint64_t y_stride) {
    constexpr uint64_t ROOM = MOST_TOKENS * 8192;
    alignas(64) int8_t x[ROOM];
    float scales[MOST_TOKENS];
    if (tokens > MOST_TOKENS || shape->k > ROOM)
        return TB_SHAPE;
    const uint64_t piece = std::min(MOST_TOKENS, ROOM / shape->k);
    for (uint64_t first = 0; first < tokens; first += piece) {
        const uint64_t count = std::min(piece, tokens - first);
        for (uint64_t t = 0; t < count; t++) {
            const int8_t *token = static_cast<const int8_t *>(prepared) + (first + t) * stride;
            std::memcpy(x + t * shape->k, token, shape->k);
            scales[t] = read_float(token + shape->k);
        }
        KERNEL(x, scales, row(shape, packed, begin), read_float(packed), static_cast<float *>(y) + first * y_stride,
               static_cast<int>(count), static_cast<int>(end - begin), static_cast<int>(shape->k));
    }
    return TB_OK;
}

tb_kernel common() {
    tb_kernel kernel = {};
    kernel.struct_size = sizeof(tb_kernel);
    kernel.flags = TB_THREAD_SAFE;
    kernel.origin = LITESPARK_ORIGIN;
    kernel.family = TB_W2A8;
    kernel.output = TB_F32;
    kernel.weight_group = TB_TENSOR;
    kernel.act_group = TB_TENSOR;
    kernel.max_code = 2;
    kernel.rows_multiple = 1;
    kernel.k_multiple = K_MULTIPLE;
    kernel.packed_align = 64;
    kernel.prepared_stride = TB_STRIDE_ANY;
    kernel.y_stride = TB_STRIDE_TIGHT;
    kernel.max_k = 131072; /* sums are integers, at most 128 * k, and become float: exact up to 2^24 */
    kernel.max_tokens = MOST_TOKENS;
    kernel.packed_bytes = packed_bytes;
    kernel.pack = pack;
    kernel.prepared_bytes = prepared_bytes;
    kernel.prepare = prepare;
    return kernel;
}

tb_kernel avx2() {
    tb_kernel kernel = common();
    kernel.id = "litespark-avx2";
    kernel.isa = "avx2";
    kernel.requires_cpu = "avx2,fma";
    kernel.summary = "256-bit maddubs, row by row; codes go through a buffer of 64 bytes";
    kernel.compiler = LITESPARK_COMPILER ", " LITESPARK_AVX2_FLAGS;
    kernel.gemv = gemv<matmul_lut_avx2_m1>;
    kernel.gemm = gemm<matmul_lut_avx2_mT>;
    return kernel;
}

tb_kernel avx512() {
    tb_kernel kernel = common();
    kernel.id = "litespark-avx512";
    kernel.isa = "avx512-vnni";
    kernel.requires_cpu = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vnni,avx512vbmi";
    kernel.builds_on = "litespark-avx2";
    kernel.summary = "512-bit dpbusd, row by row; codes unpacked by multishift; 64 sums a row in a batch";
    kernel.compiler = LITESPARK_COMPILER ", " LITESPARK_AVX512_FLAGS;
    kernel.gemv = gemv<matmul_lut_avx512_m1>;
    kernel.gemm = gemm<matmul_lut_avx512_mT>;
    return kernel;
}

} // namespace

const tb_kernel *const *tb_kernels(uint32_t host_abi, uint32_t *count) {
    static const tb_kernel of_avx2 = avx2(), of_avx512 = avx512();
    static const tb_kernel *const kernels[] = {&of_avx2, &of_avx512};
    if (host_abi != TB_ABI)
        return nullptr;
    *count = 2;
    return kernels;
}
