/* SPDX-License-Identifier: BSD-2-Clause */
/* The decoder on encodings picked from [SDM] vol. 2. */
#include <string.h>

#include "isa/x86/insn.h"
#include "tests/unit/unit.h"

#define NONE X86_REG_NONE

struct want {
    const char *bytes;
    unsigned mode, op, len, osz, asz, operands;
    int mem, base, index, scale, seg;
    int64_t disp;
    uint64_t imm;
    unsigned size0; /* of the first operand */
};

static const struct want wants[] = {
    /* ADD [rbp-8], 0xffffffff (sign-extended): stack segment, imm cut to the operand size */
    { "\x83\x45\xf8\xff", 8, X86_OP_ADD, 4, 4, 8, 2, 1, 5, NONE, 0, X86_SS, -8, 0xffffffff, 4 },
    { "\x48\x83\xc0\xff", 8, X86_OP_ADD, 4, 8, 8, 2, 0, NONE, NONE, 0, X86_DS, 0, ~0ull, 8 },
    /* REX only counts directly before the opcode */
    { "\x48\x66\x01\xc8", 8, X86_OP_ADD, 4, 2, 8, 2, 0, NONE, NONE, 0, X86_DS, 0, 0, 2 },
    /* MOV eax, [rip+0x10]; the same in 32-bit mode is absolute */
    { "\x8b\x05\x10\x00\x00\x00", 8, X86_OP_MOV, 6, 4, 8, 2, 2, X86_REG_RIP, NONE, 0, X86_DS, 16, 0,
      4 },
    { "\x8b\x05\x10\x00\x00\x00", 4, X86_OP_MOV, 6, 4, 4, 2, 2, NONE, NONE, 0, X86_DS, 16, 0, 4 },
    /* base r13 needs a displacement, index r12 is one, rsp is none */
    { "\x43\x8b\x44\x65\x00", 8, X86_OP_MOV, 5, 4, 8, 2, 2, 13, 12, 1, X86_DS, 0, 0, 4 },
    { "\x8b\x04\x24", 8, X86_OP_MOV, 3, 4, 8, 2, 2, 4, NONE, 0, X86_SS, 0, 0, 4 },
    /* 16-bit addressing: [bp+si+disp8] is in SS, [disp16] in DS */
    { "\x8b\x42\xfe", 2, X86_OP_MOV, 3, 2, 2, 2, 2, 5, 6, 0, X86_SS, -2, 0, 2 },
    { "\x8b\x06\x34\x12", 2, X86_OP_MOV, 4, 2, 2, 2, 2, NONE, NONE, 0, X86_DS, 0x1234, 0, 2 },
    { "\x67\x66\x8b\x06", 2, X86_OP_MOV, 4, 4, 4, 2, 2, 6, NONE, 0, X86_DS, 0, 0, 4 },
    /* ES, CS, SS, DS overrides are ignored in 64-bit mode; FS is not */
    { "\x2e\x8b\x00", 8, X86_OP_MOV, 3, 4, 8, 2, 2, 0, NONE, 0, X86_DS, 0, 0, 4 },
    { "\x2e\x8b\x00", 4, X86_OP_MOV, 3, 4, 4, 2, 2, 0, NONE, 0, X86_CS, 0, 0, 4 },
    { "\x64\x2e\x8b\x00", 8, X86_OP_MOV, 4, 4, 8, 2, 2, 0, NONE, 0, X86_FS, 0, 0, 4 },
    /* MOV rax, moffs64 and with address size 32 */
    { "\x48\xa1\x88\x77\x66\x55\x44\x33\x22\x11", 8, X86_OP_MOV, 10, 8, 8, 2, 2, NONE, NONE, 0,
      X86_DS, 0x1122334455667788, 0, 8 },
    { "\x67\xa1\x88\x77\x66\x85", 8, X86_OP_MOV, 6, 4, 4, 2, 2, NONE, NONE, 0, X86_DS, 0x85667788,
      0, 4 },
    { "\x48\xb8\x88\x77\x66\x55\x44\x33\x22\x11", 8, X86_OP_MOV, 10, 8, 8, 2, 0, NONE, NONE, 0,
      X86_DS, 0, 0x1122334455667788, 8 },
    /* near branches ignore 66 in 64-bit mode */
    { "\x66\xe9\x00\x00\x00\x80", 8, X86_OP_JMP, 6, 8, 8, 1, 0, NONE, NONE, 0, X86_DS, 0,
      0xffffffff80000000, 8 },
    { "\x66\xe9\x00\x80", 4, X86_OP_JMP, 4, 2, 4, 1, 0, NONE, NONE, 0, X86_DS, 0,
      0xffffffffffff8000, 2 },
    { "\x50", 8, X86_OP_PUSH, 1, 8, 8, 1, 0, NONE, NONE, 0, X86_DS, 0, 0, 8 },
    { "\x66\x50", 8, X86_OP_PUSH, 2, 2, 8, 1, 0, NONE, NONE, 0, X86_DS, 0, 0, 2 },
    { "\x6a\x80", 8, X86_OP_PUSH, 2, 8, 8, 1, 0, NONE, NONE, 0, X86_DS, 0, 0xffffffffffffff80, 8 },
    /* opcode 90 and its neighbours */
    { "\x90", 8, X86_OP_NOP, 1, 4, 8, 0, 0, NONE, NONE, 0, X86_DS, 0, 0, 0 },
    { "\xf3\x90", 8, X86_OP_PAUSE, 2, 4, 8, 0, 0, NONE, NONE, 0, X86_DS, 0, 0, 0 },
    { "\x41\x90", 8, X86_OP_XCHG, 2, 4, 8, 2, 0, NONE, NONE, 0, X86_DS, 0, 0, 4 },
    { "\xf3\x0f\x1e\xfa", 8, X86_OP_ENDBR, 4, 4, 8, 0, 0, NONE, NONE, 0, X86_DS, 0, 0, 0 },
    { "\x63\xc8", 8, X86_OP_MOVSX, 2, 4, 8, 2, 0, NONE, NONE, 0, X86_DS, 0, 0, 4 },
    { "\x63\xc8", 4, X86_OP_ARPL, 2, 4, 4, 2, 0, NONE, NONE, 0, X86_DS, 0, 0, 2 },
    /* LES and LDS against VEX, BOUND against EVEX */
    { "\xc4\x00", 4, X86_OP_LOAD_FAR_PTR, 2, 4, 4, 2, 2, 0, NONE, 0, X86_DS, 0, 0, 4 },
    { "\xc5\xf8\x28\xc1", 4, X86_OP_AVX, 4, 4, 4, 2, 0, NONE, NONE, 0, X86_DS, 0, 0, 16 },
    { "\x62\x00", 4, X86_OP_BOUND, 2, 4, 4, 2, 2, 0, NONE, 0, X86_DS, 0, 0, 4 },
    { "\x9a\x78\x56\x34\x12\xcd\xab", 4, X86_OP_CALL_FAR, 7, 4, 4, 1, 0, NONE, NONE, 0, X86_DS, 0,
      0x12345678, 6 },
    { "\xc8\x34\x12\x05", 8, X86_OP_ENTER, 4, 8, 8, 2, 0, NONE, NONE, 0, X86_DS, 0, 0x1234, 2 },
    /* TEST at F6 /1, SHL at C0 /6; MOV CR is of registers whatever ModRM.mod */
    { "\xf6\xc8\x7f", 8, X86_OP_TEST, 3, 4, 8, 2, 0, NONE, NONE, 0, X86_DS, 0, 0x7f, 1 },
    { "\xc0\xf0\x07", 8, X86_OP_SHL, 3, 4, 8, 2, 0, NONE, NONE, 0, X86_DS, 0, 7, 1 },
    { "\x0f\x20\x05", 8, X86_OP_MOV_FROM_CR, 3, 8, 8, 2, 0, NONE, NONE, 0, X86_DS, 0, 0, 8 },
    /* VADDPS zmm1{k1}, zmm2, [rax+disp8*64]; with broadcast disp8*4 */
    { "\x62\xf1\x6c\x49\x58\x48\x01", 8, X86_OP_AVX512, 7, 4, 8, 3, 3, 0, NONE, 0, X86_DS, 64, 0,
      64 },
    { "\x62\xf1\x6c\x59\x58\x48\x01", 8, X86_OP_AVX512, 7, 4, 8, 3, 3, 0, NONE, 0, X86_DS, 4, 0,
      64 },
    /* VPGATHERDD ymm0, [rax+ymm1*4], ymm2 */
    { "\xc4\xe2\x6d\x90\x04\x88", 8, X86_OP_GATHER, 6, 4, 8, 3, 2, 0, 1, 2, X86_DS, 0, 0, 32 },
    { "\xd9\x2d\x00\x00\x00\x00", 4, X86_OP_FPU, 6, 4, 4, 1, 1, NONE, NONE, 0, X86_DS, 0, 0, 2 },
    { "\xdd\x20", 4, X86_OP_FPU_ENV, 2, 4, 4, 1, 1, 0, NONE, 0, X86_DS, 0, 0, 108 },
    { "\x0f\x01\x10", 8, X86_OP_LGDT, 3, 8, 8, 1, 1, 0, NONE, 0, X86_DS, 0, 0, 10 },
    { "\x48\x0f\xc7\x08", 8, X86_OP_CMPXCHG16B, 4, 8, 8, 1, 1, 0, NONE, 0, X86_DS, 0, 0, 16 },
};

static void check_want(const struct want *w)
{
    struct x86_insn i;
    uint8_t code[15] = { 0 };

    memcpy(code, w->bytes, w->len);
    CHECK_EQ(x86_decode(&i, code, w->len, w->mode), X86_DECODE_OK);
    unsigned failed = unit_failed;
    CHECK_EQ(i.op, w->op);
    CHECK_EQ(i.len, w->len);
    CHECK_EQ(i.osz, w->osz);
    CHECK_EQ(i.asz, w->asz);
    CHECK_EQ(i.operands, w->operands);
    CHECK_EQ(i.mem, w->mem);
    if (w->mem) {
        CHECK_EQ(i.base, w->base);
        CHECK_EQ(i.index, w->index);
        CHECK_EQ(i.scale, w->scale);
        CHECK_EQ(i.seg, w->seg);
        CHECK_EQ(i.disp, w->disp);
    }
    CHECK_EQ(i.imm, w->imm);
    CHECK_EQ(i.operand[0].size, w->size0);
    if (unit_failed != failed)
        printf("  in case %td\n", w - wants);
}

/* Undefined encodings, by mode. */
static const struct {
    const char *bytes;
    unsigned len, mode;
} undefined[] = {
    { "\xf0\x01\xc0", 3, 8 },             /* LOCK with a register */
    { "\xf0\x8b\x00", 3, 8 },             /* LOCK MOV */
    { "\xf0\x39\x00", 3, 8 },             /* LOCK CMP */
    { "\x06", 1, 8 },                     /* PUSH ES */
    { "\x82\xc0\x01", 3, 8 },             /* the alias of 80 */
    { "\x8e\xc8", 2, 8 },                 /* MOV CS */
    { "\x0f\x20\xc8", 3, 8 },             /* MOV from CR1 */
    { "\xff\xf8", 2, 8 },                 /* FF /7 */
    { "\x8d\xc0", 2, 4 },                 /* LEA of a register */
    { "\x66\xc5\xf8\x28\xc1", 5, 8 },     /* VEX with 66 */
    { "\xc5\xf0\x28\xc1", 4, 8 },         /* VEX.vvvv without use */
    { "\xc4\xe2\x6d\x90\x04\x90", 6, 8 }, /* gather: index is the mask */
};

int main(void)
{
    struct x86_insn i;
    uint8_t code[16];

    for (unsigned k = 0; k < ARRAY_LEN(wants); k++)
        check_want(&wants[k]);
    for (unsigned k = 0; k < ARRAY_LEN(undefined); k++) {
        memcpy(code, undefined[k].bytes, undefined[k].len);
        CHECK_EQ(x86_decode(&i, code, undefined[k].len, undefined[k].mode), X86_DECODE_OK);
        CHECK_EQ(i.op, X86_OP_INVALID);
    }

    /* AH..BH without REX, SPL..DIL with */
    CHECK_EQ(x86_decode(&i, (const uint8_t *)"\x88\xe0", 2, 8), X86_DECODE_OK);
    CHECK_EQ(i.operand[1].kind, X86_OPERAND_GPR8H);
    CHECK_EQ(i.operand[1].reg, 0);
    CHECK_EQ(x86_decode(&i, (const uint8_t *)"\x40\x88\xe0", 3, 8), X86_DECODE_OK);
    CHECK_EQ(i.operand[1].kind, X86_OPERAND_GPR);
    CHECK_EQ(i.operand[1].reg, 4);

    /* too short, just right, too long */
    memset(code, 0x66, sizeof(code));
    CHECK_EQ(x86_decode(&i, code, 5, 8), X86_DECODE_SHORT);
    CHECK_EQ(x86_decode(&i, code, 15, 8), X86_DECODE_TOO_LONG);
    code[14] = 0x90;
    CHECK_EQ(x86_decode(&i, code, 15, 8), X86_DECODE_OK);
    CHECK_EQ(i.len, 15);
    CHECK_EQ(x86_decode(&i, code, 14, 8), X86_DECODE_SHORT);

    /* accesses and attributes */
    CHECK_EQ(x86_decode(&i, (const uint8_t *)"\xf0\x0f\xb1\x08", 4, 8), X86_DECODE_OK);
    CHECK_EQ(i.lock, 1);
    CHECK_EQ(i.operand[0].access, X86_ACC_RW | X86_ACC_COND);
    CHECK_EQ(x86_decode(&i, (const uint8_t *)"\x0f\x30", 2, 8), X86_DECODE_OK);
    CHECK_EQ(i.flags, X86_INSN_PRIVILEGED | X86_INSN_ENDS_BLOCK);

    /* flags: shift by a count that is not 0, by CL, INC, Jcc */
    CHECK_EQ(x86_decode(&i, (const uint8_t *)"\xc1\xe0\x03", 3, 8), X86_DECODE_OK);
    CHECK_EQ(x86_flags_use(&i).must_write, X86_AFLAGS);
    CHECK_EQ(x86_decode(&i, (const uint8_t *)"\xd3\xe0", 2, 8), X86_DECODE_OK);
    CHECK_EQ(x86_flags_use(&i).must_write, 0);
    CHECK_EQ(x86_flags_use(&i).read, X86_AFLAGS);
    CHECK_EQ(x86_decode(&i, (const uint8_t *)"\xff\xc0", 2, 8), X86_DECODE_OK);
    CHECK_EQ(x86_flags_use(&i).may_write, X86_AFLAGS & ~X86_CF);
    CHECK_EQ(x86_decode(&i, (const uint8_t *)"\x76\x00", 2, 8), X86_DECODE_OK);
    CHECK_EQ(x86_flags_use(&i).read, X86_CF | X86_ZF);
    return unit_done("decode");
}
