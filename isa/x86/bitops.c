/* SPDX-License-Identifier: BSD-2-Clause */
/* Bits: BT BTS BTR BTC BSF BSR, POPCNT LZCNT TZCNT, BMI1/2, ADX, CRC32. What an older host may not
 * have is plain C, with the undefined flags cleared as processors clear them. [SDM] vol. 2. */
#include "isa/x86/exec.h"

#define EXEC(name) static void name(struct x86_cpu *cpu, const struct x86_insn *insn)

X86_INLINE uint64_t rm_get(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned k, unsigned n)
{
    return insn->operand[k].kind == X86_OPERAND_MEM ? mem_load(cpu, insn, n, false)
                                                    : op_get(cpu, &insn->operand[k], n);
}

/* ---- BT, BTS, BTR, BTC: change CF only; the other flags are undefined and stay ---- */

X86_INLINE uint64_t bit_op(unsigned op, uint64_t v, uint64_t m)
{
    switch (op) {
    case X86_OP_BTS: return v | m;
    case X86_OP_BTR: return v & ~m;
    case X86_OP_BTC: return v ^ m;
    default: return v;
    }
}
X86_INLINE void put_cf(struct x86_cpu *cpu, bool cf) { cpu->rflags = (cpu->rflags & ~X86_CF) | cf; }
X86_INLINE uint64_t bit_index(const struct x86_cpu *cpu, const struct x86_insn *insn, unsigned n)
{
    return insn->operand[1].kind == X86_OPERAND_IMM ? insn->imm & (8 * n - 1)
                                                    : op_get(cpu, &insn->operand[1], n);
}
X86_INLINE void bt_reg(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned op, unsigned n)
{
    uint64_t v = op_get(cpu, &insn->operand[0], n);
    unsigned bit = bit_index(cpu, insn, n) & (8 * n - 1);
    if (op != X86_OP_BT)
        op_set(cpu, &insn->operand[0], n, bit_op(op, v, 1ull << bit));
    put_cf(cpu, v >> bit & 1);
}

/* The bit string's element that holds the bit: a register offset is signed and reaches far. */
X86_INLINE uint64_t bt_lin(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned n,
                           uint64_t index, enum x86_access access)
{
    int64_t element = sign_extend(index, n) >> (n == 2 ? 4 : n == 4 ? 5 : 6);
    uint64_t ea = x86_ea(cpu, insn) + (uint64_t)element * n;
    return x86_linear(cpu, insn->seg, ea & size_mask(insn->asz), n, access);
}

#define LOCK_BIT(name, n, sfx, U)                                                                  \
    __asm__ volatile("lock; " name sfx " %[b],%[m]"                                                \
                     : [m] "+m"(*(U *)p), "=@ccc"(old)                                             \
                     : [b] "r"((U)bit)                                                             \
                     : "memory");
#define LOCK_BIT_SIZES(name)                                                                       \
    if (n == 2)                                                                                    \
        LOCK_BIT(name, 2, "w", x86_u16)                                                            \
    else if (n == 4)                                                                               \
        LOCK_BIT(name, 4, "l", x86_u32)                                                            \
    else                                                                                           \
        LOCK_BIT(name, 8, "q", x86_u64)

X86_INLINE bool lock_bit(unsigned op, void *p, unsigned bit, unsigned n)
{
    bool old;
    if (op == X86_OP_BTS) {
        LOCK_BIT_SIZES("bts")
    } else if (op == X86_OP_BTR) {
        LOCK_BIT_SIZES("btr")
    } else {
        LOCK_BIT_SIZES("btc")
    }
    return old;
}

X86_INLINE void bt_mem(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned op, unsigned n)
{
    uint64_t index = bit_index(cpu, insn, n);
    unsigned bit = index & (8 * n - 1);
    uint64_t lin = bt_lin(cpu, insn, n, index, op == X86_OP_BT ? X86_READ : X86_WRITE), v;

    if (op == X86_OP_BT) {
        put_cf(cpu, x86_load_user(cpu, insn->seg, lin, n, x86_user(cpu)) >> bit & 1);
        return;
    }
    void *p = x86_rmw(cpu, insn->seg, lin, n);
    if (likely(p)) {
        if (insn->lock) {
            put_cf(cpu, lock_bit(op, p, bit, n));
            return;
        }
        v = le_get(p, n);
        le_put(p, bit_op(op, v, 1ull << bit), n);
    } else { /* not atomic: see lock.c */
        v = x86_load_slow(cpu, insn->seg, lin, n, x86_user(cpu));
        x86_store_slow(cpu, insn->seg, lin, bit_op(op, v, 1ull << bit), n, x86_user(cpu));
    }
    put_cf(cpu, v >> bit & 1);
}

#define DEFINE_BT(op, n)                                                                           \
    EXEC(op##_r_##n) { bt_reg(cpu, insn, X86_OP_##op, n); }                                        \
    EXEC(op##_m_##n) { bt_mem(cpu, insn, X86_OP_##op, n); }
#define DEFINE_BT_OP(op)                                                                           \
    DEFINE_BT(op, 2)                                                                               \
    DEFINE_BT(op, 4)                                                                               \
    DEFINE_BT(op, 8)                                                                               \
    static x86_exec_fn *const op##_table[2][X86_SIZES] = {                                         \
        { NULL, op##_r_2, op##_r_4, op##_r_8 }, { NULL, op##_m_2, op##_m_4, op##_m_8 }             \
    };
DEFINE_BT_OP(BT)
DEFINE_BT_OP(BTS)
DEFINE_BT_OP(BTR)
DEFINE_BT_OP(BTC)

/* ---- BSF, BSR: a zero source leaves all 64 bits of the destination, as the host does ---- */

#define DEFINE_SCAN(name, insn_, sfx, mod, n)                                                      \
    EXEC(name##_##n)                                                                               \
    {                                                                                              \
        uint64_t s = rm_get(cpu, insn, 1, n), d = cpu->gpr[insn->operand[0].reg];                  \
        uint16_t f;                                                                                \
        __asm__(insn_ sfx " %" mod "[s],%" mod "[d]" X86_GET_FLAGS                                 \
                : [d] "+r"(d), "=a"(f)                                                             \
                : [s] "r"(s)                                                                       \
                : "cc");                                                                           \
        cpu->gpr[insn->operand[0].reg] = d;                                                        \
        flags_all(cpu, f);                                                                         \
    }
DEFINE_SCAN(bsf, "bsf", "w", "w", 2)
DEFINE_SCAN(bsf, "bsf", "l", "k", 4)
DEFINE_SCAN(bsf, "bsf", "q", "q", 8)
DEFINE_SCAN(bsr, "bsr", "w", "w", 2)
DEFINE_SCAN(bsr, "bsr", "l", "k", 4)
DEFINE_SCAN(bsr, "bsr", "q", "q", 8)

/* ---- counts ---- */

X86_INLINE uint64_t popcount(uint64_t v)
{
    v -= v >> 1 & 0x5555555555555555u;
    v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
    v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return v * 0x0101010101010101u >> 56;
}
X86_INLINE uint64_t flag_if(bool on, uint64_t flag) { return on ? flag : 0; }
X86_INLINE uint64_t sign_zero(uint64_t v, unsigned n)
{
    return flag_if(!(v & size_mask(n)), X86_ZF) | flag_if(v >> (8 * n - 1) & 1, X86_SF);
}

#define DEFINE_COUNTS(n)                                                                           \
    EXEC(popcnt_##n)                                                                               \
    {                                                                                              \
        uint64_t s = rm_get(cpu, insn, 1, n);                                                      \
        op_set(cpu, &insn->operand[0], n, popcount(s));                                            \
        flags_put(cpu, X86_AFLAGS, flag_if(!s, X86_ZF));                                           \
    }                                                                                              \
    EXEC(tzcnt_##n)                                                                                \
    {                                                                                              \
        uint64_t s = rm_get(cpu, insn, 1, n);                                                      \
        uint64_t v = s ? (uint64_t)__builtin_ctzll(s) : 8 * n;                                     \
        op_set(cpu, &insn->operand[0], n, v);                                                      \
        flags_put(cpu, X86_AFLAGS, flag_if(!s, X86_CF) | flag_if(!v, X86_ZF));                     \
    }                                                                                              \
    EXEC(lzcnt_##n)                                                                                \
    {                                                                                              \
        uint64_t s = rm_get(cpu, insn, 1, n);                                                      \
        uint64_t v = s ? (uint64_t)__builtin_clzll(s) - (64 - 8 * n) : 8 * n;                      \
        op_set(cpu, &insn->operand[0], n, v);                                                      \
        flags_put(cpu, X86_AFLAGS, flag_if(!s, X86_CF) | flag_if(!v, X86_ZF));                     \
    }
DEFINE_COUNTS(2)
DEFINE_COUNTS(4)
DEFINE_COUNTS(8)

/* ---- BMI ---- */

X86_INLINE uint64_t deposit(uint64_t v, uint64_t mask)
{
    uint64_t r = 0;
    for (; mask; mask &= mask - 1, v >>= 1)
        if (v & 1)
            r |= mask & -mask;
    return r;
}
X86_INLINE uint64_t extract(uint64_t v, uint64_t mask)
{
    uint64_t r = 0;
    for (uint64_t bit = 1; mask; mask &= mask - 1, bit <<= 1)
        if (v & mask & -mask)
            r |= bit;
    return r;
}

#define DEFINE_BMI(n)                                                                              \
    EXEC(andn_##n)                                                                                 \
    {                                                                                              \
        uint64_t s = rm_get(cpu, insn, 2, n), v = ~op_get(cpu, &insn->operand[1], n) & s;          \
        op_set(cpu, &insn->operand[0], n, v);                                                      \
        flags_put(cpu, X86_AFLAGS, sign_zero(v, n));                                               \
    }                                                                                              \
    EXEC(bextr_##n)                                                                                \
    {                                                                                              \
        uint64_t s = rm_get(cpu, insn, 1, n), c = op_get(cpu, &insn->operand[2], n);               \
        unsigned start = c & 0xff, len = c >> 8 & 0xff;                                            \
        uint64_t v = start < 8 * n ? s >> start : 0;                                               \
        if (len < 8 * n)                                                                           \
            v &= (1ull << len) - 1;                                                                \
        op_set(cpu, &insn->operand[0], n, v);                                                      \
        flags_put(cpu, X86_AFLAGS, flag_if(!v, X86_ZF));                                           \
    }                                                                                              \
    EXEC(bzhi_##n)                                                                                 \
    {                                                                                              \
        uint64_t v = rm_get(cpu, insn, 1, n);                                                      \
        unsigned from = op_get(cpu, &insn->operand[2], n) & 0xff;                                  \
        bool beyond = from >= 8 * n;                                                               \
        if (!beyond)                                                                               \
            v &= (1ull << from) - 1;                                                               \
        op_set(cpu, &insn->operand[0], n, v);                                                      \
        flags_put(cpu, X86_AFLAGS, sign_zero(v, n) | flag_if(beyond, X86_CF));                     \
    }                                                                                              \
    EXEC(blsi_##n)                                                                                 \
    {                                                                                              \
        uint64_t s = rm_get(cpu, insn, 1, n), v = s & -s;                                          \
        op_set(cpu, &insn->operand[0], n, v);                                                      \
        flags_put(cpu, X86_AFLAGS, sign_zero(v, n) | flag_if(s != 0, X86_CF));                     \
    }                                                                                              \
    EXEC(blsmsk_##n)                                                                               \
    {                                                                                              \
        uint64_t s = rm_get(cpu, insn, 1, n), v = s ^ (s - 1);                                     \
        op_set(cpu, &insn->operand[0], n, v);                                                      \
        flags_put(cpu, X86_AFLAGS, sign_zero(v, n) | flag_if(!s, X86_CF));                         \
    }                                                                                              \
    EXEC(blsr_##n)                                                                                 \
    {                                                                                              \
        uint64_t s = rm_get(cpu, insn, 1, n), v = s & (s - 1);                                     \
        op_set(cpu, &insn->operand[0], n, v);                                                      \
        flags_put(cpu, X86_AFLAGS, sign_zero(v, n) | flag_if(!s, X86_CF));                         \
    }                                                                                              \
    EXEC(pdep_##n)                                                                                 \
    {                                                                                              \
        uint64_t mask = rm_get(cpu, insn, 2, n);                                                   \
        op_set(cpu, &insn->operand[0], n, deposit(op_get(cpu, &insn->operand[1], n), mask));       \
    }                                                                                              \
    EXEC(pext_##n)                                                                                 \
    {                                                                                              \
        uint64_t mask = rm_get(cpu, insn, 2, n);                                                   \
        op_set(cpu, &insn->operand[0], n, extract(op_get(cpu, &insn->operand[1], n), mask));       \
    }                                                                                              \
    EXEC(adcx_##n)                                                                                 \
    {                                                                                              \
        uint64_t s = rm_get(cpu, insn, 1, n), d = op_get(cpu, &insn->operand[0], n);               \
        unsigned __int128 v = (unsigned __int128)s + d + !!(cpu->rflags & X86_CF);                 \
        op_set(cpu, &insn->operand[0], n, (uint64_t)v);                                            \
        flags_put(cpu, X86_CF, flag_if((v >> (8 * n)) & 1, X86_CF));                               \
    }                                                                                              \
    EXEC(adox_##n)                                                                                 \
    {                                                                                              \
        uint64_t s = rm_get(cpu, insn, 1, n), d = op_get(cpu, &insn->operand[0], n);               \
        unsigned __int128 v = (unsigned __int128)s + d + !!(cpu->rflags & X86_OF);                 \
        op_set(cpu, &insn->operand[0], n, (uint64_t)v);                                            \
        flags_put(cpu, X86_OF, flag_if((v >> (8 * n)) & 1, X86_OF));                               \
    }
DEFINE_BMI(4)
DEFINE_BMI(8)

/* ---- CRC32 (Castagnoli, bit-reversed), a nibble at a time ---- */

static const uint32_t crc_nibble[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};
X86_INLINE void crc32_exec(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned n)
{
    uint64_t s = rm_get(cpu, insn, 1, n);
    uint32_t crc = (uint32_t)cpu->gpr[insn->operand[0].reg];
    for (unsigned i = 0; i < n; i++, s >>= 8) {
        crc ^= (uint8_t)s;
        crc = crc >> 4 ^ crc_nibble[crc & 15];
        crc = crc >> 4 ^ crc_nibble[crc & 15];
    }
    cpu->gpr[insn->operand[0].reg] = crc;
}
EXEC(crc32_1) { crc32_exec(cpu, insn, 1); }
EXEC(crc32_2) { crc32_exec(cpu, insn, 2); }
EXEC(crc32_4) { crc32_exec(cpu, insn, 4); }
EXEC(crc32_8) { crc32_exec(cpu, insn, 8); }

/* ---- binding ---- */

x86_exec_fn *x86_bind_bitops(const struct x86_insn *insn)
{
    const struct x86_operand *o = insn->operand;
    unsigned n = o[0].size;
    bool mem = o[0].kind == X86_OPERAND_MEM;

    if (insn->op == X86_OP_CRC32)
        switch (o[1].size) {
        case 1: return crc32_1;
        case 2: return crc32_2;
        case 4: return crc32_4;
        case 8: return crc32_8;
        default: return NULL;
        }
    if (n != 2 && n != 4 && n != 8)
        return NULL;
    switch (insn->op) {
    case X86_OP_BT: return BT_table[mem][x86_size_index(n)];
    case X86_OP_BTS: return BTS_table[mem][x86_size_index(n)];
    case X86_OP_BTR: return BTR_table[mem][x86_size_index(n)];
    case X86_OP_BTC: return BTC_table[mem][x86_size_index(n)];
#define BIND3(op, name)                                                                            \
    case X86_OP_##op: return n == 2 ? name##_2 : n == 4 ? name##_4 : name##_8;
        BIND3(BSF, bsf)
        BIND3(BSR, bsr)
        BIND3(POPCNT, popcnt)
        BIND3(TZCNT, tzcnt)
        BIND3(LZCNT, lzcnt)
#define BIND2(op, name)                                                                            \
    case X86_OP_##op: return n == 8 ? name##_8 : name##_4;
        BIND2(ANDN, andn)
        BIND2(BEXTR, bextr)
        BIND2(BZHI, bzhi)
        BIND2(BLSI, blsi)
        BIND2(BLSMSK, blsmsk)
        BIND2(BLSR, blsr)
        BIND2(PDEP, pdep)
        BIND2(PEXT, pext)
        BIND2(ADCX, adcx)
        BIND2(ADOX, adox)
    }
    return NULL;
}
