/* SPDX-License-Identifier: BSD-2-Clause */
/* ADD OR ADC SBB AND SUB XOR CMP TEST, INC DEC NOT NEG: one function per operation, operand form
 * and size. Results and flags are the host's own. [SDM] vol. 2. */
#include "isa/x86/exec.h"

#define WRITES(op) ((op) != X86_OP_CMP && (op) != X86_OP_TEST)

X86_INLINE void alu_reg(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned op, unsigned n,
                        uint64_t b)
{
    uint16_t f;
    uint64_t v = alu2(op, op_get(cpu, &insn->operand[0], n), b, cpu->rflags, n, &f);
    if (WRITES(op))
        op_set(cpu, &insn->operand[0], n, v);
    flags_all(cpu, f);
}

X86_INLINE void alu_mem(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned op, unsigned n,
                        uint64_t b)
{
    uint16_t f;
    if (WRITES(op)) {
        struct x86_rmw_state s;
        uint64_t a = rmw_begin(cpu, insn, n, false, &s);
        rmw_end(cpu, insn, n, alu2(op, a, b, cpu->rflags, n, &f), &s);
    } else {
        alu2(op, mem_load(cpu, insn, n, false), b, cpu->rflags, n, &f);
    }
    flags_all(cpu, f);
}

X86_INLINE void alu_host(struct x86_cpu *cpu, unsigned op, unsigned n, void *p, uint64_t b)
{
    uint16_t f;
    uint64_t v = alu2(op, le_get(p, n), b, cpu->rflags, n, &f);
    if (WRITES(op))
        le_put(p, v, n);
    flags_all(cpu, f);
}

enum { FORM_RR, FORM_RI, FORM_RM, FORM_MR, FORM_MI, FORM_FLAT_RM, FORM_FLAT_MR, FORM_FLAT_MI };
enum { FORMS = 8 };

#define DEFINE(op, n)                                                                              \
    static void op##_rr_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                      \
    {                                                                                              \
        alu_reg(cpu, insn, X86_OP_##op, n, op_get(cpu, &insn->operand[1], n));                     \
    }                                                                                              \
    static void op##_ri_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                      \
    {                                                                                              \
        alu_reg(cpu, insn, X86_OP_##op, n, insn->imm);                                             \
    }                                                                                              \
    static void op##_rm_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                      \
    {                                                                                              \
        alu_reg(cpu, insn, X86_OP_##op, n, mem_load(cpu, insn, n, false));                         \
    }                                                                                              \
    static void op##_mr_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                      \
    {                                                                                              \
        alu_mem(cpu, insn, X86_OP_##op, n, op_get(cpu, &insn->operand[1], n));                     \
    }                                                                                              \
    static void op##_mi_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                      \
    {                                                                                              \
        alu_mem(cpu, insn, X86_OP_##op, n, insn->imm);                                             \
    }                                                                                              \
    static void op##_frm_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                     \
    {                                                                                              \
        void *p;                                                                                   \
        if (unlikely(!flat_hit(cpu, insn, n, X86_READ, &p)))                                       \
            return op##_rm_##n(cpu, insn);                                                         \
        alu_reg(cpu, insn, X86_OP_##op, n, le_get(p, n));                                          \
    }                                                                                              \
    static void op##_fmr_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                     \
    {                                                                                              \
        void *p;                                                                                   \
        if (unlikely(!flat_hit(cpu, insn, n, WRITES(X86_OP_##op) ? X86_WRITE : X86_READ, &p)))     \
            return op##_mr_##n(cpu, insn);                                                         \
        alu_host(cpu, X86_OP_##op, n, p, op_get(cpu, &insn->operand[1], n));                       \
    }                                                                                              \
    static void op##_fmi_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                     \
    {                                                                                              \
        void *p;                                                                                   \
        if (unlikely(!flat_hit(cpu, insn, n, WRITES(X86_OP_##op) ? X86_WRITE : X86_READ, &p)))     \
            return op##_mi_##n(cpu, insn);                                                         \
        alu_host(cpu, X86_OP_##op, n, p, insn->imm);                                               \
    }
#define ROW(op, form)                                                                              \
    {                                                                                              \
        op##_##form##_1, op##_##form##_2, op##_##form##_4, op##_##form##_8                         \
    }
#define DEFINE_OP(op)                                                                              \
    DEFINE(op, 1)                                                                                  \
    DEFINE(op, 2)                                                                                  \
    DEFINE(op, 4)                                                                                  \
    DEFINE(op, 8)                                                                                  \
    static x86_exec_fn                                                                             \
        *const op##_table[FORMS][X86_SIZES] = {                                                    \
            [FORM_RR] = ROW(op, rr),       [FORM_RI] = ROW(op, ri),                                \
            [FORM_RM] = ROW(op, rm),       [FORM_MR] = ROW(op, mr),                                \
            [FORM_MI] = ROW(op, mi),       [FORM_FLAT_RM] = ROW(op, frm),                          \
            [FORM_FLAT_MR] = ROW(op, fmr), [FORM_FLAT_MI] = ROW(op, fmi),                          \
        };

DEFINE_OP(ADD)
DEFINE_OP(OR)
DEFINE_OP(ADC)
DEFINE_OP(SBB)
DEFINE_OP(AND)
DEFINE_OP(SUB)
DEFINE_OP(XOR)
DEFINE_OP(CMP)
DEFINE_OP(TEST)

/* ---- one operand ---- */

#define UNARY_CASE(insn, sfx, T, n)                                                                \
    case n: {                                                                                      \
        T x_ = (T)a;                                                                               \
        __asm__(insn sfx " %0" X86_GET_FLAGS : "+q"(x_), "=a"(*f) : : "cc");                       \
        return x_;                                                                                 \
    }
#define UNARY_SIZES(insn)                                                                          \
    switch (size) {                                                                                \
        UNARY_CASE(insn, "b", uint8_t, 1)                                                          \
        UNARY_CASE(insn, "w", uint16_t, 2)                                                         \
        UNARY_CASE(insn, "l", uint32_t, 4)                                                         \
        UNARY_CASE(insn, "q", uint64_t, 8)                                                         \
    }                                                                                              \
    break;

X86_INLINE uint64_t alu1(unsigned op, uint64_t a, unsigned size, uint16_t *f)
{
    switch (op) {
    case X86_OP_INC: UNARY_SIZES("inc")
    case X86_OP_DEC: UNARY_SIZES("dec")
    case X86_OP_NEG: UNARY_SIZES("neg")
    case X86_OP_NOT: *f = 0; return ~a;
    }
    __builtin_unreachable();
}

X86_INLINE void alu1_flags(struct x86_cpu *cpu, unsigned op, uint16_t f)
{
    if (op == X86_OP_NEG)
        flags_all(cpu, f);
    else if (op != X86_OP_NOT)
        flags_but_cf(cpu, f);
}
X86_INLINE void alu1_reg(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned op, unsigned n)
{
    uint16_t f;
    op_set(cpu, &insn->operand[0], n, alu1(op, op_get(cpu, &insn->operand[0], n), n, &f));
    alu1_flags(cpu, op, f);
}
X86_INLINE void alu1_mem(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned op, unsigned n)
{
    struct x86_rmw_state s;
    uint16_t f;
    uint64_t a = rmw_begin(cpu, insn, n, false, &s);
    rmw_end(cpu, insn, n, alu1(op, a, n, &f), &s);
    alu1_flags(cpu, op, f);
}

enum { FORM1_R, FORM1_M, FORM1_FLAT, FORMS1 };

#define DEFINE1(op, n)                                                                             \
    static void op##_r_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                       \
    {                                                                                              \
        alu1_reg(cpu, insn, X86_OP_##op, n);                                                       \
    }                                                                                              \
    static void op##_m_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                       \
    {                                                                                              \
        alu1_mem(cpu, insn, X86_OP_##op, n);                                                       \
    }                                                                                              \
    static void op##_f_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                       \
    {                                                                                              \
        void *p;                                                                                   \
        uint16_t f;                                                                                \
        if (unlikely(!flat_hit(cpu, insn, n, X86_WRITE, &p)))                                      \
            return op##_m_##n(cpu, insn);                                                          \
        le_put(p, alu1(X86_OP_##op, le_get(p, n), n, &f), n);                                      \
        alu1_flags(cpu, X86_OP_##op, f);                                                           \
    }
#define DEFINE_OP1(op)                                                                             \
    DEFINE1(op, 1)                                                                                 \
    DEFINE1(op, 2)                                                                                 \
    DEFINE1(op, 4)                                                                                 \
    DEFINE1(op, 8)                                                                                 \
    static x86_exec_fn *const op##_table[FORMS1][X86_SIZES] = {                                    \
        [FORM1_R] = ROW(op, r),                                                                    \
        [FORM1_M] = ROW(op, m),                                                                    \
        [FORM1_FLAT] = ROW(op, f),                                                                 \
    };

DEFINE_OP1(INC)
DEFINE_OP1(DEC)
DEFINE_OP1(NEG)
DEFINE_OP1(NOT)

/* ---- binding ---- */

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

x86_exec_fn *x86_bind_alu(const struct x86_insn *insn)
{
    unsigned size = insn->operand[0].size;
    unsigned i = x86_size_index(size);
    int form = form_of(insn), form1 = -1;

    if (!x86_size_ok(size))
        return NULL;
    if (x86_is_reg(&insn->operand[0]))
        form1 = FORM1_R;
    else if (insn->operand[0].kind == X86_OPERAND_MEM)
        form1 = x86_is_flat(insn) ? FORM1_FLAT : FORM1_M;
    switch (insn->op) {
#define BIND(op)                                                                                   \
    case X86_OP_##op: return form < 0 ? NULL : op##_table[form][i];
        BIND(ADD)
        BIND(OR)
        BIND(ADC)
        BIND(SBB)
        BIND(AND)
        BIND(SUB)
        BIND(XOR)
        BIND(CMP)
        BIND(TEST)
#undef BIND
#define BIND(op)                                                                                   \
    case X86_OP_##op: return form1 < 0 ? NULL : op##_table[form1][i];
        BIND(INC)
        BIND(DEC)
        BIND(NEG)
        BIND(NOT)
#undef BIND
    }
    return NULL;
}
