/* SPDX-License-Identifier: BSD-2-Clause */
/* The translator's code out of line: where a check fails, the TLB entry is filled and the check
 * repeated, or the interpreter does the instruction. */
#include <string.h>

#include "engine/soft/soft.h"
#include "isa/x86/emu.h"

/* What a miss wants: for BOTH the page is only read yet, so the dirty bit is not to be set. */
enum { READ, WRITE, BOTH, CROSS = 4 /* with the others: the copy below may do it */ };

unsigned xl_cold_new(struct xl_tr *t, const struct x86_insn *in)
{
    t->cold[t->colds] = (struct xl_cold){ .insn = in, .rip = t->rip };
    return t->colds++;
}

void xl_jump_cold(struct xl_tr *t, unsigned cold)
{
    struct xl_cold *c = &t->cold[cold];

    t->jump[t->jumps] = (struct xl_jump_out){ .rel32 = t->p, .access.cold = (uint16_t)cold };
    t->jumps++;
    *(c->end ? &t->jump[c->end - 1].next : &c->first) = (uint16_t)t->jumps;
    c->end = (uint16_t)t->jumps;
    xl_i32(t, 0);
}

static void emulate_call(struct xl_tr *t, const struct x86_insn *in, uint64_t rip, bool last)
{
    xl_imm(t, XL_R9, (uint64_t)(uintptr_t)in);
    xl_imm_moves(t, XL_R10, rip, XL_RELOC_RIP);
    if (last)
        xl_jmp(t, t->xl->rw + t->xl->last);
    else
        xl_call(t, t->xl->rw + t->xl->emulate);
}

void xl_emulated(struct xl_tr *t, const struct x86_insn *in, bool last)
{
    emulate_call(t, in, t->rip, last);
}

/*
 * An access across a page's end goes to a copy of the bytes, which xl.cross_addend leads to: a load
 * goes on behind the check, and what stores is done here with the copy, which is written back.
 */
static bool may_cross(const struct xl_tr *t, const struct xl_jump_out *j, const struct xl_cold *c)
{
    const struct xl_access *a = &j->access;
    unsigned jumps = 0;

    if (!c->copy || !c->resume || !j->after || a->fill_read || a->no_fill)
        return false;
    for (unsigned i = c->first; i; i = t->jump[i - 1].next)
        jumps += t->jump[i - 1].retry || t->jump[i - 1].rel32 > j->after;
    return jumps == 1;
}

static void cross_stub(struct xl_tr *t, const struct xl_jump_out *j, const struct xl_cold *c)
{
    xl_gs(t, 1, 0x8b, XL_R10, XL_GS(cross_addend));
    if (!j->access.write) {
        xl_jmp(t, j->after);
        return;
    }
    for (const uint8_t *p = j->after; p < c->resume; p++)
        xl_b(t, *p);
    xl_call(t, t->xl->rw + t->xl->write_back);
    xl_jmp(t, c->resume);
}

/* r9: where a group lies. If that is in two pages, as of a frame on the stack it often is, the rel8
 * returned is where to go. Flags stay. */
static uint8_t *two_pages(struct xl_tr *t, unsigned size)
{
    uint8_t *one, *two;

    xl_mov(t, 1, XL_R11, X86_RCX);
    xl_pext(t, X86_RCX, XL_R9, XL_GS(in_page));
    xl_lea(t, 1, X86_RCX, X86_RCX, -1, 0, (int32_t)size - 1);
    xl_pext(t, X86_RCX, X86_RCX, XL_GS(next_page));
    one = xl_jrcxz(t);
    xl_mov(t, 1, X86_RCX, XL_R11);
    xl_b(t, 0xeb);
    two = t->p;
    xl_b(t, 0);
    xl_here(t, one);
    xl_mov(t, 1, X86_RCX, XL_R11);
    return two;
}

/* The thunk keeps r9 and returns behind the jumps that follow if the access is not to be had. */
static void fill_stub(struct xl_tr *t, const struct xl_jump_out *j, const struct xl_cold *c)
{
    const struct xl_access *a = &j->access;
    const bool cross = may_cross(t, j, c);
    unsigned log = a->size & (a->size - 1) ? XL_FILL_SIZES : (unsigned)__builtin_ctz(a->size);
    unsigned kind = !a->write ? READ : a->fill_read ? BOTH : WRITE;

    if (j->flags_saved)
        xl_flags_restore(t);
    if (a->no_fill)
        return; /* what follows is the way for an access that is not to be had */
    if (a->reg == XL_FIXED)
        xl_imm_moves(t, XL_R9, a->fixed, XL_RELOC_RIP);
    else if (a->reg != XL_R9 || a->disp)
        xl_lea(t, 1, XL_R9, (int)a->reg, -1, 0, a->disp);
    uint8_t *two = !c->insn && t->xl->pext && a->reg != XL_FIXED ? two_pages(t, a->size) : NULL;
    if (log >= XL_FILL_SIZES) {
        log = XL_FILL_SIZES;
        xl_imm(t, XL_R11, a->size);
    }
    xl_call(t, t->xl->rw + t->xl->fill[kind | (cross ? CROSS : 0)][log]);
    xl_jmp(t, j->retry);
    if (two)
        xl_here(t, two);
    if (!cross)
        return;
    xl_b(t, 0xe9); /* over the copy's way */
    uint8_t *over = t->p;
    xl_i32(t, 0);
    cross_stub(t, j, c);
    xl_here32(t, over);
}

static void cold_stub(struct xl_tr *t, const struct xl_cold *c)
{
    uint8_t *over[4];
    unsigned overs = 0;
    bool any = false;

    for (unsigned i = c->first; i; i = t->jump[i - 1].next) {
        const struct xl_jump_out *j = &t->jump[i - 1];
        if (!j->retry)
            continue;
        if (any) { /* of the one before, if it fails */
            xl_b(t, 0xeb);
            over[overs++] = t->p;
            xl_b(t, 0);
        }
        any = true;
        xl_here32(t, j->rel32);
        fill_stub(t, j, c);
    }
    for (unsigned i = c->first; i; i = t->jump[i - 1].next)
        if (!t->jump[i - 1].retry) {
            any = true;
            xl_here32(t, t->jump[i - 1].rel32);
        }
    while (overs)
        xl_here(t, over[--overs]);
    if (!any)
        return;
    if (!c->insn) {
        xl_goto_twin(t, c->rip);
        return;
    }
    emulate_call(t, c->insn, c->rip, !c->resume);
    if (c->twin)
        xl_goto_twin(t, c->twin);
    else if (c->resume)
        xl_jmp(t, c->resume);
}

void xl_cold_stubs(struct xl_tr *t)
{
    for (unsigned i = 0; i < t->colds; i++)
        cold_stub(t, &t->cold[i]);
}

enum { JUMP_LEN = 5 };

/* Copies what lies across a page's end, if nothing is special about either page. */
static bool cross(struct x86_cpu *cpu, uint64_t lin, unsigned size, enum x86_access access)
{
    struct xl *xl = &soft_vcpu_of(cpu)->xl;
    const uint64_t lin2 = (lin | 0xfff) + 1;
    const unsigned user = cpu->cpl == 3, first = (unsigned)(lin2 - lin);

    if (first >= size || size > sizeof(xl->cross) || !lin2 || (cpu->code != 8 && lin2 >> 32) ||
        !(xl->cross_host[0] = x86_tlb_host(cpu, lin, access, user)) ||
        !(xl->cross_host[1] = x86_tlb_host(cpu, lin2, access, user)))
        return false;
    xl->cross_first = first;
    xl->cross_size = size;
    memcpy(xl->cross, xl->cross_host[0], first);
    memcpy(xl->cross + first, xl->cross_host[1], size - first);
    xl->cross_addend = (uint64_t)(uintptr_t)xl->cross - lin;
    return true;
}

static void write_back(struct x86_cpu *cpu)
{
    struct soft_vcpu *v = soft_vcpu_of(cpu);
    struct xl *xl = &v->xl;

    xl_c_begin(v);
    memcpy(xl->cross_host[0], xl->cross, xl->cross_first);
    memcpy(xl->cross_host[1], xl->cross + xl->cross_first, xl->cross_size - xl->cross_first);
    xl_c_end(v);
}

/* How far to skip behind the return address: not at all to look again, over one jump to what CROSS
 * is about, or over all. */
static int64_t fill(struct x86_cpu *cpu, uint64_t lin, unsigned size, unsigned kind)
{
    struct soft_vcpu *v = soft_vcpu_of(cpu);
    const enum x86_access access = (kind & 3) == WRITE ? X86_WRITE : X86_READ;
    const unsigned user = cpu->cpl == 3;
    int64_t skip = JUMP_LEN;

    xl_c_begin(v);
    v->xl.fills++;
    if (x86_tlb_fill(cpu, lin, size, access, user) &&
        ((kind & 3) == READ || x86_tlb_entry(cpu, lin, user)->w == lin >> 12))
        skip = 0;
    else if (kind & CROSS && cross(cpu, lin, size, access))
        skip = 2 * JUMP_LEN;
    xl_c_end(v);
    return skip;
}

static const uint8_t keep[] = { X86_RCX, X86_RDX, X86_RSI, X86_RDI, 8, 9 };

static void save(struct xl_tr *t)
{
    xl_gs(t, 1, 0x89, X86_RSP, XL_GS(r_sp));
    xl_gs(t, 1, 0x8b, X86_RSP, XL_GS(c_sp));
    xl_push(t, X86_RAX);
    xl_flags_to_ax(t);
    xl_push(t, X86_RAX);
    for (unsigned i = 0; i < ARRAY_LEN(keep); i++)
        xl_push(t, keep[i]);
    xl_imm(t, X86_RDI, (uint64_t)(uintptr_t)&t->v->cpu);
}

/* r10: the stack pointer */
static void restore_and_return(struct xl_tr *t)
{
    for (unsigned i = ARRAY_LEN(keep); i-- > 0;)
        xl_pop(t, keep[i]);
    xl_pop(t, X86_RAX);
    xl_flags_from_ax(t);
    xl_pop(t, X86_RAX);
    xl_mov(t, 1, X86_RSP, XL_R10);
    xl_b(t, 0xc3);
}

void xl_fill_thunks(struct xl_tr *t)
{
    uint8_t *tail[XL_FILL_KINDS * (XL_FILL_SIZES + 1)];
    unsigned tails = 0;

    t->xl->fn_fill = (uint64_t)(uintptr_t)fill;
    t->xl->fn_write_back = (uint64_t)(uintptr_t)write_back;
    for (unsigned w = 0; w < XL_FILL_KINDS; w++)
        for (unsigned i = 0; i <= XL_FILL_SIZES; i++) {
            t->xl->fill[w][i] = (uint32_t)(t->p - t->xl->rw);
            if (i < XL_FILL_SIZES)
                xl_imm(t, XL_R11, 1u << i);
            xl_imm(t, XL_R10, w);
            xl_b(t, 0xe9);
            tail[tails++] = t->p;
            xl_i32(t, 0);
        }
    for (unsigned i = 0; i < tails; i++)
        xl_here32(t, tail[i]);
    save(t);
    xl_mov(t, 1, X86_RSI, XL_R9);
    xl_mov(t, 0, X86_RDX, XL_R11);
    xl_mov(t, 0, X86_RCX, XL_R10);
    xl_gs(t, 0, 0xff, 2, XL_GS(fn_fill));
    xl_gs(t, 1, 0x8b, XL_R10, XL_GS(r_sp));
    xl_rm(t, 1, 0x01, X86_RAX, XL_R10, 0); /* add to the return address */
    restore_and_return(t);

    t->xl->write_back = (uint32_t)(t->p - t->xl->rw);
    save(t);
    xl_gs(t, 0, 0xff, 2, XL_GS(fn_write_back));
    xl_gs(t, 1, 0x8b, XL_R10, XL_GS(r_sp));
    restore_and_return(t);
}
