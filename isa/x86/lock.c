/* SPDX-License-Identifier: BSD-2-Clause */
/* Atomic instructions: LOCKed arithmetic, XCHG, XADD, CMPXCHG, CMPXCHG8B/16B. On RAM the host's own
 * LOCKed instruction does them, so that several vCPU threads and the world outside see them as one
 * access. [SDM] 3A "Locked Atomic Operations". */
#include "isa/x86/exec.h"

/*
 * Without a host address (device memory, a page with decoded code, a page-crossing operand) they
 * are a load and a store: not atomic against other vCPUs. Device memory has no atomic accesses to
 * offer; code pages and page-crossing locks are rare and never synchronise anything in practice.
 */
X86_INLINE uint64_t slow_load(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t lin,
                              unsigned n)
{
    return x86_load_slow(cpu, insn->seg, lin, n, x86_user(cpu));
}
X86_INLINE void slow_store(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t lin,
                           uint64_t v, unsigned n)
{
    x86_store_slow(cpu, insn->seg, lin, v, n, x86_user(cpu));
}

/* ---- LOCK op m, r/imm ---- */

#define LOCK_CASE(before, insn, sfx, T, U, n)                                                      \
    case n:                                                                                        \
        __asm__ volatile(before "lock; " insn sfx " %[b],%[m]" X86_GET_FLAGS                       \
                         : [m] "+m"(*(U *)p), "=&a"(f)                                             \
                         : [b] "q"((T)b), [fl] "r"((uint32_t)rflags)                               \
                         : "cc", "memory");                                                        \
        return f;
#define LOCK_SIZES(before, insn)                                                                   \
    switch (size) {                                                                                \
        LOCK_CASE(before, insn, "b", uint8_t, x86_u8, 1)                                           \
        LOCK_CASE(before, insn, "w", uint16_t, x86_u16, 2)                                         \
        LOCK_CASE(before, insn, "l", uint32_t, x86_u32, 4)                                         \
        LOCK_CASE(before, insn, "q", uint64_t, x86_u64, 8)                                         \
    }                                                                                              \
    break;

X86_INLINE uint16_t lock2(unsigned op, void *p, uint64_t b, uint64_t rflags, unsigned size)
{
    uint16_t f;
    switch (op) {
    case X86_OP_ADD: LOCK_SIZES("", "add")
    case X86_OP_OR: LOCK_SIZES("", "or")
    case X86_OP_ADC: LOCK_SIZES(X86_WITH_CF, "adc")
    case X86_OP_SBB: LOCK_SIZES(X86_WITH_CF, "sbb")
    case X86_OP_AND: LOCK_SIZES("", "and")
    case X86_OP_SUB: LOCK_SIZES("", "sub")
    case X86_OP_XOR: LOCK_SIZES("", "xor")
    }
    __builtin_unreachable();
}

X86_INLINE void lock_mem(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned op, unsigned n)
{
    uint64_t b =
        insn->operand[1].kind == X86_OPERAND_IMM ? insn->imm : op_get(cpu, &insn->operand[1], n);
    uint64_t lin = mem_lin(cpu, insn, n, X86_WRITE, false);
    void *p = x86_rmw(cpu, insn->seg, lin, n);
    uint16_t f;
    if (likely(p))
        f = lock2(op, p, b, cpu->rflags, n);
    else
        slow_store(cpu, insn, lin, alu2(op, slow_load(cpu, insn, lin, n), b, cpu->rflags, n, &f),
                   n);
    flags_all(cpu, f);
}

#define DEFINE(op, n)                                                                              \
    static void lock_##op##_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                  \
    {                                                                                              \
        lock_mem(cpu, insn, X86_OP_##op, n);                                                       \
    }
#define DEFINE_OP(op)                                                                              \
    DEFINE(op, 1)                                                                                  \
    DEFINE(op, 2)                                                                                  \
    DEFINE(op, 4)                                                                                  \
    DEFINE(op, 8)                                                                                  \
    static x86_exec_fn *const op##_table[X86_SIZES] = { lock_##op##_1, lock_##op##_2,              \
                                                        lock_##op##_4, lock_##op##_8 };
DEFINE_OP(ADD)
DEFINE_OP(OR)
DEFINE_OP(ADC)
DEFINE_OP(SBB)
DEFINE_OP(AND)
DEFINE_OP(SUB)
DEFINE_OP(XOR)

/* ---- LOCK op m ---- */

#define LOCK1_CASE(insn, sfx, U, n)                                                                \
    case n:                                                                                        \
        __asm__ volatile("lock; " insn sfx " %[m]" X86_GET_FLAGS                                   \
                         : [m] "+m"(*(U *)p), "=&a"(f)                                             \
                         :                                                                         \
                         : "cc", "memory");                                                        \
        return f;
#define LOCK1_SIZES(insn)                                                                          \
    switch (size) {                                                                                \
        LOCK1_CASE(insn, "b", x86_u8, 1)                                                           \
        LOCK1_CASE(insn, "w", x86_u16, 2)                                                          \
        LOCK1_CASE(insn, "l", x86_u32, 4)                                                          \
        LOCK1_CASE(insn, "q", x86_u64, 8)                                                          \
    }                                                                                              \
    break;

X86_INLINE uint16_t lock1(unsigned op, void *p, unsigned size)
{
    uint16_t f;
    switch (op) {
    case X86_OP_INC: LOCK1_SIZES("inc")
    case X86_OP_DEC: LOCK1_SIZES("dec")
    case X86_OP_NEG: LOCK1_SIZES("neg")
    case X86_OP_NOT: LOCK1_SIZES("not")
    }
    __builtin_unreachable();
}

/* The same as arithmetic with a constant, for memory without a host address. INC and DEC leave CF,
 * NOT all flags. */
X86_INLINE void lock1_mem(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned op, unsigned n)
{
    uint64_t lin = mem_lin(cpu, insn, n, X86_WRITE, false);
    void *p = x86_rmw(cpu, insn->seg, lin, n);
    uint16_t f = 0;
    if (likely(p)) {
        f = lock1(op, p, n);
    } else {
        uint64_t v = slow_load(cpu, insn, lin, n);
        switch (op) {
        case X86_OP_INC: v = alu2(X86_OP_ADD, v, 1, 0, n, &f); break;
        case X86_OP_DEC: v = alu2(X86_OP_SUB, v, 1, 0, n, &f); break;
        case X86_OP_NEG: v = alu2(X86_OP_SUB, 0, v, 0, n, &f); break;
        default: v = ~v;
        }
        slow_store(cpu, insn, lin, v, n);
    }
    if (op == X86_OP_NEG)
        flags_all(cpu, f);
    else if (op != X86_OP_NOT)
        flags_but_cf(cpu, f);
}

#define DEFINE1(op, n)                                                                             \
    static void lock_##op##_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                  \
    {                                                                                              \
        lock1_mem(cpu, insn, X86_OP_##op, n);                                                      \
    }
#define DEFINE_OP1(op)                                                                             \
    DEFINE1(op, 1)                                                                                 \
    DEFINE1(op, 2)                                                                                 \
    DEFINE1(op, 4)                                                                                 \
    DEFINE1(op, 8)                                                                                 \
    static x86_exec_fn *const op##_table[X86_SIZES] = { lock_##op##_1, lock_##op##_2,              \
                                                        lock_##op##_4, lock_##op##_8 };
DEFINE_OP1(INC)
DEFINE_OP1(DEC)
DEFINE_OP1(NEG)
DEFINE_OP1(NOT)

/* ---- XCHG, XADD, CMPXCHG ---- */

#define SWAP_SIZES(insn)                                                                           \
    switch (n) {                                                                                   \
    case 1: __asm__ volatile(insn "b %0,%1"                                                        \
                             : "+q"(v8), "+m"(*(x86_u8 *)p)::"memory", "cc");                      \
        break;                                                                                     \
    case 2:                                                                                        \
        __asm__ volatile(insn "w %0,%1" : "+r"(v16), "+m"(*(x86_u16 *)p)::"memory", "cc");         \
        break;                                                                                     \
    case 4:                                                                                        \
        __asm__ volatile(insn "l %0,%1" : "+r"(v32), "+m"(*(x86_u32 *)p)::"memory", "cc");         \
        break;                                                                                     \
    case 8: __asm__ volatile(insn "q %0,%1"                                                        \
                             : "+r"(v), "+m"(*(x86_u64 *)p)::"memory", "cc");                      \
        break;                                                                                     \
    }                                                                                              \
    return n == 1 ? v8 : n == 2 ? v16 : n == 4 ? v32 : v;

X86_INLINE uint64_t host_xchg(void *p, uint64_t v, unsigned n)
{
    uint8_t v8 = (uint8_t)v;
    uint16_t v16 = (uint16_t)v;
    uint32_t v32 = (uint32_t)v;
    SWAP_SIZES("xchg")
}
X86_INLINE uint64_t host_xadd(void *p, uint64_t v, unsigned n)
{
    uint8_t v8 = (uint8_t)v;
    uint16_t v16 = (uint16_t)v;
    uint32_t v32 = (uint32_t)v;
    SWAP_SIZES("lock; xadd")
}
/* Gives what was found at p; v was stored if that is a. */
X86_INLINE uint64_t host_cmpxchg(void *p, uint64_t a, uint64_t v, unsigned n)
{
#define CASE(size, sfx, U)                                                                         \
    case size:                                                                                     \
        __asm__ volatile("lock; cmpxchg" sfx " %2,%1"                                              \
                         : "+a"(a), "+m"(*(U *)p)                                                  \
                         : "q"((U)v)                                                               \
                         : "memory", "cc");                                                        \
        break;
    switch (n) {
        CASE(1, "b", x86_u8)
        CASE(2, "w", x86_u16)
        CASE(4, "l", x86_u32)
        CASE(8, "q", x86_u64)
    }
#undef CASE
    return a & size_mask(n);
}

X86_INLINE void xchg_reg(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned n)
{
    const struct x86_operand *a = &insn->operand[0], *b = &insn->operand[1];
    uint64_t va = op_get(cpu, a, n), vb = op_get(cpu, b, n);
    op_set(cpu, a, n, vb);
    op_set(cpu, b, n, va);
}
/* XCHG with memory is atomic with or without LOCK. */
X86_INLINE void xchg_mem(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned n)
{
    const struct x86_operand *r = &insn->operand[insn->operand[0].kind == X86_OPERAND_MEM];
    uint64_t lin = mem_lin(cpu, insn, n, X86_WRITE, false), v = op_get(cpu, r, n), old;
    void *p = x86_rmw(cpu, insn->seg, lin, n);
    if (likely(p)) {
        old = host_xchg(p, v, n);
    } else {
        old = slow_load(cpu, insn, lin, n);
        slow_store(cpu, insn, lin, v, n);
    }
    op_set(cpu, r, n, old);
}

/* The sum is written last: XADD of a register with itself doubles it. */
X86_INLINE void xadd_reg(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned n)
{
    const struct x86_operand *d = &insn->operand[0], *s = &insn->operand[1];
    uint64_t a = op_get(cpu, d, n);
    uint16_t f;
    uint64_t v = alu2(X86_OP_ADD, a, op_get(cpu, s, n), 0, n, &f);
    op_set(cpu, s, n, a);
    op_set(cpu, d, n, v);
    flags_all(cpu, f);
}
X86_INLINE void xadd_mem(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned n)
{
    const struct x86_operand *s = &insn->operand[1];
    uint64_t lin = mem_lin(cpu, insn, n, X86_WRITE, false), v = op_get(cpu, s, n), old;
    void *p = x86_rmw(cpu, insn->seg, lin, n);
    uint16_t f;
    if (likely(p)) {
        old = host_xadd(p, v, n);
        alu2(X86_OP_ADD, old, v, 0, n, &f);
    } else {
        old = slow_load(cpu, insn, lin, n);
        slow_store(cpu, insn, lin, alu2(X86_OP_ADD, old, v, 0, n, &f), n);
    }
    op_set(cpu, s, n, old);
    flags_all(cpu, f);
}

static const struct x86_operand accumulator = { .kind = X86_OPERAND_GPR, .reg = X86_RAX };

/* Only what the comparison selects is written: a 32-bit CMPXCHG clears the upper half of either the
 * destination or RAX, never of both. (The manual is silent; so do processors.) */
X86_INLINE void cmpxchg_reg(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned n)
{
    const struct x86_operand *d = &insn->operand[0];
    uint64_t old = op_get(cpu, d, n), acc = op_get(cpu, &accumulator, n);
    uint16_t f;
    alu2(X86_OP_CMP, acc, old, 0, n, &f);
    if (acc == old)
        op_set(cpu, d, n, op_get(cpu, &insn->operand[1], n));
    else
        op_set(cpu, &accumulator, n, old);
    flags_all(cpu, f);
}
/* Memory is written in either case, so that a fault of the store does not depend on the values. */
X86_INLINE void cmpxchg_mem(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned n)
{
    uint64_t lin = mem_lin(cpu, insn, n, X86_WRITE, false);
    uint64_t acc = op_get(cpu, &accumulator, n), v = op_get(cpu, &insn->operand[1], n), old;
    void *p = x86_rmw(cpu, insn->seg, lin, n);
    uint16_t f;
    if (likely(p)) {
        old = host_cmpxchg(p, acc, v, n);
    } else {
        old = slow_load(cpu, insn, lin, n);
        slow_store(cpu, insn, lin, old == acc ? v : old, n);
    }
    alu2(X86_OP_CMP, acc, old, 0, n, &f);
    if (acc != old)
        op_set(cpu, &accumulator, n, old);
    flags_all(cpu, f);
}

#define DEFINE2(name, n)                                                                           \
    static void name##_##n(struct x86_cpu *cpu, const struct x86_insn *insn) { name(cpu, insn, n); }
#define DEFINE_OP2(name)                                                                           \
    DEFINE2(name, 1)                                                                               \
    DEFINE2(name, 2)                                                                               \
    DEFINE2(name, 4)                                                                               \
    DEFINE2(name, 8)                                                                               \
    static x86_exec_fn *const name##_table[X86_SIZES] = { name##_1, name##_2, name##_4, name##_8 };
DEFINE_OP2(xchg_reg)
DEFINE_OP2(xchg_mem)
DEFINE_OP2(xadd_reg)
DEFINE_OP2(xadd_mem)
DEFINE_OP2(cmpxchg_reg)
DEFINE_OP2(cmpxchg_mem)

/* ---- CMPXCHG8B, CMPXCHG16B ---- */

static void cmpxchg8b(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint64_t lin = mem_lin(cpu, insn, 8, X86_WRITE, false);
    uint64_t acc = (uint32_t)cpu->gpr[X86_RAX] | cpu->gpr[X86_RDX] << 32;
    uint64_t v = (uint32_t)cpu->gpr[X86_RBX] | cpu->gpr[X86_RCX] << 32, old;
    void *p = x86_rmw(cpu, insn->seg, lin, 8);
    if (likely(p)) {
        old = host_cmpxchg(p, acc, v, 8);
    } else {
        old = slow_load(cpu, insn, lin, 8);
        slow_store(cpu, insn, lin, old == acc ? v : old, 8);
    }
    flags_put(cpu, X86_ZF, old == acc ? X86_ZF : 0);
    if (old != acc) {
        cpu->gpr[X86_RAX] = (uint32_t)old;
        cpu->gpr[X86_RDX] = old >> 32;
    }
}

static void cmpxchg16b(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint64_t lin = mem_lin(cpu, insn, 16, X86_WRITE, false);
    uint64_t a = cpu->gpr[X86_RAX], d = cpu->gpr[X86_RDX];
    uint64_t *r = cpu->gpr;
    bool equal;
    if (lin & 15)
        x86_gp0(cpu);
    void *p = x86_rmw(cpu, insn->seg, lin, 16);
    if (likely(p)) {
        __asm__ volatile("lock; cmpxchg16b %2"
                         : "+a"(a), "+d"(d), "+m"(*(x86_u64(*)[2])p), "=@ccz"(equal)
                         : "b"(r[X86_RBX]), "c"(r[X86_RCX])
                         : "memory");
    } else {
        uint64_t old[2], v[2] = { r[X86_RBX], r[X86_RCX] };
        x86_load_bytes(cpu, insn->seg, lin, old, 16, x86_user(cpu));
        equal = old[0] == a && old[1] == d;
        x86_store_bytes(cpu, insn->seg, lin, equal ? v : old, 16, x86_user(cpu));
        a = old[0];
        d = old[1];
    }
    flags_put(cpu, X86_ZF, equal ? X86_ZF : 0);
    r[X86_RAX] = a;
    r[X86_RDX] = d;
}

/* ---- binding ---- */

x86_exec_fn *x86_bind_lock(const struct x86_insn *insn)
{
    const struct x86_operand *o = insn->operand;
    unsigned i = x86_size_index(o[0].size);
    bool mem0 = o[0].kind == X86_OPERAND_MEM, mem1 = o[1].kind == X86_OPERAND_MEM;
    bool pair = (mem0 && x86_is_reg(&o[1])) || (x86_is_reg(&o[0]) && (mem1 || x86_is_reg(&o[1])));

    if (insn->op == X86_OP_CMPXCHG8B)
        return mem0 ? cmpxchg8b : NULL;
    if (insn->op == X86_OP_CMPXCHG16B)
        return mem0 ? cmpxchg16b : NULL;
    if (!x86_size_ok(o[0].size))
        return NULL;
    switch (insn->op) {
    case X86_OP_XCHG: return !pair ? NULL : mem0 || mem1 ? xchg_mem_table[i] : xchg_reg_table[i];
    case X86_OP_XADD: return !pair || mem1 ? NULL : mem0 ? xadd_mem_table[i] : xadd_reg_table[i];
    case X86_OP_CMPXCHG:
        return !pair || mem1 ? NULL : mem0 ? cmpxchg_mem_table[i] : cmpxchg_reg_table[i];
    }
    if (!mem0)
        return NULL;
    switch (insn->op) {
    case X86_OP_INC: return INC_table[i];
    case X86_OP_DEC: return DEC_table[i];
    case X86_OP_NEG: return NEG_table[i];
    case X86_OP_NOT: return NOT_table[i];
    }
    if (!x86_is_reg(&o[1]) && o[1].kind != X86_OPERAND_IMM)
        return NULL;
    switch (insn->op) {
    case X86_OP_ADD: return ADD_table[i];
    case X86_OP_OR: return OR_table[i];
    case X86_OP_ADC: return ADC_table[i];
    case X86_OP_SBB: return SBB_table[i];
    case X86_OP_AND: return AND_table[i];
    case X86_OP_SUB: return SUB_table[i];
    case X86_OP_XOR: return XOR_table[i];
    }
    return NULL;
}
