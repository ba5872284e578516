/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests/unit/native.c: one instruction executed directly, or emulated in a small machine, from
 * the same random state. */
#ifndef TESTS_UNIT_NATIVE_DIRECT_H
#define TESTS_UNIT_NATIVE_DIRECT_H

#include <string.h>

#include "isa/x86/native_int.h"
#include "tests/unit/unit.h"

enum {
    RAM_PAGES = 32,
    DATA = 0x10000, /* two pages of data, a hole behind them */
    DATA_SIZE = 0x2000,
    HOLE = DATA + DATA_SIZE,
    MIDDLE = 0x1000 - 192, /* where rbx points, in the data: operands cross the page */
    ROUNDS = 12,
};

/* ---- direct execution ---- */

struct direct {
    uint64_t gpr[16], flags, mask;
    uint8_t in[4096] __attribute__((aligned(64))), out[4096] __attribute__((aligned(64)));
};

/* void direct_head(struct direct *): r15 keeps the argument; the copy has the instruction and the
 * tail behind the head. rsp and r15 are not loaded. */
extern const uint8_t direct_head[], direct_tail[], direct_end[];
__asm__(".pushsection .rodata\n"
        "direct_head: push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "mov %rdi, %r15\n"
        "mov 136(%r15), %eax\n mov 140(%r15), %edx\n"
        "test %eax, %eax\n jz 1f\n xrstor64 192(%r15)\n jmp 2f\n"
        "1: fxrstor64 192(%r15)\n2:"
        "pushq 128(%r15)\n popfq\n"
        "mov 0(%r15), %rax\n mov 8(%r15), %rcx\n mov 16(%r15), %rdx\n mov 24(%r15), %rbx\n"
        "mov 40(%r15), %rbp\n mov 48(%r15), %rsi\n mov 56(%r15), %rdi\n mov 64(%r15), %r8\n"
        "mov 72(%r15), %r9\n mov 80(%r15), %r10\n mov 88(%r15), %r11\n mov 96(%r15), %r12\n"
        "mov 104(%r15), %r13\n mov 112(%r15), %r14\n"
        "direct_tail:"
        "mov %rax, 0(%r15)\n mov %rcx, 8(%r15)\n mov %rdx, 16(%r15)\n mov %rbx, 24(%r15)\n"
        "mov %rbp, 40(%r15)\n mov %rsi, 48(%r15)\n mov %rdi, 56(%r15)\n mov %r8, 64(%r15)\n"
        "mov %r9, 72(%r15)\n mov %r10, 80(%r15)\n mov %r11, 88(%r15)\n mov %r12, 96(%r15)\n"
        "mov %r13, 104(%r15)\n mov %r14, 112(%r15)\n"
        "pushfq\n popq 128(%r15)\n"
        "mov 136(%r15), %eax\n mov 140(%r15), %edx\n"
        "test %eax, %eax\n jz 1f\n xsave64 4288(%r15)\n"
        "test $4, %al\n jz 2f\n vzeroupper\n jmp 2f\n"
        "1: fxsave64 4288(%r15)\n2:"
        "fninit\n pushq $0x1f80\n ldmxcsr (%rsp)\n add $8, %rsp\n cld\n"
        "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"
        "direct_end:\n.popsection\n");
_Static_assert(offsetof(struct direct, in) == 192 && offsetof(struct direct, out) == 4288,
               "as the assembly says");

static uint8_t *exec_page;
static uint8_t *direct_at; /* address of the instruction */

static void run_direct(struct direct *d, const uint8_t *insn, unsigned len)
{
    size_t head = (size_t)(direct_tail - direct_head), tail = (size_t)(direct_end - direct_tail);
    memcpy(exec_page, direct_head, head);
    direct_at = exec_page + head;
    memcpy(direct_at, insn, len);
    memcpy(direct_at + len, direct_tail, tail);
    ((void (*)(struct direct *))(uintptr_t)exec_page)(d);
}

/* ---- emulated execution ---- */

static uint8_t ram[RAM_PAGES * 4096] __attribute__((aligned(4096)));
static struct x86_cpu *cpu;

static uint8_t *env_ram(struct x86_cpu *c, uint64_t gpa, unsigned *props)
{
    (void)c;
    *props = X86_RAM_WRITABLE;
    return gpa < sizeof(ram) ? ram + gpa : NULL;
}
static bool env_mmio(struct x86_cpu *c, uint64_t gpa, void *data, unsigned len, bool write)
{
    (void)c, (void)gpa;
    if (!write)
        memset(data, 0xff, len);
    return true;
}
static void env_cpuid(struct x86_cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    (void)c, (void)leaf, (void)subleaf;
    memset(out, 0, 16);
}
static const struct x86_env env = { .ram = env_ram, .mmio = env_mmio, .cpuid = env_cpuid };

static void set_mode(unsigned bytes)
{
    uint32_t db = bytes == 4 ? X86_SEG_DB : 0;
    cpu->cr0 = X86_CR0_PE | X86_CR0_NE | X86_CR0_ET | X86_CR0_MP | (bytes == 2 ? 0 : X86_CR0_PG);
    if (bytes == 2)
        cpu->cr0 &= ~X86_CR0_PE;
    cpu->cr4 = X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE | X86_CR4_PAE;
    cpu->cr3 = 0x1000;
    cpu->efer = bytes == 8 ? X86_EFER_LMA | X86_EFER_LME : 0;
    cpu->xcr0 = cpu->native->xcr0;
    for (unsigned i = 0; i < 4; i++)
        cpu->pdpte[i] = i ? 0 : 0x3001;
    for (unsigned i = 0; i < X86_SREG_COUNT; i++) {
        uint32_t type = i == X86_CS ? 0x9b : 0x93;
        cpu->seg[i] = (struct x86_seg){ 0, bytes == 2 ? 0xfffff : 0xffffffff, type | db, 8 };
    }
    if (bytes == 8)
        cpu->seg[X86_CS].attr |= X86_SEG_L;
    x86_state_changed(cpu);
}

/* Identity map of the RAM but for one page. */
static void make_tables(void)
{
    le64_put(ram + 0x1000, 0x2003);
    le64_put(ram + 0x2000, 0x3003);
    le64_put(ram + 0x3000, 0x4003);
    for (unsigned i = 0; i < 512; i++)
        le64_put(ram + 0x4000 + 8 * i, i * 0x1000ull | (i == HOLE >> 12 ? 0 : 3));
}

/* Executes one instruction; the vector it faulted with, or -1. */
static int emulate(const uint8_t *code, unsigned len)
{
    static struct x86_insn insn;
    unsigned mode = cpu->code;
    if (x86_decode(&insn, code, MAX(len, 15u), mode) != X86_DECODE_OK || insn.len != len)
        return -2;
    insn.exec = x86_bind_native(&insn);
    if (!insn.exec)
        return -4;
    cpu->insn_rip = 0x12345;
    cpu->rip = cpu->insn_rip + insn.len;
    if (__builtin_setjmp(cpu->jmp))
        return cpu->thrown == X86_EXIT_NONE ? cpu->exc.vector : -3;
    insn.exec(cpu, &insn);
    return -1;
}

/* Is it known that this host cannot execute it? */
static bool unsupported(const uint8_t *code)
{
    struct x86_insn insn;
    uint8_t buf[16] = { 0 };
    memcpy(buf, code, 15);
    if (x86_decode(&insn, buf, 15, 8) != X86_DECODE_OK || insn.map == X86_MAP_1BYTE)
        return false;
    switch (insn.op) {
    case X86_OP_SSE:
    case X86_OP_MMX:
    case X86_OP_AVX:
    case X86_OP_AVX512:
    case X86_OP_MASKMOV:
    case X86_OP_VMASKMOV:
    case X86_OP_GATHER:
    case X86_OP_SCATTER: return !native_lookup(cpu->native, &insn);
    default: return insn.enc == X86_ENC_VEX && !(cpu->native->xcr0 & X86_XCR0_AVX);
    }
}

/* ---- random state ---- */

static uint64_t interesting(void)
{
    static const uint64_t v[] = {
        0,
        0x3f8000003f800000,
        0x7f8000007fc00000,
        0x0000000100000001,
        0x8000000080000000,
        0x3ff0000000000000,
        0x7ff0000000000000,
        0xfff8000000000000,
        0x0010000000000000,
        0x0000000000000001,
        0x7fefffffffffffff,
        0x7f7fffff00800000,
        0x00003c007c000001,
        0x4330000000000000,
        0xc1e0000000200000,
        0x4141414100414200,
    };
    switch (rnd64() % 4) {
    case 0: return rnd64();
    case 1: return v[rnd64() % ARRAY_LEN(v)];
    case 2: return (rnd64() & 0x83ffffff83ffffff) | 0x3c0000003c000000;
    default: return (rnd64() & 0x800fffffffffffff) | (0x3f0 + rnd64() % 32) << 52;
    }
}

/* A standard-format image with all components in use. */
static void random_state(uint8_t *x)
{
    const struct x86_native *n = cpu->native;
    uint16_t fcw = 0x40 | (rnd64() & 0xf00) | (rnd64() % 4 ? 0x3f : rnd64() & 0x3f);
    uint16_t fsw =
        (rnd64() & 0x4700) | (rnd64() & fcw & 0x3f) | (rnd64() % 3 ? 0 : rnd64() & 0x3800);
    memset(x, 0, 4096);
    le16_put(x + FX_FCW, fcw);
    le16_put(x + FX_FSW, fsw);
    x[FX_FTW] = (uint8_t)(rnd64() % 2 ? 0xff : rnd64());
    le16_put(x + FX_FOP, 0x123);
    le64_put(x + FX_FIP, 0x1111);
    le64_put(x + FX_FDP, 0x2222);
    le32_put(x + FX_MXCSR, MXCSR_RESET | (rnd64() & 0xe040) | (rnd64() & 0x3f));
    for (unsigned i = 0; i < 8; i++) {
        uint64_t m = rnd64();
        uint16_t e = (uint16_t)((rnd64() & 0x8000) | (0x3fff - 40 + rnd64() % 80));
        switch (rnd64() % 8) {
        case 0:
            m = 0;
            e &= 0x8000;
            break;
        case 1: e |= 0x7fff; break;
        case 2: e &= 0x8000; break;
        case 3: m = BIT(63); break;
        default: m |= BIT(63);
        }
        if (rnd64() % 16 == 0)
            m = rnd64();
        le64_put(x + FX_ST + 16 * i, m);
        le16_put(x + FX_ST + 16 * i + 8, e);
    }
    for (unsigned i = FX_XMM; i < FX_XMM + 256; i += 8)
        le64_put(x + i, interesting());
    for (unsigned c = 2; c < NATIVE_COMPONENTS; c++)
        for (unsigned i = 0; i < n->component[c].size; i += 8)
            le64_put(x + n->component[c].offset + i, c == 5 ? rnd64() : interesting());
    /* Registers 6 and 7 are indexes of gathers: small. */
    for (unsigned r = 6; r < 8; r++)
        for (unsigned i = 0; i < 64; i += r == 6 ? 8 : 4) {
            uint64_t v = rnd64() % 128;
            unsigned size = r == 6 ? 8 : 4;
            if (i < 16)
                le_put(x + FX_XMM + 16 * r + i, v, size);
            else if (i < 32 && n->component[2].size)
                le_put(x + n->component[2].offset + 16 * r + i - 16, v, size);
            else if (i >= 32 && n->component[6].size)
                le_put(x + n->component[6].offset + 32 * r + i - 32, v, size);
        }
    le64_put(x + XSAVE_HEADER, n->xcr0);
}

#endif
