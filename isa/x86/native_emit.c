/* SPDX-License-Identifier: BSD-2-Clause */
/* Generates the stub of an instruction that runs on the host's own unit: load the guest's registers
 * it names, the instruction with its memory operand relocated to the work area and its general
 * registers renamed, store what it wrote. [SDM] vol. 2 "Instruction Format". */
#include <cpuid.h>

#include "isa/x86/native_int.h"

/* Register numbers in encodings: the stub's parameters, and the renamed general register. */
enum { RAX, RCX, RDX, RSI = 6, RDI };

struct emit {
    uint8_t buf[NATIVE_STUB_BYTES];
    unsigned len;
};

/* Registers an instruction uses; `vl` is the width in which vector registers are loaded. */
struct use {
    uint32_t vec_load, vec_store;
    uint8_t k_load, k_store, mm_load, mm_store;
    unsigned vl;
    bool gpr, gpr_is_reg; /* has a general register; it is in ModRM.reg, not in rm */
    uint8_t gpr_in, gpr_out;
    bool strings, index; /* PCMPxSTRx: lengths in rAX, rDX; result in rCX */
};

static void put(struct emit *e, unsigned byte)
{
    if (e->len < sizeof e->buf)
        e->buf[e->len] = (uint8_t)byte;
    e->len++;
}

static void put_bytes(struct emit *e, const char *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        put(e, (uint8_t)s[i]);
}

/* ModRM and displacement of [base + disp32]. */
static void put_mem(struct emit *e, unsigned reg, unsigned base, size_t disp)
{
    put(e, 0x80 | (reg & 7) << 3 | base);
    for (unsigned i = 0; i < 4; i++)
        put(e, (uint8_t)(disp >> 8 * i));
}

static void put_vex(struct emit *e, unsigned rxb, unsigned map, unsigned w, unsigned vvvv,
                    unsigned l, unsigned pp)
{
    put(e, 0xc4);
    put(e, (~rxb & 7) << 5 | map);
    put(e, w << 7 | (~vvvv & 15) << 3 | l << 2 | pp);
}

/* rxb: bit 3 is R', bits 2..0 R, X, B. p2 without V'. */
static void put_evex(struct emit *e, unsigned rxb, unsigned map, unsigned w, unsigned vvvv,
                     unsigned p2, unsigned pp)
{
    put(e, 0x62);
    put(e, (~rxb & 7) << 5 | (~rxb & 8) << 1 | map);
    put(e, w << 7 | (~vvvv & 15) << 3 | 4 | pp);
    put(e, p2 | (~vvvv & 16) >> 1);
}

/* A VEX instruction with register `reg` (0..15) and memory at cpu + disp. */
static void vex_cpu(struct emit *e, unsigned map, unsigned pp, unsigned w, unsigned l, unsigned op,
                    unsigned reg, unsigned vvvv, size_t disp)
{
    put_vex(e, reg >> 1 & 4, map, w, vvvv, l, pp);
    put(e, op);
    put_mem(e, reg, RDI, disp);
}

/* The same with EVEX.512 and register 0..31. */
static void evex_cpu(struct emit *e, unsigned map, unsigned pp, unsigned w, unsigned op,
                     unsigned reg, unsigned vvvv, size_t disp)
{
    put_evex(e, (reg >> 1 & 4) | (reg >> 1 & 8), map, w, vvvv, 0x40, pp);
    put(e, op);
    put_mem(e, reg, RDI, disp);
}

#define CPU(field)  offsetof(struct x86_cpu, field)
#define WORK(field) offsetof(struct native_work, field)

static size_t component(const struct x86_native *n, unsigned i)
{
    return CPU(xsave) + n->component[i].offset;
}

static void load_vec(struct emit *e, const struct x86_native *n, unsigned r, unsigned vl,
                     bool legacy)
{
    size_t xmm = CPU(xsave) + FX_XMM + 16 * r;
    if (legacy) { /* movups */
        if (r >= 8)
            put(e, 0x44);
        put_bytes(e, "\x0f\x10", 2);
        put_mem(e, r, RDI, xmm);
        return;
    }
    if (r >= 16) { /* vmovups zmm */
        evex_cpu(e, 1, 0, 0, 0x10, r, 0, component(n, 7) + 64 * (r - 16));
        return;
    }
    vex_cpu(e, 1, 0, 0, 0, 0x10, r, 0, xmm); /* vmovups */
    if (vl >= 32) {                          /* vinsertf128 */
        vex_cpu(e, 3, 1, 0, 1, 0x18, r, r, component(n, 2) + 16 * r);
        put(e, 1);
    }
    if (vl >= 64) { /* vinsertf64x4 */
        evex_cpu(e, 3, 1, 1, 0x1a, r, r, component(n, 6) + 32 * r);
        put(e, 1);
    }
}

/* VEX and EVEX instructions clear what lies above their result: the whole register is stored. */
static void store_vec(struct emit *e, const struct x86_native *n, unsigned r, bool legacy)
{
    size_t xmm = CPU(xsave) + FX_XMM + 16 * r;
    if (legacy) {
        if (r >= 8)
            put(e, 0x44);
        put_bytes(e, "\x0f\x11", 2);
        put_mem(e, r, RDI, xmm);
        return;
    }
    if (r >= 16) {
        evex_cpu(e, 1, 0, 0, 0x11, r, 0, component(n, 7) + 64 * (r - 16));
        return;
    }
    vex_cpu(e, 1, 0, 0, 0, 0x11, r, 0, xmm);
    vex_cpu(e, 3, 1, 0, 1, 0x19, r, 0, component(n, 2) + 16 * r); /* vextractf128 */
    put(e, 1);
    if (n->features & BIT(NATIVE_F_AVX512)) { /* vextractf64x4 */
        evex_cpu(e, 3, 1, 1, 0x1b, r, 0, component(n, 6) + 32 * r);
        put(e, 1);
    }
}

/* ---- facts that the encoding tells ---- */

static bool is_op(const struct x86_insn *insn, unsigned map, unsigned first, unsigned last)
{
    return insn->map == map && insn->opcode >= first && insn->opcode <= last;
}

static bool is_string_compare(const struct x86_insn *insn)
{
    return insn->enc != X86_ENC_EVEX && is_op(insn, X86_MAP_0F3A, 0x60, 0x63);
}

/* Vector instructions that write the arithmetic flags. */
static bool sets_flags(const struct x86_insn *insn)
{
    if (is_op(insn, X86_MAP_0F, 0x2e, 0x2f) || is_op(insn, X86_MAP_5, 0x2e, 0x2f))
        return true; /* (U)COMISx */
    if (insn->enc == X86_ENC_EVEX)
        return false;
    if (is_op(insn, X86_MAP_0F38, 0x17, 0x17) || is_string_compare(insn))
        return true; /* PTEST */
    return insn->enc == X86_ENC_VEX &&
           (is_op(insn, X86_MAP_0F38, 0x0e, 0x0f) || is_op(insn, X86_MAP_0F, 0x98, 0x99));
}

/* Its general register is in ModRM.reg: CVTx2SI, MOVMSKx, PMOVMSKB, PEXTRW, KMOV r, k. */
static bool gpr_is_reg(const struct x86_insn *insn)
{
    return is_op(insn, X86_MAP_0F, 0x50, 0x50) || is_op(insn, X86_MAP_0F, 0x2c, 0x2d) ||
           is_op(insn, X86_MAP_0F, 0xd7, 0xd7) || is_op(insn, X86_MAP_0F, 0xc5, 0xc5) ||
           (insn->pp >= 2 && is_op(insn, X86_MAP_0F, 0x78, 0x79)) ||
           is_op(insn, X86_MAP_0F, 0x93, 0x93) || is_op(insn, X86_MAP_5, 0x2c, 0x2d) ||
           (insn->pp >= 2 && is_op(insn, X86_MAP_5, 0x78, 0x79));
}

/* W selects the size of a general register or its memory form: ignored outside 64-bit mode. */
static bool w_is_gpr_size(const struct x86_insn *insn)
{
    return gpr_is_reg(insn) || is_string_compare(insn) || is_op(insn, X86_MAP_0F, 0x2a, 0x2a) ||
           (insn->pp == 1 &&
            (is_op(insn, X86_MAP_0F, 0x6e, 0x6e) || is_op(insn, X86_MAP_0F, 0x7e, 0x7e))) ||
           (insn->pp >= 2 && is_op(insn, X86_MAP_0F, 0x7b, 0x7b)) ||
           is_op(insn, X86_MAP_0F3A, 0x14, 0x17) ||
           (is_op(insn, X86_MAP_0F3A, 0x20, 0x22) && insn->opcode != 0x21) ||
           (insn->enc == X86_ENC_EVEX && is_op(insn, X86_MAP_0F38, 0x7c, 0x7c)) ||
           is_op(insn, X86_MAP_5, 0x2a, 0x2a) ||
           (insn->pp >= 2 && is_op(insn, X86_MAP_5, 0x7b, 0x7b));
}

static bool has_is4(const struct x86_insn *insn)
{
    return insn->enc == X86_ENC_VEX && is_op(insn, X86_MAP_0F3A, 0x4a, 0x4c);
}

/* Legacy instructions with xmm0 as an operand that the encoding does not name. */
static bool reads_xmm0(const struct x86_insn *insn)
{
    return insn->enc == X86_ENC_LEGACY && insn->map == X86_MAP_0F38 &&
           (insn->pp == 1 ? insn->opcode == 0x10 || insn->opcode == 0x14 || insn->opcode == 0x15
                          : insn->opcode == 0xcb);
}

static void find_use(struct use *u, const struct x86_insn *insn)
{
    *u = (struct use){ .vl = MAX(insn->vl, 16), .gpr_in = NATIVE_NO_GPR, .gpr_out = NATIVE_NO_GPR };
    for (unsigned i = 0; i < insn->operands && i < ARRAY_LEN(insn->operand); i++) {
        const struct x86_operand *o = &insn->operand[i];
        bool w = o->access & X86_ACC_W;
        switch (o->kind) {
        case X86_OPERAND_VEC:
            u->vec_load |= 1u << (o->reg & 31);
            u->vec_store |= w ? 1u << (o->reg & 31) : 0;
            u->vl = MAX(u->vl, MIN(o->size, 64u));
            break;
        case X86_OPERAND_MASK:
            u->k_load |= (uint8_t)(1u << (o->reg & 7));
            u->k_store |= (uint8_t)(w ? 1u << (o->reg & 7) : 0);
            break;
        case X86_OPERAND_MM:
            u->mm_load |= (uint8_t)(1u << (o->reg & 7));
            u->mm_store |= (uint8_t)(w ? 1u << (o->reg & 7) : 0);
            break;
        case X86_OPERAND_GPR:
            u->gpr = true;
            u->gpr_is_reg = gpr_is_reg(insn);
            if (w)
                u->gpr_out = o->reg & 15;
            if (o->access & X86_ACC_R)
                u->gpr_in = o->reg & 15;
        }
    }
    if (insn->enc == X86_ENC_EVEX && insn->mask)
        u->k_load |= (uint8_t)(1u << insn->mask);
    if (reads_xmm0(insn))
        u->vec_load |= 1;
    if (is_string_compare(insn)) {
        u->strings = !(insn->opcode & 2);
        u->index = insn->opcode & 1;
        if (u->index) {
            u->gpr_out = X86_RCX;
        } else {
            u->vec_load |= 1;
            u->vec_store |= 1;
        }
    }
    if (insn->enc == X86_ENC_EVEX && is_op(insn, X86_MAP_0F38, 0x68, 0x68) && insn->pp == 3) {
        /* VP2INTERSECT writes a pair of masks. */
        u->k_load |= (uint8_t)((u->k_store & 0x55) << 1 | (u->k_store & 0xaa) >> 1);
        u->k_store |= (uint8_t)((u->k_store & 0x55) << 1 | (u->k_store & 0xaa) >> 1);
    }
}

unsigned x86_native_encode(const struct x86_insn *insn, unsigned base, unsigned index, unsigned gpr,
                           uint8_t out[16], unsigned *modrm_at)
{
    bool mode64 = insn->mode == 8, has_gpr = false;
    unsigned w = insn->rex >> 3 & 1, rxb = insn->rex & 7, high = insn->evex >> 2 & 1;
    unsigned modrm = insn->modrm, vvvv = insn->vvvv, imm = (unsigned)insn->imm & 0xff;
    struct emit e = { .len = 0 };
    for (unsigned i = 0; i < insn->operands && i < ARRAY_LEN(insn->operand); i++)
        has_gpr |= insn->operand[i].kind == X86_OPERAND_GPR;
    if (!insn->mem && insn->evex & 8)
        rxb |= 2;
    if (!mode64) {
        rxb = 0;
        high = 0;
        vvvv &= 7;
        if (w_is_gpr_size(insn))
            w = 0;
        if (has_is4(insn))
            imm &= 0x7f;
    }
    if (insn->mem) {
        rxb = (rxb & 4) | (index >> 3 & 1) << 1 | base >> 3;
        modrm = (modrm & 0x38) | (base & 7);
    }
    if (has_gpr && gpr_is_reg(insn)) {
        rxb = (rxb & 3) | (gpr >> 3) << 2;
        high = 0;
        modrm = (modrm & ~0x38u) | (gpr & 7) << 3;
    } else if (has_gpr && !insn->mem) {
        rxb = (rxb & 4) | gpr >> 3;
        modrm = (modrm & ~7u) | (gpr & 7);
    }
    switch (insn->enc) {
    case X86_ENC_LEGACY: {
        static const uint8_t prefix[4] = { 0, 0x66, 0xf3, 0xf2 };
        if (insn->pp)
            put(&e, prefix[insn->pp & 3]);
        if (w | rxb)
            put(&e, 0x40 | w << 3 | rxb);
        put(&e, 0x0f);
        if (insn->map == X86_MAP_0F38)
            put(&e, 0x38);
        if (insn->map == X86_MAP_0F3A)
            put(&e, 0x3a);
        break;
    }
    case X86_ENC_VEX: put_vex(&e, rxb, insn->map, w, vvvv, insn->ll & 1, insn->pp); break;
    default:
        put_evex(&e, rxb | high << 3, insn->map, w, vvvv,
                 (insn->evex & 2u) << 6 | insn->ll << 5 | (insn->evex & 1u) << 4 | insn->mask,
                 insn->pp);
    }
    put(&e, insn->opcode);
    if (modrm_at)
        *modrm_at = e.len;
    put(&e, modrm);
    if (insn->imm_len)
        put(&e, imm);
    __builtin_memcpy(out, e.buf, 16);
    return e.len;
}

/* The instruction itself. */
static void put_insn(struct emit *e, const struct x86_insn *insn)
{
    uint8_t code[16];
    unsigned n = x86_native_encode(insn, RSI, 0, RAX, code, NULL);
    for (unsigned i = 0; i < n; i++)
        put(e, code[i]);
}

bool x86_native_form(const struct x86_native *n, const struct x86_insn *insn,
                     struct x86_native_form *f)
{
    const struct native_row *row = native_lookup(n, insn);
    *f = (struct x86_native_form){ .fp = false };
    if (!row)
        return false;
    f->fp = row->flags & NATIVE_FP;
    for (unsigned i = 0; i < insn->operands && i < ARRAY_LEN(insn->operand); i++) {
        const struct x86_operand *o = &insn->operand[i];
        if (o->kind != X86_OPERAND_GPR)
            continue;
        f->has_gpr = true;
        f->gpr = o->reg & 15;
        f->gpr_written = o->access & X86_ACC_W;
    }
    if (f->has_gpr && gpr_is_reg(insn) && insn->evex & 4 && insn->mode == 8)
        return false; /* there are no general registers 16 to 31 */
    if (insn->mem && row->flags & NATIVE_ALIGNED && insn->operand[insn->mem - 1].size >= 16)
        f->aligned = true;
    return true;
}

static void put_vector(struct emit *e, const struct x86_native *n, const struct x86_insn *insn,
                       const struct use *u, unsigned flags)
{
    bool legacy = insn->enc == X86_ENC_LEGACY;
    for (unsigned r = 0; r < 32; r++)
        if (u->vec_load >> r & 1)
            load_vec(e, n, r, u->vl, legacy);
    for (unsigned r = 0; r < 8; r++) {
        if (u->k_load >> r & 1) /* kmovq */
            vex_cpu(e, 1, 0, 1, 0, 0x90, r, 0, component(n, 5) + 8 * r);
        if (u->mm_load >> r & 1) { /* movq */
            put_bytes(e, "\x0f\x6f", 2);
            put_mem(e, r, RSI, WORK(mm) + 8 * r);
        }
    }
    if (u->gpr && u->gpr_in != NATIVE_NO_GPR) {
        put_bytes(e, "\x48\x8b", 2);
        put_mem(e, RAX, RDI, CPU(gpr) + 8 * u->gpr_in);
    }
    if (u->strings) {
        put_bytes(e, "\x48\x8b", 2);
        put_mem(e, RAX, RDI, CPU(gpr) + 8 * X86_RAX);
        put_bytes(e, "\x48\x8b", 2);
        put_mem(e, RDX, RDI, CPU(gpr) + 8 * X86_RDX);
    }
    if (flags & STUB_FP) { /* ldmxcsr */
        put_bytes(e, "\x0f\xae", 2);
        put_mem(e, 2, RSI, WORK(mxcsr_in));
    }
    put_insn(e, insn);
    if (flags & STUB_FP) { /* stmxcsr, ldmxcsr */
        put_bytes(e, "\x0f\xae", 2);
        put_mem(e, 3, RSI, WORK(mxcsr_out));
        put_bytes(e, "\x0f\xae", 2);
        put_mem(e, 2, RSI, WORK(mxcsr_host));
    }
    if (flags & STUB_FLAGS) { /* pushfq; pop */
        put_bytes(e, "\x9c\x8f", 2);
        put_mem(e, 0, RSI, WORK(flags));
    }
    if (u->gpr_out != NATIVE_NO_GPR) {
        put_bytes(e, "\x48\x89", 2);
        put_mem(e, u->index ? RCX : RAX, RSI, WORK(gpr));
    }
    for (unsigned r = 0; r < 32; r++)
        if (u->vec_store >> r & 1)
            store_vec(e, n, r, legacy);
    for (unsigned r = 0; r < 8; r++) {
        if (u->k_store >> r & 1)
            vex_cpu(e, 1, 0, 1, 0, 0x91, r, 0, component(n, 5) + 8 * r);
        if (u->mm_store >> r & 1) {
            put_bytes(e, "\x0f\x7f", 2);
            put_mem(e, r, RSI, WORK(mm) + 8 * r);
        }
    }
    if (u->mm_load | u->mm_store)
        put_bytes(e, "\x0f\x77", 2); /* emms */
    if (!legacy)
        put_bytes(e, "\xc5\xf8\x77", 3); /* vzeroupper */
    put(e, 0xc3);
}

/* x87: the whole unit by FXRSTOR64 and FXSAVE64. Neither waits, and FNINIT drops what is pending.
 */
static void put_x87(struct emit *e, const struct x86_insn *insn, unsigned *flags)
{
    bool fcmov =
        !insn->mem && (insn->opcode == 0xda || insn->opcode == 0xdb) && (insn->modrm & 0x38) < 0x20;
    bool fcomi = !insn->mem && (insn->opcode == 0xdb || insn->opcode == 0xdf) &&
                 ((insn->modrm & 0x38) == 0x28 || (insn->modrm & 0x38) == 0x30);
    put_bytes(e, "\x48\x0f\xae", 3);
    put_mem(e, 1, RSI, WORK(fx));
    if (fcmov) { /* mov ah, …; sahf */
        put(e, 0x8a);
        put_mem(e, 4, RSI, WORK(flags_in));
        put(e, 0x9e);
    }
    put(e, insn->opcode);
    put(e, insn->mem ? (insn->modrm & 0x38) | RSI : insn->modrm);
    if (fcomi) {
        put_bytes(e, "\x9c\x8f", 2);
        put_mem(e, 0, RSI, WORK(flags));
        *flags |= STUB_FLAGS;
    }
    put_bytes(e, "\x48\x0f\xae", 3);
    put_mem(e, 0, RSI, WORK(fx));
    put_bytes(e, "\xdb\xe3\xc3", 3); /* fninit; ret */
}

/* ---- the cache ---- */

static void flush(struct x86_native *n)
{
    uint32_t a, b, c, d;
    __builtin_memset(n->stub, 0, sizeof n->stub);
    n->used = 0;
    n->stubs = 0;
    n->flushes++;
    /* Code is about to change under another linear address: serialize. [SDM] 3A "Handling Self- and
     * Cross-Modifying Code" */
    __cpuid(0, a, b, c, d);
}

static void make_key(const struct x86_insn *insn, uint64_t key[2])
{
    bool x87 = insn->map == X86_MAP_1BYTE;
    unsigned rex = x87 ? 0 : insn->mem ? insn->rex & 0x4cu : insn->rex;
    unsigned modrm = insn->mem ? insn->modrm & 0x38u : insn->modrm;
    key[0] = insn->enc | insn->map << 8 | insn->opcode << 16 | (uint64_t)rex << 24 |
             (uint64_t)insn->pp << 32 | (uint64_t)insn->vvvv << 40 | (uint64_t)insn->mask << 48 |
             (uint64_t)insn->evex << 56;
    key[1] = insn->ll | modrm << 8 | (insn->imm_len ? (unsigned)insn->imm & 0xff : 0) << 16 |
             (uint64_t)(insn->mode == 8) << 24 | (uint64_t)(insn->mem != 0) << 25;
}

static unsigned hash(const uint64_t key[2])
{
    uint64_t h = key[0] * 0x9e3779b97f4a7c15ull ^ key[1] * 0xc2b2ae3d27d4eb4full;
    return (unsigned)(h >> 40 ^ h >> 20) % NATIVE_STUBS;
}

static unsigned elem_size(unsigned el, unsigned w)
{
    switch (el) {
    case NATIVE_EL1: return 1;
    case NATIVE_EL2: return 2;
    case NATIVE_EL4: return 4;
    case NATIVE_EL8: return 8;
    case NATIVE_ELW: return w ? 8 : 4;
    case NATIVE_ELBW: return w ? 2 : 1;
    default: return 16;
    }
}

/* How a mask divides the memory operand. */
static void describe_mask(struct native_stub *st, const struct x86_insn *insn,
                          const struct native_row *row)
{
    unsigned w = insn->rex >> 3 & 1, size = insn->operand[insn->mem - 1].size;
    unsigned vl = MAX(insn->vl, 16), el = elem_size(row->flags & NATIVE_EL, w);
    st->flags |= STUB_MASKED;
    if (row->flags & NATIVE_NF)
        st->flags |= STUB_NO_SUPP;
    if (insn->evex & 1 || row->flags & NATIVE_SPREAD) {
        st->flags |= STUB_BROADCAST;
        st->elems = (uint8_t)(vl / el);
        if (!w && row->flags & NATIVE_HALF)
            st->elems /= 2;
        if (!w && row->flags & NATIVE_QUARTER)
            st->elems /= 4;
    } else {
        st->elems = (uint8_t)(size / el);
    }
    st->elem = (uint8_t)el;
    if (insn->pp == 1 &&
        (is_op(insn, X86_MAP_0F38, 0x62, 0x63) || is_op(insn, X86_MAP_0F38, 0x88, 0x8b)))
        st->flags |= STUB_PACKED;
}

/* Takes a free slot; false if the table or the code memory is full. */
static bool install(struct x86_native *n, const struct native_stub *st, const struct emit *e,
                    struct native_stub **slot)
{
    if (n->stubs >= NATIVE_STUBS_MAX || n->size - n->used < e->len)
        return false;
    unsigned i = hash(st->key);
    while (n->stub[i].code)
        i = (i + 1) % NATIVE_STUBS;
    __builtin_memcpy(n->code_rw + n->used, e->buf, e->len);
    n->stub[i] = *st;
    n->stub[i].code = (native_code *)(uintptr_t)(n->code_rx + n->used);
    n->used = MIN(ALIGN_UP(n->used + e->len, 16), n->size);
    n->stubs++;
    *slot = &n->stub[i];
    return true;
}

static const struct native_stub *generate(struct x86_cpu *cpu, const struct x86_insn *insn,
                                          const uint64_t key[2])
{
    struct x86_native *n = cpu->native;
    struct emit e = { .len = 0 };
    struct native_stub st = { .key = { key[0], key[1] }, .gpr = NATIVE_NO_GPR }, *slot;
    unsigned flags = 0;
    if (insn->mem && insn->operand[insn->mem - 1].size > sizeof n->work->mem)
        x86_error(cpu, "native: operand too large");
    if (insn->map == X86_MAP_1BYTE) {
        put_x87(&e, insn, &flags);
        st.flags = (uint16_t)flags;
    } else {
        const struct native_row *row = native_lookup(n, insn);
        struct use u;
        if (!row)
            x86_ud(cpu);
        find_use(&u, insn);
        if (u.gpr && u.gpr_is_reg && insn->evex & 4 && insn->mode == 8)
            x86_ud(cpu); /* there are no general registers 16 to 31 */
        if (row->flags & NATIVE_FP)
            flags |= STUB_FP;
        if (insn->enc == X86_ENC_EVEX && insn->evex & 1 && !insn->mem)
            flags |= STUB_SAE;
        if (sets_flags(insn))
            flags |= STUB_FLAGS;
        if (insn->map == X86_MAP_6 &&
            ((insn->opcode & 0xfe) == 0x56 || (insn->opcode & 0xfe) == 0xd6))
            flags |= STUB_COMPLEX;
        if (insn->enc != X86_ENC_EVEX && is_op(insn, X86_MAP_0F3A, 0x40, 0x41))
            flags |= STUB_DOT;
        if (insn->mem && row->flags & NATIVE_ALIGNED && insn->operand[insn->mem - 1].size >= 16)
            flags |= STUB_ALIGNED;
        st.flags = (uint16_t)flags;
        st.gpr = u.gpr_out;
        if (insn->mem && insn->enc == X86_ENC_EVEX && insn->mask)
            describe_mask(&st, insn, row);
        put_vector(&e, n, insn, &u, flags);
    }
    if (e.len > sizeof e.buf)
        x86_error(cpu, "native: stub too long");
    if (!install(n, &st, &e, &slot)) {
        flush(n);
        if (!install(n, &st, &e, &slot))
            x86_error(cpu, "native: no code memory");
    }
    return slot;
}

const struct native_stub *native_stub(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    const struct x86_native *n = cpu->native;
    uint64_t key[2];
    make_key(insn, key);
    unsigned i = hash(key);
    for (; n->stub[i].code; i = (i + 1) % NATIVE_STUBS)
        if (likely(n->stub[i].key[0] == key[0] && n->stub[i].key[1] == key[1]))
            return &n->stub[i];
    return generate(cpu, insn, key);
}
