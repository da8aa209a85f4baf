/* A right kernel, one byte a weight, that the libraries of this folder spoil in one place each.
 * -DFAULT=name says where. */
#define _GNU_SOURCE
#include "tritbench.h"
#include <string.h>

#define TEXT_OF(word) #word
#define TEXT(word) TEXT_OF(word)
#define IS(name) (__builtin_strcmp(TEXT(FAULT), #name) == 0)

static int32_t right_packed_bytes(void *plan, const tb_shape *s, uint64_t *bytes) {
    *bytes = s->rows * s->k;
    return TB_OK;
}

static int32_t right_pack(void *plan, const tb_shape *s, const tb_weights *w, void *packed) {
    for (uint64_t i = 0; i < s->rows * s->k; i++) ((int8_t *)packed)[i] = (int8_t)(w->codes[i] - 1);
    return TB_OK;
}

static int32_t right_prepared_bytes(void *plan, uint64_t k, uint64_t *bytes) {
    *bytes = k;
    return TB_OK;
}

static int32_t right_prepare(void *plan, uint64_t k, const tb_activations *x, void *prepared) {
    memcpy(prepared, x->i8, k);
    return TB_OK;
}

static int32_t right_gemv(void *plan, const tb_shape *s, const void *packed, const void *prepared, uint64_t begin,
                          uint64_t end, void *y) {
    const int8_t *x = prepared;
    for (uint64_t r = begin; r < end; r++) {
        const int8_t *row = (const int8_t *)packed + r * s->k;
        int32_t sum = 0;
        for (uint64_t j = 0; j < s->k; j++) sum += row[j] * x[j];
        ((int32_t *)y)[r - begin] = sum;
    }
    return TB_OK;
}

static int32_t right_gemm(void *plan, const tb_shape *s, const void *packed, const void *prepared, uint64_t stride,
                          uint64_t tokens, uint64_t begin, uint64_t end, void *y, uint64_t y_stride) {
    for (uint64_t t = 0; t < tokens; t++)
        right_gemv(plan, s, packed, (const char *)prepared + t * stride, begin, end, (int32_t *)y + t * y_stride);
    return TB_OK;
}

static tb_kernel right_kernel(void) {
    return (tb_kernel){
        .struct_size = sizeof(tb_kernel), .flags = TB_THREAD_SAFE, .id = "hostile", .isa = "scalar",
        .requires_cpu = "none", .summary = "a right kernel but for " TEXT(FAULT), .compiler = "cc " __VERSION__,
        .family = TB_W2A8, .output = TB_I32, .max_code = 2, .rows_multiple = 1, .k_multiple = 1, .packed_align = 1,
        .packed_bytes = right_packed_bytes, .pack = right_pack, .prepared_bytes = right_prepared_bytes,
        .prepare = right_prepare, .gemv = right_gemv, .gemm = right_gemm};
}
