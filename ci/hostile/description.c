/* What may be wrong with a library's list of kernels, and with the description of one. */
#include "right.h"

static int32_t open_plan(const tb_shape *s, void **plan) { return TB_OK; }
static void close_plan(void *plan) {}

const tb_kernel *const *tb_kernels(uint32_t host_abi, uint32_t *count) {
    /* A structure of a later version, with more at its end. */
    static struct { tb_kernel kernel; char more[64]; } one;
    static const tb_kernel *kernels[] = {&one.kernel, &one.kernel};
    static char long_id[66];
    tb_kernel *k = &one.kernel;
    memset(long_id, 'x', 65);
    *k = right_kernel();
    *count = 1;

    if (IS(other_abi) && host_abi != 2) return 0;
    if (IS(no_list)) return 0;
    if (IS(no_kernels)) *count = 0;
    if (IS(too_many)) *count = 0x7fffffff;
    if (IS(null_kernel)) kernels[0] = 0;
    if (IS(small_struct)) k->struct_size = 64;
    if (IS(struct_ends_early)) k->struct_size = sizeof *k - 8;
    if (IS(larger_struct)) k->struct_size = sizeof one;
    if (IS(flags_8)) k->flags = 8;

    if (IS(null_id)) k->id = 0;
    if (IS(no_id)) k->id = "";
    if (IS(long_id)) k->id = long_id;
    if (IS(line_id)) k->id = "a\nb";
    if (IS(binary_id)) k->id = "\xff\xfe";
    if (IS(comma_id)) k->id = "a,b";
    if (IS(own_id)) k->id = "avx2-i8";
    if (IS(same_id)) *count = 2;
    if (IS(null_isa)) k->isa = 0;
    if (IS(null_summary)) k->summary = 0;
    if (IS(bad_cpu)) k->requires_cpu = "avx9";
    if (IS(null_cpu)) k->requires_cpu = 0;
    if (IS(lacks_cpu)) k->requires_cpu = "avx2,avx512vbmi2";
    if (IS(builds_on_nothing)) k->builds_on = "no-such-kernel";
    if (IS(builds_on_itself)) k->builds_on = "hostile";

    if (IS(family_9)) k->family = 9;
    if (IS(output_9)) k->output = 9;
    if (IS(ints_of_floats)) k->family = TB_W2A32;
    if (IS(group_7)) k->weight_group = 7;
    if (IS(group_32)) k->weight_group = 32;
    if (IS(act_group_7)) k->act_group = 7;
    if (IS(act_group_row)) k->act_group = TB_ROW;
    if (IS(code_5)) k->max_code = 5;
    if (IS(code_1)) k->max_code = 1;
    if (IS(rows_0)) k->rows_multiple = 0;
    if (IS(k_0)) k->k_multiple = 0;
    if (IS(k_huge)) k->k_multiple = 0xfffffff0u;
    if (IS(align_0)) k->packed_align = 0;
    if (IS(align_3)) k->packed_align = 3;
    if (IS(align_8192)) k->packed_align = 8192;
    if (IS(stride_2)) k->prepared_stride = 2;
    if (IS(y_stride_2)) k->y_stride = 2;

    if (IS(no_gemv)) k->gemv = 0;
    if (IS(no_gemm)) k->gemm = 0;
    if (IS(no_prepare)) k->prepare = 0;
    if (IS(no_prepared_bytes)) k->prepared_bytes = 0;
    if (IS(no_pack)) k->pack = 0;
    if (IS(no_packed_bytes)) k->packed_bytes = 0;
    if (IS(pack_and_layout)) k->layout = "tile8x16";
    if (IS(layout_unknown)) k->layout = "tile9", k->pack = 0, k->packed_bytes = 0;
    if (IS(open_alone)) k->open = open_plan;
    if (IS(close_alone)) k->close = close_plan;
    return kernels;
}
