/* cc -std=c11 -O3 -fPIC -shared -fvisibility=hidden -I../../include -o libplain.so plain.c
 * tritbench verify --kernel-library ./libplain.so
 *
 * A complete kernel in plain C, to start from: 4 codes a byte. A code is its weight + 1, so the product is
 * sum(code * x) - sum(x). No overflow: |sum(code * x)| <= 3 * 128 * k, below 2^31 for k up to max_k. */
#include "tritbench.h"
#include <string.h>

/* Bytes of a row: byte i of it holds columns i, i + n, i + 2n and i + 3n, so that neighbours read neighbours. */
static uint64_t row_bytes(uint64_t k) { return (k + 3) / 4; }
static int32_t packed_bytes(void *plan, const tb_shape *shape, uint64_t *bytes) {
    *bytes = shape->rows * row_bytes(shape->k);
    return TB_OK;
}
static int32_t pack(void *plan, const tb_shape *shape, const tb_weights *weights, void *packed) {
    const uint64_t n = row_bytes(shape->k);
    for (uint64_t r = 0; r < shape->rows; r++)
        for (uint64_t j = 0; j < shape->k; j++)
            ((uint8_t *)packed)[r * n + j % n] |= (uint8_t)(weights->codes[r * shape->k + j] << (2 * (j / n)));
    return TB_OK;
}
/* A prepared token: 4n activations, with some of the zeros that lie behind the last, and their sum. */
static int32_t prepared_bytes(void *plan, uint64_t k, uint64_t *bytes) {
    *bytes = 4 * row_bytes(k) + sizeof(int32_t);
    return TB_OK;
}
static int32_t prepare(void *plan, uint64_t k, const tb_activations *x, void *prepared) {
    memcpy(prepared, x->i8, 4 * row_bytes(k));
    memcpy((char *)prepared + 4 * row_bytes(k), &x->sum, sizeof x->sum);
    return TB_OK;
}
static int32_t gemv(void *plan, const tb_shape *shape, const void *packed, const void *prepared, uint64_t row_begin,
                    uint64_t row_end, void *y) {
    const uint64_t n = row_bytes(shape->k);
    const int8_t *x = prepared;
    for (uint64_t r = row_begin; r < row_end; r++) {
        const uint8_t *row = (const uint8_t *)packed + r * n;
        int32_t sum = 0;
        for (uint64_t i = 0; i < n; i++)
            sum += (row[i] & 3) * x[i] + (row[i] >> 2 & 3) * x[i + n] + (row[i] >> 4 & 3) * x[i + 2 * n]
                 + (row[i] >> 6) * x[i + 3 * n];
        ((int32_t *)y)[r - row_begin] = sum - *(const int32_t *)(x + 4 * n);
    }
    return TB_OK;
}
static int32_t gemm(void *plan, const tb_shape *shape, const void *packed, const void *prepared, uint64_t stride,
                    uint64_t tokens, uint64_t row_begin, uint64_t row_end, void *y, uint64_t y_stride) {
    const char *x = prepared;
    for (uint64_t t = 0; t < tokens; t++, x += stride)
        gemv(plan, shape, packed, x, row_begin, row_end, (int32_t *)y + t * y_stride);
    return TB_OK;
}
static const tb_kernel kernel = {
    .struct_size = sizeof(tb_kernel), .flags = TB_THREAD_SAFE, .id = "plain-c", .isa = "scalar",
    .requires_cpu = "none", .summary = "four codes a byte, in plain C", .compiler = "cc " __VERSION__ " -O3",
    .family = TB_W2A8, .output = TB_I32, .max_code = 3, .rows_multiple = 1, .k_multiple = 1, .packed_align = 1,
    .max_k = 1u << 22, .packed_bytes = packed_bytes, .pack = pack, .prepared_bytes = prepared_bytes,
    .prepare = prepare, .gemv = gemv, .gemm = gemm};
static const tb_kernel *const kernels[] = {&kernel};
const tb_kernel *const *tb_kernels(uint32_t abi, uint32_t *count) { return *count = 1, abi == TB_ABI ? kernels : 0; }
