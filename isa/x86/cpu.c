/* SPDX-License-Identifier: BSD-2-Clause */
/* A processor's life: reset, INIT, state derived from registers.
 * [SDM] 3A "Processor Management and Initialization". */
#include <string.h>

#include "isa/x86/emu.h"
#include "isa/x86/native.h"

/* ---- derived state ---- */

static bool seg_is_flat(const struct x86_seg *s, bool is_cs)
{
    if (s->base || s->limit != 0xffffffff ||
        (s->attr & (X86_SEG_P | X86_SEG_S | X86_SEG_UNUSABLE)) != (X86_SEG_P | X86_SEG_S) ||
        !(s->attr & X86_SEG_W))
        return false;
    return s->attr & X86_SEG_CODE ? is_cs : !(s->attr & X86_SEG_E);
}

static unsigned watches_of(struct x86_watch *out, const uint64_t dr[4], uint64_t dr7, bool de,
                           unsigned first_hit)
{
    static const uint8_t length[4] = { 1, 2, 8, 4 };
    unsigned n = 0;

    for (unsigned i = 0; i < 4; i++) {
        unsigned kind = dr7 >> (16 + 4 * i) & 3, len = length[dr7 >> (18 + 4 * i) & 3];
        if (!(dr7 >> (2 * i) & 3) || !kind || (kind == 2 && !de))
            continue;
        out[n++] = (struct x86_watch){ dr[i] & ~(uint64_t)(len - 1), (uint8_t)len, (uint8_t)kind,
                                       (uint8_t)(1u << (first_hit + i)) };
    }
    return n;
}

/* Watched pages have no fast path, so a change of what is watched empties the TLB. */
static void derive_watches(struct x86_cpu *cpu)
{
    struct x86_watch w[8];
    unsigned n = 0;

    memset(w, 0, sizeof(w));
    n += watches_of(w, cpu->dr, cpu->dr[7], cpu->cr4 & X86_CR4_DE, 0);
    if (cpu->dbg.hw_break)
        n += watches_of(w + n, cpu->dbg.dr, cpu->dbg.dr7, true, 4);
    if (n == cpu->watches && !memcmp(w, cpu->watch, sizeof(w)))
        return;
    memcpy(cpu->watch, w, sizeof(w));
    cpu->watches = (uint8_t)n;
    x86_tlb_flush(cpu);
}

void x86_derive(struct x86_cpu *cpu)
{
    const struct x86_seg *cs = &cpu->seg[X86_CS], *ss = &cpu->seg[X86_SS];
    bool debug_regs = (cpu->dr[7] & 0xff) || (cpu->dbg.hw_break && (cpu->dbg.dr7 & 0xff));
    uint32_t key;

    if (x86_long(cpu) && (cs->attr & X86_SEG_L)) {
        cpu->code = cpu->stack = 8;
        cpu->flat = 0;
        key = X86_KEY_CODE64;
    } else {
        cpu->code = cs->attr & X86_SEG_DB ? 4 : 2;
        cpu->stack = ss->attr & X86_SEG_DB ? 4 : 2;
        cpu->flat = 0;
        for (unsigned i = 0; i < X86_SREG_COUNT; i++)
            if (seg_is_flat(&cpu->seg[i], i == X86_CS))
                cpu->flat |= (uint8_t)(1u << i);
        key = cpu->code == 4 ? X86_KEY_CODE32 : X86_KEY_CODE16;
        if (cpu->stack == 4)
            key |= X86_KEY_STACK32;
        if ((cpu->flat & 0xf) == 0xf)
            key |= X86_KEY_FLAT;
        if (!x86_protected(cpu))
            key |= X86_KEY_REAL;
        else if (x86_v86(cpu))
            key |= X86_KEY_V86;
    }
    if (cpu->cpl == 3)
        key |= X86_KEY_USER;

    cpu->debugging = (cpu->rflags & X86_TF) || cpu->dbg.step || debug_regs;
    if (unlikely(debug_regs || cpu->watches))
        derive_watches(cpu);

    uint8_t ac = (cpu->cr0 & X86_CR0_AM) && (cpu->rflags & X86_AC);
    if (unlikely(ac != cpu->align_check)) {
        cpu->align_check = ac;
        x86_tlb_align_check(cpu);
    }
    if (cpu->debugging)
        cpu->stop = 1;
    if (cpu->mode_key != key) {
        cpu->mode_key = key;
        cpu->stop = 1;
        if (cpu->env && cpu->env->mode_changed)
            cpu->env->mode_changed(cpu);
    }
}

void x86_state_changed(struct x86_cpu *cpu)
{
    cpu->rflags = (cpu->rflags & X86_FLAGS_DEFINED) | X86_F1;
    if (!x86_protected(cpu))
        cpu->cpl = 0;
    else if (x86_v86(cpu))
        cpu->cpl = 3;
    else
        cpu->cpl = (uint8_t)bits_get(cpu->seg[X86_SS].attr, 6, 5);
    x86_derive(cpu);
    x86_tlb_flush(cpu);
}

/* ---- reset ---- */

/* [SDM] 3A "IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT" */
static void reset_common(struct x86_cpu *cpu)
{
    static const struct x86_seg data = { 0, 0xffff, 0x93, 0 };
    uint32_t id[4] = { 0x600, 0, 0, 0 };

    if (cpu->env && cpu->env->cpuid)
        cpu->env->cpuid(cpu, 1, 0, id);
    memset(cpu->reg, 0, sizeof(cpu->reg));
    cpu->gpr[X86_RDX] = id[0];
    cpu->rip = cpu->insn_rip = 0xfff0;
    cpu->rflags = X86_F1;
    for (unsigned i = 0; i < X86_SREG_COUNT; i++)
        cpu->seg[i] = data;
    cpu->seg[X86_CS] = (struct x86_seg){ 0xffff0000, 0xffff, 0x9b, 0xf000 };
    cpu->ldt = (struct x86_seg){ 0, 0xffff, 0x82, 0 };
    cpu->tr = (struct x86_seg){ 0, 0xffff, 0x8b, 0 };
    cpu->gdt = cpu->idt = (struct x86_table){ 0, 0xffff };
    cpu->cr2 = cpu->cr3 = cpu->cr4 = cpu->efer = 0;
    memset(cpu->pdpte, 0, sizeof(cpu->pdpte));
    memset(cpu->dr, 0, sizeof(cpu->dr));
    cpu->dr[6] = 0xffff0ff0;
    cpu->dr[7] = 0x400;
    cpu->cpl = 0;
    cpu->shadow = cpu->nmi_blocked = 0;
    cpu->exc_pending = false;
    cpu->replay.count = cpu->replay.next = 0;
    cpu->error = NULL;
    x86_state_changed(cpu);
}

void x86_reset(struct x86_cpu *cpu)
{
    x86_tlb_reset(cpu);
    cpu->cr0 = X86_CR0_ET | X86_CR0_NW | X86_CR0_CD;
    cpu->xcr0 = X86_XCR0_X87;
    memset(&cpu->msr, 0, sizeof(cpu->msr));
    cpu->msr.pat = 0x0007040600070406;
    cpu->msr.misc_enable = BIT(0); /* fast strings */
    x86_native_reset(cpu);
    reset_common(cpu);
}

void x86_init(struct x86_cpu *cpu)
{
    cpu->cr0 = X86_CR0_ET | (cpu->cr0 & (X86_CR0_NW | X86_CR0_CD));
    reset_common(cpu);
}
