/* SPDX-License-Identifier: BSD-2-Clause */
/* The translator's code out of line: where a check fails, the TLB entry is filled and the check
 * repeated, or the interpreter does the instruction. */
#include "engine/soft/soft.h"
#include "isa/x86/emu.h"

/* What a miss wants: for BOTH the page is only read yet, so the dirty bit is not to be set. */
enum { READ, WRITE, BOTH };

unsigned xl_cold_new(struct xl_tr *t, const struct x86_insn *in)
{
    t->cold[t->colds] = (struct xl_cold){ .insn = in, .rip = t->rip };
    return t->colds++;
}

void xl_jump_cold(struct xl_tr *t, unsigned cold)
{
    t->jump[t->jumps] = (struct xl_jump_out){ .rel32 = t->p, .access.cold = (uint16_t)cold };
    t->jumps++;
    xl_i32(t, 0);
}

static void patch(struct xl_tr *t, uint8_t *rel32)
{
    int32_t rel = (int32_t)(t->p - (rel32 + 4));

    __builtin_memcpy(rel32, &rel, 4);
}

static void emulate_call(struct xl_tr *t, const struct x86_insn *in, uint64_t rip, bool last)
{
    xl_imm(t, XL_R9, (uint64_t)(uintptr_t)in);
    xl_imm(t, XL_R10, rip);
    if (last)
        xl_jmp(t, t->xl->rw + t->xl->last);
    else
        xl_call(t, t->xl->rw + t->xl->emulate);
}

void xl_emulated(struct xl_tr *t, const struct x86_insn *in, bool last)
{
    emulate_call(t, in, t->rip, last);
}

/* The thunk keeps r9 and returns behind the jump that follows if the access is not to be had. */
static void fill_stub(struct xl_tr *t, const struct xl_jump_out *j)
{
    const struct xl_access *a = &j->access;
    unsigned log = a->size & (a->size - 1) ? XL_FILL_SIZES : (unsigned)__builtin_ctz(a->size);

    if (j->flags_saved)
        xl_flags_restore(t);
    if (a->no_fill)
        return; /* what follows is the way for an access that is not to be had */
    if (a->reg != XL_R9 || a->disp)
        xl_lea(t, 1, XL_R9, (int)a->reg, -1, 0, a->disp);
    if (log >= XL_FILL_SIZES) {
        log = XL_FILL_SIZES;
        xl_imm(t, XL_R11, a->size);
    }
    xl_call(t, t->xl->rw + t->xl->fill[!a->write ? READ : a->fill_read ? BOTH : WRITE][log]);
    xl_jmp(t, j->retry);
}

static void cold_stub(struct xl_tr *t, const struct xl_cold *c, unsigned index)
{
    uint8_t *over[4];
    unsigned overs = 0;
    bool any = false;

    for (unsigned j = 0; j < t->jumps; j++) {
        if (t->jump[j].access.cold != index || !t->jump[j].retry)
            continue;
        if (any) { /* of the one before, if it fails */
            xl_b(t, 0xeb);
            over[overs++] = t->p;
            xl_b(t, 0);
        }
        any = true;
        patch(t, t->jump[j].rel32);
        fill_stub(t, &t->jump[j]);
    }
    for (unsigned j = 0; j < t->jumps; j++)
        if (t->jump[j].access.cold == index && !t->jump[j].retry) {
            any = true;
            patch(t, t->jump[j].rel32);
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
        cold_stub(t, &t->cold[i], i);
}

enum { JUMP_LEN = 5 };

/* How far to skip behind the return address. */
static int64_t fill(struct x86_cpu *cpu, uint64_t lin, unsigned size, unsigned kind)
{
    struct soft_vcpu *v = soft_vcpu_of(cpu);

    xl_c_begin(v);
    v->xl.fills++;
    const unsigned user = cpu->cpl == 3;
    const bool ok = x86_tlb_fill(cpu, lin, size, kind == WRITE ? X86_WRITE : X86_READ, user) &&
                    (kind == READ || x86_tlb_entry(cpu, lin, user)->w == lin >> 12);
    xl_c_end(v);
    return ok ? 0 : JUMP_LEN;
}

void xl_fill_thunks(struct xl_tr *t)
{
    static const uint8_t keep[] = { X86_RCX, X86_RDX, X86_RSI, X86_RDI, 8, 9 };
    uint8_t *tail[3 * (XL_FILL_SIZES + 1)];
    unsigned tails = 0;

    t->xl->fn_fill = (uint64_t)(uintptr_t)fill;
    for (unsigned w = READ; w <= BOTH; w++)
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
        patch(t, tail[i]);
    xl_gs(t, 1, 0x89, X86_RSP, XL_GS(r_sp));
    xl_gs(t, 1, 0x8b, X86_RSP, XL_GS(c_sp));
    xl_push(t, X86_RAX);
    xl_b(t, 0x9f); /* lahf */
    xl_b(t, 0x0f);
    xl_b(t, 0x90);
    xl_b(t, 0xc0); /* seto al */
    xl_push(t, X86_RAX);
    for (unsigned i = 0; i < ARRAY_LEN(keep); i++)
        xl_push(t, keep[i]);
    xl_mov(t, 1, X86_RSI, XL_R9);
    xl_mov(t, 0, X86_RDX, XL_R11);
    xl_mov(t, 0, X86_RCX, XL_R10);
    xl_imm(t, X86_RDI, (uint64_t)(uintptr_t)&t->v->cpu);
    xl_gs(t, 0, 0xff, 2, XL_GS(fn_fill));
    xl_gs(t, 1, 0x8b, XL_R10, XL_GS(r_sp));
    xl_rm(t, 1, 0x01, X86_RAX, XL_R10, 0); /* add to the return address */
    for (unsigned i = ARRAY_LEN(keep); i-- > 0;)
        xl_pop(t, keep[i]);
    xl_pop(t, X86_RAX);
    xl_b(t, 0x04);
    xl_b(t, 0x7f); /* add al, 0x7f: OF */
    xl_b(t, 0x9e); /* sahf */
    xl_pop(t, X86_RAX);
    xl_mov(t, 1, X86_RSP, XL_R10);
    xl_b(t, 0xc3);
}
