/* SPDX-License-Identifier: BSD-2-Clause */
/* Operand sizes in bytes, by rule and context: see x86_size_table in decode.h. */
#include "isa/x86/decode.h"

#define X2(...) __VA_ARGS__, __VA_ARGS__
#define X4(...) X2(X2(__VA_ARGS__))
#define X8(...) X2(X4(__VA_ARGS__))
/* The context's bits from low to high: operand size (4 values), W (2), vector length (4), memory
 * (2). */
#define FIX(n)                                                                                     \
    {                                                                                              \
        X4(X8(n, n))                                                                               \
    }
#define OSZ(a, b, c)                                                                               \
    {                                                                                              \
        X8(X2(a, b, c, 0))                                                                         \
    }
#define BY_W(a, b)                                                                                 \
    {                                                                                              \
        X8(a, a, a, a, b, b, b, b)                                                                 \
    }
#define VL4(a, b, c) X8(a), X8(b), X8(c), X8(0)
#define VL(a, b, c)                                                                                \
    {                                                                                              \
        X2(VL4(a, b, c))                                                                           \
    }
#define VL_MEM(a, b, c, m, n, o)                                                                   \
    {                                                                                              \
        VL4(a, b, c), VL4(m, n, o)                                                                 \
    }

const uint16_t x86_size_table[Z_COUNT][64] = {
    [Z_n] = FIX(0),
    [Z_b] = FIX(1),
    [Z_w] = FIX(2),
    [Z_d] = FIX(4),
    [Z_q] = FIX(8),
    [Z_t] = FIX(10),
    [Z_o] = FIX(16),
    [Z_yy] = FIX(32),
    [Z_zz] = FIX(64),
    [Z_fx] = FIX(512),
    [Z_v] = OSZ(2, 4, 8),
    [Z_z] = OSZ(2, 4, 4),
    [Z_y] = OSZ(4, 4, 8),
    [Z_p] = OSZ(4, 6, 10),
    [Z_a] = OSZ(4, 8, 8),
    [Z_s] = OSZ(6, 6, 10),
    [Z_rw] = { X8(2, 4, 8, 0), X8(2), X8(2), X8(2), X8(2) },
    [Z_zw] = { X8(2, 4, 4, 0), X8(2), X8(2), X8(2), X8(2) },
    [Z_db] = { X4(X8(4)), X4(X8(1)) },
    [Z_dw] = { X4(X8(4)), X4(X8(2)) },
    [Z_x] = VL(16, 32, 64),
    [Z_h] = VL_MEM(16, 16, 32, 8, 16, 32),
    [Z_hh] = VL_MEM(16, 16, 16, 4, 8, 16),
    [Z_hhh] = VL_MEM(16, 16, 16, 2, 4, 8),
    [Z_e] = BY_W(4, 8),
    [Z_dup] = VL_MEM(16, 32, 64, 8, 32, 64),
    [Z_env] = OSZ(14, 28, 28),
    [Z_sav] = OSZ(94, 108, 108),
};
