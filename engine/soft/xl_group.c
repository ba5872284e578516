/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The translator: one check for several accesses of a block that have the same base, but for
 * constants: pushes, pops, what lies on the stack, the fields of a structure. The first of them
 * checks the range of all; the addend it finds is kept in memory. If that fails (two pages, a page
 * that may not be written, no RAM) the rest of the block runs as a twin without groups, translated
 * when first needed.
 */
#include "engine/soft/soft.h"

enum {
    SPAN = 512,     /* bytes: more would lie in two pages too often */
    FAR = 0x100000, /* constants beyond this are not followed */
    NO_ROOT = (1 << 24) - 1,
    REGS = 16
};

_Static_assert((int)XL_GROUPS <= ARRAY_LEN(((struct xl *)0)->group), "group[] has room");

/* A register's value: an unknown one plus a constant. */
struct value {
    unsigned root;
    int32_t delta;
};

struct tracker {
    struct value reg[REGS];
    unsigned roots;
    unsigned bases; /* times anything may have changed: bases, rights, mappings */
    unsigned n;     /* bytes of the code's own size */
    uint64_t rip;   /* behind the instruction */
    uint64_t fixed;
    bool has_fixed; /* the first address without registers, to which others are relative */
};

static void unknown(struct tracker *k, unsigned r) { k->reg[r] = (struct value){ k->roots++, 0 }; }

static void unknown_all(struct tracker *k)
{
    k->bases++;
    for (unsigned r = 0; r < REGS; r++)
        unknown(k, r);
}

static void set(struct tracker *k, unsigned r, struct value v, int64_t more)
{
    if (more < -FAR || more > FAR || v.delta + more < -FAR || v.delta + more > FAR)
        unknown(k, r);
    else
        k->reg[r] = (struct value){ v.root, v.delta + (int32_t)more };
}

static void written(struct tracker *k, const struct x86_insn *in)
{
    for (unsigned i = 0; i < in->operands; i++) {
        const struct x86_operand *o = &in->operand[i];
        if (o->kind == X86_OPERAND_GPR8H)
            unknown(k, o->reg & 3);
        if (o->kind == X86_OPERAND_GPR && (o->access & X86_ACC_W))
            unknown(k, o->reg);
    }
}

/* Adds a constant to a register, or moves one plus a constant: true if it was that. */
static bool constant(struct tracker *k, const struct x86_insn *in)
{
    const struct x86_operand *to = &in->operand[0], *from = &in->operand[1];
    const bool imm = from->kind == X86_OPERAND_IMM;

    if (in->osz != k->n || to->kind != X86_OPERAND_GPR || to->size != k->n)
        return false;
    switch (in->op) {
    case X86_OP_INC: set(k, to->reg, k->reg[to->reg], 1); return true;
    case X86_OP_DEC: set(k, to->reg, k->reg[to->reg], -1); return true;
    case X86_OP_ADD:
        if (imm)
            set(k, to->reg, k->reg[to->reg], k->n == 8 ? (int64_t)in->imm : (int32_t)in->imm);
        return imm;
    case X86_OP_SUB:
        if (imm)
            set(k, to->reg, k->reg[to->reg], -(k->n == 8 ? (int64_t)in->imm : (int32_t)in->imm));
        return imm;
    case X86_OP_MOV:
        if (from->kind != X86_OPERAND_GPR)
            return false;
        set(k, to->reg, k->reg[from->reg], 0);
        return true;
    case X86_OP_LEA:
        if (in->asz != k->n || in->base >= REGS || in->index != X86_REG_NONE)
            return false;
        set(k, to->reg, k->reg[in->base], in->disp);
        return true;
    default: return false;
    }
}

/* What the instruction does to registers; what is not known here may do anything. */
static void track(struct tracker *k, const struct x86_insn *in)
{
    const int64_t n = k->n;

    if (constant(k, in))
        return;
    switch (in->op) {
    case X86_OP_PUSH:
        if (in->osz == k->n)
            set(k, X86_RSP, k->reg[X86_RSP], -n);
        else
            unknown(k, X86_RSP);
        return;
    case X86_OP_POP:
        if (in->osz == k->n)
            set(k, X86_RSP, k->reg[X86_RSP], n);
        else
            unknown(k, X86_RSP);
        written(k, in);
        return;
    case X86_OP_LEAVE:
        if (in->osz == k->n)
            set(k, X86_RSP, k->reg[X86_RBP], n);
        else
            unknown(k, X86_RSP);
        unknown(k, X86_RBP);
        return;
    case X86_OP_MUL:
    case X86_OP_IMUL1:
    case X86_OP_DIV:
    case X86_OP_IDIV:
    case X86_OP_CWD:
        unknown(k, X86_RAX);
        unknown(k, X86_RDX);
        return;
    case X86_OP_CBW:
    case X86_OP_LAHF: unknown(k, X86_RAX); return;
    case X86_OP_CMPXCHG:
    case X86_OP_XCHG:
    case X86_OP_XADD:
        unknown(k, X86_RAX);
        for (unsigned i = 0; i < in->operands; i++)
            if (in->operand[i].kind == X86_OPERAND_GPR)
                unknown(k, in->operand[i].reg);
        written(k, in);
        return;
    case X86_OP_MOVS:
    case X86_OP_STOS:
        unknown(k, X86_RCX);
        unknown(k, X86_RSI);
        unknown(k, X86_RDI);
        return;
    case X86_OP_SSE:
    case X86_OP_AVX:
    case X86_OP_AVX512:
    case X86_OP_MMX:
        unknown(k, X86_RCX); /* PCMPESTRI */
        written(k, in);
        return;
    case X86_OP_FPU:
    case X86_OP_FPU_CTL: /* FNSTSW AX */ unknown(k, X86_RAX); return;
    case X86_OP_JCC:
    case X86_OP_NOP:
    case X86_OP_ENDBR:
    case X86_OP_PREFETCH:
    case X86_OP_FENCE:
    case X86_OP_PAUSE:
    case X86_OP_CLC:
    case X86_OP_STC:
    case X86_OP_CMC:
    case X86_OP_SAHF: return;
    default:
        if (in->op >= X86_OP_ADD && in->op <= X86_OP_SETCC)
            written(k, in);
        else if ((in->op >= X86_OP_ROL && in->op <= X86_OP_SHRD) ||
                 (in->op >= X86_OP_IMUL2 && in->op <= X86_OP_IMUL3) ||
                 (in->op >= X86_OP_BT && in->op <= X86_OP_SHRX) || in->op == X86_OP_MOVNTI)
            written(k, in);
        else
            unknown_all(k);
    }
}

/* ---- the plan ---- */

struct open { /* a group that may grow */
    uint64_t key;
    unsigned uses, group;
    int32_t lo, hi;
    bool write;
};

static void add(struct xl_tr *t, struct open *o, unsigned *opens, unsigned insn, unsigned which,
                uint64_t key, int32_t delta, int64_t disp, unsigned size, bool write)
{
    const int32_t at = delta + (int32_t)disp;
    struct xl_planned *p = &t->plan[insn][which];
    unsigned i;

    if (disp < -FAR || disp > FAR)
        return;
    for (i = *opens; i-- > 0;)
        if (o[i].key == key && MAX(o[i].hi, at + (int32_t)size) - MIN(o[i].lo, at) <= SPAN)
            break;
    if (i == ~0u) {
        if (*opens == XL_MAX_OPEN)
            return;
        i = (*opens)++;
        o[i] = (struct open){ .key = key, .lo = at, .hi = at + (int32_t)size };
    }
    o[i].lo = MIN(o[i].lo, at);
    o[i].hi = MAX(o[i].hi, at + (int32_t)size);
    o[i].write |= write;
    o[i].uses++;
    *p = (struct xl_planned){ .open = (uint8_t)(i + 1),
                              .size = (uint8_t)size,
                              .write = write,
                              .off = at,
                              .delta = delta,
                              .last = true };
}

bool xl_direct(const struct xl_tr *t, const struct x86_insn *in)
{
    return in->base < REGS && in->index == X86_REG_NONE && in->asz == t->mode && in->seg < X86_FS &&
           (t->mode == 8 || in->seg != X86_CS) &&
           (t->mode == 8 || (in->disp >= -FAR && in->disp <= FAR));
}

/* What tells memory operands apart but for constants: segment, scale, index, base. */
static uint64_t key_of(uint64_t seg, uint64_t scale, uint64_t index, uint64_t base)
{
    return seg << 56 | scale << 48 | index << 24 | base;
}

static void operand(struct xl_tr *t, struct tracker *k, struct open *o, unsigned *opens, unsigned i,
                    const struct x86_insn *in)
{
    const struct x86_operand *m = &in->operand[in->mem - 1];
    const uint64_t seg = in->seg >= X86_FS ? in->seg | (uint64_t)k->bases << 3 : 0;
    int64_t disp = in->disp;
    int32_t delta = 0;
    uint64_t key;

    if (!m->size || m->size > 64 || in->asz != k->n || !xl_address_ok(t, in) ||
        (k->n == 4 && in->seg >= X86_FS) || k->bases > 31)
        return;
    if (!seg && in->index == X86_REG_NONE && in->base >= REGS) {
        uint64_t at = (in->base == X86_REG_RIP ? k->rip : 0) + (uint64_t)in->disp;
        if (!k->has_fixed)
            k->fixed = at;
        k->has_fixed = true;
        key = key_of(1 | (uint64_t)k->bases << 3, 0, 0, 0);
        disp = (int64_t)(at - k->fixed);
    } else if (in->index == X86_REG_NONE) {
        const bool base = in->base < REGS;
        if (in->base == X86_REG_RIP)
            return;
        key = key_of(seg, 4, 0, base ? k->reg[in->base].root : NO_ROOT);
        delta = base ? k->reg[in->base].delta : 0;
    } else {
        const struct value *x = &k->reg[in->index];
        if (in->base == X86_REG_RIP)
            return;
        key = key_of(seg, in->scale, x->root, in->base < REGS ? k->reg[in->base].root : NO_ROOT);
        delta = (in->base < REGS ? k->reg[in->base].delta : 0) + x->delta * (1 << in->scale);
    }
    add(t, o, opens, i, 0, key, delta, disp, m->size, m->access & X86_ACC_W);
}

static void accesses(struct xl_tr *t, struct tracker *k, struct open *o, unsigned *opens,
                     unsigned i, const struct x86_insn *in)
{
    const int32_t n = (int32_t)k->n;
    const struct value sp = k->reg[X86_RSP], bp = k->reg[X86_RBP];
    const uint64_t key = key_of(0, 4, 0, sp.root);

    /* Under an EVEX mask there may be no access at all. */
    if (in->mem && in->op != X86_OP_POP && !in->mask)
        operand(t, k, o, opens, i, in);
    if (in->osz != k->n)
        return;
    switch (in->op) {
    case X86_OP_PUSH:
    case X86_OP_CALL:
    case X86_OP_CALL_IND: add(t, o, opens, i, 1, key, sp.delta, -n, k->n, true); break;
    case X86_OP_POP:
    case X86_OP_RET: add(t, o, opens, i, 1, key, sp.delta, 0, k->n, false); break;
    case X86_OP_LEAVE:
        add(t, o, opens, i, 1, key_of(0, 4, 0, bp.root), bp.delta, 0, k->n, false);
        break;
    default: break;
    }
}

/* A group has two accesses at least. */
static bool worth_it(const struct xl_tr *t, const struct x86_insn **insn)
{
    unsigned accesses = 0;

    for (unsigned i = 0; i < t->count && accesses < 2; i++) {
        switch (insn[i]->op) {
        case X86_OP_PUSH:
        case X86_OP_CALL:
        case X86_OP_CALL_IND:
        case X86_OP_POP:
        case X86_OP_RET:
        case X86_OP_LEAVE: accesses++; break;
        default: break;
        }
        accesses += insn[i]->mem != 0;
    }
    return accesses >= 2;
}

void xl_plan(struct xl_tr *t, const struct x86_insn **insn)
{
    struct open o[XL_MAX_OPEN];
    struct tracker k = { .n = t->mode, .rip = t->start };
    unsigned opens = 0, groups = 0;

    for (unsigned i = 0; i < t->count; i++)
        t->plan[i][0].open = t->plan[i][1].open = 0;
    t->grouped = !(t->key & XL_KEY_TWIN) && worth_it(t, insn);
    if (!t->grouped)
        return;
    unknown_all(&k);
    for (unsigned i = 0; i < t->count; i++) {
        k.rip += insn[i]->len;
        accesses(t, &k, o, &opens, i, insn[i]);
        track(&k, insn[i]);
    }
    for (unsigned i = 0; i < opens; i++) {
        o[i].group = XL_GROUPS;
        if (o[i].uses < 2 || groups == XL_GROUPS)
            continue;
        o[i].group = groups;
        t->group[groups++] = (struct xl_group){ .lo = o[i].lo, .hi = o[i].hi, .write = o[i].write };
    }
    uint32_t seen = 0; /* groups, from behind */
    for (unsigned i = t->count; i-- > 0;)
        for (unsigned w = 2; w-- > 0;) {
            struct xl_planned *p = &t->plan[i][w];
            if (!p->open)
                continue;
            p->group = (uint8_t)o[p->open - 1].group;
            p->last = !(seen & BIT(p->group));
            seen |= (uint32_t)BIT(p->group);
            p->open = p->group < XL_GROUPS;
        }
    t->grouped = groups != 0;
}

bool xl_grouped(struct xl_tr *t, unsigned which, const struct x86_insn *in, unsigned guest,
                int32_t disp, unsigned size, bool write, struct xl_ref *ref)
{
    const struct xl_planned *p = &t->plan[t->at][which];

    if (!t->grouped || (t->key & XL_KEY_WINDOW) || !p->open || size > p->size ||
        (write && !p->write))
        return false;
    struct xl_group *g = &t->group[p->group];
    const bool on = t->group_on & BIT(p->group);
    const int32_t slot = XL_GS(group[0]) + 8 * p->group;

    /* In 32-bit code the check says that the range does not wrap, not that a base changed since did
     * not, nor that another has no bits beyond 31 left from 64-bit mode. */
    *ref = (struct xl_ref){ XL_R9, XL_R10, 0 };
    if (guest < REGS && (!on || t->mode == 8 || (p->delta == g->delta && guest == g->base))) {
        ref->base = xl_get(t, guest, XL_R9);
        ref->disp = disp;
    } else if (in) {
        if (!xl_address(t, in))
            return false;
    } else {
        xl_lea(t, t->mode == 8, XL_R9, xl_host(guest), -1, 0, disp);
    }
    if (on) {
        if (t->r10 != p->group + 1u)
            xl_gs(t, 1, 0x8b, XL_R10, slot);
        t->r10 = p->group + 1u;
        return true;
    }
    struct xl_access a = {
        .reg = ref->base,
        .disp = ref->disp + g->lo - p->off,
        .size = (unsigned)(g->hi - g->lo),
        .write = g->write,
        .fill_read = !write,
        .cold = (uint16_t)xl_cold_new(t, NULL),
    };
    if (a.reg == XL_R9) {
        if (a.disp)
            xl_lea(t, 1, XL_R9, XL_R9, -1, 0, a.disp);
        ref->disp -= a.disp;
        a.disp = 0;
    }
    xl_check_at(t, &a);
    if (!p->last)
        xl_gs(t, 1, 0x89, XL_R10, slot);
    t->r10 = p->group + 1u;
    t->group_on |= (uint32_t)BIT(p->group);
    g->delta = p->delta;
    g->base = guest;
    return true;
}
