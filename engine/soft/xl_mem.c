/* SPDX-License-Identifier: BSD-2-Clause */
/* The translator's memory accesses: address, software TLB look-up inline, and what is out of line.
 */
#include "engine/soft/soft.h"
#include "isa/x86/emu.h"

_Static_assert(sizeof(struct x86_tlb_entry) == 32 && X86_TLB_SIZE == 1024, "used below");

int32_t xl_tlb(bool user) { return user ? XL_VIEW(tlb.e) : XL_CPU(tlb_super.e); }

bool xl_address_ok(const struct xl_tr *t, const struct x86_insn *in)
{
    if (in->flags & X86_INSN_VSIB)
        return false;
    if (t->mode == 8)
        return in->asz >= 4;
    return in->asz == 4 && in->seg < X86_FS;
}

void xl_effective(struct xl_tr *t, const struct x86_insn *in)
{
    const unsigned w = in->asz == 8;
    int base = -1, index = -1;

    if (in->base == X86_REG_RIP || (in->base == X86_REG_NONE && in->index == X86_REG_NONE)) {
        uint64_t a = (in->base == X86_REG_RIP ? t->next : 0) + (uint64_t)in->disp;
        xl_imm(t, XL_R9, w ? a : (uint32_t)a);
        return;
    }
    if (in->base != X86_REG_NONE)
        base = (int)xl_get(t, in->base, XL_R10);
    if (in->index != X86_REG_NONE)
        index = (int)xl_get(t, in->index, XL_R11);
    xl_lea(t, w, XL_R9, base, index, in->scale, (int32_t)in->disp);
}

bool xl_address(struct xl_tr *t, const struct x86_insn *in)
{
    if (!xl_address_ok(t, in))
        return false;
    xl_effective(t, in);
    if (t->mode == 8 && in->seg >= X86_FS) {
        xl_gs(t, 1, 0x8b, XL_R10,
              (int32_t)(offsetof(struct x86_cpu, seg) + in->seg * sizeof(struct x86_seg)));
        xl_lea(t, 1, XL_R9, XL_R9, XL_R10, 0, 0);
    }
    return true;
}

unsigned xl_cold_new(struct xl_tr *t, const struct x86_insn *in)
{
    t->cold[t->colds] = (struct xl_cold){ .insn = in, .rip = t->rip };
    return t->colds++;
}

void xl_jump_cold(struct xl_tr *t, unsigned cold)
{
    t->jump[t->jumps].rel32 = t->p;
    t->jump[t->jumps].retry = NULL;
    t->jump[t->jumps++].cold = (uint16_t)cold;
    xl_i32(t, 0);
}

/* The same where the TLB missed: it may be filled, and the check at `retry` repeated. */
static void jump_fill(struct xl_tr *t, unsigned cold, uint8_t *retry, unsigned size, bool write)
{
    xl_jump_cold(t, cold);
    t->jump[t->jumps - 1].retry = retry;
    t->jump[t->jumps - 1].size = (uint16_t)size;
    t->jump[t->jumps - 1].write = write;
}

void xl_check(struct xl_tr *t, unsigned size, bool write, unsigned cold)
{
    const int32_t tlb = xl_tlb(t->user);
    const int32_t tag = tlb + (int32_t)(write ? offsetof(struct x86_tlb_entry, w)
                                              : offsetof(struct x86_tlb_entry, r));
    const int32_t addend = tlb + (int32_t)offsetof(struct x86_tlb_entry, addend);
    uint8_t *retry = t->p;

    if (!t->live) {
        xl_mov(t, 1, XL_R10, XL_R9);
        xl_rr(t, 1, 0xc1, 5, XL_R10); /* shr r10, 7 */
        xl_b(t, 7);
        xl_rr(t, 0, 0x81, 4, XL_R10); /* and r10d, index << 5 */
        xl_i32(t, 0x7fe0);
        xl_lea(t, 1, XL_R11, XL_R9, -1, 0, (int32_t)size - 1);
        xl_rr(t, 1, 0xc1, 5, XL_R11); /* shr r11, 12 */
        xl_b(t, 12);
        xl_gsx(t, 1, 0x3b, XL_R11, XL_R10, 0, tag); /* cmp */
        xl_b(t, 0x0f);
        xl_b(t, 0x85); /* jne */
        jump_fill(t, cold, retry, size, write);
        xl_gsx(t, 1, 0x03, XL_R9, XL_R10, 0, addend); /* add */
        return;
    }
    /* ~page + tag + 1 is 0 if they are equal; nothing here touches flags. */
    xl_pext(t, XL_R10, XL_R9, XL_GS(index_mask));
    xl_lea(t, 0, XL_R10, -1, XL_R10, 2, 0);
    xl_gs(t, 1, 0x89, X86_RCX, XL_GS(rcx));
    xl_lea(t, 1, X86_RCX, XL_R9, -1, 0, (int32_t)size - 1);
    xl_pext(t, X86_RCX, X86_RCX, XL_GS(page_mask));
    xl_rr(t, 1, 0xf7, 2, X86_RCX); /* not */
    xl_gsx(t, 1, 0x8b, XL_R11, XL_R10, 3, tag);
    xl_lea(t, 1, X86_RCX, X86_RCX, XL_R11, 0, 1);
    uint8_t *hit = xl_jrcxz(t);
    xl_gs(t, 1, 0x8b, X86_RCX, XL_GS(rcx));
    xl_b(t, 0xe9);
    jump_fill(t, cold, retry, size, write);
    xl_here(t, hit);
    xl_gs(t, 1, 0x8b, X86_RCX, XL_GS(rcx));
    xl_gsx(t, 1, 0x8b, XL_R11, XL_R10, 3, addend);
    xl_lea(t, 1, XL_R9, XL_R9, XL_R11, 0, 0);
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

/* r9: the linear address that missed, and still in the end. Returns behind the jump that follows if
 * the access is not to be had. */
static void fill_stub(struct xl_tr *t, unsigned size, bool write, const uint8_t *retry)
{
    unsigned log = size & (size - 1) ? XL_FILL_SIZES : (unsigned)__builtin_ctz(size);

    if (log >= XL_FILL_SIZES) {
        log = XL_FILL_SIZES;
        xl_imm(t, XL_R11, size);
    }
    xl_call(t, t->xl->rw + t->xl->fill[write][log]);
    xl_jmp(t, retry);
}

void xl_cold_stubs(struct xl_tr *t)
{
    for (unsigned i = 0; i < t->colds; i++) {
        const struct xl_cold *c = &t->cold[i];
        uint8_t *overs[4], **over = NULL;
        for (unsigned j = 0; j < t->jumps; j++) {
            if (t->jump[j].cold != i || !t->jump[j].retry)
                continue;
            if (over) { /* the stub before this comes here if it fails */
                xl_b(t, 0xeb);
                *over++ = t->p;
                xl_b(t, 0);
            }
            patch(t, t->jump[j].rel32);
            fill_stub(t, t->jump[j].size, t->jump[j].write, t->jump[j].retry);
            if (!over)
                over = overs;
        }
        for (unsigned j = 0; j < t->jumps; j++)
            if (t->jump[j].cold == i && !t->jump[j].retry)
                patch(t, t->jump[j].rel32);
        while (over && over > overs)
            xl_here(t, *--over);
        emulate_call(t, c->insn, c->rip, !c->resume);
        if (c->resume)
            xl_jmp(t, c->resume);
    }
}

enum { JUMP_LEN = 5 };

/* Linear address, size, write. How far to skip behind the return address. */
static int64_t fill(struct x86_cpu *cpu, uint64_t lin, unsigned size, bool write)
{
    struct soft_vcpu *v = soft_vcpu_of(cpu);

    xl_c_begin(v);
    v->xl.fills++;
    const bool ok = x86_tlb_fill(cpu, lin, size, write ? X86_WRITE : X86_READ, cpu->cpl == 3);
    xl_c_end(v);
    return ok ? 0 : JUMP_LEN;
}

void xl_fill_thunks(struct xl_tr *t)
{
    static const uint8_t keep[] = { X86_RCX, X86_RDX, X86_RSI, X86_RDI, 8, 9 };
    uint8_t *tail[2 * (XL_FILL_SIZES + 1)];
    unsigned tails = 0;

    t->xl->fn_fill = (uint64_t)(uintptr_t)fill;
    for (unsigned w = 0; w < 2; w++)
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
