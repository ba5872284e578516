/* SPDX-License-Identifier: BSD-2-Clause */
/* The translator: everything tests/unit/soft.c does, and the same code by it and by the
 * interpreter, hand-written and random, compared. */
static void more(void);
#include "engine/soft/soft.h"
#include "isa/x86/insn.h"
#include "isa/x86/native.h"
#define SOFT_TEST_MODE       "translate"
#define SOFT_TEST_VCPU(vcpu) (((struct soft_vcpu *)(vcpu))->xl.cold_runs = 0) /* no interpreter */
#ifndef XL_TEST_NAME
#define XL_TEST_NAME "xl"
#define XL_TEST_MORE basic
static void basic(void);
#endif
#define SOFT_TEST_NAME   XL_TEST_NAME
#define SOFT_TEST_MORE() more()
#include "tests/unit/soft.c"

enum {
    DATA = 0x100000,
    FLAGS_COMPARED = 0x8c5 /* not AF, which logical operations leave undefined */
};

static struct guest pair[2]; /* interpreter, translator */
static bool aligned;         /* registers hold addresses that vector instructions like */

/* Of same(): further preparation of both, flags at the start and compared, registers given. */
static void (*prepare)(struct guest *, struct kvm_sregs *);
static uint64_t start_flags, flags_compared = FLAGS_COMPARED;
static void (*give)(struct kvm_regs *);

static uint64_t code_at;
/* Addresses near the ends of pages of all kinds: present, read-only, not present, outside RAM, the
 * same page twice, code. */
static bool hard;
static uint64_t rbx; /* if not 0 */
enum { EDGE = 0x140000, EDGE_PAGES = 10, PT = 0x4000 };

static uint64_t hard_address(uint64_t at)
{
    if (!rnd(12))
        return at + 0x800 + rnd(0x100);
    if (!rnd(12))
        return RAM - rnd(32) * 2;
    return EDGE + rnd(EDGE_PAGES) * 0x1000ull + (rnd(3) ? 0x1000 - rnd(16) * 4 : rnd(0x1000));
}

static void hard_pages(struct guest *g)
{
    const uint64_t pd = PT | 3, special[] = { 1, 0, 0x40000003, EDGE | 3 };

    memcpy(g->ram + 0x3000, &pd, 8);
    for (uint64_t i = 0; i < 512; i++) {
        const unsigned k = (unsigned)(i - EDGE / 0x1000);
        uint64_t pte = i << 12 | 3;
        if (k > 1 && k < 10 && k % 2 == 0)
            pte = special[k / 2 - 1] == 1 ? i << 12 | 1 : special[k / 2 - 1];
        memcpy(g->ram + PT + 8 * i, &pte, 8);
    }
}

/* Runs to an exit other than MMIO, of which a sum comes back. */
static int run_mmio(struct guest *g, uint64_t *sum)
{
    int r = 0;

    for (unsigned i = 0; i < 200; i++) {
        r = ops->run(g->vcpu);
        if (r || g->run->exit_reason != KVM_EXIT_MMIO)
            break;
        if (!g->run->mmio.is_write)
            memset(g->run->mmio.data, (int)(g->run->mmio.phys_addr * 37 + i), 8);
        *sum =
            (*sum + le64(g->run->mmio.data) + g->run->mmio.is_write + g->run->mmio.len) * 0x10001 +
            g->run->mmio.phys_addr;
    }
    return r;
}

/* A state with random registers, mostly with all exceptions masked. */
static void random_vectors(struct kvm_xsave *x)
{
    uint8_t *b = (uint8_t *)x->region;
    uint64_t use = rnd(4) ? x86_native_xcr0() : x86_native_xcr0() & rnd(256);

    memset(x, 0, sizeof(*x));
    for (unsigned i = 160; i < 416; i++)
        b[i] = (uint8_t)rnd(256);
    for (unsigned i = 0; i < 8; i++) /* numbers of ordinary size, and others */
        for (unsigned k = 0; k < 10; k++)
            b[32 + 16 * i + k] = (uint8_t)(k == 9 ? 0x3f + rnd(2) : k == 7 ? 0x80 : rnd(256));
    for (unsigned i = 2; i < 8; i++) {
        uint32_t offset, size;
        bool align;
        if (x86_native_component(i, &offset, &size, &align))
            for (uint32_t k = 0; k < size; k++)
                b[offset + k] = (uint8_t)rnd(rnd(8) ? 256 : 1);
    }
    le16_put(b, (uint16_t)(0x37f | rnd(4) << 10)); /* FCW: rounding */
    le16_put(b + 2, (uint16_t)(rnd(8) << 11));     /* FSW: TOP */
    b[4] = (uint8_t)rnd(256);
    le32_put(b + 24, 0x1f80 | rnd(4) << 13 | rnd(2) << 15);
    if (!rnd(8))
        le32_put(b + 24, 0x1f80 & rnd(0x10000));
    if (!rnd(8))
        le16_put(b, (uint16_t)rnd(0x400));
    le64_put(b + 512, use);
}

/* DEVIATES in engine/soft/xl_fpu.c: x87 pointers and opcode, and so whether x87 is in use. */
static void without_pointers(struct kvm_xsave *x)
{
    uint8_t *b = (uint8_t *)x->region;

    memset(b + 6, 0, 18);
    b[512] &= 0xfe;
}

/* A trap may end a program between RDTSC or RDTSCP and what clears the registers. */
static bool reads_time(const uint8_t *end)
{
    return !memcmp(end - 2, "\x0f\x31", 2) || !memcmp(end - 3, "\x0f\x01\xf9", 3);
}

/* Runs code in both from equal states to the same exit and compares all that a guest can see. */
static bool same(const uint8_t *code, size_t len, bool long64)
{
    /* Another page each time: one whose code changes too often is not kept. */
    static unsigned turn;
    const uint64_t at = 0x10000 + (turn++ % 200 << 12);
    struct kvm_regs r[2], start_regs;
    uint64_t sum[2] = { 0, 0 };
    struct kvm_sregs sregs[2];
    int result[2];

    memset(&start_regs, 0, sizeof(start_regs));
    uint64_t *reg = (uint64_t *)&start_regs;
    for (unsigned i = 0; i < 16; i++)
        if (aligned)
            reg[i] = DATA + 0x1000 + (rnd(16) ? rnd(0x200) * 64 : rnd(0x8000));
        else
            reg[i] = rnd(3) ? DATA + 0x1000 + rnd(0x8000) : (uint64_t)rnd(1 << 24) * rnd(1 << 24);
    start_regs.rsp = DATA + 0x6ff8;
    if (hard) {
        for (unsigned i = 0; i < 16; i++)
            if (rnd(6))
                reg[i] = hard_address(at);
        start_regs.rsp = hard_address(at) & ~7ull;
    }
    if (rbx)
        start_regs.rbx = rbx;
    start_regs.rip = code_at = at;
    start_regs.rflags = 2 | (rnd(2) ? 0x8d5 : 0) | start_flags;
    if (give)
        give(&start_regs);
    struct kvm_xsave vec[2], vec_start;
    random_vectors(&vec_start);
    for (unsigned k = 0; k < 2; k++) {
        struct guest *g = &pair[k];
        struct kvm_sregs s;
        flat(g, long64);
        CHECK_EQ(ops->get_sregs(g->vcpu, &s), 0);
        s.cr4 |= 0x40600; /* OSXSAVE, OSFXSR, OSXMMEXCPT */
        if (hard) {
            s.cr0 |= X86_CR0_WP;
            hard_pages(g);
        }
        if (prepare)
            prepare(g, &s);
        CHECK_EQ(ops->set_sregs(g->vcpu, &s), 0);
        const struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = x86_native_xcr0() };
        CHECK_EQ(ops->set_xcrs(g->vcpu, &xcrs), 0);
        CHECK_EQ(ops->set_xsave(g->vcpu, &vec_start), 0);
        for (unsigned i = 0; i < 0x10000; i++)
            g->ram[DATA + i] = g->ram[EDGE + i] = (uint8_t)(i * 7 + (i >> 8));
        for (unsigned i = 0x1000; i < 0x9000; i += 64) /* a MXCSR and FCW that mask everything */
            le32_put(g->ram + DATA + i, 0x1fbf);
        memset(g->ram + at, 0xf4, 0x1000);
        put(g, at, code, len);
        ops->memory_written(g->vm, at, 0x1000);
        CHECK_EQ(ops->set_regs(g->vcpu, &start_regs), 0);
        result[k] = run_mmio(g, &sum[k]);
        CHECK_EQ(ops->get_regs(g->vcpu, &r[k]), 0);
        if (r[k].rip - at - 3 < len && reads_time(g->ram + r[k].rip))
            r[k].rax = r[k].rdx = 0;
        CHECK_EQ(ops->get_xsave(g->vcpu, &vec[k]), 0);
        CHECK_EQ(ops->get_sregs(g->vcpu, &sregs[k]), 0);
        without_pointers(&vec[k]);
        /* Flags nobody reads may be wrong at a fault or an exit in the middle, as of OUTS. */
        r[k].rflags &= g->run->exit_reason == KVM_EXIT_HLT ? flags_compared : 0;
    }
    return result[0] == result[1] && sum[0] == sum[1] &&
           pair[0].run->exit_reason == pair[1].run->exit_reason &&
           !memcmp(&r[0], &r[1], sizeof(r[0])) && !memcmp(&sregs[0], &sregs[1], sizeof(sregs[0])) &&
           !memcmp(vec[0].region, vec[1].region, sizeof(vec[0].region)) &&
           !memcmp(pair[0].ram + DATA, pair[1].ram + DATA, 0x10000) &&
           !memcmp(pair[0].ram + EDGE, pair[1].ram + EDGE, 0x10000) &&
           !memcmp(pair[0].ram + at, pair[1].ram + at, 0x1000) &&
           !memcmp(pair[0].ram + PT, pair[1].ram + PT, 0x1000);
}

/* One random instruction for the vector or x87 unit, of any encoding: whatever the decoder accepts.
 * Not those whose images hold the x87 pointers, which the translator does not keep. */
static unsigned random_vector(uint8_t *p, bool long64)
{
    static const uint8_t prefix[] = { 0x66, 0x66, 0xf3, 0xf2, 0 };

    for (;;) {
        struct x86_insn in;
        unsigned n = 0, kind = rnd(8);
        if (kind == 0) {
            p[n++] = (uint8_t)(0xd8 + rnd(8));
        } else if (kind < 3) {
            uint8_t pre = prefix[rnd(5)];
            if (pre)
                p[n++] = pre;
            if (long64 && rnd(2))
                p[n++] = (uint8_t)(0x40 + rnd(16));
            p[n++] = 0x0f;
            if (!rnd(3))
                p[n++] = rnd(2) ? 0x38 : 0x3a;
            p[n++] = (uint8_t)rnd(256);
        } else if (kind < 6) { /* VEX */
            p[n++] = 0xc4;
            p[n++] = (uint8_t)((long64 ? rnd(8) : 7) << 5 | (1 + rnd(3)));
            p[n++] = (uint8_t)rnd(256);
            p[n++] = (uint8_t)rnd(256);
        } else { /* EVEX */
            p[n++] = 0x62;
            p[n++] = (uint8_t)((long64 ? rnd(16) : 15) << 4 | (1 + rnd(3)));
            p[n++] = (uint8_t)(rnd(256) | 4);
            p[n++] = (uint8_t)(rnd(256) & (rnd(2) ? 0xff : 0xe8));
            p[n++] = (uint8_t)rnd(256);
        }
        uint8_t modrm = (uint8_t)((rnd(2) ? 0xc0 : 0x40) | rnd(64));
        p[n++] = modrm;
        if (modrm < 0x80) {
            if ((modrm & 7) == 4)
                p[n++] = 0x24;
            p[n++] = (uint8_t)(rnd(8) ? rnd(4) * 32 : rnd(256));
        }
        p[n++] = (uint8_t)rnd(256); /* immediate, if there is one */
        if (x86_decode(&in, p, 15, long64 ? 8 : 4) != X86_DECODE_OK)
            continue;
        switch (in.op) {
        case X86_OP_MMX:
        case X86_OP_SSE:
        case X86_OP_AVX:
        case X86_OP_AVX512: {
            struct x86_native_form form;
            if (!x86_native_form(((struct soft_vcpu *)pair[1].vcpu)->cpu.native, &in, &form) &&
                rnd(32))
                continue; /* mostly what the host has */
            break;
        }
        case X86_OP_FPU:
        case X86_OP_FPU_CTL:
        case X86_OP_FWAIT:
        case X86_OP_EMMS:
        case X86_OP_MASKMOV:
        case X86_OP_VMASKMOV:
        case X86_OP_LDMXCSR:
        case X86_OP_STMXCSR:
        case X86_OP_VZERO: break;
        default: continue;
        }
        if ((in.op == X86_OP_LDMXCSR || in.op == X86_OP_FPU_CTL) && rnd(4))
            continue; /* mostly leave exceptions masked */
        return in.len;
    }
}

/* One random instruction whose flags are all defined. */
static unsigned random_insn(uint8_t *p, bool long64)
{
    static const uint8_t modrm_ops[] = { 0x00, 0x01, 0x02, 0x03, 0x08, 0x09, 0x0b, 0x10, 0x11,
                                         0x13, 0x19, 0x1b, 0x20, 0x21, 0x23, 0x28, 0x29, 0x2b,
                                         0x30, 0x31, 0x33, 0x38, 0x39, 0x3b, 0x84, 0x85, 0x86,
                                         0x87, 0x88, 0x89, 0x8a, 0x8b, 0x63, 0x8d, 0xd0, 0xd1 };
    static const uint8_t modrm_0f[] = { 0x40, 0x42, 0x44, 0x47, 0x4c, 0x4f, 0x90, 0x92, 0x95,
                                        0x9e, 0xb6, 0xb7, 0xbe, 0xbf, 0xb0, 0xb1, 0xc0, 0xc1 };
    unsigned n = 0, imm = 0;

    if (!rnd(8))
        p[n++] = 0x66;
    if (rnd(3))
        p[n++] = (uint8_t)(0x40 + rnd(16));
    switch (rnd(10)) {
    case 0: p[n++] = (uint8_t)(0x50 + rnd(16)); return n; /* PUSH, POP */
    case 1:
        p[n++] = 0x83;
        imm = 1;
        break;
    case 2:
        p[n++] = (uint8_t)(0x72 + rnd(8)); /* Jcc over nothing, or the next bytes */
        p[n++] = (uint8_t)rnd(2);
        return n;
    case 7:
    case 8:
    case 9: return random_vector(p, long64);
    case 3:
    case 4:
        p[n++] = 0x0f;
        p[n++] = modrm_0f[rnd(sizeof(modrm_0f))];
        break;
    case 5:
        p[n++] = rnd(2) ? 0xff : 0xfe;
        p[n++] = (uint8_t)(0x40 | rnd(2) << 3 | (rnd(2) ? 1 : 6)); /* INC, DEC [r+d8] */
        p[n++] = (uint8_t)rnd(256);
        return n;
    default: p[n++] = modrm_ops[rnd(sizeof(modrm_ops))]; break;
    }
    unsigned mod = rnd(4), rm = rnd(8);
    if (mod == 0 && rm == 5) /* into the code: a flag that the old code would set may be missing */
        mod = 2;
    p[n++] = (uint8_t)(mod << 6 | rnd(8) << 3 | rm);
    if (mod != 3 && rm == 4)
        p[n++] = (uint8_t)(0x20 | rnd(8)); /* no index */
    if (mod == 1) {
        p[n++] = (uint8_t)rnd(256);
    } else if (mod == 2 || (mod == 0 && (rm == 5 || (rm == 4 && (p[n - 1] & 7) == 5)))) {
        const uint32_t d = rnd(0x400);
        memcpy(p + n, &d, 4);
        n += 4;
    }
    if (imm)
        p[n++] = (uint8_t)rnd(256);
    return n;
}

/* One with the stack, or with a register and displacements: accesses that share a check. */
static unsigned random_access(uint8_t *p)
{
    static const uint8_t op[] = { 0x01, 0x03, 0x29, 0x3b, 0x89, 0x8b, 0x8b, 0x31, 0x11, 0x13 };
    static const uint8_t base[] = { 3, 5, 6, 4 };
    unsigned n = 0, b = base[rnd(4)];

    switch (rnd(8)) {
    case 0: p[n++] = (uint8_t)(0x50 + rnd(8)); return n;
    case 1: p[n++] = (uint8_t)(0x58 + rnd(8)); return n;
    case 2: /* add or sub rsp or rbx, imm8; mov rbp, rsp; lea rsi, [rbx + d8] */
        memcpy(p,
               (const uint8_t[][4]){ { 0x48, 0x83, 0xc4, 0x10 },
                                     { 0x48, 0x83, 0xeb, 0xf8 },
                                     { 0x48, 0x89, 0xe5, 0x90 },
                                     { 0x48, 0x8d, 0x73, 0xf4 } }[rnd(4)],
               4);
        return 4;
    case 3: p[n++] = 0xff; break;                   /* push [base + d8] */
    case 4: memcpy(p, "\x48\xff\xc1", 3); return 3; /* inc rcx */
    default:
        if (!rnd(8))
            p[n++] = 0x65; /* gs: base 0 */
        p[n++] = (uint8_t)(0x48 | rnd(2) << 2);
        p[n++] = op[rnd(sizeof(op))];
        if (!rnd(4)) { /* [base + rcx * scale + d8] */
            p[n++] = (uint8_t)(0x44 | rnd(8) << 3);
            p[n++] = (uint8_t)(rnd(2) << 7 | 1 << 3 | b);
            p[n++] = (uint8_t)(rnd(4) * 8);
            return n;
        }
        if (!rnd(6)) { /* [rip + d32] */
            const uint32_t d = 0x800 + rnd(8) * 8;
            p[n++] = (uint8_t)(5 | rnd(8) << 3);
            memcpy(p + n, &d, 4);
            return n + 4;
        }
    }
    p[n] = (uint8_t)(0x40 | (p[n - 1] == 0xff && n == 1 ? 6 : rnd(8)) << 3 | b);
    n++;
    if (b == 4)
        p[n++] = 0x24;
    p[n++] = (uint8_t)(rnd(8) * 8);
    return n;
}

/* Integer instructions with as many registers as there are: r8 to r11 are not in registers of their
 * own, so they, an address and what the last instruction left contend for the scratch registers. */
static unsigned random_crowd(uint8_t *p)
{
    static const struct {
        uint8_t map, pp, opcode, undefined; /* map 0: legacy 0F */
    } op[] = {
        { 2, 0, 0xf2, 1 }, { 2, 0, 0xf3, 1 }, { 2, 0, 0xf5, 1 }, { 2, 2, 0xf5, 0 },
        { 2, 3, 0xf5, 0 }, { 2, 3, 0xf6, 0 }, { 2, 0, 0xf7, 1 }, { 2, 1, 0xf7, 0 },
        { 2, 2, 0xf7, 0 }, { 2, 3, 0xf7, 0 }, { 3, 3, 0xf0, 0 }, { 0, 0, 0x44, 0 },
        { 0, 0, 0xb6, 0 }, { 0, 0, 0xc1, 0 }, { 0, 0, 0xb1, 0 }, { 0, 0, 0xbf, 0 },
    };
    static const uint8_t reg[] = { 8, 9, 10, 11, 8, 9, 10, 11, 0, 2 }, base[] = { 3, 3, 5, 6, 8 };
    const unsigned k = rnd(ARRAY_LEN(op)), w = rnd(2), r = reg[rnd(10)], v = reg[rnd(10)];
    const bool memory = rnd(3);
    const unsigned b = memory ? base[rnd(rnd(4) ? 4 : 5)] : reg[rnd(10)];
    unsigned n = 0;

    if (!rnd(3)) { /* add r, v: that stays in a scratch register */
        p[n++] = (uint8_t)(0x48 | (r & 8) >> 1 | (v & 8) >> 3);
        p[n++] = 0x01;
        p[n++] = (uint8_t)(0xc0 | (r & 7) << 3 | (v & 7));
        return n;
    }
    if (op[k].map) {
        p[n++] = 0xc4;
        p[n++] = (uint8_t)((r & 8 ? 0 : 0x80) | 0x40 | (b & 8 ? 0 : 0x20) | op[k].map);
        p[n++] = (uint8_t)(w << 7 | (op[k].map == 3 ? 15 : ~v & 15) << 3 | op[k].pp);
    } else {
        p[n++] = (uint8_t)(0x40 | w << 3 | (r & 8) >> 1 | (b & 8) >> 3);
        p[n++] = 0x0f;
    }
    p[n++] = op[k].opcode;
    p[n++] = (uint8_t)((memory ? 0x40 : 0xc0) | (op[k].opcode == 0xf3 ? 1 + rnd(3) : (r & 7)) << 3 |
                       (b & 7));
    if (memory)
        p[n++] = (uint8_t)(rnd(8) * 8);
    if (op[k].map == 3)
        p[n++] = (uint8_t)rnd(64);
    if (op[k].undefined) { /* cmp eax, ebx */
        p[n++] = 0x39;
        p[n++] = 0xd8;
    }
    return n;
}

enum kind { INSNS, ACCESSES, VECTORS, CROWDS };

static void random_blocks(enum kind kind)
{
    aligned = kind == VECTORS;
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t code[400];
        unsigned n = 0;
        if (kind == ACCESSES) { /* xor ecx, ecx */
            code[n++] = 0x31;
            code[n++] = 0xc9;
        }
        for (unsigned k = 0; k < 12; k++)
            if (kind == VECTORS)
                n += random_vector(code + n, i % 4 != 0);
            else if (kind == CROWDS)
                n += random_crowd(code + n);
            else
                n += kind == ACCESSES && rnd(3) ? random_access(code + n)
                                                : random_insn(code + n, i % 4 != 0);
        bool ok = same(code, n, i % 4 != 0 || kind == CROWDS);
        CHECK(ok);
        if (!ok) {
            fprintf(stderr, "random block %u (%s):", i, i % 4 ? "64" : "32");
            for (unsigned k = 0; k < n; k++)
                fprintf(stderr, " %02x", code[k]);
            fprintf(stderr, "\n");
        }
    }
    aligned = false;
}

/* 32-bit code, a register with bits left from 64-bit mode, and a copy that has none. */
static void upper_bits(void)
{
    /* lea esi, [ebx]; mov eax, [esi]; add eax, [ebx + 4]; mov [ebx + 8], eax; mov ecx, [esi + 8] */
    static const uint8_t code[] = { 0x8d, 0x33, 0x8b, 0x06, 0x03, 0x43, 0x04,
                                    0x89, 0x43, 0x08, 0x8b, 0x4e, 0x08 };
    rbx = 1ull << 32 | (DATA + 0x2000);
    CHECK(same(code, sizeof(code), false));
    CHECK_EQ(pair[1].run->exit_reason, KVM_EXIT_HLT);
    rbx = 0;
}

/* What bits and opcodes mean in 32-bit code only; each once made wrong code for the host. */
static void meant_32(void)
{
    static const uint8_t add_ah[] = { 0x82, 0xc4, 0x05 };             /* no opcode in 64-bit mode */
    static const uint8_t sarx_w[] = { 0xc4, 0xe2, 0xf2, 0xf7, 0xc2 }; /* VEX.W is ignored */
    CHECK(same(add_ah, sizeof(add_ah), false));
    CHECK_EQ(pair[1].run->exit_reason, KVM_EXIT_HLT);
    CHECK(same(sarx_w, sizeof(sarx_w), false));
}

/* With all prefixes and an operand that lives in memory it was too long for the emitter. */
static void long_forms(void)
{
    static const uint8_t crc32_b[] = { 0x66, 0xf2, 0x47, 0x0f, 0x38, 0xf0, 0xd0 }; /* r10d, r8b */
    static const uint8_t crc32_w[] = { 0x66, 0xf2, 0x45, 0x0f, 0x38, 0xf1, 0xd3 }; /* r10d, r11w */
    CHECK(same(crc32_b, sizeof(crc32_b), true));
    CHECK_EQ(pair[1].run->exit_reason, KVM_EXIT_HLT);
    CHECK(same(crc32_w, sizeof(crc32_w), true));
}

/* A fault behind instructions that are done, before ones that are not. */
static void fault_in_the_middle(void)
{
    /* mov eax, 1; push rax; mov rbx, [0x40000000]; mov eax, 2 */
    static const uint8_t code[] = { 0xb8, 1, 0, 0,    0,    0x50, 0x48, 0x8b, 0x1c, 0x25,
                                    0,    0, 0, 0x40, 0xb8, 2,    0,    0,    0 };
    CHECK(same(code, sizeof(code), true));
    CHECK_EQ(pair[1].run->exit_reason, KVM_EXIT_SHUTDOWN);
    CHECK_EQ(rip(&pair[1]), code_at + 6);
    CHECK_EQ(rax(&pair[1]), 1);
}

/* Calls, returns, loops, r8 to r11, high bytes, accesses across pages. */
static void by_hand(void)
{
    static const struct {
        uint8_t code[48];
    } t[] = {
        { { 0xe8, 1, 0, 0, 0, 0xf4, 0x41, 0xff, 0xc0, 0xc3 } },   /* call +1; hlt; inc r8d; ret */
        { { 0xb9, 100, 0, 0, 0, 0x4d, 0x01, 0xc8, 0xe2, 0xfb } }, /* add r8, r9; loop */
        { { 0x00, 0xe0, 0x86, 0xdf, 0x0f, 0xb6,
            0xec } }, /* add al, ah; xchg bh, bl; movzx ebp, ah */
        { { 0x48, 0x8d, 0x1d, 0, 0, 0, 0, 0x4c, 0x8d, 0x54, 0x1b, 8 } }, /* lea */
        /* mov rbx, DATA + 0x1ffc; add [rbx], rax; adc [rbx - 4], r9; sbb r10, [rbx] */
        { { 0x48, 0xbb, 0xfc, 0x1f, 0x10, 0,    0,    0,    0,    0,
            0x48, 0x01, 0x03, 0x4c, 0x11, 0x4b, 0xfc, 0x4c, 0x1b, 0x13 } },
        /* mov ecx, 5; lea rdi, [DATA + 0xff8]; rep stosq; std; cld */
        { { 0xb9, 5, 0, 0, 0, 0x48, 0x8d, 0x3c, 0x25, 0xf8, 0x0f, 0x10, 0, 0xf3, 0x48, 0xab, 0xfd,
            0xfc } },
        { { 0x66, 0xff, 0x34, 0x24, 0x66, 0x58, 0xff, 0x34, 0x24, 0x5c, 0x54, 0xc9 } },
        { { 0xc4, 0xe2, 0xfb, 0xf6, 0xc3, 0xc4, 0x42, 0xb8, 0xf2, 0xd1, 0xc4, 0x43, 0xfb, 0xf0,
            0xd0, 7 } }, /* mulx rax, rax, rbx; andn r10, r8, r9; rorx r10, r8, 7 */
        /* fxsave [DATA + 0x2000]; addps xmm0, xmm1; xor edx, edx; mov eax, 0xe7; xsavec [0xf0000];
           xorps xmm1, xmm1; xrstor [0xf0000]; addps xmm0, xmm1 */
        { { 0x0f, 0xae, 0x04, 0x25, 0,    0x20, 0x10, 0,    0x0f, 0x58, 0xc1, 0x31, 0xd2, 0xb8,
            0xe7, 0,    0,    0,    0x0f, 0xc7, 0x24, 0x25, 0,    0,    0x0f, 0,    0x0f, 0x57,
            0xc9, 0x0f, 0xae, 0x2c, 0x25, 0,    0,    0x0f, 0,    0x0f, 0x58, 0xc1 } },
    };
    for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        uint8_t code[64];
        memset(code, 0xf4, sizeof(code));
        size_t len = sizeof(t[i].code);
        while (len && !t[i].code[len - 1])
            len--;
        memcpy(code, t[i].code, len);
        bool ok = same(code, i == 3 || i == 0 ? len + 2 : len, true);
        CHECK(ok);
        if (!ok)
            fprintf(stderr, "by hand: %u\n", i);
    }
}

static void *interrupter(void *arg)
{
    struct guest *g = arg;

    while (!__atomic_load_n(&g->ram[0x100], __ATOMIC_ACQUIRE))
        sched_yield();
    CHECK_EQ(ops->irq_line(g->vm, 5, 1), 0);
    return NULL;
}

/* An interrupt into a loop that never leaves its registers. */
static void tight_loop(void)
{
    struct guest g = make(true);
    pthread_t t;
    /* PIC as in timer(), IRQ 5 open; inc byte [0x100]; sti; 1: inc eax; jmp 1b */
    static const uint8_t code[] = { 0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x20, 0xe6, 0x21,
                                    0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x01, 0xe6, 0x21,
                                    0xb0, 0xdf, 0xe6, 0x21, 0xfe, 0x05, 0,    1,
                                    0,    0,    0xfb, 0xff, 0xc0, 0xeb, 0xfc };
    const uint8_t gate[8] = { 0, 0x90, 8, 0, 0, 0x8e, 0, 0 };
    struct kvm_sregs s;

    flat(&g, false);
    CHECK_EQ(ops->get_sregs(g.vcpu, &s), 0);
    s.idt.base = 0x4000;
    s.idt.limit = 0x7ff;
    s.gdt.base = 0x5000;
    s.gdt.limit = 0x1f;
    CHECK_EQ(ops->set_sregs(g.vcpu, &s), 0);
    put(&g, 0x5008, BYTES(0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0));
    put(&g, 0x5010, BYTES(0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0));
    put(&g, 0x4000 + 8 * 0x25, gate, sizeof(gate));
    put(&g, 0x9000, BYTES(0xb0, 0x77, 0xe6, 0x10)); /* mov al, 0x77; out 0x10, al */
    put(&g, CODE, code, sizeof(code));
    CHECK_EQ(pthread_create(&t, NULL, interrupter, &g), 0);
    CHECK_EQ(out(&g), 0x77);
    pthread_join(t, NULL);
    drop(&g);
}

static __attribute__((unused)) void basic(void)
{
    fault_in_the_middle();
    upper_bits();
    meant_32();
    long_forms();
    by_hand();
    random_blocks(INSNS);
    random_blocks(VECTORS);
    random_blocks(CROWDS);
    hard = true;
    random_blocks(INSNS);
    random_blocks(ACCESSES);
    random_blocks(VECTORS);
    hard = false;
    random_blocks(ACCESSES);
    /* As on other hosts; and with all flags live. */
    struct xl *xl = &((struct soft_vcpu *)pair[1].vcpu)->xl;
    for (unsigned i = 0; i < 4; i++) {
        xl->pext = i == 3 && xl_host_bmi2();
        xl->rorx = i != 1 && xl_host_bmi2();
        xl->exact = i >= 2;
        xl_flush((struct soft_vcpu *)pair[1].vcpu);
        fault_in_the_middle();
        by_hand();
        hard = i;
        random_blocks(i ? ACCESSES : INSNS);
        random_blocks(CROWDS);
        if (i < 2)
            random_blocks(VECTORS);
        hard = false;
    }
    tight_loop();
}

static void more(void)
{
    struct engine *interp, *translate = engine;
    const struct engine_options opt = { .soft = "interp" };

    CHECK_EQ(ops->open(&interp, &opt), 0);
    engine = interp;
    pair[0] = make(false);
    engine = translate;
    pair[1] = make(false);
    XL_TEST_MORE();
    drop(&pair[0]);
    drop(&pair[1]);
    ops->close(interp);
}
