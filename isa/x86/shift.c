/* SPDX-License-Identifier: BSD-2-Clause */
/* Shifts and rotates: ROL ROR RCL RCR SHL SHR SAR SHLD SHRD, and SARX SHLX SHRX RORX. Results and
 * flags, the undefined ones too, are the host's own; a masked count of 0 changes no flag but writes
 * the destination. [SDM] vol. 2. */
#include "isa/x86/exec.h"

#define SHIFT_CASE(before, insn, sfx, T, n)                                                        \
    case n: {                                                                                      \
        T x_ = (T)a;                                                                               \
        __asm__(before insn sfx " %%cl,%[x]" X86_GET_FLAGS                                         \
                : [x] "+q"(x_), "=a"(*f)                                                           \
                : "c"(count), [fl] "r"((uint32_t)rflags)                                           \
                : "cc");                                                                           \
        return x_;                                                                                 \
    }
#define SHIFT_SIZES(before, insn)                                                                  \
    switch (size) {                                                                                \
        SHIFT_CASE(before, insn, "b", uint8_t, 1)                                                  \
        SHIFT_CASE(before, insn, "w", uint16_t, 2)                                                 \
        SHIFT_CASE(before, insn, "l", uint32_t, 4)                                                 \
        SHIFT_CASE(before, insn, "q", uint64_t, 8)                                                 \
    }                                                                                              \
    break;

X86_INLINE uint64_t host_shift(unsigned op, uint64_t a, uint8_t count, uint64_t rflags,
                               unsigned size, uint16_t *f)
{
    switch (op) {
    case X86_OP_ROL: SHIFT_SIZES("", "rol")
    case X86_OP_ROR: SHIFT_SIZES("", "ror")
    case X86_OP_RCL: SHIFT_SIZES(X86_WITH_CF, "rcl")
    case X86_OP_RCR: SHIFT_SIZES(X86_WITH_CF, "rcr")
    case X86_OP_SHL: SHIFT_SIZES("", "shl")
    case X86_OP_SHR: SHIFT_SIZES("", "shr")
    case X86_OP_SAR: SHIFT_SIZES("", "sar")
    }
    __builtin_unreachable();
}

X86_INLINE uint8_t count_mask(unsigned size) { return size == 8 ? 63 : 31; }

/* What becomes of the flags: rotates write CF and OF only, and rotates through carry by a whole
 * turn of 9 or 17 bits nothing. OF after a rotation by more than one is undefined: kept by the
 * register form with an immediate, computed by the others, as Intel processors do. */
enum { KEEP_ALL, SET_CF, SET_CF_OF, SET_ALL };
X86_INLINE int flags_effect(unsigned op, unsigned size, uint8_t count, bool by_imm)
{
    if (!count)
        return KEEP_ALL;
    if ((op == X86_OP_RCL || op == X86_OP_RCR) && size < 4 && count % (8 * size + 1) == 0)
        return KEEP_ALL;
    if (by_imm && count != 1 && (op == X86_OP_ROL || op == X86_OP_ROR))
        return SET_CF;
    return op == X86_OP_SHL || op == X86_OP_SHR || op == X86_OP_SAR ? SET_ALL : SET_CF_OF;
}
X86_INLINE void flags_by(struct x86_cpu *cpu, int effect, uint16_t f)
{
    if (effect == SET_ALL)
        flags_all(cpu, f);
    else if (effect == SET_CF_OF)
        flags_cf_of(cpu, f);
    else if (effect == SET_CF)
        flags_put(cpu, X86_CF, host_flags(f));
}

X86_INLINE void shift_reg(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned op,
                          unsigned size, uint64_t raw_count, bool by_imm)
{
    uint8_t count = (uint8_t)raw_count & count_mask(size);
    int effect = flags_effect(op, size, count, by_imm);
    uint64_t v = op_get(cpu, &insn->operand[0], size);
    uint16_t f = 0;
    if (effect != KEEP_ALL)
        v = host_shift(op, v, count, cpu->rflags, size, &f);
    op_set(cpu, &insn->operand[0], size, v);
    flags_by(cpu, effect, f);
}
X86_INLINE void shift_mem(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned op,
                          unsigned size, uint64_t raw_count, bool by_imm)
{
    uint8_t count = (uint8_t)raw_count & count_mask(size);
    int effect = flags_effect(op, size, count, by_imm);
    struct x86_rmw_state s;
    uint64_t v = rmw_begin(cpu, insn, size, false, &s);
    uint16_t f = 0;
    if (effect != KEEP_ALL)
        v = host_shift(op, v, count, cpu->rflags, size, &f);
    rmw_end(cpu, insn, size, v, &s);
    flags_by(cpu, effect, f);
}

/* Count by immediate, one, CL. */
enum { FORM_RI, FORM_R1, FORM_RC, FORM_MI, FORM_M1, FORM_MC, FORMS };

#define DEFINE(op, n, dst, form, count, by_imm)                                                    \
    static void op##_##form##_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                \
    {                                                                                              \
        shift_##dst(cpu, insn, X86_OP_##op, n, count, by_imm);                                     \
    }
#define DEFINE_FORMS(op, n)                                                                        \
    DEFINE(op, n, reg, ri, insn->imm, true)                                                        \
    DEFINE(op, n, reg, r1, 1, false)                                                               \
    DEFINE(op, n, reg, rc, cpu->gpr[X86_RCX], false)                                               \
    DEFINE(op, n, mem, mi, insn->imm, false)                                                       \
    DEFINE(op, n, mem, m1, 1, false)                                                               \
    DEFINE(op, n, mem, mc, cpu->gpr[X86_RCX], false)
#define ROW(op, form)                                                                              \
    {                                                                                              \
        op##_##form##_1, op##_##form##_2, op##_##form##_4, op##_##form##_8                         \
    }
#define DEFINE_OP(op)                                                                              \
    DEFINE_FORMS(op, 1)                                                                            \
    DEFINE_FORMS(op, 2)                                                                            \
    DEFINE_FORMS(op, 4)                                                                            \
    DEFINE_FORMS(op, 8)                                                                            \
    static x86_exec_fn *const op##_table[FORMS][X86_SIZES] = {                                     \
        [FORM_RI] = ROW(op, ri), [FORM_R1] = ROW(op, r1), [FORM_RC] = ROW(op, rc),                 \
        [FORM_MI] = ROW(op, mi), [FORM_M1] = ROW(op, m1), [FORM_MC] = ROW(op, mc),                 \
    };
DEFINE_OP(ROL)
DEFINE_OP(ROR)
DEFINE_OP(RCL)
DEFINE_OP(RCR)
DEFINE_OP(SHL)
DEFINE_OP(SHR)
DEFINE_OP(SAR)

/* ---- SHLD, SHRD: 16-bit ones with a count over 16 give what the host gives ---- */

#define DOUBLE_CASE(insn, sfx, T, n)                                                               \
    case n: {                                                                                      \
        T x_ = (T)a;                                                                               \
        __asm__(insn sfx " %%cl,%[b],%[x]" X86_GET_FLAGS                                           \
                : [x] "+r"(x_), "=a"(*f)                                                           \
                : [b] "r"((T)b), "c"(count)                                                        \
                : "cc");                                                                           \
        return x_;                                                                                 \
    }
#define DOUBLE_SIZES(insn)                                                                         \
    switch (size) {                                                                                \
        DOUBLE_CASE(insn, "w", uint16_t, 2)                                                        \
        DOUBLE_CASE(insn, "l", uint32_t, 4)                                                        \
        DOUBLE_CASE(insn, "q", uint64_t, 8)                                                        \
    }                                                                                              \
    break;
X86_INLINE uint64_t host_double(unsigned op, uint64_t a, uint64_t b, uint8_t count, unsigned size,
                                uint16_t *f)
{
    switch (op) {
    case X86_OP_SHLD: DOUBLE_SIZES("shld")
    case X86_OP_SHRD: DOUBLE_SIZES("shrd")
    }
    __builtin_unreachable();
}

X86_INLINE uint8_t double_count(const struct x86_cpu *cpu, const struct x86_insn *insn, unsigned n)
{
    uint64_t c = insn->operand[2].kind == X86_OPERAND_IMM ? insn->imm : cpu->gpr[X86_RCX];
    return (uint8_t)c & count_mask(n);
}
X86_INLINE void double_reg(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned op,
                           unsigned n)
{
    uint64_t v = op_get(cpu, &insn->operand[0], n), b = op_get(cpu, &insn->operand[1], n);
    uint8_t count = double_count(cpu, insn, n);
    uint16_t f = 0;
    if (count)
        v = host_double(op, v, b, count, n, &f);
    op_set(cpu, &insn->operand[0], n, v);
    flags_by(cpu, count ? SET_ALL : KEEP_ALL, f);
}
X86_INLINE void double_mem(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned op,
                           unsigned n)
{
    struct x86_rmw_state s;
    uint64_t v = rmw_begin(cpu, insn, n, false, &s), b = op_get(cpu, &insn->operand[1], n);
    uint8_t count = double_count(cpu, insn, n);
    uint16_t f = 0;
    if (count)
        v = host_double(op, v, b, count, n, &f);
    rmw_end(cpu, insn, n, v, &s);
    flags_by(cpu, count ? SET_ALL : KEEP_ALL, f);
}
#define DEFINE_DOUBLE(op, n)                                                                       \
    static void op##_r_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                       \
    {                                                                                              \
        double_reg(cpu, insn, X86_OP_##op, n);                                                     \
    }                                                                                              \
    static void op##_m_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                       \
    {                                                                                              \
        double_mem(cpu, insn, X86_OP_##op, n);                                                     \
    }
#define DEFINE_DOUBLE_OP(op)                                                                       \
    DEFINE_DOUBLE(op, 2)                                                                           \
    DEFINE_DOUBLE(op, 4)                                                                           \
    DEFINE_DOUBLE(op, 8)                                                                           \
    static x86_exec_fn *const op##_table[2][X86_SIZES] = {                                         \
        { NULL, op##_r_2, op##_r_4, op##_r_8 },                                                    \
        { NULL, op##_m_2, op##_m_4, op##_m_8 },                                                    \
    };
DEFINE_DOUBLE_OP(SHLD)
DEFINE_DOUBLE_OP(SHRD)

/* ---- BMI2: three operands, no flags; the count is masked as in the older ones ---- */

X86_INLINE uint64_t flagless(unsigned op, uint64_t v, uint64_t raw_count, unsigned n)
{
    unsigned count = raw_count & count_mask(n);
    switch (op) {
    case X86_OP_SHLX: return v << count;
    case X86_OP_SHRX: return v >> count;
    case X86_OP_SARX: return (uint64_t)(sign_extend(v, n) >> count);
    default: return count ? v >> count | v << (8 * n - count) : v; /* RORX */
    }
}
X86_INLINE void flagless_exec(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned op,
                              unsigned n)
{
    uint64_t count = op == X86_OP_RORX ? insn->imm : op_get(cpu, &insn->operand[2], n);
    uint64_t v = insn->operand[1].kind == X86_OPERAND_MEM ? mem_load(cpu, insn, n, false)
                                                          : op_get(cpu, &insn->operand[1], n);
    op_set(cpu, &insn->operand[0], n, flagless(op, v, count, n));
}
#define DEFINE_FLAGLESS(op)                                                                        \
    static void op##_4(struct x86_cpu *cpu, const struct x86_insn *insn)                           \
    {                                                                                              \
        flagless_exec(cpu, insn, X86_OP_##op, 4);                                                  \
    }                                                                                              \
    static void op##_8(struct x86_cpu *cpu, const struct x86_insn *insn)                           \
    {                                                                                              \
        flagless_exec(cpu, insn, X86_OP_##op, 8);                                                  \
    }
DEFINE_FLAGLESS(SHLX)
DEFINE_FLAGLESS(SHRX)
DEFINE_FLAGLESS(SARX)
DEFINE_FLAGLESS(RORX)

/* ---- binding ---- */

x86_exec_fn *x86_bind_shift(const struct x86_insn *insn)
{
    const struct x86_operand *o = insn->operand;
    unsigned n = o[0].size, i = x86_size_index(n);
    bool mem = o[0].kind == X86_OPERAND_MEM;
    /* D0, D1: by one, whatever the decoder makes of it. */
    bool once = insn->map == X86_MAP_1BYTE && (insn->opcode & ~1) == 0xd0;
    int form = once ? FORM_R1 : o[1].kind == X86_OPERAND_IMM ? FORM_RI : FORM_RC;

    if (!x86_size_ok(n) || !(mem || x86_is_reg(&o[0])))
        return NULL;
    if (mem)
        form += FORM_MI;
    switch (insn->op) {
    case X86_OP_ROL: return ROL_table[form][i];
    case X86_OP_ROR: return ROR_table[form][i];
    case X86_OP_RCL: return RCL_table[form][i];
    case X86_OP_RCR: return RCR_table[form][i];
    case X86_OP_SHL: return SHL_table[form][i];
    case X86_OP_SHR: return SHR_table[form][i];
    case X86_OP_SAR: return SAR_table[form][i];
    case X86_OP_SHLD: return SHLD_table[mem][i];
    case X86_OP_SHRD: return SHRD_table[mem][i];
    case X86_OP_SHLX: return n == 8 ? SHLX_8 : SHLX_4;
    case X86_OP_SHRX: return n == 8 ? SHRX_8 : SHRX_4;
    case X86_OP_SARX: return n == 8 ? SARX_8 : SARX_4;
    case X86_OP_RORX: return n == 8 ? RORX_8 : RORX_4;
    }
    return NULL;
}
