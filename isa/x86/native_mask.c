/* SPDX-License-Identifier: BSD-2-Clause */
/* Vector instructions that touch only part of their memory operand: under an EVEX mask, VMASKMOV,
 * MASKMOVQ/DQU, gathers and scatters. [SDM] vol. 1 "Operand Level Write Masking: fault suppression"
 */
#include "isa/x86/native_int.h"

static uint64_t low_bits(unsigned n) { return n >= 64 ? ~0ull : BIT(n) - 1; }

/* Length of the run of elements at i whose mask bit is the same. */
static unsigned run_length(uint64_t mask, unsigned i, unsigned elems)
{
    uint64_t rest = mask >> i & 1 ? ~(mask >> i) : mask >> i;
    return rest ? MIN((unsigned)__builtin_ctzll(rest), elems - i) : elems - i;
}

static void load_elements(struct x86_cpu *cpu, unsigned seg, uint64_t lin, uint8_t *buf,
                          uint64_t mask, unsigned elem, unsigned elems)
{
    for (unsigned i = 0, n; i < elems; i += n) {
        n = run_length(mask, i, elems);
        if (mask >> i & 1)
            x86_load_bytes(cpu, seg, lin + i * elem, buf + i * elem, n * elem, x86_user(cpu));
    }
}

/* Nothing is written if any element would fault. */
static void store_elements(struct x86_cpu *cpu, unsigned seg, uint64_t lin, const uint8_t *buf,
                           uint64_t mask, unsigned elem, unsigned elems)
{
    unsigned n;
    for (unsigned i = 0; i < elems; i += n) {
        n = run_length(mask, i, elems);
        if (mask >> i & 1)
            x86_probe(cpu, seg, lin + i * elem, n * elem, X86_WRITE, x86_user(cpu));
    }
    for (unsigned i = 0; i < elems; i += n) {
        n = run_length(mask, i, elems);
        if (mask >> i & 1)
            x86_store_bytes(cpu, seg, lin + i * elem, buf + i * elem, n * elem, x86_user(cpu));
    }
}

/* ---- EVEX masks ---- */

/* One value for several elements: which of its parts are used. */
static uint64_t fold_mask(uint64_t mask, unsigned parts)
{
    uint64_t folded = 0;
    for (unsigned i = 0; i < 64; i += parts)
        folded |= mask >> i;
    return folded & low_bits(parts);
}

void native_load_masked(struct x86_cpu *cpu, const struct x86_insn *insn,
                        const struct native_stub *st, uint64_t lin, unsigned size)
{
    uint8_t *mem = cpu->native->work->mem;
    uint64_t mask = native_mask_get(cpu, insn->mask) & low_bits(st->elems);
    if (st->flags & STUB_ALIGNED && mask && lin & (size - 1))
        x86_gp0(cpu);
    if (st->flags & STUB_NO_SUPP) {
        native_load(cpu, insn->seg, lin, mem, size);
        return;
    }
    __builtin_memset(mem, 0, 64);
    if (!mask)
        return;
    if (st->flags & STUB_PACKED) {
        unsigned bytes = (unsigned)__builtin_popcountll(mask) * st->elem;
        x86_load_bytes(cpu, insn->seg, lin, mem, bytes, x86_user(cpu));
    } else {
        unsigned elem = st->elem, elems = st->elems;
        if (st->flags & STUB_BROADCAST) {
            elems = MAX(size / elem, 1u);
            elem = size / elems;
            mask = fold_mask(mask, elems);
        }
        if ((lin & 0xfff) + size <= 0x1000) {
            /* All or nothing can be accessed, and a fault is at the first element in use. */
            const unsigned skip = (unsigned)__builtin_ctzll(mask) * elem;
            x86_load_bytes(cpu, insn->seg, lin + skip, mem + skip, size - skip, x86_user(cpu));
        } else {
            load_elements(cpu, insn->seg, lin, mem, mask, elem, elems);
        }
    }
}

void native_store_masked(struct x86_cpu *cpu, const struct x86_insn *insn,
                         const struct native_stub *st, uint64_t lin, unsigned size)
{
    const uint8_t *mem = cpu->native->work->mem;
    uint64_t mask = native_mask_get(cpu, insn->mask) & low_bits(st->elems);
    if (st->flags & STUB_ALIGNED && mask && lin & (size - 1))
        x86_gp0(cpu);
    if (st->flags & STUB_NO_SUPP)
        x86_probe(cpu, insn->seg, lin, size, X86_WRITE, x86_user(cpu));
    if (!mask)
        return;
    if (st->flags & STUB_PACKED)
        x86_store_bytes(cpu, insn->seg, lin, mem, (unsigned)__builtin_popcountll(mask) * st->elem,
                        x86_user(cpu));
    else
        store_elements(cpu, insn->seg, lin, mem, mask, st->elem, st->elems);
}

/* ---- masks in vector registers ---- */

/* The sign bits of the elements. */
static uint64_t sign_mask(const uint8_t *v, unsigned elem, unsigned elems)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < elems; i++)
        mask |= (uint64_t)(v[i * elem + elem - 1] >> 7) << i;
    return mask;
}

static void check_class(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    if (insn->enc == X86_ENC_EVEX)
        native_check_avx512(cpu);
    else if (insn->enc == X86_ENC_VEX)
        native_check_avx(cpu);
    else
        native_check_sse(cpu);
    if (!native_lookup(cpu->native, insn))
        x86_ud(cpu);
}

/* VMASKMOVPS/PD, VPMASKMOVD/Q. */
static void exec_vmaskmov(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint8_t mask_reg[64], data[64] = { 0 };
    bool store = insn->opcode == 0x2e || insn->opcode == 0x2f || insn->opcode == 0x8e;
    bool wide = insn->opcode >= 0x80 ? insn->rex & 8 : insn->opcode & 1;
    unsigned elem = wide ? 8 : 4, elems = insn->vl / elem;
    unsigned reg = insn->operand[store ? 2 : 0].reg;
    check_class(cpu, insn);
    native_vec_get(cpu, insn->vvvv, mask_reg);
    uint64_t mask = sign_mask(mask_reg, elem, elems);
    uint64_t lin = native_linear(cpu, insn, insn->vl, store ? X86_WRITE : X86_READ);
    if (store) {
        native_vec_get(cpu, reg, data);
        store_elements(cpu, insn->seg, lin, data, mask, elem, elems);
    } else {
        load_elements(cpu, insn->seg, lin, data, mask, elem, elems);
        native_vec_set(cpu, reg, data, insn->vl);
    }
}

/* MASKMOVQ, (V)MASKMOVDQU: bytes to seg:rDI. */
static void exec_maskmov(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint8_t data[64], mask_reg[64];
    bool mmx = insn->enc == X86_ENC_LEGACY && insn->pp == 0;
    unsigned reg = insn->modrm >> 3 & 7, rm = insn->modrm & 7, size = mmx ? 8 : 16;
    if (mmx) {
        native_check_mmx(cpu);
        le64_put(data, native_mm_get(cpu, reg));
        le64_put(mask_reg, native_mm_get(cpu, rm));
    } else {
        check_class(cpu, insn);
        native_vec_get(cpu, reg | (insn->rex & 4) << 1, data);
        native_vec_get(cpu, rm | (insn->rex & 1) << 3, mask_reg);
    }
    uint64_t mask = sign_mask(mask_reg, 1, size);
    uint64_t off = cpu->gpr[X86_RDI] & size_mask(insn->asz);
    uint64_t lin = x86_linear(cpu, insn->seg, off, size, X86_WRITE);
    if (mmx)
        native_mm_enter(cpu);
    native_check_align(cpu, lin, 8);
    store_elements(cpu, insn->seg, lin, data, mask, 1, size);
}

/* ---- gathers and scatters ---- */

struct vsib {
    unsigned elem, elems;
    uint8_t index[64], mask_reg[64];
    bool wide_index;
    uint64_t mask;
};

/* The memory operand's vector of addresses, and the mask that says which count. */
static void vsib_init(struct x86_cpu *cpu, const struct x86_insn *insn, struct vsib *v)
{
    check_class(cpu, insn);
    v->wide_index = insn->opcode & 1;
    v->elem = insn->rex & 8 ? 8 : 4;
    v->elems = insn->vl / (v->wide_index ? 8 : v->elem);
    native_vec_get(cpu, insn->index, v->index);
    if (insn->enc == X86_ENC_EVEX) {
        v->mask = native_mask_get(cpu, insn->mask) & low_bits(v->elems);
    } else {
        native_vec_get(cpu, insn->vvvv, v->mask_reg);
        v->mask = sign_mask(v->mask_reg, v->elem, v->elems);
    }
}

static uint64_t vsib_linear(struct x86_cpu *cpu, const struct x86_insn *insn, const struct vsib *v,
                            unsigned i, enum x86_access access)
{
    int64_t index =
        v->wide_index ? (int64_t)le64(v->index + 8 * i) : (int64_t)(int32_t)le32(v->index + 4 * i);
    uint64_t ea = cpu->reg[insn->base] + ((uint64_t)index << insn->scale) + (uint64_t)insn->disp;
    return x86_linear(cpu, insn->seg, ea & size_mask(insn->asz), v->elem, access);
}

/* Elements are done in order, and those below a faulting one stay done, with their mask cleared.
 * But once an element came from a device, the instruction may be executed anew with the log of its
 * finished accesses, so from there on nothing is final before the end. */
static bool may_commit(const struct x86_cpu *cpu) { return !cpu->replay.next; }

static void vsib_done(struct x86_cpu *cpu, const struct x86_insn *insn, struct vsib *v, unsigned i)
{
    if (insn->enc == X86_ENC_EVEX) {
        native_mask_set(cpu, insn->mask, native_mask_get(cpu, insn->mask) & ~BIT(i));
    } else {
        __builtin_memset(v->mask_reg + i * v->elem, 0, v->elem);
        native_vec_set(cpu, insn->vvvv, v->mask_reg, 64);
    }
}

static void exec_gather(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    struct vsib v;
    uint8_t dst[64], zero[16] = { 0 };
    unsigned reg = insn->operand[0].reg;
    bool evex = insn->enc == X86_ENC_EVEX;
    if (reg == insn->index || (!evex && (insn->vvvv == reg || insn->vvvv == insn->index)) ||
        (evex && !insn->mask))
        x86_ud(cpu);
    vsib_init(cpu, insn, &v);
    native_vec_get(cpu, reg, dst);
    for (unsigned i = 0; i < v.elems; i++) {
        if (!(v.mask >> i & 1))
            continue;
        uint64_t lin = vsib_linear(cpu, insn, &v, i, X86_READ);
        uint64_t value = x86_load_user(cpu, insn->seg, lin, v.elem, x86_user(cpu));
        le_put(dst + i * v.elem, value, v.elem);
        if (may_commit(cpu)) {
            native_vec_set(cpu, reg, dst, 64);
            vsib_done(cpu, insn, &v, i);
        }
    }
    native_vec_set(cpu, reg, dst, v.elems * v.elem);
    if (evex)
        native_mask_set(cpu, insn->mask, 0);
    else
        native_vec_set(cpu, insn->vvvv, zero, 16);
}

static void exec_scatter(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    struct vsib v;
    uint8_t src[64];
    if (!insn->mask)
        x86_ud(cpu);
    vsib_init(cpu, insn, &v);
    native_vec_get(cpu, insn->operand[insn->mem == 1 ? 1 : 0].reg, src);
    for (unsigned i = 0; i < v.elems; i++) {
        if (!(v.mask >> i & 1))
            continue;
        uint64_t lin = vsib_linear(cpu, insn, &v, i, X86_WRITE);
        x86_store_user(cpu, insn->seg, lin, le_get(src + i * v.elem, v.elem), v.elem,
                       x86_user(cpu));
        if (may_commit(cpu))
            vsib_done(cpu, insn, &v, i);
    }
    native_mask_set(cpu, insn->mask, 0);
}

x86_exec_fn *native_bind_mask(const struct x86_insn *insn)
{
    switch (insn->op) {
    case X86_OP_MASKMOV: return exec_maskmov;
    case X86_OP_VMASKMOV: return exec_vmaskmov;
    case X86_OP_GATHER: return exec_gather;
    default: return exec_scatter;
    }
}
