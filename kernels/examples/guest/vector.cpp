// c++ -std=c++17 -O3 -mavx2 -fPIC -shared -fvisibility=hidden -I../../include -o libvector.so vector.cpp
// tritbench compare --kernel-library ./libvector.so
//
// A kernel with AVX2 intrinsics: 4 codes a byte. In a gemv four rows share each load of activations, in a gemm four
// tokens share each unpacked row. A code is its weight + 1, so a product is sum(code * x) - sum(x).
#include "tritbench.h"

#include <cstring>
#include <immintrin.h>

namespace {
// A block of a row: byte i holds codes i, i + 32, i + 64 and i + 96 of 128, lowest bits first.
constexpr uint64_t BLOCK_K = 128, BLOCK_BYTES = 32;
// maddubs adds two products of up to 3 * 128, and a block makes four: 8 blocks reach 24,576 of an int16's 32,767.
constexpr uint64_t BLOCKS_IN_I16 = 8;
uint64_t blocks(uint64_t k) { return (k + BLOCK_K - 1) / BLOCK_K; }

int32_t packed_bytes(void *, const tb_shape *shape, uint64_t *bytes) {
    *bytes = shape->rows * blocks(shape->k) * BLOCK_BYTES;
    return TB_OK;
}
int32_t pack(void *, const tb_shape *shape, const tb_weights *weights, void *packed) {
    const uint8_t *code = weights->codes;
    auto *row = static_cast<uint8_t *>(packed);
    for (uint64_t r = 0; r < shape->rows; r++, row += blocks(shape->k) * BLOCK_BYTES)
        for (uint64_t j = 0; j < shape->k; j++)
            row[j / BLOCK_K * BLOCK_BYTES + j % 32] |= static_cast<uint8_t>(*code++ << (j % BLOCK_K / 32 * 2));
    return TB_OK;
}

// A prepared token: the activations up to whole blocks, zeros behind the last, and their sum.
int32_t prepared_bytes(void *, uint64_t k, uint64_t *bytes) {
    *bytes = blocks(k) * BLOCK_K + sizeof(int32_t);
    return TB_OK;
}
int32_t prepare(void *, uint64_t k, const tb_activations *x, void *prepared) {
    std::memcpy(prepared, x->i8, blocks(k) * BLOCK_K);
    std::memcpy(static_cast<char *>(prepared) + blocks(k) * BLOCK_K, &x->sum, sizeof x->sum);
    return TB_OK;
}

__m256i load(const void *from) { return _mm256_loadu_si256(static_cast<const __m256i *>(from)); }
int32_t sum_of_lanes(__m256i v) {
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
}

// Products of ROWS rows with TOKENS tokens. Sums of 16 bits are widened after BLOCKS_IN_I16 blocks.
template <int ROWS, int TOKENS>
void tile(const uint8_t *rows, const int8_t *x, uint64_t x_stride, uint64_t k, int32_t *y, uint64_t y_stride) {
    const __m256i low = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1);
    const uint64_t count = blocks(k);
    __m256i sums[ROWS][TOKENS] = {};
    for (uint64_t b = 0; b < count;) {
        __m256i narrow[ROWS][TOKENS] = {};
        for (const uint64_t end = b + BLOCKS_IN_I16 < count ? b + BLOCKS_IN_I16 : count; b < end; b++)
            for (int plane = 0; plane < 4; plane++) {
                __m256i codes[ROWS];
                for (int r = 0; r < ROWS; r++) {
                    const __m256i four = load(rows + (r * count + b) * BLOCK_BYTES);
                    codes[r] = _mm256_and_si256(_mm256_srli_epi16(four, 2 * plane), low);
                }
                for (int t = 0; t < TOKENS; t++) {
                    const __m256i values = load(x + t * x_stride + b * BLOCK_K + plane * 32);
                    for (int r = 0; r < ROWS; r++)
                        narrow[r][t] = _mm256_add_epi16(narrow[r][t], _mm256_maddubs_epi16(codes[r], values));
                }
            }
        for (int r = 0; r < ROWS; r++)
            for (int t = 0; t < TOKENS; t++)
                sums[r][t] = _mm256_add_epi32(sums[r][t], _mm256_madd_epi16(narrow[r][t], ones));
    }
    for (int t = 0; t < TOKENS; t++) {
        int32_t x_sum;
        std::memcpy(&x_sum, x + t * x_stride + count * BLOCK_K, sizeof x_sum);
        for (int r = 0; r < ROWS; r++) y[t * y_stride + r] = sum_of_lanes(sums[r][t]) - x_sum;
    }
}

// All rows of a range with TOKENS tokens, whose activations stay in the L1 cache meanwhile.
template <int ROWS, int TOKENS>
void range(uint64_t k, const uint8_t *row, uint64_t rows, const int8_t *x, uint64_t x_stride, int32_t *y,
           uint64_t y_stride) {
    for (; rows >= ROWS; rows -= ROWS, row += ROWS * blocks(k) * BLOCK_BYTES, y += ROWS)
        tile<ROWS, TOKENS>(row, x, x_stride, k, y, y_stride);
    for (; rows > 0; rows--, row += blocks(k) * BLOCK_BYTES, y++) tile<1, TOKENS>(row, x, x_stride, k, y, y_stride);
}

int32_t gemm(void *, const tb_shape *shape, const void *packed, const void *prepared, uint64_t x_stride,
             uint64_t tokens, uint64_t row_begin, uint64_t row_end, void *y, uint64_t y_stride) {
    const uint64_t k = shape->k, rows = row_end - row_begin;
    const auto *row = static_cast<const uint8_t *>(packed) + row_begin * blocks(k) * BLOCK_BYTES;
    const auto *x = static_cast<const int8_t *>(prepared);
    auto *to = static_cast<int32_t *>(y);
    for (; tokens >= 4; tokens -= 4, x += 4 * x_stride, to += 4 * y_stride)
        range<1, 4>(k, row, rows, x, x_stride, to, y_stride);
    for (; tokens > 0; tokens--, x += x_stride, to += y_stride) range<4, 1>(k, row, rows, x, x_stride, to, y_stride);
    return TB_OK;
}
int32_t gemv(void *, const tb_shape *shape, const void *packed, const void *prepared, uint64_t row_begin,
             uint64_t row_end, void *y) {
    return gemm(nullptr, shape, packed, prepared, 0, 1, row_begin, row_end, y, 0);
}

// A constant, so that no code runs here before tritbench has asked for requires_cpu.
constexpr tb_kernel describe() {
    tb_kernel it = {};
    it.struct_size = sizeof it, it.flags = TB_THREAD_SAFE;
    it.id = "avx2-vector", it.isa = it.requires_cpu = "avx2";
    it.summary = "four codes a byte, vpmaddubsw, in C++";
    it.compiler = "c++ " __VERSION__ " -O3 -mavx2";
    it.family = TB_W2A8, it.output = TB_I32, it.max_code = 3;
    it.rows_multiple = it.k_multiple = 1, it.packed_align = 64, it.max_k = 1u << 22;
    it.packed_bytes = packed_bytes, it.pack = pack, it.prepared_bytes = prepared_bytes, it.prepare = prepare;
    it.gemv = gemv, it.gemm = gemm;
    return it;
}
constexpr tb_kernel KERNEL = describe();
constexpr const tb_kernel *KERNELS[] = {&KERNEL};
} // namespace

const tb_kernel *const *tb_kernels(uint32_t host_abi, uint32_t *count) {
    *count = 1;
    return host_abi == TB_ABI ? KERNELS : nullptr;
}
