/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz target: the decoder on arbitrary bytes in every mode. It reads no byte it was not given, all
 * fields are in range, and fewer bytes give SHORT or the same result. */
#include <stdlib.h>
#include <string.h>

#include "isa/x86/insn.h"

#define REQUIRE(c) ((c) ? (void)0 : abort())

static void check(const struct x86_insn *i, unsigned mode)
{
    REQUIRE(i->len >= 1 && i->len <= 15);
    REQUIRE(i->op < X86_OP_COUNT && x86_op_name[i->op]);
    REQUIRE(i->mode == mode && i->operands <= 5 && i->mem <= i->operands);
    if (i->op == X86_OP_INVALID) {
        REQUIRE(!i->operands && !i->mem && !i->lock && (i->flags & X86_INSN_ENDS_BLOCK));
        return;
    }
    REQUIRE(i->osz == 2 || i->osz == 4 || i->osz == 8);
    REQUIRE(i->asz == 2 || i->asz == 4 || i->asz == 8);
    REQUIRE(i->seg < X86_SREG_COUNT && i->scale <= 3 && i->cc <= 15);
    REQUIRE(i->base <= X86_REG_NONE);
    REQUIRE(i->index < (i->flags & X86_INSN_VSIB ? 32 : X86_REG_NONE + 1));
    REQUIRE(i->opcode_off < i->len && i->prefix_len <= i->opcode_off);
    REQUIRE(!i->has_modrm || (i->modrm_off > i->opcode_off && i->modrm_off < i->len));
    REQUIRE(!i->disp_len || i->disp_off + i->disp_len <= i->len);
    REQUIRE(!i->imm_len || i->imm_off + i->imm_len == i->len);
    for (unsigned k = 0; k < i->operands; k++) {
        const struct x86_operand *o = &i->operand[k];
        static const uint8_t regs[] = {
            [X86_OPERAND_GPR] = 16, [X86_OPERAND_GPR8H] = 4, [X86_OPERAND_SEG] = X86_SREG_COUNT,
            [X86_OPERAND_CR] = 9,   [X86_OPERAND_DR] = 8,    [X86_OPERAND_MEM] = 1,
            [X86_OPERAND_IMM] = 2,  [X86_OPERAND_REL] = 1,   [X86_OPERAND_FAR] = 1,
            [X86_OPERAND_ST] = 8,   [X86_OPERAND_MM] = 8,    [X86_OPERAND_VEC] = 32,
            [X86_OPERAND_MASK] = 8,
        };
        REQUIRE(o->kind && o->kind <= X86_OPERAND_MASK && o->reg < regs[o->kind]);
        REQUIRE(o->size <= 512 && o->access <= 7);
        REQUIRE((o->kind == X86_OPERAND_MEM) == (i->mem == k + 1));
    }
    struct x86_flags_use u = x86_flags_use(i);
    REQUIRE(!(u.must_write & ~u.may_write));
    REQUIRE(!((u.read | u.may_write) & ~(X86_AFLAGS | X86_DF)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned n = size > 20 ? 20 : (unsigned)size;

    for (unsigned mode = 2; mode <= 8; mode *= 2) {
        struct x86_insn full, part;
        uint8_t *copy = malloc(n ? n : 1); /* its own allocation: ASan sees a read too far */
        int r;
        if (!copy)
            return 0;
        memcpy(copy, data, n);
        r = x86_decode(&full, copy, n, mode);
        REQUIRE(r == X86_DECODE_OK || (r == X86_DECODE_SHORT && n < 15) ||
                (r == X86_DECODE_TOO_LONG && n >= 15));
        if (r == X86_DECODE_OK) {
            check(&full, mode);
            REQUIRE(full.len <= n);
        }
        for (unsigned k = 0; k < n; k++) {
            uint8_t *prefix = malloc(k ? k : 1);
            int s;
            if (!prefix)
                break;
            memcpy(prefix, data, k);
            s = x86_decode(&part, prefix, k, mode);
            if (r == X86_DECODE_OK && k >= full.len)
                REQUIRE(s == X86_DECODE_OK && !memcmp(&part, &full, sizeof(full)));
            else if (s == X86_DECODE_OK) /* undefined before its end was seen */
                REQUIRE(r == X86_DECODE_OK && part.op == X86_OP_INVALID &&
                        full.op == X86_OP_INVALID);
            else
                REQUIRE(s == X86_DECODE_SHORT || k >= 15);
            free(prefix);
        }
        free(copy);
    }
    return 0;
}
