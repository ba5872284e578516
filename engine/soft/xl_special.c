/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The translator: integer instructions that do not simply run as themselves: those that could make
 * the host fault, reach beyond their operand, or are to be aligned.
 */
#include "engine/soft/soft.h"

enum { JB = 2, JE = 4, JA = 7 };

/* r9 = the operand, zero-extended, or with a register's rest above it */
static bool divisor(struct xl_tr *t, const struct x86_insn *in, unsigned cold)
{
    const struct x86_operand *o = &in->operand[0];
    struct xl_ref ref;

    if (o->kind == X86_OPERAND_GPR) {
        xl_get_to(t, 1, XL_R9, o->reg);
        return true;
    }
    if (o->kind != X86_OPERAND_MEM || !xl_operand(t, in, o->size, false, cold, &ref))
        return false;
    xl_op_ref(t, o->size == 8, o->size == 1 ? 0x0fb6 : o->size == 2 ? 0x0fb7 : 0x8b, XL_R9, &ref);
    return true;
}

/* Not what raises #DE: the quotient must fit. Of IDIV only what follows a CWD, CDQ or CQO, and not
 * by -1. */
static bool divide(struct xl_tr *t, const struct x86_insn *in)
{
    const unsigned n = in->operand[0].size, w = n == 8;
    const bool idiv = in->op == X86_OP_IDIV, saved = t->live;
    const unsigned cold = xl_cold_new(t, in);

    if ((idiv && n == 1) || !divisor(t, in, cold))
        return false;
    if (saved)
        xl_flags_away(t);
    if (n == 1) {
        xl_rr(t, 0, 0x0fb7, XL_R10, X86_RAX);
        xl_rr(t, 0, 0xc1, 5, XL_R10); /* shr r10d, 8 */
        xl_b(t, 8);
        xl_rr(t, 0, 0x3a, XL_R10, XL_R9); /* cmp r10b, r9b */
        xl_guard(t, JB, cold, saved);
    } else if (!idiv) {
        if (n == 2)
            xl_b(t, 0x66);
        xl_rr(t, w, 0x3b, X86_RDX, XL_R9); /* cmp */
        xl_guard(t, JB, cold, saved);
    } else {
        xl_mov(t, w, XL_R10, X86_RAX);
        if (n == 2)
            xl_b(t, 0x66);
        xl_rr(t, w, 0xc1, 7, XL_R10); /* sar */
        xl_b(t, 8 * n - 1);
        if (n == 2)
            xl_b(t, 0x66);
        xl_rr(t, w, 0x3b, XL_R10, X86_RDX); /* cmp */
        xl_guard(t, JE, cold, saved);
        xl_lea(t, w, XL_R10, XL_R9, -1, 0, 1);
        if (n == 2)
            xl_b(t, 0x66);
        xl_rr(t, w, 0x83, 7, XL_R10); /* cmp r10, 1: neither 0 nor -1 */
        xl_b(t, 1);
        xl_guard(t, JA, cold, saved);
    }
    if (n == 2)
        xl_b(t, 0x66);
    xl_rr(t, w, n == 1 ? 0xf6 : 0xf7, idiv ? 7 : 6, XL_R9);
    if (saved)
        xl_flags_back(t);
    return true;
}

/* BT, BTS, BTR, BTC of memory with a register for the bit: that may be anywhere. */
static bool bit_test(struct xl_tr *t, const struct x86_insn *in)
{
    const struct x86_operand *o = in->operand;
    const unsigned n = o->size, w = n == 8, log = n == 8 ? 3 : n == 4 ? 2 : 1;
    const bool write = in->op != X86_OP_BT;

    if (o[0].kind != X86_OPERAND_MEM || o[1].kind != X86_OPERAND_GPR || n < 2 ||
        in->asz != t->mode || (t->mode == 4 && in->seg >= X86_FS) || !xl_address_ok(t, in))
        return false;
    const unsigned cold = xl_cold_new(t, in), index = o[1].reg;
    if (!xl_address(t, in))
        return false;
    if (t->live)
        xl_flags_away(t);
    xl_get_to(t, 1, XL_R10, index);
    if (n == 2)
        xl_rr(t, 1, 0x0fbf, XL_R10, XL_R10); /* movsx */
    else if (n == 4)
        xl_rr(t, 1, 0x63, XL_R10, XL_R10);
    xl_rr(t, 1, 0xc1, 7, XL_R10); /* sar: the element's number */
    xl_b(t, log + 3);
    xl_lea(t, t->mode == 8, XL_R9, XL_R9, XL_R10, log, 0);
    if (in->lock) {
        xl_get_to(t, 0, XL_R10, index);
        xl_rr(t, 0, 0x83, 4, XL_R10); /* and */
        xl_b(t, 8 * n - 1);
        xl_gs(t, 1, 0x89, XL_R10, XL_GS(tmp));
    }
    if (t->live)
        xl_flags_back(t);
    xl_check(t, n, write, cold);
    if (in->lock) {
        xl_gs(t, 1, 0x8b, XL_R10, XL_GS(tmp));
        xl_b(t, 0xf0);
        if (n == 2)
            xl_b(t, 0x66);
        xl_rm(t, w, 0x0f00 | in->opcode, XL_R10, XL_R9, 0);
        return true;
    }
    if (n == 2)
        xl_rm(t, 0, 0x0fb7, XL_R10, XL_R9, 0);
    else
        xl_rm(t, w, 0x8b, XL_R10, XL_R9, 0);
    const unsigned r = xl_get(t, index, XL_R11);
    if (n == 2)
        xl_b(t, 0x66);
    xl_rr(t, w, 0x0f00 | in->opcode, r, XL_R10); /* of a register: modulo its size */
    if (write) {
        if (n == 2)
            xl_b(t, 0x66);
        xl_rm(t, w, 0x89, XL_R10, XL_R9, 0);
    }
    return true;
}

static bool cmpxchg(struct xl_tr *t, const struct x86_insn *in)
{
    const bool wide = in->op == X86_OP_CMPXCHG16B;

    if (!in->mem || !xl_address_ok(t, in))
        return false;
    const unsigned cold = xl_cold_new(t, in);
    if (!xl_address(t, in))
        return false;
    if (wide) { /* else #GP */
        if (t->live)
            xl_flags_away(t);
        xl_b(t, 0x41);
        xl_b(t, 0xf6);
        xl_b(t, 0xc1);
        xl_b(t, 15); /* test r9b, 15 */
        xl_guard(t, JE, cold, t->live);
        if (t->live)
            xl_flags_back(t);
    }
    xl_check(t, wide ? 16 : 8, true, cold);
    if (in->lock)
        xl_b(t, 0xf0);
    xl_rm(t, wide, 0x0fc7, 1, XL_R9, 0);
    return true;
}

static bool xlat(struct xl_tr *t, const struct x86_insn *in)
{
    if (in->asz != t->mode || in->seg >= X86_FS)
        return false;
    const unsigned cold = xl_cold_new(t, in);
    xl_rr(t, 0, 0x0fb6, XL_R10, X86_RAX);
    xl_lea(t, t->mode == 8, XL_R9, X86_RBX, XL_R10, 0, 0);
    xl_check(t, 1, false, cold);
    xl_rm(t, 0, 0x8a, X86_RAX, XL_R9, 0);
    return true;
}

bool xl_special(struct xl_tr *t, const struct x86_insn *in)
{
    switch (in->op) {
    case X86_OP_DIV:
    case X86_OP_IDIV: return divide(t, in);
    case X86_OP_BT:
    case X86_OP_BTS:
    case X86_OP_BTR:
    case X86_OP_BTC: return bit_test(t, in);
    case X86_OP_CMPXCHG8B:
    case X86_OP_CMPXCHG16B: return cmpxchg(t, in);
    case X86_OP_XLAT: return xlat(t, in);
    default: return false;
    }
}
