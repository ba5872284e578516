/* SPDX-License-Identifier: BSD-2-Clause */
/* The two-byte opcode map (0F). [SDM] vol. 2 appendix A "Two-byte Opcode Map", Table A-6 for
 * groups. */
#include "isa/x86/decode_operands.h"

/* clang-format off */
#define EIGHT(base, ...) \
    [base + 0] = __VA_ARGS__, [base + 1] = __VA_ARGS__, [base + 2] = __VA_ARGS__, \
    [base + 3] = __VA_ARGS__, [base + 4] = __VA_ARGS__, [base + 5] = __VA_ARGS__, \
    [base + 6] = __VA_ARGS__, [base + 7] = __VA_ARGS__
#define SIXTEEN(base, ...) EIGHT(base, __VA_ARGS__), EIGHT(base + 8, __VA_ARGS__)
#define VMX A(VMX_SVM, A_ENDS)
#define NEVER A(UNSUPPORTED, A_ENDS)
#define HINT I(NOP, NA Ev, NA Gv)
/* MMX form without prefix, SSE form with 66 */
#define MMX_SSE(imm) PP(I(MMX, RW Pq, Qq), I(SSE, RW Vx, Wx), U_, U_)
#define PS_PD PP(I(SSE, RW Vx, Wx), I(SSE, RW Vx, Wx), U_, U_)
#define PS_PD_SS_SD PP(I(SSE, RW Vx, Wx), I(SSE, RW Vx, Wx), I(SSE, RW Vx, Wd), I(SSE, RW Vx, Wq))
#define SHIFT_IMM PP(I(MMX, RW Nq, Ib), I(SSE, RW Ux, Ib), U_, U_)
#define SHIFT_X P66(I(SSE, RW Ux, Ib))

static const struct x86_node group7_mem[8] = {
    A(SGDT, A_F64, W Ms), A(SIDT, A_F64, W Ms), A(LGDT, A_F64 | A_PRIV, Ms), A(LIDT, A_F64 | A_PRIV, Ms),
    I(SMSW, W Erw), PF3(A(UNSUPPORTED, A_ENDS, RW Mq)), A(LMSW, A_ENDS | A_PRIV, Ew),
    A(INVLPG, A_ENDS | A_PRIV, NA Mn),
};
static const struct x86_node group7_reg[8] = {
    RM8(NP(NEVER), NP(VMX), NP(VMX), NP(VMX), NP(VMX), NP(NEVER), U_, U_),
    RM8(NP(I(MONITOR)), NP(A(MWAIT, A_ENDS)), NP(I(CLAC)), NP(I(STAC)), P66(NEVER), P66(NEVER), P66(NEVER),
        PP(NEVER, NEVER, U_, U_)),
    RM8(NP(I(XGETBV)), NP(A(XSETBV, A_PRIV | A_ENDS)), U_, U_, NP(VMX), NP(A(XEND, A_ENDS)), NP(A(XTEST, A_ENDS)), NP(NEVER)),
    RM8(VMX, PP(VMX, VMX, VMX, VMX), VMX, VMX, VMX, VMX, VMX, VMX),
    I(SMSW, W Rv),
    RM8(PP(I(SERIALIZE), U_, NEVER, NEVER), PF2(NEVER), PF3(NEVER), U_, PF3(A(UNSUPPORTED, A_O64 | A_ENDS)),
        PF3(A(UNSUPPORTED, A_O64 | A_ENDS)), PP(NEVER, U_, A(UNSUPPORTED, A_O64 | A_ENDS), U_),
        PP(NEVER, U_, A(UNSUPPORTED, A_O64 | A_ENDS), U_)),
    A(LMSW, A_ENDS | A_PRIV, Ew),
    RM8(A(SWAPGS, A_O64 | A_PRIV), I(RDTSCP), NP(NEVER), PP(NEVER, U_, NEVER, U_), NP(NEVER), NP(NEVER), PP(NEVER, U_, NEVER, NEVER), PP(NEVER, U_, NEVER, NEVER)),
};
static const struct x86_node group15_mem[8] = {
    NP(I(FXSAVE, W Mfx)), NP(I(FXRSTOR, Mfx)), NP(I(LDMXCSR, Md)), NP(I(STMXCSR, W Md)),
    PP(I(XSAVE, RW Mn), U_, A(UNSUPPORTED, A_ENDS, My), U_), NP(I(XRSTOR, Mn)),
    PP(I(XSAVEOPT, RW Mn), I(CLFLUSH, NA Mb), A(UNSUPPORTED, A_ENDS, RW Mq), U_),
    PP(I(CLFLUSH, NA Mb), I(CLFLUSH, NA Mb), U_, U_),
};
static const struct x86_node group15_reg[8] = {
    PF3(A(RDFSBASE, A_O64, W Ry)), PF3(A(RDGSBASE, A_O64, W Ry)), PF3(A(WRFSBASE, A_O64, Ry)), PF3(A(WRGSBASE, A_O64, Ry)),
    PF3(A(UNSUPPORTED, A_ENDS, Ry)), PP(I(FENCE), U_, A(UNSUPPORTED, A_ENDS, Ry), U_),
    PP(I(FENCE), A(UNSUPPORTED, A_ENDS, Rd), A(UNSUPPORTED, A_ENDS, Rv), A(UNSUPPORTED, A_ENDS, Rd)),
    NP(I(FENCE)),
};

const struct x86_node x86_map_0f[256] = {
    [0x00] = REG8(I(SLDT, W Erw), I(STR, W Erw), A(LLDT, A_PRIV, Ew), A(LTR, A_PRIV, Ew), I(VERR, Ew), I(VERW, Ew), U_, U_),
    [0x01] = { .split = SPLIT_MOD, .sub = (const struct x86_node[2]) {
        { .split = SPLIT_REG, .sub = group7_mem }, { .split = SPLIT_REG, .sub = group7_reg } } },
    [0x02] = I(LAR, CW Gv, Erw), [0x03] = I(LSL, CW Gv, Ezw),
    [0x05] = A(SYSCALL, A_ENDS), [0x06] = A(CLTS, A_ENDS | A_PRIV), [0x07] = A(SYSRET, A_ENDS | A_PRIV),
    [0x08] = A(INVD, A_PRIV), [0x09] = A(WBINVD, A_PRIV), [0x0b] = A(UD, A_ENDS),
    [0x0d] = MOD(I(PREFETCH, NA Mn), HINT),

    [0x10] = PP(I(SSE, W Vx, Wx), I(SSE, W Vx, Wx), MOD(I(SSE, W Vx, Wd), I(SSE, W Vx, Wd)), I(SSE, W Vx, Wq)),
    [0x11] = PP(I(SSE, W Wx, Vx), I(SSE, W Wx, Vx), I(SSE, W Wd, Vx), I(SSE, W Wq, Vx)),
    [0x12] = PP(I(SSE, W Vx, Wq), I(SSE, W Vx, Mq), I(SSE, W Vx, Wx), I(SSE, W Vx, Wq)),
    [0x13] = PP(I(SSE, W Mq, Vx), I(SSE, W Mq, Vx), U_, U_),
    [0x14] = PS_PD, [0x15] = PS_PD,
    [0x16] = PP(I(SSE, W Vx, Wq), I(SSE, W Vx, Mq), I(SSE, W Vx, Wx), U_),
    [0x17] = PP(I(SSE, W Mq, Vx), I(SSE, W Mq, Vx), U_, U_),
    [0x18] = MOD(REG8(I(PREFETCH, NA Mn), I(PREFETCH, NA Mn), I(PREFETCH, NA Mn), I(PREFETCH, NA Mn), HINT, HINT, HINT, HINT), HINT),
    [0x19] = HINT, [0x1a] = HINT, [0x1b] = HINT, [0x1c] = HINT, [0x1d] = HINT,
    [0x1e] = PP(HINT, HINT, MOD(HINT, REG8(HINT, HINT, HINT, HINT, HINT, HINT, HINT,
        RM8(HINT, HINT, I(ENDBR), I(ENDBR), HINT, HINT, HINT, HINT))), HINT),
    [0x1f] = HINT,
    [0x20] = A(MOV_FROM_CR, A_CR | A_PRIV, W Rv, Cv), [0x21] = A(MOV_FROM_DR, A_CR | A_PRIV, W Rv, Dv),
    [0x22] = A(MOV_TO_CR, A_CR | A_PRIV | A_ENDS, W Cv, Rv), [0x23] = A(MOV_TO_DR, A_CR | A_PRIV | A_ENDS, W Dv, Rv),
    [0x28] = PP(I(SSE, W Vx, Wx), I(SSE, W Vx, Wx), U_, U_), [0x29] = PP(I(SSE, W Wx, Vx), I(SSE, W Wx, Vx), U_, U_),
    [0x2a] = PP(I(MMX, W Vx, Qq), I(MMX, W Vx, Qq), I(SSE, RW Vx, Ey), I(SSE, RW Vx, Ey)),
    [0x2b] = PP(I(SSE, W Mx, Vx), I(SSE, W Mx, Vx), U_, U_),
    [0x2c] = PP(I(MMX, W Pq, Wq), I(MMX, W Pq, Wx), I(SSE, W Gy, Wd), I(SSE, W Gy, Wq)),
    [0x2d] = PP(I(MMX, W Pq, Wq), I(MMX, W Pq, Wx), I(SSE, W Gy, Wd), I(SSE, W Gy, Wq)),
    [0x2e] = PP(I(SSE, Vx, Wd), I(SSE, Vx, Wq), U_, U_), [0x2f] = PP(I(SSE, Vx, Wd), I(SSE, Vx, Wq), U_, U_),
    [0x30] = A(WRMSR, A_PRIV | A_ENDS), [0x31] = I(RDTSC), [0x32] = A(RDMSR, A_PRIV), [0x33] = I(RDPMC),
    [0x34] = A(SYSENTER, A_ENDS), [0x35] = A(SYSEXIT, A_ENDS | A_PRIV), [0x37] = NP(NEVER),

    SIXTEEN(0x40, I(CMOVCC, CW Gv, Ev)),

    [0x50] = PP(I(SSE, W Gy, Ux), I(SSE, W Gy, Ux), U_, U_),
    [0x51] = PP(I(SSE, W Vx, Wx), I(SSE, W Vx, Wx), I(SSE, W Vx, Wd), I(SSE, W Vx, Wq)),
    [0x52] = PP(I(SSE, W Vx, Wx), U_, I(SSE, W Vx, Wd), U_), [0x53] = PP(I(SSE, W Vx, Wx), U_, I(SSE, W Vx, Wd), U_),
    [0x54] = PS_PD, [0x55] = PS_PD, [0x56] = PS_PD, [0x57] = PS_PD,
    [0x58] = PS_PD_SS_SD, [0x59] = PS_PD_SS_SD,
    [0x5a] = PP(I(SSE, W Vx, Wq), I(SSE, W Vx, Wx), I(SSE, W Vx, Wd), I(SSE, W Vx, Wq)),
    [0x5b] = PP(I(SSE, W Vx, Wx), I(SSE, W Vx, Wx), I(SSE, W Vx, Wx), U_),
    [0x5c] = PS_PD_SS_SD, [0x5d] = PS_PD_SS_SD, [0x5e] = PS_PD_SS_SD, [0x5f] = PS_PD_SS_SD,

    [0x60] = PP(I(MMX, RW Pq, Qd), I(SSE, RW Vx, Wx), U_, U_), [0x61] = PP(I(MMX, RW Pq, Qd), I(SSE, RW Vx, Wx), U_, U_),
    [0x62] = PP(I(MMX, RW Pq, Qd), I(SSE, RW Vx, Wx), U_, U_),
    [0x63] = MMX_SSE(), [0x64] = MMX_SSE(), [0x65] = MMX_SSE(), [0x66] = MMX_SSE(), [0x67] = MMX_SSE(),
    [0x68] = MMX_SSE(), [0x69] = MMX_SSE(), [0x6a] = MMX_SSE(), [0x6b] = MMX_SSE(),
    [0x6c] = P66(I(SSE, RW Vx, Wx)), [0x6d] = P66(I(SSE, RW Vx, Wx)),
    [0x6e] = PP(I(MMX, W Pq, Ey), I(SSE, W Vx, Ey), U_, U_),
    [0x6f] = PP(I(MMX, W Pq, Qq), I(SSE, W Vx, Wx), I(SSE, W Vx, Wx), U_),
    [0x70] = PP(I(MMX, W Pq, Qq, Ib), I(SSE, W Vx, Wx, Ib), I(SSE, W Vx, Wx, Ib), I(SSE, W Vx, Wx, Ib)),
    [0x71] = REG8(U_, U_, SHIFT_IMM, U_, SHIFT_IMM, U_, SHIFT_IMM, U_),
    [0x72] = REG8(U_, U_, SHIFT_IMM, U_, SHIFT_IMM, U_, SHIFT_IMM, U_),
    [0x73] = REG8(U_, U_, SHIFT_IMM, SHIFT_X, U_, U_, SHIFT_IMM, SHIFT_X),
    [0x74] = MMX_SSE(), [0x75] = MMX_SSE(), [0x76] = MMX_SSE(), [0x77] = NP(I(EMMS)),
    [0x78] = NP(A(VMX_SVM, A_ENDS, W Ey, Gy)), [0x79] = NP(A(VMX_SVM, A_ENDS, Gy, Ey)),
    [0x7c] = PP(U_, I(SSE, RW Vx, Wx), U_, I(SSE, RW Vx, Wx)), [0x7d] = PP(U_, I(SSE, RW Vx, Wx), U_, I(SSE, RW Vx, Wx)),
    [0x7e] = PP(I(MMX, W Ey, Pq), I(SSE, W Ey, Vx), I(SSE, W Vx, Wq), U_),
    [0x7f] = PP(I(MMX, W Qq, Pq), I(SSE, W Wx, Vx), I(SSE, W Wx, Vx), U_),

    SIXTEEN(0x80, A(JCC, A_F64 | A_ENDS, Jz)),
    SIXTEEN(0x90, I(SETCC, W Eb)),

    [0xa0] = A(PUSH_SEG, A_D64, FS), [0xa1] = A(POP_SEG, A_D64 | A_ENDS, W FS), [0xa2] = I(CPUID), [0xa3] = I(BT, Ev, Gv),
    [0xa4] = I(SHLD, RCW Ev, Gv, Ib), [0xa5] = I(SHLD, RCW Ev, Gv, CL),
    [0xa8] = A(PUSH_SEG, A_D64, GS), [0xa9] = A(POP_SEG, A_D64 | A_ENDS, W GS), [0xaa] = A(RSM, A_ENDS),
    [0xab] = A(BTS, A_LOCK, RW Ev, Gv), [0xac] = I(SHRD, RCW Ev, Gv, Ib), [0xad] = I(SHRD, RCW Ev, Gv, CL),
    [0xae] = { .split = SPLIT_MOD, .sub = (const struct x86_node[2]) {
        { .split = SPLIT_REG, .sub = group15_mem }, { .split = SPLIT_REG, .sub = group15_reg } } },
    [0xaf] = I(IMUL2, RW Gv, Ev),
    [0xb0] = A(CMPXCHG, A_LOCK, RCW Eb, Gb), [0xb1] = A(CMPXCHG, A_LOCK, RCW Ev, Gv),
    [0xb2] = A(LOAD_FAR_PTR, A_ENDS, W Gv, Mp), [0xb3] = A(BTR, A_LOCK, RW Ev, Gv),
    [0xb4] = A(LOAD_FAR_PTR, A_ENDS, W Gv, Mp), [0xb5] = A(LOAD_FAR_PTR, A_ENDS, W Gv, Mp),
    [0xb6] = I(MOVZX, W Gv, Eb), [0xb7] = I(MOVZX, W Gv, Ew),
    [0xb8] = PF3(I(POPCNT, W Gv, Ev)), [0xb9] = A(UD, A_ENDS, Gv, Ev),
    [0xba] = REG8(U_, U_, U_, U_, I(BT, Ev, Ib), A(BTS, A_LOCK, RW Ev, Ib), A(BTR, A_LOCK, RW Ev, Ib), A(BTC, A_LOCK, RW Ev, Ib)),
    [0xbb] = A(BTC, A_LOCK, RW Ev, Gv),
    [0xbc] = PP(I(BSF, RCW Gv, Ev), I(BSF, RCW Gv, Ev), I(TZCNT, W Gv, Ev), I(BSF, RCW Gv, Ev)),
    [0xbd] = PP(I(BSR, RCW Gv, Ev), I(BSR, RCW Gv, Ev), I(LZCNT, W Gv, Ev), I(BSR, RCW Gv, Ev)),
    [0xbe] = I(MOVSX, W Gv, Eb), [0xbf] = I(MOVSX, W Gv, Ew),

    [0xc0] = A(XADD, A_LOCK, RW Eb, RW Gb), [0xc1] = A(XADD, A_LOCK, RW Ev, RW Gv),
    [0xc2] = PP(I(SSE, RW Vx, Wx, Ib), I(SSE, RW Vx, Wx, Ib), I(SSE, RW Vx, Wd, Ib), I(SSE, RW Vx, Wq, Ib)),
    [0xc3] = NP(I(MOVNTI, W My, Gy)),
    [0xc4] = PP(I(MMX, RW Pq, Edw, Ib), I(SSE, RW Vx, Edw, Ib), U_, U_),
    [0xc5] = PP(I(MMX, W Gd, Nq, Ib), I(SSE, W Gd, Ux, Ib), U_, U_),
    [0xc6] = PP(I(SSE, RW Vx, Wx, Ib), I(SSE, RW Vx, Wx, Ib), U_, U_),
    [0xc7] = MOD(
        REG8(U_, BYW(A(CMPXCHG8B, A_LOCK, RCW Mq), A(CMPXCHG16B, A_LOCK, RCW Mo)), U_, NP(A(XRSTORS, A_PRIV, Mn)), NP(I(XSAVEC, W Mn)),
             NP(A(XSAVES, A_PRIV, W Mn)),
             PP(A(VMX_SVM, A_ENDS, Mq), A(VMX_SVM, A_ENDS, W Mq), A(VMX_SVM, A_ENDS, Mq), U_), NP(A(VMX_SVM, A_ENDS, W Mq))),
        REG8(U_, U_, U_, U_, U_, U_, PP(I(RDRAND, W Rv), I(RDRAND, W Rv), A(UNSUPPORTED, A_ENDS | A_O64, Rv), U_),
             PP(I(RDSEED, W Rv), I(RDSEED, W Rv), A(RDPID, A_M32, W Rv), U_))),
    EIGHT(0xc8, I(BSWAP, RW Zv)),

    [0xd0] = PP(U_, I(SSE, RW Vx, Wx), U_, I(SSE, RW Vx, Wx)),
    [0xd1] = MMX_SSE(), [0xd2] = MMX_SSE(), [0xd3] = MMX_SSE(), [0xd4] = MMX_SSE(), [0xd5] = MMX_SSE(),
    [0xd6] = PP(U_, I(SSE, W Wq, Vx), I(MMX, W Vx, Nq), I(MMX, W Pq, Ux)),
    [0xd7] = PP(I(MMX, W Gd, Nq), I(SSE, W Gd, Ux), U_, U_),
    [0xd8] = MMX_SSE(), [0xd9] = MMX_SSE(), [0xda] = MMX_SSE(), [0xdb] = MMX_SSE(), [0xdc] = MMX_SSE(),
    [0xdd] = MMX_SSE(), [0xde] = MMX_SSE(), [0xdf] = MMX_SSE(), [0xe0] = MMX_SSE(), [0xe1] = MMX_SSE(),
    [0xe2] = MMX_SSE(), [0xe3] = MMX_SSE(), [0xe4] = MMX_SSE(), [0xe5] = MMX_SSE(),
    [0xe6] = PP(U_, I(SSE, W Vx, Wx), I(SSE, W Vx, Wq), I(SSE, W Vx, Wx)),
    [0xe7] = PP(I(MMX, W Mq, Pq), I(SSE, W Mx, Vx), U_, U_),
    [0xe8] = MMX_SSE(), [0xe9] = MMX_SSE(), [0xea] = MMX_SSE(), [0xeb] = MMX_SSE(), [0xec] = MMX_SSE(),
    [0xed] = MMX_SSE(), [0xee] = MMX_SSE(), [0xef] = MMX_SSE(),
    [0xf0] = PF2(I(SSE, W Vx, Mx)),
    [0xf1] = MMX_SSE(), [0xf2] = MMX_SSE(), [0xf3] = MMX_SSE(), [0xf4] = MMX_SSE(), [0xf5] = MMX_SSE(), [0xf6] = MMX_SSE(),
    [0xf7] = PP(I(MASKMOV, Pq, Nq), I(MASKMOV, Vx, Ux), U_, U_),
    [0xf8] = MMX_SSE(), [0xf9] = MMX_SSE(), [0xfa] = MMX_SSE(), [0xfb] = MMX_SSE(), [0xfc] = MMX_SSE(),
    [0xfd] = MMX_SSE(), [0xfe] = MMX_SSE(), [0xff] = A(UD, A_ENDS, Gv, Ev),
};
