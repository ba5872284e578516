/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The translator: SYSCALL, SYSRET and IRET of 64-bit code as thunks. Like the interpreter they read
 * the stack and the GDT each time; what a descriptor means is known of the last ones seen. Whatever
 * is not the usual case goes to the interpreter before anything has changed.
 */
#include "engine/soft/soft.h"
#include "isa/x86/sys.h"

enum { JB = 2, JE = 4, JNE = 5 };

/* All thunks are entered with r9: the instruction, r10: its address. */

static void canonical(struct xl_tr *t, unsigned reg, struct xl_outs *slow)
{
    xl_mov(t, 1, XL_R10, reg);
    xl_shift(t, 1, XL_SHL, XL_R10, 16);
    xl_shift(t, 1, XL_SAR, XL_R10, 16);
    xl_rr(t, 1, 0x3b, XL_R10, reg);
    xl_jcc(t, JNE, slow);
}

/* cpu->rflags = reg, as IRET and SYSRET of ring 0 may change them. */
static void keep_flags(struct xl_tr *t, unsigned reg, uint64_t but)
{
    xl_alu(t, 0, XL_AND, reg, (uint32_t)(X86_FLAGS_DEFINED & ~(X86_VM | but)));
    xl_alu(t, 0, XL_OR, reg, X86_F1);
    xl_gs(t, 1, 0x89, reg, XL_CPU(rflags));
}

/* seg = flat, of the selector in r10 */
static void flat(struct xl_tr *t, unsigned s, uint32_t attr)
{
    xl_gs_store(t, 1, XL_SEG(s, base), 0);
    xl_gs_store(t, 0, XL_SEG(s, limit), 0xffffffff);
    xl_gs_store(t, 0, XL_SEG(s, attr), attr);
    xl_b(t, 0x66);
    xl_gs(t, 0, 0x89, XL_R10, XL_SEG(s, sel));
}

/* The other half of a change between 64-bit code of rings 0 and 3. */
static void set_mode(struct xl_tr *t, bool user)
{
    xl_gs(t, 0, 0xc6, 0, XL_CPU(cpl));
    xl_b(t, user ? 3 : 0);
    xl_gs_store(t, 0, XL_CPU(mode_key), X86_KEY_CODE64 | (user ? X86_KEY_USER : 0));
}

/* AC, which may switch alignment checks, is left to the interpreter. */
static void make_syscall(struct xl_tr *t)
{
    struct xl_outs slow = { .n = 0 }, some = { .n = 0 };

    t->xl->syscall = (uint32_t)(t->p - t->xl->rw);
    xl_gs(t, 1, 0x89, X86_RCX, XL_GS(rcx));
    xl_b(t, 0x9c); /* pushfq */
    xl_b(t, 0x59); /* pop rcx */
    xl_gs_test(t, XL_CPU(efer), X86_EFER_SCE);
    xl_jcc(t, JE, &slow);
    xl_gs_test(t, XL_CPU(rflags), X86_AC);
    xl_jcc(t, JNE, &slow);
    xl_alu(t, 0, XL_AND, X86_RCX, X86_AFLAGS);
    xl_gs(t, 0, 0x8b, XL_R11, XL_CPU(rflags));
    xl_alu(t, 0, XL_AND, XL_R11, ~(uint32_t)X86_AFLAGS);
    xl_rr(t, 0, 0x0b, XL_R11, X86_RCX); /* or */
    xl_gs(t, 1, 0x89, XL_R11, xl_gpr(11));
    xl_lea(t, 1, X86_RCX, XL_R10, -1, 0, 2);
    xl_gs(t, 0, 0x8b, XL_R10, XL_CPU(msr.sfmask));
    xl_rr(t, 0, 0xf7, 2, XL_R10);      /* not */
    xl_rr(t, 0, 0x23, XL_R11, XL_R10); /* and */
    xl_alu(t, 0, XL_AND, XL_R11, ~(uint32_t)X86_RF);
    xl_alu(t, 0, XL_OR, XL_R11, X86_F1);
    xl_gs(t, 1, 0x89, XL_R11, XL_CPU(rflags));
    xl_gs(t, 0, 0x8b, XL_R10, XL_CPU(msr.star) + 4);
    xl_alu(t, 0, XL_AND, XL_R10, 0xfffc);
    flat(t, X86_CS, X86_ATTR_CODE64);
    xl_lea(t, 0, XL_R10, XL_R10, -1, 0, 8);
    flat(t, X86_SS, X86_ATTR_DATA32);
    set_mode(t, false);
    xl_gs(t, 1, 0x8b, XL_R9, XL_CPU(msr.lstar));
    xl_test(t, XL_R11, X86_AFLAGS);
    xl_jcc(t, JNE, &some);
    xl_imm(t, XL_R10, 3);
    xl_alu(t, 0, XL_CMP, XL_R10, 2); /* leaves no flag set */
    xl_jmp(t, t->xl->rw + t->xl->dispatch[0]);
    xl_land(t, &some); /* that SFMASK does not clear */
    xl_mov(t, 1, XL_R10, X86_RAX);
    xl_flags_from(t, XL_R11);
    xl_mov(t, 1, X86_RAX, XL_R10);
    xl_jmp(t, t->xl->rw + t->xl->dispatch[0]);

    xl_land(t, &slow);
    xl_b(t, 0x51);
    xl_b(t, 0x9d); /* push rcx; popfq */
    xl_gs(t, 1, 0x8b, X86_RCX, XL_GS(rcx));
    xl_jmp(t, t->xl->rw + t->xl->last);
}

/* To 64-bit code. The flags before it are dead. */
static void make_sysret(struct xl_tr *t)
{
    struct xl_outs slow = { .n = 0 };

    t->xl->sysret = (uint32_t)(t->p - t->xl->rw);
    xl_gs(t, 1, 0x89, XL_R10, XL_GS(tmp));
    xl_gs_test(t, XL_CPU(efer), X86_EFER_SCE);
    xl_jcc(t, JE, &slow);
    xl_gs_alu(t, XL_CMP, XL_ATTENTION, 0); /* an interrupt may have waited for IF */
    xl_jcc(t, JNE, &slow);
    xl_gs_test(t, XL_CPU(rflags), X86_AC);
    xl_jcc(t, JNE, &slow);
    xl_gs(t, 0, 0x8b, XL_R11, xl_gpr(11));
    xl_test(t, XL_R11, X86_TF | X86_AC);
    xl_jcc(t, JNE, &slow);
    canonical(t, X86_RCX, &slow);

    keep_flags(t, XL_R11, X86_RF);
    xl_gs(t, 0, 0x0fb7, XL_R10, XL_CPU(msr.star) + 6);
    xl_alu(t, 0, XL_OR, XL_R10, 3);
    xl_lea(t, 0, XL_R10, XL_R10, -1, 0, 16);
    flat(t, X86_CS, X86_ATTR_CODE64 | 3 << 5);
    xl_lea(t, 0, XL_R10, XL_R10, -1, 0, -8);
    flat(t, X86_SS, X86_ATTR_DATA32 | 3 << 5);
    set_mode(t, true);
    xl_gs(t, 0, 0x8b, XL_R11, xl_gpr(11));
    xl_mov(t, 1, XL_R9, X86_RCX);
    xl_mov(t, 1, XL_R10, X86_RAX);
    xl_flags_from(t, XL_R11);
    xl_mov(t, 1, X86_RAX, XL_R10);
    xl_jmp(t, t->xl->rw + t->xl->dispatch[1]);

    xl_land(t, &slow);
    xl_gs(t, 1, 0x8b, XL_R10, XL_GS(tmp));
    xl_jmp(t, t->xl->rw + t->xl->last);
}

/* ---- IRET of ring 0, to rings 0 and 3 ---- */

enum { RIP = 0, CS = 8, FLAGS = 16, RSP = 24, SS = 32, FRAME = 40 }; /* on the stack */

/* The standard descriptors without base and limit. */
void xl_ring_init(struct xl *xl)
{
    const uint64_t desc[2] = { 0x00af9b000000ffff, 0x00cf93000000ffff };

    for (unsigned user = 0; user < 2; user++)
        for (unsigned i = 0; i < 2; i++) {
            const uint64_t d = desc[i] | (uint64_t)(user ? 3 : 0) << 45;
            xl->to[user].desc[i] = d;
            xl->to[user].seg[i] = x86_desc_seg(0, d);
        }
}

/* What was just loaded from the descriptor of sel is valid for this ring. */
static void learn(struct x86_cpu *cpu, struct xl_return *to, unsigned i, const struct x86_seg *s)
{
    const uint64_t lin = cpu->gdt.base + (s->sel & 0xfff8);
    const struct x86_tlb_entry *e = x86_tlb_entry(cpu, lin, 0);

    if (x86_sel_is_null(s->sel) || s->sel & 4 || e->r != (lin + 7) >> 12)
        return;
    const uint64_t desc = le64((const uint8_t *)(uintptr_t)(lin + e->addend));
    const struct x86_seg now = x86_desc_seg(s->sel, desc);
    if (now.base != s->base || now.limit != s->limit || now.attr != s->attr)
        return;
    to->desc[i] = desc;
    to->seg[i] = now;
}

void xl_ring_learn(struct soft_vcpu *v)
{
    struct x86_cpu *cpu = &v->cpu;
    struct xl_return *to = &v->xl.to[cpu->cpl == 3];

    if (cpu->code != 8 || (cpu->cpl != 0 && cpu->cpl != 3))
        return;
    learn(cpu, to, 0, &cpu->seg[X86_CS]);
    learn(cpu, to, 1, &cpu->seg[X86_SS]);
}

/* The descriptor of the selector in `sel` must be the one known. rbx is scratch. */
static void known(struct xl_tr *t, unsigned sel, bool user, unsigned i, struct xl_outs *slow)
{
    xl_test(t, sel, 4); /* in the LDT */
    xl_jcc(t, JNE, slow);
    xl_test(t, sel, 0xfff8); /* null */
    xl_jcc(t, JE, slow);
    xl_mov(t, 0, X86_RBX, sel);
    xl_alu(t, 0, XL_OR, X86_RBX, 7);
    xl_gs(t, 0, 0x0fb7, XL_R11, XL_CPU(gdt.limit));
    xl_rr(t, 0, 0x3b, XL_R11, X86_RBX);
    xl_jcc(t, JB, slow);
    xl_gs(t, 1, 0x03, X86_RBX, XL_CPU(gdt.base));
    xl_lea(t, 1, X86_RBX, X86_RBX, -1, 0, -7);
    xl_lea(t, 1, XL_R11, X86_RBX, -1, 0, 7);
    xl_in_page(t, X86_RBX, false, slow);
    xl_rr(t, 1, 0x03, X86_RBX, XL_R10);
    xl_rm(t, 1, 0x8b, XL_R11, X86_RBX, 0);
    xl_gs(t, 1, 0x3b, XL_R11,
          XL_GS(to[0].desc) + (int32_t)(user * sizeof(struct xl_return) + 8 * i));
    xl_jcc(t, JNE, slow);
}

/* A segment register = what is known, with the selector in `sel`. */
static void load_known(struct xl_tr *t, unsigned s, unsigned sel, bool user, unsigned i)
{
    const int32_t from =
        XL_GS(to[0].seg) + (int32_t)(user * sizeof(struct xl_return) + i * sizeof(struct x86_seg));

    _Static_assert(offsetof(struct x86_seg, attr) == offsetof(struct x86_seg, limit) + 4, "");
    xl_gs(t, 1, 0x8b, XL_R11, from + (int32_t)offsetof(struct x86_seg, base));
    xl_gs(t, 1, 0x89, XL_R11, XL_SEG(s, base));
    xl_gs(t, 1, 0x8b, XL_R11, from + (int32_t)offsetof(struct x86_seg, limit));
    xl_gs(t, 1, 0x89, XL_R11, XL_SEG(s, limit));
    xl_b(t, 0x66);
    xl_gs(t, 0, 0x89, sel, XL_SEG(s, sel));
}

/* Ring 3 loses data segments it may not see: none, if each is of DPL 3 or not usable. */
static void data_segments(struct xl_tr *t, struct xl_outs *slow)
{
    static const uint8_t segs[] = { X86_ES, X86_DS, X86_FS, X86_GS };

    for (unsigned i = 0; i < ARRAY_LEN(segs); i++) {
        xl_gs(t, 0, 0x8b, XL_R11, XL_SEG(segs[i], attr));
        xl_test(t, XL_R11, X86_SEG_UNUSABLE);
        xl_b(t, 0x70 | JNE);
        uint8_t *fine = t->p;
        xl_b(t, 0);
        xl_alu(t, 0, XL_AND, XL_R11, 3 << 5);
        xl_alu(t, 0, XL_CMP, XL_R11, 3 << 5);
        xl_jcc(t, JNE, slow);
        xl_here(t, fine);
    }
}

/* rdx: host address of the frame, ecx: CS, eax: SS; checked but for what depends on the ring. */
static void iret_to(struct xl_tr *t, bool user, struct xl_outs *slow)
{
    uint8_t *null = NULL;

    known(t, X86_RCX, user, 0, slow);
    if (user) {
        xl_mov(t, 0, XL_R11, X86_RAX);
        xl_alu(t, 0, XL_AND, XL_R11, 3);
        xl_alu(t, 0, XL_CMP, XL_R11, 3);
    } else {
        xl_test(t, X86_RAX, 3);
    }
    xl_jcc(t, JNE, slow);
    if (!user) {
        xl_rr(t, 0, 0x85, X86_RAX, X86_RAX);
        xl_b(t, 0x0f);
        xl_b(t, 0x80 | JE);
        null = t->p;
        xl_i32(t, 0);
    }
    known(t, X86_RAX, user, 1, slow);
    if (user)
        data_segments(t, slow);
    load_known(t, X86_SS, X86_RAX, user, 1);
    if (null) {
        xl_b(t, 0xe9);
        uint8_t *over = t->p;
        xl_i32(t, 0);
        xl_here32(t, null);
        xl_gs_store(t, 1, XL_SEG(X86_SS, base), 0);
        xl_gs_store(t, 0, XL_SEG(X86_SS, limit), 0);
        xl_gs_store(t, 0, XL_SEG(X86_SS, attr), X86_SEG_UNUSABLE);
        xl_b(t, 0x66);
        xl_gs(t, 0, 0x89, X86_RAX, XL_SEG(X86_SS, sel));
        xl_here32(t, over);
    }
    load_known(t, X86_CS, X86_RCX, user, 0);
    if (user)
        set_mode(t, true);
    xl_gs(t, 0, 0xc6, 0, XL_CPU(nmi_blocked));
    xl_b(t, 0);
    xl_rm(t, 0, 0x8b, XL_R11, X86_RDX, FLAGS);
    xl_mov(t, 0, XL_R10, XL_R11);
    /* RF holds for one instruction, and only lockstep looks at it. */
    keep_flags(t, XL_R10, t->v->vm->lockstep ? 0 : X86_RF);
    xl_rm(t, 1, 0x8b, 8, X86_RDX, RSP);
    xl_rm(t, 1, 0x8b, XL_R9, X86_RDX, RIP);
    xl_flags_from(t, XL_R11);
    xl_gs(t, 1, 0x8b, X86_RAX, XL_GS(rax));
    xl_gs(t, 1, 0x8b, X86_RCX, XL_GS(rcx));
    xl_gs(t, 1, 0x8b, X86_RDX, XL_GS(rdx));
    xl_gs(t, 1, 0x8b, X86_RBX, XL_GS(rbx));
    xl_jmp(t, t->xl->rw + t->xl->dispatch[user]);
}

/* NT, TF, AC (which may switch alignment checks), VM and what pends are the interpreter's. */
static void make_iret(struct xl_tr *t)
{
    struct xl_outs slow = { .n = 0 };

    t->xl->iret = (uint32_t)(t->p - t->xl->rw);
    xl_gs(t, 1, 0x89, XL_R10, XL_GS(tmp));
    xl_gs(t, 1, 0x89, X86_RAX, XL_GS(rax));
    xl_gs(t, 1, 0x89, X86_RCX, XL_GS(rcx));
    xl_gs(t, 1, 0x89, X86_RDX, XL_GS(rdx));
    xl_gs(t, 1, 0x89, X86_RBX, XL_GS(rbx));
    xl_gs_alu(t, XL_CMP, XL_ATTENTION, 0); /* an interrupt may wait for IF, an NMI for us */
    xl_jcc(t, JNE, &slow);
    xl_gs_test(t, XL_CPU(rflags), X86_AC | X86_NT);
    xl_jcc(t, JNE, &slow);
    xl_lea(t, 1, XL_R11, 8, -1, 0, FRAME - 1);
    xl_in_page(t, 8, false, &slow);
    xl_lea(t, 1, X86_RDX, XL_R10, 8, 0, 0);
    xl_rm(t, 1, 0x8b, X86_RCX, X86_RDX, RIP);
    canonical(t, X86_RCX, &slow);
    xl_rm(t, 0, 0x8b, X86_RCX, X86_RDX, FLAGS);
    xl_test(t, X86_RCX, X86_TF | X86_AC | X86_VM);
    xl_jcc(t, JNE, &slow);
    xl_rm(t, 0, 0x0fb7, X86_RCX, X86_RDX, CS);
    xl_rm(t, 0, 0x0fb7, X86_RAX, X86_RDX, SS);
    xl_mov(t, 0, XL_R11, X86_RCX);
    xl_alu(t, 0, XL_AND, XL_R11, 3);
    xl_b(t, 0x0f);
    xl_b(t, 0x80 | JE);
    uint8_t *kernel = t->p;
    xl_i32(t, 0);
    xl_alu(t, 0, XL_CMP, XL_R11, 3);
    xl_jcc(t, JNE, &slow);
    iret_to(t, true, &slow);
    xl_here32(t, kernel);
    iret_to(t, false, &slow);

    xl_land(t, &slow);
    xl_gs(t, 1, 0x8b, X86_RAX, XL_GS(rax));
    xl_gs(t, 1, 0x8b, X86_RCX, XL_GS(rcx));
    xl_gs(t, 1, 0x8b, X86_RDX, XL_GS(rdx));
    xl_gs(t, 1, 0x8b, X86_RBX, XL_GS(rbx));
    xl_gs(t, 1, 0x8b, XL_R10, XL_GS(tmp));
    xl_jmp(t, t->xl->rw + t->xl->last);
}

void xl_ring_thunks(struct xl_tr *t)
{
    t->user = 0; /* whose TLB is looked at */
    make_syscall(t);
    make_sysret(t);
    make_iret(t);
}

bool xl_ring(struct xl_tr *t, const struct x86_insn *in)
{
    uint32_t to;

    if (t->mode != 8 || t->xl->exact)
        return false;
    if (in->op == X86_OP_SYSCALL && in->len == 2)
        to = t->xl->syscall;
    else if (in->op == X86_OP_SYSRET && !t->user && in->osz == 8)
        to = t->xl->sysret;
    else if (in->op == X86_OP_IRET && !t->user && in->osz == 8)
        to = t->xl->iret;
    else
        return false;
    xl_imm(t, XL_R9, (uint64_t)(uintptr_t)in);
    xl_imm_moves(t, XL_R10, t->rip, XL_RELOC_RIP);
    xl_jmp(t, t->xl->rw + to);
    return true;
}
