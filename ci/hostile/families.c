/* Right kernels of the other kinds that tritbench.h allows, and what goes wrong with their scales and strides. Packed
 * are codes and then scales, prepared are activations as f32 and then scales. */
#include "right.h"
#include <math.h>

static tb_kernel kernel;

static uint64_t scales_of(uint32_t group, uint64_t rows, uint64_t k) {
    return group == TB_TENSOR ? 1 : group == TB_ROW ? rows : rows * ((k + group - 1) / group);
}
static uint64_t scale_at(uint32_t group, uint64_t r, uint64_t j, uint64_t k) {
    return group == TB_TENSOR ? 0 : group == TB_ROW ? r : r * ((k + group - 1) / group) + j / group;
}
static uint64_t aligned(uint64_t bytes) { return (bytes + 3) / 4 * 4; }
static int32_t refuses(const tb_shape *s) { return s->rows % kernel.rows_multiple || s->k % kernel.k_multiple; }

static int32_t packed_bytes(void *plan, const tb_shape *s, uint64_t *bytes) {
    *bytes = aligned(s->rows * s->k) + 4 * scales_of(kernel.weight_group, s->rows, s->k);
    return refuses(s) ? TB_SHAPE : TB_OK;
}
static int32_t pack(void *plan, const tb_shape *s, const tb_weights *w, void *packed) {
    for (uint64_t i = 0; i < s->rows * s->k; i++) {
        if (w->codes[i] > kernel.max_code) return TB_CODE;
        ((uint8_t *)packed)[i] = w->codes[i];
    }
    memcpy((char *)packed + aligned(s->rows * s->k), w->scales, 4 * scales_of(kernel.weight_group, s->rows, s->k));
    return TB_OK;
}
static int32_t prepared_bytes(void *plan, uint64_t k, uint64_t *bytes) {
    *bytes = 4 * k + 4 * scales_of(kernel.act_group, 1, k);
    return TB_OK;
}
static int32_t prepare(void *plan, uint64_t k, const tb_activations *x, void *prepared) {
    float *to = prepared;
    for (uint64_t j = 0; j < k; j++) to[j] = kernel.family == TB_W2A8 ? x->i8[j] : x->f32[j];
    for (uint64_t i = 0; i < scales_of(kernel.act_group, 1, k); i++)
        to[k + i] = kernel.family == TB_W2A8 ? x->scales[i] : 1;
    return TB_OK;
}
static int32_t gemv(void *plan, const tb_shape *s, const void *packed, const void *prepared, uint64_t begin,
                    uint64_t end, void *y) {
    const float *x = prepared, *scales = (const float *)((const char *)packed + aligned(s->rows * s->k));
    if (begin % kernel.rows_multiple || end % kernel.rows_multiple || refuses(s)) return TB_SHAPE;
    for (uint64_t r = begin; r < end; r++) {
        double sum = 0;
        for (uint64_t j = 0; j < s->k; j++) {
            double of = (double)x[j] * (((const uint8_t *)packed)[r * s->k + j] - 1);
            const int is_scaled = kernel.output == TB_F32;
            if (is_scaled && !IS(weight_scales_ignored)) of *= scales[scale_at(kernel.weight_group, r, j, s->k)];
            if (is_scaled && !IS(act_scales_ignored)) of *= x[s->k + scale_at(kernel.act_group, 0, j, s->k)];
            sum += of;
        }
        if ((IS(nan) || IS(infinite)) && r + 1 == s->rows) sum = IS(nan) ? NAN : INFINITY;
        if (kernel.output == TB_F32) ((float *)y)[r - begin] = (float)sum;
        else ((int32_t *)y)[r - begin] = (int32_t)sum;
    }
    return TB_OK;
}
static int32_t gemm(void *plan, const tb_shape *s, const void *packed, const void *prepared, uint64_t stride,
                    uint64_t tokens, uint64_t begin, uint64_t end, void *y, uint64_t y_stride) {
    uint64_t bytes;
    prepared_bytes(plan, s->k, &bytes);
    if (kernel.max_tokens && tokens > kernel.max_tokens) return TB_SHAPE;
    if (IS(tight) && (stride != bytes || y_stride != end - begin)) return TB_INTERNAL;
    if (IS(strides_not_tight)) stride = bytes, y_stride = end - begin;
    for (uint64_t t = 0; t < tokens; t++) {
        const void *x = (const char *)prepared + t * stride;
        const int32_t result = gemv(plan, s, packed, x, begin, end, (int32_t *)y + t * y_stride);
        if (result != TB_OK) return result;
    }
    return TB_OK;
}

const tb_kernel *const *tb_kernels(uint32_t host_abi, uint32_t *count) {
    static const tb_kernel *const kernels[] = {&kernel};
    kernel = right_kernel();
    kernel.packed_align = 4;
    kernel.packed_bytes = packed_bytes, kernel.pack = pack;
    kernel.prepared_bytes = prepared_bytes, kernel.prepare = prepare;
    kernel.gemv = gemv, kernel.gemm = gemm;
    if (IS(floats) || IS(nan) || IS(infinite)) kernel.family = TB_W2A32, kernel.output = TB_F32, kernel.gemm = NULL;
    if (IS(floats) || IS(rows_scaled)) kernel.output = TB_F32, kernel.weight_group = TB_ROW;
    if (IS(groups) || IS(weight_scales_ignored) || IS(act_scales_ignored))
        kernel.output = TB_F32, kernel.weight_group = 64, kernel.act_group = 32;
    if (IS(tight)) kernel.prepared_stride = kernel.y_stride = TB_STRIDE_TIGHT, kernel.max_tokens = 64;
    if (IS(multiples)) kernel.rows_multiple = 12, kernel.k_multiple = 96, kernel.packed_align = 4096;
    if (IS(code_3)) kernel.max_code = 3;
    if (IS(one_thread)) kernel.flags = 0;
    *count = 1;
    return host_abi == TB_ABI ? kernels : 0;
}
