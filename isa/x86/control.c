/* SPDX-License-Identifier: BSD-2-Clause */
/* Control, debug and extended control registers; entering and leaving paging and long mode;
 * invalidation of translations. [SDM] 3A "Control Registers", "Initializing IA-32e Mode",
 * "Invalidation of TLBs and Paging-Structure Caches"; 3B "Debug Registers". */
#include "isa/x86/model.h"
#include "isa/x86/native.h"
#include "isa/x86/sys.h"

#define CR0_DEFINED                                                                                \
    (X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP |    \
     X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)
/* What CPUID offers; OSXSAVE only on a host with XSAVE. */
#define CR4_OFFERED                                                                                \
    (X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE |            \
     X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_FSGSBASE | X86_CR4_PCIDE |        \
     X86_CR4_OSXSAVE | X86_CR4_SMEP)
#define CR0_RELOADS_PDPTES (X86_CR0_PG | X86_CR0_CD | X86_CR0_NW)
#define CR4_RELOADS_PDPTES (X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP)

#define DR6_FIXED 0xffff0ff0ull
#define DR6_BITS  0xe00full
#define DR6_BD    BIT(13)
#define DR7_FIXED BIT(10)
#define DR7_BITS  0xffff23ffull
#define DR7_GD    BIT(13)

static void need_cpl0(struct x86_cpu *cpu)
{
    if (cpu->cpl != 0)
        x86_gp0(cpu);
}

/* PAE paging outside long mode keeps its four top entries in registers. */
static void reload_pdptes(struct x86_cpu *cpu, uint64_t cr3)
{
    if (!x86_load_pdptes(cpu, cr3))
        x86_gp0(cpu);
}

void x86_write_cr0(struct x86_cpu *cpu, uint64_t v)
{
    if (v >> 32)
        x86_gp0(cpu);
    v = (v & CR0_DEFINED) | X86_CR0_ET;
    if ((v & X86_CR0_PG) && !(v & X86_CR0_PE))
        x86_gp0(cpu);
    if ((v & X86_CR0_NW) && !(v & X86_CR0_CD))
        x86_gp0(cpu);

    uint64_t changed = v ^ cpu->cr0, efer = cpu->efer;
    const struct x86_seg *cs = &cpu->seg[X86_CS];
    if (changed & v & X86_CR0_PG) {
        if (efer & X86_EFER_LME) {
            bool tss16 = cpu->tr.sel && x86_attr_type(cpu->tr.attr) < X86_DESC_TSS;
            if (!(cpu->cr4 & X86_CR4_PAE) || (cs->attr & X86_SEG_L) || tss16)
                x86_gp0(cpu);
            efer |= X86_EFER_LMA;
        }
    } else if (changed & X86_CR0_PG) {
        if (cpu->code == 8 || (cpu->cr4 & X86_CR4_PCIDE))
            x86_gp0(cpu);
        efer &= ~X86_EFER_LMA;
    }
    if ((v & X86_CR0_PG) && (cpu->cr4 & X86_CR4_PAE) && !(efer & X86_EFER_LMA) &&
        (changed & CR0_RELOADS_PDPTES))
        reload_pdptes(cpu, cpu->cr3);

    cpu->cr0 = v;
    cpu->efer = efer;
    if (changed & (X86_CR0_PG | X86_CR0_WP | X86_CR0_PE))
        x86_tlb_flush(cpu);
    x86_mode_update(cpu);
}

void x86_write_cr3(struct x86_cpu *cpu, uint64_t v)
{
    bool noflush = false;
    if (cpu->cr4 & X86_CR4_PCIDE) {
        noflush = v & X86_CR3_NOFLUSH;
        v &= ~X86_CR3_NOFLUSH;
    }
    if (x86_long(cpu)) {
        if (v >> X86_PHYS_BITS)
            x86_gp0(cpu);
    } else {
        v = (uint32_t)v;
        if ((cpu->cr0 & X86_CR0_PG) && (cpu->cr4 & X86_CR4_PAE))
            reload_pdptes(cpu, v);
    }
    cpu->cr3 = v;
    x86_tlb_load_cr3(cpu, noflush);
}

void x86_write_cr4(struct x86_cpu *cpu, uint64_t v)
{
    uint64_t changed = v ^ cpu->cr4;
    if (v & ~CR4_OFFERED)
        x86_gp0(cpu);
    if ((changed & v & X86_CR4_OSXSAVE) && !x86_native_xcr0())
        x86_gp0(cpu);
    if (x86_long(cpu)) {
        if (!(v & X86_CR4_PAE))
            x86_gp0(cpu);
        if ((changed & v & X86_CR4_PCIDE) && (cpu->cr3 & X86_CR3_PCID))
            x86_gp0(cpu);
    } else {
        if (v & X86_CR4_PCIDE)
            x86_gp0(cpu);
        if ((cpu->cr0 & X86_CR0_PG) && (v & X86_CR4_PAE) && (changed & CR4_RELOADS_PDPTES))
            reload_pdptes(cpu, cpu->cr3);
    }
    cpu->cr4 = v;
    if (changed & (CR4_RELOADS_PDPTES | X86_CR4_PCIDE))
        x86_tlb_flush(cpu);
    x86_mode_update(cpu);
}

int x86_set_efer(struct x86_cpu *cpu, uint64_t v, bool host)
{
    const uint64_t writable = X86_EFER_SCE | X86_EFER_LME | X86_EFER_NXE;
    if (v & ~(writable | X86_EFER_LMA))
        return -1;
    v = (v & writable) | (cpu->efer & X86_EFER_LMA);
    uint64_t changed = v ^ cpu->efer;
    if (!host && (changed & X86_EFER_LME) && (cpu->cr0 & X86_CR0_PG))
        return -1;
    cpu->efer = v;
    if (changed & X86_EFER_NXE)
        x86_tlb_flush(cpu);
    x86_mode_update(cpu);
    return 0;
}

void x86_write_efer(struct x86_cpu *cpu, uint64_t v)
{
    if (x86_set_efer(cpu, v, false))
        x86_gp0(cpu);
}

/* ---- MOV to and from control registers ---- */

static unsigned width(const struct x86_cpu *cpu) { return cpu->code == 8 ? 8 : 4; }

void x86_exec_mov_from_cr(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint64_t v;
    need_cpl0(cpu);
    switch (insn->operand[1].reg) {
    case 0: v = cpu->cr0; break;
    case 2: v = cpu->cr2; break;
    case 3: v = cpu->cr3; break;
    case 4: v = cpu->cr4; break;
    case 8: v = cpu->env->cr8_read ? cpu->env->cr8_read(cpu) : 0; break;
    default: x86_ud(cpu);
    }
    x86_reg_set(cpu, insn->operand[0].reg, width(cpu), v);
}

void x86_exec_mov_to_cr(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint64_t v = x86_reg_get(cpu, insn->operand[1].reg, width(cpu));
    need_cpl0(cpu);
    switch (insn->operand[0].reg) {
    case 0: x86_write_cr0(cpu, v); break;
    case 2: cpu->cr2 = v; break;
    case 3: x86_write_cr3(cpu, v); break;
    case 4: x86_write_cr4(cpu, v); break;
    case 8:
        if (v > 15)
            x86_gp0(cpu);
        if (cpu->env->cr8_write)
            cpu->env->cr8_write(cpu, v);
        cpu->stop = 1; /* an interrupt may have become deliverable */
        break;
    default: x86_ud(cpu);
    }
}

void x86_exec_clts(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    need_cpl0(cpu);
    cpu->cr0 &= ~X86_CR0_TS;
    cpu->stop = 1;
}

void x86_exec_lmsw(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    need_cpl0(cpu);
    uint64_t v = x86_operand_get(cpu, insn, 0, 2) & 0xf;
    x86_write_cr0(cpu, (cpu->cr0 & ~(X86_CR0_MP | X86_CR0_EM | X86_CR0_TS)) | v);
}

void x86_exec_smsw(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    x86_operand_put(cpu, insn, 0, cpu->cr0);
}

/* ---- debug registers ---- */

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE. With DR7.GD any access raises #DB, to let a debugger
 * own the registers. */
static unsigned debug_register(struct x86_cpu *cpu, unsigned n)
{
    if (n > 7 || ((n == 4 || n == 5) && (cpu->cr4 & X86_CR4_DE)))
        x86_ud(cpu);
    need_cpl0(cpu);
    if (cpu->dr[7] & DR7_GD) {
        cpu->dr[6] |= DR6_BD;
        x86_fault(cpu, X86_DB);
    }
    return n == 4 || n == 5 ? n + 2 : n;
}

void x86_exec_mov_from_dr(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    unsigned n = debug_register(cpu, insn->operand[1].reg);
    x86_reg_set(cpu, insn->operand[0].reg, width(cpu), cpu->dr[n]);
}

void x86_exec_mov_to_dr(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    unsigned n = debug_register(cpu, insn->operand[0].reg);
    uint64_t v = x86_reg_get(cpu, insn->operand[1].reg, width(cpu));
    if (n >= 6 && v >> 32)
        x86_gp0(cpu);
    if (n == 6)
        v = (v & DR6_BITS) | DR6_FIXED;
    else if (n == 7)
        v = (v & DR7_BITS) | DR7_FIXED;
    cpu->dr[n] = v;
    x86_mode_update(cpu);
}

/* ---- XCR0 ---- */

void x86_exec_xgetbv(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    if (!(cpu->cr4 & X86_CR4_OSXSAVE))
        x86_ud(cpu);
    if ((uint32_t)cpu->gpr[X86_RCX] != 0)
        x86_gp0(cpu);
    cpu->gpr[X86_RAX] = (uint32_t)cpu->xcr0;
    cpu->gpr[X86_RDX] = cpu->xcr0 >> 32;
}

bool x86_xcr0_ok(uint64_t v)
{
    if (!(v & X86_XCR0_X87) || (v & ~x86_native_xcr0()))
        return false;
    if ((v & X86_XCR0_AVX) && !(v & X86_XCR0_SSE))
        return false;
    if (!(v & X86_XCR0_AVX512))
        return true;
    return (v & X86_XCR0_AVX512) == X86_XCR0_AVX512 && (v & X86_XCR0_AVX);
}

void x86_exec_xsetbv(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    if (!(cpu->cr4 & X86_CR4_OSXSAVE))
        x86_ud(cpu);
    need_cpl0(cpu);
    uint64_t v = (uint32_t)cpu->gpr[X86_RAX] | cpu->gpr[X86_RDX] << 32;
    if ((uint32_t)cpu->gpr[X86_RCX] != 0 || !x86_xcr0_ok(v))
        x86_gp0(cpu);
    cpu->xcr0 = v;
    cpu->stop = 1;
}

/* ---- invalidation ---- */

void x86_exec_invlpg(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    need_cpl0(cpu);
    uint64_t lin = x86_ea(cpu, insn);
    if (cpu->code != 8)
        lin = (uint32_t)(lin + cpu->seg[insn->seg].base);
    else if (insn->seg >= X86_FS)
        lin += cpu->seg[insn->seg].base;
    if (x86_canonical(lin))
        x86_tlb_flush_page(cpu, lin);
}

void x86_exec_invpcid(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    need_cpl0(cpu);
    uint64_t type = x86_reg_get(cpu, insn->operand[0].reg, width(cpu));
    uint8_t desc[16];
    uint64_t at = x86_linear(cpu, insn->seg, x86_ea(cpu, insn), sizeof(desc), X86_READ);
    x86_load_bytes(cpu, insn->seg, at, desc, sizeof(desc), x86_user(cpu));
    uint64_t pcid = le64(desc), lin = le64(desc + 8);
    if (type > X86_INVPCID_ALL || pcid >> 12)
        x86_gp0(cpu);
    if (type <= X86_INVPCID_CONTEXT && pcid && !(cpu->cr4 & X86_CR4_PCIDE))
        x86_gp0(cpu);
    if (type == X86_INVPCID_PAGE && !x86_canonical(lin))
        x86_gp0(cpu);
    x86_tlb_invpcid(cpu, (unsigned)type, (unsigned)pcid, lin);
    cpu->stop = 1;
}
