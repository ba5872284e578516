/* SPDX-License-Identifier: BSD-2-Clause */
/* The three-byte opcode maps 0F 38 and 0F 3A, legacy encodings. [SDM] vol. 2 appendix A
 * "Three-byte Opcode Maps". */
#include "isa/x86/decode_operands.h"

/* clang-format off */
#define MMX_SSE PP(I(MMX, RW Pq, Qq), I(SSE, RW Vx, Wx), U_, U_)
#define MMX_SSE_UNARY PP(I(MMX, W Pq, Qq), I(SSE, W Vx, Wx), U_, U_)
#define SSE P66(I(SSE, RW Vx, Wx))
#define SHA NP(I(SSE, RW Vx, Wx))
#define SSE_UNARY(mem) P66(I(SSE, W Vx, mem))

const struct x86_node x86_map_0f38[256] = {
    [0x00] = MMX_SSE, [0x01] = MMX_SSE, [0x02] = MMX_SSE, [0x03] = MMX_SSE, [0x04] = MMX_SSE, [0x05] = MMX_SSE,
    [0x06] = MMX_SSE, [0x07] = MMX_SSE, [0x08] = MMX_SSE, [0x09] = MMX_SSE, [0x0a] = MMX_SSE, [0x0b] = MMX_SSE,
    [0x10] = P66(I(SSE, RW Vx, Wx)), [0x14] = P66(I(SSE, RW Vx, Wx)), [0x15] = P66(I(SSE, RW Vx, Wx)),
    [0x17] = P66(I(SSE, Vx, Wx)), [0x1c] = MMX_SSE_UNARY, [0x1d] = MMX_SSE_UNARY, [0x1e] = MMX_SSE_UNARY,
    [0x20] = SSE_UNARY(Wq), [0x21] = SSE_UNARY(Wd), [0x22] = SSE_UNARY(Ww), [0x23] = SSE_UNARY(Wq), [0x24] = SSE_UNARY(Wd),
    [0x25] = SSE_UNARY(Wq), [0x28] = SSE, [0x29] = SSE, [0x2a] = P66(I(SSE, W Vx, Mx)), [0x2b] = SSE,
    [0x30] = SSE_UNARY(Wq), [0x31] = SSE_UNARY(Wd), [0x32] = SSE_UNARY(Ww), [0x33] = SSE_UNARY(Wq), [0x34] = SSE_UNARY(Wd),
    [0x35] = SSE_UNARY(Wq), [0x37] = SSE, [0x38] = SSE, [0x39] = SSE, [0x3a] = SSE, [0x3b] = SSE, [0x3c] = SSE, [0x3d] = SSE,
    [0x3e] = SSE, [0x3f] = SSE, [0x40] = SSE, [0x41] = SSE_UNARY(Wx),
    [0x80] = P66(A(VMX_SVM, A_ENDS | A_M32, Gv, Mo)), [0x81] = P66(A(VMX_SVM, A_ENDS | A_M32, Gv, Mo)),
    [0x82] = P66(A(INVPCID, A_M32 | A_PRIV | A_ENDS, Gv, Mo)),
    [0xc8] = SHA, [0xc9] = SHA, [0xca] = SHA, [0xcb] = NP(I(SSE, RW Vx, Wx)), [0xcc] = SHA, [0xcd] = SHA, [0xcf] = SSE,
    /* Key Locker */
    [0xd8] = PF3(MOD(REG8(A(UNSUPPORTED, A_ENDS, RW Mn), A(UNSUPPORTED, A_ENDS, RW Mn), A(UNSUPPORTED, A_ENDS, RW Mn),
                          A(UNSUPPORTED, A_ENDS, RW Mn), U_, U_, U_, U_), U_)),
    [0xdb] = SSE_UNARY(Wx), [0xdc] = PP(U_, I(SSE, RW Vx, Wx), MOD(A(UNSUPPORTED, A_ENDS, RW Vo, Mn), A(UNSUPPORTED, A_ENDS, Vo, Uo)), U_),
    [0xdd] = PP(U_, I(SSE, RW Vx, Wx), A(UNSUPPORTED, A_ENDS, RW Vo, Mn), U_),
    [0xde] = PP(U_, I(SSE, RW Vx, Wx), A(UNSUPPORTED, A_ENDS, RW Vo, Mn), U_),
    [0xdf] = PP(U_, I(SSE, RW Vx, Wx), A(UNSUPPORTED, A_ENDS, RW Vo, Mn), U_),
    [0xf0] = PP(I(MOVBE, W Gv, Mv), I(MOVBE, W Gv, Mv), U_, I(CRC32, RW Gy, Eb)),
    [0xf1] = PP(I(MOVBE, W Mv, Gv), I(MOVBE, W Mv, Gv), U_, I(CRC32, RW Gy, Ev)),
    [0xf5] = P66(A(UNSUPPORTED, A_ENDS, W My, Gy)),
    [0xf6] = PP(A(UNSUPPORTED, A_ENDS, W My, Gy), I(ADCX, RW Gy, Ey), I(ADOX, RW Gy, Ey), U_),
    [0xf8] = PP(U_, A(MOVDIR64B, 0, Gv, Mzz), A(UNSUPPORTED, A_ENDS, Gv, Mzz), A(UNSUPPORTED, A_ENDS, Gv, Mzz)),
    [0xf9] = NP(I(MOVDIRI, W My, Gy)),
    [0xfa] = PF3(A(UNSUPPORTED, A_ENDS, W Gd, Rd)), [0xfb] = PF3(A(UNSUPPORTED, A_ENDS, W Gd, Rd)),
};

#define SSE_IMM(mem) P66(I(SSE, RW Vx, mem, Ib))
#define SSE_IMM_UNARY(mem) P66(I(SSE, W Vx, mem, Ib))

const struct x86_node x86_map_0f3a[256] = {
    [0x08] = SSE_IMM_UNARY(Wx), [0x09] = SSE_IMM_UNARY(Wx), [0x0a] = SSE_IMM_UNARY(Wd), [0x0b] = SSE_IMM_UNARY(Wq),
    [0x0c] = SSE_IMM(Wx), [0x0d] = SSE_IMM(Wx), [0x0e] = SSE_IMM(Wx),
    [0x0f] = PP(I(MMX, RW Pq, Qq, Ib), I(SSE, RW Vx, Wx, Ib), U_, U_),
    [0x14] = P66(I(SSE, W Edb, Vx, Ib)), [0x15] = P66(I(SSE, W Edw, Vx, Ib)), [0x16] = P66(I(SSE, W Ey, Vx, Ib)),
    [0x17] = P66(I(SSE, W Ed, Vx, Ib)),
    [0x20] = P66(I(SSE, RW Vx, Edb, Ib)), [0x21] = SSE_IMM(Wd), [0x22] = P66(I(SSE, RW Vx, Ey, Ib)),
    [0x40] = SSE_IMM(Wx), [0x41] = SSE_IMM(Wx), [0x42] = SSE_IMM(Wx), [0x44] = SSE_IMM(Wx),
    [0x60] = P66(I(SSE, Vx, Wx, Ib)), [0x61] = P66(I(SSE, Vx, Wx, Ib)), [0x62] = P66(I(SSE, Vx, Wx, Ib)),
    [0x63] = P66(I(SSE, Vx, Wx, Ib)),
    [0xcc] = NP(I(SSE, RW Vx, Wx, Ib)), [0xce] = SSE_IMM(Wx), [0xcf] = SSE_IMM(Wx), [0xdf] = SSE_IMM_UNARY(Wx),
    [0xf0] = PF3(MOD(U_, REG8(RM8(A(UNSUPPORTED, A_ENDS, Ib), U_, U_, U_, U_, U_, U_, U_), U_, U_, U_, U_, U_, U_, U_))),
};
