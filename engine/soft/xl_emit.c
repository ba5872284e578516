/* SPDX-License-Identifier: BSD-2-Clause */
/* The translator's encoder: the few host instructions it adds itself. [SDM] vol. 2 chapter 2. */
#include <string.h>

#include "engine/soft/soft.h"

void xl_b(struct xl_tr *t, unsigned byte) { *t->p++ = (uint8_t)byte; }

void xl_i32(struct xl_tr *t, uint32_t v)
{
    memcpy(t->p, &v, 4);
    t->p += 4;
}

void xl_i64(struct xl_tr *t, uint64_t v)
{
    memcpy(t->p, &v, 8);
    t->p += 8;
}

void xl_taken(struct xl_tr *t, unsigned reg)
{
    if (reg == XL_R10)
        t->r10 = t->r11 = 0;
    if (reg == XL_R11)
        t->r11 = 0;
}

static inline void rex(struct xl_bytes *s, unsigned w, unsigned r, unsigned x, unsigned b)
{
    unsigned v = (w ? 8u : 0) | (r >> 3) << 2 | (x >> 3) << 1 | b >> 3;

    if (v)
        xl_add(s, 0x40 | v);
}

static inline void opcode(struct xl_bytes *s, unsigned op)
{
    if (op > 0xff)
        xl_add(s, op >> 8);
    xl_add(s, op & 0xff);
}

void xl_rr(struct xl_tr *t, unsigned w, unsigned op, unsigned reg, unsigned rm)
{
    struct xl_bytes s = { 0, 0 };

    xl_taken(t, reg);
    xl_taken(t, rm);
    rex(&s, w, reg, 0, rm);
    opcode(&s, op);
    xl_add(&s, 0xc0 | (reg & 7) << 3 | (rm & 7));
    xl_put(t, &s);
}

void xl_rm(struct xl_tr *t, unsigned w, unsigned op, unsigned reg, unsigned base, int32_t disp)
{
    const unsigned mod = disp || (base & 7) == 5 ? 0x80 : 0;
    struct xl_bytes s = { 0, 0 };

    if (op != 0x89)
        xl_taken(t, reg);
    rex(&s, w, reg, 0, base);
    opcode(&s, op);
    xl_add(&s, mod | (reg & 7) << 3 | (base & 7));
    if ((base & 7) == 4)
        xl_add(&s, 0x24);
    if (mod)
        xl_put_with(t, &s, (uint32_t)disp);
    else
        xl_put(t, &s);
}

void xl_gs(struct xl_tr *t, unsigned w, unsigned op, unsigned reg, int32_t disp)
{
    struct xl_bytes s = { 0x65, 1 };

    if (op != 0x89)
        xl_taken(t, reg);
    if (t->r11 && op != 0x8b && disp == xl_gpr(t->r11 - 1))
        t->r11 = 0;
    rex(&s, w, reg, 0, 0);
    opcode(&s, op);
    xl_add(&s, 4 | (reg & 7) << 3);
    xl_add(&s, 0x25);
    xl_put_with(t, &s, (uint32_t)disp);
}

void xl_gsx(struct xl_tr *t, unsigned w, unsigned op, unsigned reg, unsigned index, unsigned scale,
            int32_t disp)
{
    struct xl_bytes s = { 0x65, 1 };

    xl_taken(t, reg);
    rex(&s, w, reg, index, 0);
    opcode(&s, op);
    xl_add(&s, 4 | (reg & 7) << 3);
    xl_add(&s, scale << 6 | (index & 7) << 3 | 5);
    xl_put_with(t, &s, (uint32_t)disp);
}

void xl_gsb(struct xl_tr *t, unsigned w, unsigned op, unsigned reg, unsigned base, int32_t disp)
{
    struct xl_bytes s = { 0x65, 1 };

    xl_taken(t, reg);
    rex(&s, w, reg, 0, base);
    opcode(&s, op);
    xl_add(&s, 0x80 | (reg & 7) << 3 | (base & 7));
    if ((base & 7) == 4)
        xl_add(&s, 0x24);
    xl_put_with(t, &s, (uint32_t)disp);
}

/* ModRM and SIB of base + index (XL_NO_INDEX: none) << scale + disp, the displacement, and out. */
static inline void put_address(struct xl_tr *t, struct xl_bytes *s, unsigned reg, unsigned base,
                               unsigned index, unsigned scale, int32_t disp)
{
    const bool d8 = disp >= -128 && disp < 128;
    const unsigned mod = !disp && (base & 7) != 5 ? 0 : d8 ? 0x40 : 0x80;

    if (index != XL_NO_INDEX || (base & 7) == 4) {
        xl_add(s, mod | (reg & 7) << 3 | 4);
        xl_add(s, scale << 6 | (index == XL_NO_INDEX ? 4u : index & 7) << 3 | (base & 7));
    } else {
        xl_add(s, mod | (reg & 7) << 3 | (base & 7));
    }
    if (mod == 0x80) {
        xl_put_with(t, s, (uint32_t)disp);
        return;
    }
    if (mod)
        xl_add(s, (uint8_t)disp);
    xl_put(t, s);
}

void xl_modrm_ref(struct xl_tr *t, unsigned reg, const struct xl_ref *m)
{
    struct xl_bytes s = { 0, 0 };

    put_address(t, &s, reg, m->base, m->index, 0, m->disp);
}

void xl_op_ref(struct xl_tr *t, unsigned w, unsigned op, unsigned reg, const struct xl_ref *m)
{
    struct xl_bytes s = { 0, 0 };

    if (op != 0x89)
        xl_taken(t, reg);
    rex(&s, w, reg, m->index == XL_NO_INDEX ? 0 : m->index, m->base);
    opcode(&s, op);
    put_address(t, &s, reg, m->base, m->index, 0, m->disp);
}

void xl_lea(struct xl_tr *t, unsigned w, unsigned reg, int base, int index, unsigned scale,
            int32_t disp)
{
    struct xl_bytes s = { 0, 0 };

    xl_taken(t, reg);
    rex(&s, w, reg, index < 0 ? 0 : (unsigned)index, base < 0 ? 0 : (unsigned)base);
    xl_add(&s, 0x8d);
    if (base < 0) {
        xl_add(&s, 4 | (reg & 7) << 3);
        xl_add(&s, scale << 6 | (index < 0 ? 4u : (unsigned)index & 7) << 3 | 5);
        xl_put_with(t, &s, (uint32_t)disp);
        return;
    }
    put_address(t, &s, reg, (unsigned)base, index < 0 ? (unsigned)XL_NO_INDEX : (unsigned)index,
                scale, disp);
}

void xl_mov(struct xl_tr *t, unsigned w, unsigned dst, unsigned src)
{
    xl_rr(t, w, 0x8b, dst, src);
}

void xl_imm(struct xl_tr *t, unsigned reg, uint64_t v)
{
    const bool u32 = v <= 0xffffffff, s32 = (uint64_t)(int32_t)v == v;
    struct xl_bytes s = { 0, 0 };

    xl_taken(t, reg);
    rex(&s, !u32, 0, 0, reg);
    if (u32 || !s32) {
        xl_add(&s, 0xb8 | (reg & 7));
    } else {
        xl_add(&s, 0xc7);
        xl_add(&s, 0xc0 | (reg & 7));
    }
    if (u32 || s32) {
        xl_put_with(t, &s, (uint32_t)v);
    } else {
        xl_put(t, &s);
        xl_i64(t, v);
    }
}

void xl_alu(struct xl_tr *t, unsigned w, unsigned op, unsigned reg, uint32_t v)
{
    xl_rr(t, w, 0x81, op, reg);
    xl_i32(t, v);
}

void xl_test(struct xl_tr *t, unsigned reg, uint32_t v)
{
    xl_rr(t, 0, 0xf7, 0, reg);
    xl_i32(t, v);
}

void xl_shift(struct xl_tr *t, unsigned w, unsigned op, unsigned reg, unsigned n)
{
    xl_rr(t, w, 0xc1, op, reg);
    xl_b(t, n);
}

void xl_gs_alu(struct xl_tr *t, unsigned op, int32_t disp, uint32_t v)
{
    xl_gs(t, 0, 0x81, op, disp);
    xl_i32(t, v);
}

void xl_gs_test(struct xl_tr *t, int32_t disp, uint32_t v)
{
    xl_gs(t, 0, 0xf7, 0, disp);
    xl_i32(t, v);
}

void xl_gs_store(struct xl_tr *t, unsigned w, int32_t disp, uint32_t v)
{
    xl_gs(t, w, 0xc7, 0, disp);
    xl_i32(t, v);
}

void xl_imm_moves(struct xl_tr *t, unsigned reg, uint64_t v, enum xl_reloc kind)
{
    if (v <= 0xffffffff || (uint64_t)(int32_t)v == v)
        t->copies = false; /* a copy might need another instruction */
    xl_imm(t, reg, v);
    xl_reloc(t, kind, t->p - 8);
}

/* VEX.LZ.F3.0F38.W1 F5 /r */
void xl_pext(struct xl_tr *t, unsigned dst, unsigned src, int32_t gs_mask)
{
    struct xl_bytes s = { 0x65 | 0xc4 << 8, 2 };

    xl_taken(t, dst);
    xl_add(&s, (dst & 8 ? 0 : 0x80) | 0x60 | 2);
    xl_add(&s, 0x80 | (~src & 15) << 3 | 2);
    xl_add(&s, 0xf5);
    xl_add(&s, 4 | (dst & 7) << 3);
    xl_add(&s, 0x25);
    xl_put_with(t, &s, (uint32_t)gs_mask);
}

/* VEX.LZ.F2.0F3A.W1 F0 /r ib */
void xl_rorx(struct xl_tr *t, unsigned dst, unsigned src, unsigned n)
{
    struct xl_bytes s = { 0xc4, 1 };

    xl_taken(t, dst);
    xl_add(&s, (dst & 8 ? 0 : 0x80) | 0x40 | (src & 8 ? 0 : 0x20) | 3);
    xl_add(&s, 0xfb);
    xl_add(&s, 0xf0);
    xl_add(&s, 0xc0 | (dst & 7) << 3 | (src & 7));
    xl_add(&s, n);
    xl_put(t, &s);
}

static void jump(struct xl_tr *t, unsigned op, const uint8_t *to)
{
    uint8_t *p = t->p;
    const int32_t rel = (int32_t)(to - (p + 5));

    *p = (uint8_t)op;
    memcpy(p + 1, &rel, 4);
    t->p = p + 5;
    if (to < t->xl->rw + t->xl->first)
        xl_reloc(t, XL_RELOC_THUNK, p + 1);
}

void xl_jmp(struct xl_tr *t, const uint8_t *to) { jump(t, 0xe9, to); }

void xl_jcc(struct xl_tr *t, unsigned cc, struct xl_outs *to)
{
    xl_b(t, 0x0f);
    xl_b(t, 0x80 | cc);
    to->at[to->n++] = t->p;
    xl_i32(t, 0);
}

void xl_land(struct xl_tr *t, const struct xl_outs *o)
{
    for (unsigned i = 0; i < o->n; i++)
        xl_here32(t, o->at[i]);
}

void xl_call(struct xl_tr *t, const uint8_t *to)
{
    t->r10 = 0;
    jump(t, 0xe8, to);
}

static void push_pop(struct xl_tr *t, unsigned op, unsigned r)
{
    if (r >= 8)
        xl_b(t, 0x41);
    xl_b(t, op | (r & 7));
}

void xl_push(struct xl_tr *t, unsigned r) { push_pop(t, 0x50, r); }

void xl_pop(struct xl_tr *t, unsigned r)
{
    xl_taken(t, r);
    push_pop(t, 0x58, r);
}

void xl_flags_to_ax(struct xl_tr *t)
{
    xl_b(t, 0x9f); /* lahf */
    xl_b(t, 0x0f);
    xl_b(t, 0x90);
    xl_b(t, 0xc0); /* seto al */
}

void xl_flags_from_ax(struct xl_tr *t)
{
    xl_b(t, 0x04);
    xl_b(t, 0x7f); /* add al, 0x7f: OF */
    xl_b(t, 0x9e); /* sahf */
}

uint8_t *xl_jrcxz(struct xl_tr *t)
{
    const uint16_t jrcxz = 0x00e3;

    memcpy(t->p, &jrcxz, 2);
    t->p += 2;
    return t->p - 1;
}

void xl_here(struct xl_tr *t, uint8_t *rel8) { *rel8 = (uint8_t)(t->p - rel8 - 1); }

void xl_here32(struct xl_tr *t, uint8_t *at)
{
    const int32_t rel = (int32_t)(t->p - at - 4);

    memcpy(at, &rel, 4);
}

unsigned xl_get(struct xl_tr *t, unsigned guest, unsigned scratch)
{
    int h = xl_host(guest);

    if (h >= 0)
        return (unsigned)h;
    xl_gs(t, 1, 0x8b, scratch, xl_gpr(guest));
    return scratch;
}

void xl_get_to(struct xl_tr *t, unsigned w, unsigned dst, unsigned guest)
{
    int h = xl_host(guest);

    if (h >= 0)
        xl_mov(t, w, dst, (unsigned)h);
    else
        xl_gs(t, w, 0x8b, dst, xl_gpr(guest));
}

void xl_put_from(struct xl_tr *t, unsigned w, unsigned guest, unsigned src)
{
    int h = xl_host(guest);

    if (h >= 0) {
        xl_mov(t, w, (unsigned)h, src);
        return;
    }
    if (!w) /* the upper half becomes zero */
        xl_mov(t, 0, src, src);
    xl_gs(t, 1, 0x89, src, xl_gpr(guest));
}
