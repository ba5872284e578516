/* SPDX-License-Identifier: BSD-2-Clause */
/* Differential test: random instructions and states. Encodings are random bytes that the decoder
 * accepts, those of forms seen less often first; addresses are steered to memory that is mapped,
 * read-only, missing, misaligned or crosses a page. */
#include <string.h>

#include "isa/x86/native.h"
#include "tests/insn/diff.h"

static uint64_t seed = 1;

void gen_seed(uint64_t s) { seed = s * 0x9e3779b97f4a7c15ull | 1; }

uint64_t gen_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1dull;
}

/* Integers near the interesting places. */
static uint64_t integer(void)
{
    uint64_t v = gen_random();
    switch (below(8)) {
    case 0: return v & 0xff;
    case 1: return BIT(v & 63);
    case 2: return ~0ull << (v & 63);
    case 3: return (uint64_t)-1 >> (v & 63);
    case 4: return v >> (v & 63);
    case 5: return below(4);
    default: return v;
    }
}

/* Bits for vector registers and operands: integers and floating-point numbers of all sizes. */
uint64_t gen_bits(void)
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
    switch (below(5)) {
    case 0: return v[below(ARRAY_LEN(v))];
    case 1: return (gen_random() & 0x83ffffff83ffffff) | 0x3c0000003c000000;
    case 2: return (gen_random() & 0x800fffffffffffff) | (0x3f0ull + below(32)) << 52;
    case 3: return integer();
    default: return gen_random();
    }
}

/* ---- what is not compared ---- */

static bool excluded(const struct diff_case *c)
{
    const struct x86_insn *i = &c->insn;

    switch (i->op) {
    case X86_OP_INVALID:
    /* What the two have differently by intent: tables, time, features, other modes of the kernel.
     */
    case X86_OP_UNSUPPORTED:
    case X86_OP_VMX_SVM:
    case X86_OP_RSM:
    case X86_OP_CPUID:
    case X86_OP_RDTSC:
    case X86_OP_RDTSCP:
    case X86_OP_RDPMC:
    case X86_OP_RDPID:
    case X86_OP_RDRAND:
    case X86_OP_RDSEED:
    case X86_OP_XGETBV:
    case X86_OP_XSETBV:
    case X86_OP_SGDT:
    case X86_OP_SIDT:
    case X86_OP_SLDT:
    case X86_OP_STR:
    case X86_OP_SMSW:
    case X86_OP_LAR:
    case X86_OP_LSL:
    case X86_OP_VERR:
    case X86_OP_VERW:
    case X86_OP_MONITOR:
    case X86_OP_MWAIT:
    case X86_OP_CLAC:
    case X86_OP_STAC:
    case X86_OP_SYSCALL:
    case X86_OP_SYSENTER:
    case X86_OP_SYSRET:
    case X86_OP_SYSEXIT:
    case X86_OP_INT1:
    case X86_OP_XBEGIN:
    case X86_OP_XEND:
    case X86_OP_XABORT:
    case X86_OP_XTEST:
    case X86_OP_SERIALIZE: /* not in the model */
    /* Segments and far transfers: the kernel's descriptors are not ours. */
    case X86_OP_MOV_TO_SEG:
    case X86_OP_POP_SEG:
    case X86_OP_LOAD_FAR_PTR:
    case X86_OP_JMP_FAR:
    case X86_OP_CALL_FAR:
    case X86_OP_RET_FAR:
    case X86_OP_IRET:
    case X86_OP_WRFSBASE:
    case X86_OP_WRGSBASE:
    /* What the area holds depends on what the processor tracks as in use. */
    case X86_OP_XSAVE:
    case X86_OP_XSAVEOPT:
    case X86_OP_XSAVEC:
    case X86_OP_XSAVES:
    case X86_OP_XRSTOR:
    case X86_OP_XRSTORS: return true;
    case X86_OP_INT: return i->imm == 0x80; /* a system call */
    case X86_OP_UD: return !one_in(20);     /* slow */
    default: return (i->flags & X86_INSN_PRIVILEGED) && !one_in(8);
    }
}

/* ---- encodings ---- */

static struct {
    bool given;
    unsigned map, opcode;
} only;

void gen_only(unsigned map, unsigned opcode)
{
    only.given = true;
    only.map = map;
    only.opcode = opcode;
}

static uint8_t random_opcode(void)
{
    const unsigned any = below(256);

    return (uint8_t)(only.given ? only.opcode : any);
}

/* 1 to n. */
static unsigned random_map(unsigned n)
{
    const unsigned any = 1 + below(n);

    return only.given ? only.map : any;
}

static unsigned put_modrm_tail(uint8_t *p)
{
    uint64_t a = gen_random(), b = integer();

    if (one_in(2))
        a |= 0xc0;
    memcpy(p, &a, 8);
    if (one_in(2)) /* immediates and displacements that are small */
        memcpy(p + 2, &b, 6);
    return 8;
}

static void random_code(struct diff_case *c)
{
    static const uint8_t prefixes[] = { 0x66, 0x66, 0x66, 0x67, 0xf2, 0xf3, 0xf0,
                                        0x64, 0x65, 0x2e, 0x36, 0x3e, 0x26 };
    uint8_t *p = c->code;
    unsigned n = 0, kind = below(100);
    unsigned map = kind < 35   ? X86_MAP_1BYTE
                   : kind < 65 ? X86_MAP_0F
                   : kind < 70 ? X86_MAP_0F38
                               : X86_MAP_0F3A;

    if (only.given)
        map = only.map;
    if (kind < 75) {
        while (one_in(4) && n < 3)
            p[n++] = prefixes[below(ARRAY_LEN(prefixes))];
        if (kind >= 35 && one_in(2)) /* mandatory prefixes */
            p[n++] = (uint8_t[]){ 0x66, 0xf2, 0xf3 }[below(3)];
        if (c->mode == 8 && one_in(2))
            p[n++] = 0x40 | (uint8_t)below(16);
        if (map != X86_MAP_1BYTE)
            p[n++] = 0x0f;
        if (map >= X86_MAP_0F38)
            p[n++] = map == X86_MAP_0F38 ? 0x38 : 0x3a;
        p[n++] = random_opcode();
    } else if (kind < 86) {
        if (one_in(16))
            p[n++] = 0x67;
        if (one_in(3)) {
            p[n++] = 0xc5;
            p[n++] = (uint8_t)gen_random() | (c->mode == 8 ? 0 : 0xc0);
        } else {
            p[n++] = 0xc4;
            p[n++] = (uint8_t)(random_map(3) | (gen_random() & 0xe0) | (c->mode == 8 ? 0 : 0xc0));
            p[n++] = (uint8_t)gen_random();
        }
        if (one_in(3))
            p[n - 1] |= 0x78; /* no vvvv */
        p[n++] = random_opcode();
    } else {
        if (one_in(16))
            p[n++] = 0x67;
        p[n++] = 0x62;
        p[n++] = (uint8_t)(random_map(6) | (gen_random() & 0xf0) | (c->mode == 8 ? 0 : 0xc0));
        p[n++] = (uint8_t)gen_random() | 4;
        p[n++] = (uint8_t)gen_random() | (one_in(4) ? 0 : 8);
        if (one_in(3)) {
            p[n - 2] |= 0x78;
            p[n - 1] |= 8;
        }
        p[n++] = random_opcode();
    }
    put_modrm_tail(p + n);
}

/* ---- coverage: how often a form was taken ---- */

static uint32_t seen[1 << 16];

static unsigned form_of(const struct diff_case *c)
{
    const struct x86_insn *i = &c->insn;
    uint32_t h = i->enc | i->map << 2 | i->opcode << 5 | i->pp << 13;
    bool group = i->has_modrm && (i->op == X86_OP_FPU || i->operands < 2 || i->map == 0);

    h = h * 31 + (unsigned)(c->mode == 8);
    h = h * 31 + i->osz + (i->enc ? i->vl + (i->rex & 8u) : 0);
    h = h * 31 + (i->mem ? 1u : 0) + (group ? (i->modrm & 0x38u) : 0);
    h = h * 31 + i->lock + 2u * (i->rep != 0) + (i->mask ? 4u : 0) + (i->evex & 3) * 8u;
    h *= 0x9e3779b1u;
    return h >> 16;
}

void gen_coverage(unsigned *forms, unsigned *least)
{
    *forms = 0;
    *least = ~0u;
    for (unsigned i = 0; i < ARRAY_LEN(seen); i++)
        if (seen[i]) {
            ++*forms;
            *least = MIN(*least, seen[i]);
        }
}

static void choose_code(struct diff_case *c)
{
    struct diff_case best = *c;
    unsigned candidates = 0, fewest = ~0u;

    while (candidates < 3) {
        random_code(c);
        if (x86_decode(&c->insn, c->code, 15, c->mode) != X86_DECODE_OK || excluded(c))
            continue;
        if (only.given && (c->insn.map != only.map || c->insn.opcode != only.opcode))
            continue;
        candidates++;
        if (seen[form_of(c)] < fewest) {
            fewest = seen[form_of(c)];
            best = *c;
        }
    }
    *c = best;
    seen[form_of(c)]++;
}

void gen_insn(struct diff_case *c) { choose_code(c); }

/* ---- addresses ---- */

static uint64_t target(const struct diff_case *c, unsigned size)
{
    unsigned pick = below(100);
    uint64_t page = D_DATA + below(3) * 4096, off = below(4096);

    if (size > 2048)
        size = 2048;
    if (pick < 50) { /* aligned */
        off = off & ~(uint64_t)(size > 1 ? (size >= 64 ? 63 : size >= 16 ? 15 : size - 1) : 0);
        return page + (off + size > 4096 ? 0 : off);
    }
    if (pick < 65)
        return page + (off + size > 4096 ? 1 : off);
    if (pick < 75) /* across a page, both there */
        return D_DATA + (1 + below(2)) * 4096 - 1 - below(size ? size : 1);
    if (pick < 80)
        return D_DATA + D_RO_PAGE * 4096 + (off + size > 4096 ? 0 : off);
    if (pick < 84) /* from writable into read-only */
        return D_DATA + D_RO_PAGE * 4096 - 1 - below(size ? size : 1);
    if (pick < 88)
        return D_DATA + D_HOLE_PAGE * 4096 + off;
    if (pick < 90) /* into and out of the hole */
        return D_DATA + D_HOLE_PAGE * 4096 - 1 - below(size ? size : 1);
    if (pick < 92)
        return D_DATA + (D_HOLE_PAGE + 1) * 4096 - 1 - below(size ? size : 1);
    if (pick < 93)
        return D_CODE + 4096 + below(1024); /* readable code */
    if (c->mode != 8)
        return page + (off & ~7ull);
    if (pick < 95)
        return 0x8000000000000000ull | gen_random() >> 2;
    if (pick < 96) /* at the end of the lower half */
        return 0x800000000000ull - 1 - below(16);
    return D_HIGH + below(D_HIGH_PAGES * 4096 - size);
}

/* Fills what is at lin, in both memories. */
static void fill(uint64_t lin, unsigned size)
{
    for (unsigned i = 0; i < ALIGN_UP(size, 8u) + 8; i += 8) {
        uint64_t v = gen_bits();
        for (unsigned k = 0; k < 8; k++) {
            uint64_t at = lin + i + k;
            uint8_t *n = direct_at(at), *e = emu_at(at);
            if (n && e && (at - D_DATA) >> 12 != D_RO_PAGE)
                *n = *e = (uint8_t)(v >> (8 * k));
        }
    }
}

static void store(uint64_t lin, uint64_t v, unsigned size)
{
    for (unsigned k = 0; k < size; k++) {
        uint8_t *n = direct_at(lin + k), *e = emu_at(lin + k);
        if (n && e && (lin + k - D_DATA) >> 12 != D_RO_PAGE)
            *n = *e = (uint8_t)(v >> (8 * k));
    }
}

/* Of the segment the instruction names. */
static uint64_t base_of(const struct diff_case *c)
{
    if (c->mode != 8)
        return 0;
    return c->insn.seg == X86_FS ? direct_fs_base : c->insn.seg == X86_GS ? direct_gs_base : 0;
}

/* Makes the memory operand's address `to`, by its base, its index, or its displacement. */
static void steer(struct diff_case *c, uint64_t to)
{
    struct x86_insn *i = &c->insn;
    uint64_t *gpr = c->before.gpr, rest;

    to -= base_of(c);
    rest = to - (uint64_t)i->disp;
    if (i->base < 16 && i->base == i->index && !(i->flags & X86_INSN_VSIB)) {
        gpr[i->base] = rest / (1 + (1u << i->scale));
        return;
    }
    if (i->index < 16 && !(i->flags & X86_INSN_VSIB)) {
        if (one_in(2))
            gpr[i->index] = below(64);
        rest -= gpr[i->index] << i->scale;
    }
    if (i->base < 16) {
        gpr[i->base] = rest;
        return;
    }
    if (i->disp_len >= 4) { /* no base, or rip */
        uint64_t disp = rest + (uint64_t)i->disp;
        /* FS is the host's own, and 32 bits from there lead to its memory: by GS instead. */
        if (i->seg == X86_FS && c->mode == 8 && i->disp_len == 4) {
            for (unsigned n = 0; n < i->len; n++)
                if (c->code[n] == 0x64) {
                    c->code[n] = 0x65;
                    break;
                }
            disp += direct_fs_base - direct_gs_base;
        }
        if (i->base == X86_REG_RIP)
            disp -= D_INSN + i->len;
        le_put(c->code + i->disp_off, disp, i->disp_len);
        if (x86_decode(i, c->code, 15, c->mode) != X86_DECODE_OK)
            __builtin_trap();
    }
}

/* ---- state ---- */

void gen_xsave(uint8_t *x)
{
    uint16_t fcw = (uint16_t)(0x40 | (gen_random() & 0xf00) | (one_in(8) ? below(64) : 0x3f));
    uint16_t fsw = (uint16_t)((gen_random() & 0x4700) | (one_in(3) ? gen_random() & 0x3800 : 0) |
                              (gen_random() & fcw & 0x3f));
    uint32_t mxcsr =
        one_in(8) ? (uint32_t)gen_random() & 0xffff : 0x1f80 | ((uint32_t)gen_random() & 0xe07f);

    memset(x, 0, 576);
    le16_put(x, fcw);
    le16_put(x + 2, fsw);
    x[4] = one_in(2) ? 0xff : (uint8_t)gen_random();
    le16_put(x + 6, 0x123);
    le64_put(x + 8, 0x1111);
    le64_put(x + 16, 0x2222);
    le32_put(x + 24, mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t m = gen_random();
        uint16_t e = (uint16_t)((gen_random() & 0x8000) | (0x3fff - 40 + below(80)));
        switch (below(8)) {
        case 0:
            m = 0;
            e &= 0x8000;
            break;
        case 1: e |= 0x7fff; break;
        case 2: e &= 0x8000; break;
        case 3: m = BIT(63); break;
        case 4: break;
        default: m |= BIT(63);
        }
        le64_put(x + 32 + 16 * i, m);
        le16_put(x + 32 + 16 * i + 8, e);
    }
    for (unsigned i = 160; i < 416; i += 8)
        le64_put(x + i, gen_bits());
    for (unsigned i = 576; i < D_XSAVE; i += 8)
        le64_put(x + i, gen_bits());
    le64_put(x + 512, direct_xcr0);
}

/* Sets a vector register's low bytes, wherever the XSAVE image has them. */
static void set_index(uint8_t *x, unsigned reg, unsigned byte, uint64_t v, unsigned size)
{
    uint32_t off = 0, len;
    bool align;

    if (reg >= 16) {
        if (x86_native_component(7, &off, &len, &align))
            le_put(x + off + 64 * (reg - 16) + byte, v, size);
    } else if (byte < 16) {
        le_put(x + 160 + 16 * reg + byte, v, size);
    } else if (byte < 32) {
        if (x86_native_component(2, &off, &len, &align))
            le_put(x + off + 16 * reg + byte - 16, v, size);
    } else if (x86_native_component(6, &off, &len, &align)) {
        le_put(x + off + 32 * reg + byte - 32, v, size);
    }
}

static bool uses_vectors(const struct x86_insn *i) { return i->op >= X86_OP_FPU; }

static void setup_string(struct diff_case *c)
{
    uint64_t *gpr = c->before.gpr;
    unsigned size = c->insn.opcode & 1 ? c->insn.osz : 1;
    uint64_t from = target(c, size), to = target(c, size);

    if (c->insn.rep)
        gpr[X86_RCX] = below(4) ? below(24) : below(300);
    if (c->insn.asz == 4 && one_in(2)) {
        from &= 0xffffffff;
        to &= 0xffffffff;
    }
    from -= base_of(c);
    if (one_in(3)) /* overlap */
        to = from + below(32) - 16;
    gpr[X86_RSI] = from;
    gpr[X86_RDI] = to;
    if (one_in(2)) { /* runs of equal bytes for REPE */
        uint64_t v = integer();
        for (unsigned i = 0; i < 128; i += 8) {
            store(from + i, v, 8);
            store(to + i, v, 8);
        }
        gpr[X86_RAX] = v;
    }
}

/* Where jumps go: before or behind the instruction within its page, or nowhere. */
static uint64_t jump_target(const struct diff_case *c)
{
    if (one_in(8))
        return target(c, 8);
    if (one_in(16))
        return gen_random();
    uint64_t to = D_INSN - 0x700 + below(0xe00) / 32 * 32;
    return to == D_INSN ? to + 32 : to; /* not to itself */
}

static void setup_special(struct diff_case *c)
{
    struct x86_insn *i = &c->insn;
    uint64_t *gpr = c->before.gpr;

    switch (i->op) {
    case X86_OP_MOVS:
    case X86_OP_CMPS:
    case X86_OP_STOS:
    case X86_OP_LODS:
    case X86_OP_SCAS: setup_string(c); break;
    case X86_OP_XLAT: gpr[X86_RBX] = target(c, 256) - base_of(c); break;
    case X86_OP_MASKMOV: gpr[X86_RDI] = target(c, 16) - base_of(c); break;
    case X86_OP_DIV:
    case X86_OP_IDIV:
        if (one_in(3))
            break;
        gpr[X86_RDX] = i->op == X86_OP_IDIV && one_in(2) ? ~0ull : below(3);
        if (one_in(2))
            gpr[X86_RAX] &= i->op == X86_OP_IDIV ? 0x7fff7f7f : ~0ull;
        break;
    case X86_OP_LOOP:
    case X86_OP_LOOPE:
    case X86_OP_LOOPNE:
    case X86_OP_JCXZ:
        if (one_in(2))
            gpr[X86_RCX] = below(3);
        break;
    case X86_OP_LEAVE: gpr[X86_RBP] = target(c, 8); break;
    case X86_OP_ENTER:
        gpr[X86_RSP] = target(c, 8);
        gpr[X86_RBP] = target(c, 8);
        if (one_in(2)) {
            c->code[i->imm_off] &= 0x3f; /* a small frame */
            c->code[i->imm_off + 1] = 0;
        }
        break;
    case X86_OP_BT:
    case X86_OP_BTS:
    case X86_OP_BTR:
    case X86_OP_BTC: /* bit offsets that stay in the window */
        if (i->mem && i->operand[1].kind == X86_OPERAND_GPR && !one_in(8)) {
            unsigned r = i->operand[1].reg;
            if (r != i->base && r != i->index)
                gpr[r] = (uint64_t)(int64_t)((int)below(2048) - 1024);
        }
        break;
    case X86_OP_MOVDIR64B: {
        unsigned r = i->operand[0].reg;
        gpr[r] = target(c, 64) & (one_in(8) ? ~0ull : ~63ull);
        break;
    }
    default: break;
    }
}

static void patch_branch(struct diff_case *c)
{
    struct x86_insn *i = &c->insn;
    int64_t rel;

    if (!i->imm_len)
        return;
    rel = (int64_t)(jump_target(c) - D_INSN - i->len);
    if (i->imm_len == 1)
        rel = (int8_t)((one_in(2) ? 32 : -32) + (int)below(64) - 32);
    if (rel >= -32 && rel < 16) /* the jump to the tail is there */
        rel = 48;
    le_put(c->code + i->imm_off, (uint64_t)rel, i->imm_len);
    if (x86_decode(i, c->code, 15, c->mode) != X86_DECODE_OK)
        __builtin_trap();
}

/* Some address of the case leads to the processor's harness, which the emulator has not: a register
 * or displacement by chance, where 64-bit addresses are cut to 32 bits. */
static bool meets_harness(const struct diff_case *c)
{
    const struct x86_insn *i = &c->insn;
    const uint64_t mask = size_mask(i->asz), from = D_STATE - 4096, size = D_STATE_SIZE + 8192;
    const uint64_t *gpr = c->before.gpr;
    uint64_t ea = (uint64_t)i->disp;

    for (unsigned r = 0; r < 16; r++)
        if (gpr[r] - from < size || (gpr[r] & mask) + base_of(c) - from < size)
            return true;
    if (!i->mem || i->flags & X86_INSN_VSIB)
        return false;
    ea += i->base == X86_REG_RIP ? D_INSN + i->len : i->base < 16 ? gpr[i->base] : 0;
    ea += i->index < 16 ? gpr[i->index] << i->scale : 0;
    return (ea & mask) + base_of(c) - from < size;
}

static void make_case(struct diff_case *c)
{
    struct x86_insn *i = &c->insn;
    uint64_t *gpr = c->before.gpr, to = 0;

    c->mode = one_in(4) ? 4 : 8;
    choose_code(c);
    for (unsigned r = 0; r < 16; r++)
        gpr[r] = integer();
    c->before.rflags = X86_F1 | X86_IF | (gen_random() & X86_AFLAGS) | (one_in(4) ? X86_DF : 0) |
                       (one_in(32) ? X86_AC : 0);
    c->vec = uses_vectors(i);
    /* Alignment of these is as the processor likes. */
    if (i->op == X86_OP_FPU_ENV || i->op == X86_OP_MASKMOV || i->mask || i->op == X86_OP_FXSAVE ||
        i->op == X86_OP_FXRSTOR || i->flags & X86_INSN_VSIB)
        c->before.rflags &= ~X86_AC;
    if (c->vec)
        gen_xsave(c->before.xsave);
    /* FP16 has no flush to zero, by which the emulator finds exact tiny results that raise an
     * unmasked underflow. DEVIATES: #XM is missing there. Which exceptions of intermediate results
     * complex multiplication reports is not documented. */
    if (i->op == X86_OP_AVX512 && i->map >= X86_MAP_5) {
        c->before.xsave[25] |= 0x08;
        if (i->map == X86_MAP_6 && ((i->opcode & 0xfe) == 0x56 || (i->opcode & 0xfe) == 0xd6))
            c->before.xsave[24] |= 0x80, c->before.xsave[25] |= 0x1f;
    }

    /* Stack operations: somewhere to push to, something to pop. */
    gpr[X86_RSP] = target(c, 8);
    if (!one_in(4))
        gpr[X86_RSP] &= ~7ull;
    setup_special(c);
    if (i->operand[0].kind == X86_OPERAND_REL)
        patch_branch(c);
    if (i->mem) {
        unsigned size = i->operand[i->mem - 1].size;
        to = target(c, size ? size : 1);
        if (i->flags & X86_INSN_VSIB) {
            unsigned step = one_in(2) ? 8 : 4;
            for (unsigned b = 0; b < 64; b += step)
                set_index(c->before.xsave, i->index, b, below(200), step);
        }
        steer(c, to);
        fill(to, size ? size : 64);
        if (i->op == X86_OP_JMP_IND || i->op == X86_OP_CALL_IND)
            store(to, jump_target(c), 8);
        if (i->op == X86_OP_LDMXCSR)
            store(to + 2, one_in(8) ? 1 : 0, 2);
        if ((i->op == X86_OP_CMPXCHG || i->op == X86_OP_CMPXCHG8B) && one_in(2))
            store(to, gpr[X86_RAX], 8);
        if (i->op == X86_OP_CMPXCHG8B && one_in(2))
            store(to, (gpr[X86_RAX] & 0xffffffff) | gpr[X86_RDX] << 32, 8);
        if (i->op == X86_OP_CMPXCHG16B && one_in(2)) {
            store(to, gpr[X86_RAX], 8);
            store(to + 8, gpr[X86_RDX], 8);
        }
    } else if (i->op == X86_OP_JMP_IND || i->op == X86_OP_CALL_IND) {
        gpr[i->operand[0].reg] = jump_target(c);
    }
    if (i->op == X86_OP_RET)
        store(gpr[X86_RSP], jump_target(c), 8);
    if (i->op == X86_OP_POPF) { /* no single-step */
        if (gpr[X86_RSP] - (D_DATA + D_RO_PAGE * 4096 - 8) < 4096 + 16 ||
            gpr[X86_RSP] - D_CODE < 0x2000)
            gpr[X86_RSP] = D_DATA + 0x800;
        store(gpr[X86_RSP], gen_random() & ~(uint64_t)X86_TF, 8);
    }
    if (c->mode != 8)
        for (unsigned r = 0; r < 16; r++)
            gpr[r] = r < 8 ? (uint32_t)gpr[r] : 0;
}

void gen_case(struct diff_case *c)
{
    do
        make_case(c);
    while (meets_harness(c));
}

/* ---- undefined flags ---- [SDM] vol. 2, each instruction's "Flags Affected" */

uint64_t gen_undefined_flags(const struct diff_case *c)
{
    const struct x86_insn *i = &c->insn;
    unsigned size = i->operand[0].size, count;

    switch (i->op) {
    case X86_OP_AND:
    case X86_OP_OR:
    case X86_OP_XOR:
    case X86_OP_TEST: return X86_AF;
    case X86_OP_MUL:
    case X86_OP_IMUL1:
    case X86_OP_IMUL2:
    case X86_OP_IMUL3: return X86_SF | X86_ZF | X86_AF | X86_PF;
    case X86_OP_DIV:
    case X86_OP_IDIV: return X86_AFLAGS;
    case X86_OP_BT:
    case X86_OP_BTS:
    case X86_OP_BTR:
    case X86_OP_BTC: return X86_OF | X86_SF | X86_AF | X86_PF;
    case X86_OP_BSF:
    case X86_OP_BSR: return X86_AFLAGS & ~X86_ZF;
    case X86_OP_TZCNT:
    case X86_OP_LZCNT: return X86_OF | X86_SF | X86_AF | X86_PF;
    case X86_OP_ANDN:
    case X86_OP_BLSI:
    case X86_OP_BLSMSK:
    case X86_OP_BLSR:
    case X86_OP_BZHI: return X86_AF | X86_PF;
    case X86_OP_BEXTR: return X86_AF | X86_SF | X86_PF;
    case X86_OP_AAA:
    case X86_OP_AAS: return X86_OF | X86_SF | X86_ZF | X86_PF;
    case X86_OP_AAM:
    case X86_OP_AAD: return X86_OF | X86_AF | X86_CF;
    case X86_OP_DAA:
    case X86_OP_DAS: return X86_OF;
    case X86_OP_ROL:
    case X86_OP_ROR:
    case X86_OP_RCL:
    case X86_OP_RCR:
    case X86_OP_SHL:
    case X86_OP_SHR:
    case X86_OP_SAR:
    case X86_OP_SHLD:
    case X86_OP_SHRD: {
        const struct x86_operand *o = &i->operand[i->operands - 1];
        bool by_cl = o->kind == X86_OPERAND_GPR;
        bool rotate = i->op <= X86_OP_RCR && i->op >= X86_OP_ROL;
        count = by_cl ? (unsigned)c->before.gpr[X86_RCX] : i->imm_len ? (unsigned)i->imm : 1;
        count &= size == 8 ? 63 : 31;
        if (!count)
            return 0;
        if (rotate)
            return count == 1 ? 0 : X86_OF;
        if ((i->op == X86_OP_SHLD || i->op == X86_OP_SHRD) && count > 8 * size)
            return X86_AFLAGS;
        return X86_AF | (count == 1 ? 0 : X86_OF) | (count >= 8 * size ? X86_CF : 0);
    }
    default: return 0;
    }
}
