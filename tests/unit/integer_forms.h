/* SPDX-License-Identifier: BSD-2-Clause */
/* Instruction forms for integer.c: opcodes, what may be varied, and the flags the manual leaves
 * undefined. */
#ifndef TESTS_UNIT_INTEGER_FORMS_H
#define TESTS_UNIT_INTEGER_FORMS_H

#include "isa/x86/regs.h"

enum { IMM8 = 1, IMMZ = 2, IMM_V = 4 };
enum {
    M = 1,         /* has ModRM */
    R_ONLY = 2,    /* register form only */
    M_ONLY = 4,    /* memory form only */
    FIXED_REG = 8, /* ModRM.reg is given */
    LOCKABLE = 16, /* sometimes with LOCK (memory form) */
    BITSTR = 32,   /* registers small, as bit offsets */
    NO66 = 64,     /* no operand-size prefix */
    STRING = 128,  /* rsi, rdi into memory, rcx small */
    STACK = 256,   /* rsp and rbp into memory */
    DIVIDE = 512,
    ALIGN16 = 1024,
    ONLY32 = 4096, /* not in 64-bit mode */
    NO32 = 8192,   /* not in 32-bit mode, or another instruction there */
    VEX = 2048,    /* bytes: map | pp << 4, opcode; W random */
};
struct form {
    const char *prefix; /* mandatory prefix */
    const char *op;     /* opcode bytes */
    unsigned attr, reg, imm;
    uint32_t undefined; /* flags the manual leaves undefined */
};
#define U_LOGIC X86_AF
#define U_SHIFT (X86_AF | X86_OF)
#define U_MUL   (X86_SF | X86_ZF | X86_AF | X86_PF)
#define U_BT    (X86_SF | X86_AF | X86_PF | X86_OF)
#define U_BMI   (X86_AF | X86_PF)
/* clang-format off */
static const struct form forms[] = {
#define FOUR(b, x, y, z, w, u)                                                                     \
    { "", x, M | LOCKABLE, 0, 0, u }, { "", y, M | LOCKABLE, 0, 0, u }, { "", z, M, 0, 0, u },     \
    {                                                                                              \
        "", w, M, 0, 0, u                                                                          \
    }
    FOUR(0, "\x00", "\x01", "\x02", "\x03", 0), FOUR(1, "\x08", "\x09", "\x0a", "\x0b", U_LOGIC),
    FOUR(2, "\x10", "\x11", "\x12", "\x13", 0), FOUR(3, "\x18", "\x19", "\x1a", "\x1b", 0),
    FOUR(4, "\x20", "\x21", "\x22", "\x23", U_LOGIC), FOUR(5, "\x28", "\x29", "\x2a", "\x2b", 0),
    FOUR(6, "\x30", "\x31", "\x32", "\x33", U_LOGIC), { "", "\x38", M, 0, 0, 0 },
    { "", "\x39", M, 0, 0, 0 }, { "", "\x3a", M, 0, 0, 0 }, { "", "\x3b", M, 0, 0, 0 },
    { "", "\x04", 0, 0, IMM8, 0 }, { "", "\x05", 0, 0, IMMZ, 0 }, { "", "\x14", 0, 0, IMM8, 0 },
    { "", "\x1d", 0, 0, IMMZ, 0 }, { "", "\x3d", 0, 0, IMMZ, 0 },
    { "", "\x80", M, 0, IMM8, U_LOGIC }, { "", "\x81", M, 0, IMMZ, U_LOGIC },
    { "", "\x83", M, 0, IMM8, U_LOGIC }, { "", "\x84", M, 0, 0, U_LOGIC },
    { "", "\x85", M, 0, 0, U_LOGIC }, { "", "\xa8", 0, 0, IMM8, U_LOGIC },
    { "", "\xa9", 0, 0, IMMZ, U_LOGIC }, { "", "\x86", M | LOCKABLE, 0, 0, 0 },
    { "", "\x87", M | LOCKABLE, 0, 0, 0 }, { "", "\x88", M, 0, 0, 0 }, { "", "\x89", M, 0, 0, 0 },
    { "", "\x8a", M, 0, 0, 0 }, { "", "\x8b", M, 0, 0, 0 }, { "", "\x8d", M | M_ONLY, 0, 0, 0 },
    { "", "\x63", M | NO32, 0, 0, 0 }, { "", "\x69", M, 0, IMMZ, U_MUL },
    { "", "\x6b", M, 0, IMM8, U_MUL }, { "", "\x90", 0, 0, 0, 0 }, { "", "\x93", 0, 0, 0, 0 },
    { "", "\x98", 0, 0, 0, 0 }, { "", "\x99", 0, 0, 0, 0 }, { "", "\x9e", 0, 0, 0, 0 },
    { "", "\x9f", 0, 0, 0, 0 }, { "", "\xb4", 0, 0, IMM8, 0 }, { "", "\xb9", 0, 0, IMM_V, 0 },
    { "", "\xc6", M | FIXED_REG, 0, IMM8, 0 }, { "", "\xc7", M | FIXED_REG, 0, IMMZ, 0 },
/* shifts: one line a group member, so that all counts come up */
#define SHIFT(r, u)                                                                                \
    { "", "\xc0", M | FIXED_REG, r, IMM8, u }, { "", "\xc1", M | FIXED_REG, r, IMM8, u },          \
        { "", "\xd0", M | FIXED_REG, r, 0, (u) & ~X86_OF },                                        \
        { "", "\xd1", M | FIXED_REG, r, 0, (u) & ~X86_OF },                                        \
        { "", "\xd2", M | FIXED_REG, r, 0, u },                                                    \
    {                                                                                              \
        "", "\xd3", M | FIXED_REG, r, 0, u                                                         \
    }
    SHIFT(0, X86_OF), SHIFT(1, X86_OF), SHIFT(2, X86_OF), SHIFT(3, X86_OF),
    SHIFT(4, U_SHIFT | X86_CF), SHIFT(5, U_SHIFT | X86_CF), SHIFT(7, U_SHIFT),
    { "", "\x0f\xa4", M, 0, IMM8, X86_AFLAGS }, { "", "\x0f\xa5", M, 0, 0, X86_AFLAGS },
    { "", "\x0f\xac", M, 0, IMM8, X86_AFLAGS }, { "", "\x0f\xad", M, 0, 0, X86_AFLAGS },
    { "", "\xf6", M | FIXED_REG, 0, IMM8, U_LOGIC },
    { "", "\xf7", M | FIXED_REG, 0, IMMZ, U_LOGIC },
    { "", "\xf6", M | FIXED_REG | LOCKABLE, 2, 0, 0 },
    { "", "\xf7", M | FIXED_REG | LOCKABLE, 2, 0, 0 },
    { "", "\xf6", M | FIXED_REG | LOCKABLE, 3, 0, 0 },
    { "", "\xf7", M | FIXED_REG | LOCKABLE, 3, 0, 0 }, { "", "\xf6", M | FIXED_REG, 4, 0, U_MUL },
    { "", "\xf7", M | FIXED_REG, 4, 0, U_MUL }, { "", "\xf6", M | FIXED_REG, 5, 0, U_MUL },
    { "", "\xf7", M | FIXED_REG, 5, 0, U_MUL },
    { "", "\xf6", M | FIXED_REG | DIVIDE, 6, 0, X86_AFLAGS },
    { "", "\xf7", M | FIXED_REG | DIVIDE, 6, 0, X86_AFLAGS },
    { "", "\xf6", M | FIXED_REG | DIVIDE, 7, 0, X86_AFLAGS },
    { "", "\xf7", M | FIXED_REG | DIVIDE, 7, 0, X86_AFLAGS }, { "", "\xf5", 0, 0, 0, 0 },
    { "", "\xf8", 0, 0, 0, 0 }, { "", "\xf9", 0, 0, 0, 0 }, { "", "\xfc", 0, 0, 0, 0 },
    { "", "\xfd", 0, 0, 0, 0 }, { "", "\xfe", M | FIXED_REG | LOCKABLE, 0, 0, 0 },
    { "", "\xff", M | FIXED_REG | LOCKABLE, 0, 0, 0 },
    { "", "\xfe", M | FIXED_REG | LOCKABLE, 1, 0, 0 },
    { "", "\xff", M | FIXED_REG | LOCKABLE, 1, 0, 0 }, { "", "\x0f\xaf", M, 0, 0, U_MUL },
    { "", "\x0f\xb6", M, 0, 0, 0 }, { "", "\x0f\xb7", M, 0, 0, 0 },
    { "", "\x0f\xbe", M, 0, 0, 0 }, { "", "\x0f\xbf", M, 0, 0, 0 },
    { "", "\x0f\xa3", M | BITSTR, 0, 0, U_BT },
    { "", "\x0f\xab", M | BITSTR | LOCKABLE, 0, 0, U_BT },
    { "", "\x0f\xb3", M | BITSTR | LOCKABLE, 0, 0, U_BT },
    { "", "\x0f\xbb", M | BITSTR | LOCKABLE, 0, 0, U_BT },
    { "", "\x0f\xba", M | FIXED_REG, 4, IMM8, U_BT },
    { "", "\x0f\xba", M | FIXED_REG | LOCKABLE, 5, IMM8, U_BT },
    { "", "\x0f\xba", M | FIXED_REG | LOCKABLE, 6, IMM8, U_BT },
    { "", "\x0f\xba", M | FIXED_REG | LOCKABLE, 7, IMM8, U_BT },
    { "", "\x0f\xbc", M, 0, 0, X86_AFLAGS & ~X86_ZF },
    { "", "\x0f\xbd", M, 0, 0, X86_AFLAGS & ~X86_ZF },
    { "\xf3", "\x0f\xbc", M, 0, 0, X86_OF | X86_SF | X86_PF | X86_AF },
    { "\xf3", "\x0f\xbd", M, 0, 0, X86_OF | X86_SF | X86_PF | X86_AF },
    { "\xf3", "\x0f\xb8", M, 0, 0, 0 }, { "\xf2", "\x0f\x38\xf0", M | NO66, 0, 0, 0 },
    { "\xf2", "\x0f\x38\xf1", M, 0, 0, 0 }, { "", "\x0f\x38\xf0", M | M_ONLY, 0, 0, 0 },
    { "", "\x0f\x38\xf1", M | M_ONLY, 0, 0, 0 }, { "\x66", "\x0f\x38\xf6", M, 0, 0, 0 },
    { "\xf3", "\x0f\x38\xf6", M | NO66, 0, 0, 0 }, { "", "\x0f\xb0", M | LOCKABLE, 0, 0, 0 },
    { "", "\x0f\xb1", M | LOCKABLE, 0, 0, 0 }, { "", "\x0f\xc0", M | LOCKABLE, 0, 0, 0 },
    { "", "\x0f\xc1", M | LOCKABLE, 0, 0, 0 }, { "", "\x0f\xc3", M | M_ONLY | NO66, 0, 0, 0 },
    { "", "\x0f\xc7", M | M_ONLY | FIXED_REG | LOCKABLE | NO66 | ALIGN16, 1, 0, 0 },
    { "", "\x0f\xc8", NO66, 0, 0, 0 }, { "", "\x0f\xcf", NO66, 0, 0, 0 },
    { "", "\xd7", 0, 0, 0, 0 }, { "", "\xa4", STRING, 0, 0, 0 }, { "", "\xa5", STRING, 0, 0, 0 },
    { "", "\xa6", STRING, 0, 0, 0 }, { "", "\xa7", STRING, 0, 0, 0 },
    { "", "\xaa", STRING, 0, 0, 0 }, { "", "\xab", STRING, 0, 0, 0 },
    { "", "\xac", STRING, 0, 0, 0 }, { "", "\xad", STRING, 0, 0, 0 },
    { "", "\xae", STRING, 0, 0, 0 }, { "", "\xaf", STRING, 0, 0, 0 },
    { "", "\x50", STACK, 0, 0, 0 }, { "", "\x53", STACK, 0, 0, 0 },
    { "", "\x54", STACK, 0, 0, 0 }, { "", "\x58", STACK, 0, 0, 0 },
    { "", "\x5e", STACK, 0, 0, 0 }, { "", "\x5c", STACK, 0, 0, 0 },
    { "", "\x68", STACK, 0, IMMZ, 0 }, { "", "\x6a", STACK, 0, IMM8, 0 },
    { "", "\x9c", STACK, 0, 0, 0 }, { "", "\xff", M | FIXED_REG | STACK, 6, 0, 0 },
    { "", "\x8f", M | FIXED_REG | STACK, 0, 0, 0 }, { "", "\xc9", STACK, 0, 0, 0 },
    { "", "\xc8\x20\x00\x00", STACK, 0, 0, 0 }, { "", "\xc8\x30\x01\x01", STACK, 0, 0, 0 },
    { "", "\xc8\x10\x00\x05", STACK, 0, 0, 0 },
    { "", "\x40", ONLY32, 0, 0, 0 }, { "", "\x43", ONLY32, 0, 0, 0 }, { "", "\x4e", ONLY32, 0, 0, 0 },
    { "", "\x60", ONLY32 | STACK, 0, 0, 0 }, { "", "\x61", ONLY32 | STACK, 0, 0, 0 },
    { "", "\x27", ONLY32, 0, 0, X86_OF }, { "", "\x2f", ONLY32, 0, 0, X86_OF },
    { "", "\x37", ONLY32, 0, 0, X86_AFLAGS & ~(X86_AF | X86_CF) },
    { "", "\x3f", ONLY32, 0, 0, X86_AFLAGS & ~(X86_AF | X86_CF) },
    { "", "\xd4", ONLY32, 0, IMM8, X86_OF | X86_AF | X86_CF },
    { "", "\xd5", ONLY32, 0, IMM8, X86_OF | X86_AF | X86_CF }, { "", "\xd6", ONLY32, 0, 0, 0 },
    /* VEX: map, pp in the prefix */
    { "\x02\x00", "\xf2", VEX | M, 0, 0, U_BMI },
    { "\x02\x00", "\xf7", VEX | M, 0, 0, U_BMI | X86_SF },
    { "\x02\x00", "\xf3", VEX | M | FIXED_REG, 1, 0, U_BMI },
    { "\x02\x00", "\xf3", VEX | M | FIXED_REG, 2, 0, U_BMI },
    { "\x02\x00", "\xf3", VEX | M | FIXED_REG, 3, 0, U_BMI },
    { "\x02\x00", "\xf5", VEX | M, 0, 0, U_BMI }, { "\x02\x03", "\xf5", VEX | M, 0, 0, 0 },
    { "\x02\x02", "\xf5", VEX | M, 0, 0, 0 }, { "\x02\x03", "\xf6", VEX | M, 0, 0, 0 },
    { "\x03\x03", "\xf0", VEX | M, 0, IMM8, 0 }, { "\x02\x01", "\xf7", VEX | M, 0, 0, 0 },
    { "\x02\x02", "\xf7", VEX | M, 0, 0, 0 }, { "\x02\x03", "\xf7", VEX | M, 0, 0, 0 },
};/* clang-format on */

#endif
