/* SPDX-License-Identifier: BSD-2-Clause */
/* Opcode maps of the VEX encoding. [SDM] vol. 2 appendix A; AMX in vol. 1 ch. 18. */
#include "isa/x86/decode_operands.h"

/* clang-format off */
#define L01 (A_L0 | A_L1)
#define V2(src)      A(AVX, L01, W Vx, src)
#define V3           A(AVX, L01, W Vx, Hx, Wx)
#define V3_W0        A(AVX, L01 | A_W0, W Vx, Hx, Wx)
#define V3_256       A(AVX, A_L1 | A_W0, W Vx, Hx, Wx)
#define S3(src)      A(AVX, 0, W Vo, Ho, src)
#define PS_PD        PP(V3, V3, U_, U_)
#define PS_PD_SS_SD  PP(V3, V3, S3(Wd), S3(Wq))
#define P3           P66(V3)
#define UNARY        P66(V2(Wx))
#define SHIFT_X      P66(A(AVX, L01, W Vx, Hx, Wo))
#define SHIFT_I      P66(A(AVX, L01, W Hx, Ux, Ib))
#define K3           A(AVX512, A_L1, W Kq, KH, KU)
#define MASKS        PP(K3, K3, U_, U_)
#define FMA          P66(A(AVX, L01, RW Vx, Hx, Wx))
#define FMA_S        P66(A(AVX, 0, RW Vo, Ho, We))
#define FMA_ROW(n) \
    [n + 6] = FMA, [n + 7] = FMA, [n + 8] = FMA, [n + 9] = FMA_S, [n + 10] = FMA, [n + 11] = FMA_S, [n + 12] = FMA, \
    [n + 13] = FMA_S, [n + 14] = FMA, [n + 15] = FMA_S
#define VNNI         P66(A(AVX, L01 | A_W0, RW Vx, Hx, Wx))
#define BMI(op, ...) A(op, A_L0, __VA_ARGS__)
#define AMX          A(UNSUPPORTED, A_ENDS | A_L0 | A_W0 | A_O64 | A_VVVV)
#define AMX_CFG      A(UNSUPPORTED, A_ENDS | A_L0 | A_W0 | A_O64 | A_MODRM)
#define AMX_DOT      MOD(U_, A(UNSUPPORTED, A_ENDS | A_L0 | A_W0 | A_O64 | A_VVVV | A_MODRM))
#define AMX_TILE     MOD(A(UNSUPPORTED, A_ENDS | A_L0 | A_W0 | A_O64 | A_MODRM), U_)
#define V3I          P66(A(AVX, L01, W Vx, Hx, Wx, Ib))
#define V2I          P66(A(AVX, L01, W Vx, Wx, Ib))
#define RM_0(x)      RM8(x, U_, U_, U_, U_, U_, U_, U_)

const struct x86_node x86_map_vex[3][256] = {
    { /* 0F */
    [0x10] = PP(V2(Wx), V2(Wx), MOD(A(AVX, 0, W Vo, Md), S3(Uo)), MOD(A(AVX, 0, W Vo, Mq), S3(Uo))),
    [0x11] = PP(A(AVX, L01, W Wx, Vx), A(AVX, L01, W Wx, Vx), MOD(A(AVX, 0, W Md, Vo), A(AVX, 0, W Uo, Ho, Vo)),
                MOD(A(AVX, 0, W Mq, Vo), A(AVX, 0, W Uo, Ho, Vo))),
    [0x12] = PP(A(AVX, A_L0, W Vo, Ho, Wq), A(AVX, A_L0, W Vo, Ho, Mq), V2(Wx), V2(Wdup)),
    [0x13] = PP(A(AVX, A_L0, W Mq, Vo), A(AVX, A_L0, W Mq, Vo), U_, U_),
    [0x14] = PS_PD, [0x15] = PS_PD,
    [0x16] = PP(A(AVX, A_L0, W Vo, Ho, Wq), A(AVX, A_L0, W Vo, Ho, Mq), V2(Wx), U_),
    [0x17] = PP(A(AVX, A_L0, W Mq, Vo), A(AVX, A_L0, W Mq, Vo), U_, U_),
    [0x28] = PP(V2(Wx), V2(Wx), U_, U_), [0x29] = PP(A(AVX, L01, W Wx, Vx), A(AVX, L01, W Wx, Vx), U_, U_),
    [0x2a] = PP(U_, U_, S3(Ey), S3(Ey)), [0x2b] = PP(A(AVX, L01, W Mx, Vx), A(AVX, L01, W Mx, Vx), U_, U_),
    [0x2c] = PP(U_, U_, A(AVX, 0, W Gy, Wd), A(AVX, 0, W Gy, Wq)), [0x2d] = PP(U_, U_, A(AVX, 0, W Gy, Wd), A(AVX, 0, W Gy, Wq)),
    [0x2e] = PP(A(AVX, 0, Vo, Wd), A(AVX, 0, Vo, Wq), U_, U_), [0x2f] = PP(A(AVX, 0, Vo, Wd), A(AVX, 0, Vo, Wq), U_, U_),
    [0x41] = MASKS, [0x42] = MASKS, [0x44] = PP(A(AVX512, A_L0, W Kq, KU), A(AVX512, A_L0, W Kq, KU), U_, U_),
    [0x45] = MASKS, [0x46] = MASKS, [0x47] = MASKS, [0x4a] = MASKS, [0x4b] = PP(K3, A(AVX512, A_L1 | A_W0, W Kq, KH, KU), U_, U_),
    [0x50] = PP(A(AVX, L01, W Gd, Ux), A(AVX, L01, W Gd, Ux), U_, U_),
    [0x51] = PP(V2(Wx), V2(Wx), S3(Wd), S3(Wq)), [0x52] = PP(V2(Wx), U_, S3(Wd), U_), [0x53] = PP(V2(Wx), U_, S3(Wd), U_),
    [0x54] = PS_PD, [0x55] = PS_PD, [0x56] = PS_PD, [0x57] = PS_PD, [0x58] = PS_PD_SS_SD, [0x59] = PS_PD_SS_SD,
    [0x5a] = PP(V2(Wh), A(AVX, L01, W Vh, Wx), S3(Wd), S3(Wq)), [0x5b] = PP(V2(Wx), V2(Wx), V2(Wx), U_),
    [0x5c] = PS_PD_SS_SD, [0x5d] = PS_PD_SS_SD, [0x5e] = PS_PD_SS_SD, [0x5f] = PS_PD_SS_SD,
    [0x60] = P3, [0x61] = P3, [0x62] = P3, [0x63] = P3, [0x64] = P3, [0x65] = P3, [0x66] = P3, [0x67] = P3, [0x68] = P3,
    [0x69] = P3, [0x6a] = P3, [0x6b] = P3, [0x6c] = P3, [0x6d] = P3,
    [0x6e] = P66(A(AVX, A_L0, W Vo, Ey)), [0x6f] = PP(U_, V2(Wx), V2(Wx), U_),
    [0x70] = PP(U_, A(AVX, L01, W Vx, Wx, Ib), A(AVX, L01, W Vx, Wx, Ib), A(AVX, L01, W Vx, Wx, Ib)),
    [0x71] = REG8(U_, U_, SHIFT_I, U_, SHIFT_I, U_, SHIFT_I, U_), [0x72] = REG8(U_, U_, SHIFT_I, U_, SHIFT_I, U_, SHIFT_I, U_),
    [0x73] = REG8(U_, U_, SHIFT_I, SHIFT_I, U_, U_, SHIFT_I, SHIFT_I),
    [0x74] = P3, [0x75] = P3, [0x76] = P3, [0x77] = NP(A(VZERO, L01)),
    [0x7c] = PP(U_, V3, U_, V3), [0x7d] = PP(U_, V3, U_, V3),
    [0x7e] = PP(U_, A(AVX, A_L0, W Ey, Vo), A(AVX, A_L0, W Vo, Wq), U_),
    [0x7f] = PP(U_, A(AVX, L01, W Wx, Vx), A(AVX, L01, W Wx, Vx), U_),
    [0x90] = PP(BYW(A(AVX512, A_L0, W Kq, KEw), A(AVX512, A_L0, W Kq, KEq)), BYW(A(AVX512, A_L0, W Kq, KEb), A(AVX512, A_L0, W Kq, KEd)), U_, U_),
    [0x91] = PP(BYW(A(AVX512, A_L0, W Mw, Kq), A(AVX512, A_L0, W Mq, Kq)), BYW(A(AVX512, A_L0, W Mb, Kq), A(AVX512, A_L0, W Md, Kq)), U_, U_),
    [0x92] = PP(A(AVX512, A_L0 | A_W0, W Kq, Rd), A(AVX512, A_L0 | A_W0, W Kq, Rd), U_, A(AVX512, A_L0, W Kq, Ry)),
    [0x93] = PP(A(AVX512, A_L0 | A_W0, W Gd, KU), A(AVX512, A_L0 | A_W0, W Gd, KU), U_, A(AVX512, A_L0, W Gy, KU)),
    [0x98] = PP(A(AVX512, A_L0, Kq, KU), A(AVX512, A_L0, Kq, KU), U_, U_), [0x99] = PP(A(AVX512, A_L0, Kq, KU), A(AVX512, A_L0, Kq, KU), U_, U_),
    [0xae] = NP(MOD(REG8(U_, U_, A(LDMXCSR, A_L0, Md), A(STMXCSR, A_L0, W Md), U_, U_, U_, U_), U_)),
    [0xc2] = PP(A(AVX, L01, W Vx, Hx, Wx, Ib), A(AVX, L01, W Vx, Hx, Wx, Ib), A(AVX, 0, W Vo, Ho, Wd, Ib), A(AVX, 0, W Vo, Ho, Wq, Ib)),
    [0xc4] = P66(A(AVX, A_L0, W Vo, Ho, Edw, Ib)), [0xc5] = P66(A(AVX, A_L0, W Gd, Uo, Ib)),
    [0xc6] = PP(A(AVX, L01, W Vx, Hx, Wx, Ib), A(AVX, L01, W Vx, Hx, Wx, Ib), U_, U_),
    [0xd0] = PP(U_, V3, U_, V3), [0xd1] = SHIFT_X, [0xd2] = SHIFT_X, [0xd3] = SHIFT_X, [0xd4] = P3, [0xd5] = P3,
    [0xd6] = P66(A(AVX, A_L0, W Wq, Vo)), [0xd7] = P66(A(AVX, L01, W Gd, Ux)),
    [0xd8] = P3, [0xd9] = P3, [0xda] = P3, [0xdb] = P3, [0xdc] = P3, [0xdd] = P3, [0xde] = P3, [0xdf] = P3,
    [0xe0] = P3, [0xe1] = SHIFT_X, [0xe2] = SHIFT_X, [0xe3] = P3, [0xe4] = P3, [0xe5] = P3,
    [0xe6] = PP(U_, A(AVX, L01, W Vh, Wx), V2(Wh), A(AVX, L01, W Vh, Wx)), [0xe7] = P66(A(AVX, L01, W Mx, Vx)),
    [0xe8] = P3, [0xe9] = P3, [0xea] = P3, [0xeb] = P3, [0xec] = P3, [0xed] = P3, [0xee] = P3, [0xef] = P3,
    [0xf0] = PF2(V2(Mx)), [0xf1] = SHIFT_X, [0xf2] = SHIFT_X, [0xf3] = SHIFT_X, [0xf4] = P3, [0xf5] = P3, [0xf6] = P3,
    [0xf7] = P66(A(MASKMOV, A_L0, Vo, Uo)),
    [0xf8] = P3, [0xf9] = P3, [0xfa] = P3, [0xfb] = P3, [0xfc] = P3, [0xfd] = P3, [0xfe] = P3,
    },
    { /* 0F 38 */
    [0x00] = P3, [0x01] = P3, [0x02] = P3, [0x03] = P3, [0x04] = P3, [0x05] = P3, [0x06] = P3, [0x07] = P3, [0x08] = P3,
    [0x09] = P3, [0x0a] = P3, [0x0b] = P3, [0x0c] = P66(V3_W0), [0x0d] = P66(V3_W0),
    [0x0e] = P66(A(AVX, L01 | A_W0, Vx, Wx)), [0x0f] = P66(A(AVX, L01 | A_W0, Vx, Wx)),
    [0x13] = P66(A(AVX, L01 | A_W0, W Vx, Wh)), [0x16] = P66(V3_256), [0x17] = P66(A(AVX, L01, Vx, Wx)),
    [0x18] = P66(A(AVX, L01 | A_W0, W Vx, Wd)), [0x19] = P66(A(AVX, A_L1 | A_W0, W Vx, Wq)), [0x1a] = P66(A(AVX, A_L1 | A_W0, W Vx, Mo)),
    [0x1c] = UNARY, [0x1d] = UNARY, [0x1e] = UNARY,
    [0x20] = P66(V2(Wh)), [0x21] = P66(V2(Whh)), [0x22] = P66(V2(Whhh)), [0x23] = P66(V2(Wh)), [0x24] = P66(V2(Whh)), [0x25] = P66(V2(Wh)),
    [0x28] = P3, [0x29] = P3, [0x2a] = P66(V2(Mx)), [0x2b] = P3,
    [0x2c] = P66(A(VMASKMOV, L01 | A_W0, W Vx, Hx, Mx)), [0x2d] = P66(A(VMASKMOV, L01 | A_W0, W Vx, Hx, Mx)),
    [0x2e] = P66(A(VMASKMOV, L01 | A_W0, CW Mx, Hx, Vx)), [0x2f] = P66(A(VMASKMOV, L01 | A_W0, CW Mx, Hx, Vx)),
    [0x30] = P66(V2(Wh)), [0x31] = P66(V2(Whh)), [0x32] = P66(V2(Whhh)), [0x33] = P66(V2(Wh)), [0x34] = P66(V2(Whh)), [0x35] = P66(V2(Wh)),
    [0x36] = P66(V3_256), [0x37] = P3, [0x38] = P3, [0x39] = P3, [0x3a] = P3, [0x3b] = P3, [0x3c] = P3, [0x3d] = P3, [0x3e] = P3,
    [0x3f] = P3, [0x40] = P3, [0x41] = P66(A(AVX, A_L0, W Vo, Wo)), [0x45] = P3, [0x46] = P66(V3_W0), [0x47] = P3,
    [0x49] = PP(MOD(REG8(AMX_CFG, U_, U_, U_, U_, U_, U_, U_), REG8(RM_0(AMX_CFG), U_, U_, U_, U_, U_, U_, U_)),
                MOD(REG8(AMX_CFG, U_, U_, U_, U_, U_, U_, U_), U_), U_, MOD(U_, RM_0(AMX_CFG))),
    [0x4b] = PP(U_, AMX_TILE, AMX_TILE, AMX_TILE),
    [0x50] = VNNI, [0x51] = VNNI, [0x52] = VNNI, [0x53] = VNNI,
    [0x58] = P66(A(AVX, L01 | A_W0, W Vx, Wd)), [0x59] = P66(A(AVX, L01 | A_W0, W Vx, Wq)), [0x5a] = P66(A(AVX, A_L1 | A_W0, W Vx, Mo)),
    [0x5c] = PP(U_, U_, AMX_DOT, U_), [0x5e] = PP(AMX_DOT, AMX_DOT, AMX_DOT, AMX_DOT),
    [0x78] = P66(A(AVX, L01 | A_W0, W Vx, Wb)), [0x79] = P66(A(AVX, L01 | A_W0, W Vx, Ww)),
    [0x8c] = P66(A(VMASKMOV, L01, W Vx, Hx, Mx)), [0x8e] = P66(A(VMASKMOV, L01, CW Mx, Hx, Vx)),
    [0x90] = P66(A(GATHER, L01, RCW Vx, MVe, RW Hx)), [0x91] = P66(BYW(A(GATHER, L01, RCW Vh, MVe, RW Hh), A(GATHER, L01, RCW Vx, MVe, RW Hx))),
    [0x92] = P66(A(GATHER, L01, RCW Vx, MVe, RW Hx)), [0x93] = P66(BYW(A(GATHER, L01, RCW Vh, MVe, RW Hh), A(GATHER, L01, RCW Vx, MVe, RW Hx))),
    FMA_ROW(0x90), FMA_ROW(0xa0), FMA_ROW(0xb0),
    [0xcf] = P66(V3_W0), [0xdb] = P66(A(AVX, A_L0, W Vo, Wo)), [0xdc] = P3, [0xdd] = P3, [0xde] = P3, [0xdf] = P3,
    [0xf2] = NP(BMI(ANDN, W Gy, By, Ey)),
    [0xf3] = NP(REG8(U_, BMI(BLSR, W By, Ey), BMI(BLSMSK, W By, Ey), BMI(BLSI, W By, Ey), U_, U_, U_, U_)),
    [0xf5] = PP(BMI(BZHI, W Gy, Ey, By), U_, BMI(PEXT, W Gy, By, Ey), BMI(PDEP, W Gy, By, Ey)),
    [0xf6] = PF2(BMI(MULX, W Gy, W By, Ey)),
    [0xf7] = PP(BMI(BEXTR, W Gy, Ey, By), BMI(SHLX, W Gy, Ey, By), BMI(SARX, W Gy, Ey, By), BMI(SHRX, W Gy, Ey, By)),
    },
    { /* 0F 3A */
    [0x00] = P66(A(AVX, A_L1 | A_W1, W Vx, Wx, Ib)), [0x01] = P66(A(AVX, A_L1 | A_W1, W Vx, Wx, Ib)),
    [0x02] = P66(A(AVX, L01 | A_W0, W Vx, Hx, Wx, Ib)),
    [0x04] = P66(A(AVX, L01 | A_W0, W Vx, Wx, Ib)), [0x05] = P66(A(AVX, L01 | A_W0, W Vx, Wx, Ib)),
    [0x06] = P66(A(AVX, A_L1 | A_W0, W Vx, Hx, Wx, Ib)),
    [0x08] = V2I, [0x09] = V2I, [0x0a] = P66(A(AVX, 0, W Vo, Ho, Wd, Ib)), [0x0b] = P66(A(AVX, 0, W Vo, Ho, Wq, Ib)),
    [0x0c] = V3I, [0x0d] = V3I, [0x0e] = V3I, [0x0f] = V3I,
    [0x14] = P66(A(AVX, A_L0, W Edb, Vo, Ib)), [0x15] = P66(A(AVX, A_L0, W Edw, Vo, Ib)), [0x16] = P66(A(AVX, A_L0, W Ey, Vo, Ib)),
    [0x17] = P66(A(AVX, A_L0, W Ed, Vo, Ib)),
    [0x18] = P66(A(AVX, A_L1 | A_W0, W Vx, Hx, Wo, Ib)), [0x19] = P66(A(AVX, A_L1 | A_W0, W Wo, Vx, Ib)),
    [0x1d] = P66(A(AVX, L01 | A_W0, W Wh, Vx, Ib)),
    [0x20] = P66(A(AVX, A_L0, W Vo, Ho, Edb, Ib)), [0x21] = P66(A(AVX, A_L0, W Vo, Ho, Wd, Ib)), [0x22] = P66(A(AVX, A_L0, W Vo, Ho, Ey, Ib)),
    [0x30] = P66(A(AVX512, A_L0, W Kq, KU, Ib)), [0x31] = P66(A(AVX512, A_L0, W Kq, KU, Ib)),
    [0x32] = P66(A(AVX512, A_L0, W Kq, KU, Ib)), [0x33] = P66(A(AVX512, A_L0, W Kq, KU, Ib)),
    [0x38] = P66(A(AVX, A_L1 | A_W0, W Vx, Hx, Wo, Ib)), [0x39] = P66(A(AVX, A_L1 | A_W0, W Wo, Vx, Ib)),
    [0x40] = V3I, [0x41] = P66(A(AVX, A_L0, W Vo, Ho, Wo, Ib)), [0x42] = V3I, [0x44] = V3I,
    [0x46] = P66(A(AVX, A_L1 | A_W0, W Vx, Hx, Wx, Ib)),
    [0x4a] = P66(A(AVX, L01 | A_W0, W Vx, Hx, Wx, Lx)), [0x4b] = P66(A(AVX, L01 | A_W0, W Vx, Hx, Wx, Lx)),
    [0x4c] = P66(A(AVX, L01 | A_W0, W Vx, Hx, Wx, Lx)),
    [0x60] = P66(A(AVX, A_L0, Vo, Wo, Ib)), [0x61] = P66(A(AVX, A_L0, Vo, Wo, Ib)), [0x62] = P66(A(AVX, A_L0, Vo, Wo, Ib)),
    [0x63] = P66(A(AVX, A_L0, Vo, Wo, Ib)),
    [0xce] = P66(A(AVX, L01 | A_W1, W Vx, Hx, Wx, Ib)), [0xcf] = P66(A(AVX, L01 | A_W1, W Vx, Hx, Wx, Ib)),
    [0xdf] = P66(A(AVX, A_L0, W Vo, Wo, Ib)), [0xf0] = PF2(A(RORX, A_L0, W Gy, Ey, Ib)),
    },
};
