/* SPDX-License-Identifier: BSD-2-Clause */
/* The translator: integer instructions re-encoded with mapped registers and, for a memory operand,
 * the host address in r9. What is not on the list is left to the interpreter. */
#include "engine/soft/soft.h"

enum { NO = 0, YES, GROUP0, MODERN, SKIP };

static const uint8_t kind[X86_OP_COUNT] = {
    [X86_OP_ADD] = YES,      [X86_OP_OR] = YES,        [X86_OP_ADC] = YES,
    [X86_OP_SBB] = YES,      [X86_OP_AND] = YES,       [X86_OP_SUB] = YES,
    [X86_OP_XOR] = YES,      [X86_OP_CMP] = YES,       [X86_OP_INC] = YES,
    [X86_OP_DEC] = YES,      [X86_OP_NOT] = YES,       [X86_OP_NEG] = YES,
    [X86_OP_TEST] = YES,     [X86_OP_MOV] = YES,       [X86_OP_XCHG] = YES,
    [X86_OP_MOVZX] = YES,    [X86_OP_MOVSX] = YES,     [X86_OP_MOVBE] = MODERN,
    [X86_OP_BSWAP] = YES,    [X86_OP_CMOVCC] = YES,    [X86_OP_SETCC] = YES,
    [X86_OP_MOVNTI] = YES,   [X86_OP_ROL] = YES,       [X86_OP_ROR] = YES,
    [X86_OP_RCL] = YES,      [X86_OP_RCR] = YES,       [X86_OP_SHL] = YES,
    [X86_OP_SHR] = YES,      [X86_OP_SAR] = YES,       [X86_OP_SHLD] = YES,
    [X86_OP_SHRD] = YES,     [X86_OP_MUL] = YES,       [X86_OP_IMUL1] = YES,
    [X86_OP_IMUL2] = YES,    [X86_OP_IMUL3] = YES,     [X86_OP_BT] = YES,
    [X86_OP_BTS] = YES,      [X86_OP_BTR] = YES,       [X86_OP_BTC] = YES,
    [X86_OP_BSF] = YES,      [X86_OP_BSR] = YES,       [X86_OP_TZCNT] = MODERN,
    [X86_OP_LZCNT] = MODERN, [X86_OP_POPCNT] = MODERN, [X86_OP_CRC32] = MODERN,
    [X86_OP_ADCX] = MODERN,  [X86_OP_ADOX] = MODERN,   [X86_OP_ANDN] = MODERN,
    [X86_OP_BEXTR] = MODERN, [X86_OP_BLSI] = MODERN,   [X86_OP_BLSMSK] = MODERN,
    [X86_OP_BLSR] = MODERN,  [X86_OP_BZHI] = MODERN,   [X86_OP_MULX] = MODERN,
    [X86_OP_PDEP] = MODERN,  [X86_OP_PEXT] = MODERN,   [X86_OP_RORX] = MODERN,
    [X86_OP_SARX] = MODERN,  [X86_OP_SHLX] = MODERN,   [X86_OP_SHRX] = MODERN,
    [X86_OP_CBW] = YES,      [X86_OP_CWD] = YES,       [X86_OP_LAHF] = YES,
    [X86_OP_SAHF] = YES,     [X86_OP_CLC] = YES,       [X86_OP_STC] = YES,
    [X86_OP_CMC] = YES,      [X86_OP_CMPXCHG] = YES,   [X86_OP_XADD] = YES,
    [X86_OP_NOP] = SKIP,     [X86_OP_ENDBR] = SKIP,    [X86_OP_PREFETCH] = SKIP,
    [X86_OP_FENCE] = YES,    [X86_OP_PAUSE] = YES,
};

/* Opcodes whose modrm.reg is part of them. */
static const bool group1[256] = {
    [0x80] = true, [0x81] = true, [0x82] = true, [0x83] = true, [0xc0] = true, [0xc1] = true,
    [0xc6] = true, [0xc7] = true, [0xd0] = true, [0xd1] = true, [0xd2] = true, [0xd3] = true,
    [0xf6] = true, [0xf7] = true, [0xfe] = true, [0xff] = true,
};

static bool group(const struct x86_insn *in)
{
    if (in->enc == X86_ENC_VEX)
        return in->map == X86_MAP_0F38 && in->opcode == 0xf3;
    if (in->map == X86_MAP_1BYTE)
        return group1[in->opcode];
    if (in->map == X86_MAP_0F)
        return in->opcode == 0xba || in->opcode == 0xae || (in->opcode & 0xf0) == 0x90;
    return false;
}

static bool modern(void)
{
    static int known = -1;

    if (known < 0)
        known = __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("sse4.2") &&
                __builtin_cpu_supports("avx2");
    return known;
}

/* Where a guest register operand goes: its own host register, or scratch (loaded before). */
struct field {
    int guest; /* -1: none */
    unsigned host;
    bool loaded;
    bool in_place; /* it stays in memory: a gs operand */
};

/* Does it write all of its destination, whatever was there before? */
static bool overwrites(const struct x86_insn *in)
{
    switch (in->op) {
    case X86_OP_MOV:
    case X86_OP_MOVZX:
    case X86_OP_MOVSX:
    case X86_OP_MOVBE:
    case X86_OP_IMUL3:
    case X86_OP_POPCNT:
    case X86_OP_LZCNT:
    case X86_OP_TZCNT:
    case X86_OP_ANDN:
    case X86_OP_BEXTR:
    case X86_OP_BLSI:
    case X86_OP_BLSMSK:
    case X86_OP_BLSR:
    case X86_OP_BZHI:
    case X86_OP_PDEP:
    case X86_OP_PEXT:
    case X86_OP_RORX:
    case X86_OP_SARX:
    case X86_OP_SHLX:
    case X86_OP_SHRX: return true;
    default: return false;
    }
}

/* Guest register g is overwritten, all of it, and not read. */
static bool only_written(const struct x86_insn *in, int g)
{
    if (!overwrites(in))
        return false;
    for (unsigned i = 0; i < in->operands; i++) {
        const struct x86_operand *o = &in->operand[i];
        if (o->kind == X86_OPERAND_GPR && o->reg == g && (o->size < 4 || o->access != X86_ACC_W))
            return false;
    }
    return true;
}

/* The host's instruction may have the register in memory as its operand: a locked or bit-string
 * form would be another, and 32 bits are to zero the rest. */
static bool may_stay(const struct x86_insn *in, int g)
{
    if (xl_host((unsigned)g) >= 0 || in->op == X86_OP_XCHG || in->op == X86_OP_XADD ||
        in->op == X86_OP_CMPXCHG || (in->op >= X86_OP_BT && in->op <= X86_OP_BTC))
        return false;
    for (unsigned i = 0, n = 0; i < in->operands; i++) {
        const struct x86_operand *o = &in->operand[i];
        if (o->kind != X86_OPERAND_GPR || o->reg != g)
            continue;
        if (n++ || (o->size == 4 && (o->access & X86_ACC_W)))
            return false;
    }
    return true;
}

/* The scratch registers that `free` names. */
enum { FREE_R9 = 1, FREE_R10 = 2, FREE_R11 = 4 };

static unsigned scratch(unsigned *free)
{
    const unsigned reg = *free & FREE_R11 ? XL_R11 : *free & FREE_R9 ? XL_R9 : XL_R10;

    *free &= reg == XL_R11 ? ~(unsigned)FREE_R11 : reg == XL_R9 ? ~(unsigned)FREE_R9 : 0;
    return reg;
}

static void take(struct xl_tr *t, const struct x86_insn *in, struct field *f, unsigned *free,
                 const struct field *same)
{
    if (f->guest < 0)
        return;
    if (xl_host((unsigned)f->guest) >= 0) {
        f->host = (unsigned)xl_host((unsigned)f->guest);
        return;
    }
    if (same && same->loaded && same->guest == f->guest) {
        f->host = same->host;
        return;
    }
    f->loaded = true;
    if (t->r11 == (unsigned)f->guest + 1) {
        f->host = XL_R11;
        return;
    }
    f->host = scratch(free);
    if (only_written(in, f->guest))
        xl_taken(t, f->host);
    else
        xl_get(t, (unsigned)f->guest, f->host);
    if (f->host == XL_R11)
        t->r11 = (unsigned)f->guest + 1;
}

/* r11 is not free if it has one of them. */
static unsigned keep_r11(const struct xl_tr *t, unsigned free, const struct field *a,
                         const struct field *b, const struct field *c)
{
    const int has = (int)t->r11 - 1;

    return has >= 0 && (has == a->guest || has == b->guest || has == c->guest)
               ? free & ~(unsigned)FREE_R11
               : free;
}

static bool written(const struct x86_insn *in, int guest)
{
    for (unsigned i = 0; i < in->operands; i++)
        if (in->operand[i].kind == X86_OPERAND_GPR && in->operand[i].reg == guest &&
            (in->operand[i].access & X86_ACC_W))
            return true;
    return false;
}

static void put(struct xl_tr *t, const struct x86_insn *in, const struct field *f)
{
    if (!f->loaded || !written(in, f->guest))
        return;
    xl_gs(t, 1, 0x89, f->host, xl_gpr((unsigned)f->guest));
    if (f->host == XL_R11)
        t->r11 = (unsigned)f->guest + 1;
}

static void prefixes(struct xl_bytes *s, const struct x86_insn *in)
{
    if (in->lock)
        xl_add(s, 0xf0);
    if (in->osz == 2 || (in->pp == 1 && in->map >= X86_MAP_0F38))
        xl_add(s, 0x66);
    if (likely(in->pp < 2))
        return;
    switch (in->op) {
    case X86_OP_POPCNT:
    case X86_OP_LZCNT:
    case X86_OP_TZCNT:
    case X86_OP_ADOX:
    case X86_OP_PAUSE: xl_add(s, 0xf3); break;
    case X86_OP_CRC32: xl_add(s, 0xf2); break;
    default: break;
    }
}

static void map_and_opcode(struct xl_bytes *s, const struct x86_insn *in, unsigned opcode)
{
    if (in->map != X86_MAP_1BYTE) {
        xl_add(s, 0x0f);
        if (in->map == X86_MAP_0F38)
            xl_add(s, 0x38);
        if (in->map == X86_MAP_0F3A)
            xl_add(s, 0x3a);
    }
    xl_add(s, opcode);
}

static void immediate(struct xl_tr *t, const struct x86_insn *in)
{
    xl_put(t, &(struct xl_bytes){ in->imm, in->imm_len });
}

/* With ah ch dh bh: no REX may appear, so as it is; rsi lends its number to r9 for an address. */
static bool high_byte(struct xl_tr *t, const struct x86_insn *in)
{
    const struct x86_operand *m = in->mem ? &in->operand[in->mem - 1] : NULL;

    for (unsigned i = 0; i < in->operands; i++)
        if (in->operand[i].kind == X86_OPERAND_GPR && in->operand[i].reg == X86_RSP)
            return false;
    if (in->rex)
        return false;
    if (m) {
        const unsigned cold = xl_cold_new(t, in);
        struct xl_ref ref;
        xl_by_tlb(t); /* a fault must find rsi as it was */
        if (!in->has_modrm || m->size != 1 ||
            !xl_operand(t, in, 1, m->access & X86_ACC_W, cold, &ref))
            return false;
        xl_lea(t, 1, XL_R9, (int)ref.base, ref.index == XL_NO_INDEX ? -1 : (int)ref.index, 0,
               ref.disp);
        xl_rr(t, 1, 0x87, X86_RSI, XL_R9); /* xchg */
    }
    struct xl_bytes s = { 0, 0 };
    prefixes(&s, in);
    /* 82 is 80 in 32-bit code and nothing in 64-bit code */
    map_and_opcode(&s, in, in->map == X86_MAP_1BYTE && in->opcode == 0x82 ? 0x80u : in->opcode);
    if (in->has_modrm)
        xl_add(&s, m ? (in->modrm & 0x38u) | X86_RSI : in->modrm);
    xl_put(t, &s);
    immediate(t, in);
    if (m)
        xl_rr(t, 1, 0x87, X86_RSI, XL_R9);
    return true;
}

static bool lea(struct xl_tr *t, const struct x86_insn *in)
{
    const unsigned to = in->operand[0].reg;

    if ((in->asz != 8 && in->asz != 4) || in->seg == X86_SREG_COUNT)
        return false;
    if (in->osz == 2) {
        xl_effective(t, in);
        unsigned h = xl_get(t, to, XL_R10);
        xl_b(t, 0x66);
        xl_mov(t, 0, h, XL_R9);
        if (xl_host(to) < 0)
            xl_gs(t, 1, 0x89, h, xl_gpr(to));
        return true;
    }
    const unsigned dst = xl_host(to) < 0 ? XL_R9 : (unsigned)xl_host(to);
    xl_effective_to(t, in, in->asz == 8 && in->osz == 8, dst);
    if (dst == XL_R9)
        xl_gs(t, 1, 0x89, XL_R9, xl_gpr(to));
    return true;
}

bool xl_insn(struct xl_tr *t, const struct x86_insn *in)
{
    const bool vex = in->enc == X86_ENC_VEX, grp = group(in);
    const unsigned k = kind[in->op];
    bool high = false, byte_rex = false, moffs = false;
    unsigned opcode = in->opcode;

    if (in->op == X86_OP_LEA)
        return lea(t, in);
    if (!k)
        return xl_special(t, in);
    if (in->enc == X86_ENC_EVEX || (k == MODERN && !modern()))
        return false;
    if (k == SKIP)
        return true;
    for (unsigned i = 0; i < in->operands; i++) {
        const struct x86_operand *o = &in->operand[i];
        high |= o->kind == X86_OPERAND_GPR8H;
        byte_rex |= o->kind == X86_OPERAND_GPR && o->size == 1 && o->reg >= 4;
        if (o->kind != X86_OPERAND_GPR && o->kind != X86_OPERAND_GPR8H &&
            o->kind != X86_OPERAND_MEM && o->kind != X86_OPERAND_IMM)
            return false;
    }
    if (high)
        return high_byte(t, in);

    const struct x86_operand *m = in->mem ? &in->operand[in->mem - 1] : NULL;
    if (m && (!m->size || m->size > 8 || !xl_address_ok(t, in)))
        return false;
    if (m &&
        (in->op == X86_OP_BT || in->op == X86_OP_BTS || in->op == X86_OP_BTR ||
         in->op == X86_OP_BTC) &&
        opcode != 0xba)
        return xl_special(t, in);

    /* VEX.W and the upper bits of register numbers mean nothing in 32-bit code. */
    const unsigned rex = t->mode == 8 ? in->rex : 0;
    struct field reg = { .guest = -1 }, rm = { .guest = -1 }, vv = { .guest = -1 };
    const bool oreg = !in->has_modrm && !vex &&
                      ((in->map == X86_MAP_1BYTE &&
                        (opcode >> 4 == 0xb || (opcode & 0xf8) == 0x90 || opcode >> 4 == 4)) ||
                       (in->map == X86_MAP_0F && (opcode & 0xf8) == 0xc8)) &&
                      in->op != X86_OP_PAUSE;
    if (in->has_modrm && !grp)
        reg.guest = (rex & 4) << 1 | (in->modrm >> 3 & 7);
    if (in->has_modrm && in->modrm >= 0xc0 && in->op != X86_OP_FENCE)
        rm.guest = (rex & 1) << 3 | (in->modrm & 7);
    if (oreg)
        rm.guest = (rex & 1) << 3 | (opcode & 7);
    if (vex && in->op != X86_OP_RORX)
        vv.guest = in->vvvv & (t->mode == 8 ? 15 : 7);
    if (m && !in->has_modrm)
        moffs = true;

    struct xl_ref ref = { 0, XL_NO_INDEX, 0 };
    if (m) {
        unsigned cold = xl_cold_new(t, in);
        if (!xl_operand(t, in, m->size, m->access & X86_ACC_W, cold, &ref))
            return false;
        if (ref.base == XL_R9)
            t->r11 = 0; /* it may be wanted for another */
        unsigned free = keep_r11(t, (ref.base == XL_R9 ? 0 : FREE_R9) | FREE_R11, &reg, &vv, &vv);
        take(t, in, &reg, &free, NULL);
        if (!free && vv.guest >= 0 && ref.base == XL_R9) {
            xl_lea(t, 1, XL_R9, XL_R9, ref.index == XL_NO_INDEX ? -1 : (int)ref.index, 0, ref.disp);
            ref = (struct xl_ref){ XL_R9, XL_NO_INDEX, 0 };
            free = FREE_R10;
        }
        take(t, in, &vv, &free, &reg);
    } else {
        /* The source may be where a register cannot be, if it is the other operand that is. */
        if (!vex && !grp && in->has_modrm && in->map == X86_MAP_1BYTE && reg.guest >= 0 &&
            xl_host((unsigned)reg.guest) < 0 && rm.guest >= 0 && xl_host((unsigned)rm.guest) >= 0 &&
            ((opcode < 0x40 && !(opcode & 6)) || (opcode & 0xfe) == 0x88)) {
            const int g = reg.guest;
            reg.guest = rm.guest;
            rm.guest = g;
            opcode |= 2;
        }
        rm.in_place = rm.guest >= 0 && in->has_modrm && t->r11 != (unsigned)rm.guest + 1 &&
                      may_stay(in, rm.guest);
        unsigned free = keep_r11(t, FREE_R9 | FREE_R10 | FREE_R11, &reg, &rm, &vv);
        take(t, in, &reg, &free, NULL);
        if (!rm.in_place)
            take(t, in, &rm, &free, &reg);
        take(t, in, &vv, &free, reg.loaded && reg.guest == vv.guest ? &reg : &rm);
    }

    const unsigned w = (rex & 8) != 0;
    const unsigned r = grp ? in->modrm >> 3 & 7u : reg.host, b = m ? ref.base : rm.host,
                   x = ref.index == XL_NO_INDEX ? 0 : ref.index;
    struct xl_bytes s = { 0, 0 };
    if (rm.in_place)
        xl_b(t, 0x65); /* by itself: without it there are no more than eight bytes up to SIB */
    if (vex) {
        xl_add(&s, 0xc4);
        xl_add(&s, (r & 8 ? 0 : 0x80) | (x & 8 ? 0 : 0x40) | (b & 8 ? 0 : 0x20) | in->map);
        xl_add(&s,
               w << 7 | (~(vv.guest < 0 ? 0u : vv.host) & 15) << 3 | (in->ll & 1u) << 2 | in->pp);
        xl_add(&s, opcode);
    } else {
        prefixes(&s, in);
        unsigned out = 0x40 | w << 3 | (r & 8) >> 1 | (x & 8) >> 2 | (b & 8) >> 3;
        if (out != 0x40 || byte_rex)
            xl_add(&s, out);
        if (in->map == X86_MAP_1BYTE && opcode == 0x82)
            opcode = 0x80;
        if (moffs)
            opcode = opcode == 0xa0 ? 0x8a : opcode == 0xa1 ? 0x8b : opcode == 0xa2 ? 0x88 : 0x89;
        if (in->map == X86_MAP_1BYTE && opcode >> 4 == 4) { /* 32-bit INC, DEC */
            xl_add(&s, 0xff);
            xl_add(&s, 0xc0 | (opcode & 8) | (b & 7));
            xl_put(t, &s);
            put(t, in, &rm);
            return true;
        }
        map_and_opcode(&s, in, oreg ? (opcode & ~7u) | (b & 7) : opcode);
    }
    if (in->op == X86_OP_FENCE) {
        xl_add(&s, in->modrm);
    } else if (rm.in_place) {
        xl_add(&s, 4 | (r & 7) << 3);
        xl_add(&s, 0x25);
    } else if (!m && in->has_modrm)
        xl_add(&s, 0xc0 | (r & 7) << 3 | (b & 7));
    xl_put(t, &s);
    if (rm.in_place)
        xl_i32(t, (uint32_t)xl_gpr((unsigned)rm.guest));
    if (m)
        xl_modrm_ref(t, moffs ? 0 : r, &ref);
    if (!moffs)
        immediate(t, in);
    put(t, in, &reg);
    put(t, in, &rm);
    put(t, in, &vv);
    return true;
}
