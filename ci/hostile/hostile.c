/* What a library may do wrong while it is loaded, and in its functions. */
#include "right.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#ifdef __x86_64__
#include <xmmintrin.h>
#endif

/* From which call for that shape on gemv is at fault: ci/foreign.sh has 640x512 timed, or a model with such a matrix,
   and verify has neither. */
#ifndef AFTER
#define AFTER 0
#endif
#ifndef SHAPE
#define SHAPE 640, 512
#endif
static int is_timed(const tb_shape *s) {
    const uint64_t shape[2] = {SHAPE};
    return s->rows == shape[0] && s->k == shape[1];
}

static volatile int *volatile nowhere; /* volatile itself, or gcc drops a constructor that only crashes */
static volatile int once;

static void burn(void) { for (volatile int i = 0;; i++) {} }
static void on_signal(int number) {}
static void *asleep(void *of) { return sleep(300), of; }
static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}
static int too_deep(volatile char *above) {
    /* Far more than a page: the first touch beyond the end lies behind the page in which the program's runtime, by the
       depth at which it was called, would see an overflow and end by another signal. */
    volatile char here[1 << 20];
    here[0] = *above;
    return too_deep(here) + here[0];
}

__attribute__((constructor)) static void loaded(void) {
    if (IS(crash_loading)) *nowhere = 1;
    if (IS(exit_loading)) exit(0);
    if (IS(hang_loading)) for (;;) sleep(1);
    if (IS(prints_loading)) puts("hello from the library"), fflush(stdout);
}
__attribute__((destructor)) static void unloaded(void) {
    if (IS(crash_unloading)) *nowhere = 1;
}

/* in_prepare multiplies in prepare, which is allowed: a token holds x, where the weights were, and the results. */
struct plan { tb_shape shape; const void *packed; };
struct results { const void *packed; int32_t y[]; };
static struct results *behind(const void *x, uint64_t k) { return (struct results *)((char *)x + (k + 7) / 8 * 8); }

static int32_t open_plan(const tb_shape *s, void **plan) {
    if (IS(crash_in_open)) *nowhere = 1;
    struct plan *made = calloc(1, sizeof *made);
    if (!made) return TB_MEMORY;
    made->shape = *s;
    *plan = made;
    return TB_OK;
}

static void close_plan(void *plan) {
    if (IS(hang_in_close)) burn();
    free(plan);
    if (IS(closes_twice)) free(plan);
}

/* Results of earlier calls, by a key; rows is 0 in an empty slot. */
static struct { uint64_t key, rows; int32_t y[8192]; } earlier[128];

static int32_t packed_bytes(void *plan, const tb_shape *s, uint64_t *bytes) {
    if (IS(refuses_2560) && s->k == 2560) return TB_SHAPE;
    right_packed_bytes(plan, s, bytes);
    if (IS(fat_packed)) *bytes = 16 * s->rows * s->k + 65537;
    return TB_OK;
}

static int32_t pack(void *plan, const tb_shape *s, const tb_weights *w, void *packed) {
    if (IS(exit_7_in_pack)) _exit(7);
    if (IS(writes_codes)) ((uint8_t *)w->codes)[0] ^= 1;
    if (IS(past_packed)) ((int8_t *)packed)[s->rows * s->k] ^= 1;
    if (IS(in_prepare)) ((struct plan *)plan)->packed = packed;
    if (IS(by_content)) memset(earlier, 0, sizeof earlier);
    return right_pack(plan, s, w, packed);
}

static int32_t prepared_bytes(void *plan, uint64_t k, uint64_t *bytes) {
    *bytes = k;
    if (IS(fat_prepared)) *bytes = UINT64_C(1) << 40;
    if (IS(in_prepare)) *bytes = (k + 7) / 8 * 8 + sizeof(struct results) + 4 * ((struct plan *)plan)->shape.rows;
    return TB_OK;
}

static int32_t prepare(void *plan, uint64_t k, const tb_activations *x, void *prepared) {
    int8_t *to = prepared;
    if (IS(abort_in_prepare)) abort();
    if (IS(past_prepared)) to[k] ^= 1;
    if (IS(writes_activations)) ((int8_t *)x->i8)[0] ^= 1;
    if (IS(hang_in_prepare)) burn();
    right_prepare(plan, k, x, to);
    if (IS(in_prepare)) {
        const struct plan *of = plan;
        behind(to, k)->packed = of->packed;
        right_gemv(plan, &of->shape, of->packed, to, 0, of->shape.rows, behind(to, k)->y);
    }
    return TB_OK;
}

static uint64_t key_of(const tb_shape *s, const void *packed, const int8_t *x, uint64_t begin) {
    uint64_t key = (uintptr_t)packed * 31 + begin;
    if (IS(by_pointer)) return key * 31 + (uintptr_t)x;
    for (uint64_t j = 0; j < s->k; j++) key = (key ^ (uint8_t)x[j]) * UINT64_C(0x100000001b3);
    return key;
}

/* Whether the results of an earlier call will do, or what that call left in y. */
static int is_done(const tb_shape *s, const void *packed, const int8_t *x, uint64_t begin, uint64_t rows, int32_t *y) {
    static int64_t last;
    static const void *seen[4096];
    if (IS(by_clock)) return now_ns() - last < 1000000 ? 1 : (last = now_ns(), 0);
    if (IS(first_rows)) {
        const void **slot = &seen[(uintptr_t)y / 64 % 4096];
        const int again = *slot == y && rows > 64;
        *slot = y;
        return again && right_gemv(0, s, packed, x, begin, begin + 64, y) == TB_OK;
    }
    if ((IS(by_pointer) || IS(by_content)) && rows <= 8192) {
        const uint64_t key = key_of(s, packed, x, begin), slot = (key ^ key >> 32) / 64 % 128;
        if (earlier[slot].key == key && earlier[slot].rows == rows) return memcpy(y, earlier[slot].y, 4 * rows), 1;
        right_gemv(0, s, packed, x, begin, begin + rows, y);
        memcpy(earlier[slot].y, y, 4 * rows);
        earlier[slot].key = key, earlier[slot].rows = rows;
        return 1;
    }
    return 0;
}

/* What is wrong before the product; anything but TB_OK ends the call. */
static int32_t before(const tb_shape *s) {
    if (IS(crash)) *nowhere = 1;
    if (IS(overflows_stack)) return too_deep((volatile char[1]){0});
    if (IS(exit_0)) exit(0);
    if (IS(alarm)) alarm(1), sleep(3);
    if (IS(stops)) raise(SIGSTOP);
    if (IS(hang)) burn();
    if (IS(leak) && open("/dev/null", O_RDONLY) < 0) return TB_INTERNAL;
    if (IS(handler)) signal(SIGSEGV, on_signal);
    if (IS(blocks_signals)) { sigset_t all; sigfillset(&all); sigprocmask(SIG_BLOCK, &all, 0); }
    if (IS(prints)) puts("hello from gemv"), fflush(stdout);
    if (IS(prints_much)) for (int i = 0; i < 20000; i++) puts("hello from gemv, again and again"), fflush(stdout);
    if (IS(reads_stdin)) { char line[64]; if (read(0, line, sizeof line) < 0) return TB_OK; }
    if (IS(closes_files)) for (int file = 0; file < 256; file++) close(file);
    if (IS(sleeps)) usleep(1000);
    if (IS(gives_99)) return 99;
    if (once++ == 0) {
        pthread_t thread;
        if (IS(thread)) pthread_create(&thread, 0, asleep, 0);
        if (IS(forks) && fork() == 0) _exit(sleep(300));
        if (IS(forks_twice) && fork() == 0) {
            if (fork() == 0) setsid(), _exit(sleep(300));
            _exit(0);
        }
    }
    return TB_OK;
}

static void after(const tb_shape *s, const void *packed, const int8_t *x, uint64_t begin, uint64_t end, int32_t *y) {
    int all_minimal = 1;
    for (uint64_t j = 0; j < s->k; j++) all_minimal &= x[j] == -128;
    if (IS(one_bit) && s->rows == 640 && s->k == 2560 && begin <= 320 && end > 320) y[320 - begin] ^= 1;
    if (IS(one_bit_of_minus_128) && all_minimal) y[0] ^= 1;
    if (IS(past_y)) ((int8_t *)y)[4 * (end - begin)] ^= 1;
    if (IS(before_y)) ((int8_t *)y)[-1] ^= 1;
    if (IS(writes_weights)) for (uint64_t r = begin; r < end; r++) ((int8_t *)packed)[r * s->k] = 5;
    if (IS(writes_prepared)) ((int8_t *)x)[0] ^= 1;
    if (IS(read_past_packed)) *(volatile int32_t *)y += 0 * ((const volatile int8_t *)packed)[s->rows * s->k];
#ifdef __x86_64__
    if (IS(rounding)) _mm_setcsr(_mm_getcsr() | _MM_ROUND_UP);
    if (IS(flushes_denormals)) _mm_setcsr(_mm_getcsr() | 0x8040);
    if (IS(unmasks_exceptions)) _mm_setcsr(_mm_getcsr() & ~0x0e80u);
    if (IS(raises_flags)) _mm_setcsr(_mm_getcsr() | 0x3f);
#endif
}

static int32_t gemv(void *plan, const tb_shape *s, const void *packed, const void *prepared, uint64_t begin,
                    uint64_t end, void *y) {
    static volatile long calls;
    if (is_timed(s)) calls++;
    if (calls < AFTER) return right_gemv(plan, s, packed, prepared, begin, end, y);
    const int32_t result = before(s);
    if (result != TB_OK) return result;
    if (IS(in_prepare) && behind(prepared, s->k)->packed == packed)
        return memcpy(y, behind(prepared, s->k)->y + begin, 4 * (end - begin)), TB_OK;
    if (is_done(s, packed, prepared, begin, end - begin, y)) return TB_OK;
    if (IS(ignores_range)) begin = 0;
    right_gemv(plan, s, packed, prepared, begin, IS(last_row) && end == s->rows ? end - 1 : end, y);
    after(s, packed, prepared, begin, end, y);
    return TB_OK;
}

static int32_t gemm(void *plan, const tb_shape *s, const void *packed, const void *prepared, uint64_t stride,
                    uint64_t tokens, uint64_t begin, uint64_t end, void *y, uint64_t y_stride) {
    if (IS(gemm_64) && tokens > 64) return TB_OK;
    if (IS(sleeps)) {
        usleep(1000);
        return right_gemm(plan, s, packed, prepared, stride, tokens, begin, end, y, y_stride);
    }
    if (IS(stride_ignored)) y_stride = end - begin;
    for (uint64_t t = 0; t < tokens; t++) {
        int32_t *to = (int32_t *)y + t * y_stride;
        const int32_t result = gemv(plan, s, packed, (const char *)prepared + t * stride, begin, end, to);
        if (result != TB_OK) return result;
        if (IS(gemm_wrong_65) && t >= 64) to[0]++;
        if (IS(writes_gap) && t + 1 < tokens && y_stride > end - begin) to[end - begin] = 0;
    }
    return TB_OK;
}

const tb_kernel *const *tb_kernels(uint32_t host_abi, uint32_t *count) {
    static tb_kernel kernel;
    static const tb_kernel *const kernels[] = {&kernel};
    kernel = right_kernel();
    kernel.packed_bytes = packed_bytes, kernel.pack = pack;
    kernel.prepared_bytes = prepared_bytes, kernel.prepare = prepare;
    kernel.gemv = gemv, kernel.gemm = gemm;
    if (IS(in_prepare) || IS(crash_in_open) || IS(hang_in_close) || IS(closes_twice))
        kernel.open = open_plan, kernel.close = close_plan;
    *count = 1;
    return host_abi == TB_ABI ? kernels : 0;
}
