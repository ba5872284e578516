/* SPDX-License-Identifier: BSD-2-Clause */
/* Generated code every block shares: in, out, the interpreter for one instruction, indirect jumps.
 */
#include <string.h>

#include "engine/soft/soft.h"

static const uint8_t kept[] = {
    X86_RCX, X86_RDX, X86_RBX, X86_RBP, X86_RSI, X86_RDI, 12, 13, 14, 15
};

/* Registers and flags to memory; r9 to r11 stay. */
static void save(struct xl_tr *t)
{
    xl_gs(t, 1, 0x89, X86_RAX, xl_gpr(X86_RAX));
    xl_flags_to_ax(t);
    xl_b(t, 0x66);
    /* 66 65 89: the order of prefixes does not matter */
    xl_gs(t, 0, 0x89, X86_RAX, XL_GS(flags));
    for (unsigned i = 0; i < ARRAY_LEN(kept); i++)
        xl_gs(t, 1, 0x89, kept[i], xl_gpr(kept[i]));
    xl_gs(t, 1, 0x89, 8, xl_gpr(X86_RSP));
}

static void load(struct xl_tr *t)
{
    xl_gs(t, 0, 0x0fb7, X86_RAX, XL_GS(flags));
    xl_flags_from_ax(t);
    xl_gs(t, 1, 0x8b, X86_RAX, xl_gpr(X86_RAX));
    for (unsigned i = 0; i < ARRAY_LEN(kept); i++)
        xl_gs(t, 1, 0x8b, kept[i], xl_gpr(kept[i]));
    xl_gs(t, 1, 0x8b, 8, xl_gpr(X86_RSP));
}

static const uint8_t saved[] = { X86_RBX, X86_RBP, 12, 13, 14, 15 };

/* void *enter(void *code): [psABI]; returns the link it left by, or NULL. */
static void make_enter(struct xl_tr *t)
{
    for (unsigned i = 0; i < ARRAY_LEN(saved); i++)
        xl_push(t, saved[i]);
    xl_push(t, X86_RAX); /* so that c_sp is aligned */
    xl_gs(t, 1, 0x89, X86_RSP, XL_GS(c_sp));
    xl_mov(t, 1, XL_R11, X86_RDI);
    load(t);
    xl_gs(t, 1, 0x8b, X86_RSP, XL_GS(r_sp));
    xl_b(t, 0x41);
    xl_b(t, 0xff);
    xl_b(t, 0xe3); /* jmp r11 */
}

static void to_c(struct xl_tr *t)
{
    xl_gs(t, 1, 0x89, X86_RSP, XL_GS(r_sp));
    xl_gs(t, 1, 0x8b, X86_RSP, XL_GS(c_sp));
}

/* From the C stack. */
static void make_return(struct xl_tr *t)
{
    xl_pop(t, X86_RCX);
    for (unsigned i = ARRAY_LEN(saved); i-- > 0;)
        xl_pop(t, saved[i]);
    xl_b(t, 0xc3);
}

/* Calls C (cpu, insn, rip); then eax tells whether to leave. */
static void call_c(struct xl_tr *t, int32_t fn)
{
    xl_mov(t, 1, X86_RSI, XL_R9);
    xl_mov(t, 1, X86_RDX, XL_R10);
    xl_imm(t, X86_RDI, (uint64_t)(uintptr_t)&t->v->cpu);
    xl_gs(t, 0, 0xff, 2, fn);
    xl_rr(t, 0, 0x85, X86_RAX, X86_RAX);
}

static uint32_t here(struct xl_tr *t) { return (uint32_t)(t->p - t->xl->rw); }

/* With the salt in r10. */
static uint8_t *look_up(struct xl_tr *t, bool call)
{
    xl_gs(t, 1, 0x89, X86_RCX, XL_GS(rcx));
    xl_lea(t, 1, XL_R10, XL_R10, XL_R9, 0, 0);
    xl_rr(t, 0, 0x0fb7, XL_R11, XL_R10); /* movzx r11d, r10w */
    xl_lea(t, 0, XL_R11, XL_R11, XL_R11, 0, 0);
    xl_gsx(t, 1, 0x8b, X86_RCX, XL_R11, 3, XL_GS(jump[0].tag));
    xl_lea(t, 1, X86_RCX, X86_RCX, XL_R10, 0, 0);
    uint8_t *hit = xl_jrcxz(t);
    xl_b(t, 0xeb);
    uint8_t *miss = t->p;
    xl_b(t, 0);
    xl_here(t, hit);
    xl_gs(t, 1, 0x8b, X86_RCX, XL_GS(rcx));
    xl_gsx(t, 0, 0xff, call ? 2 : 4, XL_R11, 3, XL_GS(jump[0].code));
    return miss;
}

/* r9: where to go on. Found in the jump cache: goes there, or calls. Else jumps to the rel8 that is
 * returned, with rcx saved in xl.rcx. Flags stay. */
uint8_t *xl_look_up(struct xl_tr *t, bool call)
{
    xl_gs(t, 1, 0x8b, XL_R10, XL_SALT(t->user));
    return look_up(t, call);
}

void xl_thunks(struct soft_vcpu *v)
{
    struct xl *xl = &v->xl;
    struct xl_tr tr = { .v = v, .xl = xl, .p = xl->rw }, *t = &tr;
    uint8_t *rel;

    xl->enter = here(t);
    make_enter(t);

    /* r9: the link. */
    xl->leave_link = here(t);
    save(t);
    to_c(t);
    xl_mov(t, 1, X86_RAX, XL_R9);
    make_return(t);

    const uint32_t leave = here(t);
    xl_gs(t, 1, 0x8b, X86_RSP, XL_GS(c_sp));
    xl_rr(t, 0, 0x31, X86_RAX, X86_RAX);
    make_return(t);

    /* r9: guest address to go on at, which is not in the jump cache; rcx in xl.rcx. */
    xl->miss = here(t);
    xl_gs(t, 1, 0x8b, X86_RCX, XL_GS(rcx));
    xl_gs(t, 1, 0x89, XL_R9, XL_CPU(rip));
    save(t);
    xl_gs(t, 1, 0x89, X86_RSP, XL_GS(r_sp));
    xl_jmp(t, xl->rw + leave);

    /* r9: guest address to go on at. */
    for (unsigned user = 0; user < 2; user++) {
        t->user = user;
        xl->dispatch[user] = here(t);
        xl_here(t, xl_look_up(t, false));
        xl_jmp(t, xl->rw + xl->miss);
    }
    t->user = 0;
    /* The same by the CPL, which C has changed. */
    const uint32_t dispatch = here(t);
    xl_gs(t, 0, 0x0fb6, XL_R10, XL_CPU(cpl));
    xl_gsx(t, 1, 0x8b, XL_R10, XL_R10, 3, XL_GS(salt));
    xl_here(t, look_up(t, false));
    xl_jmp(t, xl->rw + xl->miss);

    /* On at cpu->rip, with all registers in memory. */
    const uint32_t resume = here(t);
    load(t);
    xl_gs(t, 1, 0x8b, XL_R9, XL_CPU(rip));
    xl_jmp(t, xl->rw + dispatch);

    /* Called with r9: the instruction, r10: its address. The return address moves to the stack of
     * C, so that nothing of us is left on the other if C does not return. */
    xl->emulate = here(t);
    xl_pop(t, XL_R11);
    save(t);
    to_c(t);
    xl_push(t, XL_R11);
    xl_push(t, XL_R11);
    call_c(t, XL_GS(fn_emulate));
    xl_pop(t, X86_RCX);
    xl_pop(t, X86_RCX);
    xl_gs(t, 1, 0x8b, X86_RSP, XL_GS(r_sp));
    xl_b(t, 0x75); /* jnz */
    rel = t->p;
    xl_b(t, 0);
    xl_push(t, X86_RCX);
    load(t);
    xl_b(t, 0xc3);
    xl_here(t, rel);
    xl_alu(t, 0, XL_CMP, X86_RAX, XL_ELSEWHERE);
    xl_b(t, 0x75);
    rel = t->p;
    xl_b(t, 0);
    xl_jmp(t, xl->rw + resume);
    xl_here(t, rel);
    xl_jmp(t, xl->rw + leave);

    xl->last = here(t);
    save(t);
    to_c(t);
    call_c(t, XL_GS(fn_last));
    xl_gs(t, 1, 0x8b, X86_RSP, XL_GS(r_sp));
    xl_b(t, 0x0f);
    xl_b(t, 0x85);
    xl_i32(t, (uint32_t)(int32_t)(xl->rw + leave - (t->p + 4)));
    xl_jmp(t, xl->rw + resume);
    xl_fill_thunks(t);
    xl_ring_thunks(t);
    xl_string_thunks(t);
    xl->first = xl->used = ALIGN_UP(here(t), 64u);
}
