/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The translator: system instructions within a block that are frequent enough to be done without
 * the interpreter. Whatever is not the usual case of one goes to the interpreter before anything
 * has changed. Rings 1 and 2 are never translated: see xl_usable().
 */
#include "engine/soft/soft.h"
#include "isa/x86/sys.h"

enum { JE = 4, JNE = 5, JA = 7 };

/* ---- arithmetic flags out of the way: r11, with r10 as scratch ---- */

void xl_flags_away(struct xl_tr *t)
{
    xl_mov(t, 1, XL_R10, X86_RAX);
    xl_flags_to_ax(t);
    xl_mov(t, 0, XL_R11, X86_RAX);
    xl_mov(t, 1, X86_RAX, XL_R10);
}

void xl_flags_back(struct xl_tr *t)
{
    xl_mov(t, 1, XL_R10, X86_RAX);
    xl_mov(t, 0, X86_RAX, XL_R11);
    xl_flags_from_ax(t);
    xl_mov(t, 1, X86_RAX, XL_R10);
}

void xl_guard(struct xl_tr *t, unsigned cc, unsigned cold, bool saved)
{
    if (!saved) {
        xl_b(t, 0x0f);
        xl_b(t, 0x80 | (cc ^ 1));
        xl_jump_cold(t, cold);
        return;
    }
    xl_b(t, 0x70 | cc);
    uint8_t *ok = t->p;
    xl_b(t, 0);
    xl_flags_back(t);
    xl_b(t, 0xe9);
    xl_jump_cold(t, cold);
    xl_here(t, ok);
}

/* A guest register of the operand's size = r10. */
static void put_sized(struct xl_tr *t, unsigned size, unsigned guest)
{
    if (size > 2) {
        xl_put_from(t, size == 8, guest, XL_R10);
        return;
    }
    xl_b(t, 0x66);
    if (xl_host(guest) >= 0)
        xl_mov(t, 0, (unsigned)xl_host(guest), XL_R10);
    else
        xl_gs(t, 0, 0x89, XL_R10, xl_gpr(guest));
}

/* ---- within a block ---- */

/* IF, DF: bits of cpu->rflags. */
static void set_rflags(struct xl_tr *t, unsigned op, uint32_t bits)
{
    if (t->live)
        xl_flags_away(t);
    xl_gs_alu(t, op, XL_CPU(rflags), op == XL_AND ? ~bits : bits);
    if (t->live)
        xl_flags_back(t);
}

/* The instruction behind STI runs before an interrupt is taken: it follows in the same block, and
 * nothing between the two leaves it. If an interrupt waits for IF, or might, the interpreter sees
 * to it. */
static void sti(struct xl_tr *t, unsigned cold)
{
    if (t->live)
        xl_flags_away(t);
    xl_gs_alu(t, XL_CMP, XL_ATTENTION, 0);
    xl_guard(t, JE, cold, t->live);
    xl_gs_alu(t, XL_OR, XL_CPU(rflags), X86_IF);
    if (t->live)
        xl_flags_back(t);
}

void xl_flags_from(struct xl_tr *t, unsigned reg)
{
    xl_mov(t, 0, X86_RAX, reg);
    xl_shift(t, 0, XL_SHL, X86_RAX, 8);
    xl_rr(t, 0, 0x0fba, 4, reg); /* bt */
    xl_b(t, 11);
    xl_b(t, 0x0f);
    xl_b(t, 0x92);
    xl_b(t, 0xc0); /* setc al */
    xl_flags_from_ax(t);
}

/* Not what switches single steps, alignment checks or privileges, and no IF that lets in what
 * pends. */
bool xl_popf(struct xl_tr *t, const struct x86_insn *in)
{
    const uint32_t keep = X86_TF | X86_NT | X86_AC | X86_IOPL | (t->user ? X86_IF : 0);
    const uint32_t change = X86_DF | X86_ID | X86_IF;
    const unsigned w = t->mode == 8;
    struct xl_ref ref;

    if (in->op != X86_OP_POPF || in->osz != t->mode)
        return false;
    const unsigned cold = xl_cold_new(t, in);
    xl_stack_operand(t, 0, t->mode, false, cold, &ref);
    xl_op_ref(t, 0, 0x8b, XL_R9, &ref);
    xl_gs(t, 0, 0x8b, XL_R11, XL_CPU(rflags));
    xl_mov(t, 0, XL_R10, XL_R9);
    xl_rr(t, 0, 0x33, XL_R10, XL_R11); /* xor */
    xl_test(t, XL_R10, keep);
    xl_guard(t, JE, cold, false);
    if (!t->user) {
        xl_test(t, XL_R9, X86_IF);
        xl_b(t, 0x70 | JE);
        uint8_t *off = t->p;
        xl_b(t, 0);
        xl_gs_alu(t, XL_CMP, XL_ATTENTION, 0);
        xl_guard(t, JE, cold, false);
        xl_here(t, off);
    }
    xl_alu(t, 0, XL_AND, XL_R10, change);
    xl_rr(t, 0, 0x33, XL_R11, XL_R10);
    xl_gs(t, 1, 0x89, XL_R11, XL_CPU(rflags));
    xl_mov(t, 1, XL_R10, X86_RAX);
    xl_flags_from(t, XL_R9);
    xl_mov(t, 1, X86_RAX, XL_R10);
    xl_lea(t, w, 8, 8, -1, 0, (int32_t)t->mode);
    xl_goto(t, t->next);
    return true;
}

static void pushf(struct xl_tr *t, unsigned cold)
{
    const unsigned w = t->mode == 8;

    xl_lea(t, w, XL_R9, 8, -1, 0, -(int32_t)t->mode);
    xl_check(t, t->mode, true, cold);
    if (t->live_out)
        xl_flags_away(t);
    xl_b(t, 0x9c); /* pushfq */
    xl_b(t, 0x41);
    xl_b(t, 0x5a);                             /* pop r10 */
    xl_gs(t, 1, 0x33, XL_R10, XL_CPU(rflags)); /* arithmetic flags from there, the rest from here */
    xl_alu(t, 0, XL_AND, XL_R10, X86_AFLAGS);
    xl_gs(t, 1, 0x33, XL_R10, XL_CPU(rflags));
    xl_rm(t, w, 0x89, XL_R10, XL_R9, 0);
    if (t->live_out)
        xl_flags_back(t);
    xl_lea(t, w, 8, 8, -1, 0, -(int32_t)t->mode);
}

/* Outside 64-bit mode the upper half of the place stays, as the emulator has it. */
static void push_seg(struct xl_tr *t, unsigned s, unsigned cold)
{
    const unsigned w = t->mode == 8;

    xl_lea(t, w, XL_R9, 8, -1, 0, -(int32_t)t->mode);
    xl_check(t, w ? 8 : 2, true, cold);
    xl_gs(t, 0, 0x0fb7, XL_R10, XL_SEG(s, sel));
    if (!w)
        xl_b(t, 0x66);
    xl_rm(t, w, 0x89, XL_R10, XL_R9, 0);
    xl_lea(t, w, 8, 8, -1, 0, -(int32_t)t->mode);
}

static void rdtsc(struct xl_tr *t, const struct x86_insn *in, unsigned cold)
{
    if (t->live)
        xl_flags_away(t);
    if (t->user) {
        xl_gs_test(t, XL_CPU(cr4), X86_CR4_TSD);
        xl_guard(t, JE, cold, t->live);
    }
    if (in->op == X86_OP_RDTSCP) { /* behind all earlier loads */
        xl_b(t, 0x0f);
        xl_b(t, 0xae);
        xl_b(t, 0xe8); /* lfence */
    }
    xl_b(t, 0x0f);
    xl_b(t, 0x31);
    xl_shift(t, 1, XL_SHL, X86_RDX, 32);
    xl_rr(t, 1, 0x0b, X86_RDX, X86_RAX); /* or rdx, rax */
    xl_gs(t, 1, 0x03, X86_RDX, XL_CPU(tsc_offset));
    xl_mov(t, 0, X86_RAX, X86_RDX);
    xl_shift(t, 1, XL_SHR, X86_RDX, 32);
    if (in->op == X86_OP_RDTSCP)
        xl_gs(t, 0, 0x8b, X86_RCX, XL_CPU(msr.tsc_aux));
    if (t->live)
        xl_flags_back(t);
}

static bool mov_from_seg(struct xl_tr *t, const struct x86_insn *in)
{
    const struct x86_operand *o = in->operand;

    if (o[1].kind != X86_OPERAND_SEG || o[1].reg >= X86_SREG_COUNT)
        return false;
    if (o->kind == X86_OPERAND_MEM) {
        if (!xl_address_ok(t, in))
            return false;
        unsigned cold = xl_cold_new(t, in);
        if (!xl_address(t, in))
            return false;
        xl_check(t, 2, true, cold);
    } else if (o->kind != X86_OPERAND_GPR) {
        return false;
    }
    xl_gs(t, 0, 0x0fb7, XL_R10, XL_SEG(o[1].reg, sel));
    if (o->kind == X86_OPERAND_MEM) {
        xl_b(t, 0x66);
        xl_rm(t, 0, 0x89, XL_R10, XL_R9, 0);
    } else {
        put_sized(t, in->osz, o->reg);
    }
    return true;
}

static bool mov_from_cr(struct xl_tr *t, const struct x86_insn *in)
{
    int32_t at;

    switch (in->operand[1].reg) {
    case 0: at = XL_CPU(cr0); break;
    case 2: at = XL_CPU(cr2); break;
    case 3: at = XL_CPU(cr3); break;
    case 4: at = XL_CPU(cr4); break;
    default: return false;
    }
    xl_gs(t, 1, 0x8b, XL_R10, at);
    xl_put_from(t, t->mode == 8, in->operand[0].reg, XL_R10);
    return true;
}

/* RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE. */
static bool segment_base(struct xl_tr *t, const struct x86_insn *in)
{
    const bool write = in->op == X86_OP_WRFSBASE || in->op == X86_OP_WRGSBASE;
    const bool fs = in->op == X86_OP_RDFSBASE || in->op == X86_OP_WRFSBASE;
    const unsigned w = in->osz == 8, guest = in->operand[0].reg;
    const int32_t base = XL_SEG(fs ? X86_FS : X86_GS, base);

    if (t->mode != 8 || in->operand[0].kind != X86_OPERAND_GPR)
        return false;
    const unsigned cold = xl_cold_new(t, in);
    if (t->live)
        xl_flags_away(t);
    xl_gs_test(t, XL_CPU(cr4), (uint32_t)X86_CR4_FSGSBASE);
    xl_guard(t, JNE, cold, t->live);
    if (write) {
        xl_get_to(t, w, XL_R9, guest);
        if (w) { /* canonical */
            xl_mov(t, 1, XL_R10, XL_R9);
            xl_shift(t, 1, XL_SHL, XL_R10, 16);
            xl_shift(t, 1, XL_SAR, XL_R10, 16);
            xl_rr(t, 1, 0x3b, XL_R10, XL_R9);
            xl_guard(t, JE, cold, t->live);
        }
    }
    if (t->live)
        xl_flags_back(t);
    if (write) {
        xl_gs(t, 1, 0x89, XL_R9, base);
    } else {
        xl_gs(t, 1, 0x8b, XL_R10, base);
        xl_put_from(t, w, guest, XL_R10);
    }
    return true;
}

bool xl_system(struct xl_tr *t, const struct x86_insn *in)
{
    switch (in->op) {
    case X86_OP_CLI:
        if (t->user)
            return false;
        set_rflags(t, XL_AND, X86_IF);
        return true;
    case X86_OP_STI:
        if (t->user || t->last)
            return false;
        sti(t, xl_cold_new(t, in));
        return true;
    case X86_OP_CLD: set_rflags(t, XL_AND, X86_DF); return true;
    case X86_OP_STD: set_rflags(t, XL_OR, X86_DF); return true;
    case X86_OP_PUSHF:
        if (in->osz != t->mode)
            return false;
        pushf(t, xl_cold_new(t, in));
        return true;
    case X86_OP_PUSH_SEG:
        if (in->osz != t->mode || in->operand[0].kind != X86_OPERAND_SEG)
            return false;
        push_seg(t, in->operand[0].reg, xl_cold_new(t, in));
        return true;
    case X86_OP_SWAPGS:
        if (t->user || t->mode != 8)
            return false;
        xl_gs(t, 1, 0x8b, XL_R10, XL_SEG(X86_GS, base));
        xl_gs(t, 1, 0x8b, XL_R11, XL_CPU(msr.kernel_gs_base));
        xl_gs(t, 1, 0x89, XL_R10, XL_CPU(msr.kernel_gs_base));
        xl_gs(t, 1, 0x89, XL_R11, XL_SEG(X86_GS, base));
        return true;
    case X86_OP_RDTSC:
    case X86_OP_RDTSCP: rdtsc(t, in, xl_cold_new(t, in)); return true;
    case X86_OP_RDPID:
        xl_gs(t, 0, 0x8b, XL_R10, XL_CPU(msr.tsc_aux));
        xl_put_from(t, 0, in->operand[0].reg, XL_R10);
        return true;
    case X86_OP_RDFSBASE:
    case X86_OP_RDGSBASE:
    case X86_OP_WRFSBASE:
    case X86_OP_WRGSBASE: return segment_base(t, in);
    case X86_OP_MOV_FROM_SEG: return mov_from_seg(t, in);
    case X86_OP_MOV_FROM_CR: return !t->user && mov_from_cr(t, in);
    default: return xl_string(t, in);
    }
}
