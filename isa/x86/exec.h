/* SPDX-License-Identifier: BSD-2-Clause */
/* Templates the exec functions of integer and string instructions are made of: operands, flags,
 * memory forms. Every argument named size, op, cc or flat is a constant where these are used, so
 * that nothing is decided when an instruction runs. For the integer files only. */
#ifndef ISA_X86_EXEC_H
#define ISA_X86_EXEC_H

#include "isa/x86/emu.h"

#define X86_INLINE static inline __attribute__((always_inline))

/* Unaligned views of guest memory, as memory operands of inline assembly. */
typedef uint8_t x86_u8;
typedef uint16_t x86_u16 __attribute__((aligned(1), may_alias));
typedef uint32_t x86_u32 __attribute__((aligned(1), may_alias));
typedef uint64_t x86_u64 __attribute__((aligned(1), may_alias));

/* ---- tables: operand size 1, 2, 4, 8 to index ---- */
enum { X86_SIZES = 4 };
static inline unsigned x86_size_index(unsigned size)
{
    return size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
}
static inline bool x86_size_ok(unsigned size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

/* ---- operands ---- */
_Static_assert(X86_OPERAND_GPR8H == X86_OPERAND_GPR + 1, "kind gives the byte's position");

static inline bool x86_is_reg(const struct x86_operand *o)
{
    return o->kind == X86_OPERAND_GPR || o->kind == X86_OPERAND_GPR8H;
}

X86_INLINE uint64_t op_get(const struct x86_cpu *cpu, const struct x86_operand *o, unsigned size)
{
    if (size == 1)
        return (uint8_t)(cpu->gpr[o->reg] >> (8 * (o->kind - X86_OPERAND_GPR)));
    return cpu->gpr[o->reg] & size_mask(size);
}

/* Whole register writes throughout: a narrow store that a wide load follows would stall the host.
 */
X86_INLINE void op_set(struct x86_cpu *cpu, const struct x86_operand *o, unsigned size, uint64_t v)
{
    uint64_t *r = &cpu->gpr[o->reg];
    if (size == 1) {
        unsigned shift = 8 * (o->kind - X86_OPERAND_GPR);
        *r = (*r & ~(0xffull << shift)) | ((v & 0xff) << shift);
    } else if (size == 2) {
        *r = (*r & ~0xffffull) | (v & 0xffff);
    } else if (size == 4) {
        *r = (uint32_t)v;
    } else {
        *r = v;
    }
}

/* ---- memory operand ----
 * flat: 64-bit mode and address size, segment without base: the effective address is linear. */
static inline bool x86_is_flat(const struct x86_insn *insn)
{
    return insn->mode == 8 && insn->asz == 8 && insn->seg < X86_FS;
}

X86_INLINE uint64_t mem_ea(const struct x86_cpu *cpu, const struct x86_insn *insn, bool flat)
{
    if (flat)
        return cpu->reg[insn->base] + (cpu->reg[insn->index] << insn->scale) + (uint64_t)insn->disp;
    uint64_t ea =
        cpu->reg[insn->base] + (cpu->reg[insn->index] << insn->scale) + (uint64_t)insn->disp;
    return insn->asz == 4 ? (uint32_t)ea : likely(insn->asz == 8) ? ea : (uint16_t)ea;
}
X86_INLINE uint64_t mem_lin(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned size,
                            enum x86_access access, bool flat)
{
    uint64_t ea = mem_ea(cpu, insn, flat);
    return flat ? ea : x86_linear(cpu, insn->seg, ea, size, access);
}
X86_INLINE uint64_t mem_load(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned size,
                             bool flat)
{
    return x86_load_user(cpu, insn->seg, mem_lin(cpu, insn, size, X86_READ, flat), size,
                         x86_user(cpu));
}
X86_INLINE void mem_store(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t v,
                          unsigned size, bool flat)
{
    x86_store_user(cpu, insn->seg, mem_lin(cpu, insn, size, X86_WRITE, flat), v, size,
                   x86_user(cpu));
}

/*
 * Flat operand that the TLB knows: *p is its host address. On false nothing has happened, and a
 * flat function ends with a tail call of its general twin, which does all again and the slow way;
 * so it needs no registers saved.
 */
X86_INLINE bool tlb_hit(struct x86_cpu *cpu, uint64_t lin, unsigned size, enum x86_access access,
                        void **p)
{
    const struct x86_tlb_entry *e = x86_tlb_entry(cpu, lin, x86_user(cpu));
    if (unlikely((access == X86_WRITE ? e->w : e->r) != (lin + size - 1) >> 12))
        return false;
    *p = (void *)(uintptr_t)(lin + e->addend);
    return true;
}
X86_INLINE bool flat_hit(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned size,
                         enum x86_access access, void **p)
{
    return tlb_hit(cpu, mem_ea(cpu, insn, true), size, access, p);
}

/* ---- flags ----
 * What the host's arithmetic instructions left, as `lahf; seto %al` gives it: AH is SF ZF AF PF 1
 * CF in their places of RFLAGS, AL is OF. */
#define X86_GET_FLAGS "\n\tlahf\n\tseto %%al"

X86_INLINE uint64_t host_flags(uint16_t f) { return (f >> 8) | (uint64_t)(f & 0xff) << 11; }
X86_INLINE void flags_put(struct x86_cpu *cpu, uint64_t mask, uint64_t v)
{
    cpu->rflags = (cpu->rflags & ~mask) | (v & mask);
}
/* All six arithmetic flags; AH's bit 1 falls on the bit that is always set. */
X86_INLINE void flags_all(struct x86_cpu *cpu, uint16_t f)
{
    cpu->rflags = (cpu->rflags & ~X86_AFLAGS) | host_flags(f);
}
X86_INLINE void flags_but_cf(struct x86_cpu *cpu, uint16_t f)
{
    cpu->rflags = (cpu->rflags & ~(X86_AFLAGS & ~X86_CF)) | (host_flags(f) & ~X86_CF);
}
X86_INLINE void flags_cf_of(struct x86_cpu *cpu, uint16_t f)
{
    flags_put(cpu, X86_CF | X86_OF, host_flags(f));
}

X86_INLINE bool cc_true(uint64_t f, unsigned cc)
{
    uint64_t r;
    switch (cc >> 1) {
    case 0: r = f & X86_OF; break;
    case 1: r = f & X86_CF; break;
    case 2: r = f & X86_ZF; break;
    case 3: r = f & (X86_CF | X86_ZF); break;
    case 4: r = f & X86_SF; break;
    case 5: r = f & X86_PF; break;
    case 6: r = (f ^ (f >> 4)) & X86_SF; break; /* OF >> 4 falls on SF */
    default: r = ((f ^ (f >> 4)) & X86_SF) | (f & X86_ZF); break;
    }
    return (r != 0) ^ (cc & 1);
}
_Static_assert(X86_OF >> 4 == X86_SF, "");

/* M(..., cc) for all sixteen. */
#define X86_EACH_CC(M, ...)                                                                        \
    M(__VA_ARGS__, 0)                                                                              \
    M(__VA_ARGS__, 1)                                                                              \
    M(__VA_ARGS__, 2)                                                                              \
    M(__VA_ARGS__, 3)                                                                              \
    M(__VA_ARGS__, 4)                                                                              \
    M(__VA_ARGS__, 5)                                                                              \
    M(__VA_ARGS__, 6)                                                                              \
    M(__VA_ARGS__, 7)                                                                              \
    M(__VA_ARGS__, 8)                                                                              \
    M(__VA_ARGS__, 9)                                                                              \
    M(__VA_ARGS__, 10)                                                                             \
    M(__VA_ARGS__, 11)                                                                             \
    M(__VA_ARGS__, 12)                                                                             \
    M(__VA_ARGS__, 13)                                                                             \
    M(__VA_ARGS__, 14)                                                                             \
    M(__VA_ARGS__, 15)

/* ---- two-operand arithmetic on the host ---- */
#define X86_ALU_CASE(before, insn, sfx, T, n)                                                      \
    case n: {                                                                                      \
        T x_ = (T)a;                                                                               \
        __asm__(before insn sfx " %[b],%[x]" X86_GET_FLAGS                                         \
                : [x] "+q"(x_), "=a"(*f)                                                           \
                : [b] "q"((T)b), [fl] "r"((uint32_t)rflags)                                        \
                : "cc");                                                                           \
        return x_;                                                                                 \
    }
#define X86_ALU_SIZES(before, insn)                                                                \
    switch (size) {                                                                                \
        X86_ALU_CASE(before, insn, "b", uint8_t, 1)                                                \
        X86_ALU_CASE(before, insn, "w", uint16_t, 2)                                               \
        X86_ALU_CASE(before, insn, "l", uint32_t, 4)                                               \
        X86_ALU_CASE(before, insn, "q", uint64_t, 8)                                               \
    }                                                                                              \
    break;
#define X86_WITH_CF "bt $0,%[fl]\n\t"

X86_INLINE uint64_t alu2(unsigned op, uint64_t a, uint64_t b, uint64_t rflags, unsigned size,
                         uint16_t *f)
{
    switch (op) {
    case X86_OP_ADD: X86_ALU_SIZES("", "add")
    case X86_OP_OR: X86_ALU_SIZES("", "or")
    case X86_OP_ADC: X86_ALU_SIZES(X86_WITH_CF, "adc")
    case X86_OP_SBB: X86_ALU_SIZES(X86_WITH_CF, "sbb")
    case X86_OP_AND: X86_ALU_SIZES("", "and")
    case X86_OP_SUB: X86_ALU_SIZES("", "sub")
    case X86_OP_XOR: X86_ALU_SIZES("", "xor")
    case X86_OP_CMP: X86_ALU_SIZES("", "cmp")
    case X86_OP_TEST: X86_ALU_SIZES("", "test")
    }
    __builtin_unreachable();
}

/* ---- read-modify-write of the memory operand ----
 * RMW_BEGIN declares `p` (host address or NULL) and gives the old value; RMW_END stores. Nothing
 * architectural may change before RMW_END, which may throw. */
struct x86_rmw_state {
    void *p;
    uint64_t lin;
};
X86_INLINE uint64_t rmw_begin(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned size,
                              bool flat, struct x86_rmw_state *s)
{
    s->lin = mem_lin(cpu, insn, size, X86_WRITE, flat);
    s->p = x86_rmw(cpu, insn->seg, s->lin, size);
    if (likely(s->p))
        return le_get(s->p, size);
    return x86_load_slow(cpu, insn->seg, s->lin, size, x86_user(cpu));
}
X86_INLINE void rmw_end(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned size, uint64_t v,
                        const struct x86_rmw_state *s)
{
    if (likely(s->p))
        le_put(s->p, v, size);
    else
        x86_store_slow(cpu, insn->seg, s->lin, v, size, x86_user(cpu));
}

/* ---- the parts of x86_bind_integer ---- */
x86_exec_fn *x86_bind_alu(const struct x86_insn *insn);
x86_exec_fn *x86_bind_lock(const struct x86_insn *insn); /* LOCKed forms, XCHG, CMPXCHG, XADD */
x86_exec_fn *x86_bind_mov(const struct x86_insn *insn);
x86_exec_fn *x86_bind_shift(const struct x86_insn *insn);
x86_exec_fn *x86_bind_mul(const struct x86_insn *insn);
x86_exec_fn *x86_bind_bitops(const struct x86_insn *insn);
x86_exec_fn *x86_bind_bcd(const struct x86_insn *insn);
x86_exec_fn *x86_bind_stack(const struct x86_insn *insn);
x86_exec_fn *x86_bind_branch(const struct x86_insn *insn);

#endif
