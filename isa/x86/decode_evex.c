/* SPDX-License-Identifier: BSD-2-Clause */
/* Opcode maps of the EVEX encoding. [SDM] vol. 2 "Instruction Set Reference"; vol. 2A "Intel
 * AVX-512 Encoding" for tuple types, which here follow from the memory operand's size. */
#include "isa/x86/decode_operands.h"

/* clang-format off */
#define LA  (A_L0 | A_L1 | A_L2)
#define L12 (A_L1 | A_L2)
#define MZ  (A_MASK | A_ZERO)
#define E(attr, ...)   A(AVX512, attr, __VA_ARGS__)
/* Packed, three or two operands; without broadcast, of 32, 64 bits with the W that belongs to it, or by W. */
#define E3(attr)       E(MZ | LA | (attr), W Vx, Hx, Wx)
#define E3RW(attr)     E(MZ | LA | (attr), RW Vx, Hx, Wx)
#define E2(attr, src)  E(MZ | LA | (attr), W Vx, src)
#define EK(attr)       E(A_MASK | LA | (attr), W Kq, Hx, Wx)
#define ES(attr, src)  E(MZ | (attr), W Vo, Ho, src)
#define W32            (A_W0 | A_B32)
#define W64            (A_W1 | A_B64)
#define W16            (A_W0 | A_B16)
#define P3             P66(E3(0))
#define P3_32          P66(E3(W32))
#define P3_64          P66(E3(W64))
#define P3_BW          P66(E3(A_BW))
#define P3RW_BW        P66(E3RW(A_BW))
#define PS_PD(attr)    PP(E3(W32 | (attr)), E3(W64 | (attr)), U_, U_)
#define PS_PD_SS_SD(attr) \
    PP(E3(W32 | (attr)), E3(W64 | (attr)), ES(A_W0 | (attr), Wd), ES(A_W1 | (attr), Wq))
#define NARROW(wide, dst) PP(U_, wide, E(MZ | LA | A_W0, W dst, Vx), U_)
#define K_CMP          P66(EK(0))
#define FMA            P66(E3RW(A_BW | A_ER))
#define FMA_S          P66(E(MZ | A_ER, RW Vo, Ho, We))
#define FMA_16         P66(E3RW(W16 | A_ER))
#define FMA_S16        P66(E(MZ | A_ER | A_W0, RW Vo, Ho, Ww))
#define FMA_ROW(n, p, s) \
    [n + 6] = p, [n + 7] = p, [n + 8] = p, [n + 9] = s, [n + 10] = p, [n + 11] = s, [n + 12] = p, [n + 13] = s, \
    [n + 14] = p, [n + 15] = s
#define T1             (A_TUPLE1 | A_BW)
#define T1_BYTE        (A_TUPLE1 | A_BBW)
#define GATHER         A_GATHER | A_MASK | LA
#define KNL(attr, ...) A(UNSUPPORTED, A_ENDS | MZ | (attr), __VA_ARGS__)
#define KNL_PREFETCH(attr) \
    P66(REG8(U_, A(UNSUPPORTED, A_ENDS | A_L2 | A_GATHER | A_MASK, NA MVe), A(UNSUPPORTED, A_ENDS | A_L2 | A_GATHER | A_MASK, NA MVe), U_, U_, \
        A(UNSUPPORTED, A_ENDS | A_L2 | A_GATHER | A_MASK, NA MVe), A(UNSUPPORTED, A_ENDS | A_L2 | A_GATHER | A_MASK, NA MVe), U_))
#define PH(attr)       E3(W16 | (attr))
#define PH_SH(attr)    PP(PH(attr), U_, ES(A_W0 | (attr), Ww), U_)

const struct x86_node x86_map_evex[6][256] = {
    { /* 0F */
    [0x10] = PP(E2(A_W0, Wx), E2(A_W1, Wx), MOD(E(MZ | A_W0, W Vo, Md), ES(A_W0, Uo)), MOD(E(MZ | A_W1, W Vo, Mq), ES(A_W1, Uo))),
    [0x11] = PP(E(MZ | LA | A_W0, W Wx, Vx), E(MZ | LA | A_W1, W Wx, Vx),
                MOD(E(A_MASK | A_W0, W Md, Vo), E(MZ | A_W0, W Uo, Ho, Vo)), MOD(E(A_MASK | A_W1, W Mq, Vo), E(MZ | A_W1, W Uo, Ho, Vo))),
    [0x12] = PP(E(A_L0 | A_W0, W Vo, Ho, Wq), E(A_L0 | A_W1, W Vo, Ho, Mq), E2(A_W0, Wx), E2(A_W1, Wdup)),
    [0x13] = PP(E(A_L0 | A_W0, W Mq, Vo), E(A_L0 | A_W1, W Mq, Vo), U_, U_),
    [0x14] = PS_PD(0), [0x15] = PS_PD(0),
    [0x16] = PP(E(A_L0 | A_W0, W Vo, Ho, Wq), E(A_L0 | A_W1, W Vo, Ho, Mq), E2(A_W0, Wx), U_),
    [0x17] = PP(E(A_L0 | A_W0, W Mq, Vo), E(A_L0 | A_W1, W Mq, Vo), U_, U_),
    [0x28] = PP(E2(A_W0, Wx), E2(A_W1, Wx), U_, U_), [0x29] = PP(E(MZ | LA | A_W0, W Wx, Vx), E(MZ | LA | A_W1, W Wx, Vx), U_, U_),
    [0x2a] = PP(U_, U_, E(A_ER, W Vo, Ho, Ey), E(A_ER, W Vo, Ho, Ey)),
    [0x2b] = PP(E(LA | A_W0, W Mx, Vx), E(LA | A_W1, W Mx, Vx), U_, U_),
    [0x2c] = PP(U_, U_, E(A_SAE, W Gy, Wd), E(A_SAE, W Gy, Wq)), [0x2d] = PP(U_, U_, E(A_ER, W Gy, Wd), E(A_ER, W Gy, Wq)),
    [0x2e] = PP(E(A_SAE | A_W0, Vo, Wd), E(A_SAE | A_W1, Vo, Wq), U_, U_), [0x2f] = PP(E(A_SAE | A_W0, Vo, Wd), E(A_SAE | A_W1, Vo, Wq), U_, U_),
    [0x51] = PP(E2(W32 | A_ER, Wx), E2(W64 | A_ER, Wx), ES(A_W0 | A_ER, Wd), ES(A_W1 | A_ER, Wq)),
    [0x54] = PS_PD(0), [0x55] = PS_PD(0), [0x56] = PS_PD(0), [0x57] = PS_PD(0),
    [0x58] = PS_PD_SS_SD(A_ER), [0x59] = PS_PD_SS_SD(A_ER),
    [0x5a] = PP(E2(W32 | A_SAE, Wh), E(MZ | LA | W64 | A_ER, W Vh, Wx), ES(A_W0 | A_SAE, Wd), ES(A_W1 | A_ER, Wq)),
    [0x5b] = PP(BYW(E2(A_B32 | A_ER, Wx), E(MZ | LA | A_B64 | A_ER, W Vh, Wx)), E2(W32 | A_ER, Wx), E2(W32 | A_SAE, Wx), U_),
    [0x5c] = PS_PD_SS_SD(A_ER), [0x5d] = PS_PD_SS_SD(A_SAE), [0x5e] = PS_PD_SS_SD(A_ER), [0x5f] = PS_PD_SS_SD(A_SAE),
    [0x60] = P3, [0x61] = P3, [0x62] = P3_32, [0x63] = P3, [0x64] = K_CMP, [0x65] = K_CMP, [0x66] = P66(EK(W32)), [0x67] = P3,
    [0x68] = P3, [0x69] = P3, [0x6a] = P3_32, [0x6b] = P3_32, [0x6c] = P3_64, [0x6d] = P3_64,
    [0x6e] = P66(E(A_L0, W Vo, Ey)), [0x6f] = PP(U_, E2(0, Wx), E2(0, Wx), E2(0, Wx)),
    [0x70] = PP(U_, E(MZ | LA | W32, W Vx, Wx, Ib), E(MZ | LA, W Vx, Wx, Ib), E(MZ | LA, W Vx, Wx, Ib)),
    [0x71] = P66(REG8(U_, U_, E(MZ | LA, W Hx, Wx, Ib), U_, E(MZ | LA, W Hx, Wx, Ib), U_, E(MZ | LA, W Hx, Wx, Ib), U_)),
    [0x72] = P66(REG8(E(MZ | LA | A_BW, W Hx, Wx, Ib), E(MZ | LA | A_BW, W Hx, Wx, Ib), E(MZ | LA | W32, W Hx, Wx, Ib), U_,
                      E(MZ | LA | A_BW, W Hx, Wx, Ib), U_, E(MZ | LA | W32, W Hx, Wx, Ib), U_)),
    [0x73] = P66(REG8(U_, U_, E(MZ | LA | W64, W Hx, Wx, Ib), E(LA, W Hx, Wx, Ib), U_, U_, E(MZ | LA | W64, W Hx, Wx, Ib), E(LA, W Hx, Wx, Ib))),
    [0x74] = K_CMP, [0x75] = K_CMP, [0x76] = P66(EK(W32)),
    [0x78] = PP(BYW(E2(A_B32 | A_SAE, Wx), E(MZ | LA | A_B64 | A_SAE, W Vh, Wx)), BYW(E2(A_B32 | A_SAE, Wh), E2(A_B64 | A_SAE, Wx)),
                E(A_SAE, W Gy, Wd), E(A_SAE, W Gy, Wq)),
    [0x79] = PP(BYW(E2(A_B32 | A_ER, Wx), E(MZ | LA | A_B64 | A_ER, W Vh, Wx)), BYW(E2(A_B32 | A_ER, Wh), E2(A_B64 | A_ER, Wx)),
                E(A_ER, W Gy, Wd), E(A_ER, W Gy, Wq)),
    [0x7a] = PP(U_, BYW(E2(A_B32 | A_SAE, Wh), E2(A_B64 | A_SAE, Wx)), BYW(E2(A_B32 | A_ER, Wh), E2(A_B64 | A_ER, Wx)),
                BYW(E2(A_B32 | A_ER, Wx), E(MZ | LA | A_B64 | A_ER, W Vh, Wx))),
    [0x7b] = PP(U_, BYW(E2(A_B32 | A_ER, Wh), E2(A_B64 | A_ER, Wx)), E(A_ER, W Vo, Ho, Ey), E(A_ER, W Vo, Ho, Ey)),
    [0x7e] = PP(U_, E(A_L0, W Ey, Vo), E(A_L0 | A_W1, W Vo, Wq), U_),
    [0x7f] = PP(U_, E(MZ | LA, W Wx, Vx), E(MZ | LA, W Wx, Vx), E(MZ | LA, W Wx, Vx)),
    [0xc2] = PP(E(A_MASK | LA | W32 | A_SAE, W Kq, Hx, Wx, Ib), E(A_MASK | LA | W64 | A_SAE, W Kq, Hx, Wx, Ib),
                E(A_MASK | A_W0 | A_SAE, W Kq, Ho, Wd, Ib), E(A_MASK | A_W1 | A_SAE, W Kq, Ho, Wq, Ib)),
    [0xc4] = P66(E(A_L0, W Vo, Ho, Edw, Ib)), [0xc5] = P66(E(A_L0, W Gd, Uo, Ib)),
    [0xc6] = PP(E(MZ | LA | W32, W Vx, Hx, Wx, Ib), E(MZ | LA | W64, W Vx, Hx, Wx, Ib), U_, U_),
    [0xd1] = P66(E(MZ | LA, W Vx, Hx, Wo)), [0xd2] = P66(E(MZ | LA | A_W0, W Vx, Hx, Wo)), [0xd3] = P66(E(MZ | LA | A_W1, W Vx, Hx, Wo)),
    [0xd4] = P3_64, [0xd5] = P3, [0xd6] = P66(E(A_L0 | A_W1, W Wq, Vo)), [0xd8] = P3, [0xd9] = P3, [0xda] = P3, [0xdb] = P3_BW,
    [0xdc] = P3, [0xdd] = P3, [0xde] = P3, [0xdf] = P3_BW, [0xe0] = P3, [0xe1] = P66(E(MZ | LA, W Vx, Hx, Wo)),
    [0xe2] = P66(E(MZ | LA, W Vx, Hx, Wo)), [0xe3] = P3, [0xe4] = P3, [0xe5] = P3,
    [0xe6] = PP(U_, E(MZ | LA | W64 | A_SAE, W Vh, Wx), BYW(E2(A_B32 | A_ER, Wh), E2(A_B64 | A_ER, Wx)), E(MZ | LA | W64 | A_ER, W Vh, Wx)),
    [0xe7] = P66(E(LA | A_W0, W Mx, Vx)), [0xe8] = P3, [0xe9] = P3, [0xea] = P3, [0xeb] = P3_BW, [0xec] = P3, [0xed] = P3, [0xee] = P3,
    [0xef] = P3_BW, [0xf1] = P66(E(MZ | LA, W Vx, Hx, Wo)), [0xf2] = P66(E(MZ | LA | A_W0, W Vx, Hx, Wo)),
    [0xf3] = P66(E(MZ | LA | A_W1, W Vx, Hx, Wo)), [0xf4] = P3_64, [0xf5] = P3, [0xf6] = P66(E(LA, W Vx, Hx, Wx)), [0xf8] = P3, [0xf9] = P3,
    [0xfa] = P3_32, [0xfb] = P3_64, [0xfc] = P3, [0xfd] = P3, [0xfe] = P3_32,
    },
    { /* 0F 38 */
    [0x00] = P3, [0x04] = P3, [0x0b] = P3, [0x0c] = P3_32, [0x0d] = P3_64,
    [0x10] = NARROW(E3(A_W1), Wh), [0x11] = NARROW(E3(A_W1), Whh), [0x12] = NARROW(E3(A_W1), Whhh),
    [0x13] = NARROW(E2(A_W0 | A_SAE, Wh), Wh), [0x14] = NARROW(E3(A_BW), Whh), [0x15] = NARROW(E3(A_BW), Wh),
    [0x16] = P66(E(MZ | L12 | A_BW, W Vx, Hx, Wx)), [0x18] = P66(E2(A_W0, Wd)), [0x19] = P66(E(MZ | L12, W Vx, Wq)),
    [0x1a] = P66(E(MZ | L12, W Vx, Mo)), [0x1b] = P66(E(MZ | A_L2, W Vx, Myy)), [0x1c] = P66(E2(0, Wx)), [0x1d] = P66(E2(0, Wx)),
    [0x1e] = P66(E2(W32, Wx)), [0x1f] = P66(E2(W64, Wx)),
    [0x20] = NARROW(E2(0, Wh), Wh), [0x21] = NARROW(E2(0, Whh), Whh), [0x22] = NARROW(E2(0, Whhh), Whhh),
    [0x23] = NARROW(E2(0, Wh), Wh), [0x24] = NARROW(E2(0, Whh), Whh), [0x25] = NARROW(E2(A_W0, Wh), Wh),
    [0x26] = PP(U_, EK(0), EK(0), U_), [0x27] = PP(U_, EK(A_BW), EK(A_BW), U_),
    [0x28] = PP(U_, E3(W64), E(LA, W Vx, KU), U_), [0x29] = PP(U_, EK(W64), E(LA, W Kq, Ux), U_),
    [0x2a] = PP(U_, E(LA | A_W0, W Vx, Mx), E(LA | A_W1, W Vx, KU), U_), [0x2b] = P3_32,
    [0x2c] = P66(E3(A_BW | A_ER)), [0x2d] = P66(ES(A_ER, We)),
    [0x30] = NARROW(E2(0, Wh), Wh), [0x31] = NARROW(E2(0, Whh), Whh), [0x32] = NARROW(E2(0, Whhh), Whhh),
    [0x33] = NARROW(E2(0, Wh), Wh), [0x34] = NARROW(E2(0, Whh), Whh), [0x35] = NARROW(E2(A_W0, Wh), Wh),
    [0x36] = P66(E(MZ | L12 | A_BW, W Vx, Hx, Wx)), [0x37] = P66(EK(W64)),
    [0x38] = PP(U_, E3(0), E(LA, W Vx, KU), U_), [0x39] = PP(U_, E3(A_BW), E(LA, W Kq, Ux), U_),
    [0x3a] = PP(U_, E3(0), E(LA | A_W0, W Vx, KU), U_), [0x3b] = P3_BW, [0x3c] = P3, [0x3d] = P3_BW, [0x3e] = P3, [0x3f] = P3_BW,
    [0x40] = P3_BW, [0x42] = P66(E2(A_BW | A_SAE, Wx)), [0x43] = P66(ES(A_SAE, We)), [0x44] = P66(E2(A_BW, Wx)), [0x45] = P3_BW,
    [0x46] = P3_BW, [0x47] = P3_BW, [0x4c] = P66(E2(A_BW, Wx)), [0x4d] = P66(ES(0, We)), [0x4e] = P66(E2(A_BW, Wx)), [0x4f] = P66(ES(0, We)),
    [0x50] = P66(E3RW(W32)), [0x51] = P66(E3RW(W32)),
    [0x52] = PP(U_, E3RW(W32), E3RW(W32), KNL(A_L2 | A_W0, RW Vx, Hx, Mo)), [0x53] = PP(U_, E3RW(W32), U_, KNL(A_L2 | A_W0, RW Vx, Hx, Mo)),
    [0x54] = P66(E2(0, Wx)), [0x55] = P66(E2(A_BW, Wx)),
    [0x58] = P66(E2(A_W0, Wd)), [0x59] = P66(E2(0, Wq)), [0x5a] = P66(E(MZ | L12, W Vx, Mo)), [0x5b] = P66(E(MZ | A_L2, W Vx, Myy)),
    [0x62] = P66(E2(T1_BYTE, Wx)), [0x63] = P66(E(MZ | LA | T1_BYTE, W Wx, Vx)), [0x64] = P3_BW, [0x65] = P3_BW, [0x66] = P3,
    [0x68] = PF2(E(LA | A_BW, W Kq, Hx, Wx)),
    [0x70] = P66(E3RW(A_W1)), [0x71] = P3RW_BW, [0x72] = PP(U_, E3RW(A_W1), E(MZ | LA | W32, W Vh, Wx), E3(W32)), [0x73] = P3RW_BW,
    [0x75] = P66(E3RW(0)), [0x76] = P3RW_BW, [0x77] = P3RW_BW, [0x78] = P66(E2(A_W0, Wb)), [0x79] = P66(E2(A_W0, Ww)),
    [0x7a] = P66(E2(A_W0, Rd)), [0x7b] = P66(E2(A_W0, Rd)), [0x7c] = P66(E2(0, Ry)), [0x7d] = P66(E3RW(0)), [0x7e] = P3RW_BW, [0x7f] = P3RW_BW,
    [0x83] = P3_64, [0x88] = P66(E2(T1, Wx)), [0x89] = P66(E2(T1, Wx)), [0x8a] = P66(E(MZ | LA | T1, W Wx, Vx)),
    [0x8b] = P66(E(MZ | LA | T1, W Wx, Vx)), [0x8d] = P3, [0x8f] = P66(E(A_MASK | LA | A_W0, W Kq, Hx, Wx)),
    [0x90] = P66(A(GATHER, GATHER, RCW Vx, MVe)), [0x91] = P66(BYW(A(GATHER, GATHER, RCW Vh, MVe), A(GATHER, GATHER, RCW Vx, MVe))),
    [0x92] = P66(A(GATHER, GATHER, RCW Vx, MVe)), [0x93] = P66(BYW(A(GATHER, GATHER, RCW Vh, MVe), A(GATHER, GATHER, RCW Vx, MVe))),
    [0xa0] = P66(A(SCATTER, GATHER, CW MVe, Vx)), [0xa1] = P66(BYW(A(SCATTER, GATHER, CW MVe, Vh), A(SCATTER, GATHER, CW MVe, Vx))),
    [0xa2] = P66(A(SCATTER, GATHER, CW MVe, Vx)), [0xa3] = P66(BYW(A(SCATTER, GATHER, CW MVe, Vh), A(SCATTER, GATHER, CW MVe, Vx))),
    [0x96] = FMA, [0x97] = FMA, [0x98] = FMA, [0x99] = FMA_S,
    [0x9a] = PP(U_, E3RW(A_BW | A_ER), U_, KNL(A_L2 | A_W0, RW Vx, Hx, Mo)), [0x9b] = PP(U_, E(MZ | A_ER, RW Vo, Ho, We), U_, KNL(A_W0, RW Vo, Ho, Mo)),
    [0x9c] = FMA, [0x9d] = FMA_S, [0x9e] = FMA, [0x9f] = FMA_S,
    [0xa6] = FMA, [0xa7] = FMA, [0xa8] = FMA, [0xa9] = FMA_S,
    [0xaa] = PP(U_, E3RW(A_BW | A_ER), U_, KNL(A_L2 | A_W0, RW Vx, Hx, Mo)), [0xab] = PP(U_, E(MZ | A_ER, RW Vo, Ho, We), U_, KNL(A_W0, RW Vo, Ho, Mo)),
    [0xac] = FMA, [0xad] = FMA_S, [0xae] = FMA, [0xaf] = FMA_S,
    FMA_ROW(0xb0, FMA, FMA_S), [0xb4] = P66(E3RW(W64)), [0xb5] = P66(E3RW(W64)), [0xc4] = P66(E2(A_BW, Wx)),
    [0xc6] = KNL_PREFETCH(), [0xc7] = KNL_PREFETCH(),
    [0xc8] = P66(KNL(A_L2 | A_BW | A_SAE, W Vx, Wx)), [0xca] = P66(KNL(A_L2 | A_BW | A_SAE, W Vx, Wx)), [0xcb] = P66(KNL(A_SAE, W Vo, Ho, We)),
    [0xcc] = P66(KNL(A_L2 | A_BW | A_SAE, W Vx, Wx)), [0xcd] = P66(KNL(A_SAE, W Vo, Ho, We)),
    [0xcf] = P66(E3(A_W0)), [0xdc] = P66(E(LA, W Vx, Hx, Wx)), [0xdd] = P66(E(LA, W Vx, Hx, Wx)), [0xde] = P66(E(LA, W Vx, Hx, Wx)),
    [0xdf] = P66(E(LA, W Vx, Hx, Wx)),
    },
    { /* 0F 3A */
    [0x00] = P66(E(MZ | L12 | W64, W Vx, Wx, Ib)), [0x01] = P66(E(MZ | L12 | W64, W Vx, Wx, Ib)), [0x03] = P66(E(MZ | LA | A_BW, W Vx, Hx, Wx, Ib)),
    [0x04] = P66(E(MZ | LA | W32, W Vx, Wx, Ib)), [0x05] = P66(E(MZ | LA | W64, W Vx, Wx, Ib)),
    [0x08] = PP(E(MZ | LA | W16 | A_SAE, W Vx, Wx, Ib), E(MZ | LA | W32 | A_SAE, W Vx, Wx, Ib), U_, U_),
    [0x09] = P66(E(MZ | LA | W64 | A_SAE, W Vx, Wx, Ib)),
    [0x0a] = PP(E(MZ | A_W0 | A_SAE, W Vo, Ho, Ww, Ib), E(MZ | A_W0 | A_SAE, W Vo, Ho, Wd, Ib), U_, U_),
    [0x0b] = P66(E(MZ | A_W1 | A_SAE, W Vo, Ho, Wq, Ib)), [0x0f] = P66(E(MZ | LA, W Vx, Hx, Wx, Ib)),
    [0x14] = P66(E(A_L0, W Edb, Vo, Ib)), [0x15] = P66(E(A_L0, W Edw, Vo, Ib)), [0x16] = P66(E(A_L0, W Ey, Vo, Ib)), [0x17] = P66(E(A_L0, W Ed, Vo, Ib)),
    [0x18] = P66(E(MZ | L12, W Vx, Hx, Wo, Ib)), [0x19] = P66(E(MZ | L12, W Wo, Vx, Ib)), [0x1a] = P66(E(MZ | A_L2, W Vx, Hx, Wy, Ib)),
    [0x1b] = P66(E(MZ | A_L2, W Wy, Vx, Ib)), [0x1d] = P66(E(MZ | LA | A_W0 | A_SAE, W Wh, Vx, Ib)),
    [0x1e] = P66(E(A_MASK | LA | A_BW, W Kq, Hx, Wx, Ib)), [0x1f] = P66(E(A_MASK | LA | A_BW, W Kq, Hx, Wx, Ib)),
    [0x20] = P66(E(A_L0, W Vo, Ho, Edb, Ib)), [0x21] = P66(E(A_L0 | A_W0, W Vo, Ho, Wd, Ib)), [0x22] = P66(E(A_L0, W Vo, Ho, Ey, Ib)),
    [0x23] = P66(E(MZ | L12 | A_BW, W Vx, Hx, Wx, Ib)), [0x25] = P66(E(MZ | LA | A_BW, RW Vx, Hx, Wx, Ib)),
    [0x26] = PP(E(MZ | LA | W16 | A_SAE, W Vx, Wx, Ib), E(MZ | LA | A_BW | A_SAE, W Vx, Wx, Ib), U_, U_),
    [0x27] = PP(E(MZ | A_W0 | A_SAE, W Vo, Ho, Ww, Ib), E(MZ | A_SAE, W Vo, Ho, We, Ib), U_, U_),
    [0x38] = P66(E(MZ | L12, W Vx, Hx, Wo, Ib)), [0x39] = P66(E(MZ | L12, W Wo, Vx, Ib)), [0x3a] = P66(E(MZ | A_L2, W Vx, Hx, Wy, Ib)),
    [0x3b] = P66(E(MZ | A_L2, W Wy, Vx, Ib)), [0x3e] = P66(E(A_MASK | LA, W Kq, Hx, Wx, Ib)), [0x3f] = P66(E(A_MASK | LA, W Kq, Hx, Wx, Ib)),
    [0x42] = P66(E(MZ | LA | A_W0, W Vx, Hx, Wx, Ib)), [0x43] = P66(E(MZ | L12 | A_BW, W Vx, Hx, Wx, Ib)), [0x44] = P66(E(LA, W Vx, Hx, Wx, Ib)),
    [0x50] = P66(E(MZ | LA | A_BW | A_SAE, W Vx, Hx, Wx, Ib)), [0x51] = P66(E(MZ | A_SAE, W Vo, Ho, We, Ib)),
    [0x54] = P66(E(MZ | LA | A_BW | A_SAE, RW Vx, Hx, Wx, Ib)), [0x55] = P66(E(MZ | A_SAE, RW Vo, Ho, We, Ib)),
    [0x56] = PP(E(MZ | LA | W16 | A_SAE, W Vx, Wx, Ib), E(MZ | LA | A_BW | A_SAE, W Vx, Wx, Ib), U_, U_),
    [0x57] = PP(E(MZ | A_W0 | A_SAE, W Vo, Ho, Ww, Ib), E(MZ | A_SAE, W Vo, Ho, We, Ib), U_, U_),
    [0x66] = PP(E(A_MASK | LA | W16, W Kq, Wx, Ib), E(A_MASK | LA | A_BW, W Kq, Wx, Ib), U_, U_),
    [0x67] = PP(E(A_MASK | A_W0, W Kq, Ww, Ib), E(A_MASK, W Kq, We, Ib), U_, U_),
    [0x70] = P66(E(MZ | LA | A_W1, W Vx, Hx, Wx, Ib)), [0x71] = P66(E(MZ | LA | A_BW, W Vx, Hx, Wx, Ib)),
    [0x72] = P66(E(MZ | LA | A_W1, W Vx, Hx, Wx, Ib)), [0x73] = P66(E(MZ | LA | A_BW, W Vx, Hx, Wx, Ib)),
    [0xc2] = PP(E(A_MASK | LA | W16 | A_SAE, W Kq, Hx, Wx, Ib), U_, E(A_MASK | A_W0 | A_SAE, W Kq, Ho, Ww, Ib), U_),
    [0xce] = P66(E(MZ | LA | W64, W Vx, Hx, Wx, Ib)), [0xcf] = P66(E(MZ | LA | W64, W Vx, Hx, Wx, Ib)),
    },
    { U_ },
    { /* map 5 */
    [0x10] = PF3(MOD(E(MZ | A_W0, W Vo, Mw), ES(A_W0, Uo))), [0x11] = PF3(MOD(E(A_MASK | A_W0, W Mw, Vo), E(MZ | A_W0, W Uo, Ho, Vo))),
    [0x1d] = PP(ES(A_W0 | A_ER, Wd), E(MZ | LA | W32 | A_ER, W Vh, Wx), U_, U_), [0x2a] = PF3(E(A_ER, W Vo, Ho, Ey)),
    [0x2c] = PF3(E(A_SAE, W Gy, Ww)), [0x2d] = PF3(E(A_ER, W Gy, Ww)), [0x2e] = NP(E(A_SAE | A_W0, Vo, Ww)), [0x2f] = NP(E(A_SAE | A_W0, Vo, Ww)),
    [0x51] = PP(E2(W16 | A_ER, Wx), U_, ES(A_W0 | A_ER, Ww), U_), [0x58] = PH_SH(A_ER), [0x59] = PH_SH(A_ER),
    [0x5a] = PP(E2(W16 | A_SAE, Whh), E(MZ | LA | W64 | A_ER, W Vhh, Wx), ES(A_W0 | A_SAE, Ww), ES(A_W1 | A_ER, Wq)),
    [0x5b] = PP(BYW(E(MZ | LA | A_B32 | A_ER, W Vh, Wx), E(MZ | LA | A_B64 | A_ER, W Vhh, Wx)), E2(W16 | A_ER, Wh), E2(W16 | A_SAE, Wh), U_),
    [0x5c] = PH_SH(A_ER), [0x5d] = PH_SH(A_SAE), [0x5e] = PH_SH(A_ER), [0x5f] = PH_SH(A_SAE),
    [0x6e] = P66(E(A_L0, W Vo, Edw)), [0x7e] = P66(E(A_L0, W Edw, Vo)),
    [0x78] = PP(E2(W16 | A_SAE, Wh), E2(W16 | A_SAE, Whh), E(A_SAE, W Gy, Ww), U_), [0x79] = PP(E2(W16 | A_ER, Wh), E2(W16 | A_ER, Whh), E(A_ER, W Gy, Ww), U_),
    [0x7a] = PP(U_, E2(W16 | A_SAE, Whh), U_, BYW(E(MZ | LA | A_B32 | A_ER, W Vh, Wx), E(MZ | LA | A_B64 | A_ER, W Vhh, Wx))),
    [0x7b] = PP(U_, E2(W16 | A_ER, Whh), E(A_ER, W Vo, Ho, Ey), U_),
    [0x7c] = PP(E2(W16 | A_SAE, Wx), E2(W16 | A_SAE, Wx), U_, U_), [0x7d] = PP(E2(W16 | A_ER, Wx), E2(W16 | A_ER, Wx), E2(W16 | A_ER, Wx), E2(W16 | A_ER, Wx)),
    },
    { /* map 6 */
    [0x13] = PP(ES(A_W0 | A_SAE, Ww), E2(W16 | A_SAE, Wh), U_, U_), [0x2c] = P66(PH(A_ER)), [0x2d] = P66(ES(A_W0 | A_ER, Ww)),
    [0x42] = P66(E2(W16 | A_SAE, Wx)), [0x43] = P66(ES(A_W0 | A_SAE, Ww)), [0x4c] = P66(E2(W16, Wx)), [0x4d] = P66(ES(A_W0, Ww)),
    [0x4e] = P66(E2(W16, Wx)), [0x4f] = P66(ES(A_W0, Ww)),
    [0x56] = PP(U_, U_, E3RW(W32 | A_ER), E3RW(W32 | A_ER)), [0x57] = PP(U_, U_, E(MZ | A_W0 | A_ER, RW Vo, Ho, Wd), E(MZ | A_W0 | A_ER, RW Vo, Ho, Wd)),
    [0xd6] = PP(U_, U_, E3(W32 | A_ER), E3(W32 | A_ER)), [0xd7] = PP(U_, U_, ES(A_W0 | A_ER, Wd), ES(A_W0 | A_ER, Wd)),
    FMA_ROW(0x90, FMA_16, FMA_S16), FMA_ROW(0xa0, FMA_16, FMA_S16), FMA_ROW(0xb0, FMA_16, FMA_S16),
    },
};
