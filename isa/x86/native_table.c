/* SPDX-License-Identifier: BSD-2-Clause */
/* Facts about SSE, AVX and AVX-512 instructions: needed CPUID feature, exception class, element
 * size of memory operands. [SDM] vol. 2 "Instruction Set Reference", "Exception Classifications".
 * An instruction that is not in the table is undefined: what the host executes is what stands here.
 */
#include <cpuid.h>

#include "isa/x86/native_int.h"

enum {
    L_0F_NP = NATIVE_PAGE(X86_ENC_LEGACY, X86_MAP_0F, 0),
    L_0F_66 = NATIVE_PAGE(X86_ENC_LEGACY, X86_MAP_0F, 1),
    L_0F_F3 = NATIVE_PAGE(X86_ENC_LEGACY, X86_MAP_0F, 2),
    L_0F_F2 = NATIVE_PAGE(X86_ENC_LEGACY, X86_MAP_0F, 3),
    L_0F38_NP = NATIVE_PAGE(X86_ENC_LEGACY, X86_MAP_0F38, 0),
    L_0F38_66 = NATIVE_PAGE(X86_ENC_LEGACY, X86_MAP_0F38, 1),
    L_0F3A_NP = NATIVE_PAGE(X86_ENC_LEGACY, X86_MAP_0F3A, 0),
    L_0F3A_66 = NATIVE_PAGE(X86_ENC_LEGACY, X86_MAP_0F3A, 1),
    V_0F_NP = NATIVE_PAGE(X86_ENC_VEX, X86_MAP_0F, 0),
    V_0F_66 = NATIVE_PAGE(X86_ENC_VEX, X86_MAP_0F, 1),
    V_0F_F3 = NATIVE_PAGE(X86_ENC_VEX, X86_MAP_0F, 2),
    V_0F_F2 = NATIVE_PAGE(X86_ENC_VEX, X86_MAP_0F, 3),
    V_0F38_66 = NATIVE_PAGE(X86_ENC_VEX, X86_MAP_0F38, 1),
    V_0F3A_66 = NATIVE_PAGE(X86_ENC_VEX, X86_MAP_0F3A, 1),
    E_0F_NP = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_0F, 0),
    E_0F_66 = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_0F, 1),
    E_0F_F3 = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_0F, 2),
    E_0F_F2 = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_0F, 3),
    E_0F38_66 = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_0F38, 1),
    E_0F38_F3 = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_0F38, 2),
    E_0F38_F2 = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_0F38, 3),
    E_0F3A_NP = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_0F3A, 0),
    E_0F3A_66 = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_0F3A, 1),
    E_0F3A_F3 = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_0F3A, 2),
    E_MAP5_NP = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_5, 0),
    E_MAP5_66 = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_5, 1),
    E_MAP5_F3 = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_5, 2),
    E_MAP5_F2 = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_5, 3),
    E_MAP6_NP = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_6, 0),
    E_MAP6_66 = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_6, 1),
    E_MAP6_F3 = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_6, 2),
    E_MAP6_F2 = NATIVE_PAGE(X86_ENC_EVEX, X86_MAP_6, 3),
};

/* Short names for the rows. */
enum {
    E1 = NATIVE_EL1,
    E2 = NATIVE_EL2,
    E4 = NATIVE_EL4,
    E8 = NATIVE_EL8,
    EW = NATIVE_ELW,
    EBW = NATIVE_ELBW,
    E16 = NATIVE_EL16,
    FP = NATIVE_FP,
    NF = NATIVE_NF,
    AL = NATIVE_ALIGNED,
    HALF = NATIVE_HALF,
    QUART = NATIVE_QUARTER,
    BCST = NATIVE_SPREAD,
};
#define R(page, first, last, feature, flags) { page, first, last, NATIVE_F_##feature, flags },

/* Sorted by page and opcode. */
/* clang-format off */
static const struct native_row rows[] = {
    /* LEGACY 0F NP */
    R(L_0F_NP, 0x10, 0x13, SSE2, 0)
    R(L_0F_NP, 0x14, 0x15, SSE2, AL)
    R(L_0F_NP, 0x16, 0x17, SSE2, 0)
    R(L_0F_NP, 0x28, 0x29, SSE2, AL)
    R(L_0F_NP, 0x2a, 0x2a, SSE2, FP)
    R(L_0F_NP, 0x2b, 0x2b, SSE2, AL)
    R(L_0F_NP, 0x2c, 0x2f, SSE2, FP)
    R(L_0F_NP, 0x50, 0x50, SSE2, 0)
    R(L_0F_NP, 0x51, 0x51, SSE2, FP | AL)
    R(L_0F_NP, 0x52, 0x57, SSE2, AL)
    R(L_0F_NP, 0x58, 0x59, SSE2, FP | AL)
    R(L_0F_NP, 0x5a, 0x5a, SSE2, FP)
    R(L_0F_NP, 0x5b, 0x5f, SSE2, FP | AL)
    R(L_0F_NP, 0x60, 0x6b, SSE2, 0)
    R(L_0F_NP, 0x6e, 0x77, SSE2, 0)
    R(L_0F_NP, 0x7e, 0x7f, SSE2, 0)
    R(L_0F_NP, 0xc2, 0xc2, SSE2, FP | AL)
    R(L_0F_NP, 0xc4, 0xc5, SSE2, 0)
    R(L_0F_NP, 0xc6, 0xc6, SSE2, AL)
    R(L_0F_NP, 0xd1, 0xd5, SSE2, 0)
    R(L_0F_NP, 0xd7, 0xe5, SSE2, 0)
    R(L_0F_NP, 0xe7, 0xef, SSE2, 0)
    R(L_0F_NP, 0xf1, 0xfe, SSE2, 0)
    /* LEGACY 0F 66 */
    R(L_0F_66, 0x10, 0x13, SSE2, 0)
    R(L_0F_66, 0x14, 0x15, SSE2, AL)
    R(L_0F_66, 0x16, 0x17, SSE2, 0)
    R(L_0F_66, 0x28, 0x29, SSE2, AL)
    R(L_0F_66, 0x2a, 0x2a, SSE2, FP)
    R(L_0F_66, 0x2b, 0x2b, SSE2, AL)
    R(L_0F_66, 0x2c, 0x2d, SSE2, FP | AL)
    R(L_0F_66, 0x2e, 0x2f, SSE2, FP)
    R(L_0F_66, 0x50, 0x50, SSE2, 0)
    R(L_0F_66, 0x51, 0x51, SSE2, FP | AL)
    R(L_0F_66, 0x54, 0x57, SSE2, AL)
    R(L_0F_66, 0x58, 0x5f, SSE2, FP | AL)
    R(L_0F_66, 0x60, 0x6d, SSE2, AL)
    R(L_0F_66, 0x6e, 0x6e, SSE2, 0)
    R(L_0F_66, 0x6f, 0x70, SSE2, AL)
    R(L_0F_66, 0x71, 0x73, SSE2, 0)
    R(L_0F_66, 0x74, 0x76, SSE2, AL)
    R(L_0F_66, 0x7c, 0x7d, SSE3, FP | AL)
    R(L_0F_66, 0x7e, 0x7e, SSE2, 0)
    R(L_0F_66, 0x7f, 0x7f, SSE2, AL)
    R(L_0F_66, 0xc2, 0xc2, SSE2, FP | AL)
    R(L_0F_66, 0xc4, 0xc5, SSE2, 0)
    R(L_0F_66, 0xc6, 0xc6, SSE2, AL)
    R(L_0F_66, 0xd0, 0xd0, SSE3, FP | AL)
    R(L_0F_66, 0xd1, 0xd5, SSE2, AL)
    R(L_0F_66, 0xd6, 0xd7, SSE2, 0)
    R(L_0F_66, 0xd8, 0xe5, SSE2, AL)
    R(L_0F_66, 0xe6, 0xe6, SSE2, FP | AL)
    R(L_0F_66, 0xe7, 0xef, SSE2, AL)
    R(L_0F_66, 0xf1, 0xfe, SSE2, AL)
    /* LEGACY 0F F3 */
    R(L_0F_F3, 0x10, 0x11, SSE2, 0)
    R(L_0F_F3, 0x12, 0x12, SSE3, AL)
    R(L_0F_F3, 0x16, 0x16, SSE3, AL)
    R(L_0F_F3, 0x2a, 0x2a, SSE2, FP)
    R(L_0F_F3, 0x2c, 0x2d, SSE2, FP)
    R(L_0F_F3, 0x51, 0x51, SSE2, FP)
    R(L_0F_F3, 0x52, 0x53, SSE2, 0)
    R(L_0F_F3, 0x58, 0x5a, SSE2, FP)
    R(L_0F_F3, 0x5b, 0x5b, SSE2, FP | AL)
    R(L_0F_F3, 0x5c, 0x5f, SSE2, FP)
    R(L_0F_F3, 0x6f, 0x6f, SSE2, 0)
    R(L_0F_F3, 0x70, 0x70, SSE2, AL)
    R(L_0F_F3, 0x7e, 0x7f, SSE2, 0)
    R(L_0F_F3, 0xc2, 0xc2, SSE2, FP)
    R(L_0F_F3, 0xd6, 0xd6, SSE2, 0)
    R(L_0F_F3, 0xe6, 0xe6, SSE2, 0)
    /* LEGACY 0F F2 */
    R(L_0F_F2, 0x10, 0x11, SSE2, 0)
    R(L_0F_F2, 0x12, 0x12, SSE3, 0)
    R(L_0F_F2, 0x2a, 0x2a, SSE2, FP)
    R(L_0F_F2, 0x2c, 0x2d, SSE2, FP)
    R(L_0F_F2, 0x51, 0x51, SSE2, FP)
    R(L_0F_F2, 0x58, 0x5a, SSE2, FP)
    R(L_0F_F2, 0x5c, 0x5f, SSE2, FP)
    R(L_0F_F2, 0x70, 0x70, SSE2, AL)
    R(L_0F_F2, 0x7c, 0x7d, SSE3, FP | AL)
    R(L_0F_F2, 0xc2, 0xc2, SSE2, FP)
    R(L_0F_F2, 0xd0, 0xd0, SSE3, FP | AL)
    R(L_0F_F2, 0xd6, 0xd6, SSE2, 0)
    R(L_0F_F2, 0xe6, 0xe6, SSE2, FP | AL)
    R(L_0F_F2, 0xf0, 0xf0, SSE3, 0)
    /* LEGACY 0F38 NP */
    R(L_0F38_NP, 0x00, 0x0b, SSSE3, 0)
    R(L_0F38_NP, 0x1c, 0x1e, SSSE3, 0)
    R(L_0F38_NP, 0xc8, 0xcd, SHA, AL)
    /* LEGACY 0F38 66 */
    R(L_0F38_66, 0x00, 0x0b, SSSE3, AL)
    R(L_0F38_66, 0x10, 0x10, SSE41, AL)
    R(L_0F38_66, 0x14, 0x15, SSE41, AL)
    R(L_0F38_66, 0x17, 0x17, SSE41, AL)
    R(L_0F38_66, 0x1c, 0x1e, SSSE3, AL)
    R(L_0F38_66, 0x20, 0x25, SSE41, 0)
    R(L_0F38_66, 0x28, 0x2b, SSE41, AL)
    R(L_0F38_66, 0x30, 0x35, SSE41, 0)
    R(L_0F38_66, 0x37, 0x37, SSE42, AL)
    R(L_0F38_66, 0x38, 0x41, SSE41, AL)
    R(L_0F38_66, 0xcf, 0xcf, GFNI, AL)
    R(L_0F38_66, 0xdb, 0xdf, AES, AL)
    /* LEGACY 0F3A NP */
    R(L_0F3A_NP, 0x0f, 0x0f, SSSE3, 0)
    R(L_0F3A_NP, 0xcc, 0xcc, SHA, AL)
    /* LEGACY 0F3A 66 */
    R(L_0F3A_66, 0x08, 0x09, SSE41, FP | AL)
    R(L_0F3A_66, 0x0a, 0x0b, SSE41, FP)
    R(L_0F3A_66, 0x0c, 0x0e, SSE41, AL)
    R(L_0F3A_66, 0x0f, 0x0f, SSSE3, AL)
    R(L_0F3A_66, 0x14, 0x17, SSE41, 0)
    R(L_0F3A_66, 0x20, 0x22, SSE41, 0)
    R(L_0F3A_66, 0x40, 0x41, SSE41, FP | AL)
    R(L_0F3A_66, 0x42, 0x42, SSE41, AL)
    R(L_0F3A_66, 0x44, 0x44, PCLMUL, AL)
    R(L_0F3A_66, 0x60, 0x63, SSE42, 0)
    R(L_0F3A_66, 0xce, 0xcf, GFNI, AL)
    R(L_0F3A_66, 0xdf, 0xdf, AES, AL)
    /* VEX 0F NP */
    R(V_0F_NP, 0x10, 0x17, AVX, 0)
    R(V_0F_NP, 0x28, 0x29, AVX, AL)
    R(V_0F_NP, 0x2b, 0x2b, AVX, AL)
    R(V_0F_NP, 0x2e, 0x2f, AVX, FP)
    R(V_0F_NP, 0x41, 0x42, AVX512, 0)
    R(V_0F_NP, 0x44, 0x47, AVX512, 0)
    R(V_0F_NP, 0x4a, 0x4b, AVX512, 0)
    R(V_0F_NP, 0x50, 0x50, AVX, 0)
    R(V_0F_NP, 0x51, 0x51, AVX, FP)
    R(V_0F_NP, 0x52, 0x57, AVX, 0)
    R(V_0F_NP, 0x58, 0x5f, AVX, FP)
    R(V_0F_NP, 0x77, 0x77, AVX, 0)
    R(V_0F_NP, 0x90, 0x93, AVX512, 0)
    R(V_0F_NP, 0x98, 0x99, AVX512, 0)
    R(V_0F_NP, 0xc2, 0xc2, AVX, FP)
    R(V_0F_NP, 0xc6, 0xc6, AVX, 0)
    /* VEX 0F 66 */
    R(V_0F_66, 0x10, 0x17, AVX, 0)
    R(V_0F_66, 0x28, 0x29, AVX, AL)
    R(V_0F_66, 0x2b, 0x2b, AVX, AL)
    R(V_0F_66, 0x2e, 0x2f, AVX, FP)
    R(V_0F_66, 0x41, 0x42, AVX512, 0)
    R(V_0F_66, 0x44, 0x47, AVX512, 0)
    R(V_0F_66, 0x4a, 0x4b, AVX512, 0)
    R(V_0F_66, 0x50, 0x50, AVX, 0)
    R(V_0F_66, 0x51, 0x51, AVX, FP)
    R(V_0F_66, 0x54, 0x57, AVX, 0)
    R(V_0F_66, 0x58, 0x5f, AVX, FP)
    R(V_0F_66, 0x60, 0x6d, AVX_INT, 0)
    R(V_0F_66, 0x6e, 0x6e, AVX, 0)
    R(V_0F_66, 0x6f, 0x6f, AVX, AL)
    R(V_0F_66, 0x70, 0x76, AVX_INT, 0)
    R(V_0F_66, 0x7c, 0x7d, AVX, FP)
    R(V_0F_66, 0x7e, 0x7e, AVX, 0)
    R(V_0F_66, 0x7f, 0x7f, AVX, AL)
    R(V_0F_66, 0x90, 0x93, AVX512, 0)
    R(V_0F_66, 0x98, 0x99, AVX512, 0)
    R(V_0F_66, 0xc2, 0xc2, AVX, FP)
    R(V_0F_66, 0xc4, 0xc6, AVX, 0)
    R(V_0F_66, 0xd0, 0xd0, AVX, FP)
    R(V_0F_66, 0xd1, 0xd5, AVX_INT, 0)
    R(V_0F_66, 0xd6, 0xd6, AVX, 0)
    R(V_0F_66, 0xd7, 0xe5, AVX_INT, 0)
    R(V_0F_66, 0xe6, 0xe6, AVX, FP)
    R(V_0F_66, 0xe7, 0xe7, AVX, AL)
    R(V_0F_66, 0xe8, 0xef, AVX_INT, 0)
    R(V_0F_66, 0xf1, 0xf6, AVX_INT, 0)
    R(V_0F_66, 0xf7, 0xf7, AVX, 0)
    R(V_0F_66, 0xf8, 0xfe, AVX_INT, 0)
    /* VEX 0F F3 */
    R(V_0F_F3, 0x10, 0x12, AVX, 0)
    R(V_0F_F3, 0x16, 0x16, AVX, 0)
    R(V_0F_F3, 0x2a, 0x2a, AVX, FP)
    R(V_0F_F3, 0x2c, 0x2d, AVX, FP)
    R(V_0F_F3, 0x51, 0x51, AVX, FP)
    R(V_0F_F3, 0x52, 0x53, AVX, 0)
    R(V_0F_F3, 0x58, 0x5f, AVX, FP)
    R(V_0F_F3, 0x6f, 0x6f, AVX, 0)
    R(V_0F_F3, 0x70, 0x70, AVX_INT, 0)
    R(V_0F_F3, 0x7e, 0x7f, AVX, 0)
    R(V_0F_F3, 0xc2, 0xc2, AVX, FP)
    R(V_0F_F3, 0xe6, 0xe6, AVX, 0)
    /* VEX 0F F2 */
    R(V_0F_F2, 0x10, 0x12, AVX, 0)
    R(V_0F_F2, 0x2a, 0x2a, AVX, FP)
    R(V_0F_F2, 0x2c, 0x2d, AVX, FP)
    R(V_0F_F2, 0x51, 0x51, AVX, FP)
    R(V_0F_F2, 0x58, 0x5a, AVX, FP)
    R(V_0F_F2, 0x5c, 0x5f, AVX, FP)
    R(V_0F_F2, 0x70, 0x70, AVX_INT, 0)
    R(V_0F_F2, 0x7c, 0x7d, AVX, FP)
    R(V_0F_F2, 0x92, 0x93, AVX512, 0)
    R(V_0F_F2, 0xc2, 0xc2, AVX, FP)
    R(V_0F_F2, 0xd0, 0xd0, AVX, FP)
    R(V_0F_F2, 0xe6, 0xe6, AVX, FP)
    R(V_0F_F2, 0xf0, 0xf0, AVX, 0)
    /* VEX 0F38 66 */
    R(V_0F38_66, 0x00, 0x0b, AVX_INT, 0)
    R(V_0F38_66, 0x0c, 0x0f, AVX, 0)
    R(V_0F38_66, 0x13, 0x13, F16C, FP)
    R(V_0F38_66, 0x16, 0x16, AVX2, 0)
    R(V_0F38_66, 0x17, 0x17, AVX, 0)
    R(V_0F38_66, 0x18, 0x19, AVX_BCAST, 0)
    R(V_0F38_66, 0x1a, 0x1a, AVX, 0)
    R(V_0F38_66, 0x1c, 0x1e, AVX_INT, 0)
    R(V_0F38_66, 0x20, 0x25, AVX_INT, 0)
    R(V_0F38_66, 0x28, 0x29, AVX_INT, 0)
    R(V_0F38_66, 0x2a, 0x2a, AVX_INT, AL)
    R(V_0F38_66, 0x2b, 0x2b, AVX_INT, 0)
    R(V_0F38_66, 0x2c, 0x2f, AVX, 0)
    R(V_0F38_66, 0x30, 0x35, AVX_INT, 0)
    R(V_0F38_66, 0x36, 0x36, AVX2, 0)
    R(V_0F38_66, 0x37, 0x40, AVX_INT, 0)
    R(V_0F38_66, 0x41, 0x41, AVX, 0)
    R(V_0F38_66, 0x45, 0x47, AVX2, 0)
    R(V_0F38_66, 0x50, 0x53, AVXVNNI, 0)
    R(V_0F38_66, 0x58, 0x5a, AVX2, 0)
    R(V_0F38_66, 0x78, 0x79, AVX2, 0)
    R(V_0F38_66, 0x8c, 0x8c, AVX2, 0)
    R(V_0F38_66, 0x8e, 0x8e, AVX2, 0)
    R(V_0F38_66, 0x90, 0x93, AVX2, 0)
    R(V_0F38_66, 0x96, 0x9f, FMA, FP)
    R(V_0F38_66, 0xa6, 0xaf, FMA, FP)
    R(V_0F38_66, 0xb6, 0xbf, FMA, FP)
    R(V_0F38_66, 0xcf, 0xcf, GFNI_AVX, 0)
    R(V_0F38_66, 0xdb, 0xdf, AES_VAES, 0)
    /* VEX 0F3A 66 */
    R(V_0F3A_66, 0x00, 0x02, AVX2, 0)
    R(V_0F3A_66, 0x04, 0x06, AVX, 0)
    R(V_0F3A_66, 0x08, 0x0b, AVX, FP)
    R(V_0F3A_66, 0x0c, 0x0d, AVX, 0)
    R(V_0F3A_66, 0x0e, 0x0f, AVX_INT, 0)
    R(V_0F3A_66, 0x14, 0x19, AVX, 0)
    R(V_0F3A_66, 0x1d, 0x1d, F16C, FP)
    R(V_0F3A_66, 0x20, 0x22, AVX, 0)
    R(V_0F3A_66, 0x30, 0x33, AVX512, 0)
    R(V_0F3A_66, 0x38, 0x39, AVX2, 0)
    R(V_0F3A_66, 0x40, 0x41, AVX, FP)
    R(V_0F3A_66, 0x42, 0x42, AVX_INT, 0)
    R(V_0F3A_66, 0x44, 0x44, PCLMUL_VEX, 0)
    R(V_0F3A_66, 0x46, 0x46, AVX2, 0)
    R(V_0F3A_66, 0x4a, 0x4b, AVX, 0)
    R(V_0F3A_66, 0x4c, 0x4c, AVX_INT, 0)
    R(V_0F3A_66, 0x60, 0x63, AVX, 0)
    R(V_0F3A_66, 0xce, 0xcf, GFNI_AVX, 0)
    R(V_0F3A_66, 0xdf, 0xdf, AES_VAES, 0)
    /* EVEX 0F NP */
    R(E_0F_NP, 0x10, 0x11, AVX512, E4)
    R(E_0F_NP, 0x12, 0x17, AVX512, NF | E4)
    R(E_0F_NP, 0x28, 0x29, AVX512, AL | E4)
    R(E_0F_NP, 0x2b, 0x2b, AVX512, NF | AL | E4)
    R(E_0F_NP, 0x2e, 0x2f, AVX512, FP | NF | E4)
    R(E_0F_NP, 0x51, 0x51, AVX512, FP | E4)
    R(E_0F_NP, 0x54, 0x57, AVX512, E4)
    R(E_0F_NP, 0x58, 0x59, AVX512, FP | E4)
    R(E_0F_NP, 0x5a, 0x5a, AVX512, FP | E4 | HALF)
    R(E_0F_NP, 0x5b, 0x5b, AVX512, FP | EW)
    R(E_0F_NP, 0x5c, 0x5f, AVX512, FP | E4)
    R(E_0F_NP, 0x78, 0x79, AVX512, FP | EW)
    R(E_0F_NP, 0xc2, 0xc2, AVX512, FP | E4)
    R(E_0F_NP, 0xc6, 0xc6, AVX512, NF | E4)
    /* EVEX 0F 66 */
    R(E_0F_66, 0x10, 0x11, AVX512, E8)
    R(E_0F_66, 0x12, 0x17, AVX512, NF | E8)
    R(E_0F_66, 0x28, 0x29, AVX512, AL | E8)
    R(E_0F_66, 0x2b, 0x2b, AVX512, NF | AL | E8)
    R(E_0F_66, 0x2e, 0x2f, AVX512, FP | NF | E8)
    R(E_0F_66, 0x51, 0x51, AVX512, FP | E8)
    R(E_0F_66, 0x54, 0x57, AVX512, E8)
    R(E_0F_66, 0x58, 0x5a, AVX512, FP | E8)
    R(E_0F_66, 0x5b, 0x5b, AVX512, FP | E4)
    R(E_0F_66, 0x5c, 0x5f, AVX512, FP | E8)
    R(E_0F_66, 0x60, 0x60, AVX512, NF | E1)
    R(E_0F_66, 0x61, 0x61, AVX512, NF | E2)
    R(E_0F_66, 0x62, 0x62, AVX512, NF | E4)
    R(E_0F_66, 0x63, 0x63, AVX512, NF | E2)
    R(E_0F_66, 0x64, 0x64, AVX512, E1)
    R(E_0F_66, 0x65, 0x65, AVX512, E2)
    R(E_0F_66, 0x66, 0x66, AVX512, E4)
    R(E_0F_66, 0x67, 0x67, AVX512, NF | E2)
    R(E_0F_66, 0x68, 0x68, AVX512, NF | E1)
    R(E_0F_66, 0x69, 0x69, AVX512, NF | E2)
    R(E_0F_66, 0x6a, 0x6b, AVX512, NF | E4)
    R(E_0F_66, 0x6c, 0x6d, AVX512, NF | E8)
    R(E_0F_66, 0x6e, 0x6e, AVX512, NF | EW)
    R(E_0F_66, 0x6f, 0x6f, AVX512, AL | EW)
    R(E_0F_66, 0x70, 0x70, AVX512, NF | E4)
    R(E_0F_66, 0x71, 0x71, AVX512, E2)
    R(E_0F_66, 0x72, 0x72, AVX512, EW)
    R(E_0F_66, 0x73, 0x73, AVX512, E8)
    R(E_0F_66, 0x74, 0x74, AVX512, E1)
    R(E_0F_66, 0x75, 0x75, AVX512, E2)
    R(E_0F_66, 0x76, 0x76, AVX512, E4)
    R(E_0F_66, 0x78, 0x7b, AVX512, FP | EW | HALF)
    R(E_0F_66, 0x7e, 0x7e, AVX512, NF | EW)
    R(E_0F_66, 0x7f, 0x7f, AVX512, AL | EW)
    R(E_0F_66, 0xc2, 0xc2, AVX512, FP | E8)
    R(E_0F_66, 0xc4, 0xc4, AVX512, NF | E2)
    R(E_0F_66, 0xc5, 0xc5, AVX512, NF)
    R(E_0F_66, 0xc6, 0xc6, AVX512, NF | E8)
    R(E_0F_66, 0xd1, 0xd1, AVX512, NF | E2)
    R(E_0F_66, 0xd2, 0xd2, AVX512, NF | E4)
    R(E_0F_66, 0xd3, 0xd3, AVX512, NF | E8)
    R(E_0F_66, 0xd4, 0xd4, AVX512, E8)
    R(E_0F_66, 0xd5, 0xd5, AVX512, E2)
    R(E_0F_66, 0xd6, 0xd6, AVX512, NF | E8)
    R(E_0F_66, 0xd8, 0xd8, AVX512, E1)
    R(E_0F_66, 0xd9, 0xd9, AVX512, E2)
    R(E_0F_66, 0xda, 0xda, AVX512, E1)
    R(E_0F_66, 0xdb, 0xdb, AVX512, EW)
    R(E_0F_66, 0xdc, 0xdc, AVX512, E1)
    R(E_0F_66, 0xdd, 0xdd, AVX512, E2)
    R(E_0F_66, 0xde, 0xde, AVX512, E1)
    R(E_0F_66, 0xdf, 0xdf, AVX512, EW)
    R(E_0F_66, 0xe0, 0xe0, AVX512, E1)
    R(E_0F_66, 0xe1, 0xe1, AVX512, NF | E2)
    R(E_0F_66, 0xe2, 0xe2, AVX512, NF | EW)
    R(E_0F_66, 0xe3, 0xe5, AVX512, E2)
    R(E_0F_66, 0xe6, 0xe6, AVX512, FP | E8)
    R(E_0F_66, 0xe7, 0xe7, AVX512, NF | AL | E4)
    R(E_0F_66, 0xe8, 0xe8, AVX512, E1)
    R(E_0F_66, 0xe9, 0xea, AVX512, E2)
    R(E_0F_66, 0xeb, 0xeb, AVX512, EW)
    R(E_0F_66, 0xec, 0xec, AVX512, E1)
    R(E_0F_66, 0xed, 0xee, AVX512, E2)
    R(E_0F_66, 0xef, 0xef, AVX512, EW)
    R(E_0F_66, 0xf1, 0xf1, AVX512, NF | E2)
    R(E_0F_66, 0xf2, 0xf2, AVX512, NF | E4)
    R(E_0F_66, 0xf3, 0xf3, AVX512, NF | E8)
    R(E_0F_66, 0xf4, 0xf4, AVX512, E8)
    R(E_0F_66, 0xf5, 0xf5, AVX512, NF | E2)
    R(E_0F_66, 0xf6, 0xf6, AVX512, NF | E1)
    R(E_0F_66, 0xf8, 0xf8, AVX512, E1)
    R(E_0F_66, 0xf9, 0xf9, AVX512, E2)
    R(E_0F_66, 0xfa, 0xfa, AVX512, E4)
    R(E_0F_66, 0xfb, 0xfb, AVX512, E8)
    R(E_0F_66, 0xfc, 0xfc, AVX512, E1)
    R(E_0F_66, 0xfd, 0xfd, AVX512, E2)
    R(E_0F_66, 0xfe, 0xfe, AVX512, E4)
    /* EVEX 0F F3 */
    R(E_0F_F3, 0x10, 0x11, AVX512, E4)
    R(E_0F_F3, 0x12, 0x12, AVX512, NF | E4)
    R(E_0F_F3, 0x16, 0x16, AVX512, NF | E4)
    R(E_0F_F3, 0x2a, 0x2a, AVX512, FP | NF | EW)
    R(E_0F_F3, 0x2c, 0x2d, AVX512, FP | NF | E4)
    R(E_0F_F3, 0x51, 0x51, AVX512, FP | E4)
    R(E_0F_F3, 0x58, 0x5f, AVX512, FP | E4)
    R(E_0F_F3, 0x6f, 0x6f, AVX512, EW)
    R(E_0F_F3, 0x70, 0x70, AVX512, NF | E2)
    R(E_0F_F3, 0x78, 0x79, AVX512, FP | NF | E4)
    R(E_0F_F3, 0x7a, 0x7a, AVX512, FP | EW | HALF)
    R(E_0F_F3, 0x7b, 0x7b, AVX512, FP | NF | EW)
    R(E_0F_F3, 0x7e, 0x7e, AVX512, NF | E8)
    R(E_0F_F3, 0x7f, 0x7f, AVX512, EW)
    R(E_0F_F3, 0xc2, 0xc2, AVX512, FP | E4)
    R(E_0F_F3, 0xe6, 0xe6, AVX512, FP | EW | HALF)
    /* EVEX 0F F2 */
    R(E_0F_F2, 0x10, 0x11, AVX512, E8)
    R(E_0F_F2, 0x12, 0x12, AVX512, NF | E8)
    R(E_0F_F2, 0x2a, 0x2a, AVX512, FP | NF | EW)
    R(E_0F_F2, 0x2c, 0x2d, AVX512, FP | NF | E8)
    R(E_0F_F2, 0x51, 0x51, AVX512, FP | E8)
    R(E_0F_F2, 0x58, 0x5a, AVX512, FP | E8)
    R(E_0F_F2, 0x5c, 0x5f, AVX512, FP | E8)
    R(E_0F_F2, 0x6f, 0x6f, AVX512, EBW)
    R(E_0F_F2, 0x70, 0x70, AVX512, NF | E2)
    R(E_0F_F2, 0x78, 0x79, AVX512, FP | NF | E8)
    R(E_0F_F2, 0x7a, 0x7a, AVX512, FP | EW)
    R(E_0F_F2, 0x7b, 0x7b, AVX512, FP | NF | EW)
    R(E_0F_F2, 0x7f, 0x7f, AVX512, EBW)
    R(E_0F_F2, 0xc2, 0xc2, AVX512, FP | E8)
    R(E_0F_F2, 0xe6, 0xe6, AVX512, FP | E8)
    /* EVEX 0F38 66 */
    R(E_0F38_66, 0x00, 0x00, AVX512, NF | E1)
    R(E_0F38_66, 0x04, 0x04, AVX512, NF | E2)
    R(E_0F38_66, 0x0b, 0x0b, AVX512, E2)
    R(E_0F38_66, 0x0c, 0x0c, AVX512, NF | E4)
    R(E_0F38_66, 0x0d, 0x0d, AVX512, NF | E8)
    R(E_0F38_66, 0x10, 0x12, AVX512, E2)
    R(E_0F38_66, 0x13, 0x13, AVX512, FP | E2)
    R(E_0F38_66, 0x14, 0x15, AVX512, EW)
    R(E_0F38_66, 0x16, 0x16, AVX512, NF | EW)
    R(E_0F38_66, 0x18, 0x18, AVX512, E4 | BCST)
    R(E_0F38_66, 0x19, 0x1b, AVX512, EW | BCST)
    R(E_0F38_66, 0x1c, 0x1c, AVX512, E1)
    R(E_0F38_66, 0x1d, 0x1d, AVX512, E2)
    R(E_0F38_66, 0x1e, 0x1e, AVX512, E4)
    R(E_0F38_66, 0x1f, 0x1f, AVX512, E8)
    R(E_0F38_66, 0x20, 0x22, AVX512, E1)
    R(E_0F38_66, 0x23, 0x24, AVX512, E2)
    R(E_0F38_66, 0x25, 0x25, AVX512, E4)
    R(E_0F38_66, 0x26, 0x26, AVX512, EBW)
    R(E_0F38_66, 0x27, 0x27, AVX512, EW)
    R(E_0F38_66, 0x28, 0x29, AVX512, E8)
    R(E_0F38_66, 0x2a, 0x2a, AVX512, NF | AL | E4)
    R(E_0F38_66, 0x2b, 0x2b, AVX512, NF | E4)
    R(E_0F38_66, 0x2c, 0x2d, AVX512, FP | EW)
    R(E_0F38_66, 0x30, 0x32, AVX512, E1)
    R(E_0F38_66, 0x33, 0x34, AVX512, E2)
    R(E_0F38_66, 0x35, 0x35, AVX512, E4)
    R(E_0F38_66, 0x36, 0x36, AVX512, NF | EW)
    R(E_0F38_66, 0x37, 0x37, AVX512, E8)
    R(E_0F38_66, 0x38, 0x38, AVX512, E1)
    R(E_0F38_66, 0x39, 0x39, AVX512, EW)
    R(E_0F38_66, 0x3a, 0x3a, AVX512, E2)
    R(E_0F38_66, 0x3b, 0x3b, AVX512, EW)
    R(E_0F38_66, 0x3c, 0x3c, AVX512, E1)
    R(E_0F38_66, 0x3d, 0x3d, AVX512, EW)
    R(E_0F38_66, 0x3e, 0x3e, AVX512, E2)
    R(E_0F38_66, 0x3f, 0x40, AVX512, EW)
    R(E_0F38_66, 0x42, 0x43, AVX512, FP | EW)
    R(E_0F38_66, 0x44, 0x47, AVX512, EW)
    R(E_0F38_66, 0x4c, 0x4f, AVX512, FP | EW)
    R(E_0F38_66, 0x50, 0x53, VNNI, E4)
    R(E_0F38_66, 0x54, 0x54, BITALG, EBW)
    R(E_0F38_66, 0x55, 0x55, VPOPCNTDQ, EW)
    R(E_0F38_66, 0x58, 0x58, AVX512, E4 | BCST)
    R(E_0F38_66, 0x59, 0x5b, AVX512, EW | BCST)
    R(E_0F38_66, 0x62, 0x63, VBMI2, EBW)
    R(E_0F38_66, 0x64, 0x65, AVX512, EW)
    R(E_0F38_66, 0x66, 0x66, AVX512, EBW)
    R(E_0F38_66, 0x70, 0x70, VBMI2, E2)
    R(E_0F38_66, 0x71, 0x71, VBMI2, EW)
    R(E_0F38_66, 0x72, 0x72, VBMI2, E2)
    R(E_0F38_66, 0x73, 0x73, VBMI2, EW)
    R(E_0F38_66, 0x75, 0x75, VBMI_W0, NF | EBW)
    R(E_0F38_66, 0x76, 0x77, AVX512, NF | EW)
    R(E_0F38_66, 0x78, 0x78, AVX512, E1 | BCST)
    R(E_0F38_66, 0x79, 0x79, AVX512, E2 | BCST)
    R(E_0F38_66, 0x7a, 0x7c, AVX512, 0)
    R(E_0F38_66, 0x7d, 0x7d, VBMI_W0, NF | EBW)
    R(E_0F38_66, 0x7e, 0x7f, AVX512, NF | EW)
    R(E_0F38_66, 0x83, 0x83, VBMI, NF | E8)
    R(E_0F38_66, 0x88, 0x8b, AVX512, EW)
    R(E_0F38_66, 0x8d, 0x8d, VBMI_W0, NF | EBW)
    R(E_0F38_66, 0x8f, 0x8f, BITALG, E1)
    R(E_0F38_66, 0x90, 0x93, AVX512, EW)
    R(E_0F38_66, 0x96, 0x9f, AVX512, FP | EW)
    R(E_0F38_66, 0xa0, 0xa3, AVX512, EW)
    R(E_0F38_66, 0xa6, 0xaf, AVX512, FP | EW)
    R(E_0F38_66, 0xb4, 0xb5, IFMA, E8)
    R(E_0F38_66, 0xb6, 0xbf, AVX512, FP | EW)
    R(E_0F38_66, 0xc4, 0xc4, AVX512, NF | EW)
    R(E_0F38_66, 0xcf, 0xcf, GFNI, E1)
    R(E_0F38_66, 0xdc, 0xdf, VAES, E16)
    /* EVEX 0F38 F3 */
    R(E_0F38_F3, 0x10, 0x12, AVX512, E1)
    R(E_0F38_F3, 0x13, 0x14, AVX512, E2)
    R(E_0F38_F3, 0x15, 0x15, AVX512, E4)
    R(E_0F38_F3, 0x20, 0x22, AVX512, E1)
    R(E_0F38_F3, 0x23, 0x24, AVX512, E2)
    R(E_0F38_F3, 0x25, 0x25, AVX512, E4)
    R(E_0F38_F3, 0x26, 0x26, AVX512, EBW)
    R(E_0F38_F3, 0x27, 0x27, AVX512, EW)
    R(E_0F38_F3, 0x28, 0x2a, AVX512, 0)
    R(E_0F38_F3, 0x30, 0x32, AVX512, E1)
    R(E_0F38_F3, 0x33, 0x34, AVX512, E2)
    R(E_0F38_F3, 0x35, 0x35, AVX512, E4)
    R(E_0F38_F3, 0x38, 0x3a, AVX512, 0)
    R(E_0F38_F3, 0x52, 0x52, BF16, E4)
    R(E_0F38_F3, 0x72, 0x72, BF16, E4)
    /* EVEX 0F38 F2 */
    R(E_0F38_F2, 0x68, 0x68, VP2INTERSECT, EW)
    R(E_0F38_F2, 0x72, 0x72, BF16, NF | E4)
    /* EVEX 0F3A NP */
    R(E_0F3A_NP, 0x08, 0x08, FP16, FP | E2)
    R(E_0F3A_NP, 0x0a, 0x0a, FP16, FP | E2)
    R(E_0F3A_NP, 0x26, 0x27, FP16, FP | E2)
    R(E_0F3A_NP, 0x56, 0x57, FP16, FP | E2)
    R(E_0F3A_NP, 0x66, 0x67, FP16, FP | E2)
    R(E_0F3A_NP, 0xc2, 0xc2, FP16, FP | E2)
    /* EVEX 0F3A 66 */
    R(E_0F3A_66, 0x00, 0x01, AVX512, NF | E8)
    R(E_0F3A_66, 0x03, 0x03, AVX512, NF | EW)
    R(E_0F3A_66, 0x04, 0x04, AVX512, NF | E4)
    R(E_0F3A_66, 0x05, 0x05, AVX512, NF | E8)
    R(E_0F3A_66, 0x08, 0x08, AVX512, FP | E4)
    R(E_0F3A_66, 0x09, 0x09, AVX512, FP | E8)
    R(E_0F3A_66, 0x0a, 0x0a, AVX512, FP | E4)
    R(E_0F3A_66, 0x0b, 0x0b, AVX512, FP | E8)
    R(E_0F3A_66, 0x0f, 0x0f, AVX512, NF | E1)
    R(E_0F3A_66, 0x14, 0x14, AVX512, NF | E1)
    R(E_0F3A_66, 0x15, 0x15, AVX512, NF | E2)
    R(E_0F3A_66, 0x16, 0x16, AVX512, NF | EW)
    R(E_0F3A_66, 0x17, 0x17, AVX512, NF | E4)
    R(E_0F3A_66, 0x18, 0x1b, AVX512, NF | EW)
    R(E_0F3A_66, 0x1d, 0x1d, AVX512, FP | E2)
    R(E_0F3A_66, 0x1e, 0x1f, AVX512, EW)
    R(E_0F3A_66, 0x20, 0x20, AVX512, NF | E1)
    R(E_0F3A_66, 0x21, 0x21, AVX512, NF | E4)
    R(E_0F3A_66, 0x22, 0x23, AVX512, NF | EW)
    R(E_0F3A_66, 0x25, 0x25, AVX512, EW)
    R(E_0F3A_66, 0x26, 0x27, AVX512, FP | EW)
    R(E_0F3A_66, 0x38, 0x3b, AVX512, NF | EW)
    R(E_0F3A_66, 0x3e, 0x3f, AVX512, EBW)
    R(E_0F3A_66, 0x42, 0x42, AVX512, NF | E1)
    R(E_0F3A_66, 0x43, 0x43, AVX512, NF | EW)
    R(E_0F3A_66, 0x44, 0x44, VPCLMUL, E8)
    R(E_0F3A_66, 0x50, 0x51, AVX512, FP | EW)
    R(E_0F3A_66, 0x54, 0x57, AVX512, FP | EW)
    R(E_0F3A_66, 0x66, 0x67, AVX512, FP | EW)
    R(E_0F3A_66, 0x70, 0x70, VBMI2, E2)
    R(E_0F3A_66, 0x71, 0x71, VBMI2, EW)
    R(E_0F3A_66, 0x72, 0x72, VBMI2, E2)
    R(E_0F3A_66, 0x73, 0x73, VBMI2, EW)
    R(E_0F3A_66, 0xce, 0xcf, GFNI, NF | E8)
    /* EVEX 0F3A F3 */
    R(E_0F3A_F3, 0xc2, 0xc2, FP16, FP | E2)
    /* EVEX MAP5 NP */
    R(E_MAP5_NP, 0x1d, 0x1d, FP16, FP | E4)
    R(E_MAP5_NP, 0x2e, 0x2f, FP16, FP | NF | E2)
    R(E_MAP5_NP, 0x51, 0x51, FP16, FP | E2)
    R(E_MAP5_NP, 0x58, 0x59, FP16, FP | E2)
    R(E_MAP5_NP, 0x5a, 0x5a, FP16, FP | E2 | QUART)
    R(E_MAP5_NP, 0x5b, 0x5b, FP16, FP | EW)
    R(E_MAP5_NP, 0x5c, 0x5f, FP16, FP | E2)
    R(E_MAP5_NP, 0x78, 0x79, FP16, FP | E2 | HALF)
    R(E_MAP5_NP, 0x7c, 0x7d, FP16, FP | E2)
    /* EVEX MAP5 66 */
    R(E_MAP5_66, 0x1d, 0x1d, FP16, FP | E4)
    R(E_MAP5_66, 0x5a, 0x5a, FP16, FP | E8)
    R(E_MAP5_66, 0x5b, 0x5b, FP16, FP | E2 | HALF)
    R(E_MAP5_66, 0x6e, 0x6e, FP16, NF | E2)
    R(E_MAP5_66, 0x78, 0x7b, FP16, FP | E2 | QUART)
    R(E_MAP5_66, 0x7c, 0x7d, FP16, FP | E2)
    R(E_MAP5_66, 0x7e, 0x7e, FP16, NF | E2)
    /* EVEX MAP5 F3 */
    R(E_MAP5_F3, 0x10, 0x11, FP16, E2)
    R(E_MAP5_F3, 0x2a, 0x2a, FP16, FP | NF | EW)
    R(E_MAP5_F3, 0x2c, 0x2d, FP16, FP | NF | E2)
    R(E_MAP5_F3, 0x51, 0x51, FP16, FP | E2)
    R(E_MAP5_F3, 0x58, 0x5a, FP16, FP | E2)
    R(E_MAP5_F3, 0x5b, 0x5b, FP16, FP | E2 | HALF)
    R(E_MAP5_F3, 0x5c, 0x5f, FP16, FP | E2)
    R(E_MAP5_F3, 0x78, 0x79, FP16, FP | NF | E2)
    R(E_MAP5_F3, 0x7b, 0x7b, FP16, FP | NF | EW)
    R(E_MAP5_F3, 0x7d, 0x7d, FP16, FP | E2)
    /* EVEX MAP5 F2 */
    R(E_MAP5_F2, 0x5a, 0x5a, FP16, FP | E8)
    R(E_MAP5_F2, 0x7a, 0x7a, FP16, FP | EW)
    R(E_MAP5_F2, 0x7d, 0x7d, FP16, FP | E2)
    /* EVEX MAP6 NP */
    R(E_MAP6_NP, 0x13, 0x13, FP16, FP | E2)
    /* EVEX MAP6 66 */
    R(E_MAP6_66, 0x13, 0x13, FP16, FP | E2 | HALF)
    R(E_MAP6_66, 0x2c, 0x2d, FP16, FP | E2)
    R(E_MAP6_66, 0x42, 0x43, FP16, FP | E2)
    R(E_MAP6_66, 0x4c, 0x4f, FP16, FP | E2)
    R(E_MAP6_66, 0x96, 0x9f, FP16, FP | E2)
    R(E_MAP6_66, 0xa6, 0xaf, FP16, FP | E2)
    R(E_MAP6_66, 0xb6, 0xbf, FP16, FP | E2)
    /* EVEX MAP6 F3 */
    R(E_MAP6_F3, 0x56, 0x57, FP16, E4 | FP)
    R(E_MAP6_F3, 0xd6, 0xd7, FP16, E4 | FP)
    /* EVEX MAP6 F2 */
    R(E_MAP6_F2, 0x56, 0x57, FP16, E4 | FP)
    R(E_MAP6_F2, 0xd6, 0xd7, FP16, E4 | FP)
};
/* clang-format on */

static const struct native_row *row_of(const struct x86_insn *insn)
{
    unsigned page = NATIVE_PAGE(insn->enc, insn->map, insn->pp);
    unsigned lo = 0, hi = ARRAY_LEN(rows);
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        const struct native_row *r = &rows[mid];
        if (r->page < page || (r->page == page && r->last < insn->opcode))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < ARRAY_LEN(rows) && rows[lo].page == page && rows[lo].first <= insn->opcode
               ? &rows[lo]
               : NULL;
}

const struct native_row *native_lookup(const struct x86_native *n, const struct x86_insn *insn)
{
    const struct native_row *r = row_of(insn);
    if (!r)
        return NULL;
    bool wide = insn->vl > 16;
    uint64_t need;
    switch (r->feature) {
    case NATIVE_F_AVX_INT: need = BIT(wide ? NATIVE_F_AVX2 : NATIVE_F_AVX); break;
    case NATIVE_F_AVX_BCAST: need = BIT(insn->mem ? NATIVE_F_AVX : NATIVE_F_AVX2); break;
    case NATIVE_F_AES_VAES: need = BIT(wide ? NATIVE_F_VAES : NATIVE_F_AES); break;
    case NATIVE_F_PCLMUL_VEX: need = BIT(wide ? NATIVE_F_VPCLMUL : NATIVE_F_PCLMUL); break;
    case NATIVE_F_GFNI_AVX: need = BIT(NATIVE_F_GFNI); break;
    case NATIVE_F_VBMI_W0: need = BIT(insn->rex & 8 ? NATIVE_F_AVX512 : NATIVE_F_VBMI); break;
    default: need = BIT(r->feature);
    }
    if (insn->enc == X86_ENC_VEX)
        need |= BIT(NATIVE_F_AVX);
    if (insn->enc == X86_ENC_EVEX)
        need |= BIT(NATIVE_F_AVX512);
    return (n->features & need) == need ? r : NULL;
}

/* The bits of one CPUID register that stand for features. */
static uint64_t pick(uint32_t reg, const uint8_t (*map)[2], unsigned count)
{
    uint64_t f = 0;
    for (unsigned i = 0; i < count; i++)
        if (reg & BIT(map[i][0]))
            f |= BIT(map[i][1]);
    return f;
}

static uint64_t xgetbv0(void)
{
    uint32_t a, d;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (uint64_t)d << 32 | a;
}

static uint64_t read_features(void)
{
    static const uint8_t c1[][2] = {
        { 0, NATIVE_F_SSE3 }, { 1, NATIVE_F_PCLMUL }, { 9, NATIVE_F_SSSE3 },
        { 12, NATIVE_F_FMA }, { 19, NATIVE_F_SSE41 }, { 20, NATIVE_F_SSE42 },
        { 25, NATIVE_F_AES }, { 28, NATIVE_F_AVX },   { 29, NATIVE_F_F16C },
    };
    static const uint8_t b7[][2] = { { 5, NATIVE_F_AVX2 },
                                     { 21, NATIVE_F_IFMA },
                                     { 29, NATIVE_F_SHA } };
    static const uint8_t c7[][2] = {
        { 1, NATIVE_F_VBMI },    { 6, NATIVE_F_VBMI2 },      { 8, NATIVE_F_GFNI },
        { 9, NATIVE_F_VAES },    { 10, NATIVE_F_VPCLMUL },   { 11, NATIVE_F_VNNI },
        { 12, NATIVE_F_BITALG }, { 14, NATIVE_F_VPOPCNTDQ },
    };
    static const uint8_t d7[][2] = { { 8, NATIVE_F_VP2INTERSECT }, { 23, NATIVE_F_FP16 } };
    static const uint8_t a71[][2] = { { 4, NATIVE_F_AVXVNNI }, { 5, NATIVE_F_BF16 } };
    static const uint32_t avx512_b7 = BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31);
    uint32_t a, b, c, d;
    uint64_t f = BIT(NATIVE_F_SSE2), xcr0 = 0;
    __cpuid(1, a, b, c, d);
    f |= pick(c, c1, ARRAY_LEN(c1));
    if (c & BIT(27)) /* OSXSAVE */
        xcr0 = xgetbv0();
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        uint32_t leaves = a;
        f |= pick(b, b7, ARRAY_LEN(b7)) | pick(c, c7, ARRAY_LEN(c7)) | pick(d, d7, ARRAY_LEN(d7));
        if ((b & avx512_b7) == avx512_b7)
            f |= BIT(NATIVE_F_AVX512);
        if (leaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d))
            f |= pick(a, a71, ARRAY_LEN(a71));
    }
    /* What the operating system does not switch is not there. */
    if ((xcr0 & (X86_XCR0_SSE | X86_XCR0_AVX)) != (X86_XCR0_SSE | X86_XCR0_AVX))
        f &= BIT(NATIVE_F_GFNI + 1) - 1;
    if ((xcr0 & X86_XCR0_AVX512) != X86_XCR0_AVX512 || !(f & BIT(NATIVE_F_AVX2)))
        f &= BIT(NATIVE_F_AVXVNNI + 1) - 1;
    return f;
}

/* Read once: CPUID costs tens of microseconds where it traps. */
uint64_t native_host_features(void)
{
    static _Atomic uint64_t known;

    if (!known) /* SSE2 is always there */
        known = read_features();
    return known;
}
