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

static void written(struct xl_tr *t, unsigned reg)
{
    if (reg == XL_R10)
        t->r10 = 0;
}

static void rex(struct xl_tr *t, unsigned w, unsigned r, unsigned x, unsigned b)
{
    unsigned v = 0x40 | (w ? 8 : 0) | (r >> 3) << 2 | (x >> 3) << 1 | b >> 3;

    if (v != 0x40)
        xl_b(t, v);
}

static void opcode(struct xl_tr *t, unsigned op)
{
    if (op > 0xff)
        xl_b(t, op >> 8);
    xl_b(t, op & 0xff);
}

void xl_rr(struct xl_tr *t, unsigned w, unsigned op, unsigned reg, unsigned rm)
{
    written(t, reg);
    written(t, rm);
    rex(t, w, reg, 0, rm);
    opcode(t, op);
    xl_b(t, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

void xl_rm(struct xl_tr *t, unsigned w, unsigned op, unsigned reg, unsigned base, int32_t disp)
{
    if (op != 0x89)
        written(t, reg);
    rex(t, w, reg, 0, base);
    opcode(t, op);
    xl_b(t, (disp ? 0x80 : (base & 7) == 5 ? 0x80 : 0) | (reg & 7) << 3 | (base & 7));
    if ((base & 7) == 4)
        xl_b(t, 0x24);
    if (disp || (base & 7) == 5)
        xl_i32(t, (uint32_t)disp);
}

void xl_gs(struct xl_tr *t, unsigned w, unsigned op, unsigned reg, int32_t disp)
{
    if (op != 0x89)
        written(t, reg);
    xl_b(t, 0x65);
    rex(t, w, reg, 0, 0);
    opcode(t, op);
    xl_b(t, 4 | (reg & 7) << 3);
    xl_b(t, 0x25);
    xl_i32(t, (uint32_t)disp);
}

void xl_gsx(struct xl_tr *t, unsigned w, unsigned op, unsigned reg, unsigned index, unsigned scale,
            int32_t disp)
{
    written(t, reg);
    xl_b(t, 0x65);
    rex(t, w, reg, index, 0);
    opcode(t, op);
    xl_b(t, 4 | (reg & 7) << 3);
    xl_b(t, scale << 6 | (index & 7) << 3 | 5);
    xl_i32(t, (uint32_t)disp);
}

void xl_gsb(struct xl_tr *t, unsigned w, unsigned op, unsigned reg, unsigned base, int32_t disp)
{
    written(t, reg);
    xl_b(t, 0x65);
    rex(t, w, reg, 0, base);
    opcode(t, op);
    xl_b(t, 0x80 | (reg & 7) << 3 | (base & 7));
    if ((base & 7) == 4)
        xl_b(t, 0x24);
    xl_i32(t, (uint32_t)disp);
}

void xl_modrm_ref(struct xl_tr *t, unsigned reg, const struct xl_ref *m)
{
    bool d8 = m->disp >= -128 && m->disp < 128;
    unsigned mod = !m->disp && (m->base & 7) != 5 ? 0 : d8 ? 0x40 : 0x80;

    if (m->index == XL_NO_INDEX) {
        xl_b(t, mod | (reg & 7) << 3 | (m->base & 7));
        if ((m->base & 7) == 4)
            xl_b(t, 0x24);
    } else {
        xl_b(t, mod | (reg & 7) << 3 | 4);
        xl_b(t, (m->index & 7) << 3 | (m->base & 7));
    }
    if (mod == 0x40)
        xl_b(t, (uint8_t)m->disp);
    else if (mod)
        xl_i32(t, (uint32_t)m->disp);
}

void xl_op_ref(struct xl_tr *t, unsigned w, unsigned op, unsigned reg, const struct xl_ref *m)
{
    if (op != 0x89)
        written(t, reg);
    rex(t, w, reg, m->index == XL_NO_INDEX ? 0 : m->index, m->base);
    opcode(t, op);
    xl_modrm_ref(t, reg, m);
}

void xl_lea(struct xl_tr *t, unsigned w, unsigned reg, int base, int index, unsigned scale,
            int32_t disp)
{
    written(t, reg);
    rex(t, w, reg, index < 0 ? 0 : (unsigned)index, base < 0 ? 0 : (unsigned)base);
    xl_b(t, 0x8d);
    if (base < 0) {
        xl_b(t, 4 | (reg & 7) << 3);
        xl_b(t, scale << 6 | (index < 0 ? 4u : (unsigned)index & 7) << 3 | 5);
        xl_i32(t, (uint32_t)disp);
        return;
    }
    bool d8 = disp >= -128 && disp < 128;
    unsigned mod = !disp && (base & 7) != 5 ? 0 : d8 ? 0x40 : 0x80;
    if (index >= 0 || (base & 7) == 4) {
        xl_b(t, mod | (reg & 7) << 3 | 4);
        xl_b(t, scale << 6 | (index < 0 ? 4u : (unsigned)index & 7) << 3 | (base & 7));
    } else {
        xl_b(t, mod | (reg & 7) << 3 | (base & 7));
    }
    if (mod == 0x40)
        xl_b(t, (uint8_t)disp);
    else if (mod)
        xl_i32(t, (uint32_t)disp);
}

void xl_mov(struct xl_tr *t, unsigned w, unsigned dst, unsigned src)
{
    xl_rr(t, w, 0x8b, dst, src);
}

void xl_imm(struct xl_tr *t, unsigned reg, uint64_t v)
{
    written(t, reg);
    if (v <= 0xffffffff) {
        rex(t, 0, 0, 0, reg);
        xl_b(t, 0xb8 | (reg & 7));
        xl_i32(t, (uint32_t)v);
    } else if ((uint64_t)(int32_t)v == v) {
        rex(t, 1, 0, 0, reg);
        xl_b(t, 0xc7);
        xl_b(t, 0xc0 | (reg & 7));
        xl_i32(t, (uint32_t)v);
    } else {
        rex(t, 1, 0, 0, reg);
        xl_b(t, 0xb8 | (reg & 7));
        xl_i64(t, v);
    }
}

/* VEX.LZ.F3.0F38.W1 F5 /r */
void xl_pext(struct xl_tr *t, unsigned dst, unsigned src, int32_t gs_mask)
{
    written(t, dst);
    xl_b(t, 0x65);
    xl_b(t, 0xc4);
    xl_b(t, (dst & 8 ? 0 : 0x80) | 0x60 | 2);
    xl_b(t, 0x80 | (~src & 15) << 3 | 2);
    xl_b(t, 0xf5);
    xl_b(t, 4 | (dst & 7) << 3);
    xl_b(t, 0x25);
    xl_i32(t, (uint32_t)gs_mask);
}

/* VEX.LZ.F2.0F3A.W1 F0 /r ib */
void xl_rorx(struct xl_tr *t, unsigned dst, unsigned src, unsigned n)
{
    written(t, dst);
    xl_b(t, 0xc4);
    xl_b(t, (dst & 8 ? 0 : 0x80) | 0x40 | (src & 8 ? 0 : 0x20) | 3);
    xl_b(t, 0xfb);
    xl_b(t, 0xf0);
    xl_b(t, 0xc0 | (dst & 7) << 3 | (src & 7));
    xl_b(t, n);
}

static void rel32(struct xl_tr *t, const uint8_t *to)
{
    xl_i32(t, (uint32_t)(int32_t)(to - (t->p + 4)));
}

void xl_jmp(struct xl_tr *t, const uint8_t *to)
{
    xl_b(t, 0xe9);
    rel32(t, to);
}

void xl_call(struct xl_tr *t, const uint8_t *to)
{
    t->r10 = 0;
    xl_b(t, 0xe8);
    rel32(t, to);
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
    written(t, r);
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
    xl_b(t, 0xe3);
    xl_b(t, 0);
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
