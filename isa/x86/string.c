/* SPDX-License-Identifier: BSD-2-Clause */
/* String instructions: MOVS CMPS STOS LODS SCAS INS OUTS with and without repeat prefix. [SDM] vol.
 * 1 "String Operations", vol. 2 "REP".
 *
 * Each iteration is a commit point: counter and index registers are up to date whenever one may
 * fault or leave for I/O. Where both sides are RAM, a repeated MOVS, STOS, CMPS or SCAS is done
 * page by page with the host's own instruction, which gives overlap, direction and flags the same
 * meaning. */
#include "isa/x86/exec.h"

/* After this many iterations, or 16 times as many bytes at once, a repeated instruction ends as if
 * interrupted, so that interrupts are taken. INS and OUTS iterations weigh more. */
enum { BUDGET = 4096, BUDGET_IO = 16 };

/* What an iteration needs, copied from the instruction: a store may drop the decoded block. */
struct str {
    uint8_t seg; /* of the rSI operand */
    uint8_t asz;
};

X86_INLINE uint64_t index_get(const struct x86_cpu *cpu, unsigned r, const struct str *s)
{
    return cpu->gpr[r] & size_mask(s->asz);
}
X86_INLINE void index_add(struct x86_cpu *cpu, unsigned r, const struct str *s, uint64_t delta)
{
    if (likely(s->asz == 8))
        cpu->gpr[r] += delta;
    else
        x86_reg_set(cpu, r, s->asz, cpu->gpr[r] + delta);
}
X86_INLINE uint64_t step(const struct x86_cpu *cpu, unsigned n)
{
    return cpu->rflags & X86_DF ? -(uint64_t)n : n;
}

/* ---- one iteration ---- */

X86_INLINE void one(struct x86_cpu *cpu, const struct str *s, unsigned op, unsigned n)
{
    uint64_t d = step(cpu, n), v = 0, w;
    uint16_t f, port;

    switch (op) {
    case X86_OP_MOVS:
        v = x86_load(cpu, s->seg, index_get(cpu, X86_RSI, s), n);
        x86_store(cpu, X86_ES, index_get(cpu, X86_RDI, s), v, n);
        break;
    case X86_OP_STOS:
        x86_store(cpu, X86_ES, index_get(cpu, X86_RDI, s), cpu->gpr[X86_RAX], n);
        break;
    case X86_OP_LODS:
        v = x86_load(cpu, s->seg, index_get(cpu, X86_RSI, s), n);
        x86_reg_set(cpu, X86_RAX, n, v);
        break;
    case X86_OP_SCAS:
        v = x86_load(cpu, X86_ES, index_get(cpu, X86_RDI, s), n);
        alu2(X86_OP_CMP, cpu->gpr[X86_RAX], v, 0, n, &f);
        flags_all(cpu, f);
        break;
    case X86_OP_CMPS:
        w = x86_load(cpu, X86_ES, index_get(cpu, X86_RDI, s), n); /* as processors do */
        v = x86_load(cpu, s->seg, index_get(cpu, X86_RSI, s), n);
        alu2(X86_OP_CMP, v, w, 0, n, &f);
        flags_all(cpu, f);
        break;
    case X86_OP_INS:
        port = (uint16_t)cpu->gpr[X86_RDX];
        x86_io_check(cpu, port, n);
        w = x86_linear(cpu, X86_ES, index_get(cpu, X86_RDI, s), n, X86_WRITE);
        x86_probe(cpu, X86_ES, w, n, X86_WRITE, x86_user(cpu)); /* before the port is read */
        x86_pio(cpu, port, &v, n, false);
        x86_store_user(cpu, X86_ES, w, v, n, x86_user(cpu));
        break;
    case X86_OP_OUTS:
        port = (uint16_t)cpu->gpr[X86_RDX];
        x86_io_check(cpu, port, n);
        v = x86_load(cpu, s->seg, index_get(cpu, X86_RSI, s), n);
        x86_pio(cpu, port, &v, n, true);
        break;
    }
    if (op == X86_OP_MOVS || op == X86_OP_CMPS || op == X86_OP_LODS || op == X86_OP_OUTS)
        index_add(cpu, X86_RSI, s, d);
    if (op != X86_OP_LODS && op != X86_OP_OUTS)
        index_add(cpu, X86_RDI, s, d);
}

/* ---- many iterations on host memory ---- */

/*
 * Host address of the element at seg:off if it is RAM with a fast path, else NULL; *count is cut to
 * the elements that follow it in the current direction without leaving the page, the segment's
 * limit or the address size. Throws what the first access would.
 */
static uint8_t *run_of(struct x86_cpu *cpu, unsigned seg, uint64_t off, unsigned n, unsigned asz,
                       enum x86_access access, uint64_t *count)
{
    uint64_t lin = x86_linear(cpu, seg, off, n, access), room, end = size_mask(asz);
    const struct x86_tlb_entry *e = x86_tlb_entry(cpu, lin, x86_user(cpu));

    /* Filled here, not by one(): source and destination may want the same entry. */
    if ((access == X86_WRITE ? e->w : e->r) != ((lin + n - 1) >> 12) &&
        !x86_tlb_fill(cpu, lin, n, access, x86_user(cpu)))
        return NULL;
    if (cpu->code != 8) {
        const struct x86_seg *s = &cpu->seg[seg];
        if ((s->attr & (X86_SEG_CODE | X86_SEG_E)) == X86_SEG_E)
            return NULL;
        end = MIN(end, (uint64_t)s->limit);
    }
    if (cpu->rflags & X86_DF) {
        room = (lin & 0xfff) / n + 1;
        room = MIN(room, off / n + 1);
    } else {
        room = (0x1000 - (lin & 0xfff)) / n;
        if (end - off + 1 != 0) /* 0: all 2^64 */
            room = MIN(room, (end - off + 1) / n);
    }
    *count = MIN(*count, room);
    return room ? (uint8_t *)(uintptr_t)(lin + e->addend) : NULL;
}

/* The host's instruction forwards or backwards; the ABI wants DF clear outside. */
#define HOST_REP(insn, ...)                                                                        \
    do {                                                                                           \
        if (back)                                                                                  \
            __asm__ volatile("std\n\t" insn "\n\tcld" __VA_ARGS__);                                \
        else                                                                                       \
            __asm__ volatile(insn __VA_ARGS__);                                                    \
    } while (0)
#define HOST_REP_SIZES(insn, ...)                                                                  \
    switch (n) {                                                                                   \
    case 1: HOST_REP(insn "b", __VA_ARGS__); break;                                                \
    case 2: HOST_REP(insn "w", __VA_ARGS__); break;                                                \
    case 4: HOST_REP(insn "l", __VA_ARGS__); break;                                                \
    case 8: HOST_REP(insn "q", __VA_ARGS__); break;                                                \
    }

/* clang-format off */
X86_INLINE void host_movs(uint8_t *dst, const uint8_t *src, uint64_t count, unsigned n, bool back)
{
    HOST_REP_SIZES("rep movs", : "+D"(dst), "+S"(src), "+c"(count) :: "memory")
}
X86_INLINE void host_stos(uint8_t *dst, uint64_t v, uint64_t count, unsigned n, bool back)
{
    HOST_REP_SIZES("rep stos", : "+D"(dst), "+c"(count) : "a"(v) : "memory")
}
/* Both give the elements left over. */
#define FLAGS_OUT "\n\tlahf\n\tseto %%al"
#define HOST_SCAN(insn, sfx, ...)                                                                  \
    do {                                                                                           \
        if (back)                                                                                  \
            __asm__ volatile("std\n\t" insn sfx FLAGS_OUT "\n\tcld" __VA_ARGS__);                  \
        else                                                                                       \
            __asm__ volatile(insn sfx FLAGS_OUT __VA_ARGS__);                                      \
    } while (0)
#define HOST_SCAN_SIZES(insn, ...)                                                                 \
    switch (n) {                                                                                   \
    case 1: HOST_SCAN(insn, "b", __VA_ARGS__); break;                                              \
    case 2: HOST_SCAN(insn, "w", __VA_ARGS__); break;                                              \
    case 4: HOST_SCAN(insn, "l", __VA_ARGS__); break;                                              \
    case 8: HOST_SCAN(insn, "q", __VA_ARGS__); break;                                              \
    }
X86_INLINE uint64_t host_cmps(const uint8_t *a, const uint8_t *b, uint64_t count, unsigned n,
                              bool back, bool while_equal, uint16_t *f)
{
    uint64_t ax = 0;
    if (while_equal)
        HOST_SCAN_SIZES("repe cmps", : "+S"(a), "+D"(b), "+c"(count), "+a"(ax) :: "memory", "cc")
    else
        HOST_SCAN_SIZES("repne cmps", : "+S"(a), "+D"(b), "+c"(count), "+a"(ax) :: "memory", "cc")
    *f = (uint16_t)ax;
    return count;
}
X86_INLINE uint64_t host_scas(const uint8_t *p, uint64_t v, uint64_t count, unsigned n, bool back,
                              bool while_equal, uint16_t *f)
{
    uint64_t ax = v;
    if (while_equal)
        HOST_SCAN_SIZES("repe scas", : "+D"(p), "+c"(count), "+a"(ax) :: "memory", "cc")
    else
        HOST_SCAN_SIZES("repne scas", : "+D"(p), "+c"(count), "+a"(ax) :: "memory", "cc")
    *f = (uint16_t)ax;
    return count;
}
/* clang-format on */

/* Does as many of `count` iterations as lie at hand and commits them; gives their number, 0 if the
 * next has to be done by one(). */
X86_INLINE uint64_t many(struct x86_cpu *cpu, const struct str *s, unsigned op, unsigned n,
                         bool while_equal, uint64_t count)
{
    const bool has_src = op == X86_OP_MOVS || op == X86_OP_CMPS;
    const bool back = cpu->rflags & X86_DF;
    uint8_t *src = NULL, *dst;
    uint64_t left = 0, d = step(cpu, n);
    uint16_t f;

    if (op == X86_OP_MOVS) {
        src = run_of(cpu, s->seg, index_get(cpu, X86_RSI, s), n, s->asz, X86_READ, &count);
        if (!src)
            return 0;
    }
    dst = run_of(cpu, X86_ES, index_get(cpu, X86_RDI, s), n, s->asz,
                 op == X86_OP_MOVS || op == X86_OP_STOS ? X86_WRITE : X86_READ, &count);
    if (!dst)
        return 0;
    if (op == X86_OP_CMPS) { /* the other operand is its first access */
        src = run_of(cpu, s->seg, index_get(cpu, X86_RSI, s), n, s->asz, X86_READ, &count);
        if (!src)
            return 0;
    }
    switch (op) {
    case X86_OP_MOVS: host_movs(dst, src, count, n, back); break;
    case X86_OP_STOS: host_stos(dst, cpu->gpr[X86_RAX], count, n, back); break;
    case X86_OP_CMPS: left = host_cmps(src, dst, count, n, back, while_equal, &f); break;
    case X86_OP_SCAS:
        left = host_scas(dst, cpu->gpr[X86_RAX], count, n, back, while_equal, &f);
        break;
    }
    count -= left;
    if (op == X86_OP_CMPS || op == X86_OP_SCAS)
        flags_all(cpu, f);
    if (has_src)
        index_add(cpu, X86_RSI, s, d * count);
    index_add(cpu, X86_RDI, s, d * count);
    index_add(cpu, X86_RCX, s, -count);
    return count;
}

/* ---- repetition ---- */

/* With a 32-bit address size and a count of 0 the upper halves go all the same, for MOVS and STOS
 * also of the index registers: as processors with fast strings do. */
static void none(struct x86_cpu *cpu, const struct str *s, unsigned op)
{
    if (s->asz != 4)
        return;
    index_add(cpu, X86_RCX, s, 0);
    if (op == X86_OP_MOVS || op == X86_OP_STOS)
        index_add(cpu, X86_RDI, s, 0);
    if (op == X86_OP_MOVS)
        index_add(cpu, X86_RSI, s, 0);
}

X86_INLINE void repeat(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned op, unsigned n)
{
    const struct str s = { .seg = insn->seg, .asz = insn->asz };
    const bool compares = op == X86_OP_CMPS || op == X86_OP_SCAS;
    const bool bulk = compares || op == X86_OP_MOVS || op == X86_OP_STOS;
    const bool io = op == X86_OP_INS || op == X86_OP_OUTS;
    const bool while_equal = insn->rep == 0xf3;
    const uint64_t flags = cpu->rflags;
    uint64_t count = index_get(cpu, X86_RCX, &s), budget = BUDGET, done;

    if (!count) {
        if (io)
            x86_io_check(cpu, (uint16_t)cpu->gpr[X86_RDX], n);
        none(cpu, &s, op);
        return;
    }
    if (bulk)
        none(cpu, &s, op);
    for (;;) {
        /* A fault finds the flags as they were before the instruction, not after the iterations
         * done. [SDM] vol. 2 "REP/REPE/REPZ/REPNE/REPNZ" */
        if (compares)
            cpu->rflags = flags;
        done = bulk && likely(!cpu->debugging) ? many(cpu, &s, op, n, while_equal, count) : 0;
        if (done) {
            done = (done * n + 15) / 16;
        } else {
            one(cpu, &s, op, n);
            index_add(cpu, X86_RCX, &s, -1ull);
            cpu->replay.count = cpu->replay.next = 0; /* this much is done for good */
            done = io ? BUDGET_IO : 1;
        }
        count = index_get(cpu, X86_RCX, &s);
        if (!count || (compares && !(cpu->rflags & X86_ZF) == while_equal))
            return;
        if (done >= budget || cpu->debugging)
            break;
        budget -= done;
    }
    if (compares)
        cpu->rflags = flags;
    cpu->rip = cpu->insn_rip;
    cpu->stop = 1;
}

/* ---- functions by operation, size, prefix ---- */

#define DEFINE(op, n)                                                                              \
    static void op##_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                         \
    {                                                                                              \
        const struct str s = { .seg = insn->seg, .asz = insn->asz };                               \
        one(cpu, &s, X86_OP_##op, n);                                                              \
    }                                                                                              \
    static void rep_##op##_##n(struct x86_cpu *cpu, const struct x86_insn *insn)                   \
    {                                                                                              \
        repeat(cpu, insn, X86_OP_##op, n);                                                         \
    }
#define DEFINE_OP(op)                                                                              \
    DEFINE(op, 1)                                                                                  \
    DEFINE(op, 2)                                                                                  \
    DEFINE(op, 4)                                                                                  \
    DEFINE(op, 8)                                                                                  \
    static x86_exec_fn *const op##_table[2][X86_SIZES] = { { op##_1, op##_2, op##_4, op##_8 },     \
                                                           { rep_##op##_1, rep_##op##_2,           \
                                                             rep_##op##_4, rep_##op##_8 } };
DEFINE_OP(MOVS)
DEFINE_OP(CMPS)
DEFINE_OP(STOS)
DEFINE_OP(LODS)
DEFINE_OP(SCAS)
DEFINE_OP(INS)
DEFINE_OP(OUTS)

x86_exec_fn *x86_bind_string(const struct x86_insn *insn)
{
    /* Even opcodes are of bytes; I/O is of at most four. */
    unsigned size = insn->opcode & 1 ? insn->osz : 1, i;
    bool rep = insn->rep;

    if (size == 8 && (insn->op == X86_OP_INS || insn->op == X86_OP_OUTS))
        size = 4;
    i = x86_size_index(size);
    switch (insn->op) {
    case X86_OP_MOVS: return MOVS_table[rep][i];
    case X86_OP_CMPS: return CMPS_table[rep][i];
    case X86_OP_STOS: return STOS_table[rep][i];
    case X86_OP_LODS: return LODS_table[rep][i];
    case X86_OP_SCAS: return SCAS_table[rep][i];
    case X86_OP_INS: return INS_table[rep][i];
    case X86_OP_OUTS: return OUTS_table[rep][i];
    }
    return NULL;
}
