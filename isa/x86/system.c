/* SPDX-License-Identifier: BSD-2-Clause */
/* System instructions that need few lines each, and the table from operation to function for all
 * of them. [SDM] vol. 2, the instructions' pages. */
#include "isa/x86/sys.h"

static void need_cpl0(struct x86_cpu *cpu)
{
    if (cpu->cpl != 0)
        x86_gp0(cpu);
}

static void exec_ud(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    x86_ud(cpu);
}

/* ---- interrupts ---- */

/* Neither VME nor PVI is offered, so IOPL alone decides. */
static void need_iopl(struct x86_cpu *cpu)
{
    if (x86_protected(cpu) && cpu->cpl > x86_iopl(cpu))
        x86_gp0(cpu);
}

static void exec_cli(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    need_iopl(cpu);
    cpu->rflags &= ~X86_IF;
}

static void exec_sti(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    need_iopl(cpu);
    if (!(cpu->rflags & X86_IF)) {
        cpu->rflags |= X86_IF;
        cpu->shadow = X86_SHADOW_STI;
        cpu->stop = 1;
    }
}

static void exec_int(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    if (x86_v86(cpu) && x86_iopl(cpu) != 3)
        x86_gp0(cpu);
    x86_deliver(cpu, insn->imm & 0xff, X86_INTR_SOFT, false, 0);
}

static void exec_int1(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    x86_deliver(cpu, X86_DB, X86_INTR_ICEBP, false, 0);
}

static void exec_int3(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    x86_deliver(cpu, X86_BP, X86_INTR_SOFT, false, 0);
}

static void exec_into(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    if (cpu->rflags & X86_OF)
        x86_deliver(cpu, X86_OFV, X86_INTR_SOFT, false, 0);
}

static void exec_hlt(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    need_cpl0(cpu);
    x86_throw(cpu, X86_EXIT_HLT);
}

/* INVD, WBINVD: guest memory has no cache of ours in front of it. */
static void exec_cache(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    need_cpl0(cpu);
}

/* ---- time, CPUID, MSRs ---- */

static void set_edx_eax(struct x86_cpu *cpu, uint64_t v)
{
    cpu->gpr[X86_RAX] = (uint32_t)v;
    cpu->gpr[X86_RDX] = v >> 32;
}

static uint64_t read_tsc(struct x86_cpu *cpu)
{
    if ((cpu->cr4 & X86_CR4_TSD) && cpu->cpl != 0)
        x86_gp0(cpu);
    return (cpu->env->host_tsc ? cpu->env->host_tsc(cpu) : 0) + cpu->tsc_offset;
}

static void exec_rdtsc(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    set_edx_eax(cpu, read_tsc(cpu));
}

static void exec_rdtscp(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    set_edx_eax(cpu, read_tsc(cpu));
    cpu->gpr[X86_RCX] = (uint32_t)cpu->msr.tsc_aux;
}

static void exec_rdpid(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    x86_reg_set(cpu, insn->operand[0].reg, cpu->code == 8 ? 8 : 4, (uint32_t)cpu->msr.tsc_aux);
}

/* No performance counter exists, so every index is out of range. */
static void exec_rdpmc(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    x86_gp0(cpu);
}

static void exec_cpuid(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint32_t out[4] = { 0 };
    (void)insn;
    if (cpu->env->cpuid)
        cpu->env->cpuid(cpu, (uint32_t)cpu->gpr[X86_RAX], (uint32_t)cpu->gpr[X86_RCX], out);
    cpu->gpr[X86_RAX] = out[0];
    cpu->gpr[X86_RBX] = out[1];
    cpu->gpr[X86_RCX] = out[2];
    cpu->gpr[X86_RDX] = out[3];
}

static void exec_rdmsr(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint64_t v;
    (void)insn;
    need_cpl0(cpu);
    if (x86_rdmsr(cpu, (uint32_t)cpu->gpr[X86_RCX], &v))
        x86_gp0(cpu);
    set_edx_eax(cpu, v);
}

static void exec_wrmsr(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    need_cpl0(cpu);
    uint64_t v = (uint32_t)cpu->gpr[X86_RAX] | cpu->gpr[X86_RDX] << 32;
    if (x86_wrmsr(cpu, (uint32_t)cpu->gpr[X86_RCX], v, false))
        x86_gp0(cpu);
    cpu->stop = 1;
}

/* ---- segment bases ---- */

static void exec_swapgs(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint64_t base = cpu->seg[X86_GS].base;
    (void)insn;
    if (cpu->code != 8)
        x86_ud(cpu);
    need_cpl0(cpu);
    cpu->seg[X86_GS].base = cpu->msr.kernel_gs_base;
    cpu->msr.kernel_gs_base = base;
}

static void need_fsgsbase(struct x86_cpu *cpu)
{
    if (cpu->code != 8 || !(cpu->cr4 & X86_CR4_FSGSBASE))
        x86_ud(cpu);
}

static void read_base(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned seg)
{
    need_fsgsbase(cpu);
    x86_reg_set(cpu, insn->operand[0].reg, insn->osz == 8 ? 8 : 4, cpu->seg[seg].base);
}

static void write_base(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned seg)
{
    need_fsgsbase(cpu);
    uint64_t v = x86_reg_get(cpu, insn->operand[0].reg, insn->osz == 8 ? 8 : 4);
    if (!x86_canonical(v))
        x86_gp0(cpu);
    cpu->seg[seg].base = v;
}

static void exec_rdfsbase(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    read_base(cpu, insn, X86_FS);
}
static void exec_rdgsbase(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    read_base(cpu, insn, X86_GS);
}
static void exec_wrfsbase(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    write_base(cpu, insn, X86_FS);
}
static void exec_wrgsbase(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    write_base(cpu, insn, X86_GS);
}

/* ---- the table ---- */

static x86_exec_fn *const exec_table[X86_OP_COUNT] = {
    [X86_OP_INVALID] = exec_ud,
    [X86_OP_JMP_FAR] = x86_exec_jmp_far,
    [X86_OP_CALL_FAR] = x86_exec_call_far,
    [X86_OP_RET_FAR] = x86_exec_ret_far,
    [X86_OP_CLI] = exec_cli,
    [X86_OP_STI] = exec_sti,
    [X86_OP_IN] = x86_exec_in,
    [X86_OP_OUT] = x86_exec_out,
    [X86_OP_INT] = exec_int,
    [X86_OP_INT1] = exec_int1,
    [X86_OP_INT3] = exec_int3,
    [X86_OP_INTO] = exec_into,
    [X86_OP_IRET] = x86_exec_iret,
    [X86_OP_HLT] = exec_hlt,
    [X86_OP_UD] = exec_ud,
    [X86_OP_SYSCALL] = x86_exec_syscall,
    [X86_OP_SYSRET] = x86_exec_sysret,
    [X86_OP_SYSENTER] = x86_exec_sysenter,
    [X86_OP_SYSEXIT] = x86_exec_sysexit,
    [X86_OP_MOV_FROM_SEG] = x86_exec_mov_from_seg,
    [X86_OP_MOV_TO_SEG] = x86_exec_mov_to_seg,
    [X86_OP_MOV_FROM_CR] = x86_exec_mov_from_cr,
    [X86_OP_MOV_TO_CR] = x86_exec_mov_to_cr,
    [X86_OP_MOV_FROM_DR] = x86_exec_mov_from_dr,
    [X86_OP_MOV_TO_DR] = x86_exec_mov_to_dr,
    [X86_OP_LOAD_FAR_PTR] = x86_exec_load_far_ptr,
    [X86_OP_ARPL] = x86_exec_arpl,
    [X86_OP_BOUND] = x86_exec_bound,
    [X86_OP_LAR] = x86_exec_lar,
    [X86_OP_LSL] = x86_exec_lsl,
    [X86_OP_VERR] = x86_exec_verr,
    [X86_OP_VERW] = x86_exec_verw,
    [X86_OP_SGDT] = x86_exec_sgdt,
    [X86_OP_SIDT] = x86_exec_sidt,
    [X86_OP_LGDT] = x86_exec_lgdt,
    [X86_OP_LIDT] = x86_exec_lidt,
    [X86_OP_SLDT] = x86_exec_sldt,
    [X86_OP_STR] = x86_exec_str,
    [X86_OP_LLDT] = x86_exec_lldt,
    [X86_OP_LTR] = x86_exec_ltr,
    [X86_OP_SMSW] = x86_exec_smsw,
    [X86_OP_LMSW] = x86_exec_lmsw,
    [X86_OP_CLTS] = x86_exec_clts,
    [X86_OP_INVD] = exec_cache,
    [X86_OP_WBINVD] = exec_cache,
    [X86_OP_INVLPG] = x86_exec_invlpg,
    [X86_OP_INVPCID] = x86_exec_invpcid,
    [X86_OP_RDMSR] = exec_rdmsr,
    [X86_OP_WRMSR] = exec_wrmsr,
    [X86_OP_RDTSC] = exec_rdtsc,
    [X86_OP_RDTSCP] = exec_rdtscp,
    [X86_OP_RDPMC] = exec_rdpmc,
    [X86_OP_CPUID] = exec_cpuid,
    [X86_OP_XGETBV] = x86_exec_xgetbv,
    [X86_OP_XSETBV] = x86_exec_xsetbv,
    [X86_OP_SWAPGS] = exec_swapgs,
    [X86_OP_RDFSBASE] = exec_rdfsbase,
    [X86_OP_RDGSBASE] = exec_rdgsbase,
    [X86_OP_WRFSBASE] = exec_wrfsbase,
    [X86_OP_WRGSBASE] = exec_wrgsbase,
    [X86_OP_RDPID] = exec_rdpid,
    /* Extensions the model does not offer. */
    [X86_OP_CLAC] = exec_ud,
    [X86_OP_STAC] = exec_ud,
    [X86_OP_MONITOR] = exec_ud,
    [X86_OP_MWAIT] = exec_ud,
    [X86_OP_VMX_SVM] = exec_ud,
    [X86_OP_RSM] = exec_ud,
    [X86_OP_XBEGIN] = exec_ud,
    [X86_OP_XEND] = exec_ud,
    [X86_OP_XABORT] = exec_ud,
    [X86_OP_XTEST] = exec_ud,
    [X86_OP_SERIALIZE] = exec_ud,
    [X86_OP_UNSUPPORTED] = exec_ud,
};

x86_exec_fn *x86_bind_system(const struct x86_insn *insn)
{
    return insn->op < X86_OP_COUNT ? exec_table[insn->op] : NULL;
}
