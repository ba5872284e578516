/* SPDX-License-Identifier: BSD-2-Clause */
/* Integer and string instructions: random ones against the host's processor, registers, flags and
 * memory compared; and what cannot be run natively against the manual. */
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "isa/x86/emu.h"
#include "tests/unit/integer_forms.h"
#include "tests/unit/unit.h"

/* Values near the interesting places. */
static uint64_t rnd_value(void)
{
    uint64_t v = rnd64();
    switch (rnd64() % 6) {
    case 0: return v;
    case 1: return v & 0xff;
    case 2: return BIT(v & 63);
    case 3: return ~0ull << (v & 63);
    case 4: return (uint64_t)-1 >> (v & 63);
    default: return v >> (v & 63);
    }
}

/* ---- the two machines: both see `mem` at its host address ---- */

enum { MEM = 16384, MID = 8192, CODE = 4096 };
struct native_state {
    uint64_t in[16], out[16], flags_in, flags_out, host_rsp, low_rsp, esp;
    struct {
        uint32_t offset;
        uint16_t selector;
    } compat; /* far pointer to 32-bit code */
};
static uint8_t *mem, *code;
static struct native_state *ns;
static struct x86_cpu *cpu;

static uint8_t *no_ram(struct x86_cpu *c, uint64_t gpa, unsigned *props)
{
    (void)c, (void)gpa, (void)props;
    return NULL;
}
static bool pio(struct x86_cpu *c, uint16_t port, void *data, unsigned len, bool write)
{
    (void)c, (void)port;
    if (!write)
        memset(data, 0x5a, len);
    return true;
}
static bool no_mmio(struct x86_cpu *c, uint64_t gpa, void *data, unsigned len, bool write)
{
    (void)c, (void)gpa, (void)data, (void)len, (void)write;
    return false;
}
static const struct x86_env env = { .ram = no_ram, .mmio = no_mmio, .pio = pio };

static void *low_pages(size_t size, int prot)
{
    void *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (p == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return p;
}

static void map_mem(void)
{
    x86_tlb_reset(cpu);
    for (uint64_t p = (uintptr_t)mem; p < (uintptr_t)mem + MEM; p += 4096)
        for (unsigned u = 0; u < 2; u++) {
            struct x86_tlb_entry *e = x86_tlb_entry(cpu, p, u);
            e->r = e->w = e->x = p >> 12;
            e->addend = 0;
        }
}

/* 64-bit user mode with the flags a process has. */
static void long_mode(void)
{
    memset(cpu, 0, offsetof(struct x86_cpu, xsave));
    cpu->env = &env;
    cpu->cr0 = X86_CR0_PE | X86_CR0_PG;
    cpu->efer = X86_EFER_LMA | X86_EFER_LME;
    cpu->seg[X86_CS].attr = 0xa0fb;
    cpu->code = cpu->stack = 8;
    cpu->cpl = 3;
    cpu->rflags = 0x202;
    map_mem();
}
/* 16- or 32-bit mode; segments at mem with a limit of 64 KiB (real mode), or flat. */
static void legacy_mode(unsigned size, bool flat)
{
    long_mode();
    cpu->efer = 0;
    cpu->cr0 = flat ? X86_CR0_PE : 0;
    cpu->cpl = 0;
    cpu->code = cpu->stack = (uint8_t)size;
    cpu->flat = flat ? 0x3f : 0;
    for (unsigned i = 0; i < X86_SREG_COUNT; i++) {
        cpu->seg[i].base = flat ? 0 : (uintptr_t)mem;
        cpu->seg[i].limit = flat ? 0xffffffff : 0xffff;
        cpu->seg[i].attr = i == X86_CS ? 0x9b : 0x93;
        if (size == 4)
            cpu->seg[i].attr |= X86_SEG_DB;
    }
}

/* Executes one instruction; -1 if done, the vector if it faulted, -2 what else. */
static __attribute__((noinline)) int emulate_insn(const struct x86_insn *insn)
{
    if (__builtin_setjmp(cpu->jmp))
        return cpu->thrown == X86_EXIT_NONE ? cpu->exc.vector : -2;
    insn->exec(cpu, insn);
    return -1;
}
static int emulate(const uint8_t *bytes, unsigned mode)
{
    struct x86_insn insn;
    uint8_t buf[15] = { 0 };
    memcpy(buf, bytes, 15);
    if (x86_decode(&insn, buf, 15, mode) != X86_DECODE_OK || insn.op == X86_OP_INVALID)
        return -3;
    x86_bind(&insn);
    cpu->stop = 0;
    cpu->insn_rip = cpu->rip;
    cpu->rip += insn.len;
    return emulate_insn(&insn);
}

/* ---- the native side ---- */

static uint8_t *emit(uint8_t *p, const void *bytes, unsigned n)
{
    memcpy(p, bytes, n);
    return p + n;
}
static uint8_t *emit_abs(uint8_t *p, const char *op, unsigned n, unsigned reg, const void *addr)
{
    uint32_t a = (uint32_t)(uintptr_t)addr;
    p = emit(p, op, n);
    *p++ = (uint8_t)(0x04 | (reg & 7) << 3);
    *p++ = 0x25;
    return emit(p, &a, 4);
}
static sigjmp_buf fault_jmp;
static void on_fault(int sig) { siglongjmp(fault_jmp, sig); }

static int run_native(const uint8_t *insn, unsigned len)
{
    uint8_t *p = code;
    p = emit(p, "\x55\x53\x41\x54\x41\x55\x41\x56\x41\x57", 10); /* callee-saved */
    p = emit_abs(p, "\x48\x89", 2, 4, &ns->host_rsp);
    p = emit_abs(p, "\xff", 1, 6, &ns->flags_in);
    *p++ = 0x9d;
    for (unsigned r = 0; r < 16; r++)
        p = emit_abs(p, r < 8 ? "\x48\x8b" : "\x4c\x8b", 2, r, &ns->in[r]);
    p = emit(p, insn, len);
    for (unsigned r = 0; r < 16; r++)
        p = emit_abs(p, r < 8 ? "\x48\x89" : "\x4c\x89", 2, r, &ns->out[r]);
    p = emit_abs(p, "\x48\x8b", 2, 4, &ns->host_rsp);
    *p++ = 0x9c;
    p = emit_abs(p, "\x8f", 1, 0, &ns->flags_out);
    p = emit(p, "\xfc\x41\x5f\x41\x5e\x41\x5d\x41\x5c\x5b\x5d\xc3", 12);
    int sig = sigsetjmp(fault_jmp, 1);
    if (sig)
        return sig;
    ((void (*)(void))(uintptr_t)code)();
    return 0;
}

/* The same in a 32-bit code segment, which Linux gives every process: through a far call of code in
 * low memory. */
static uint8_t *emit_abs32(uint8_t *p, uint8_t op, unsigned reg, const void *addr)
{
    uint32_t a = (uint32_t)(uintptr_t)addr;
    *p++ = op;
    *p++ = (uint8_t)(0x05 | reg << 3);
    return emit(p, &a, 4);
}
static int run_native32(const uint8_t *insn, unsigned len)
{
    uint8_t *p = code, *q = code + 1024;
    ns->compat.offset = (uint32_t)(uintptr_t)q;
    ns->compat.selector = 0x23;
    ns->low_rsp = (uintptr_t)code + CODE - 64;
    p = emit(p, "\x55\x53\x41\x54\x41\x55\x41\x56\x41\x57", 10);
    p = emit(p, "\xb9\x2b\0\0\0\x8e\xd9\x8e\xc1", 9); /* DS and ES are null in 64-bit mode */
    p = emit_abs(p, "\x48\x89", 2, 4, &ns->host_rsp);
    p = emit_abs(p, "\x48\x8b", 2, 4, &ns->low_rsp);
    p = emit_abs(p, "\xff", 1, 3, &ns->compat);
    p = emit_abs(p, "\x48\x8b", 2, 4, &ns->host_rsp);
    emit(p, "\x41\x5f\x41\x5e\x41\x5d\x41\x5c\x5b\x5d\xc3", 11);
    q = emit_abs32(q, 0x89, 4, &ns->esp);
    q = emit_abs32(q, 0xff, 6, &ns->flags_in);
    *q++ = 0x9d;
    for (unsigned r = 0; r < 8; r++)
        q = emit_abs32(q, 0x8b, r, &ns->in[r]);
    q = emit(q, insn, len);
    for (unsigned r = 0; r < 8; r++)
        q = emit_abs32(q, 0x89, r, &ns->out[r]);
    q = emit_abs32(q, 0x8b, 4, &ns->esp);
    *q++ = 0x9c;
    q = emit_abs32(q, 0x8f, 0, &ns->flags_out);
    emit(q, "\xfc\xcb", 2);
    int sig = sigsetjmp(fault_jmp, 1);
    if (sig)
        return sig;
    ((void (*)(void))(uintptr_t)code)();
    return 0;
}

/* ---- random instructions ---- */

/* Sets up in-registers for a form and writes the instruction; its length. */
static unsigned generate(const struct form *f, uint8_t *b, unsigned mode)
{
    unsigned n = 0;
    bool mem_form = (f->attr & M_ONLY) || (!(f->attr & R_ONLY) && rnd64() % 2);
    uint8_t rex = mode == 8 && rnd64() % 4 ? 0x40 | (rnd64() % 3 ? 8 : 0) | (rnd64() & 4) : 0;
    bool p66 = !(f->attr & (NO66 | VEX)) && rnd64() % 4 == 0;
    uint8_t modrm, reg = f->attr & FIXED_REG ? (uint8_t)f->reg : rnd64() & 7;
    unsigned osz;

    for (unsigned r = 0; r < 16; r++)
        ns->in[r] = f->attr & BITSTR ? (uint64_t)((int64_t)(rnd64() % 4096) - 2048) : rnd_value();
    if ((f->attr & DIVIDE) && rnd64() % 4) /* so that some quotients fit */
        ns->in[X86_RDX] = rnd64() % 3 ? 0 : rnd64() % 16, ns->in[X86_RAX] >>= rnd64() % 64;
    if (f->attr & DIVIDE && rnd64() % 4 == 0)
        ns->in[X86_RDX] = ~0ull;
    ns->in[X86_RSP] = (uintptr_t)mem + MID + rnd64() % 64 - 32;
    if (f->attr & STACK)
        ns->in[X86_RBP] = (uintptr_t)mem + MID + rnd64() % 64;
    if (f->attr & STRING) {
        ns->in[X86_RSI] = (uintptr_t)mem + MID + rnd64() % 200 - 100;
        ns->in[X86_RDI] = rnd64() % 2 ? ns->in[X86_RSI] + rnd64() % 20 - 10
                                      : (uintptr_t)mem + MID + rnd64() % 200;
        ns->in[X86_RCX] = rnd64() % 4 ? rnd64() % 12 : rnd64() % 700;
        if (rnd64() % 2)
            ns->in[X86_RAX] = le64(mem + MID);
        if (rnd64() % 3)
            b[n++] = rnd64() % 2 ? 0xf3 : 0xf2;
        if (mode == 8 && rnd64() % 4 == 0) {
            b[n++] = 0x67;
            ns->in[X86_RCX] |= 1; /* what becomes of upper halves with a count of 0 depends */
        }
    }
    if ((uint8_t)f->op[0] == 0xd7)
        ns->in[X86_RBX] = (uintptr_t)mem + MID;
    ns->flags_in = 0x202 | (rnd64() & (X86_AFLAGS | ((f->attr & STRING) ? X86_DF : 0)));

    if (mem_form && (f->attr & LOCKABLE) && rnd64() % 2)
        b[n++] = 0xf0;
    if (f->attr & VEX) {
        uint8_t w = (uint8_t)(rnd64() & 0x80);
        osz = w ? 8 : 4;
        b[n++] = 0xc4;
        b[n++] = 0xe0 | (uint8_t)f->prefix[0];
        b[n++] = w | (uint8_t)(rnd64() & 7 ? rnd64() % 16 << 3 : 0x78) | (uint8_t)f->prefix[1];
        if ((b[n - 1] >> 3 & 15) == 11) /* vvvv = rsp */
            b[n - 1] ^= 8;
        if ((uint8_t)f->op[0] == 0xf0)
            b[n - 1] |= 0x78;
        n = (unsigned)(emit(b + n, f->op, 1) - b);
    } else {
        if (p66)
            b[n++] = 0x66;
        if (f->prefix[0])
            b[n++] = (uint8_t)f->prefix[0];
        if (rex)
            b[n++] = rex;
        osz = rex & 8 ? 8 : p66 || f->prefix[0] == 0x66 ? 2 : 4;
        unsigned len = (unsigned)strlen(f->op);
        if ((uint8_t)f->op[0] == 0xc8)
            len = 4;
        n = (unsigned)(emit(b + n, f->op, len ? len : 1) - b);
    }
    if (f->attr & M) {
        if (!(f->attr & FIXED_REG) && reg == 4 && !(rex & 4))
            reg = 6;
        if (mem_form) { /* [rbx + disp32], now and then [rbx + r12*4 + disp32] */
            int32_t disp = (int32_t)(rnd64() % 128) - 64;
            ns->in[X86_RBX] = (uintptr_t)mem + MID + (rnd64() & 32);
            if (f->attr & ALIGN16)
                disp &= ~15;
            b[n++] = (uint8_t)(0x80 | reg << 3 | 3);
            n = (unsigned)(emit(b + n, &disp, 4) - b);
        } else {
            uint8_t rm = rnd64() & 7;
            if (rm == 4)
                rm = 5;
            b[n++] = modrm = (uint8_t)(0xc0 | reg << 3 | rm);
            (void)modrm;
        }
    }
    for (unsigned r = 0; mode == 4 && r < 16; r++)
        ns->in[r] = r < 8 ? (uint32_t)ns->in[r] : 0;
    unsigned imm = f->imm == IMM8 ? 1 : f->imm == IMMZ ? MIN(osz, 4u) : f->imm == IMM_V ? osz : 0;
    uint64_t v = rnd_value();
    return (unsigned)(emit(b + n, &v, imm) - b);
}

static void dump(const char *what, const uint8_t *b, unsigned n)
{
    printf("%s:", what);
    for (unsigned i = 0; i < n; i++)
        printf(" %02x", b[i]);
    printf("\n");
}

/* [SDM] vol. 2 CPUID: register 0..3 of a leaf. */
static bool cpuid_bit(unsigned leaf, unsigned reg, unsigned bit)
{
    unsigned r[4] = { 0 };
    __get_cpuid_count(leaf, 0, &r[0], &r[1], &r[2], &r[3]);
    return r[reg] >> bit & 1;
}
enum { EBX = 1, ECX = 2 };

static bool host_has(const char *prefix, const char *op, unsigned attr)
{
    if (attr & VEX)
        return (uint8_t)op[0] == 0xf2 || (uint8_t)op[0] == 0xf3 ||
                       ((uint8_t)op[0] == 0xf7 && !prefix[1])
                   ? cpuid_bit(7, EBX, 3)
                   : cpuid_bit(7, EBX, 8);
    if ((uint8_t)op[0] == 0x0f && ((uint8_t)op[1] == 0xbc || (uint8_t)op[1] == 0xbd))
        return !prefix[0] || (cpuid_bit(7, EBX, 3) && cpuid_bit(0x80000001, ECX, 5));
    if (!strcmp(op, "\x0f\x38\xf6"))
        return cpuid_bit(7, EBX, 19);
    if ((uint8_t)op[0] == 0x0f && op[1] == 0x38)
        return cpuid_bit(1, ECX, 20) && cpuid_bit(1, ECX, 22);
    return true;
}

static void compare_native(unsigned rounds, unsigned mode)
{
    static uint8_t before[MEM], after[MEM];
    const bool strict = getenv("STRICT_FLAGS") != NULL;
    unsigned bad = 0;
    uint8_t b[32];

    if (mode == 8) {
        long_mode();
    } else {
        memset(ns, 0, sizeof(*ns));
        ns->flags_in = 0x202;
        ns->in[X86_RSP] = (uintptr_t)mem + MID;
        if (run_native32((const uint8_t *)"\x90", 1)) {
            printf("no 32-bit code segment: skipped\n");
            return;
        }
        legacy_mode(4, true);
        cpu->cpl = 3;
    }
    for (unsigned i = 0; i < rounds && bad < 10; i++) {
        const struct form *f = &forms[rnd64() % ARRAY_LEN(forms)];
        if (!host_has(f->prefix, f->op, f->attr) || (f->attr & (mode == 8 ? ONLY32 : NO32 | VEX)))
            continue;
        for (unsigned k = MID - 512; k < MID + 512; k += 8)
            le64_put(mem + k, rnd64() % 3 ? rnd_value() : 0x0101010101010101 * (rnd64() & 1));
        if (rnd64() % 3 == 0)
            memset(mem + MID - 128, 0x11, 256);
        memset(b, 0x90, sizeof(b));
        unsigned len = generate(f, b, mode);
        memcpy(before, mem, MEM);

        int sig = mode == 8 ? run_native(b, len) : run_native32(b, len);
        memcpy(after, mem, MEM);
        memcpy(mem, before, MEM);

        memcpy(cpu->gpr, ns->in, sizeof(ns->in));
        cpu->rflags = ns->flags_in;
        int r;
        do { /* a repeated string instruction ends now and then */
            cpu->rip = 0x1000;
            r = emulate(b, mode);
        } while (r == -1 && cpu->rip == 0x1000);

        uint32_t mask = X86_AFLAGS | X86_DF;
        if (!strict)
            mask &= ~f->undefined;
        bool same;
        if (sig == SIGSEGV)
            same = r == X86_GP || r == X86_PFV || r == X86_SS_VEC || r == -2;
        else if (sig)
            same = r == (sig == SIGFPE ? X86_DE : X86_UD);
        else
            same = r == -1 && cpu->rip == 0x1000 + len &&
                   !memcmp(cpu->gpr, ns->out, sizeof(ns->out)) &&
                   !((cpu->rflags ^ ns->flags_out) & mask) && !memcmp(mem, after, MEM);
        if (sig && (memcmp(cpu->gpr, ns->in, sizeof(ns->in)) || cpu->rflags != ns->flags_in))
            same = false;
        CHECK(same);
        if (same)
            continue;
        bad++;
        dump("instruction", b, len);
        printf("native: signal %d flags %llx -> %llx; emulated: %d flags %llx\n", sig,
               (unsigned long long)ns->flags_in, (unsigned long long)ns->flags_out, r,
               (unsigned long long)cpu->rflags);
        for (unsigned k = 0; k < 16; k++)
            if (!sig && cpu->gpr[k] != ns->out[k])
                printf("reg %u: in %llx native %llx emulated %llx\n", k,
                       (unsigned long long)ns->in[k], (unsigned long long)ns->out[k],
                       (unsigned long long)cpu->gpr[k]);
        for (unsigned k = 0; k < MEM; k++)
            if (mem[k] != after[k]) {
                printf("memory differs at %+d: %02x native %02x emulated %02x\n", (int)k - MID,
                       before[k], after[k], mem[k]);
                break;
            }
    }
}

/* ---- what the host cannot show ---- */

#define RUN(mode, ...) emulate((const uint8_t[15]){ __VA_ARGS__ }, mode)

static void test_branches(void)
{
    long_mode();
    cpu->gpr[X86_RSP] = (uintptr_t)mem + MID;
    cpu->rip = 0x400000;
    CHECK_EQ(RUN(8, 0xe8, 0x10, 0, 0, 0), -1); /* call */
    CHECK_EQ(cpu->rip, 0x400015);
    CHECK_EQ(cpu->gpr[X86_RSP], (uintptr_t)mem + MID - 8);
    CHECK_EQ(le64(mem + MID - 8), 0x400005);
    CHECK_EQ(RUN(8, 0xc2, 0x10, 0), -1); /* ret 16 */
    CHECK_EQ(cpu->rip, 0x400005);
    CHECK_EQ(cpu->gpr[X86_RSP], (uintptr_t)mem + MID + 16);
    for (unsigned cc = 0; cc < 16; cc++)
        for (unsigned f = 0; f < 64; f++) {
            uint64_t fl = (f & 1 ? X86_CF : 0) | (f & 2 ? X86_PF : 0) | (f & 4 ? X86_ZF : 0) |
                          (f & 8 ? X86_SF : 0) | (f & 16 ? X86_OF : 0);
            bool c = f & 1, p = f >> 1 & 1, z = f >> 2 & 1, s = f >> 3 & 1, o = f >> 4 & 1;
            bool want[8] = { o, c, z, c || z, s, p, s != o, z || s != o };
            bool take = want[cc >> 1] ^ (cc & 1);
            cpu->rflags = 2 | fl;
            cpu->rip = 0x1000;
            RUN(8, (uint8_t)(0x70 | cc), 0x20);
            CHECK_EQ(cpu->rip, take ? 0x1022 : 0x1002);
            cpu->gpr[X86_RAX] = 0x1234;
            RUN(8, 0x0f, (uint8_t)(0x90 | cc), 0xc4); /* setcc ah */
            CHECK_EQ(cpu->gpr[X86_RAX], take ? 0x0134 : 0x0034);
            cpu->gpr[X86_RAX] = ~0ull;
            cpu->gpr[X86_RCX] = 0x12345678;
            RUN(8, 0x0f, (uint8_t)(0x40 | cc), 0xc1); /* cmovcc eax, ecx */
            CHECK_EQ(cpu->gpr[X86_RAX], take ? 0x12345678 : 0xffffffff);
        }
    /* a target that is not canonical: #GP with rsp unchanged, but behind the store */
    cpu->gpr[X86_RAX] = 1ull << 47;
    cpu->gpr[X86_RSP] = (uintptr_t)mem + MID;
    le64_put(mem + MID - 8, 0x77);
    CHECK_EQ(RUN(8, 0xff, 0xd0), X86_GP);
    CHECK(le64(mem + MID - 8) != 0x77);
    CHECK_EQ(cpu->gpr[X86_RSP], (uintptr_t)mem + MID);
    /* a stack that is not canonical: #SS */
    cpu->gpr[X86_RSP] = 1ull << 50;
    CHECK_EQ(RUN(8, 0x50), X86_SS_VEC);
    CHECK_EQ(cpu->gpr[X86_RSP], 1ull << 50);
    /* LOOP with a 32-bit counter clears the upper half */
    cpu->gpr[X86_RCX] = 0x500000002;
    cpu->rip = 0x1000;
    RUN(8, 0x67, 0xe2, 0x10);
    CHECK_EQ(cpu->rip, 0x1013);
    CHECK_EQ(cpu->gpr[X86_RCX], 1);
    cpu->rip = 0x1000;
    RUN(8, 0x67, 0xe2, 0x10);
    CHECK_EQ(cpu->rip, 0x1003);
    CHECK_EQ(cpu->gpr[X86_RCX], 0);
    RUN(8, 0xe3, 0x10);
    CHECK_EQ(cpu->rip, 0x1015);
    cpu->rflags = 2;
    cpu->gpr[X86_RCX] = 5;
    RUN(8, 0xe1, 0x10); /* loope, ZF clear */
    CHECK_EQ(cpu->rip, 0x1017);
    CHECK_EQ(cpu->gpr[X86_RCX], 4);
}

static void test_16bit(void)
{
    legacy_mode(2, false);
    cpu->rip = 0x100;
    cpu->gpr[X86_RSP] = 0xabcd0010;
    CHECK_EQ(RUN(2, 0xe8, 0xf0, 0xff), -1); /* call: ip wraps in 16 bits */
    CHECK_EQ(cpu->rip, 0xf3);
    CHECK_EQ(cpu->gpr[X86_RSP], 0xabcd000e);
    CHECK_EQ(le16(mem + 0xe), 0x103);
    cpu->rip = 0xfff0;
    RUN(2, 0xeb, 0x20);
    CHECK_EQ(cpu->rip, 0x12);
    cpu->gpr[X86_RSP] = 0xabcd0000;
    cpu->gpr[X86_RAX] = 0x11112222;
    mem[0] = 0;
    /* PUSHA, POPA round trip; the saved SP is skipped */
    cpu->gpr[X86_RSP] = 0x1000;
    for (unsigned r = 0; r < 8; r++)
        if (r != X86_RSP)
            cpu->gpr[r] = 0x1000 * r + r;
    CHECK_EQ(RUN(2, 0x60), -1);
    CHECK_EQ(cpu->gpr[X86_RSP], 0xff0);
    CHECK_EQ(le16(mem + 0xff0), 0x7007); /* di */
    CHECK_EQ(le16(mem + 0xff6), 0x1000); /* sp as it was */
    CHECK_EQ(le16(mem + 0xffe), 0);      /* ax */
    le16_put(mem + 0xff0, 0x4444);
    CHECK_EQ(RUN(2, 0x61), -1);
    CHECK_EQ(cpu->gpr[X86_RSP], 0x1000);
    CHECK_EQ(cpu->gpr[X86_RDI], 0x4444);
    CHECK_EQ(cpu->gpr[X86_RBX], 0x3003);
    /* beyond the limit: #GP for DS, #SS for SS; registers untouched */
    cpu->gpr[X86_RBX] = 0xffff;
    CHECK_EQ(RUN(2, 0x8b, 0x07), X86_GP);
    cpu->gpr[X86_RBP] = 0xffff;
    CHECK_EQ(RUN(2, 0x8b, 0x46, 0x00), X86_SS_VEC);
    /* effective addresses wrap */
    cpu->gpr[X86_RBX] = 0xfff0;
    cpu->gpr[X86_RSI] = 0x20;
    mem[0x10] = 0x99;
    CHECK_EQ(RUN(2, 0x8a, 0x00), -1); /* mov al, [bx+si] */
    CHECK_EQ((uint8_t)cpu->gpr[X86_RAX], 0x99);
    /* REP STOSB backwards with a 16-bit counter and index */
    memset(mem, 0, 64);
    cpu->gpr[X86_RDI] = 0x7000000f;
    cpu->gpr[X86_RCX] = 0x70000008;
    cpu->gpr[X86_RAX] = 0xee;
    cpu->rflags |= X86_DF;
    CHECK_EQ(RUN(2, 0xf3, 0xaa), -1);
    CHECK_EQ(cpu->gpr[X86_RDI], 0x70000007);
    CHECK_EQ(cpu->gpr[X86_RCX], 0x70000000);
    CHECK_EQ(mem[7], 0);
    CHECK_EQ(mem[8], 0xee);
    CHECK_EQ(mem[15], 0xee);
    CHECK_EQ(mem[16], 0);
    /* ENTER 4, 2 and LEAVE */
    cpu->gpr[X86_RSP] = 0x200;
    cpu->gpr[X86_RBP] = 0x300;
    le16_put(mem + 0x2fe, 0x1234);
    CHECK_EQ(RUN(2, 0xc8, 0x04, 0x00, 0x02), -1);
    CHECK_EQ(cpu->gpr[X86_RBP], 0x1fe);
    CHECK_EQ(cpu->gpr[X86_RSP], 0x1f6);
    CHECK_EQ(le16(mem + 0x1fe), 0x300);
    CHECK_EQ(le16(mem + 0x1fc), 0x1234);
    CHECK_EQ(le16(mem + 0x1fa), 0x1fe);
    CHECK_EQ(RUN(2, 0xc9), -1);
    CHECK_EQ(cpu->gpr[X86_RBP], 0x300);
    CHECK_EQ(cpu->gpr[X86_RSP], 0x200);
    /* POP [sp]-based address uses the incremented SP (32-bit addressing) */
    legacy_mode(4, true);
    cpu->gpr[X86_RSP] = (uintptr_t)mem + 0x100;
    le32_put(mem + 0x100, 0xcafe);
    CHECK_EQ(RUN(4, 0x8f, 0x04, 0x24), -1);
    CHECK_EQ(le32(mem + 0x104), 0xcafe);
    CHECK_EQ(cpu->gpr[X86_RSP], (uintptr_t)mem + 0x104);
}

static void test_popf(void)
{
    long_mode();
    cpu->cpl = 0;
    cpu->gpr[X86_RSP] = (uintptr_t)mem + MID;
    le64_put(mem + MID, ~0ull);
    cpu->rflags = 2;
    CHECK_EQ(RUN(8, 0x9d), -1);
    CHECK_EQ(cpu->rflags,
             2 | X86_AFLAGS | X86_TF | X86_IF | X86_DF | X86_IOPL | X86_NT | X86_AC | X86_ID);
    CHECK(cpu->stop);
    CHECK(cpu->debugging);
    cpu->gpr[X86_RSP] = (uintptr_t)mem + MID;
    le64_put(mem + MID, 0);
    cpu->cpl = 3; /* IOPL 3: IF may change, IOPL not */
    CHECK_EQ(RUN(8, 0x9d), -1);
    CHECK_EQ(cpu->rflags, 2 | X86_IOPL);
    cpu->rflags = 2 | X86_IF;
    cpu->gpr[X86_RSP] = (uintptr_t)mem + MID;
    CHECK_EQ(RUN(8, 0x9d), -1);
    CHECK_EQ(cpu->rflags, 2 | X86_IF);
    CHECK_EQ(cpu->stop, 0);
    /* v86: IOPL 3 or #GP */
    legacy_mode(2, false);
    cpu->cr0 = X86_CR0_PE;
    cpu->cpl = 3;
    cpu->rflags = 2 | X86_VM;
    CHECK_EQ(RUN(2, 0x9c), X86_GP);
    CHECK_EQ(RUN(2, 0x9d), X86_GP);
    cpu->rflags = 2 | X86_VM | X86_IOPL | X86_RF;
    cpu->gpr[X86_RSP] = 0x100;
    CHECK_EQ(RUN(2, 0x66, 0x9c), -1);
    CHECK_EQ(le32(mem + 0xfc), 2 | X86_IOPL);
}

static void test_bcd(void)
{
    static const struct {
        uint8_t op[2];
        uint16_t ax, want;
        uint16_t in, out; /* CF, AF (and for AAM, AAD the rest) */
    } t[] = {
        { { 0x37 }, 0x000f, 0x0105, 0, X86_CF | X86_AF },
        { { 0x37 }, 0x0105, 0x0105, 0, 0 },
        { { 0x37 }, 0x00ff, 0x0205, 0, X86_CF | X86_AF },
        { { 0x3f }, 0x0200, 0x000a, X86_AF, X86_CF | X86_AF },
        { { 0x27 }, 0x00ae, 0x0014, 0, X86_CF | X86_AF },
        { { 0x27 }, 0x009a, 0x0000, 0, X86_CF | X86_AF },
        { { 0x27 }, 0x0079, 0x00df, X86_CF | X86_AF, X86_CF | X86_AF },
        { { 0x2f }, 0x00ee, 0x0088, X86_CF | X86_AF, X86_CF | X86_AF },
        { { 0x2f }, 0x0003, 0x00fd, X86_AF, X86_CF | X86_AF },
        { { 0xd4, 10 }, 0x0063, 0x0909, 0, 0 },
        { { 0xd5, 10 }, 0x0909, 0x0063, 0, 0 },
        { { 0xd6 }, 0x1200, 0x12ff, X86_CF, X86_CF },
    };
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        legacy_mode(4, true);
        cpu->gpr[X86_RAX] = t[i].ax;
        cpu->rflags = 2 | t[i].in;
        CHECK_EQ(RUN(4, t[i].op[0], t[i].op[1]), -1);
        CHECK_EQ(cpu->gpr[X86_RAX], t[i].want);
        CHECK_EQ(cpu->rflags & X86_CF, t[i].out & X86_CF);
        if (t[i].op[0] != 0xd5)
            CHECK_EQ(cpu->rflags & X86_AF, t[i].out & X86_AF);
    }
    CHECK_EQ(RUN(4, 0xd4, 0), X86_DE);
}

static void test_strings(void)
{
    /* A long one ends now and then with rip at the instruction. */
    long_mode();
    memset(mem, 1, MEM);
    cpu->gpr[X86_RSI] = cpu->gpr[X86_RDI] = (uintptr_t)mem + 4096;
    cpu->gpr[X86_RCX] = 100;
    cpu->rip = 0x1000;
    cpu->rflags |= X86_TF;
    cpu->debugging = 1;
    CHECK_EQ(RUN(8, 0xf3, 0xa4), -1);
    CHECK_EQ(cpu->rip, 0x1000);
    CHECK_EQ(cpu->stop, 1);
    CHECK_EQ(cpu->gpr[X86_RCX], 99);
    CHECK_EQ(cpu->gpr[X86_RSI], (uintptr_t)mem + 4097);
    cpu->debugging = 0;
    CHECK_EQ(RUN(8, 0xf3, 0xa4), -1);
    CHECK_EQ(cpu->rip, 0x1002);
    CHECK_EQ(cpu->gpr[X86_RCX], 0);
    /* A fault in the middle keeps what was done: behind mem nothing is mapped (no canonical hole
     * there, so the walk of an empty page table throws). */
    cpu->gpr[X86_RDI] = 0x0000800000000000ull - 0;
    cpu->gpr[X86_RCX] = 3;
    CHECK_EQ(RUN(8, 0xf3, 0xaa), X86_GP);
    CHECK_EQ(cpu->gpr[X86_RCX], 3);
    cpu->gpr[X86_RSP] = (uintptr_t)mem;
    cpu->gpr[X86_RSI] = (uintptr_t)mem;
    cpu->gpr[X86_RDI] = 0x00007ffffffffff0ull;
    struct x86_tlb_entry *e = x86_tlb_entry(cpu, 0x00007ffffffff000ull, 1);
    e->w = e->r = 0x00007ffffffff000ull >> 12;
    e->addend = (uint64_t)(uintptr_t)mem - 0x00007ffffffff000ull;
    cpu->gpr[X86_RCX] = 20;
    CHECK_EQ(RUN(8, 0xf3, 0xaa), X86_GP);
    CHECK_EQ(cpu->gpr[X86_RCX], 4);
    CHECK_EQ(cpu->gpr[X86_RDI], 0x0000800000000000ull);
    /* INS reads the port once an element and commits each */
    legacy_mode(2, false);
    memset(mem, 0, 64);
    cpu->gpr[X86_RDI] = 0x10;
    cpu->gpr[X86_RCX] = 4;
    CHECK_EQ(RUN(2, 0xf3, 0x6d), -1);
    CHECK_EQ(cpu->gpr[X86_RDI], 0x18);
    CHECK_EQ(cpu->gpr[X86_RCX], 0);
    CHECK_EQ(le64(mem + 0x10), 0x5a5a5a5a5a5a5a5a);
    CHECK_EQ(mem[0x18], 0);
    CHECK_EQ(cpu->replay.count, 0);
    /* 16-bit indices wrap within a repeated instruction */
    cpu->gpr[X86_RDI] = 0x3ffe;
    cpu->gpr[X86_RAX] = 0x77;
    cpu->gpr[X86_RCX] = 2;
    CHECK_EQ(RUN(2, 0xf3, 0xaa), -1);
    CHECK_EQ(mem[0x3fff], 0x77);
}

static void test_faults(void)
{
    /* cmpxchg16b misaligned, division overflow: nothing changes */
    long_mode();
    cpu->gpr[X86_RBX] = (uintptr_t)mem + 8;
    CHECK_EQ(RUN(8, 0x48, 0x0f, 0xc7, 0x0b), X86_GP);
    cpu->gpr[X86_RDX] = 5;
    cpu->gpr[X86_RCX] = 5;
    CHECK_EQ(RUN(8, 0x48, 0xf7, 0xf1), X86_DE);
    cpu->gpr[X86_RDX] = 1ull << 63;
    cpu->gpr[X86_RAX] = 0;
    cpu->gpr[X86_RCX] = ~0ull;
    CHECK_EQ(RUN(8, 0x48, 0xf7, 0xf9), X86_DE);
    cpu->gpr[X86_RDX] = ~0ull;
    cpu->gpr[X86_RAX] = 1ull << 63;
    cpu->gpr[X86_RCX] = 1;
    CHECK_EQ(RUN(8, 0x48, 0xf7, 0xf9), -1);
    CHECK_EQ(cpu->gpr[X86_RAX], 1ull << 63);
    cpu->gpr[X86_RDX] = ~0ull;
    cpu->gpr[X86_RCX] = ~0ull;
    CHECK_EQ(RUN(8, 0x48, 0xf7, 0xf9), X86_DE);
}

int main(void)
{
    static char alt[65536];
    stack_t stack = { .ss_sp = alt, .ss_size = sizeof(alt) };
    struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_ONSTACK };

    mem = low_pages(MEM, PROT_READ | PROT_WRITE);
    code = low_pages(CODE, PROT_READ | PROT_WRITE | PROT_EXEC);
    ns = low_pages(sizeof(*ns), PROT_READ | PROT_WRITE);
    cpu = aligned_alloc(64, ALIGN_UP(sizeof(*cpu), (size_t)64));
    if (!cpu)
        return 1;
    memset(cpu, 0, sizeof(*cpu));
    sigaltstack(&stack, NULL);
    sigaction(SIGFPE, &sa, NULL);
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGILL, &sa, NULL);

    test_branches();
    test_16bit();
    test_popf();
    test_bcd();
    test_strings();
    test_faults();
    const char *rounds = getenv("ROUNDS");
    compare_native(rounds ? (unsigned)strtoul(rounds, NULL, 0) : 200000, 8);
    compare_native(rounds ? (unsigned)strtoul(rounds, NULL, 0) : 100000, 4);
    free(cpu);
    return unit_done("integer");
}
