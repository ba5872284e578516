/* SPDX-License-Identifier: BSD-2-Clause */
/* SYSCALL, SYSRET, SYSENTER, SYSEXIT. [SDM] vol. 2, the instructions' pages. */
#include "isa/x86/sys.h"

static void enter(struct x86_cpu *cpu, unsigned sel, uint32_t cs_attr, unsigned cpl, uint64_t rip)
{
    unsigned rpl = cpl ? 3 : 0;
    struct x86_seg cs = x86_seg_flat((uint16_t)((sel & 0xfffc) | rpl), cs_attr, cpl);
    cpu->seg[X86_SS] = x86_seg_flat((uint16_t)(((sel + 8) & 0xfffc) | rpl), X86_ATTR_DATA32, cpl);
    x86_commit_cs(cpu, cs, cpl, rip);
}

void x86_exec_syscall(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    if (!(cpu->efer & X86_EFER_SCE) || cpu->code != 8)
        x86_ud(cpu);
    cpu->gpr[X86_RCX] = cpu->rip;
    cpu->gpr[11] = cpu->rflags;
    cpu->rflags = (cpu->rflags & ~cpu->msr.sfmask & ~X86_RF) | X86_F1;
    enter(cpu, (unsigned)bits_get(cpu->msr.star, 47, 32) & 0xfffc, X86_ATTR_CODE64, 0,
          cpu->msr.lstar);
}

void x86_exec_sysret(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint64_t rip = cpu->gpr[X86_RCX];
    unsigned sel = (unsigned)bits_get(cpu->msr.star, 63, 48);
    if (!(cpu->efer & X86_EFER_SCE) || cpu->code != 8)
        x86_ud(cpu);
    if (cpu->cpl != 0 || (insn->osz == 8 && !x86_canonical(rip)))
        x86_gp0(cpu);
    cpu->rflags = (cpu->gpr[11] & X86_FLAGS_DEFINED & ~(X86_RF | X86_VM)) | X86_F1;
    /* CS and SS are STAR + 16 and + 8 for 64-bit code, STAR and + 8 for 32-bit code. */
    if (insn->osz == 8)
        x86_commit_cs(cpu, x86_seg_flat((uint16_t)(sel + 16), X86_ATTR_CODE64, 3), 3, rip);
    else
        x86_commit_cs(cpu, x86_seg_flat((uint16_t)sel, X86_ATTR_CODE32, 3), 3, (uint32_t)rip);
    cpu->seg[X86_SS] = x86_seg_flat((uint16_t)(sel + 8) | 3, X86_ATTR_DATA32, 3);
    x86_mode_update(cpu);
}

void x86_exec_sysenter(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    bool lm = x86_long(cpu);
    if (!x86_protected(cpu) || x86_sel_is_null((uint16_t)cpu->msr.sysenter_cs))
        x86_gp0(cpu);
    cpu->rflags &= ~(X86_VM | X86_IF | X86_RF);
    cpu->gpr[X86_RSP] = lm ? cpu->msr.sysenter_esp : (uint32_t)cpu->msr.sysenter_esp;
    enter(cpu, (uint16_t)cpu->msr.sysenter_cs, lm ? X86_ATTR_CODE64 : X86_ATTR_CODE32, 0,
          lm ? cpu->msr.sysenter_eip : (uint32_t)cpu->msr.sysenter_eip);
}

void x86_exec_sysexit(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint64_t rip = cpu->gpr[X86_RDX], rsp = cpu->gpr[X86_RCX];
    bool to64 = insn->osz == 8;
    if (!x86_protected(cpu) || x86_sel_is_null((uint16_t)cpu->msr.sysenter_cs) || cpu->cpl != 0)
        x86_gp0(cpu);
    if (to64 && (!x86_canonical(rip) || !x86_canonical(rsp)))
        x86_gp0(cpu);
    cpu->gpr[X86_RSP] = to64 ? rsp : (uint32_t)rsp;
    enter(cpu, (uint16_t)cpu->msr.sysenter_cs + (to64 ? 32u : 16u),
          to64 ? X86_ATTR_CODE64 : X86_ATTR_CODE32, 3, to64 ? rip : (uint32_t)rip);
}
