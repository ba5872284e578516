/* SPDX-License-Identifier: BSD-2-Clause */
/* Near control transfer: Jcc JMP CALL RET LOOP JCXZ. The target is checked first (#GP), then the
 * stack is accessed. [SDM] vol. 2. */
#include "isa/x86/exec.h"

#define EXEC(name) static void name(struct x86_cpu *cpu, const struct x86_insn *insn)

/* ---- relative ---- */

#define JCC(form, cc)                                                                              \
    EXEC(jcc_8_##cc)                                                                               \
    {                                                                                              \
        if (cc_true(cpu->rflags, cc)) {                                                            \
            uint64_t to = cpu->rip + insn->imm;                                                    \
            if (unlikely(!x86_canonical(to)))                                                      \
                x86_gp0(cpu);                                                                      \
            cpu->rip = to;                                                                         \
        }                                                                                          \
    }                                                                                              \
    EXEC(jcc_any_##cc)                                                                             \
    {                                                                                              \
        if (cc_true(cpu->rflags, cc))                                                              \
            x86_jump(cpu, cpu->rip + insn->imm, insn->osz);                                        \
    }
X86_EACH_CC(JCC, )
#define NAME(form, cc) jcc_##form##_##cc,
static x86_exec_fn *const jcc_table[2][16] = { { X86_EACH_CC(NAME, any) },
                                               { X86_EACH_CC(NAME, 8) } };

EXEC(jmp) { x86_jump(cpu, cpu->rip + insn->imm, insn->osz); }

/* ---- CALL, RET: `rip` is put back by whoever catches, so it may change before the store ---- */

X86_INLINE void call(struct x86_cpu *cpu, uint64_t to, unsigned size, bool long_mode)
{
    uint64_t from = cpu->rip;
    uint64_t sp = cpu->gpr[X86_RSP] - size;
    if (long_mode) { /* processors store even if the target then is not canonical */
        x86_store_user(cpu, X86_SS, sp, from, size, x86_user(cpu));
        x86_jump(cpu, to, size);
        cpu->gpr[X86_RSP] = sp;
    } else {
        x86_jump(cpu, to, size);
        sp &= x86_sp_mask(cpu);
        x86_store(cpu, X86_SS, sp, from, size);
        x86_sp_set(cpu, sp);
    }
}
X86_INLINE void ret(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned size, bool long_mode)
{
    uint64_t sp = cpu->gpr[X86_RSP];
    if (long_mode) {
        x86_jump(cpu, x86_load_user(cpu, X86_SS, sp, size, x86_user(cpu)), size);
        cpu->gpr[X86_RSP] = sp + size + (uint16_t)insn->imm;
    } else {
        x86_jump(cpu, x86_load(cpu, X86_SS, sp & x86_sp_mask(cpu), size), size);
        x86_sp_set(cpu, sp + size + (uint16_t)insn->imm);
    }
}

#define DEFINE(n, suffix, l)                                                                       \
    EXEC(call_##suffix) { call(cpu, cpu->rip + insn->imm, n, l); }                                 \
    EXEC(call_r_##suffix) { call(cpu, op_get(cpu, &insn->operand[0], n), n, l); }                  \
    EXEC(call_m_##suffix) { call(cpu, mem_load(cpu, insn, n, false), n, l); }                      \
    EXEC(jmp_r_##suffix) { x86_jump(cpu, op_get(cpu, &insn->operand[0], n), n); }                  \
    EXEC(jmp_m_##suffix) { x86_jump(cpu, mem_load(cpu, insn, n, false), n); }                      \
    EXEC(ret_##suffix) { ret(cpu, insn, n, l); }
DEFINE(2, 2, false)
DEFINE(4, 4, false)
DEFINE(2, 2L, true)
DEFINE(8, 8slow, true)

/* The common case of 64-bit mode: canonical target, stack in the TLB. */
EXEC(call_8L)
{
    void *p;
    uint64_t sp = cpu->gpr[X86_RSP] - 8, to = cpu->rip + insn->imm;
    if (unlikely(!x86_canonical(to) || !tlb_hit(cpu, sp, 8, X86_WRITE, &p)))
        return call_8slow(cpu, insn);
    le64_put(p, cpu->rip);
    cpu->gpr[X86_RSP] = sp;
    cpu->rip = to;
}
EXEC(ret_8L)
{
    void *p;
    uint64_t sp = cpu->gpr[X86_RSP], to;
    if (unlikely(!tlb_hit(cpu, sp, 8, X86_READ, &p)))
        return ret_8slow(cpu, insn);
    to = le64(p);
    if (unlikely(!x86_canonical(to)))
        return ret_8slow(cpu, insn);
    cpu->gpr[X86_RSP] = sp + 8 + (uint16_t)insn->imm;
    cpu->rip = to;
}
#define call_r_8L call_r_8slow
#define call_m_8L call_m_8slow
#define jmp_r_8L  jmp_r_8slow
#define jmp_m_8L  jmp_m_8slow

/* ---- LOOP, JCXZ: the counter has the address size ---- */

X86_INLINE void loop(struct x86_cpu *cpu, const struct x86_insn *insn, bool flag)
{
    uint64_t n = (cpu->gpr[X86_RCX] - 1) & size_mask(insn->asz);
    if (n && flag)
        x86_jump(cpu, cpu->rip + insn->imm, insn->osz);
    x86_reg_set(cpu, X86_RCX, insn->asz, n);
}
EXEC(loop_any) { loop(cpu, insn, true); }
EXEC(loope) { loop(cpu, insn, cpu->rflags & X86_ZF); }
EXEC(loopne) { loop(cpu, insn, !(cpu->rflags & X86_ZF)); }
EXEC(jcxz)
{
    if (!(cpu->gpr[X86_RCX] & size_mask(insn->asz)))
        x86_jump(cpu, cpu->rip + insn->imm, insn->osz);
}

x86_exec_fn *x86_bind_branch(const struct x86_insn *insn)
{
    bool mem = insn->operand[0].kind == X86_OPERAND_MEM, l = insn->mode == 8;
#define PICK(name) (insn->osz == 2 ? (l ? name##_2L : name##_2) : l ? name##_8L : name##_4)

    switch (insn->op) {
    case X86_OP_JCC: return jcc_table[l && insn->osz == 8][insn->cc & 15];
    case X86_OP_JMP: return jmp;
    case X86_OP_JMP_IND: return mem ? PICK(jmp_m) : PICK(jmp_r);
    case X86_OP_CALL: return PICK(call);
    case X86_OP_CALL_IND: return mem ? PICK(call_m) : PICK(call_r);
    case X86_OP_RET: return PICK(ret);
    case X86_OP_LOOP: return loop_any;
    case X86_OP_LOOPE: return loope;
    case X86_OP_LOOPNE: return loopne;
    case X86_OP_JCXZ: return jcxz;
    }
    return NULL;
}
