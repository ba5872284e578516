/* SPDX-License-Identifier: BSD-2-Clause */
/* The decoder's tables: nodes of a tree whose leaves are instruction forms. Private to decode*.c.
 * [SDM] vol. 2 appendix A "Opcode Map"; operand letters follow it. */
#ifndef ISA_X86_DECODE_H
#define ISA_X86_DECODE_H

#include "isa/x86/insn.h"

/* How a node chooses among its children. */
enum {
    SPLIT_NONE, /* a leaf */
    SPLIT_PP,   /* mandatory prefix: none, 66, F3, F2 */
    SPLIT_REG,  /* ModRM.reg */
    SPLIT_RM,   /* ModRM.rm */
    SPLIT_MOD,  /* memory, register */
    SPLIT_M64,  /* not 64-bit mode, 64-bit mode */
    SPLIT_W,    /* REX.W, VEX.W, EVEX.W */
    SPLIT_NOP,  /* opcode 90: NOP, PAUSE, XCHG with r8 */
    SPLIT_LAST_SELECTOR = SPLIT_NOP,
    /* Bytes that are not an opcode (yet); only in the one-byte map. */
    SPLIT_PREFIX,
    SPLIT_REX,
    SPLIT_0F,
    SPLIT_EVEX,
    SPLIT_VEX3,
    SPLIT_VEX2
};

struct x86_node {
    uint8_t split;
    uint8_t pad;
    uint16_t op;
    uint32_t attr; /* A_* */
    union {
        uint16_t o[4]; /* operands: S() and an access */
        const struct x86_node *sub;
    };
};
_Static_assert(sizeof(struct x86_node) == 16, "four nodes a cache line");

/* Immediates, as stored */
enum {
    IMM_NONE,
    IMM_B,      /* byte, zero-extended */
    IMM_BS,     /* byte, sign-extended to the operand size */
    IMM_Z,      /* word or dword, sign-extended to the operand size */
    IMM_V,      /* full operand size */
    IMM_W,      /* word */
    IMM_P,      /* far pointer */
    IMM_O,      /* memory offset of address size */
    IMM_JB,     /* branch displacements */
    IMM_JZ,     /* … */
    IMM_2 = 16, /* a byte follows as second immediate */
    IMM_MASK = 31
};

/* Attributes of a form */
#define A_MODRM       (1u << 5)
#define A_MEM         (1u << 6) /* register form is undefined */
#define A_REG         (1u << 7) /* memory form is undefined */
#define A_D64         (1u << 8) /* 64-bit mode: operand size 64 unless 66 */
#define A_F64         (2u << 8) /* 64-bit mode: operand size always 64 */
#define A_M32         (3u << 8) /* operand size 64 in 64-bit mode, else 32 */
#define A_CR          (4u << 8) /* like A_M32; ModRM.mod is ignored: always registers */
#define A_LOCK        (1u << 11)
#define A_ENDS        (1u << 12)
#define A_PRIV        (1u << 13)
#define A_I64         (1u << 14) /* undefined in 64-bit mode */
#define A_O64         (1u << 15) /* undefined outside 64-bit mode */
#define A_W0          (1u << 16) /* VEX, EVEX: W must be 0, … */
#define A_W1          (1u << 17)
#define A_L0          (1u << 18) /* vector lengths allowed; none given: ignored */
#define A_L1          (1u << 19)
#define A_L2          (1u << 20)
#define A_VVVV        (1u << 21) /* uses VEX.vvvv */
#define A_B16         (1u << 22) /* EVEX: element size of a broadcast */
#define A_B32         (2u << 22)
#define A_B64         (3u << 22)
#define A_BW          (4u << 22) /* 32 or 64 bits, by W */
#define A_BBW         (5u << 22) /* 8 or 16 bits, by W */
#define A_BCAST       (7u << 22)
#define A_ER          (1u << 25) /* EVEX.b with registers: static rounding */
#define A_SAE         (1u << 26) /* EVEX.b with registers: suppress exceptions */
#define A_MASK        (1u << 27) /* EVEX.aaa may be other than 0 */
#define A_ZERO        (1u << 28) /* EVEX.z allowed */
#define A_VSIB        (1u << 29)
#define A_TUPLE1      (1u << 30) /* disp8 counts elements of A_BCAST's size; there is no broadcast */
#define A_GATHER      (1u << 31) /* EVEX.aaa must not be 0; index differs from the other registers */
#define A_OSZ(a)      (((a) >> 8) & 7)
#define A_BCAST_OF(a) (((a) >> 22) & 7)

/* Where an operand is found */
enum {
    L_NONE,
    /* ModRM.rm, register or memory */
    L_E,  /* general register */
    L_Q,  /* MMX */
    L_W,  /* vector */
    L_KE, /* mask */
    L_M,  /* memory only */
    L_MV, /* memory with vector index */
    /* ModRM.rm, register only */
    L_R,
    L_N,
    L_U,
    L_KU,
    L_STI,
    /* ModRM.reg */
    L_G,
    L_P,
    L_V,
    L_K,
    L_S,
    L_C,
    L_D,
    /* VEX.vvvv */
    L_H,
    L_B,
    L_KH,
    /* elsewhere */
    L_L, /* vector register in the immediate's high half */
    L_Z, /* opcode's low bits */
    L_A,
    L_CL,
    L_DX,
    L_ES,
    L_CS,
    L_SS,
    L_DS,
    L_FS,
    L_GS,
    L_ST0,
    L_ONE, /* the number 1 */
    L_O,   /* memory at an immediate offset */
    L_IB,
    L_IBS,
    L_IZ,
    L_IV,
    L_IW,
    L_IB2,
    L_AP,
    L_JB,
    L_JZ,
    L_COUNT
};

/* Operand sizes: see decode_size.c */
enum {
    Z_n, /* none or known at run time */
    Z_b,
    Z_w,
    Z_d,
    Z_q,
    Z_t,  /* 10 */
    Z_o,  /* 16 */
    Z_yy, /* 32 */
    Z_zz, /* 64 */
    Z_fx, /* 512 */
    Z_v,  /* operand size */
    Z_z,  /* operand size, at most 4 */
    Z_y,  /* operand size, at least 4 */
    Z_p,  /* far pointer */
    Z_a,  /* two of operand size */
    Z_s,  /* descriptor table register */
    Z_rw, /* register: operand size; memory: 2 */
    Z_zw, /* register: operand size, at most 4; memory: 2 */
    Z_db, /* register: 4; memory: 1 */
    Z_dw, /* register: 4; memory: 2 */
    Z_x,  /* vector length */
    Z_h,  /* half, quarter, eighth of it */
    Z_hh,
    Z_hhh,
    Z_e,   /* 4 or 8 by W */
    Z_dup, /* vector length, but 8 for memory of 16 */
    Z_env, /* 14, 28 */
    Z_sav, /* 94, 108 */
    Z_COUNT
};

/* An operand in the tables: location, size, access. */
#define S(loc, size) (L_##loc | Z_##size << 6)
#define LOC(o)       ((o)&63)
#define SIZE(o)      ((o) >> 6 & 63)
#define ACCESS(o)    ((o) >> 12 & 7)
#define W            1 << 12 |
#define RW           2 << 12 |
#define NA           3 << 12 | /* not accessed */
#define CW           4 << 12 | /* perhaps written */
#define RCW          5 << 12 | /* read, perhaps written */

#define AUTO_IMM(o)                                                                                \
    (LOC(o) == L_IB || LOC(o) == L_L ? IMM_B                                                       \
     : LOC(o) == L_IBS               ? IMM_BS                                                      \
     : LOC(o) == L_IZ                ? IMM_Z                                                       \
     : LOC(o) == L_IV                ? IMM_V                                                       \
     : LOC(o) == L_IW                ? IMM_W                                                       \
     : LOC(o) == L_IB2               ? IMM_2                                                       \
     : LOC(o) == L_AP                ? IMM_P                                                       \
     : LOC(o) == L_O                 ? IMM_O                                                       \
     : LOC(o) == L_JB                ? IMM_JB                                                      \
     : LOC(o) == L_JZ                ? IMM_JZ                                                      \
                                     : 0)
#define AUTO(o)                                                                                    \
    (AUTO_IMM(o) | (LOC(o) >= L_E && LOC(o) <= L_D ? A_MODRM : 0) | (LOC(o) == L_M ? A_MEM : 0) |  \
     (LOC(o) == L_MV ? A_MEM | A_VSIB : 0) | (LOC(o) >= L_R && LOC(o) <= L_STI ? A_REG : 0) |      \
     (LOC(o) >= L_H && LOC(o) <= L_KH ? A_VVVV : 0))
#define LEAF(op_, attr_, a, b, c, d, ...)                                                          \
    {                                                                                              \
        .op = (op_), .attr = (attr_) | AUTO(a) | AUTO(b) | AUTO(c) | AUTO(d), .o = { a, b, c, d }  \
    }
/* A form: operation and operands; A() with attributes. */
#define I(op, ...)       LEAF(X86_OP_##op, 0, ##__VA_ARGS__, 0, 0, 0, 0, 0)
#define A(op, attr, ...) LEAF(X86_OP_##op, attr, ##__VA_ARGS__, 0, 0, 0, 0, 0)
#define U_                                                                                         \
    {                                                                                              \
        .op = X86_OP_INVALID, .attr = A_ENDS                                                       \
    }
#define SUB(kind, n, ...)                                                                          \
    {                                                                                              \
        .split = SPLIT_##kind, .sub = (const struct x86_node[n]) { __VA_ARGS__ }                   \
    }
#define PP(...)   SUB(PP, 4, __VA_ARGS__)
#define NP(...)   SUB(PP, 4, __VA_ARGS__, U_, U_, U_)
#define P66(...)  SUB(PP, 4, U_, __VA_ARGS__, U_, U_)
#define PF3(...)  SUB(PP, 4, U_, U_, __VA_ARGS__, U_)
#define PF2(...)  SUB(PP, 4, U_, U_, U_, __VA_ARGS__)
#define MOD(...)  SUB(MOD, 2, __VA_ARGS__) /* memory, register */
#define M64(...)  SUB(M64, 2, __VA_ARGS__) /* other modes, 64-bit mode */
#define BYW(...)  SUB(W, 2, __VA_ARGS__)
#define REG8(...) SUB(REG, 8, __VA_ARGS__)
#define RM8(...)  SUB(RM, 8, __VA_ARGS__)

extern const struct x86_node x86_map_1byte[256], x86_map_0f[256], x86_map_0f38[256],
    x86_map_0f3a[256];
extern const struct x86_node x86_map_fpu[8][2];    /* D8..DF: memory, register */
extern const struct x86_node x86_map_vex[3][256];  /* maps 1..3 */
extern const struct x86_node x86_map_evex[6][256]; /* maps 1..6; 4 is empty */
/* By SIZE() and context: operand size (0: 2, 1: 4, 2: 8) | W << 2 | vector length << 3 | memory <<
 * 5 */
extern const uint16_t x86_size_table[Z_COUNT][64];

#endif
