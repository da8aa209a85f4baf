/* Counts the instructions of one function's call in an emulated program: a plugin of qemu-user (7.2 or newer, built with plugins).
 *
 *   cc -O2 -shared -fPIC -o count.so ci/qemu-count.c
 *   TRITBENCH_QEMU_COUNT=FILE qemu-aarch64 -plugin ./count.so PROGRAM count --kernels ...
 *
 * The program (harness/src/count/emulated) writes the function's address into FILE, as hex, and executes OPEN, which does nothing on a CPU.
 * From the function's first instruction to its return each instruction is counted, those of functions that it calls too. At CLOSE, a line for
 * each is written to FILE: its address, how often it ran, its 32 bits, and the first address in memory that it read or wrote, or 0.
 *
 * The declarations are those of qemu's documented plugin interface (docs/devel/tcg-plugins), written out: distributions ship no header. */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef uint64_t plugin_id;
typedef struct block block;
typedef struct instruction instruction;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, block *));
void qemu_plugin_register_vcpu_insn_exec_cb(instruction *, void (*)(unsigned, void *), int flags, void *);
void qemu_plugin_register_vcpu_mem_cb(instruction *, void (*)(unsigned, uint32_t, uint64_t, void *), int flags, int accesses, void *);
size_t qemu_plugin_tb_n_insns(const block *);
instruction *qemu_plugin_tb_get_insn(const block *, size_t);
uint64_t qemu_plugin_insn_vaddr(const instruction *);
const void *qemu_plugin_insn_data(const instruction *);
int qemu_plugin_version = 1;

/* movz xzr, #0xB17 and #0xE17 */
enum { OPEN = 0xD2800000u | 0xB17u << 5 | 31, CLOSE = 0xD2800000u | 0xE17u << 5 | 31 };
enum { READS_AND_WRITES = 3, SLOTS = 1 << 20 };

typedef struct { uint64_t at, count, memory; uint32_t op; } slot;
static slot slots[SLOTS];
static const char *path;
static enum { OFF, ARMED, COUNTING, RETURNED } state;
static unsigned counted_cpu, depth;
static uint64_t entry;

static void fail(const char *what)
{
    fprintf(stderr, "qemu-count: cannot %s %s\n", what, path);
    exit(2);
}

static void open_count(unsigned cpu, void *unused)
{
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%" SCNx64, &entry) != 1)
        fail("read an address in");
    fclose(file);
    for (size_t i = 0; i < SLOTS; i++)
        slots[i].count = slots[i].memory = 0;
    state = ARMED, counted_cpu = cpu, depth = 0;
}

static void close_count(unsigned cpu, void *unused)
{
    if (state == OFF || cpu != counted_cpu)
        return;
    FILE *file = fopen(path, "w");
    if (!file)
        fail("write");
    /* A function that was not entered, or did not return, leaves an empty file. */
    for (size_t i = 0; state == RETURNED && i < SLOTS; i++)
        if (slots[i].count)
            fprintf(file, "%" PRIx64 " %" PRIu64 " %08x %" PRIx64 "\n", slots[i].at, slots[i].count, slots[i].op, slots[i].memory);
    if (fclose(file))
        fail("write");
    state = OFF;
}

static void step(unsigned cpu, void *data)
{
    slot *s = data;
    if (state == OFF || cpu != counted_cpu)
        return;
    if (state == ARMED && s->at == entry)
        state = COUNTING;
    if (state != COUNTING)
        return;
    s->count++;
    if ((s->op & 0xFC000000u) == 0x94000000u || (s->op & 0xFFFFFC1Fu) == 0xD63F0000u) /* bl, blr */
        depth++;
    else if ((s->op & 0xFFFFFC1Fu) == 0xD65F0000u && depth-- == 0) /* ret */
        state = RETURNED;
}

static void access_memory(unsigned cpu, uint32_t info, uint64_t address, void *data)
{
    slot *s = data;
    if (state == COUNTING && cpu == counted_cpu && !s->memory)
        s->memory = address;
}

static slot *slot_of(uint64_t at)
{
    size_t i = at / 4 * 2654435761u % SLOTS;
    while (slots[i].at && slots[i].at != at)
        i = (i + 1) % SLOTS;
    return &slots[i];
}

static void translated(plugin_id id, block *b)
{
    for (size_t k = 0; k < qemu_plugin_tb_n_insns(b); k++) {
        instruction *x = qemu_plugin_tb_get_insn(b, k);
        slot *s = slot_of(qemu_plugin_insn_vaddr(x));
        s->at = qemu_plugin_insn_vaddr(x);
        s->op = *(const uint32_t *)qemu_plugin_insn_data(x);
        void (*run)(unsigned, void *) = s->op == OPEN ? open_count : s->op == CLOSE ? close_count : step;
        qemu_plugin_register_vcpu_insn_exec_cb(x, run, 0, s);
        qemu_plugin_register_vcpu_mem_cb(x, access_memory, 0, READS_AND_WRITES, s);
    }
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    path = getenv("TRITBENCH_QEMU_COUNT");
    if (!path) {
        fprintf(stderr, "qemu-count: TRITBENCH_QEMU_COUNT names no file\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
