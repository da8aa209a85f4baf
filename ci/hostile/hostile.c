/* A right kernel with one fault, chosen by -DFAULT=name: what a library may do wrong, and what must become of it is in
 * expected.txt. ci/foreign.sh compiles this file once for each. */
#define _GNU_SOURCE
#include "tritbench.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef __x86_64__
#include <xmmintrin.h>
#endif

/* One number for each fault. */
enum fault {
    none, crash, crash_loading, exit_0, exit_7_in_pack, abort_in_prepare, hang, hang_loading, past_y, before_y,
    past_prepared, past_packed, read_past_packed, writes_weights, leak, handler, prints, prints_loading, forks,
    forks_twice, sleeps, one_bit, one_bit_of_minus_128, last_row, by_pointer, by_content, by_clock, first_rows,
    gemm_64, gemm_wrong_65, refuses_2560, gives_99, in_prepare, rounding, runs_ahead, stride_ignored, closes_twice,
    timed_out_of_bounds,
    /* of the description */
    no_abi, no_kernels, null_kernel, small_struct, no_id, long_id, line_id, binary_id, own_id, same_id, bad_cpu,
    lacks_cpu, family_9, output_9, ints_of_floats, group_7, act_group_7, code_5, rows_0, k_0, align_3, align_8192,
    no_gemv, no_prepare, no_pack, pack_and_layout, layout_unknown, open_alone, fat_packed, fat_prepared, flags_8
};

static long calls;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

__attribute__((constructor)) static void begin(void) {
    if (FAULT == crash_loading) *(volatile char *)8 = 1;
    if (FAULT == hang_loading) for (;;) sleep(1);
    if (FAULT == prints_loading) puts("hello from the library");
}

static int32_t packed_bytes(void *plan, const tb_shape *s, uint64_t *bytes) {
    (void)plan;
    *bytes = s->rows * s->k;
    if (FAULT == fat_packed) *bytes = s->rows * s->k * 17 + 70000;
    return TB_OK;
}

static int32_t pack(void *plan, const tb_shape *s, const tb_weights *w, void *packed) {
    (void)plan;
    for (uint64_t i = 0; i < s->rows * s->k; i++) ((int8_t *)packed)[i] = (int8_t)(w->codes[i] - 1);
    if (FAULT == past_packed) ((int8_t *)packed)[s->rows * s->k] = 1;
    if (FAULT == exit_7_in_pack) _exit(7);
    return TB_OK;
}

static int32_t prepared_bytes(void *plan, uint64_t k, uint64_t *bytes) {
    (void)plan;
    *bytes = FAULT == in_prepare ? k + 8 : k;
    if (FAULT == fat_prepared) *bytes = k * 65 + 70000;
    return TB_OK;
}

static int32_t prepare(void *plan, uint64_t k, const tb_activations *x, void *prepared) {
    (void)plan;
    memcpy(prepared, x->i8, k);
    if (FAULT == past_prepared) ((int8_t *)prepared)[k] = 1;
    if (FAULT == abort_in_prepare) abort();
    if (FAULT == in_prepare) memcpy((char *)prepared + k, &x, sizeof x);
    return TB_OK;
}

static void rows_of(const int8_t *packed, const int8_t *x, uint64_t k, uint64_t begin, uint64_t end, int32_t *y) {
    for (uint64_t r = begin; r < end; r++) {
        int32_t sum = 0;
        for (uint64_t j = 0; j < k; j++) sum += packed[r * k + j] * x[j];
        y[r - begin] = sum;
    }
}

static void on_signal(int number) { (void)number; }

static int32_t gemv(void *plan, const tb_shape *s, const void *packed, const void *prepared, uint64_t begin,
                    uint64_t end, void *out) {
    (void)plan;
    const uint64_t rows = end - begin, k = s->k;
    const int8_t *x = prepared;
    int32_t *y = out;
    static const void *seen[64];
    static int32_t results[64][640];
    static int at;
    static int32_t last_y[8192];
    static int8_t last_values[8192];
    static int64_t last_time;
    /* A shape that the suite does not have, and more calls than a check makes. */
    const int timed = s->rows == 640 && k == 512 && calls > 50;
    calls++;
    switch (FAULT) {
    case crash: *(volatile int *)0 = 1; break;
    case exit_0: exit(0);
    case hang: for (;;) sleep(1);
    case leak: if (open("/dev/null", O_RDONLY) < 0) return TB_INTERNAL; break;
    case handler: signal(SIGSEGV, on_signal); break;
    case prints: puts("working hard"); break;
    case forks: if (fork() == 0) { for (;;) sleep(1); } break;
    case forks_twice: if (fork() == 0) { if (fork() == 0) for (;;) sleep(1); _exit(0); } break;
    case sleeps: usleep(200); break;
    case refuses_2560: if (k == 2560) return TB_SHAPE; break;
    case gives_99: return 99;
    case read_past_packed: *(volatile int32_t *)y = ((const int8_t *)packed)[s->rows * k]; break;
    case by_pointer: /* the same place, so the same activations: right until they are made anew */
        for (int i = 0; timed && i < 64; i++)
            if (seen[i] == prepared) { memcpy(y, results[i], rows * 4); return TB_OK; }
        break;
    case by_content: /* right: the same input has the same result. It never comes, so this is only slow */
        if (timed && !memcmp(last_values, x, k)) { memcpy(y, last_y, rows * 4); return TB_OK; }
        if (k <= 8192) memcpy(last_values, x, k);
        break;
    case by_clock: /* honest while nobody hurries */
        if (timed && now_ns() - last_time < 1000000) { last_time = now_ns(); return TB_OK; }
        break;
    default: break;
    }
    if (FAULT == first_rows && timed && rows > 64) {
        rows_of(packed, x, k, begin, begin + 64, y);
        return TB_OK;
    }
    rows_of(packed, x, k, begin, FAULT == last_row && rows > 1 ? end - 1 : end, y);
    if (FAULT == one_bit && s->rows == 640 && k == 2560) y[rows / 2] ^= 1;
    if (FAULT == one_bit_of_minus_128 && x[0] == -128 && x[k - 1] == -128 && x[k / 2] == -128) y[0] ^= 1;
    if (FAULT == past_y) ((int8_t *)y)[rows * 4] = 1;
    if (FAULT == timed_out_of_bounds && timed) ((int8_t *)y)[rows * 4] ^= 1;
    if (FAULT == before_y) ((int8_t *)y)[-1] = 1;
    if (FAULT == writes_weights) ((int8_t *)(uintptr_t)packed)[0] ^= 1;
#ifdef __x86_64__
    if (FAULT == rounding) _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
    if (rows <= 8192) memcpy(last_y, y, rows * 4);
    if (FAULT == by_pointer && timed && rows == 640) {
        seen[at % 64] = prepared;
        memcpy(results[at++ % 64], y, rows * 4);
    }
    last_time = now_ns();
    return TB_OK;
}

static int32_t gemm(void *plan, const tb_shape *s, const void *packed, const void *prepared, uint64_t stride,
                    uint64_t tokens, uint64_t begin, uint64_t end, void *y, uint64_t y_stride) {
    if (FAULT == gemm_64 && tokens > 64) return TB_OK;
    if (FAULT == stride_ignored) y_stride = end - begin;
    for (uint64_t t = 0; t < tokens; t++) {
        int32_t *to = (int32_t *)y + t * y_stride;
        int32_t code = FAULT == gemm_64 || FAULT == gemm_wrong_65 || FAULT == stride_ignored
            ? (rows_of(packed, (const int8_t *)prepared + t * stride, s->k, begin, end, to), TB_OK)
            : gemv(plan, s, packed, (const char *)prepared + t * stride, begin, end, to);
        if (code != TB_OK) return code;
        if (FAULT == gemm_wrong_65 && t >= 64) to[0]++;
    }
    return TB_OK;
}

static int32_t open_plan(const tb_shape *s, void **plan) {
    (void)s;
    *plan = malloc(16);
    return *plan ? TB_OK : TB_MEMORY;
}

static void close_plan(void *plan) {
    free(plan);
    if (FAULT == closes_twice) free(plan);
}

#define F(name, good, bad) (FAULT == name ? (bad) : (good))

const tb_kernel *const *tb_kernels(uint32_t host_abi, uint32_t *count) {
    static tb_kernel k;
    static const tb_kernel *all[2] = {&k, &k};
    static char long_name[80];
    memset(long_name, 'x', 65);
    k = (tb_kernel){
        .struct_size = F(small_struct, sizeof k, 64), .flags = F(flags_8, TB_THREAD_SAFE, 8),
        .id = F(no_id, F(long_id, F(line_id, F(binary_id, F(own_id, "hostile", "avx2-i8"), "\xff\xfe"), "a\nb"),
                        long_name), ""),
        .isa = "scalar", .requires_cpu = F(bad_cpu, F(lacks_cpu, "none", LACKING), "avx9"),
        .summary = "A right kernel with one fault", .compiler = __VERSION__,
        .layout = F(layout_unknown, F(pack_and_layout, NULL, "tile8x16"), "tile9"),
        .family = F(family_9, F(ints_of_floats, TB_W2A8, TB_W2A32), 9), .output = F(output_9, TB_I32, 9),
        .weight_group = F(group_7, TB_TENSOR, 7), .act_group = F(act_group_7, TB_TENSOR, 7),
        .max_code = F(code_5, 2, 5), .rows_multiple = F(rows_0, 1, 0), .k_multiple = F(k_0, 1, 0),
        .packed_align = F(align_3, F(align_8192, 1, 8192), 3),
        .open = F(closes_twice, NULL, open_plan), .close = F(closes_twice, NULL, close_plan),
        .packed_bytes = F(layout_unknown, packed_bytes, NULL), .pack = F(no_pack, pack, NULL),
        .prepared_bytes = prepared_bytes, .prepare = F(no_prepare, prepare, NULL), .gemv = F(no_gemv, gemv, NULL),
        .gemm = gemm};
    if (FAULT == open_alone) k.open = open_plan;
    if (FAULT == layout_unknown) k.pack = NULL;
    if (FAULT == null_kernel) all[0] = NULL;
    *count = F(no_kernels, F(same_id, 1, 2), 0);
    return FAULT != no_abi && host_abi == TB_ABI ? all : NULL;
}
