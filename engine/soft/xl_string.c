/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The translator: MOVS, STOS and LODS forwards within a page, by thunks that use the host's own
 * instruction; CMPS and SCAS that do not repeat. All else is the interpreter's, which goes page by
 * page. What lies within a page of RAM cannot fault in the middle and is too short for an
 * interrupt.
 */
#include "engine/soft/soft.h"

enum { MOVS, STOS, LODS };
enum { JE = 4, JNE = 5, JA = 7 };
void xl_in_page(struct xl_tr *t, unsigned reg, bool write, struct xl_outs *slow)
{
    const int32_t e = xl_tlb(t->user);
    const size_t tag =
        write ? offsetof(struct x86_tlb_entry, w) : offsetof(struct x86_tlb_entry, r);

    xl_mov(t, 1, XL_R10, reg);
    xl_shift(t, 1, XL_SHR, XL_R10, 12);
    xl_shift(t, 1, XL_SHR, XL_R11, 12);
    xl_rr(t, 1, 0x3b, XL_R10, XL_R11); /* cmp */
    xl_jcc(t, JNE, slow);
    xl_alu(t, 0, XL_AND, XL_R10, X86_TLB_SIZE - 1);
    xl_shift(t, 0, XL_SHL, XL_R10, 5);
    xl_gsb(t, 1, 0x3b, XL_R11, XL_R10, e + (int32_t)tag);
    xl_jcc(t, JNE, slow);
    xl_gsb(t, 1, 0x8b, XL_R10, XL_R10, e + (int32_t)offsetof(struct x86_tlb_entry, addend));
}

/* r10 = addend for rcx (rep) elements or one from `reg` on */
static void look_up(struct xl_tr *t, unsigned reg, bool rep, unsigned log, bool write,
                    struct xl_outs *slow)
{
    xl_lea(t, 1, XL_R11, (int)reg, rep ? X86_RCX : -1, rep ? log : 0, rep ? -1 : (1 << log) - 1);
    xl_in_page(t, reg, write, slow);
}

static void flags_back(struct xl_tr *t)
{
    xl_gs(t, 0, 0x0fb7, X86_RAX, XL_GS(flags));
    xl_flags_from_ax(t);
    xl_gs(t, 1, 0x8b, X86_RAX, XL_GS(rax));
}

static void short_only(struct xl_tr *t, unsigned reg, struct xl_outs *slow)
{
    xl_mov(t, 0, XL_R11, reg);
    xl_rr(t, 1, 0x3b, XL_R11, reg); /* cmp */
    xl_jcc(t, JNE, slow);
}

/* Called as the thunk `emulate` is, and goes on there in the other cases. */
static void make(struct xl_tr *t, unsigned op, bool rep, unsigned log, bool wide)
{
    static const uint8_t opcode[] = { [MOVS] = 0xa4, [STOS] = 0xaa, [LODS] = 0xac };
    const bool src = op != STOS, dst = op != LODS;
    struct xl_outs slow = { .n = 0 }, done = { .n = 0 };

    xl_gs(t, 1, 0x89, X86_RAX, XL_GS(rax));
    xl_flags_to_ax(t);
    xl_b(t, 0x66);
    xl_gs(t, 0, 0x89, X86_RAX, XL_GS(flags));
    xl_gs(t, 1, 0x89, XL_R10, XL_GS(tmp));
    xl_gs_test(t, XL_CPU(rflags), X86_DF);
    xl_jcc(t, JNE, &slow);
    if (!wide) { /* not with upper halves left over from 64-bit mode */
        if (rep)
            short_only(t, X86_RCX, &slow);
        if (src)
            short_only(t, X86_RSI, &slow);
        if (dst)
            short_only(t, X86_RDI, &slow);
    }
    if (rep) {
        xl_rr(t, 1, 0x85, X86_RCX, X86_RCX);
        xl_jcc(t, JE, &done);
        xl_alu(t, 1, XL_CMP, X86_RCX, 0x1000 >> log);
        xl_jcc(t, JA, &slow);
    }
    if (src) {
        look_up(t, X86_RSI, rep, log, false, &slow);
        if (dst)
            xl_gs(t, 1, 0x89, XL_R10, XL_GS(rcx));
    }
    if (dst)
        look_up(t, X86_RDI, rep, log, true, &slow);
    if (op == MOVS)
        xl_gs(t, 1, 0x8b, XL_R11, XL_GS(rcx));
    else if (op == LODS)
        xl_mov(t, 1, XL_R11, XL_R10);
    if (src)
        xl_rr(t, 1, 0x03, X86_RSI, XL_R11);
    if (dst)
        xl_rr(t, 1, 0x03, X86_RDI, XL_R10);
    xl_gs(t, 1, 0x8b, X86_RAX, XL_GS(rax));
    if (log == 1)
        xl_b(t, 0x66);
    if (rep)
        xl_b(t, 0xf3);
    if (log == 3)
        xl_b(t, 0x48);
    xl_b(t, opcode[op] | (log ? 1 : 0));
    if (src)
        xl_rr(t, 1, 0x2b, X86_RSI, XL_R11);
    if (dst)
        xl_rr(t, 1, 0x2b, X86_RDI, XL_R10);
    if (!wide) { /* beyond 4 GiB is 0 again */
        if (src)
            xl_mov(t, 0, X86_RSI, X86_RSI);
        if (dst)
            xl_mov(t, 0, X86_RDI, X86_RDI);
    }
    if (op == LODS)
        xl_gs(t, 1, 0x89, X86_RAX, XL_GS(rax));
    xl_land(t, &done);
    flags_back(t);
    xl_b(t, 0xc3);

    xl_land(t, &slow);
    flags_back(t);
    xl_gs(t, 1, 0x8b, XL_R10, XL_GS(tmp));
    xl_jmp(t, t->xl->rw + t->xl->emulate);
}

void xl_string_thunks(struct xl_tr *t)
{
    for (unsigned user = 0; user < 2; user++)
        for (unsigned wide = 0; wide < 2; wide++)
            for (unsigned i = 0; i < XL_STRINGS; i++) {
                const unsigned op = i >> 3, rep = i >> 2 & 1, log = i & 3;
                if ((op == LODS && rep) || (log == 3 && !wide))
                    continue;
                t->user = user;
                t->xl->string[user][wide][i] = (uint32_t)(t->p - t->xl->rw);
                make(t, op, rep, log, wide);
            }
    t->user = 0;
}

static void size_prefix(struct xl_tr *t, unsigned n)
{
    if (n == 2)
        xl_b(t, 0x66);
}

/* SCAS and CMPS that do not repeat. What they write they need not keep. */
static bool compare(struct xl_tr *t, const struct x86_insn *in, unsigned n)
{
    const unsigned w = n == 8, wide = t->mode == 8, op = n == 1 ? 0x3a : 0x3b;
    const unsigned cold = xl_cold_new(t, in);
    const bool cmps = in->op == X86_OP_CMPS;

    if (t->live || (cmps && in->seg >= X86_FS))
        return false;
    xl_gs_test(t, XL_CPU(rflags), X86_DF);
    xl_guard(t, JE, cold, false);
    xl_lea(t, wide, XL_R9, X86_RDI, -1, 0, 0);
    xl_check(t, n, false, cold);
    if (cmps) {
        xl_rm(t, w, n == 1 ? 0x0fb6 : n == 2 ? 0x0fb7 : 0x8b, XL_R10, XL_R9, 0);
        xl_gs(t, 1, 0x89, XL_R10, XL_GS(tmp));
        xl_lea(t, wide, XL_R9, X86_RSI, -1, 0, 0);
        xl_check(t, n, false, cold);
        xl_rm(t, w, n == 1 ? 0x0fb6 : n == 2 ? 0x0fb7 : 0x8b, XL_R10, XL_R9, 0);
        size_prefix(t, n);
        xl_gs(t, w, op, XL_R10, XL_GS(tmp));
        xl_lea(t, wide, X86_RSI, X86_RSI, -1, 0, (int32_t)n);
    } else {
        size_prefix(t, n);
        xl_rm(t, w, op, X86_RAX, XL_R9, 0);
    }
    xl_lea(t, wide, X86_RDI, X86_RDI, -1, 0, (int32_t)n);
    return true;
}

bool xl_string(struct xl_tr *t, const struct x86_insn *in)
{
    const unsigned size = in->opcode & 1 ? in->osz : 1;
    unsigned op;

    switch (in->op) {
    case X86_OP_MOVS: op = MOVS; break;
    case X86_OP_STOS: op = STOS; break;
    case X86_OP_LODS: op = LODS; break;
    case X86_OP_SCAS:
    case X86_OP_CMPS: return !in->rep && in->asz == t->mode && compare(t, in, size);
    default: return false;
    }
    if (in->asz != t->mode || (op != STOS && in->seg >= X86_FS) || (op == LODS && in->rep))
        return false;
    const unsigned log = size == 8 ? 3 : size == 4 ? 2 : size == 2 ? 1 : 0;
    xl_imm(t, XL_R9, (uint64_t)(uintptr_t)in);
    xl_imm_moves(t, XL_R10, t->rip, XL_RELOC_RIP);
    xl_call(t,
            t->xl->rw + t->xl->string[t->user][t->mode == 8][op << 3 | (in->rep != 0) << 2 | log]);
    return true;
}
