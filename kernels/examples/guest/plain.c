/* cc -std=c11 -O3 -march=native -fPIC -shared -fvisibility=hidden -I../../include -o libplain.so plain.c
 * tritbench compare --kernel-library ./libplain.so
 * A whole kernel: a byte a weight, -1 0 +1, and the compiler's own vectors. Start from here. */
#include "tritbench.h"

static int32_t packed_bytes(void *plan, const tb_shape *shape, uint64_t *bytes) {
    (void)plan;
    *bytes = shape->rows * shape->k;
    return TB_OK;
}

static int32_t pack(void *plan, const tb_shape *shape, const tb_weights *weights, void *packed) {
    (void)plan;
    for (uint64_t i = 0; i < shape->rows * shape->k; i++) ((int8_t *)packed)[i] = (int8_t)(weights->codes[i] - 1);
    return TB_OK;
}

static int32_t prepared_bytes(void *plan, uint64_t k, uint64_t *bytes) {
    (void)plan;
    *bytes = k;
    return TB_OK;
}

static int32_t prepare(void *plan, uint64_t k, const tb_activations *x, void *prepared) {
    (void)plan;
    for (uint64_t j = 0; j < k; j++) ((int8_t *)prepared)[j] = x->i8[j];
    return TB_OK;
}

static int32_t gemv(void *plan, const tb_shape *shape, const void *packed, const void *prepared, uint64_t begin,
                    uint64_t end, void *y) {
    (void)plan;
    const int8_t *x = prepared;
    for (uint64_t r = begin; r < end; r++) {
        const int8_t *row = (const int8_t *)packed + r * shape->k;
        int32_t sum = 0;
        for (uint64_t j = 0; j < shape->k; j++) sum += row[j] * x[j];
        ((int32_t *)y)[r - begin] = sum;
    }
    return TB_OK;
}

static const tb_kernel plain = {
    .struct_size = sizeof(tb_kernel), .flags = TB_THREAD_SAFE, .id = "plain-c", .isa = "scalar",
    .requires_cpu = "none", .summary = "A byte a weight, in plain C", .origin = "tritbench's example, MIT OR Apache-2.0",
    .compiler = __VERSION__, .family = TB_W2A8, .output = TB_I32, .weight_group = TB_TENSOR, .act_group = TB_TENSOR,
    .max_code = 2, .rows_multiple = 1, .k_multiple = 1, .packed_align = 1, .packed_bytes = packed_bytes, .pack = pack,
    .prepared_bytes = prepared_bytes, .prepare = prepare, .gemv = gemv};

const tb_kernel *const *tb_kernels(uint32_t host_abi, uint32_t *count) {
    static const tb_kernel *const all[] = {&plain};
    *count = 1;
    return host_abi == TB_ABI ? all : 0;
}
