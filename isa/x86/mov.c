/* SPDX-License-Identifier: BSD-2-Clause */
/* Moves: MOV MOVZX MOVSX MOVBE MOVNTI MOVDIRI MOVDIR64B, LEA, CMOVcc, SETcc, BSWAP, XLAT. [SDM]
 * vol. 2. */
#include "isa/x86/exec.h"

#define EXEC(name) static void name(struct x86_cpu *cpu, const struct x86_insn *insn)

/* ---- MOV ---- */

enum { FORM_RR, FORM_RI, FORM_RM, FORM_MR, FORM_MI, FORM_FLAT_RM, FORM_FLAT_MR, FORM_FLAT_MI };

#define MOV(n)                                                                                     \
    EXEC(mov_rr_##n) { op_set(cpu, &insn->operand[0], n, op_get(cpu, &insn->operand[1], n)); }     \
    EXEC(mov_ri_##n) { op_set(cpu, &insn->operand[0], n, insn->imm); }                             \
    EXEC(mov_rm_##n) { op_set(cpu, &insn->operand[0], n, mem_load(cpu, insn, n, false)); }         \
    EXEC(mov_mr_##n) { mem_store(cpu, insn, op_get(cpu, &insn->operand[1], n), n, false); }        \
    EXEC(mov_mi_##n) { mem_store(cpu, insn, insn->imm, n, false); }                                \
    EXEC(mov_frm_##n)                                                                              \
    {                                                                                              \
        void *p;                                                                                   \
        if (unlikely(!flat_hit(cpu, insn, n, X86_READ, &p)))                                       \
            return mov_rm_##n(cpu, insn);                                                          \
        op_set(cpu, &insn->operand[0], n, le_get(p, n));                                           \
    }                                                                                              \
    EXEC(mov_fmr_##n)                                                                              \
    {                                                                                              \
        void *p;                                                                                   \
        if (unlikely(!flat_hit(cpu, insn, n, X86_WRITE, &p)))                                      \
            return mov_mr_##n(cpu, insn);                                                          \
        le_put(p, op_get(cpu, &insn->operand[1], n), n);                                           \
    }                                                                                              \
    EXEC(mov_fmi_##n)                                                                              \
    {                                                                                              \
        void *p;                                                                                   \
        if (unlikely(!flat_hit(cpu, insn, n, X86_WRITE, &p)))                                      \
            return mov_mi_##n(cpu, insn);                                                          \
        le_put(p, insn->imm, n);                                                                   \
    }
MOV(1)
MOV(2)
MOV(4)
MOV(8)
#define ROW(name)                                                                                  \
    {                                                                                              \
        name##_1, name##_2, name##_4, name##_8                                                     \
    }
static x86_exec_fn *const mov_table[][X86_SIZES] = {
    [FORM_RR] = ROW(mov_rr),       [FORM_RI] = ROW(mov_ri),       [FORM_RM] = ROW(mov_rm),
    [FORM_MR] = ROW(mov_mr),       [FORM_MI] = ROW(mov_mi),       [FORM_FLAT_RM] = ROW(mov_frm),
    [FORM_FLAT_MR] = ROW(mov_fmr), [FORM_FLAT_MI] = ROW(mov_fmi),
};

static int form_of(const struct x86_insn *insn)
{
    const struct x86_operand *d = &insn->operand[0], *s = &insn->operand[1];
    bool flat = x86_is_flat(insn);

    if (d->kind == X86_OPERAND_MEM) {
        if (x86_is_reg(s))
            return flat ? FORM_FLAT_MR : FORM_MR;
        return s->kind != X86_OPERAND_IMM ? -1 : flat ? FORM_FLAT_MI : FORM_MI;
    }
    if (!x86_is_reg(d))
        return -1;
    if (s->kind == X86_OPERAND_MEM)
        return flat ? FORM_FLAT_RM : FORM_RM;
    return x86_is_reg(s) ? FORM_RR : s->kind == X86_OPERAND_IMM ? FORM_RI : -1;
}

/* ---- MOVZX, MOVSX: destination size d, source size s ---- */

#define EXTEND(d, s)                                                                               \
    EXEC(movzx_r_##d##_##s)                                                                        \
    {                                                                                              \
        op_set(cpu, &insn->operand[0], d, op_get(cpu, &insn->operand[1], s));                      \
    }                                                                                              \
    EXEC(movzx_m_##d##_##s) { op_set(cpu, &insn->operand[0], d, mem_load(cpu, insn, s, false)); }  \
    EXEC(movzx_f_##d##_##s)                                                                        \
    {                                                                                              \
        void *p;                                                                                   \
        if (unlikely(!flat_hit(cpu, insn, s, X86_READ, &p)))                                       \
            return movzx_m_##d##_##s(cpu, insn);                                                   \
        op_set(cpu, &insn->operand[0], d, le_get(p, s));                                           \
    }                                                                                              \
    EXEC(movsx_r_##d##_##s)                                                                        \
    {                                                                                              \
        op_set(cpu, &insn->operand[0], d,                                                          \
               (uint64_t)sign_extend(op_get(cpu, &insn->operand[1], s), s));                       \
    }                                                                                              \
    EXEC(movsx_m_##d##_##s)                                                                        \
    {                                                                                              \
        op_set(cpu, &insn->operand[0], d,                                                          \
               (uint64_t)sign_extend(mem_load(cpu, insn, s, false), s));                           \
    }                                                                                              \
    EXEC(movsx_f_##d##_##s)                                                                        \
    {                                                                                              \
        void *p;                                                                                   \
        if (unlikely(!flat_hit(cpu, insn, s, X86_READ, &p)))                                       \
            return movsx_m_##d##_##s(cpu, insn);                                                   \
        op_set(cpu, &insn->operand[0], d, (uint64_t)sign_extend(le_get(p, s), s));                 \
    }
EXTEND(2, 1)
EXTEND(4, 1)
EXTEND(8, 1)
EXTEND(2, 2)
EXTEND(4, 2)
EXTEND(8, 2)
EXTEND(4, 4)
EXTEND(8, 4)
#define EXT_ROW(f)                                                                                 \
    {                                                                                              \
        { NULL, f##_2_1, f##_4_1, f##_8_1 }, { NULL, f##_2_2, f##_4_2, f##_8_2 },                  \
            { NULL, NULL, f##_4_4, f##_8_4 }, { NULL, NULL, NULL, NULL },                          \
    }
/* [signed][register, memory, flat memory][source][destination] */
static x86_exec_fn *const extend_table[2][3][X86_SIZES][X86_SIZES] = {
    { EXT_ROW(movzx_r), EXT_ROW(movzx_m), EXT_ROW(movzx_f) },
    { EXT_ROW(movsx_r), EXT_ROW(movsx_m), EXT_ROW(movsx_f) },
};

/* ---- LEA ---- */

EXEC(lea_2) { op_set(cpu, &insn->operand[0], 2, x86_ea(cpu, insn)); }
EXEC(lea_4) { op_set(cpu, &insn->operand[0], 4, x86_ea(cpu, insn)); }
EXEC(lea_8) { op_set(cpu, &insn->operand[0], 8, x86_ea(cpu, insn)); }
EXEC(lea_4_asz8) { op_set(cpu, &insn->operand[0], 4, mem_ea(cpu, insn, true)); }
EXEC(lea_8_asz8) { op_set(cpu, &insn->operand[0], 8, mem_ea(cpu, insn, true)); }

/* ---- CMOVcc: the source is read and a 32-bit destination's upper half cleared in any case ---- */

#define CMOV(n, cc)                                                                                \
    EXEC(cmov_r_##n##_##cc)                                                                        \
    {                                                                                              \
        uint64_t s = op_get(cpu, &insn->operand[1], n), d = op_get(cpu, &insn->operand[0], n);     \
        op_set(cpu, &insn->operand[0], n, cc_true(cpu->rflags, cc) ? s : d);                       \
    }                                                                                              \
    EXEC(cmov_m_##n##_##cc)                                                                        \
    {                                                                                              \
        uint64_t s = mem_load(cpu, insn, n, false), d = op_get(cpu, &insn->operand[0], n);         \
        op_set(cpu, &insn->operand[0], n, cc_true(cpu->rflags, cc) ? s : d);                       \
    }
X86_EACH_CC(CMOV, 2)
X86_EACH_CC(CMOV, 4)
X86_EACH_CC(CMOV, 8)
#define NAME(form, n, cc) form##_##n##_##cc,
#define CC_ROW(form, n)                                                                            \
    {                                                                                              \
        X86_EACH_CC(NAME, form, n)                                                                 \
    }
static x86_exec_fn *const cmov_table[2][X86_SIZES][16] = {
    { {}, CC_ROW(cmov_r, 2), CC_ROW(cmov_r, 4), CC_ROW(cmov_r, 8) },
    { {}, CC_ROW(cmov_m, 2), CC_ROW(cmov_m, 4), CC_ROW(cmov_m, 8) },
};

/* ---- SETcc ---- */

#define SETCC(n, cc)                                                                               \
    EXEC(setcc_r_##n##_##cc) { op_set(cpu, &insn->operand[0], n, cc_true(cpu->rflags, cc)); }      \
    EXEC(setcc_m_##n##_##cc) { mem_store(cpu, insn, cc_true(cpu->rflags, cc), n, false); }
X86_EACH_CC(SETCC, 1)
static x86_exec_fn *const setcc_table[2][16] = { CC_ROW(setcc_r, 1), CC_ROW(setcc_m, 1) };

/* ---- byte order ---- */

X86_INLINE uint64_t swapped(uint64_t v, unsigned n)
{
    return n == 2   ? __builtin_bswap16((uint16_t)v)
           : n == 4 ? __builtin_bswap32((uint32_t)v)
                    : __builtin_bswap64(v);
}
#define MOVBE(n)                                                                                   \
    EXEC(movbe_rm_##n)                                                                             \
    {                                                                                              \
        op_set(cpu, &insn->operand[0], n, swapped(mem_load(cpu, insn, n, false), n));              \
    }                                                                                              \
    EXEC(movbe_mr_##n)                                                                             \
    {                                                                                              \
        mem_store(cpu, insn, swapped(op_get(cpu, &insn->operand[1], n), n), n, false);             \
    }
MOVBE(2)
MOVBE(4)
MOVBE(8)
static x86_exec_fn *const movbe_table[2][X86_SIZES] = {
    { NULL, movbe_rm_2, movbe_rm_4, movbe_rm_8 },
    { NULL, movbe_mr_2, movbe_mr_4, movbe_mr_8 },
};

/* "Undefined" with a 16-bit operand: what the host makes of it. */
EXEC(bswap_2)
{
    uint64_t v = op_get(cpu, &insn->operand[0], 8);
    __asm__(".byte 0x66, 0x0f, 0xc8" : "+a"(v)); /* bswap %ax */
    op_set(cpu, &insn->operand[0], 8, v);
}
EXEC(bswap_4) { op_set(cpu, &insn->operand[0], 4, swapped(op_get(cpu, &insn->operand[0], 4), 4)); }
EXEC(bswap_8) { op_set(cpu, &insn->operand[0], 8, swapped(op_get(cpu, &insn->operand[0], 8), 8)); }

/* ---- the rest ---- */

EXEC(xlat)
{
    uint64_t off = (cpu->gpr[X86_RBX] + (uint8_t)cpu->gpr[X86_RAX]) & size_mask(insn->asz);
    x86_reg_set(cpu, X86_RAX, 1, x86_load(cpu, insn->seg, off, 1));
}

/* The destination is ES:reg, 64-byte aligned; written as a whole. */
EXEC(movdir64b)
{
    uint8_t buf[64];
    uint64_t off = cpu->gpr[insn->operand[0].reg] & size_mask(insn->asz);
    uint64_t dst = x86_linear(cpu, X86_ES, off, 64, X86_WRITE);
    x86_load_bytes(cpu, insn->seg, mem_lin(cpu, insn, 64, X86_READ, false), buf, 64, x86_user(cpu));
    if (dst & 63)
        x86_gp0(cpu);
    x86_store_bytes(cpu, X86_ES, dst, buf, 64, x86_user(cpu));
}

/* ---- binding ---- */

x86_exec_fn *x86_bind_mov(const struct x86_insn *insn)
{
    const struct x86_operand *o = insn->operand;
    unsigned n = o[0].size, i = x86_size_index(n), j = x86_size_index(o[1].size);
    bool mem = o[1].kind == X86_OPERAND_MEM;
    int form;

    switch (insn->op) {
    case X86_OP_MOV:
    case X86_OP_MOVNTI:
    case X86_OP_MOVDIRI:
        form = form_of(insn);
        return form < 0 || !x86_size_ok(n) ? NULL : mov_table[form][i];
    case X86_OP_MOVZX:
    case X86_OP_MOVSX:
        if (!x86_is_reg(&o[0]) || !(mem || x86_is_reg(&o[1])) || !x86_size_ok(n) ||
            !x86_size_ok(o[1].size))
            return NULL;
        return extend_table[insn->op == X86_OP_MOVSX][!mem ? 0 : x86_is_flat(insn) ? 2 : 1][j][i];
    case X86_OP_LEA:
        switch (n) {
        case 2: return lea_2;
        case 4: return insn->asz == 8 ? lea_4_asz8 : lea_4;
        case 8: return insn->asz == 8 ? lea_8_asz8 : lea_8;
        }
        return NULL;
    case X86_OP_CMOVCC:
        return x86_size_ok(n) && x86_is_reg(&o[0]) ? cmov_table[mem][i][insn->cc & 15] : NULL;
    case X86_OP_SETCC: return setcc_table[o[0].kind == X86_OPERAND_MEM][insn->cc & 15];
    case X86_OP_MOVBE: return !x86_size_ok(n) ? NULL : movbe_table[o[0].kind == X86_OPERAND_MEM][i];
    case X86_OP_BSWAP: return n == 2 ? bswap_2 : n == 4 ? bswap_4 : bswap_8;
    case X86_OP_XLAT: return xlat;
    case X86_OP_MOVDIR64B: return x86_is_reg(&o[0]) ? movdir64b : NULL;
    }
    return NULL;
}
