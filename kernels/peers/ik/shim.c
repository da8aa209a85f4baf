/* IQ2_BN and IQ2_BN_R4 of ik_llama.cpp behind tritbench.h. build.sh compiles it against a built ik_llama.cpp.
 *
 * A row is a float scale and k / 4 bytes. In IQ2_BN, byte 16 b + i has in bits 2 n and 2 n + 1 weight 64 b + 16 n + i.
 * In IQ2_BN_R4, four rows lie together: four scales, then in blocks of 64 bytes, byte 16 l + 4 r + i of block b has in
 * bits 2 n and 2 n + 1 weight 64 b + 16 l + 4 n + i of row r.
 */
#include "tritbench.h"

#include "ggml.h"
#include "iqk_mul_mat.h"

#include <stdbool.h>
#include <string.h>

/* Not in its C headers as C: iqk_cpu_ops.h is C++. True if the library was compiled for AVX-512 F, BW, DQ, VL, VNNI. */
bool iqk_has_fancy_simd(void);

/* iqk_mul_mat returns false for another k. */
#define K_MULTIPLE 64

/* It aborts for 32 rows or more of IQ2_BN_R4 that are no multiple of this, and its handler for that starts a debugger.
 * Four rows lie together, but the 512-bit loops of its gemm take eight: tb_kernels asks which it has. */
static uint32_t rows_r4 = 8;

/* Products of k codes up to 2 and int8 stay integers of float: 2 * 128 * k <= 2^24. */
#define MAX_K 65536u

static size_t row_bytes(uint64_t k) {
    return sizeof(float) + k / 4;
}

static int32_t packed_bytes(void *plan, const tb_shape *shape, uint64_t *bytes) {
    (void)plan;
    *bytes = shape->rows * row_bytes(shape->k);
    return TB_OK;
}

static int32_t pack(void *plan, const tb_shape *shape, const tb_weights *weights, void *packed) {
    (void)plan;
    if (shape->k % K_MULTIPLE)
        return TB_SHAPE;
    for (uint64_t r = 0; r < shape->rows; r++) {
        const uint8_t *codes = weights->codes + r * shape->k;
        char *row = (char *)packed + r * row_bytes(shape->k);
        memcpy(row, &weights->scales[r], sizeof(float));
        uint8_t *bytes = (uint8_t *)row + sizeof(float);
        for (uint64_t j = 0; j < shape->k; j++) {
            if (codes[j] > 2)
                return TB_CODE;
            bytes[j / 64 * 16 + j % 16] |= (uint8_t)(codes[j] << 2 * (j % 64 / 16));
        }
    }
    return TB_OK;
}

static int32_t pack_r4(void *plan, const tb_shape *shape, const tb_weights *weights, void *packed) {
    (void)plan;
    if (shape->k % K_MULTIPLE || shape->rows % rows_r4)
        return TB_SHAPE;
    for (uint64_t r = 0; r < shape->rows; r++) {
        const uint8_t *codes = weights->codes + r * shape->k;
        char *four = (char *)packed + r / 4 * 4 * row_bytes(shape->k);
        memcpy(four + r % 4 * sizeof(float), &weights->scales[r], sizeof(float));
        uint8_t *bytes = (uint8_t *)four + 4 * sizeof(float);
        for (uint64_t j = 0; j < shape->k; j++) {
            if (codes[j] > 2)
                return TB_CODE;
            uint64_t byte = j / 64 * 64 + j % 64 / 16 * 16 + r % 4 * 4 + j % 4;
            bytes[byte] |= (uint8_t)(codes[j] << 2 * (j % 16 / 4));
        }
    }
    return TB_OK;
}

/* Q8_K64: scales of four interleaved parts of the token (which part: j / 4 % 4), for each part scale * sum, then the
 * int8. Its own quantiser finds a scale a part; here each has the token's. The kernel adds the four parts up, so that
 * the whole sum stands for one part and zeros for the others. */
static int32_t bytes_k64(void *plan, uint64_t k, uint64_t *bytes) {
    (void)plan;
    *bytes = 8 * sizeof(float) + k;
    return TB_OK;
}

static int32_t prepare_k64(void *plan, uint64_t k, const tb_activations *x, void *prepared) {
    (void)plan;
    const float d = x->scales[0];
    const float head[8] = {d, d, d, d, d * (float)x->sum};
    memcpy(prepared, head, sizeof head);
    memcpy((char *)prepared + sizeof head, x->i8, k);
    return TB_OK;
}

/* Q8_K16: scales of four parts (j / 16 % 4), one sum of the token with the scales applied, then the int8. */
static int32_t bytes_k16(void *plan, uint64_t k, uint64_t *bytes) {
    (void)plan;
    *bytes = 5 * sizeof(float) + k;
    return TB_OK;
}

static int32_t prepare_k16(void *plan, uint64_t k, const tb_activations *x, void *prepared) {
    (void)plan;
    const float d = x->scales[0];
    const float head[5] = {d, d, d, d, d * (float)x->sum};
    memcpy(prepared, head, sizeof head);
    memcpy((char *)prepared + sizeof head, x->i8, k);
    return TB_OK;
}

/* Thread 0 of 1: rows are shared out by tritbench. */
static int32_t product(int weights, int activations, const tb_shape *shape, const void *packed, const void *prepared,
                       uint64_t stride, uint64_t tokens, uint64_t begin, uint64_t end, void *y, uint64_t y_stride) {
    const size_t row = row_bytes(shape->k);
    bool done = iqk_mul_mat((long)(end - begin), (long)tokens, (long)shape->k, weights,
                            (const char *)packed + begin * row, (long)row, activations, prepared, (long)stride, y,
                            (long)y_stride, 0, 1);
    return done ? TB_OK : TB_SHAPE;
}

static int32_t gemm(void *plan, const tb_shape *shape, const void *packed, const void *prepared, uint64_t stride,
                    uint64_t tokens, uint64_t begin, uint64_t end, void *y, uint64_t y_stride) {
    (void)plan;
    return product(GGML_TYPE_IQ2_BN, GGML_TYPE_Q8_K64, shape, packed, prepared, stride, tokens, begin, end, y,
                   y_stride);
}

static int32_t gemv(void *plan, const tb_shape *shape, const void *packed, const void *prepared, uint64_t begin,
                    uint64_t end, void *y) {
    return gemm(plan, shape, packed, prepared, 0, 1, begin, end, y, 0);
}

static int32_t gemm_r4(void *plan, const tb_shape *shape, const void *packed, const void *prepared, uint64_t stride,
                       uint64_t tokens, uint64_t begin, uint64_t end, void *y, uint64_t y_stride) {
    (void)plan;
    if (begin % rows_r4 || end % rows_r4)
        return TB_SHAPE;
    return product(GGML_TYPE_IQ2_BN_R4, GGML_TYPE_Q8_K16, shape, packed, prepared, stride, tokens, begin, end, y,
                   y_stride);
}

static int32_t gemv_r4(void *plan, const tb_shape *shape, const void *packed, const void *prepared, uint64_t begin,
                       uint64_t end, void *y) {
    return gemm_r4(plan, shape, packed, prepared, 0, 1, begin, end, y, 0);
}

static char requires_cpu[128];

#define COMMON                                                                                                         \
    .struct_size = sizeof(tb_kernel), .flags = TB_THREAD_SAFE, .requires_cpu = requires_cpu, .origin = IK_ORIGIN,      \
    .compiler = IK_COMPILER, .family = TB_W2A8, .output = TB_F32, .weight_group = TB_ROW, .act_group = TB_TENSOR,      \
    .max_code = 2, .k_multiple = K_MULTIPLE, .packed_align = 64, .max_k = MAX_K, .packed_bytes = packed_bytes

static tb_kernel iq2_bn = {
    COMMON,
    .id = "ik-iq2_bn",
    .summary = "IQ2_BN by Q8_K64: 64 weights in 16 bytes, row by row",
    .rows_multiple = 1,
    .pack = pack,
    .prepared_bytes = bytes_k64,
    .prepare = prepare_k64,
    .gemv = gemv,
    .gemm = gemm,
};

static tb_kernel iq2_bn_r4 = {
    COMMON,
    .id = "ik-iq2_bn_r4",
    .builds_on = "ik-iq2_bn",
    .summary = "IQ2_BN_R4 by Q8_K16: four rows interleaved; a single token takes the AVX2 loop even where VNNI is",
    .pack = pack_r4,
    .prepared_bytes = bytes_k16,
    .prepare = prepare_k16,
    .gemv = gemv_r4,
    .gemm = gemm_r4,
};

/* The library tells what it was compiled for, not what this CPU has: just what is wanted here. */
static void list_features(void) {
    const struct {
        bool has;
        const char *names;
    } features[] = {
        {ggml_cpu_has_avx2(), ",avx2"}, /* with FMA and F16C, as in --cpu-features */
        {ggml_cpu_has_avx_vnni(), ",avxvnni"},
        {ggml_cpu_has_avx512(), ",avx512f"},
        {iqk_has_fancy_simd(), ",avx512bw,avx512dq,avx512vl"},
        {ggml_cpu_has_avx512_vnni(), ",avx512vnni"},
        {ggml_cpu_has_avx512_vbmi(), ",avx512vbmi"},
    };
    char list[sizeof requires_cpu + 1] = "";
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++)
        if (features[i].has)
            strcat(list, features[i].names);
    strcpy(requires_cpu, list[0] ? list + 1 : "none");
}

TB_EXPORT const tb_kernel *const *tb_kernels(uint32_t host_abi, uint32_t *count) {
    static const tb_kernel *const kernels[] = {&iq2_bn, &iq2_bn_r4};
    if (host_abi != TB_ABI)
        return NULL;
    list_features();
    iq2_bn.isa = iq2_bn_r4.isa = iqk_has_fancy_simd() ? "avx512-vnni" : "avx2";
    iq2_bn_r4.rows_multiple = rows_r4 = iqk_has_fancy_simd() ? 8 : 4;
    *count = 2;
    return kernels;
}
