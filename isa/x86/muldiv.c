/* SPDX-License-Identifier: BSD-2-Clause */
/* MUL IMUL DIV IDIV MULX, CBW and CWD with their wider relatives. [SDM] vol. 2. */
#include "isa/x86/exec.h"

#define EXEC(name) static void name(struct x86_cpu *cpu, const struct x86_insn *insn)

X86_INLINE uint64_t rm_get(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned k, unsigned n)
{
    return insn->operand[k].kind == X86_OPERAND_MEM ? mem_load(cpu, insn, n, false)
                                                    : op_get(cpu, &insn->operand[k], n);
}

/* ---- rDX:rAX = rAX * r/m; flags are the host's ---- */

/* The host's flags come out in AX, so the product's low half is moved away first. */
#define DEFINE_MUL(name, insn_, sfx, T, n)                                                         \
    EXEC(name##_##n)                                                                               \
    {                                                                                              \
        uint64_t b = rm_get(cpu, insn, 0, n), a = cpu->gpr[X86_RAX], d = 0, lo;                    \
        uint16_t f;                                                                                \
        __asm__(insn_ sfx " %[b]\n\tmov %%rax,%[lo]" X86_GET_FLAGS "\n\tmov %%ax,%[f]"             \
                : "+a"(a), "+&d"(d), [lo] "=&r"(lo), [f] "=&r"(f)                                  \
                : [b] "r"((T)b)                                                                    \
                : "cc");                                                                           \
        x86_reg_set(cpu, X86_RAX, n, lo);                                                          \
        x86_reg_set(cpu, X86_RDX, n, d);                                                           \
        flags_all(cpu, f);                                                                         \
    }
#define DEFINE_MUL_BYTE(name, insn_)                                                               \
    EXEC(name##_1)                                                                                 \
    {                                                                                              \
        uint64_t b = rm_get(cpu, insn, 0, 1), a = cpu->gpr[X86_RAX], lo;                           \
        uint16_t f;                                                                                \
        __asm__(insn_ "b %[b]\n\tmov %%rax,%[lo]" X86_GET_FLAGS "\n\tmov %%ax,%[f]"                \
                : "+a"(a), [lo] "=&r"(lo), [f] "=&r"(f)                                            \
                : [b] "q"((uint8_t)b)                                                              \
                : "cc");                                                                           \
        x86_reg_set(cpu, X86_RAX, 2, lo);                                                          \
        flags_all(cpu, f);                                                                         \
    }
DEFINE_MUL_BYTE(mul, "mul")
DEFINE_MUL(mul, "mul", "w", uint16_t, 2)
DEFINE_MUL(mul, "mul", "l", uint32_t, 4)
DEFINE_MUL(mul, "mul", "q", uint64_t, 8)
DEFINE_MUL_BYTE(imul1, "imul")
DEFINE_MUL(imul1, "imul", "w", uint16_t, 2)
DEFINE_MUL(imul1, "imul", "l", uint32_t, 4)
DEFINE_MUL(imul1, "imul", "q", uint64_t, 8)

/* ---- IMUL r, r/m[, imm] ---- */

#define DEFINE_IMUL(sfx, T, n)                                                                     \
    X86_INLINE uint64_t host_imul_##n(uint64_t a, uint64_t b, uint16_t *f)                         \
    {                                                                                              \
        T x = (T)a;                                                                                \
        __asm__("imul" sfx " %[b],%[x]" X86_GET_FLAGS                                              \
                : [x] "+r"(x), "=a"(*f)                                                            \
                : [b] "r"((T)b)                                                                    \
                : "cc");                                                                           \
        return x;                                                                                  \
    }                                                                                              \
    EXEC(imul2_##n)                                                                                \
    {                                                                                              \
        uint64_t b = rm_get(cpu, insn, 1, n);                                                      \
        uint16_t f;                                                                                \
        op_set(cpu, &insn->operand[0], n,                                                          \
               host_imul_##n(op_get(cpu, &insn->operand[0], n), b, &f));                           \
        flags_all(cpu, f);                                                                         \
    }                                                                                              \
    EXEC(imul3_##n)                                                                                \
    {                                                                                              \
        uint64_t a = rm_get(cpu, insn, 1, n);                                                      \
        uint16_t f;                                                                                \
        op_set(cpu, &insn->operand[0], n, host_imul_##n(a, insn->imm, &f));                        \
        flags_all(cpu, f);                                                                         \
    }
DEFINE_IMUL("w", uint16_t, 2)
DEFINE_IMUL("l", uint32_t, 4)
DEFINE_IMUL("q", uint64_t, 8)

/* Where both destinations are one register it gets the high half. */
EXEC(mulx_4)
{
    uint64_t v = (uint64_t)(uint32_t)cpu->gpr[X86_RDX] * (uint32_t)rm_get(cpu, insn, 2, 4);
    op_set(cpu, &insn->operand[1], 4, v);
    op_set(cpu, &insn->operand[0], 4, v >> 32);
}
EXEC(mulx_8)
{
    unsigned __int128 v = (unsigned __int128)cpu->gpr[X86_RDX] * rm_get(cpu, insn, 2, 8);
    op_set(cpu, &insn->operand[1], 8, (uint64_t)v);
    op_set(cpu, &insn->operand[0], 8, (uint64_t)(v >> 64));
}

/* ---- DIV, IDIV ----
 * #DE on a zero divisor or a quotient that does not fit. The flags are undefined; they stay, as
 * they do on the processors this was compared with. */

EXEC(div_1)
{
    uint64_t b = rm_get(cpu, insn, 0, 1), a = (uint16_t)cpu->gpr[X86_RAX];
    if (!b || a / b > 0xff)
        x86_fault(cpu, X86_DE);
    x86_reg_set(cpu, X86_RAX, 2, a / b | (a % b) << 8);
}
EXEC(div_2)
{
    uint64_t b = rm_get(cpu, insn, 0, 2);
    uint64_t a = (uint16_t)cpu->gpr[X86_RAX] | (uint64_t)(uint16_t)cpu->gpr[X86_RDX] << 16;
    if (!b || a / b > 0xffff)
        x86_fault(cpu, X86_DE);
    x86_reg_set(cpu, X86_RAX, 2, a / b);
    x86_reg_set(cpu, X86_RDX, 2, a % b);
}
EXEC(div_4)
{
    uint64_t b = rm_get(cpu, insn, 0, 4);
    uint64_t a = (uint32_t)cpu->gpr[X86_RAX] | cpu->gpr[X86_RDX] << 32;
    if (!b || a / b > 0xffffffff)
        x86_fault(cpu, X86_DE);
    cpu->gpr[X86_RAX] = a / b;
    cpu->gpr[X86_RDX] = a % b;
}
EXEC(div_8)
{
    uint64_t b = rm_get(cpu, insn, 0, 8), a = cpu->gpr[X86_RAX], d = cpu->gpr[X86_RDX];
    if (d >= b) /* also b == 0 */
        x86_fault(cpu, X86_DE);
    __asm__("divq %2" : "+a"(a), "+d"(d) : "r"(b) : "cc");
    cpu->gpr[X86_RAX] = a;
    cpu->gpr[X86_RDX] = d;
}

/* a of twice n bytes by b of n: with n < 8 the quotient of 64-bit division is exact but for one
 * case, the most negative dividend by -1, which cannot be formed below n = 4 and is caught. */
X86_INLINE bool idiv_fits(int64_t a, int64_t b, unsigned n)
{
    if (!b || (b == -1 && a == INT64_MIN))
        return false;
    return sign_extend((uint64_t)(a / b), n) == a / b;
}
EXEC(idiv_1)
{
    int64_t b = sign_extend(rm_get(cpu, insn, 0, 1), 1), a = sign_extend(cpu->gpr[X86_RAX], 2);
    if (!idiv_fits(a, b, 1))
        x86_fault(cpu, X86_DE);
    x86_reg_set(cpu, X86_RAX, 2, (uint64_t)(a / b & 0xff) | (uint64_t)(a % b & 0xff) << 8);
}
EXEC(idiv_2)
{
    int64_t b = sign_extend(rm_get(cpu, insn, 0, 2), 2);
    int64_t a = sign_extend((uint16_t)cpu->gpr[X86_RAX] | (cpu->gpr[X86_RDX] & 0xffff) << 16, 4);
    if (!idiv_fits(a, b, 2))
        x86_fault(cpu, X86_DE);
    x86_reg_set(cpu, X86_RAX, 2, (uint64_t)(a / b));
    x86_reg_set(cpu, X86_RDX, 2, (uint64_t)(a % b));
}
EXEC(idiv_4)
{
    int64_t b = sign_extend(rm_get(cpu, insn, 0, 4), 4);
    int64_t a = (int64_t)((uint32_t)cpu->gpr[X86_RAX] | cpu->gpr[X86_RDX] << 32);
    if (!idiv_fits(a, b, 4))
        x86_fault(cpu, X86_DE);
    x86_reg_set(cpu, X86_RAX, 4, (uint64_t)(a / b));
    x86_reg_set(cpu, X86_RDX, 4, (uint64_t)(a % b));
}
/* By magnitudes: the host's DIV can be proved not to trap, its IDIV needs the same proof. */
EXEC(idiv_8)
{
    uint64_t b = rm_get(cpu, insn, 0, 8), a = cpu->gpr[X86_RAX], d = cpu->gpr[X86_RDX];
    bool neg_a = d >> 63, neg_b = b >> 63;
    uint64_t mb = neg_b ? -b : b, hi = d, lo = a;
    if (neg_a) {
        hi = ~d + (a == 0);
        lo = -a;
    }
    if (hi >= mb)
        x86_fault(cpu, X86_DE);
    __asm__("divq %2" : "+a"(lo), "+d"(hi) : "r"(mb) : "cc");
    if (neg_a == neg_b ? lo >> 63 : lo > 1ull << 63)
        x86_fault(cpu, X86_DE);
    cpu->gpr[X86_RAX] = neg_a == neg_b ? lo : -lo;
    cpu->gpr[X86_RDX] = neg_a ? -hi : hi;
}

/* ---- CBW CWDE CDQE, CWD CDQ CQO ---- */

EXEC(cbw) { (void)insn, x86_reg_set(cpu, X86_RAX, 2, (uint64_t)sign_extend(cpu->gpr[X86_RAX], 1)); }
EXEC(cwde)
{
    (void)insn, x86_reg_set(cpu, X86_RAX, 4, (uint64_t)sign_extend(cpu->gpr[X86_RAX], 2));
}
EXEC(cdqe) { (void)insn, cpu->gpr[X86_RAX] = (uint64_t)sign_extend(cpu->gpr[X86_RAX], 4); }
EXEC(cwd) { (void)insn, x86_reg_set(cpu, X86_RDX, 2, cpu->gpr[X86_RAX] & 0x8000 ? ~0ull : 0); }
EXEC(cdq) { (void)insn, cpu->gpr[X86_RDX] = cpu->gpr[X86_RAX] & 0x80000000u ? 0xffffffffu : 0; }
EXEC(cqo) { (void)insn, cpu->gpr[X86_RDX] = cpu->gpr[X86_RAX] >> 63 ? ~0ull : 0; }

x86_exec_fn *x86_bind_mul(const struct x86_insn *insn)
{
#define ROW(name)                                                                                  \
    {                                                                                              \
        name##_1, name##_2, name##_4, name##_8                                                     \
    }
    static x86_exec_fn *const mul[] = ROW(mul), *const imul1[] = ROW(imul1),
                              *const div[] = ROW(div), *const idiv[] = ROW(idiv),
                              *const imul2[] = { NULL, imul2_2, imul2_4, imul2_8 },
                              *const imul3[] = { NULL, imul3_2, imul3_4, imul3_8 },
                              *const cbws[] = { NULL, cbw, cwde, cdqe },
                              *const cwds[] = { NULL, cwd, cdq, cqo };
    unsigned n = insn->operand[0].size, i = x86_size_index(n);

    if (insn->op == X86_OP_CBW || insn->op == X86_OP_CWD) {
        i = x86_size_index(insn->osz);
        return insn->op == X86_OP_CBW ? cbws[i] : cwds[i];
    }
    if (!x86_size_ok(n))
        return NULL;
    switch (insn->op) {
    case X86_OP_MUL: return mul[i];
    case X86_OP_IMUL1: return imul1[i];
    case X86_OP_DIV: return div[i];
    case X86_OP_IDIV: return idiv[i];
    case X86_OP_IMUL2: return imul2[i];
    case X86_OP_IMUL3: return imul3[i];
    case X86_OP_MULX: return n == 8 ? mulx_8 : mulx_4;
    }
    return NULL;
}
