/* SPDX-License-Identifier: BSD-2-Clause */
/* Integer instructions: which part binds which, and the small ones: flag bits, fences, cache hints,
 * random numbers. [SDM] vol. 2. */
#include "isa/x86/exec.h"

#define EXEC(name) static void name(struct x86_cpu *cpu, const struct x86_insn *insn)

/* ---- single flags ---- */

EXEC(lahf)
{
    (void)insn,
        x86_reg_set(cpu, X86_RAX, 2, (cpu->rflags & 0xff) << 8 | (cpu->gpr[X86_RAX] & 0xff));
}
EXEC(sahf) { (void)insn, flags_put(cpu, X86_AFLAGS & ~X86_OF, cpu->gpr[X86_RAX] >> 8); }
EXEC(clc) { (void)insn, cpu->rflags &= ~X86_CF; }
EXEC(stc) { (void)insn, cpu->rflags |= X86_CF; }
EXEC(cmc) { (void)insn, cpu->rflags ^= X86_CF; }
EXEC(cld) { (void)insn, cpu->rflags &= ~X86_DF; }
EXEC(std) { (void)insn, cpu->rflags |= X86_DF; }

/* ---- nothing, or nearly ---- */

EXEC(nop) { (void)cpu, (void)insn; }
EXEC(pause_) { (void)cpu, (void)insn, __builtin_ia32_pause(); }
/* Guest accesses are made in guest order by ordinary host instructions: only MFENCE, which keeps
 * loads behind earlier stores, needs the host's. */
EXEC(mfence) { (void)cpu, (void)insn, __atomic_thread_fence(__ATOMIC_SEQ_CST); }
/* Guest memory is coherent, so nothing is flushed; but the address is checked like a byte load's.
 */
EXEC(clflush)
{
    x86_probe(cpu, insn->seg, mem_lin(cpu, insn, 1, X86_READ, false), 1, X86_READ, x86_user(cpu));
}

/* ---- random numbers: from the host, if the model offers them (which it does only if the host has
 * them); else #UD ---- */

static bool offered(struct x86_cpu *cpu, uint32_t leaf, unsigned reg, unsigned bit)
{
    uint32_t r[4] = { 0 };
    if (!cpu->env->cpuid)
        return false;
    cpu->env->cpuid(cpu, leaf, 0, r);
    return r[reg] >> bit & 1;
}
X86_INLINE void random_done(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t v, bool ok)
{
    op_set(cpu, &insn->operand[0], 8,
           insn->operand[0].size == 2
               ? (op_get(cpu, &insn->operand[0], 8) & ~0xffffull) | (v & 0xffff)
               : v & size_mask(insn->operand[0].size));
    flags_put(cpu, X86_AFLAGS, ok ? X86_CF : 0);
}
EXEC(rdrand)
{
    uint64_t v;
    bool ok;
    if (!offered(cpu, 1, 2, 30))
        x86_ud(cpu);
    __asm__ volatile("rdrand %0" : "=r"(v), "=@ccc"(ok));
    random_done(cpu, insn, ok ? v : 0, ok);
}
EXEC(rdseed)
{
    uint64_t v;
    bool ok;
    if (!offered(cpu, 7, 1, 18))
        x86_ud(cpu);
    __asm__ volatile("rdseed %0" : "=r"(v), "=@ccc"(ok));
    random_done(cpu, insn, ok ? v : 0, ok);
}

/* ---- binding ---- */

x86_exec_fn *x86_bind_integer(const struct x86_insn *insn)
{
    switch (insn->op) {
    case X86_OP_ADD:
    case X86_OP_OR:
    case X86_OP_ADC:
    case X86_OP_SBB:
    case X86_OP_AND:
    case X86_OP_SUB:
    case X86_OP_XOR:
    case X86_OP_INC:
    case X86_OP_DEC:
    case X86_OP_NOT:
    case X86_OP_NEG: return insn->lock ? x86_bind_lock(insn) : x86_bind_alu(insn);
    case X86_OP_CMP:
    case X86_OP_TEST: return x86_bind_alu(insn);
    case X86_OP_XCHG:
    case X86_OP_XADD:
    case X86_OP_CMPXCHG:
    case X86_OP_CMPXCHG8B:
    case X86_OP_CMPXCHG16B: return x86_bind_lock(insn);
    case X86_OP_MOV:
    case X86_OP_LEA:
    case X86_OP_MOVZX:
    case X86_OP_MOVSX:
    case X86_OP_MOVBE:
    case X86_OP_BSWAP:
    case X86_OP_CMOVCC:
    case X86_OP_SETCC:
    case X86_OP_MOVNTI:
    case X86_OP_MOVDIRI:
    case X86_OP_MOVDIR64B:
    case X86_OP_XLAT: return x86_bind_mov(insn);
    case X86_OP_JCC:
    case X86_OP_JMP:
    case X86_OP_JMP_IND:
    case X86_OP_CALL:
    case X86_OP_CALL_IND:
    case X86_OP_RET:
    case X86_OP_LOOP:
    case X86_OP_LOOPE:
    case X86_OP_LOOPNE:
    case X86_OP_JCXZ: return x86_bind_branch(insn);
    case X86_OP_PUSH:
    case X86_OP_POP:
    case X86_OP_PUSHA:
    case X86_OP_POPA:
    case X86_OP_PUSHF:
    case X86_OP_POPF:
    case X86_OP_PUSH_SEG:
    case X86_OP_POP_SEG:
    case X86_OP_ENTER:
    case X86_OP_LEAVE: return x86_bind_stack(insn);
    case X86_OP_ROL:
    case X86_OP_ROR:
    case X86_OP_RCL:
    case X86_OP_RCR:
    case X86_OP_SHL:
    case X86_OP_SHR:
    case X86_OP_SAR:
    case X86_OP_SHLD:
    case X86_OP_SHRD:
    case X86_OP_RORX:
    case X86_OP_SARX:
    case X86_OP_SHLX:
    case X86_OP_SHRX: return x86_bind_shift(insn);
    case X86_OP_MUL:
    case X86_OP_IMUL1:
    case X86_OP_IMUL2:
    case X86_OP_IMUL3:
    case X86_OP_DIV:
    case X86_OP_IDIV:
    case X86_OP_MULX:
    case X86_OP_CBW:
    case X86_OP_CWD: return x86_bind_mul(insn);
    case X86_OP_BT:
    case X86_OP_BTS:
    case X86_OP_BTR:
    case X86_OP_BTC:
    case X86_OP_BSF:
    case X86_OP_BSR:
    case X86_OP_TZCNT:
    case X86_OP_LZCNT:
    case X86_OP_POPCNT:
    case X86_OP_CRC32:
    case X86_OP_ADCX:
    case X86_OP_ADOX:
    case X86_OP_ANDN:
    case X86_OP_BEXTR:
    case X86_OP_BLSI:
    case X86_OP_BLSMSK:
    case X86_OP_BLSR:
    case X86_OP_BZHI:
    case X86_OP_PDEP:
    case X86_OP_PEXT: return x86_bind_bitops(insn);
    case X86_OP_AAA:
    case X86_OP_AAS:
    case X86_OP_AAM:
    case X86_OP_AAD:
    case X86_OP_DAA:
    case X86_OP_DAS:
    case X86_OP_SALC: return x86_bind_bcd(insn);
    case X86_OP_LAHF: return lahf;
    case X86_OP_SAHF: return sahf;
    case X86_OP_CLC: return clc;
    case X86_OP_STC: return stc;
    case X86_OP_CMC: return cmc;
    case X86_OP_CLD: return cld;
    case X86_OP_STD: return std;
    case X86_OP_PAUSE: return pause_;
    case X86_OP_FENCE: return (insn->modrm >> 3 & 7) == 6 ? mfence : nop;
    case X86_OP_NOP:
    case X86_OP_PREFETCH:
    case X86_OP_ENDBR: return nop;
    case X86_OP_CLFLUSH: return insn->mem ? clflush : nop;
    case X86_OP_RDRAND: return rdrand;
    case X86_OP_RDSEED: return rdseed;
    }
    return NULL; /* far transfers: far.c */
}
