/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of the operations, and which flags each reads and writes. [SDM] vol. 1 appendix A "EFLAGS
 * Cross-Reference". */
#include "isa/x86/insn.h"

const char *const x86_op_name[X86_OP_COUNT] = { [X86_OP_INVALID] = "INVALID",
#define NAME(name) [X86_OP_##name] = #name,
                                                X86_OPS_INTEGER(NAME) X86_OPS_SYSTEM(NAME)
                                                    X86_OPS_NATIVE(NAME)
#undef NAME
};

#define ALL  X86_AFLAGS
#define CF   X86_CF
#define OF   X86_OF
#define ZF   X86_ZF
#define NOCF (ALL & ~CF)

/* Flags written in any case, by operation; what also reads or only perhaps writes is below. DIV and
 * IDIV leave them undefined, that is alone: as current processors and the emulator do. */
static const uint16_t written[X86_OP_COUNT] = {
    [X86_OP_ADD] = ALL,
    [X86_OP_OR] = ALL,
    [X86_OP_ADC] = ALL,
    [X86_OP_SBB] = ALL,
    [X86_OP_AND] = ALL,
    [X86_OP_SUB] = ALL,
    [X86_OP_XOR] = ALL,
    [X86_OP_CMP] = ALL,
    [X86_OP_INC] = NOCF,
    [X86_OP_DEC] = NOCF,
    [X86_OP_NEG] = ALL,
    [X86_OP_TEST] = ALL,
    [X86_OP_MUL] = ALL,
    [X86_OP_IMUL1] = ALL,
    [X86_OP_IMUL2] = ALL,
    [X86_OP_IMUL3] = ALL,
    [X86_OP_BT] = ALL & ~ZF,
    [X86_OP_BTS] = ALL & ~ZF,
    [X86_OP_BTR] = ALL & ~ZF,
    [X86_OP_BTC] = ALL & ~ZF,
    [X86_OP_BSF] = ALL,
    [X86_OP_BSR] = ALL,
    [X86_OP_TZCNT] = ALL,
    [X86_OP_LZCNT] = ALL,
    [X86_OP_POPCNT] = ALL,
    [X86_OP_ADCX] = CF,
    [X86_OP_ADOX] = OF,
    [X86_OP_ANDN] = ALL,
    [X86_OP_BEXTR] = ALL,
    [X86_OP_BLSI] = ALL,
    [X86_OP_BLSMSK] = ALL,
    [X86_OP_BLSR] = ALL,
    [X86_OP_BZHI] = ALL,
    [X86_OP_AAA] = ALL,
    [X86_OP_AAS] = ALL,
    [X86_OP_AAM] = ALL,
    [X86_OP_AAD] = ALL,
    [X86_OP_DAA] = ALL,
    [X86_OP_DAS] = ALL,
    [X86_OP_SAHF] = ALL & ~OF,
    [X86_OP_CLC] = CF,
    [X86_OP_STC] = CF,
    [X86_OP_CMC] = CF,
    [X86_OP_CLD] = X86_DF,
    [X86_OP_STD] = X86_DF,
    [X86_OP_CMPXCHG] = ALL,
    [X86_OP_CMPXCHG8B] = ZF,
    [X86_OP_CMPXCHG16B] = ZF,
    [X86_OP_XADD] = ALL,
    [X86_OP_RDRAND] = ALL,
    [X86_OP_RDSEED] = ALL,
    [X86_OP_ARPL] = ZF,
    [X86_OP_LAR] = ZF,
    [X86_OP_LSL] = ZF,
    [X86_OP_VERR] = ZF,
    [X86_OP_VERW] = ZF,
    [X86_OP_POPF] = ALL | X86_DF,
    [X86_OP_IRET] = ALL | X86_DF,
    [X86_OP_XTEST] = ALL,
};

/* Flags a condition (Jcc, SETcc, CMOVcc) reads, by its number / 2. */
static const uint16_t cc_read[8] = {
    OF, CF, ZF, CF | ZF, X86_SF, X86_PF, X86_SF | OF, X86_SF | OF | ZF,
};

/* Vector, mask and x87 instructions: the few that touch RFLAGS. */
static struct x86_flags_use native_use(const struct x86_insn *insn)
{
    struct x86_flags_use u = { 0, 0, 0 };
    bool writes = false;

    if (insn->op == X86_OP_FPU) {
        if (insn->modrm < 0xc0)
            return u;
        unsigned reg = insn->modrm >> 3 & 7;
        if ((insn->opcode == 0xda || insn->opcode == 0xdb) && reg < 4) /* FCMOVcc */
            u.read = CF | ZF | X86_PF;
        writes = (insn->opcode == 0xdb || insn->opcode == 0xdf) && (reg == 5 || reg == 6);
    } else if (insn->map == X86_MAP_0F) {
        writes = insn->opcode == 0x2e || insn->opcode == 0x2f || /* (U)COMISS, … */
                 (insn->enc != X86_ENC_LEGACY && (insn->opcode == 0x98 || insn->opcode == 0x99));
    } else if (insn->map == X86_MAP_0F38) { /* PTEST, VTESTPS, VTESTPD */
        writes = insn->opcode == 0x17 ||
                 (insn->enc == X86_ENC_VEX && (insn->opcode == 0x0e || insn->opcode == 0x0f));
    } else if (insn->map == X86_MAP_0F3A) { /* PCMPxSTRx */
        writes = insn->enc != X86_ENC_EVEX && insn->opcode >= 0x60 && insn->opcode <= 0x63;
    } else if (insn->map == X86_MAP_5) { /* VUCOMISH, VCOMISH */
        writes = insn->opcode == 0x2e || insn->opcode == 0x2f;
    }
    if (writes)
        u.may_write = u.must_write = ALL;
    return u;
}

struct x86_flags_use x86_flags_use(const struct x86_insn *insn)
{
    struct x86_flags_use u = { 0, 0, 0 };

    u.must_write = u.may_write = written[insn->op];
    switch (insn->op) {
    case X86_OP_ADC:
    case X86_OP_SBB:
    case X86_OP_ADCX:
    case X86_OP_CMC:
    case X86_OP_SALC: u.read = CF; break;
    case X86_OP_ADOX:
    case X86_OP_INTO: u.read = OF; break;
    case X86_OP_AAA:
    case X86_OP_AAS: u.read = X86_AF; break;
    case X86_OP_DAA:
    case X86_OP_DAS: u.read = X86_AF | CF; break;
    case X86_OP_LAHF: u.read = ALL & ~OF; break;
    case X86_OP_LOOPE:
    case X86_OP_LOOPNE: u.read = ZF; break;
    case X86_OP_JCC:
    case X86_OP_SETCC:
    case X86_OP_CMOVCC: u.read = cc_read[insn->cc >> 1]; break;
    case X86_OP_ROL:
    case X86_OP_ROR:
    case X86_OP_RCL:
    case X86_OP_RCR:
        /* OF is undefined, that is kept by some, for a count other than 1; a count of 0 keeps all.
         */
        u.may_write = CF | OF;
        if (insn->op == X86_OP_RCL || insn->op == X86_OP_RCR)
            u.read = CF;
        break;
    case X86_OP_SHL:
    case X86_OP_SHR:
    case X86_OP_SAR:
    case X86_OP_SHLD:
    case X86_OP_SHRD: {
        const struct x86_operand *count = &insn->operand[insn->operands - 1];
        u.may_write = ALL;
        if (count->kind == X86_OPERAND_IMM && (insn->imm & (insn->operand[0].size == 8 ? 63 : 31)))
            u.must_write = ALL;
        else
            u.read = ALL; /* keeps them for a count of 0 */
        break;
    }
    case X86_OP_CMPS:
    case X86_OP_SCAS:
        u.read = X86_DF;
        u.may_write = ALL;
        if (!insn->rep)
            u.must_write = ALL;
        else
            u.read |= ALL;
        break;
    case X86_OP_MOVS:
    case X86_OP_STOS:
    case X86_OP_LODS:
    case X86_OP_INS:
    case X86_OP_OUTS: u.read = X86_DF; break;
    case X86_OP_PUSHF:
    case X86_OP_SYSCALL:
    case X86_OP_INT:
    case X86_OP_INT1:
    case X86_OP_INT3: u.read = ALL | X86_DF; break;
    case X86_OP_SYSRET: u.may_write = u.must_write = ALL | X86_DF; break;
    case X86_OP_CALL_FAR: /* may switch tasks */
    case X86_OP_JMP_FAR:
        u.read = ALL | X86_DF;
        u.may_write = ALL | X86_DF;
        break;
    case X86_OP_VMX_SVM:
    case X86_OP_RSM:
    case X86_OP_XBEGIN:
    case X86_OP_XEND:
    case X86_OP_XABORT:
    case X86_OP_UD:
    case X86_OP_UNSUPPORTED:
    case X86_OP_INVALID:
        u.read = ALL | X86_DF;
        u.may_write = ALL;
        break;
    case X86_OP_FPU:
    case X86_OP_SSE:
    case X86_OP_AVX:
    case X86_OP_AVX512: u = native_use(insn); break;
    default: break;
    }
    return u;
}

/* What x86_flags_use() has to look at closer. */
enum { PLAIN, BY_CC, OTHER };
static const uint8_t look[X86_OP_COUNT] = {
    [X86_OP_JCC] = BY_CC,      [X86_OP_SETCC] = BY_CC,   [X86_OP_CMOVCC] = BY_CC,
    [X86_OP_ADC] = OTHER,      [X86_OP_SBB] = OTHER,     [X86_OP_ADCX] = OTHER,
    [X86_OP_CMC] = OTHER,      [X86_OP_SALC] = OTHER,    [X86_OP_ADOX] = OTHER,
    [X86_OP_INTO] = OTHER,     [X86_OP_AAA] = OTHER,     [X86_OP_AAS] = OTHER,
    [X86_OP_DAA] = OTHER,      [X86_OP_DAS] = OTHER,     [X86_OP_LAHF] = OTHER,
    [X86_OP_LOOPE] = OTHER,    [X86_OP_LOOPNE] = OTHER,  [X86_OP_ROL] = OTHER,
    [X86_OP_ROR] = OTHER,      [X86_OP_RCL] = OTHER,     [X86_OP_RCR] = OTHER,
    [X86_OP_SHL] = OTHER,      [X86_OP_SHR] = OTHER,     [X86_OP_SAR] = OTHER,
    [X86_OP_SHLD] = OTHER,     [X86_OP_SHRD] = OTHER,    [X86_OP_CMPS] = OTHER,
    [X86_OP_SCAS] = OTHER,     [X86_OP_MOVS] = OTHER,    [X86_OP_STOS] = OTHER,
    [X86_OP_LODS] = OTHER,     [X86_OP_INS] = OTHER,     [X86_OP_OUTS] = OTHER,
    [X86_OP_PUSHF] = OTHER,    [X86_OP_SYSCALL] = OTHER, [X86_OP_INT] = OTHER,
    [X86_OP_INT1] = OTHER,     [X86_OP_INT3] = OTHER,    [X86_OP_SYSRET] = OTHER,
    [X86_OP_CALL_FAR] = OTHER, [X86_OP_JMP_FAR] = OTHER, [X86_OP_VMX_SVM] = OTHER,
    [X86_OP_RSM] = OTHER,      [X86_OP_XBEGIN] = OTHER,  [X86_OP_XEND] = OTHER,
    [X86_OP_XABORT] = OTHER,   [X86_OP_UD] = OTHER,      [X86_OP_UNSUPPORTED] = OTHER,
    [X86_OP_INVALID] = OTHER,  [X86_OP_FPU] = OTHER,     [X86_OP_SSE] = OTHER,
    [X86_OP_AVX] = OTHER,      [X86_OP_AVX512] = OTHER,
};

uint32_t x86_flags_before(const struct x86_insn *insn, uint32_t need)
{
    if (likely(look[insn->op] == PLAIN))
        return need & ~(uint32_t)written[insn->op];
    if (likely(look[insn->op] == BY_CC))
        return need | cc_read[insn->cc >> 1];
    struct x86_flags_use u = x86_flags_use(insn);
    return (need & ~u.must_write) | u.read;
}
