/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three-way differential test of whole blocks: the processor, the emulator and the translator run
 * the same random code from the same state until it faults; registers, flags, vector state, memory
 * and the exception must be the same. With loops, calls, returns, indirect jumps, code across
 * pages, code that changes itself (directly and by another mapping), changes from outside between
 * two runs, read-only, missing and MMIO pages (these not natively), in 64- and 32-bit code.
 *
 *   blocks [--seed N] [--count N] [--exact] [--show N]
 * Ends with a summary line; exit status 1 if anything differed, 77 if it cannot run here.
 */
#include <Zydis/Zydis.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "engine/soft/soft.h"
#include "isa/x86/native.h"
#include "tests/insn/diff.h"

/* Linear addresses, for all three. */
#define CODE   0x30000000ull
#define ALIAS  0x31000000ull /* the same memory as CODE, not executable */
#define DATA   0x20000000ull /* pages: RW RW RW RO none RW */
#define STATE  0x10010000ull /* the harness; natively only */
#define MMIO   0x20200000ull /* a page without RAM; natively none */
#define KERNEL 0x1000ull     /* tables, stack and stubs of the guest, supervisor's */
enum {
    PAGES = 512, /* of code */
    DATA_PAGES = 6,
    RO = 3,
    HOLE = 4,
    SLOTS = 40,
    MAX_CODE = 1000,
    XSAVE = 4096,
    FLAGS = X86_AFLAGS | X86_DF
};
/* Guest-physical. */
enum { RAM_SIZE = 8 << 20, CODE_AT = 1 << 20, DATA_AT = 4 << 20, KERNEL_AT = 0, TABLES = 6 << 20 };
enum { GDT = 0x1000, IDT = 0x2000, TSS = 0x3000, STUBS = 0x4000, STACK = 0x6000, IRET = 0x7000 };

struct state {
    uint64_t gpr[16], rip, rflags;
    int vector;
    uint32_t error;
    uint64_t cr2;
    uint8_t xsave[XSAVE] __attribute__((aligned(64)));
};

struct guest {
    struct engine *engine;
    struct engine_vm *vm;
    struct engine_vcpu *vcpu;
    uint8_t *ram;
    struct kvm_sregs sregs;
};

static const struct engine_ops *const ops = &engine_soft;
static struct guest guest[2]; /* emulator, translator */
uint64_t direct_fs_base, direct_gs_base, direct_xcr0;
static uint32_t xsave_end;

uint8_t *direct_at(uint64_t lin)
{
    (void)lin;
    return NULL;
}
uint8_t *emu_at(uint64_t lin)
{
    (void)lin;
    return NULL;
}

static unsigned below(unsigned n) { return (unsigned)(gen_random() >> 33) % n; }
static bool one_in(unsigned n) { return below(n) == 0; }

/* ---- a case ---- */

static struct {
    unsigned mode;
    bool mmio, vec;
    uint64_t start;
    uint8_t code[MAX_CODE];
    unsigned bytes, slot[SLOTS + 1], slots;
    uint8_t data[DATA_PAGES * 4096];
    struct state before;
} test;

static void put(const void *p, unsigned n)
{
    memcpy(test.code + test.bytes, p, n);
    test.bytes += n;
}
#define PUT(...) put((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
static void put32(uint64_t v) { put(&(uint32_t){ (uint32_t)v }, 4); }

/* The rel32 or absolute address at `at` becomes a slot's when all are known. */
static struct {
    unsigned at, slot, end; /* end: of the instruction; 0: absolute */
    unsigned add;
    bool alias;
} fix[2 * SLOTS];
static unsigned fixes;

static void put_slot(unsigned slot, bool relative, unsigned add, bool alias)
{
    fix[fixes].at = test.bytes;
    fix[fixes].slot = slot;
    fix[fixes].end = relative ? test.bytes + 4 : 0;
    fix[fixes].add = add;
    fix[fixes++].alias = alias;
    put32(0);
}

static bool pointer(unsigned reg)
{
    return reg == X86_RBX || reg == X86_RBP || (test.mode == 8 && reg >= 14);
}

/* Where a memory operand goes, relative to a pointer register, all of which hold DATA + 4096. */
static int32_t displacement(unsigned size)
{
    unsigned pick = below(100);

    if (size > 64)
        size = 64;
    if (pick < 70)
        return (int32_t)(below(8192 - size) & ~(size >= 16 ? 63u : 7u));
    if (pick < 82)
        return (int32_t)below(8000);
    if (pick < 90)
        return 4096 * (int32_t)below(2) - 1 - (int32_t)below(size ? size : 1);
    if (test.mmio && pick < 96)
        return (int32_t)(MMIO - DATA - 4096 + below(4000));
    switch (below(4)) {
    case 0: return (RO - 1) * 4096 + (int32_t)below(4000);
    case 1: return (RO - 1) * 4096 - 1 - (int32_t)below(8);
    case 2: return (HOLE - 1) * 4096 + (int32_t)below(4000);
    default: return (HOLE - 1) * 4096 - 1 - (int32_t)below(8);
    }
}

static bool excluded(const struct x86_insn *i)
{
    switch (i->op) {
    case X86_OP_JCC:
    case X86_OP_JMP:
    case X86_OP_JMP_IND:
    case X86_OP_CALL:
    case X86_OP_CALL_IND:
    case X86_OP_RET:
    case X86_OP_LOOP:
    case X86_OP_LOOPE:
    case X86_OP_LOOPNE:
    case X86_OP_JCXZ:
    case X86_OP_MOVS:
    case X86_OP_STOS:
    case X86_OP_CMPS:
    case X86_OP_SCAS:
    case X86_OP_LODS:
    case X86_OP_POPF:
    case X86_OP_PUSHF: /* AF */
    case X86_OP_LAHF:
    case X86_OP_DAA:
    case X86_OP_DAS:
    case X86_OP_AAA:
    case X86_OP_AAS:
    case X86_OP_POPA:
    case X86_OP_ENTER:
    case X86_OP_LEAVE:
    case X86_OP_XLAT:
    case X86_OP_RDFSBASE:
    case X86_OP_RDGSBASE:
    case X86_OP_MASKMOV:
    case X86_OP_MOVDIR64B:
    case X86_OP_GATHER:
    case X86_OP_SCATTER:
    case X86_OP_FPU_ENV:
    case X86_OP_FXSAVE:
    case X86_OP_FXRSTOR:
    case X86_OP_LDMXCSR:
    case X86_OP_CLI:
    case X86_OP_STI:
    case X86_OP_ARPL:
    case X86_OP_BOUND:
    case X86_OP_UD: return true;
    case X86_OP_FPU_CTL: return i->mem;
    default: break;
    }
    if (i->flags & (X86_INSN_VSIB | X86_INSN_PRIVILEGED))
        return true;
    for (unsigned k = 0; k < i->operands; k++) {
        const struct x86_operand *o = &i->operand[k];
        if (((o->kind == X86_OPERAND_GPR && (pointer(o->reg) || o->reg == X86_RSP)) ||
             (o->kind == X86_OPERAND_GPR8H && o->reg == 3)) &&
            (o->access & X86_ACC_W))
            return true;
    }
    return false;
}

/* Gives the memory operand a pointer register as its base. False: not possible. */
static bool steer(struct diff_case *c)
{
    const struct x86_insn old = c->insn;
    unsigned base = one_in(2) ? X86_RBX : X86_RBP, at = old.modrm_off + 1u;
    uint8_t imm[8];
    int32_t disp = displacement(old.operand[old.mem - 1].size);

    if (!old.has_modrm || old.seg >= X86_FS || old.asz == 2)
        return false;
    memcpy(imm, c->code + old.imm_off, old.imm_len);
    c->code[old.modrm_off] = (uint8_t)(0x80 | (old.modrm & 0x38) | base);
    if (old.enc == X86_ENC_LEGACY && old.rex) {
        bool high = one_in(2);
        c->code[old.opcode_off - (old.map == X86_MAP_1BYTE ? 1
                                  : old.map == X86_MAP_0F  ? 2
                                                           : 3)] &= (uint8_t)~3;
        if (high) {
            c->code[old.modrm_off] = (uint8_t)((c->code[old.modrm_off] & 0xf8) | 6 | one_in(2));
            c->code[old.opcode_off - (old.map == X86_MAP_1BYTE ? 1
                                      : old.map == X86_MAP_0F  ? 2
                                                               : 3)] |= 1;
        }
    } else if (old.enc == X86_ENC_VEX && c->code[old.prefix_len] == 0xc4) {
        c->code[old.prefix_len + 1] |= 0x60;
    } else if (old.enc == X86_ENC_EVEX) {
        c->code[old.prefix_len + 1] |= 0x60;
    }
    memcpy(c->code + at, &disp, 4);
    memcpy(c->code + at + 4, imm, old.imm_len);
    if (at + 4 + old.imm_len > 15 || x86_decode(&c->insn, c->code, 15, c->mode) != X86_DECODE_OK)
        return false;
    return c->insn.op == old.op && c->insn.mem && pointer(c->insn.base) &&
           c->insn.index == X86_REG_NONE && c->insn.len == at + 4 + old.imm_len &&
           !excluded(&c->insn);
}

static void put_random(void)
{
    struct diff_case c = { .mode = test.mode };

    for (;;) {
        gen_insn(&c);
        if (excluded(&c.insn) || (!test.vec && c.insn.op >= X86_OP_FPU) ||
            (c.insn.mem && !steer(&c)))
            continue;
        put(c.code, c.insn.len);
        if (gen_undefined_flags(&c) & ~(uint64_t)X86_AF)
            PUT(0x39, 0xd8); /* cmp eax, ebx: all defined */
        else if (one_in(12) && x86_flags_use(&c.insn).may_write)
            PUT(0x0f, (uint8_t)(0x90 | (below(5) * 2 + one_in(2))), 0xc0 | below(3));
        return;
    }
}

/* Loops end: what closes one counts in memory. */
static void put_loop(unsigned slot)
{
    if (test.mode == 8)
        PUT(0xff, 0x0c, 0x25); /* dec dword [counter] */
    else
        PUT(0xff, 0x0d);
    put32(DATA + (DATA_PAGES - 1) * 4096 + 0x800);
    PUT(0x0f, 0x8f); /* jg */
    put_slot(slot, true, 0, false);
}

static void put_string(void)
{
    static const uint8_t op[] = { 0xa4, 0xa5, 0xaa, 0xab, 0xa6, 0xa7, 0xae, 0xaf, 0xac, 0xad };

    PUT(0xbf); /* mov edi, esi, ecx */
    put32(DATA + 4096 + (uint64_t)displacement(8));
    PUT(0xbe);
    put32(DATA + 4096 + (uint64_t)displacement(8));
    PUT(0xb9);
    put32(below(4) ? below(20) : below(600));
    if (one_in(4))
        PUT(0x66);
    if (!one_in(4))
        PUT(one_in(2) ? 0xf2 : 0xf3);
    if (test.mode == 8 && one_in(2))
        PUT(0x48);
    PUT(op[below(sizeof(op))]);
    if (one_in(8))
        PUT(0xfc);
}

static void put_flow(unsigned slot)
{
    unsigned to = slot + 1 + below(6);

    if (to > test.slots)
        to = test.slots;
    switch (below(12)) {
    case 0: /* jmp */
        PUT(0xe9);
        put_slot(to, true, 0, false);
        break;
    case 1: /* call; now and then it returns to here */
        PUT(0xe8);
        put_slot(to, true, 0, false);
        break;
    case 2: /* push; ret */
        PUT(0x68);
        put_slot(to, false, 0, false);
        if (one_in(2))
            PUT(0xc3);
        else
            PUT(0xc2, (uint8_t)(8 * below(4)), 0);
        break;
    case 3: /* mov eax; jmp or call rax */
        PUT(0xb8);
        put_slot(to, false, 0, false);
        PUT(0xff, one_in(2) ? 0xe0 : 0xd0);
        break;
    case 4: PUT(0xc3); break;
    case 5: put_loop(slot > 6 ? slot - below(6) : 0); break;
    default: /* Jcc */ PUT(0x0f, 0x80 | below(16)); put_slot(to, true, 0, false);
    }
}

/* Stores into slots that are made for it: mov r32, imm32. */
static void put_change(unsigned slot)
{
    static const uint8_t mov[] = { 0xb8, 0xb9, 0xba, 0xbe, 0xbf };
    bool opcode = one_in(2), alias = one_in(2);
    unsigned to = below(test.slots);

    (void)slot;
    to -= to % 5; /* those slots */
    PUT(0xc6);    /* mov byte [abs], imm8 */
    if (test.mode == 8)
        PUT(0x04, 0x25);
    else
        PUT(0x05);
    put_slot(to, false, opcode ? 0 : 1 + below(4), alias);
    PUT(opcode ? mov[below(sizeof(mov))] : (uint8_t)gen_random());
}

static void put_stack(void)
{
    static const uint8_t reg[] = { X86_RAX, X86_RCX, X86_RDX, X86_RSI, X86_RDI };

    switch (below(6)) {
    case 0: PUT(0x50 + reg[below(5)]); break;
    case 1: PUT(0x58 + reg[below(5)]); break;
    case 2:
        PUT(0x68);
        put32(gen_random());
        break;
    case 3: PUT(0x50 + reg[below(5)], 0x58 + reg[below(5)]); break;
    case 4: PUT(0xff, 0x34, 0x24); break; /* push [rsp] */
    default:                              /* mov [rsp + 8], r; add eax, [rsp + 16] */
        PUT(0x89, 0x44 | reg[below(3)] << 3, 0x24, 8, 0x03, 0x44, 0x24, 16);
    }
}

static bool has_changes;

static void make_case(void)
{
    static unsigned turn;
    unsigned at = one_in(3) ? 4096 - below(200) : below(2048);

    test.mode = one_in(3) ? 4 : 8;
    test.mmio = one_in(5);
    test.vec = one_in(3);
    turn = (turn + 2) % (PAGES - 2);
    test.start = CODE + turn * 4096 + at;
    test.bytes = fixes = 0;
    test.slots = 6 + below(SLOTS - 6);
    const bool changes = one_in(4);
    has_changes = changes;
    for (unsigned i = 0; i < test.slots; i++) {
        test.slot[i] = test.bytes;
        unsigned pick = below(100);
        if (i % 5 == 0) {
            PUT(0xb8);
            put32(gen_random());
        } else if (pick < 14) {
            put_flow(i);
        } else if (pick < 22) {
            put_stack();
        } else if (pick < 24) {
            put_string();
        } else if (changes && pick < 32) {
            put_change(i);
        } else {
            put_random();
        }
        if (test.bytes > MAX_CODE - 80)
            test.slots = i + 1;
    }
    test.slot[test.slots] = test.bytes;
    PUT(0xcc);
    for (unsigned i = 0; i < fixes; i++) {
        unsigned slot = MIN(fix[i].slot, test.slots);
        uint64_t to = test.start + test.slot[slot] + fix[i].add;
        le32_put(test.code + fix[i].at,
                 (uint32_t)(fix[i].end ? to - (test.start + fix[i].end)
                                       : to + (fix[i].alias ? ALIAS - CODE : 0)));
    }

    struct state *s = &test.before;
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = one_in(2) ? gen_random() : gen_random() >> below(64);
    s->gpr[X86_RBX] = s->gpr[X86_RBP] = s->gpr[14] = s->gpr[15] = DATA + 4096;
    s->gpr[X86_RSP] = DATA + (DATA_PAGES - 1) * 4096 + 0x400;
    if (test.mode == 4)
        for (unsigned i = 0; i < 16; i++)
            s->gpr[i] = i < 8 ? (uint32_t)s->gpr[i] : 0;
    s->rip = test.start;
    s->rflags = X86_F1 | X86_IF | (gen_random() & X86_AFLAGS) | (one_in(16) ? X86_DF : 0);
    for (unsigned i = 0; i < sizeof(test.data); i += 8)
        le64_put(test.data + i, one_in(4) ? gen_random() : 0x0101010101010101 * (i >> 3 & 0xff));
    le32_put(test.data + (DATA_PAGES - 1) * 4096 + 0x800, below(20));
    memset(s->xsave, 0, XSAVE);
    le16_put(s->xsave, 0x37f);
    le32_put(s->xsave + 24, 0x1f80);
    if (test.vec) {
        for (unsigned i = 160; i < xsave_end; i += 8)
            if (i < 416 || i >= 576)
                le64_put(s->xsave + i,
                         one_in(2) ? gen_random() : 0x3ff0000040400000u + below(9999));
        le64_put(s->xsave + 512, direct_xcr0);
    }
}

/* ---- natively ---- */

static void report_crash(int sig, uint64_t rip);

struct area {
    uint64_t gpr[16], flags;
    uint32_t target, selector, mask, pad;
    uint8_t fill[4096 - 152];
    uint8_t in[XSAVE];
};
_Static_assert(offsetof(struct area, in) == 4096, "as the assembly says");
#define AREA ((struct area *)(uintptr_t)STATE)

void blocks_enter(void);
__asm__(".pushsection .text\n.set A, 0x10010000\nblocks_enter:\n"
        " mov $0x2b, %eax\n mov %eax, %ds\n mov %eax, %es\n"
        " mov A+144, %eax\n xor %edx, %edx\n xrstor64 A+4096\n"
        " mov A+32, %rsp\n sub $8, %rsp\n mov (%rsp), %rax\n mov %rax, A+152\n"
        " mov A+128, %rax\n mov %rax, (%rsp)\n"
        " mov A+152, %rcx\n popfq\n mov %rcx, -8(%rsp)\n"
        " mov A+0, %rax\n mov A+8, %rcx\n mov A+16, %rdx\n mov A+24, %rbx\n mov A+40, %rbp\n"
        " mov A+48, %rsi\n mov A+56, %rdi\n mov A+64, %r8\n mov A+72, %r9\n mov A+80, %r10\n"
        " mov A+88, %r11\n mov A+96, %r12\n mov A+104, %r13\n mov A+112, %r14\n mov A+120, %r15\n"
        " ljmp *A+136\n.popsection\n");

static uint8_t *code_rw;
static sigjmp_buf fault_jmp;
static struct state *native_out;
static volatile sig_atomic_t inside;

static void on_signal(int sig, siginfo_t *si, void *context)
{
    ucontext_t *uc = context;
    greg_t *g = uc->uc_mcontext.gregs;
    static const int order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                   REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                   REG_R12, REG_R13, REG_R14, REG_R15 };
    (void)si;
    if (!inside) { /* the engine's own code */
        static bool again;
        signal(sig, SIG_DFL);
        if (!again) {
            again = true;
            report_crash(sig, (uint64_t)g[REG_RIP]);
        }
        return;
    }
    for (unsigned i = 0; i < 16; i++)
        native_out->gpr[i] = (uint64_t)g[order[i]];
    native_out->rflags = (uint64_t)g[REG_EFL];
    native_out->rip = (uint64_t)g[REG_RIP];
    native_out->vector = (int)g[REG_TRAPNO];
    native_out->error = (uint32_t)g[REG_ERR];
    native_out->cr2 = (uint64_t)g[REG_CR2];
    if (test.vec)
        memcpy(native_out->xsave, uc->uc_mcontext.fpregs, xsave_end);
    siglongjmp(fault_jmp, 1);
}

static void *map(uint64_t at, size_t size, int prot, int fd)
{
    void *p =
        mmap((void *)(uintptr_t)at, size, prot,
             (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED) | MAP_FIXED_NOREPLACE, fd, 0);
    if (p != (void *)(uintptr_t)at) {
        perror("blocks: memory map");
        exit(77);
    }
    return p;
}

static void native_setup(void)
{
    static uint8_t alt[65536] __attribute__((aligned(64)));
    static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
    stack_t ss = { .ss_sp = alt, .ss_size = sizeof(alt) - 8192 };
    struct sigaction sa = { .sa_sigaction = on_signal,
                            .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    int fd = memfd_create("code", 0);
    uint32_t lo, hi;

    if (fd < 0 || ftruncate(fd, PAGES * 4096)) {
        perror("blocks: code");
        exit(77);
    }
    map(CODE, PAGES * 4096, PROT_READ | PROT_WRITE | PROT_EXEC, fd);
    code_rw = map(ALIAS, PAGES * 4096, PROT_READ | PROT_WRITE, fd);
    memset(code_rw, 0xcc, PAGES * 4096);
    map(STATE, sizeof(struct area), PROT_READ | PROT_WRITE, -1);
    map(DATA, DATA_PAGES * 4096, PROT_READ | PROT_WRITE, -1);
    munmap((void *)(uintptr_t)(DATA + HOLE * 4096), 4096);
    __asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    direct_xcr0 = lo & (X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX | X86_XCR0_AVX512);
    xsave_end = MIN(x86_native_xsave_size(direct_xcr0), (uint32_t)XSAVE);
    sigaltstack(&ss, NULL);
    for (unsigned i = 0; i < ARRAY_LEN(signals); i++)
        sigaction(signals[i], &sa, NULL);
}

static void native_data(uint8_t *out, const uint8_t *in)
{
    for (unsigned p = 0; p < DATA_PAGES; p++)
        if (p != HOLE) {
            uint8_t *at = (uint8_t *)(uintptr_t)(DATA + p * 4096);
            if (out)
                memcpy(out + p * 4096, at, 4096);
            else
                memcpy(at, in + p * 4096, 4096);
        }
}

static void native_run(struct state *out)
{
    static bool read_only;
    struct area *a = AREA;

    if (read_only)
        mprotect((void *)(uintptr_t)(DATA + RO * 4096), 4096, PROT_READ | PROT_WRITE);
    read_only = true;
    native_data(NULL, test.data);
    mprotect((void *)(uintptr_t)(DATA + RO * 4096), 4096, PROT_READ);
    memcpy(a->gpr, test.before.gpr, sizeof(a->gpr));
    a->flags = test.before.rflags;
    a->target = (uint32_t)test.before.rip;
    a->selector = test.mode == 8 ? 0x33 : 0x23;
    a->mask = (uint32_t)direct_xcr0;
    memcpy(a->in, test.before.xsave, XSAVE);
    native_out = out;
    if (!sigsetjmp(fault_jmp, 1)) {
        inside = 1;
        blocks_enter();
    }
    inside = 0;
    __asm__ volatile("pushq $0x202\n popfq\n cld\n fninit" ::: "cc", "memory");
}

/* ---- by the engine ---- */

static _Atomic uint64_t runs;
static uint64_t abandoned;

/* Code that came to run at a chance address may never end. */
static void *watchdog(void *arg)
{
    uint64_t last = 0;

    (void)arg;
    for (;; usleep(300000)) {
        uint64_t now = runs;
        if (now == last)
            for (unsigned k = 0; k < 2; k++)
                ops->kick(guest[k].vcpu);
        last = now;
    }
    return NULL;
}

static void map_page(uint8_t *ram, uint64_t lin, uint64_t gpa, uint64_t flags)
{
    static unsigned tables[2];
    unsigned g = ram == guest[1].ram;
    uint64_t table = TABLES;

    if (!tables[g])
        tables[g] = 1;
    for (unsigned shift = 39; shift > 12; shift -= 9) {
        uint8_t *e = ram + table + (lin >> shift & 511) * 8;
        if (!le64(e))
            le64_put(e, (TABLES + 4096ull * tables[g]++) | 7);
        table = le64(e) & ~0xfffull;
    }
    le64_put(ram + table + (lin >> 12 & 511) * 8, gpa | flags);
}

static struct kvm_segment segment(unsigned sel, unsigned type, unsigned dpl, bool l)
{
    return (struct kvm_segment){ .limit = 0xffffffff,
                                 .selector = (uint16_t)sel,
                                 .type = (uint8_t)type,
                                 .present = 1,
                                 .dpl = (uint8_t)dpl,
                                 .db = !l,
                                 .s = 1,
                                 .l = l,
                                 .g = 1 };
}

static void check(int err)
{
    if (err) {
        fprintf(stderr, "blocks: engine: %s\n", strerror(-err));
        exit(77);
    }
}

static void guest_setup(struct guest *g, const char *mode, bool exact)
{
    const struct engine_options opt = { .soft = mode };
    uint8_t *r = g->ram = aligned_alloc(4096, RAM_SIZE);
    const uint64_t gdt[] = { 0,
                             0,
                             0x00af9b000000ffff, /* 10: kernel code */
                             0x00cf93000000ffff, /* 18 */
                             0x00cffb000000ffff, /* 20: 32-bit user code */
                             0x00cff3000000ffff, /* 28 */
                             0x00affb000000ffff /* 30: 64-bit user code */ };

    check(ops->open(&g->engine, &opt));
    check(ops->create_vm(g->engine, &g->vm));
    memset(r, 0, RAM_SIZE);
    const struct kvm_userspace_memory_region m = { .memory_size = RAM_SIZE,
                                                   .userspace_addr = (uintptr_t)r };
    check(ops->set_user_memory_region(g->vm, &m));
    check(ops->create_vcpu(g->vm, 0, &g->vcpu));
    struct soft_vcpu *v = (struct soft_vcpu *)g->vcpu;
    v->xl.cold_runs = 0;
    v->xl.exact = exact;
    memcpy(r + GDT, gdt, sizeof(gdt));
    for (unsigned i = 0; i < 256; i++) {
        uint64_t at = STUBS + 16 * MIN(i, 32u);
        le64_put(r + IDT + 16 * i, (at & 0xffff) | 0x10 << 16 | (at >> 16) << 48 |
                                       (uint64_t)(i == 3 || i == 4 ? 0xee : 0x8e) << 40);
        memset(r + at, 0xf4, 16);
    }
    le64_put(r + TSS + 4, STACK);
    le16_put(r + TSS + 102, 0x68); /* no ports */
    le16_put(r + IRET, 0xcf48);
    for (unsigned p = 1; p < 8; p++)
        map_page(r, p * 4096, p * 4096, 3);
    for (unsigned p = 0; p < PAGES; p++) {
        map_page(r, CODE + p * 4096, CODE_AT + p * 4096, 7);
        map_page(r, ALIAS + p * 4096, CODE_AT + p * 4096, 7 | X86_PTE_NX);
    }
    for (unsigned p = 0; p < DATA_PAGES; p++)
        if (p != HOLE)
            map_page(r, DATA + p * 4096, DATA_AT + p * 4096, (p == RO ? 5 : 7) | X86_PTE_NX);
    map_page(r, MMIO, 0x40000000, 7);
    memset(r + CODE_AT, 0xcc, PAGES * 4096);

    struct kvm_sregs *s = &g->sregs;
    check(ops->get_sregs(g->vcpu, s));
    s->cs = segment(0x10, 11, 0, true);
    s->ss = segment(0x18, 3, 0, false);
    s->ds = s->es = segment(0x2b, 3, 3, false);
    s->gdt.base = GDT;
    s->gdt.limit = sizeof(gdt) - 1;
    s->idt.base = IDT;
    s->idt.limit = 0xfff;
    s->tr =
        (struct kvm_segment){ .base = TSS, .limit = 0x67, .selector = 8, .type = 11, .present = 1 };
    s->cr0 = 0x80010033;
    s->cr3 = TABLES;
    s->cr4 = 0x40620;
    s->efer = 0xd00;
    check(ops->set_sregs(g->vcpu, s));
    const struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs[0] = { .xcr = 0, .value = direct_xcr0 } };
    check(ops->set_xcrs(g->vcpu, &x));
}

static void guest_code(struct guest *g, const uint8_t *p, uint64_t lin, unsigned n)
{
    memcpy(g->ram + CODE_AT + (lin - CODE), p, n);
    ops->memory_written(g->vm, CODE_AT + (lin - CODE), n);
}

/* Answers of a device: they depend on nothing but how many there were. */
static void answer(struct kvm_run *run, unsigned n)
{
    if (!run->mmio.is_write)
        memset(run->mmio.data, (int)(0x11 * n + 7), 8);
}

static bool guest_run(struct guest *g, struct state *out, bool cold, bool *stuck)
{
    uint8_t *frame = g->ram + STACK - 40;
    struct kvm_run *run = g->vcpu->run;
    struct kvm_xsave x;
    struct kvm_regs regs;
    struct kvm_sregs s;
    unsigned n = 0;

    memcpy(g->ram + DATA_AT, test.data, sizeof(test.data));
    if (cold)
        check(ops->set_sregs(g->vcpu, &g->sregs));
    memset(&regs, 0, sizeof(regs));
    const uint64_t *b = test.before.gpr;
    regs = (struct kvm_regs){ .rax = b[0],
                              .rcx = b[1],
                              .rdx = b[2],
                              .rbx = b[3],
                              .rbp = b[5],
                              .rsi = b[6],
                              .rdi = b[7],
                              .r8 = b[8],
                              .r9 = b[9],
                              .r10 = b[10],
                              .r11 = b[11],
                              .r12 = b[12],
                              .r13 = b[13],
                              .r14 = b[14],
                              .r15 = b[15],
                              .rip = IRET,
                              .rflags = 2,
                              .rsp = STACK - 40 };
    le64_put(frame, test.before.rip);
    le64_put(frame + 8, test.mode == 8 ? 0x33 : 0x23);
    le64_put(frame + 16, test.before.rflags);
    le64_put(frame + 24, b[X86_RSP]);
    le64_put(frame + 32, 0x2b);
    check(ops->set_regs(g->vcpu, &regs));
    if (test.vec) {
        memcpy(&x, test.before.xsave, sizeof(x));
        check(ops->set_xsave(g->vcpu, &x));
    }
    for (;;) {
        int err = ops->run(g->vcpu);
        if (err == -EINTR) {
            abandoned++;
            *stuck = true;
            return true;
        }
        check(err);
        if (run->exit_reason != KVM_EXIT_MMIO || n == 100000)
            break;
        answer(run, n++);
    }
    if (run->exit_reason != KVM_EXIT_HLT) {
        fprintf(stderr, "blocks: exit %u\n", run->exit_reason);
        return false;
    }
    check(ops->get_regs(g->vcpu, &regs));
    check(ops->get_sregs(g->vcpu, &s));
    out->vector = (int)((regs.rip - 1 - STUBS) / 16);
    const uint8_t *f = g->ram + regs.rsp;
    out->error = 0;
    if (regs.rsp != STACK - 40) {
        out->error = le32(f);
        f += 8;
    }
    out->rip = le64(f);
    out->rflags = le64(f + 16);
    out->cr2 = s.cr2;
    memcpy(out->gpr,
           (uint64_t[]){ regs.rax, regs.rcx, regs.rdx, regs.rbx, le64(f + 24), regs.rbp, regs.rsi,
                         regs.rdi, regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13,
                         regs.r14, regs.r15 },
           128);
    if (test.vec) {
        check(ops->get_xsave(g->vcpu, &x));
        memcpy(out->xsave, &x, sizeof(x));
    }
    return true;
}

/* ---- comparison ---- */

static bool exact;

static bool same_part(const struct state *a, const struct state *b, unsigned at, unsigned n,
                      unsigned component)
{
    static const uint8_t zero[64];
    bool ha = le64(a->xsave + 512) >> component & 1, hb = le64(b->xsave + 512) >> component & 1;

    for (unsigned i = 0; i < n; i += 8)
        if (memcmp(ha ? a->xsave + at + i : zero, hb ? b->xsave + at + i : zero, 8))
            return false;
    return true;
}

static const char *differ(const struct state *a, const struct state *b, bool flags_exact,
                          bool native)
{
    uint64_t width = test.mode == 8 ? ~0ull : 0xffffffff;
    uint64_t mask = flags_exact ? FLAGS & ~(uint64_t)X86_AF : X86_DF;

    if (a->vector != b->vector)
        return "vector";
    if ((a->rip ^ b->rip) & width)
        return "rip";
    /* What else is present, and only for the kernel, is not the same. */
    uint32_t error = a->vector == X86_PFV && (a->cr2 >> 47 || a->cr2 < 0x8000) ? ~1u : ~0u;
    if (a->vector != X86_BP && ((a->error ^ b->error) & error))
        return "error code";
    /* Of which element of a masked operand it is, processors do not all say alike. */
    if (a->vector == X86_PFV && (a->cr2 ^ b->cr2) >> (native && test.vec ? 12 : 0))
        return "cr2";
    for (unsigned i = 0; i < (test.mode == 8 ? 16u : 8u); i++)
        if ((a->gpr[i] ^ b->gpr[i]) & width)
            return "registers";
    if ((a->rflags ^ b->rflags) & mask)
        return "flags";
    if (!test.vec)
        return NULL;
    if (le64(a->xsave + 512) & le64(b->xsave + 512) & 1) {
        /* An MMX instruction that faults may have taken over the tags already. */
        if (memcmp(a->xsave, b->xsave, native && a->vector != X86_BP ? 2 : 5))
            return "fcw, fsw, ftw";
        for (unsigned i = 0; i < 8 && !(native && a->vector != X86_BP); i++)
            if (memcmp(a->xsave + 32 + 16 * i, b->xsave + 32 + 16 * i, 10))
                return "st";
    }
    if (le32(a->xsave + 24) != le32(b->xsave + 24))
        return "mxcsr";
    if (!same_part(a, b, 160, 256, 1))
        return "xmm";
    for (unsigned k = 2; k < 8; k++) {
        uint32_t at, size;
        bool align;
        if ((direct_xcr0 >> k & 1) && x86_native_component(k, &at, &size, &align) &&
            !same_part(a, b, at, size, k))
            return "ymm, zmm, k";
    }
    return NULL;
}

static const char *differ_memory(const uint8_t *a, const uint8_t *b)
{
    for (unsigned p = 0; p < DATA_PAGES; p++)
        if (p != HOLE && memcmp(a + p * 4096, b + p * 4096, 4096))
            return "memory";
    return NULL;
}

static void disassemble(const uint8_t *p)
{
    ZydisDecoder d;
    ZydisFormatter f;
    ZydisDecodedInstruction in;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    const bool l = test.mode == 8;
    char text[160];

    ZydisDecoderInit(&d, l ? ZYDIS_MACHINE_MODE_LONG_64 : ZYDIS_MACHINE_MODE_LEGACY_32,
                     l ? ZYDIS_STACK_WIDTH_64 : ZYDIS_STACK_WIDTH_32);
    ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
    for (unsigned at = 0; at < test.bytes;) {
        unsigned len = 1;
        snprintf(text, sizeof(text), "?");
        if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, p + at, test.bytes - at, &in, op))) {
            len = in.length;
            ZydisFormatterFormatInstruction(&f, &in, op, in.operand_count_visible, text,
                                            sizeof(text), test.start + at, NULL);
        }
        printf("    %" PRIx64 " ", test.start + at);
        for (unsigned i = 0; i < len; i++)
            printf("%02x", p[at + i]);
        printf("  %s\n", text);
        at += len;
    }
}

static uint64_t cases, natives, differences, by_vector[33];
static unsigned show = 5;

static void print(const char *name, const struct state *s)
{
    printf("  %-10s vector %d error %#x cr2 %" PRIx64 " rip %" PRIx64 " flags %" PRIx64 "\n   ",
           name, s->vector, s->error, s->cr2, s->rip, s->rflags);
    for (unsigned i = 0; i < (test.mode == 8 ? 16u : 8u); i++)
        printf(" %" PRIx64, s->gpr[i]);
    printf("\n");
}

static void report(const char *what, const char *who, const struct state *n, const struct state *s,
                   unsigned round)
{
    if (differences++ >= show)
        return;
    printf("case %" PRIu64 " run %u, %u-bit: %s differ: %s%s\n", cases, round, test.mode * 8, who,
           what, has_changes ? " (code that changes)" : "");
    disassemble(test.code);
    print("before", &test.before);
    if (n)
        print("native", n);
    print("emulator", &s[0]);
    print("translator", &s[1]);
    if (n) {
        const uint8_t *d = (const uint8_t *)(uintptr_t)DATA;
        for (unsigned i = 0, k = 0; i < sizeof(test.data) && k < 16; i++)
            if (i / 4096 != HOLE &&
                (d[i] != guest[0].ram[DATA_AT + i] || d[i] != guest[1].ram[DATA_AT + i]))
                k++, printf("  data %x: native %02x emulator %02x translator %02x\n", i, d[i],
                            guest[0].ram[DATA_AT + i], guest[1].ram[DATA_AT + i]);
    }
}

static void report_crash(int sig, uint64_t rip)
{
    printf("case %" PRIu64 ", %u-bit: signal %d at %#" PRIx64 ":", cases, test.mode * 8, sig, rip);
    for (unsigned i = 0; i < 16; i++)
        printf(" %02x", ((const uint8_t *)(uintptr_t)rip)[i]);
    printf("\n");
    disassemble(test.code);
    print("before", &test.before);
    fflush(stdout);
}

static void one_run(unsigned round)
{
    static struct state n, s[2];
    bool cold = one_in(3);
    const char *what = NULL;
    /* A fault may find flags that nobody would have read. */
    bool native = !test.mmio;

    bool stuck = false;

    runs++;
    for (unsigned k = 0; k < 2 && !stuck; k++)
        if (!guest_run(&guest[k], &s[k], cold, &stuck)) {
            report("no exception ended it", "engine and code", NULL, s, round);
            return;
        }
    if (stuck) { /* one may have got further than the other, and stored into other code */
        for (unsigned k = 0; k < 2; k++) {
            memset(guest[k].ram + CODE_AT, 0xcc, PAGES * 4096);
            ops->memory_written(guest[k].vm, CODE_AT, PAGES * 4096);
        }
        return;
    }
    bool flags = exact || s[0].vector == X86_BP;
    by_vector[MIN((unsigned)s[0].vector, 32u)]++;
    what = differ(&s[0], &s[1], flags, false);
    if (!what)
        what = differ_memory(guest[0].ram + DATA_AT, guest[1].ram + DATA_AT);
    if (!what && memcmp(guest[0].ram + CODE_AT, guest[1].ram + CODE_AT, PAGES * 4096) &&
        !(cases % 64))
        what = "code";
    if (native) {
        static uint8_t data[DATA_PAGES * 4096];
        native_run(&n);
        natives++;
        native_data(data, NULL);
        const char *w = differ(&n, &s[1], flags, true);
        if (!w)
            w = differ_memory(data, guest[1].ram + DATA_AT);
        if (w && !what) {
            report(w, "processor and both others", &n, s, round);
            return;
        }
    }
    if (what)
        report(what, "emulator and translator", native ? &n : NULL, s, round);
}

static void one_case(void)
{
    uint8_t page[2 * 4096];
    const uint64_t first = test.start & ~0xfffull;

    make_case();
    memset(page, 0xcc, sizeof(page));
    const uint64_t base = test.start & ~0xfffull;
    memcpy(page + (test.start - base), test.code, test.bytes);
    (void)first;
    for (unsigned round = 0; round < 2; round++) {
        memcpy(code_rw + (base - CODE), page, sizeof(page));
        if (round == 0) {
            for (unsigned k = 0; k < 2; k++)
                guest_code(&guest[k], page, base, sizeof(page));
        } else { /* from outside, only what is to be other than it is now */
            unsigned slot = below(test.slots);
            slot -= slot % 5;
            unsigned at = (unsigned)(test.start - base) + test.slot[slot] + 1;
            le32_put(page + at, (uint32_t)gen_random());
            memcpy(code_rw + (base - CODE), page, sizeof(page));
            for (unsigned k = 0; k < 2; k++) {
                if (has_changes)
                    guest_code(&guest[k], page, base, sizeof(page));
                else
                    guest_code(&guest[k], page + at, base + at, 4);
            }
        }
        one_run(round);
    }
    /* What lies behind is not to be run into by the next. */
    memset(page, 0xcc, sizeof(page));
    memcpy(code_rw + (base - CODE), page, sizeof(page));
    cases++;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "seed", required_argument, NULL, 's' },
                                             { "count", required_argument, NULL, 'c' },
                                             { "show", required_argument, NULL, 'n' },
                                             { "exact", no_argument, NULL, 'e' },
                                             { NULL, 0, NULL, 0 } };
    uint64_t seed = 1, count = 10000;

    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (o) {
        case 's': seed = strtoull(optarg, NULL, 0); break;
        case 'c': count = strtoull(optarg, NULL, 0); break;
        case 'n': show = (unsigned)strtoul(optarg, NULL, 0); break;
        case 'e': exact = true; break;
        default: return 2;
        }
    gen_seed(seed);
    native_setup();
    guest_setup(&guest[0], "interp", exact);
    guest_setup(&guest[1], "translate", exact);
    const clock_t begin = clock();
    pthread_t dog;
    if (pthread_create(&dog, NULL, watchdog, NULL))
        return 77;
    while (cases < count)
        one_case();
    printf("%" PRIu64 " blocks, each run twice, %" PRIu64
           " runs compared with the processor, %" PRIu64 " differences, %" PRIu64
           " left as they did not end, %.1f s\nended by",
           cases, natives, differences, abandoned, (double)(clock() - begin) / CLOCKS_PER_SEC);
    for (unsigned i = 0; i < 33; i++)
        if (by_vector[i])
            printf(" #%u: %" PRIu64, i, by_vector[i]);
    printf("\n");
    pthread_cancel(dog);
    pthread_join(dog, NULL);
    for (unsigned k = 0; k < 2; k++)
        ops->destroy_vm(guest[k].vm);
    return differences != 0;
}
