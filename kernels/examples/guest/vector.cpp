// c++ -std=c++17 -O3 -fPIC -shared -fvisibility=hidden -I../../include -o libvector.so vector.cpp
// tritbench compare --kernel-library ./libvector.so
//
// A kernel in C++ with AVX2 intrinsics: four codes a byte, products of unsigned codes 0, 1, 2 and int8 activations by
// vpmaddubsw, and the sum of the activations taken off at the end, because a weight is its code minus one.
#include "tritbench.h"

#include <cstring>
#include <immintrin.h>

// What the compiler needs to be told, where its command line does not say so; requires_cpu says it to tritbench.
#define VECTOR __attribute__((target("avx2")))

namespace {

// 128 columns of a row are 32 bytes: byte j holds the codes of columns j, j + 32, j + 64 and j + 96, lowest bits first.
constexpr uint64_t block_k = 128, block_bytes = 32;
// Products of 4 planes add at most 4 * 2 * 2 * 128 = 2048 to an int16, so 15 blocks never wrap; 8 divide models better.
constexpr uint64_t blocks_per_flush = 8;

int32_t packed_bytes(void *, const tb_shape *shape, uint64_t *bytes) {
    *bytes = shape->rows * shape->k / 4;
    return TB_OK;
}

int32_t pack(void *, const tb_shape *shape, const tb_weights *weights, void *packed) {
    auto *to = static_cast<uint8_t *>(packed);
    const uint8_t *codes = weights->codes;
    for (uint64_t block = 0; block < shape->rows * shape->k / block_k; block++, codes += block_k, to += block_bytes)
        for (uint64_t j = 0; j < block_k; j++)
            to[j % block_bytes] |= static_cast<uint8_t>(codes[j] << (j / block_bytes * 2));
    return TB_OK;
}

// The activations as they are, then their sum.
int32_t prepared_bytes(void *, uint64_t k, uint64_t *bytes) {
    *bytes = k + sizeof(int32_t);
    return TB_OK;
}

int32_t prepare(void *, uint64_t k, const tb_activations *x, void *prepared) {
    std::memcpy(prepared, x->i8, k);
    std::memcpy(static_cast<char *>(prepared) + k, &x->sum, sizeof x->sum);
    return TB_OK;
}

VECTOR int32_t sum_of_lanes(__m256i v) {
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1));
    return _mm_cvtsi128_si32(sum);
}

VECTOR int32_t product(const uint8_t *codes, const int8_t *x, uint64_t k) {
    const __m256i mask = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1);
    __m256i total = _mm256_setzero_si256();
    for (uint64_t blocks = k / block_k; blocks > 0;) {
        __m256i sum = _mm256_setzero_si256();
        const uint64_t now = blocks < blocks_per_flush ? blocks : blocks_per_flush;
        for (uint64_t i = 0; i < now; i++, codes += block_bytes) {
            __m256i four = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(codes));
            for (int plane = 0; plane < 4; plane++, x += block_bytes) {
                const __m256i code = _mm256_and_si256(four, mask);
                const __m256i values = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(x));
                sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(code, values));
                four = _mm256_srli_epi16(four, 2);
            }
        }
        total = _mm256_add_epi32(total, _mm256_madd_epi16(sum, ones));
        blocks -= now;
    }
    return sum_of_lanes(total);
}

VECTOR int32_t gemv(void *, const tb_shape *shape, const void *packed, const void *prepared, uint64_t begin,
                    uint64_t end, void *y) {
    const uint64_t k = shape->k;
    int32_t sum;
    std::memcpy(&sum, static_cast<const char *>(prepared) + k, sizeof sum);
    for (uint64_t r = begin; r < end; r++)
        static_cast<int32_t *>(y)[r - begin] =
            product(static_cast<const uint8_t *>(packed) + r * k / 4, static_cast<const int8_t *>(prepared), k) - sum;
    return TB_OK;
}

// Row by row, so that a row's codes are loaded from memory once for all tokens.
VECTOR int32_t gemm(void *plan, const tb_shape *shape, const void *packed, const void *prepared, uint64_t stride,
                    uint64_t tokens, uint64_t begin, uint64_t end, void *y, uint64_t y_stride) {
    for (uint64_t r = begin; r < end; r++)
        for (uint64_t t = 0; t < tokens; t++)
            gemv(plan, shape, packed, static_cast<const char *>(prepared) + t * stride, r, r + 1,
                 static_cast<int32_t *>(y) + t * y_stride + (r - begin));
    return TB_OK;
}

tb_kernel describe() {
    tb_kernel kernel = {};
    kernel.struct_size = sizeof kernel;
    kernel.flags = TB_THREAD_SAFE;
    kernel.id = "avx2-vector";
    kernel.isa = "avx2";
    kernel.requires_cpu = "avx2";
    kernel.summary = "Four codes a byte by planes, vpmaddubsw, in C++";
    kernel.origin = "tritbench's example, MIT OR Apache-2.0";
    kernel.compiler = __VERSION__;
    kernel.family = TB_W2A8;
    kernel.output = TB_I32;
    kernel.max_code = 2;
    kernel.rows_multiple = 1;
    kernel.k_multiple = block_k;
    kernel.packed_align = 32;
    kernel.packed_bytes = packed_bytes;
    kernel.pack = pack;
    kernel.prepared_bytes = prepared_bytes;
    kernel.prepare = prepare;
    kernel.gemv = gemv;
    kernel.gemm = gemm;
    return kernel;
}

} // namespace

const tb_kernel *const *tb_kernels(uint32_t host_abi, uint32_t *count) {
    static const tb_kernel kernel = describe();
    static const tb_kernel *const all[] = {&kernel};
    *count = 1;
    return host_abi == TB_ABI ? all : nullptr;
}
