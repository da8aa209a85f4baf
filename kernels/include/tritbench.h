/* cc -std=c11 -O3 -fPIC -shared -fvisibility=hidden -o libmine.so mine.c        (-mavx2 with requires_cpu = "avx2")
 * tritbench compare --kernel-library ./libmine.so
 *
 * tritbench.h: how a ternary matrix kernel of yours is judged by tritbench, beside its own. Version 1 of the interface.
 * C11 and C++17. A library exports one symbol, `tb_kernels`, which lists its kernels: what each is, and functions that
 * pack weights, prepare activations and multiply. tritbench makes all operands, checks every result against an oracle
 * of integers, and times the calls. The library runs in a process of its own; whatever it does there, the run goes on.
 *
 * Words: a matrix has `rows` rows of `k` weights. A weight is a code: 0, 1, 2 stand for -1, 0, +1. A token is one
 * vector of k activations. y[r] = sum over j of weight[r][j] * x[j].
 *
 * Rules for every function below:
 * - It returns TB_OK, or says by another result why it did not do it. It does not abort, exit, throw, print, or fork.
 * - It reads and writes only what it is given. Buffers end where they say; what lies behind may be protected.
 * - It leaves files, signal handlers, blocked signals, processes and the rounding mode as they were, and what is const
 *   unchanged. Threads of its own would use CPUs that others pay for: it has none.
 * - Results with scales of 1 are equal to the oracle's integers, by `gemv` and by `gemm`. With other scales, TB_F32
 *   kernels may differ by 1e-5 of the sum over j of |weight scale * activation scale * x[j]|, by `gemm` too. Scales are
 *   tried as multiples of 1/64 from 1/4 to 3/4, which f16 holds. Those of TB_W2A8 are 1 otherwise, but for cells of
 *   groups: there a TB_F32 kernel whose weight_group is 64, 128 or 256 and equals the cell's, and whose act_group
 *   (TB_TENSOR, 32, 128 or 256) equals the cell's rule, is timed with random scales. Those of weights are any f16 from
 *   1/4 to 3/4; those of activations are any f16 where 32 share one, else any f32. Those of TB_W2A32 are any f32 near
 *   1/2.
 * - Timed functions allocate nothing. A call that takes longer than 10 seconds counts as hung.
 * - Pointers are valid during the call only, but for `plan`, and for the arrays that `prepare` is given: they stay as
 *   they are until the last product with that prepared token. Packed weights may be copied elsewhere between calls, and
 *   several copies share a plan: nothing in either may point into them.
 */
#ifndef TRITBENCH_H
#define TRITBENCH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface. Structures only grow at their ends; a change that does more raises it. */
#define TB_ABI 1u

/* What a function returns. Anything but TB_OK becomes the status `refused`, with function and shape. */
enum {
    TB_OK = 0,
    TB_UNSUPPORTED = 1, /* this CPU, or this system */
    TB_SHAPE = 2,       /* a number of rows, columns or tokens that it does not take */
    TB_CODE = 3,        /* a code that it cannot hold */
    TB_SCALES = 4,      /* scales that it cannot hold */
    TB_MEMORY = 5,      /* out of memory */
    TB_INTERNAL = 6     /* anything else */
};

/* `family`: what the activations are. Kernels are compared within a family only. */
enum {
    TB_W2A8 = 1, /* int8, quantised by tritbench: sums are exact integers */
    TB_W2A32 = 2 /* f32: sums are within 1e-5 of the row's absolute sum */
};

/* `output`: what a product writes, 4 bytes an element. */
enum {
    TB_I32 = 1, /* integer sums, before any scale (TB_W2A8 only) */
    TB_F32 = 2  /* f32, all scales applied */
};

/* `weight_group`, `act_group`: how many neighbours along k share a scale, which matters to TB_F32. Besides these two:
 * 32 (activations only), 64, 128 or 256. */
#define TB_TENSOR 0u          /* one scale for all weights of the matrix; one for all activations of a token */
#define TB_ROW 0xffffffffu    /* weights only: one scale a row */

/* `prepared_stride`, `y_stride`: how far apart the tokens of a batch lie. */
enum {
    TB_STRIDE_ANY = 0,  /* as tritbench says in each call */
    TB_STRIDE_TIGHT = 1 /* one right behind the other: prepared_bytes apart, and row_end - row_begin elements apart */
};

/* `flags`, added up. */
enum {
    TB_THREAD_SAFE = 1u /* its functions may run at once, on disjoint rows of one plan. Else one is called at a time */
};

/* The size of a matrix. */
typedef struct tb_shape {
    uint64_t rows;
    uint64_t k;
} tb_shape;

/* Weights as `pack` gets them. */
typedef struct tb_weights {
    const uint8_t *codes; /* rows * k bytes, row after row, each 0, 1 or 2; 3, which is +2, only if max_code is 3. So
                             far tritbench gives nobody a 3 */
    const float *scales;  /* 1, `rows`, or rows * ceil(k / weight_group) of them, by weight_group, row after row */
} tb_weights;

/* One token as `prepare` gets it. */
typedef struct tb_activations { /* i8 and f32 are aligned to 64 bytes */
    const int8_t *i8;    /* TB_W2A8: k values, then zeros up to k rounded up to 256 and 64 more; NULL for TB_W2A32 */
    const float *scales; /* TB_W2A8: an activation is i8[j] * scales[j / act_group]: 1 or ceil(k / act_group) of them;
                            TB_W2A32: all 1 */
    const float *f32;    /* TB_W2A32: k values, then zeros up to k rounded up to 256; NULL for TB_W2A8 */
    int32_t sum;         /* of i8[0 .. k - 1]; TB_W2A32: 0 */
} tb_activations;

/* One kernel. Strings end with a zero byte; those that may be NULL say so. */
typedef struct tb_kernel {
    uint32_t struct_size; /* sizeof(tb_kernel) as the library was compiled */
    uint32_t flags;       /* TB_THREAD_SAFE or 0 */

    /* Texts are UTF-8 of at most 4096 bytes, without control characters. */
    const char *id;           /* its name in every table: 1 to 64 bytes, no comma, no blank, no other kernel's */
    const char *isa;          /* instruction set by which tables group it, for example "avx2" */
    const char *requires_cpu; /* what its code was compiled for, as for --cpu-features: "avx2,avx512vnni" or "none".
                                 "avx2" stands for FMA and F16C too; what has no name there cannot be required */
    const char *builds_on;    /* id of the kernel that it improves on and is compared with, or NULL */
    const char *summary;      /* one sentence: what is particular to it */
    const char *origin;       /* project, version, licence, or NULL */
    const char *compiler;     /* that built it, with version and flags: it belongs to a kernel's identity, or NULL */
    const char *layout;       /* NULL: `pack` makes a layout of its own. Else one of ours, as `list kernels` names them:
                                 tritbench packs, `packed_bytes` and `pack` are NULL, output is TB_I32, packed_align is
                                 at most 16, and the layout's panels are a multiple of rows_multiple */

    uint32_t family;          /* TB_W2A8 or TB_W2A32 */
    uint32_t output;          /* TB_I32 or TB_F32 */
    uint32_t weight_group;    /* TB_TENSOR, TB_ROW, 64, 128 or 256 */
    uint32_t act_group;       /* TB_TENSOR, 32, 64, 128 or 256 */
    uint32_t max_code;        /* 2, or 3 if it can hold code 3 */
    uint32_t rows_multiple;   /* rows of a matrix, and both ends of a range of rows, are multiples of it; 1 to 65536 */
    uint32_t k_multiple;      /* k is a multiple of it; 1 to 65536 */
    uint32_t packed_align;    /* alignment of `packed` in bytes: a power of two, 1 to 4096 */
    uint32_t prepared_stride; /* TB_STRIDE_ANY or TB_STRIDE_TIGHT, for gemm */
    uint32_t y_stride;        /* TB_STRIDE_ANY or TB_STRIDE_TIGHT, for gemm */
    uint64_t max_k;           /* k up to which results are exact; 0 for no bound */
    uint64_t max_tokens;      /* most tokens of a call of gemm; 0 for any number. Larger batches are split */

    /* Not timed. Makes what the kernel wants to keep for all matrices of this shape, once, or is NULL: then `plan` is
     * NULL. */
    int32_t (*open)(const tb_shape *shape, void **plan);
    /* Not timed. Frees a plan; NULL if and only if `open` is. */
    void (*close)(void *plan);
    /* Not timed. Bytes of the packed weights, scales included; at most 16 a weight and 64 KiB. */
    int32_t (*packed_bytes)(void *plan, const tb_shape *shape, uint64_t *bytes);
    /* Not timed. Packs into `packed`, which is zero and aligned to packed_align. */
    int32_t (*pack)(void *plan, const tb_shape *shape, const tb_weights *weights, void *packed);
    /* Not timed. Bytes of one prepared token; at most 64 an activation and 64 KiB. */
    int32_t (*prepared_bytes)(void *plan, uint64_t k, uint64_t *bytes);

    /* Timed, once a token and product: brings the activations into the kernel's own form. `prepared` is aligned to 64
     * bytes, but for the later tokens of a tight batch. A kernel that reads the activations as they are keeps x->i8 or
     * x->f32 there, and not x itself. */
    int32_t (*prepare)(void *plan, uint64_t k, const tb_activations *x, void *prepared);
    /* Timed. y[r - row_begin] for row_begin <= r < row_end. `y` is aligned to 4 bytes. */
    int32_t (*gemv)(void *plan, const tb_shape *shape, const void *packed, const void *prepared,
                    uint64_t row_begin, uint64_t row_end, void *y);
    /* Timed, or NULL, as it is for TB_W2A32: `tokens` at once. Token t lies at (char *)prepared + t * prepared_stride,
     * and its results go to (int32_t *)y + t * y_stride; where any stride is taken, that of the tokens is a multiple of
     * 64. With scales of 1, equal to what `gemv` gives for each. */
    int32_t (*gemm)(void *plan, const tb_shape *shape, const void *packed, const void *prepared,
                    uint64_t prepared_stride, uint64_t tokens, uint64_t row_begin, uint64_t row_end, void *y,
                    uint64_t y_stride);
} tb_kernel;

#if defined(_WIN32)
#define TB_EXPORT __declspec(dllexport)
#else
#define TB_EXPORT __attribute__((visibility("default")))
#endif

/* The one exported symbol. Returns an array of pointers to *count kernels, at most 256, valid until the process ends;
 * NULL if the library does not speak host_abi. It runs once, before anything else, and may initialise the library.
 * Pointers, and not structures in a row, so that a library of another size of tb_kernel still works. It and
 * initialisers of the library run before requires_cpu is looked at, so they must not need it. */
TB_EXPORT const tb_kernel *const *tb_kernels(uint32_t host_abi, uint32_t *count);

#ifdef __cplusplus
}
#endif
#endif /* TRITBENCH_H */
