/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The translator: system instructions that are frequent enough to be done without the interpreter.
 * Whatever is not the usual case of one goes to the interpreter before anything has changed. Rings
 * 1 and 2 are never translated: see xl_usable().
 */
#include "engine/soft/soft.h"
#include "isa/x86/sys.h"

enum { JE = 4, JNE = 5, JA = 7 };
enum { AND = 4, OR = 1, XOR = 6, CMP = 7, TEST = 0 }; /* modrm.reg of group 1 and, TEST, group 3 */

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

/* ---- small encodings ---- */

/* op is of group 1: a doubleword at gs:disp with an immediate. */
static void gs_imm(struct xl_tr *t, unsigned op, int32_t disp, uint32_t imm)
{
    xl_gs(t, 0, 0x81, op, disp);
    xl_i32(t, imm);
}

static void gs_test(struct xl_tr *t, int32_t disp, uint32_t imm)
{
    xl_gs(t, 0, 0xf7, TEST, disp);
    xl_i32(t, imm);
}

static void gs_store(struct xl_tr *t, unsigned w, int32_t disp, uint32_t imm)
{
    xl_gs(t, w, 0xc7, 0, disp);
    xl_i32(t, imm);
}

static void imm(struct xl_tr *t, unsigned op, unsigned reg, uint32_t v)
{
    xl_rr(t, 0, 0x81, op, reg);
    xl_i32(t, v);
}

static void test_imm(struct xl_tr *t, unsigned reg, uint32_t v)
{
    xl_rr(t, 0, 0xf7, TEST, reg);
    xl_i32(t, v);
}

static void shift(struct xl_tr *t, unsigned w, unsigned op, unsigned reg, unsigned n)
{
    xl_rr(t, w, 0xc1, op, reg);
    xl_b(t, n);
}

static int32_t seg(unsigned s, size_t field)
{
    return (int32_t)(offsetof(struct x86_cpu, seg) + s * sizeof(struct x86_seg) + field);
}

#define XL_ATTENTION                                                                               \
    ((int32_t)(offsetof(struct soft_vcpu, attention) - offsetof(struct soft_vcpu, cpu)))

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
    gs_imm(t, op, XL_CPU(rflags), op == AND ? ~bits : bits);
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
    gs_imm(t, CMP, XL_ATTENTION, 0);
    xl_guard(t, JE, cold, t->live);
    gs_imm(t, OR, XL_CPU(rflags), X86_IF);
    if (t->live)
        xl_flags_back(t);
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
    imm(t, AND, XL_R10, X86_AFLAGS);
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
    xl_gs(t, 0, 0x0fb7, XL_R10, seg(s, offsetof(struct x86_seg, sel)));
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
        gs_test(t, XL_CPU(cr4), X86_CR4_TSD);
        xl_guard(t, JE, cold, t->live);
    }
    if (in->op == X86_OP_RDTSCP) { /* behind all earlier loads */
        xl_b(t, 0x0f);
        xl_b(t, 0xae);
        xl_b(t, 0xe8); /* lfence */
    }
    xl_b(t, 0x0f);
    xl_b(t, 0x31);
    shift(t, 1, 4, X86_RDX, 32);
    xl_rr(t, 1, 0x0b, X86_RDX, X86_RAX); /* or rdx, rax */
    xl_gs(t, 1, 0x03, X86_RDX, XL_CPU(tsc_offset));
    xl_mov(t, 0, X86_RAX, X86_RDX);
    shift(t, 1, 5, X86_RDX, 32);
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
    xl_gs(t, 0, 0x0fb7, XL_R10, seg(o[1].reg, offsetof(struct x86_seg, sel)));
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
    const int32_t base = seg(fs ? X86_FS : X86_GS, offsetof(struct x86_seg, base));

    if (t->mode != 8 || in->operand[0].kind != X86_OPERAND_GPR)
        return false;
    const unsigned cold = xl_cold_new(t, in);
    if (t->live)
        xl_flags_away(t);
    gs_test(t, XL_CPU(cr4), (uint32_t)X86_CR4_FSGSBASE);
    xl_guard(t, JNE, cold, t->live);
    if (write) {
        xl_get_to(t, w, XL_R9, guest);
        if (w) { /* canonical */
            xl_mov(t, 1, XL_R10, XL_R9);
            shift(t, 1, 4, XL_R10, 16);
            shift(t, 1, 7, XL_R10, 16);
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
        set_rflags(t, AND, X86_IF);
        return true;
    case X86_OP_STI:
        if (t->user || t->last)
            return false;
        sti(t, xl_cold_new(t, in));
        return true;
    case X86_OP_CLD: set_rflags(t, AND, X86_DF); return true;
    case X86_OP_STD: set_rflags(t, OR, X86_DF); return true;
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
        xl_gs(t, 1, 0x8b, XL_R10, seg(X86_GS, 0));
        xl_gs(t, 1, 0x8b, XL_R11, XL_CPU(msr.kernel_gs_base));
        xl_gs(t, 1, 0x89, XL_R10, XL_CPU(msr.kernel_gs_base));
        xl_gs(t, 1, 0x89, XL_R11, seg(X86_GS, 0));
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

/* ---- SYSCALL and SYSRET: thunks, entered with r9: instruction, r10: its address ---- */

static uint8_t *forward(struct xl_tr *t, unsigned cc)
{
    xl_b(t, 0x0f);
    xl_b(t, 0x80 | cc);
    xl_i32(t, 0);
    return t->p - 4;
}

/* seg = flat, of the selector in r10 */
static void flat(struct xl_tr *t, unsigned s, uint32_t attr)
{
    gs_store(t, 1, seg(s, offsetof(struct x86_seg, base)), 0);
    gs_store(t, 0, seg(s, offsetof(struct x86_seg, limit)), 0xffffffff);
    gs_store(t, 0, seg(s, offsetof(struct x86_seg, attr)), attr);
    xl_b(t, 0x66);
    xl_gs(t, 0, 0x89, XL_R10, seg(s, offsetof(struct x86_seg, sel)));
}

/* The other half of a change between 64-bit code of rings 0 and 3. */
static void set_mode(struct xl_tr *t, bool user)
{
    xl_gs(t, 0, 0xc6, 0, XL_CPU(cpl));
    xl_b(t, user ? 3 : 0);
    gs_store(t, 0, XL_CPU(mode_key), X86_KEY_CODE64 | (user ? X86_KEY_USER : 0));
}

/* Arithmetic flags that SFMASK does not clear, and AC, which may switch alignment checks, are left
 * to the interpreter. */
static void make_syscall(struct xl_tr *t)
{
    uint8_t *slow[3];

    t->xl->syscall = (uint32_t)(t->p - t->xl->rw);
    xl_gs(t, 1, 0x89, X86_RCX, XL_GS(rcx));
    xl_b(t, 0x9c); /* pushfq */
    xl_b(t, 0x59); /* pop rcx */
    gs_test(t, XL_CPU(efer), X86_EFER_SCE);
    slow[0] = forward(t, JE);
    xl_gs(t, 0, 0x8b, XL_R11, XL_CPU(msr.sfmask));
    xl_rr(t, 0, 0xf7, 2, XL_R11); /* not */
    test_imm(t, XL_R11, X86_AFLAGS);
    slow[1] = forward(t, JNE);
    gs_test(t, XL_CPU(rflags), X86_AC);
    slow[2] = forward(t, JNE);
    imm(t, AND, X86_RCX, X86_AFLAGS);
    xl_gs(t, 0, 0x8b, XL_R11, XL_CPU(rflags));
    imm(t, AND, XL_R11, ~(uint32_t)X86_AFLAGS);
    xl_rr(t, 0, 0x0b, XL_R11, X86_RCX); /* or */
    xl_gs(t, 1, 0x89, XL_R11, xl_gpr(11));
    xl_lea(t, 1, X86_RCX, XL_R10, -1, 0, 2);
    xl_gs(t, 0, 0x8b, XL_R10, XL_CPU(msr.sfmask));
    xl_rr(t, 0, 0xf7, 2, XL_R10);
    xl_rr(t, 0, 0x23, XL_R11, XL_R10); /* and */
    imm(t, AND, XL_R11, ~(uint32_t)X86_RF);
    imm(t, OR, XL_R11, X86_F1);
    xl_gs(t, 1, 0x89, XL_R11, XL_CPU(rflags));
    xl_gs(t, 0, 0x8b, XL_R10, XL_CPU(msr.star) + 4);
    imm(t, AND, XL_R10, 0xfffc);
    flat(t, X86_CS, X86_ATTR_CODE64);
    xl_lea(t, 0, XL_R10, XL_R10, -1, 0, 8);
    flat(t, X86_SS, X86_ATTR_DATA32);
    set_mode(t, false);
    xl_gs(t, 1, 0x8b, XL_R9, XL_CPU(msr.lstar));
    xl_imm(t, XL_R10, 3);
    imm(t, CMP, XL_R10, 2); /* leaves no flag set */
    xl_jmp(t, t->xl->rw + t->xl->dispatch[0]);

    for (unsigned i = 0; i < ARRAY_LEN(slow); i++)
        xl_here32(t, slow[i]);
    xl_b(t, 0x51);
    xl_b(t, 0x9d); /* push rcx; popfq */
    xl_gs(t, 1, 0x8b, X86_RCX, XL_GS(rcx));
    xl_jmp(t, t->xl->rw + t->xl->last);
}

/* To 64-bit code. The flags before it are dead. */
static void make_sysret(struct xl_tr *t)
{
    uint8_t *slow[5];

    t->xl->sysret = (uint32_t)(t->p - t->xl->rw);
    xl_gs(t, 1, 0x89, XL_R10, XL_GS(tmp));
    gs_test(t, XL_CPU(efer), X86_EFER_SCE);
    slow[0] = forward(t, JE);
    gs_imm(t, CMP, XL_ATTENTION, 0); /* an interrupt may have waited for IF */
    slow[1] = forward(t, JNE);
    gs_test(t, XL_CPU(rflags), X86_AC);
    slow[2] = forward(t, JNE);
    xl_gs(t, 0, 0x8b, XL_R11, xl_gpr(11));
    test_imm(t, XL_R11, X86_TF | X86_AC);
    slow[3] = forward(t, JNE);
    xl_mov(t, 1, XL_R10, X86_RCX);
    shift(t, 1, 4, XL_R10, 16);
    shift(t, 1, 7, XL_R10, 16);
    xl_rr(t, 1, 0x3b, XL_R10, X86_RCX);
    slow[4] = forward(t, JNE);

    imm(t, AND, XL_R11, (uint32_t)(X86_FLAGS_DEFINED & ~(X86_RF | X86_VM)));
    imm(t, OR, XL_R11, X86_F1);
    xl_gs(t, 1, 0x89, XL_R11, XL_CPU(rflags));
    xl_gs(t, 0, 0x0fb7, XL_R10, XL_CPU(msr.star) + 6);
    imm(t, OR, XL_R10, 3);
    xl_lea(t, 0, XL_R10, XL_R10, -1, 0, 16);
    flat(t, X86_CS, X86_ATTR_CODE64 | 3 << 5);
    xl_lea(t, 0, XL_R10, XL_R10, -1, 0, -8);
    flat(t, X86_SS, X86_ATTR_DATA32 | 3 << 5);
    set_mode(t, true);
    xl_gs(t, 0, 0x8b, XL_R11, xl_gpr(11));
    xl_mov(t, 1, XL_R9, X86_RCX);
    xl_mov(t, 1, XL_R10, X86_RAX);
    xl_mov(t, 0, X86_RAX, XL_R11);
    shift(t, 0, 4, X86_RAX, 8);
    xl_rr(t, 0, 0x0fba, 4, XL_R11); /* bt r11d, 11 */
    xl_b(t, 11);
    xl_b(t, 0x0f);
    xl_b(t, 0x92);
    xl_b(t, 0xc0); /* setc al */
    xl_flags_from_ax(t);
    xl_mov(t, 1, X86_RAX, XL_R10);
    xl_jmp(t, t->xl->rw + t->xl->dispatch[1]);

    for (unsigned i = 0; i < ARRAY_LEN(slow); i++)
        xl_here32(t, slow[i]);
    xl_gs(t, 1, 0x8b, XL_R10, XL_GS(tmp));
    xl_jmp(t, t->xl->rw + t->xl->last);
}

void xl_sys_thunks(struct xl_tr *t)
{
    make_syscall(t);
    make_sysret(t);
}

bool xl_system_end(struct xl_tr *t, const struct x86_insn *in)
{
    uint32_t to;

    if (t->mode != 8 || t->xl->exact)
        return false;
    if (in->op == X86_OP_SYSCALL && in->len == 2)
        to = t->xl->syscall;
    else if (in->op == X86_OP_SYSRET && !t->user && in->osz == 8)
        to = t->xl->sysret;
    else
        return false;
    xl_imm(t, XL_R9, (uint64_t)(uintptr_t)in);
    xl_imm(t, XL_R10, t->rip);
    xl_jmp(t, t->xl->rw + to);
    return true;
}
