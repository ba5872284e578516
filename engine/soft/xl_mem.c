/* SPDX-License-Identifier: BSD-2-Clause */
/* The translator's memory accesses: address, software TLB look-up inline. What is out of line is in
 * xl_cold.c, one check for several accesses in xl_group.c. */
#include "engine/soft/soft.h"

_Static_assert(sizeof(struct x86_tlb_entry) == 32 && X86_TLB_SIZE == 4096, "used below");

int32_t xl_tlb(bool user) { return user ? XL_VIEW(tlb.e) : XL_CPU(tlb_super.e); }
enum { INDEX_MASK = (X86_TLB_SIZE - 1) << 5 };

bool xl_address_ok(const struct xl_tr *t, const struct x86_insn *in)
{
    if (in->flags & X86_INSN_VSIB)
        return false;
    if (t->mode == 8)
        return in->asz >= 4;
    /* CS may be read only. */
    return in->asz == 4 && in->seg != X86_CS;
}

static bool in_r11(const struct xl_tr *t, unsigned guest) { return t->r11 == guest + 1; }

/* An address that does not move with the code, which might be planned with one that does. */
static void stays(struct xl_tr *t, unsigned dst, uint64_t a)
{
    t->copies = false;
    xl_imm(t, dst, a);
}

void xl_effective_to(struct xl_tr *t, const struct x86_insn *in, unsigned w, unsigned dst)
{
    int base = -1, index = -1;

    if (in->base == X86_REG_RIP || (in->base == X86_REG_NONE && in->index == X86_REG_NONE)) {
        uint64_t a = (in->base == X86_REG_RIP ? t->next : 0) + (uint64_t)in->disp;
        a = w ? a : (uint32_t)a;
        if (in->base == X86_REG_RIP)
            xl_imm_moves(t, dst, a, XL_RELOC_RIP);
        else
            stays(t, dst, a);
        return;
    }
    if (in->base != X86_REG_NONE)
        base = (int)(in_r11(t, in->base) ? XL_R11 : xl_get(t, in->base, XL_R9));
    if (base == (int)dst && in->index == X86_REG_NONE && !in->disp && w)
        return;
    if (in->index != X86_REG_NONE)
        index = (int)(in_r11(t, in->index) ? XL_R11
                                           : xl_get(t, in->index, base == XL_R11 ? XL_R9 : XL_R11));
    xl_lea(t, w, dst, base, index, in->scale, (int32_t)in->disp);
}

void xl_effective(struct xl_tr *t, const struct x86_insn *in)
{
    xl_effective_to(t, in, in->asz == 8, XL_R9);
}

bool xl_address(struct xl_tr *t, const struct x86_insn *in)
{
    if (!xl_address_ok(t, in))
        return false;
    const int32_t segment =
        (int32_t)(offsetof(struct x86_cpu, seg) + in->seg * sizeof(struct x86_seg));
    if (t->mode == 8 && in->seg >= X86_FS) {
        if (in->base == X86_REG_NONE && in->index == X86_REG_NONE &&
            in->disp == (int32_t)in->disp) {
            xl_gs(t, 1, 0x8b, XL_R9, segment);
            if (in->disp)
                xl_lea(t, 1, XL_R9, XL_R9, -1, 0, (int32_t)in->disp);
            return true;
        }
        xl_effective(t, in);
        xl_gs(t, 1, 0x8b, XL_R10, segment);
        xl_lea(t, 1, XL_R9, XL_R9, XL_R10, 0, 0);
        return true;
    }
    xl_effective(t, in);
    if (in->seg >= X86_FS) { /* cut to 32 bits, and no page's where the segment is not plain */
        xl_gs(t, 1, 0x8b, XL_R10, segment);
        xl_lea(t, 0, XL_R9, XL_R9, XL_R10, 0, 0);
        xl_gs(t, 1, 0x8b, XL_R10, XL_GS(not_plain[0]) + 8 * (in->seg - X86_FS));
        xl_lea(t, 1, XL_R9, XL_R9, XL_R10, 0, 0);
    }
    return true;
}

/* ---- checks ---- */

struct tlb_at {
    int32_t tag, addend; /* of entry 0, from gs */
};

static struct tlb_at tlb_at(const struct xl_tr *t, bool write)
{
    const int32_t e = xl_tlb(t->user);

    return (struct tlb_at){
        e + (int32_t)(write ? offsetof(struct x86_tlb_entry, w)
                            : offsetof(struct x86_tlb_entry, r)),
        e + (int32_t)offsetof(struct x86_tlb_entry, addend),
    };
}

/* Where the TLB missed: out of line the entry may be filled for reg + disp, and the check at
 * `retry` repeated. */
static void jump_fill(struct xl_tr *t, const struct xl_access *a, uint8_t *retry)
{
    xl_jump_cold(t, a->cold);
    struct xl_jump_out *j = &t->jump[t->jumps - 1];
    j->retry = retry;
    j->access = *a;
    t->r11 = 0; /* the thunk's */
}

/* The address the check is of: reg, or r9 if that is not it. */
static unsigned linear(struct xl_tr *t, const struct xl_access *a, bool elsewhere)
{
    if (!a->disp && !elsewhere)
        return a->reg;
    xl_lea(t, 1, XL_R9, (int)a->reg, -1, 0, a->disp);
    return XL_R9;
}

/* Compares the tag of the entry r10 leads to with the page of the last byte; the flags go. */
static void compare(struct xl_tr *t, const struct xl_access *a, struct tlb_at at, unsigned lin,
                    unsigned scratch, uint8_t *retry)
{
    xl_rr(t, 0, 0x81, 4, XL_R10); /* and r10d */
    xl_i32(t, INDEX_MASK);
    xl_lea(t, 1, scratch, (int)lin, -1, 0, (int32_t)a->size - 1);
    xl_rr(t, 1, 0xc1, 5, scratch); /* shr, 12 */
    xl_b(t, 12);
    xl_gsb(t, 1, 0x3b, scratch, XL_R10, at.tag); /* cmp */
    xl_b(t, 0x0f);
    xl_b(t, 0x85); /* jne */
    jump_fill(t, a, retry);
}

static void index_by_shift(struct xl_tr *t, unsigned lin)
{
    xl_mov(t, 1, XL_R10, lin);
    xl_rr(t, 1, 0xc1, 5, XL_R10); /* shr r10, 7 */
    xl_b(t, 7);
}

/* Flags may go. r10 = addend */
static void check_dead(struct xl_tr *t, const struct xl_access *a, struct tlb_at at)
{
    uint8_t *retry = t->p;
    const unsigned lin = linear(t, a, false);

    if (t->xl->rorx)
        xl_rorx(t, XL_R10, lin, 7);
    else
        index_by_shift(t, lin);
    compare(t, a, at, lin, XL_R11, retry);
    xl_gsb(t, 1, 0x8b, XL_R10, XL_R10, at.addend);
}

/* rcx back from where check_live() has it. */
static void rcx_back(struct xl_tr *t, const struct xl_access *a)
{
    if (a->reg == XL_R9)
        xl_gs(t, 1, 0x8b, X86_RCX, XL_GS(rcx));
    else
        xl_mov(t, 1, X86_RCX, XL_R9);
}

/* Without touching flags: ~page + tag + 1 is 0 if they are equal. r10 = addend */
static void check_live(struct xl_tr *t, const struct xl_access *a, struct tlb_at at)
{
    uint8_t *retry = t->p;
    const unsigned lin = linear(t, a, false);

    xl_pext(t, XL_R10, lin, XL_GS(index_mask));
    xl_lea(t, 0, XL_R10, -1, XL_R10, 2, 0);
    if (a->reg == XL_R9) {
        xl_gs(t, 1, 0x89, X86_RCX, XL_GS(rcx));
        xl_lea(t, 1, X86_RCX, (int)lin, -1, 0, (int32_t)a->size - 1);
    } else {
        xl_lea(t, 1, XL_R11, (int)lin, -1, 0, (int32_t)a->size - 1);
        xl_mov(t, 1, XL_R9, X86_RCX);
        xl_mov(t, 1, X86_RCX, XL_R11);
    }
    xl_pext(t, X86_RCX, X86_RCX, XL_GS(page_mask));
    xl_rr(t, 1, 0xf7, 2, X86_RCX); /* not */
    xl_gsx(t, 1, 0x8b, XL_R11, XL_R10, 3, at.tag);
    xl_lea(t, 1, X86_RCX, X86_RCX, XL_R11, 0, 1);
    uint8_t *hit = xl_jrcxz(t);
    rcx_back(t, a);
    xl_b(t, 0xe9);
    jump_fill(t, a, retry);
    xl_here(t, hit);
    rcx_back(t, a);
    xl_gsx(t, 1, 0x8b, XL_R10, XL_R10, 3, at.addend);
}

/* The same on hosts without BMI2: the flags wait in r11, rax in memory. */
static void check_lahf(struct xl_tr *t, const struct xl_access *a, struct tlb_at at)
{
    uint8_t *retry = t->p;
    const unsigned lin = linear(t, a, a->reg == X86_RAX);

    xl_flags_save(t);
    index_by_shift(t, lin);
    compare(t, a, at, lin, X86_RAX, retry);
    t->jump[t->jumps - 1].flags_saved = true;
    xl_gsb(t, 1, 0x8b, XL_R10, XL_R10, at.addend);
    xl_flags_restore(t);
}

/* The entry is known: only its tag is to be compared. */
static void check_fixed(struct xl_tr *t, const struct xl_access *a, struct tlb_at at)
{
    const uint64_t page = a->fixed >> 12;
    const int32_t entry = (int32_t)(page % X86_TLB_SIZE * sizeof(struct x86_tlb_entry));
    uint8_t *retry = t->p;

    if (t->live && t->xl->pext) {
        xl_mov(t, 1, XL_R9, X86_RCX);
        xl_imm_moves(t, XL_R11, -page, XL_RELOC_NEG_PAGE);
        xl_gs(t, 1, 0x8b, X86_RCX, at.tag + entry);
        xl_reloc(t, XL_RELOC_ENTRY, t->p - 4);
        xl_lea(t, 1, X86_RCX, X86_RCX, XL_R11, 0, 0);
        uint8_t *hit = xl_jrcxz(t);
        xl_mov(t, 1, X86_RCX, XL_R9);
        xl_b(t, 0xe9);
        jump_fill(t, a, retry);
        xl_here(t, hit);
        xl_mov(t, 1, X86_RCX, XL_R9);
    } else {
        if (t->live)
            xl_flags_save(t);
        xl_imm_moves(t, XL_R10, page, XL_RELOC_PAGE);
        xl_gs(t, 1, 0x3b, XL_R10, at.tag + entry); /* cmp */
        xl_reloc(t, XL_RELOC_ENTRY, t->p - 4);
        xl_b(t, 0x0f);
        xl_b(t, 0x85); /* jne */
        jump_fill(t, a, retry);
        t->jump[t->jumps - 1].flags_saved = t->live;
        if (t->live)
            xl_flags_restore(t);
    }
    xl_gs(t, 1, 0x8b, XL_R10, at.addend + entry);
    xl_reloc(t, XL_RELOC_ENTRY, t->p - 4);
}

void xl_check_at(struct xl_tr *t, const struct xl_access *a)
{
    const struct tlb_at at = tlb_at(t, a->write);

    if (a->reg == XL_FIXED)
        check_fixed(t, a, at);
    else if (!t->live)
        check_dead(t, a, at);
    else if (t->xl->pext)
        check_live(t, a, at);
    else
        check_lahf(t, a, at);
}

/* The flags to r11, rax to memory; rax is scratch then. */
void xl_flags_save(struct xl_tr *t)
{
    xl_gs(t, 1, 0x89, X86_RAX, XL_GS(rax));
    xl_flags_to_ax(t);
    xl_mov(t, 0, XL_R11, X86_RAX);
}

void xl_flags_restore(struct xl_tr *t)
{
    xl_mov(t, 0, X86_RAX, XL_R11);
    xl_flags_from_ax(t);
    xl_gs(t, 1, 0x8b, X86_RAX, XL_GS(rax));
}

void xl_check(struct xl_tr *t, unsigned size, bool write, unsigned cold)
{
    xl_check_at(t, &(struct xl_access){
                       .reg = XL_R9, .size = size, .write = write, .cold = (uint16_t)cold });
    xl_lea(t, 1, XL_R9, XL_R9, XL_R10, 0, 0);
}

/* ---- operands ---- */

bool xl_fixed(const struct xl_tr *t, const struct x86_insn *in, unsigned size, uint64_t *at)
{
    if (in->index != X86_REG_NONE || in->base < 16 || in->seg >= X86_FS || in->asz != t->mode)
        return false;
    *at = (in->base == X86_REG_RIP ? t->next : 0) + (uint64_t)in->disp;
    if (t->mode != 8)
        *at = (uint32_t)*at;
    return (*at & 0xfff) + size <= 0x1000;
}

/* ---- the window ---- */

/* What r10 then is behind, of an access of a group; ref is that access. */
static void window_note(struct xl_tr *t, const struct xl_planned *p, int32_t off)
{
    if (!p->open)
        return;
    t->group[p->group].delta = off;
    t->r10 = p->group + 1u;
}

/* reg + disp by way of r10, which is reg within the window; near enough that disp leads to nothing
 * else. */
static void window_base(struct xl_tr *t, const struct xl_planned *p, unsigned reg, int32_t disp,
                        struct xl_ref *ref)
{
    if (t->live) {
        xl_pext(t, XL_R10, reg, XL_GS(window_mask));
    } else {
        xl_mov(t, 1, XL_R10, reg);
        xl_gs(t, 1, 0x23, XL_R10, XL_GS(window_mask)); /* and */
    }
    *ref = (struct xl_ref){ XL_R10, XL_NO_INDEX, disp };
    window_note(t, p, p->off - disp);
}

/* r10 is left from an access with the same base. */
static bool window_again(struct xl_tr *t, const struct xl_planned *p, struct xl_ref *ref)
{
    t->windowed = true;
    if (!p->open || t->r10 != p->group + 1u)
        return false;
    *ref = (struct xl_ref){ XL_R10, XL_NO_INDEX, p->off - t->group[p->group].delta };
    return true;
}

static bool window_operand(struct xl_tr *t, const struct x86_insn *in, struct xl_ref *ref)
{
    const struct xl_planned *p = &t->plan[t->at][0];
    uint64_t at;

    if (!xl_address_ok(t, in))
        return false;
    if (window_again(t, p, ref))
        return true;
    if (xl_fixed(t, in, 1, &at)) {
        if (in->base != X86_REG_RIP)
            t->copies = false;
        xl_imm_moves(t, XL_R10, at & t->xl->window_mask, XL_RELOC_WINDOW);
        *ref = (struct xl_ref){ XL_R10, XL_NO_INDEX, 0 };
        window_note(t, p, p->off);
    } else if (xl_direct(t, in)) {
        window_base(t, p, in_r11(t, in->base) ? XL_R11 : xl_get(t, in->base, XL_R9),
                    (int32_t)in->disp, ref);
    } else {
        if (!xl_address(t, in))
            return false;
        window_base(t, p, XL_R9, 0, ref);
    }
    return true;
}

void xl_by_tlb(struct xl_tr *t) { t->window = false; }

bool xl_operand(struct xl_tr *t, const struct x86_insn *in, unsigned size, bool write,
                unsigned cold, struct xl_ref *ref)
{
    struct xl_access a = { .size = size, .write = write, .cold = (uint16_t)cold };

    if (t->window)
        return window_operand(t, in, ref);
    if (!xl_address_ok(t, in))
        return false;
    const bool direct = xl_direct(t, in);
    if (xl_grouped(t, 0, in, direct ? in->base : X86_REG_NONE, (int32_t)in->disp, size, write, ref))
        return true;
    if (xl_fixed(t, in, size, &a.fixed)) {
        a.reg = XL_FIXED;
        if (in->base != X86_REG_RIP)
            t->copies = false;
        xl_check_at(t, &a);
        if ((uint64_t)(int32_t)a.fixed == a.fixed) {
            *ref = (struct xl_ref){ XL_R10, XL_NO_INDEX, (int32_t)a.fixed };
        } else {
            xl_imm_moves(t, XL_R9, a.fixed, XL_RELOC_RIP);
            *ref = (struct xl_ref){ XL_R9, XL_R10, 0 };
        }
        return true;
    }
    if (direct) {
        a.reg = xl_get(t, in->base, XL_R9);
        a.disp = a.reg == XL_R9 ? 0 : (int32_t)in->disp;
        if (a.reg == XL_R9 && in->disp)
            xl_lea(t, 1, XL_R9, XL_R9, -1, 0, (int32_t)in->disp);
    } else {
        a.reg = XL_R9;
        if (!xl_address(t, in))
            return false;
    }
    xl_check_at(t, &a);
    if (!t->jump[t->jumps - 1].flags_saved)
        t->jump[t->jumps - 1].after = t->p;
    *ref = (struct xl_ref){ a.reg, XL_R10, a.disp };
    return true;
}

void xl_base_operand(struct xl_tr *t, unsigned guest, int32_t off, unsigned size, bool write,
                     unsigned cold, struct xl_ref *ref)
{
    const struct xl_access a = { .reg = (unsigned)xl_host(guest),
                                 .disp = off,
                                 .size = size,
                                 .write = write,
                                 .cold = (uint16_t)cold };

    if (t->window) {
        if (!window_again(t, &t->plan[t->at][1], ref))
            window_base(t, &t->plan[t->at][1], a.reg, off, ref);
        return;
    }
    if (xl_grouped(t, 1, NULL, guest, off, size, write, ref))
        return;
    xl_check_at(t, &a);
    *ref = (struct xl_ref){ a.reg, XL_R10, a.disp };
}
