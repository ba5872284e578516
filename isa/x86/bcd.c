/* SPDX-License-Identifier: BSD-2-Clause */
/* Decimal arithmetic AAA AAS AAM AAD DAA DAS, and SALC. The flags the manual leaves undefined are
 * those of processors: from the result, OF clear; AAD sets them as the addition it makes. [SDM]
 * vol. 2. */
#include "isa/x86/exec.h"

#define EXEC(name) static void name(struct x86_cpu *cpu, const struct x86_insn *insn)

static uint64_t szp(uint8_t v)
{
    return (v ? 0 : X86_ZF) | (v & X86_SF) | (__builtin_parity(v) ? 0 : X86_PF);
}

static void adjust_ascii(struct x86_cpu *cpu, int by)
{
    uint64_t ax = cpu->gpr[X86_RAX] & 0xffff, flags = 0;
    if ((ax & 0xf) > 9 || (cpu->rflags & X86_AF)) {
        ax += (uint64_t)by;
        flags = X86_AF | X86_CF;
    }
    x86_reg_set(cpu, X86_RAX, 2, ax & 0xff0f);
    flags_put(cpu, X86_AFLAGS, flags | szp(ax & 0xf));
}
EXEC(aaa) { (void)insn, adjust_ascii(cpu, 0x106); }
EXEC(aas) { (void)insn, adjust_ascii(cpu, -0x106); }

EXEC(daa)
{
    (void)insn;
    uint8_t al = (uint8_t)cpu->gpr[X86_RAX], v = al;
    uint64_t flags = 0;
    if ((al & 0xf) > 9 || (cpu->rflags & X86_AF)) {
        v += 6;
        flags |= X86_AF;
    }
    if (al > 0x99 || (cpu->rflags & X86_CF)) {
        v += 0x60;
        flags |= X86_CF;
    }
    x86_reg_set(cpu, X86_RAX, 1, v);
    flags_put(cpu, X86_AFLAGS, flags | szp(v));
}
EXEC(das)
{
    (void)insn;
    uint8_t al = (uint8_t)cpu->gpr[X86_RAX], v = al;
    uint64_t flags = 0;
    bool cf = cpu->rflags & X86_CF;
    if ((al & 0xf) > 9 || (cpu->rflags & X86_AF)) {
        v -= 6;
        flags |= X86_AF;
        if (cf || al < 6)
            flags |= X86_CF;
    }
    if (al > 0x99 || cf) {
        v -= 0x60;
        flags |= X86_CF;
    }
    x86_reg_set(cpu, X86_RAX, 1, v);
    flags_put(cpu, X86_AFLAGS, flags | szp(v));
}

EXEC(aam)
{
    uint8_t al = (uint8_t)cpu->gpr[X86_RAX], base = (uint8_t)insn->imm;
    if (!base)
        x86_fault(cpu, X86_DE);
    x86_reg_set(cpu, X86_RAX, 2, (uint64_t)(al / base) << 8 | al % base);
    flags_put(cpu, X86_AFLAGS, szp(al % base));
}
EXEC(aad)
{
    uint64_t ax = cpu->gpr[X86_RAX];
    uint16_t f;
    uint64_t v = alu2(X86_OP_ADD, ax, (ax >> 8 & 0xff) * (uint8_t)insn->imm, 0, 1, &f);
    x86_reg_set(cpu, X86_RAX, 2, v & 0xff);
    flags_all(cpu, f);
}

EXEC(salc) { (void)insn, x86_reg_set(cpu, X86_RAX, 1, cpu->rflags & X86_CF ? 0xff : 0); }

x86_exec_fn *x86_bind_bcd(const struct x86_insn *insn)
{
    switch (insn->op) {
    case X86_OP_AAA: return aaa;
    case X86_OP_AAS: return aas;
    case X86_OP_DAA: return daa;
    case X86_OP_DAS: return das;
    case X86_OP_AAM: return aam;
    case X86_OP_AAD: return aad;
    case X86_OP_SALC: return salc;
    }
    return NULL;
}
