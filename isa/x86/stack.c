/* SPDX-License-Identifier: BSD-2-Clause */
/* The stack: PUSH POP PUSHA POPA PUSHF POPF, of segment registers, ENTER LEAVE. [SDM] vol. 2. */
#include "isa/x86/exec.h"

#define EXEC(name) static void name(struct x86_cpu *cpu, const struct x86_insn *insn)

/* long_mode: the stack address is 64 bits wide and SS has neither base nor limit. */
X86_INLINE void push(struct x86_cpu *cpu, uint64_t v, unsigned size, bool long_mode)
{
    if (long_mode) {
        uint64_t sp = cpu->gpr[X86_RSP] - size;
        x86_store_user(cpu, X86_SS, sp, v, size, x86_user(cpu));
        cpu->gpr[X86_RSP] = sp;
    } else {
        uint64_t sp = (cpu->gpr[X86_RSP] - size) & x86_sp_mask(cpu);
        x86_store(cpu, X86_SS, sp, v, size);
        x86_sp_set(cpu, sp);
    }
}
X86_INLINE uint64_t top(struct x86_cpu *cpu, unsigned size, bool long_mode)
{
    if (long_mode)
        return x86_load_user(cpu, X86_SS, cpu->gpr[X86_RSP], size, x86_user(cpu));
    return x86_load(cpu, X86_SS, cpu->gpr[X86_RSP] & x86_sp_mask(cpu), size);
}
X86_INLINE void drop(struct x86_cpu *cpu, unsigned size, bool long_mode)
{
    if (long_mode)
        cpu->gpr[X86_RSP] += size;
    else
        x86_sp_set(cpu, cpu->gpr[X86_RSP] + size);
}

/* ---- PUSH, POP: name_size, 64-bit mode with L ---- */

#define DEFINE(n, suffix, l)                                                                       \
    EXEC(push_r_##suffix) { push(cpu, op_get(cpu, &insn->operand[0], n), n, l); }                  \
    EXEC(push_i_##suffix) { push(cpu, insn->imm, n, l); }                                          \
    EXEC(push_m_##suffix) { push(cpu, mem_load(cpu, insn, n, false), n, l); }                      \
    /* POP rSP: the value popped stays. */                                                         \
    EXEC(pop_r_##suffix)                                                                           \
    {                                                                                              \
        uint64_t v = top(cpu, n, l);                                                               \
        drop(cpu, n, l);                                                                           \
        op_set(cpu, &insn->operand[0], n, v);                                                      \
    }                                                                                              \
    /* An address based on rSP is computed with the incremented one. */                            \
    EXEC(pop_m_##suffix)                                                                           \
    {                                                                                              \
        uint64_t v = top(cpu, n, l), sp = cpu->gpr[X86_RSP];                                       \
        drop(cpu, n, l);                                                                           \
        uint64_t after = cpu->gpr[X86_RSP], ea = x86_ea(cpu, insn);                                \
        cpu->gpr[X86_RSP] = sp; /* until the store is done */                                      \
        x86_store(cpu, insn->seg, ea, v, n);                                                       \
        cpu->gpr[X86_RSP] = after;                                                                 \
    }                                                                                              \
    EXEC(leave_##suffix)                                                                           \
    {                                                                                              \
        (void)insn;                                                                                \
        uint64_t bp = l ? cpu->gpr[X86_RBP] : cpu->gpr[X86_RBP] & x86_sp_mask(cpu);                \
        uint64_t v =                                                                               \
            l ? x86_load_user(cpu, X86_SS, bp, n, x86_user(cpu)) : x86_load(cpu, X86_SS, bp, n);   \
        if (l)                                                                                     \
            cpu->gpr[X86_RSP] = bp + n;                                                            \
        else                                                                                       \
            x86_sp_set(cpu, bp + n);                                                               \
        x86_reg_set(cpu, X86_RBP, n, v);                                                           \
    }
DEFINE(2, 2, false)
DEFINE(4, 4, false)
DEFINE(2, 2L, true)
DEFINE(8, 8slow, true)

/* What almost every program does: 64 bits, in the TLB; else the above. */
#define PUSH8(form, value)                                                                         \
    EXEC(push_##form##_8L)                                                                         \
    {                                                                                              \
        void *p;                                                                                   \
        uint64_t sp = cpu->gpr[X86_RSP] - 8;                                                       \
        if (unlikely(!tlb_hit(cpu, sp, 8, X86_WRITE, &p)))                                         \
            return push_##form##_8slow(cpu, insn);                                                 \
        le64_put(p, value);                                                                        \
        cpu->gpr[X86_RSP] = sp;                                                                    \
    }
PUSH8(r, op_get(cpu, &insn->operand[0], 8))
PUSH8(i, insn->imm)
EXEC(pop_r_8L)
{
    void *p;
    uint64_t sp = cpu->gpr[X86_RSP];
    if (unlikely(!tlb_hit(cpu, sp, 8, X86_READ, &p)))
        return pop_r_8slow(cpu, insn);
    cpu->gpr[X86_RSP] = sp + 8;
    op_set(cpu, &insn->operand[0], 8, le64(p));
}
EXEC(leave_8L)
{
    void *p;
    uint64_t bp = cpu->gpr[X86_RBP];
    if (unlikely(!tlb_hit(cpu, bp, 8, X86_READ, &p)))
        return leave_8slow(cpu, insn);
    cpu->gpr[X86_RSP] = bp + 8;
    cpu->gpr[X86_RBP] = le64(p);
}
#define push_m_8L push_m_8slow
#define pop_m_8L  pop_m_8slow

/* ---- all registers ---- */

/* All or nothing: every push is probed first, in their order. */
EXEC(pusha)
{
    const unsigned n = insn->osz;
    uint64_t mask = x86_sp_mask(cpu), sp = cpu->gpr[X86_RSP] & mask;
    for (unsigned r = 1; r <= 8; r++) {
        uint64_t lin = x86_linear(cpu, X86_SS, (sp - r * n) & mask, n, X86_WRITE);
        if (unlikely(cpu->align_check) && x86_user(cpu) && (lin & (n - 1)))
            x86_fault_code(cpu, X86_ACV, 0);
        x86_probe(cpu, X86_SS, lin, n, X86_WRITE, x86_user(cpu));
    }
    for (unsigned r = 0; r < 8; r++) {
        sp = (sp - n) & mask;
        x86_store(cpu, X86_SS, sp, cpu->gpr[r], n);
    }
    x86_sp_set(cpu, sp);
}
EXEC(popa)
{
    const unsigned n = insn->osz;
    uint64_t mask = x86_sp_mask(cpu), sp = cpu->gpr[X86_RSP], v[8];
    for (unsigned r = 8; r-- > 0; sp += n)
        v[r] = x86_load(cpu, X86_SS, sp & mask, n);
    for (unsigned r = 0; r < 8; r++)
        if (r != X86_RSP)
            x86_reg_set(cpu, r, n, v[r]);
    x86_sp_set(cpu, sp);
}

/* ---- flags ---- */

EXEC(pushf)
{
    if (x86_v86(cpu) && x86_iopl(cpu) < 3)
        x86_gp0(cpu);
    push(cpu, cpu->rflags & ~(X86_VM | X86_RF), insn->osz, false);
}

/* What POPF may change depends on privilege. RF is cleared; VM, VIP and VIF stay (CR4.VME and PVI
 * are not offered). */
EXEC(popf)
{
    uint64_t change = X86_AFLAGS | X86_TF | X86_DF | X86_NT | X86_AC | X86_ID, old = cpu->rflags;

    if (x86_v86(cpu)) {
        if (x86_iopl(cpu) < 3)
            x86_gp0(cpu);
        change |= X86_IF;
    } else {
        if (cpu->cpl == 0)
            change |= X86_IOPL;
        if (cpu->cpl <= x86_iopl(cpu))
            change |= X86_IF;
    }
    if (insn->osz == 2)
        change &= 0xffff;
    uint64_t v = top(cpu, insn->osz, false);
    drop(cpu, insn->osz, false);
    cpu->rflags = ((old & ~change) | (v & change)) & ~X86_RF;
    if ((old ^ cpu->rflags) & (X86_TF | X86_IF | X86_AC)) {
        x86_derive(cpu);
        cpu->stop = 1;
    }
}

/* ---- segment registers ---- */

/* With a 32-bit operand the selector is written by a 16-bit store, as current processors do. */
EXEC(push_seg)
{
    unsigned n = insn->osz;
    uint64_t sp = (cpu->gpr[X86_RSP] - n) & x86_sp_mask(cpu);
    x86_store(cpu, X86_SS, sp, cpu->seg[insn->operand[0].reg].sel, n == 4 ? 2 : n);
    x86_sp_set(cpu, sp);
}
/* Reads no more than the selector, whatever the operand size. Loading SS may change the stack's
 * size; rSP is written by the old one. */
EXEC(pop_seg)
{
    unsigned seg = insn->operand[0].reg, stack = cpu->stack;
    uint64_t sp = cpu->gpr[X86_RSP] + insn->osz;
    x86_load_seg(cpu, seg, (uint16_t)top(cpu, 2, false));
    x86_reg_set(cpu, X86_RSP, stack, sp);
    if (seg == X86_SS)
        cpu->shadow |= X86_SHADOW_SS;
    cpu->stop = 1;
}

/* ---- frames ---- */

EXEC(enter)
{
    const unsigned n = insn->osz;
    unsigned level = insn->imm2 & 31;
    uint64_t mask = x86_sp_mask(cpu), sp = (cpu->gpr[X86_RSP] - n) & mask, bp = cpu->gpr[X86_RBP];

    x86_store(cpu, X86_SS, sp, bp, n);
    const uint64_t frame = sp;
    if (level) {
        while (--level) {
            bp -= n;
            sp = (sp - n) & mask;
            x86_store(cpu, X86_SS, sp, x86_load(cpu, X86_SS, bp & mask, n), n);
        }
        sp = (sp - n) & mask;
        x86_store(cpu, X86_SS, sp, frame, n);
    }
    sp = (sp - (uint16_t)insn->imm) & mask;
    /* "... if a write using the final value of the stack pointer would cause a page fault" */
    const uint64_t last = x86_linear(cpu, X86_SS, sp, n, X86_WRITE);
    if (unlikely(cpu->align_check) && x86_user(cpu) && (last & (n - 1)))
        x86_fault_code(cpu, X86_ACV, 0);
    x86_probe(cpu, X86_SS, last, n, X86_WRITE, x86_user(cpu));
    x86_reg_set(cpu, X86_RBP, n, frame);
    x86_sp_set(cpu, sp);
}

/* ---- binding ---- */

x86_exec_fn *x86_bind_stack(const struct x86_insn *insn)
{
    unsigned kind = insn->operand[0].kind;
    bool l = insn->mode == 8;
    /* In 64-bit mode a push is of 8 or 2 bytes, elsewhere of 4 or 2. */
#define PICK(name) (insn->osz == 2 ? (l ? name##_2L : name##_2) : l ? name##_8L : name##_4)

    switch (insn->op) {
    case X86_OP_PUSH:
        switch (kind) {
        case X86_OPERAND_GPR: return PICK(push_r);
        case X86_OPERAND_IMM: return PICK(push_i);
        case X86_OPERAND_MEM: return PICK(push_m);
        }
        return NULL;
    case X86_OP_POP:
        return kind == X86_OPERAND_GPR ? PICK(pop_r) : kind == X86_OPERAND_MEM ? PICK(pop_m) : NULL;
    case X86_OP_LEAVE: return PICK(leave);
    case X86_OP_ENTER: return enter;
    case X86_OP_PUSHA: return pusha;
    case X86_OP_POPA: return popa;
    case X86_OP_PUSHF: return pushf;
    case X86_OP_POPF: return popf;
    case X86_OP_PUSH_SEG: return kind == X86_OPERAND_SEG ? push_seg : NULL;
    case X86_OP_POP_SEG: return kind == X86_OPERAND_SEG ? pop_seg : NULL;
    }
    return NULL;
}
