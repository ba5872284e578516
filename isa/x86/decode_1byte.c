/* SPDX-License-Identifier: BSD-2-Clause */
/* The one-byte opcode map. [SDM] vol. 2 appendix A "One-byte Opcode Map", Table A-6 for groups. */
#include "isa/x86/decode_operands.h"

/* clang-format off */
#define ALU(base, op) \
    [base + 0] = A(op, A_LOCK, RW Eb, Gb), [base + 1] = A(op, A_LOCK, RW Ev, Gv), \
    [base + 2] = I(op, RW Gb, Eb), [base + 3] = I(op, RW Gv, Ev), \
    [base + 4] = I(op, RW AL, Ib), [base + 5] = I(op, RW rAX, Iz)
#define EIGHT(base, ...) \
    [base + 0] = __VA_ARGS__, [base + 1] = __VA_ARGS__, [base + 2] = __VA_ARGS__, \
    [base + 3] = __VA_ARGS__, [base + 4] = __VA_ARGS__, [base + 5] = __VA_ARGS__, \
    [base + 6] = __VA_ARGS__, [base + 7] = __VA_ARGS__
#define PREFIX { .split = SPLIT_PREFIX }
#define INC_REX(name) \
    { .split = SPLIT_REX, .op = X86_OP_##name, .o = { RW Zv } }
#define GROUP1(E, imm) \
    REG8(A(ADD, A_LOCK, RW E, imm), A(OR, A_LOCK, RW E, imm), A(ADC, A_LOCK, RW E, imm), \
         A(SBB, A_LOCK, RW E, imm), A(AND, A_LOCK, RW E, imm), A(SUB, A_LOCK, RW E, imm), \
         A(XOR, A_LOCK, RW E, imm), I(CMP, E, imm))
#define GROUP2(E, count) \
    REG8(I(ROL, RW E, count), I(ROR, RW E, count), I(RCL, RW E, count), I(RCR, RW E, count), \
         I(SHL, RW E, count), I(SHR, RW E, count), I(SHL, RW E, count), I(SAR, RW E, count))
#define GROUP3(E, imm) \
    REG8(I(TEST, E, imm), I(TEST, E, imm), A(NOT, A_LOCK, RW E), A(NEG, A_LOCK, RW E), \
         I(MUL, E), I(IMUL1, E), I(DIV, E), I(IDIV, E))
#define FPU(n) { .split = SPLIT_MOD, .sub = x86_map_fpu[n] }

const struct x86_node x86_map_1byte[256] = {
    ALU(0x00, ADD), ALU(0x08, OR), ALU(0x10, ADC), ALU(0x18, SBB),
    ALU(0x20, AND), ALU(0x28, SUB), ALU(0x30, XOR),
    [0x38] = I(CMP, Eb, Gb), [0x39] = I(CMP, Ev, Gv), [0x3a] = I(CMP, Gb, Eb), [0x3b] = I(CMP, Gv, Ev),
    [0x3c] = I(CMP, AL, Ib), [0x3d] = I(CMP, rAX, Iz),
    [0x06] = A(PUSH_SEG, A_I64, ES), [0x07] = A(POP_SEG, A_I64 | A_ENDS, W ES),
    [0x0e] = A(PUSH_SEG, A_I64, CS), [0x0f] = { .split = SPLIT_0F },
    [0x16] = A(PUSH_SEG, A_I64, SS), [0x17] = A(POP_SEG, A_I64 | A_ENDS, W SS),
    [0x1e] = A(PUSH_SEG, A_I64, DS), [0x1f] = A(POP_SEG, A_I64 | A_ENDS, W DS),
    [0x26] = PREFIX, [0x27] = A(DAA, A_I64), [0x2e] = PREFIX, [0x2f] = A(DAS, A_I64),
    [0x36] = PREFIX, [0x37] = A(AAA, A_I64), [0x3e] = PREFIX, [0x3f] = A(AAS, A_I64),
    EIGHT(0x40, INC_REX(INC)), EIGHT(0x48, INC_REX(DEC)),
    EIGHT(0x50, A(PUSH, A_D64, Zv)), EIGHT(0x58, A(POP, A_D64, W Zv)),
    [0x60] = A(PUSHA, A_I64), [0x61] = A(POPA, A_I64), [0x62] = { .split = SPLIT_EVEX, .op = X86_OP_BOUND, .attr = A_MODRM | A_MEM | A_I64, .o = { Gv, Ma } },
    [0x63] = M64(I(ARPL, RCW Ew, Gw), I(MOVSX, W Gv, Edz)),
    [0x64] = PREFIX, [0x65] = PREFIX, [0x66] = PREFIX, [0x67] = PREFIX,
    [0x68] = A(PUSH, A_D64, Iz), [0x69] = I(IMUL3, W Gv, Ev, Iz),
    [0x6a] = A(PUSH, A_D64, Ibs), [0x6b] = I(IMUL3, W Gv, Ev, Ibs),
    [0x6c] = I(INS), [0x6d] = I(INS), [0x6e] = I(OUTS), [0x6f] = I(OUTS),
    EIGHT(0x70, A(JCC, A_F64 | A_ENDS, Jb)), EIGHT(0x78, A(JCC, A_F64 | A_ENDS, Jb)),
    [0x80] = GROUP1(Eb, Ib), [0x81] = GROUP1(Ev, Iz),
    [0x82] = M64(GROUP1(Eb, Ib), U_), [0x83] = GROUP1(Ev, Ibs),
    [0x84] = I(TEST, Eb, Gb), [0x85] = I(TEST, Ev, Gv),
    [0x86] = A(XCHG, A_LOCK, RW Eb, RW Gb), [0x87] = A(XCHG, A_LOCK, RW Ev, RW Gv),
    [0x88] = I(MOV, W Eb, Gb), [0x89] = I(MOV, W Ev, Gv), [0x8a] = I(MOV, W Gb, Eb), [0x8b] = I(MOV, W Gv, Ev),
    [0x8c] = I(MOV_FROM_SEG, W Erw, Sw), [0x8d] = I(LEA, W Gv, NA Mn),
    [0x8e] = A(MOV_TO_SEG, A_ENDS, W Sw, Ew),
    [0x8f] = REG8(A(POP, A_D64, W Ev), U_, U_, U_, U_, U_, U_, U_),
    [0x90] = SUB(NOP, 3, I(NOP), I(PAUSE), I(XCHG, RW Zv, RW rAX)),
    [0x91] = I(XCHG, RW Zv, RW rAX), [0x92] = I(XCHG, RW Zv, RW rAX), [0x93] = I(XCHG, RW Zv, RW rAX),
    [0x94] = I(XCHG, RW Zv, RW rAX), [0x95] = I(XCHG, RW Zv, RW rAX), [0x96] = I(XCHG, RW Zv, RW rAX),
    [0x97] = I(XCHG, RW Zv, RW rAX),
    [0x98] = I(CBW), [0x99] = I(CWD), [0x9a] = A(CALL_FAR, A_I64 | A_ENDS, Ap), [0x9b] = I(FWAIT),
    [0x9c] = A(PUSHF, A_D64), [0x9d] = A(POPF, A_D64 | A_ENDS), [0x9e] = I(SAHF), [0x9f] = I(LAHF),
    [0xa0] = I(MOV, W AL, Ob), [0xa1] = I(MOV, W rAX, Ov), [0xa2] = I(MOV, W Ob, AL), [0xa3] = I(MOV, W Ov, rAX),
    [0xa4] = I(MOVS), [0xa5] = I(MOVS), [0xa6] = I(CMPS), [0xa7] = I(CMPS),
    [0xa8] = I(TEST, AL, Ib), [0xa9] = I(TEST, rAX, Iz),
    [0xaa] = I(STOS), [0xab] = I(STOS), [0xac] = I(LODS), [0xad] = I(LODS), [0xae] = I(SCAS), [0xaf] = I(SCAS),
    EIGHT(0xb0, I(MOV, W Zb, Ib)), EIGHT(0xb8, I(MOV, W Zv, Iv)),
    [0xc0] = GROUP2(Eb, Ib), [0xc1] = GROUP2(Ev, Ib),
    [0xc2] = A(RET, A_F64 | A_ENDS, Iw), [0xc3] = A(RET, A_F64 | A_ENDS),
    [0xc4] = { .split = SPLIT_VEX3, .op = X86_OP_LOAD_FAR_PTR, .attr = A_MODRM | A_MEM | A_I64 | A_ENDS, .o = { W Gv, Mp } },
    [0xc5] = { .split = SPLIT_VEX2, .op = X86_OP_LOAD_FAR_PTR, .attr = A_MODRM | A_MEM | A_I64 | A_ENDS, .o = { W Gv, Mp } },
    [0xc6] = REG8(I(MOV, W Eb, Ib), U_, U_, U_, U_, U_, U_,
                  MOD(U_, RM8(A(XABORT, A_ENDS, Ib), U_, U_, U_, U_, U_, U_, U_))),
    [0xc7] = REG8(I(MOV, W Ev, Iz), U_, U_, U_, U_, U_, U_,
                  MOD(U_, RM8(A(XBEGIN, A_ENDS, Jz), U_, U_, U_, U_, U_, U_, U_))),
    [0xc8] = A(ENTER, A_D64, Iw, Ib2), [0xc9] = A(LEAVE, A_D64),
    [0xca] = A(RET_FAR, A_ENDS, Iw), [0xcb] = A(RET_FAR, A_ENDS),
    [0xcc] = A(INT3, A_ENDS), [0xcd] = A(INT, A_ENDS, Ib), [0xce] = A(INTO, A_I64 | A_ENDS), [0xcf] = A(IRET, A_ENDS),
    [0xd0] = GROUP2(Eb, One), [0xd1] = GROUP2(Ev, One), [0xd2] = GROUP2(Eb, CL), [0xd3] = GROUP2(Ev, CL),
    [0xd4] = A(AAM, A_I64, Ib), [0xd5] = A(AAD, A_I64, Ib), [0xd6] = A(SALC, A_I64), [0xd7] = I(XLAT),
    [0xd8] = FPU(0), [0xd9] = FPU(1), [0xda] = FPU(2), [0xdb] = FPU(3),
    [0xdc] = FPU(4), [0xdd] = FPU(5), [0xde] = FPU(6), [0xdf] = FPU(7),
    [0xe0] = A(LOOPNE, A_F64 | A_ENDS, Jb), [0xe1] = A(LOOPE, A_F64 | A_ENDS, Jb),
    [0xe2] = A(LOOP, A_F64 | A_ENDS, Jb), [0xe3] = A(JCXZ, A_F64 | A_ENDS, Jb),
    [0xe4] = I(IN, W AL, Ib), [0xe5] = I(IN, W eAX, Ib), [0xe6] = I(OUT, Ib, AL), [0xe7] = I(OUT, Ib, eAX),
    [0xe8] = A(CALL, A_F64 | A_ENDS, Jz), [0xe9] = A(JMP, A_F64 | A_ENDS, Jz),
    [0xea] = A(JMP_FAR, A_I64 | A_ENDS, Ap), [0xeb] = A(JMP, A_F64 | A_ENDS, Jb),
    [0xec] = I(IN, W AL, DX), [0xed] = I(IN, W eAX, DX), [0xee] = I(OUT, DX, AL), [0xef] = I(OUT, DX, eAX),
    [0xf0] = PREFIX, [0xf1] = A(INT1, A_ENDS), [0xf2] = PREFIX, [0xf3] = PREFIX,
    [0xf4] = A(HLT, A_ENDS | A_PRIV), [0xf5] = I(CMC), [0xf6] = GROUP3(Eb, Ib), [0xf7] = GROUP3(Ev, Iz),
    [0xf8] = I(CLC), [0xf9] = I(STC), [0xfa] = I(CLI), [0xfb] = I(STI), [0xfc] = I(CLD), [0xfd] = I(STD),
    [0xfe] = REG8(A(INC, A_LOCK, RW Eb), A(DEC, A_LOCK, RW Eb), U_, U_, U_, U_, U_, U_),
    [0xff] = REG8(A(INC, A_LOCK, RW Ev), A(DEC, A_LOCK, RW Ev), A(CALL_IND, A_F64 | A_ENDS, Ev),
                  A(CALL_FAR, A_ENDS, Mp), A(JMP_IND, A_F64 | A_ENDS, Ev), A(JMP_FAR, A_ENDS, Mp),
                  A(PUSH, A_D64, Ev), U_),
};

/* The escape opcodes D8..DF. [SDM] vol. 2 appendix A "Escape Opcode Instructions" */
#define MEM8(m) \
    REG8(I(FPU, m), I(FPU, m), I(FPU, m), I(FPU, m), I(FPU, m), I(FPU, m), I(FPU, m), I(FPU, m))
#define FNOP RM8(I(FPU), U_, U_, U_, U_, U_, U_, U_)
#define ARITH I(FPU, RW ST0, STi)
#define ARITH_REV I(FPU, RW STi, ST0)
#define COMPARE I(FPU, ST0, STi)
#define COM I(FPU, STi)
#define CMOV I(FPU, CW ST0, STi)
#define FPU8 RM8(I(FPU), I(FPU), I(FPU), I(FPU), I(FPU), I(FPU), I(FPU), I(FPU))

const struct x86_node x86_map_fpu[8][2] = {
    { MEM8(Md), REG8(ARITH, ARITH, COM, COM, ARITH, ARITH, ARITH, ARITH) },
    { REG8(I(FPU, Md), U_, I(FPU, W Md), I(FPU, W Md), I(FPU_ENV, Menv), I(FPU, Mw), I(FPU_ENV, W Menv),
           I(FPU_CTL, W Mw)),
      REG8(I(FPU, STi), I(FPU, RW STi), FNOP, I(FPU, W STi),
           RM8(I(FPU), I(FPU), U_, U_, I(FPU), I(FPU), U_, U_),
           RM8(I(FPU), I(FPU), I(FPU), I(FPU), I(FPU), I(FPU), I(FPU), U_), FPU8, FPU8) },
    { MEM8(Md), REG8(CMOV, CMOV, CMOV, CMOV, U_, RM8(U_, I(FPU), U_, U_, U_, U_, U_, U_), U_, U_) },
    { REG8(I(FPU, Md), I(FPU, W Md), I(FPU, W Md), I(FPU, W Md), U_, I(FPU, Mt), U_, I(FPU, W Mt)),
      REG8(CMOV, CMOV, CMOV, CMOV, RM8(I(FPU_CTL), I(FPU_CTL), I(FPU_CTL), I(FPU_CTL), I(FPU_CTL), U_, U_, U_),
           COMPARE, COMPARE, U_) },
    { MEM8(Mq), REG8(ARITH_REV, ARITH_REV, COM, COM, ARITH_REV, ARITH_REV, ARITH_REV, ARITH_REV) },
    { REG8(I(FPU, Mq), I(FPU, W Mq), I(FPU, W Mq), I(FPU, W Mq), I(FPU_ENV, Msav), U_, I(FPU_ENV, W Msav),
           I(FPU_CTL, W Mw)),
      REG8(I(FPU, STi), I(FPU, RW STi), I(FPU, W STi), I(FPU, W STi), COM, COMPARE, U_, U_) },
    { MEM8(Mw), REG8(ARITH_REV, ARITH_REV, COM, RM8(U_, I(FPU), U_, U_, U_, U_, U_, U_),
                        ARITH_REV, ARITH_REV, ARITH_REV, ARITH_REV) },
    { REG8(I(FPU, Mw), I(FPU, W Mw), I(FPU, W Mw), I(FPU, W Mw), I(FPU, Mt), I(FPU, Mq), I(FPU, W Mt), I(FPU, W Mq)),
      REG8(I(FPU, STi), I(FPU, RW STi), I(FPU, W STi), I(FPU, W STi),
           RM8(I(FPU_CTL, W AX), U_, U_, U_, U_, U_, U_, U_), COMPARE, COMPARE, U_) },
};
