/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The translator: code that exists for the same bytes at another address, as of a library that each
 * process maps elsewhere, is copied and what depends on the address changed. Where that is was
 * noted when the code was made (xl_reloc). Blocks differ in address by whole pages, so all that was
 * decided by page and offset holds for the copy, too.
 */
#include <string.h>

#include "engine/soft/soft.h"

enum { DISTANCE = 4095, KIND_SHIFT = 12, STUB = 15 /* movabs r9, link; jmp */ };

void xl_reloc(struct xl_tr *t, enum xl_reloc kind, const uint8_t *at)
{
    if (!t->copies)
        return;
    while (at - t->reloc_at > DISTANCE && t->relocs < XL_MAX_RELOCS) {
        t->reloc[t->relocs++] = DISTANCE;
        t->reloc_at += DISTANCE;
    }
    if (t->relocs == XL_MAX_RELOCS) {
        t->copies = false;
        return;
    }
    t->reloc[t->relocs++] = (uint16_t)(kind << KIND_SHIFT | (unsigned)(at - t->reloc_at));
    t->reloc_at = at;
}

/* So far from where constants get another size that none of a block does, whether cut to 32 bits,
 * shifted by 12, or without bit 46 (in the window). */
static bool is_free(uint64_t rip)
{
    const uint64_t far = BIT(33);

    return rip >= BIT(44) + far && rip < BIT(47) - far / 2 && rip - (BIT(46) - far) > 2 * far;
}

bool xl_may_copy(const struct xl_tr *t) { return t->user && t->mode == 8 && is_free(t->start); }

void xl_keep_relocs(struct xl_tr *t, struct xl_block *b)
{
    const size_t size = t->relocs * sizeof(t->reloc[0]);
    uint8_t *p = xl_arena(t->xl, size);

    memcpy(p, t->reloc, size);
    b->reloc = (uint32_t)(p - t->xl->arena);
    b->relocs = (uint16_t)t->relocs;
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
    return v;
}

static void add64(uint8_t *p, uint64_t more)
{
    const uint64_t v = get64(p) + more;

    memcpy(p, &v, 8);
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return v;
}

static void put32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }

static struct xl_link *link_of_stub(const uint8_t *stub)
{
    return (struct xl_link *)(uintptr_t)get64(stub + 2);
}

static void new_entry(const struct xl_tr *t, uint8_t *p, uint64_t delta)
{
    const uint32_t size = sizeof(struct x86_tlb_entry), base = (uint32_t)xl_tlb(t->user),
                   at = get32(p) - base,
                   entry = (uint32_t)(at / size + (delta >> 12)) % X86_TLB_SIZE;

    put32(p, base + entry * size + at % size);
}

static void new_site(const struct xl_tr *t, uint8_t *p, uint64_t delta)
{
    const struct xl_site *old = (const struct xl_site *)(void *)(t->xl->arena + get32(p));
    struct xl_site *s = xl_arena(t->xl, sizeof(*s));

    *s = (struct xl_site){ .rip = old->rip + delta, .rsp = old->rsp };
    put32(p, (uint32_t)((uint8_t *)s - t->xl->arena));
}

static void new_slot(struct xl_tr *t, uint8_t *p, uint64_t delta)
{
    const uint32_t base = (uint32_t)XL_VIEW(slot[0]);
    const struct xl_link *old = link_of_stub(t->xl->rw + t->xl->slot_stub[(get32(p) - base) / 8]);

    put32(p, base + 8 * xl_slot_for(t, old->rip + delta)->patch);
}

static void new_twin(struct xl_tr *t, uint8_t *p, uint64_t delta)
{
    const struct xl_link *old = link_of_stub(p + 4);
    struct xl_link *l = xl_arena(t->xl, sizeof(*l));
    const uint64_t pointer = (uint64_t)(uintptr_t)l;

    *l = (struct xl_link){
        .rip = old->rip + delta,
        .key = old->key,
        .twin = true,
        .reach = old->reach,
        .patch = (uint32_t)(p - t->xl->rw),
        .stub = (uint32_t)(p - t->xl->rw) + 4,
    };
    put32(p, 0);
    memcpy(p + 4 + 2, &pointer, 8);
}

/* Of a link whose stub is the first at *stub or behind that is not of a slot. */
static void new_link(struct xl_tr *t, uint8_t *p, const uint8_t **stub, uint64_t delta)
{
    const struct xl_link *old;

    do {
        old = link_of_stub(*stub);
        *stub += STUB;
    } while (old->reach == XL_SLOT);
    struct xl_link *l = xl_new_link(t, old->rip + delta, old->reach);
    l->patch = (uint32_t)(p - t->xl->rw);
    if (old->reach == XL_PAGE && old->target && !t->v->lock && t->xl->aheads < XL_AHEAD)
        t->xl->ahead[t->xl->aheads++] = (struct xl_ahead){ l, old->target };
}

static void relocate(struct xl_tr *t, const struct xl_block *src, uint8_t *code, uint64_t delta)
{
    const struct xl *xl = t->xl;
    const uint16_t *r = (const uint16_t *)(void *)(xl->arena + src->reloc);
    const uint8_t *from = xl->rw + src->code, *stub = from + src->body;

    t->p = code;
    for (unsigned i = 0; i < src->relocs; i++) {
        uint8_t *p = t->p += r[i] & DISTANCE;
        switch ((enum xl_reloc)(r[i] >> KIND_SHIFT)) {
        case XL_RELOC_NONE: break;
        case XL_RELOC_THUNK: put32(p, get32(p) - (uint32_t)(code - from)); break;
        case XL_RELOC_RIP: add64(p, delta); break;
        case XL_RELOC_NEG: add64(p, 0 - delta); break;
        case XL_RELOC_PAGE: add64(p, (uint64_t)((int64_t)delta >> 12)); break;
        case XL_RELOC_NEG_PAGE: add64(p, 0 - (uint64_t)((int64_t)delta >> 12)); break;
        case XL_RELOC_WINDOW: {
            const uint64_t v = (get64(p) + delta) & (BIT(47) - 1) & xl->window_mask;
            memcpy(p, &v, 8);
            break;
        }
        case XL_RELOC_ENTRY: new_entry(t, p, delta); break;
        case XL_RELOC_SITE: new_site(t, p, delta); break;
        case XL_RELOC_LINK: new_link(t, p, &stub, delta); break;
        case XL_RELOC_SLOT: new_slot(t, p, delta); break;
        case XL_RELOC_TWIN: new_twin(t, p, delta); break;
        }
    }
}

/* Where code accesses memory through the window. */
static void copy_places(struct xl *xl, const struct xl_block *src, struct xl_block *b)
{
    const uint32_t end = src->code + src->body;

    b->places = xl->places;
    for (uint32_t i = src->places; i < b->places && xl->place[i].code < end; i++) {
        struct xl_place *p = &xl->place[xl->places++];
        *p = xl->place[i];
        p->code += b->code - src->code;
        p->rip += b->rip - src->rip;
    }
}

static void copy(struct soft_vcpu *v, const struct xl_block *src, struct xl_block *b)
{
    struct xl *xl = &v->xl;
    struct xl_tr tr, *t = &tr;

    tr.v = v;
    tr.xl = xl;
    tr.key = b->key;
    tr.user = true;
    tr.start = b->rip;
    tr.links = tr.relocs = tr.r10 = tr.r11 = 0;
    tr.copies = false;
    b->code = ALIGN_UP(xl->used, 16u);
    b->body = src->body;
    b->count = src->count;
    b->reloc = src->reloc;
    b->relocs = src->relocs;
    memcpy(xl->rw + b->code, xl->rw + src->code, src->body);
    relocate(t, src, xl->rw + b->code, b->rip - src->rip);
    copy_places(xl, src, b);
    t->p = xl->rw + b->code + src->body;
    xl_link_stubs(t);
    xl_know_slots(v);
    xl->used = (uint32_t)(t->p - xl->rw);
}

bool xl_copy(struct soft_vcpu *v, const struct xl_block *src, struct xl_block *b)
{
    if (!src->relocs || !is_free(b->rip))
        return false;
    copy(v, src, b);
    for (struct xl_part *p = xl_at(&v->xl, src->parts); p; p = xl_at(&v->xl, p->more))
        xl_add_part(v, soft_block_of(v, p->of), b);
    v->xl.cloned++;
    v->xl.cloned_insns += b->count;
    return true;
}

bool xl_clone(struct soft_vcpu *v, struct soft_block *sb, struct xl_block *b)
{
    const struct xl_block *src = sb->xl;

    if (v->lock && (b->key & XL_KEY_TWIN)) /* there its length is given */
        return false;
    while (src && !(src->key == b->key && src->relocs))
        src = src->next;
    return src && xl_copy(v, src, b);
}

/* ---- is a copy what a translation would be? ---- */

/* What differs as it must: pointers into the arena, distances. */
static void mask(const struct xl *xl, const struct xl_block *b, uint8_t *code)
{
    const uint16_t *r = (const uint16_t *)(void *)(xl->arena + b->reloc);

    for (unsigned i = 0; i < b->relocs; i++) {
        code += r[i] & DISTANCE;
        switch ((enum xl_reloc)(r[i] >> KIND_SHIFT)) {
        case XL_RELOC_THUNK: put32(code, get32(code) + b->code); break;
        case XL_RELOC_SITE:
        case XL_RELOC_LINK: put32(code, 0); break;
        case XL_RELOC_TWIN: memset(code + 4 + 2, 0, 8); break;
        default: break;
        }
    }
}

static bool same_places(const struct xl *xl, const struct xl_block *a, const struct xl_block *b,
                        uint32_t end)
{
    if (b->places - a->places != end - b->places)
        return false;
    for (uint32_t i = 0; i < b->places - a->places; i++) {
        const struct xl_place *p = &xl->place[a->places + i], *q = &xl->place[b->places + i];
        if (p->code - a->code != q->code - b->code || p->len != q->len || p->insn != q->insn ||
            p->rip != q->rip)
            return false;
    }
    return true;
}

/* The address of the other is made up, so neither can run. */
void xl_verify_clone(struct soft_vcpu *v, struct soft_block *sb, struct xl_block *src)
{
    struct xl *xl = &v->xl;
    const uint64_t insns = xl->insns,
                   shift = src->rip < BIT(46) ? BIT(45) + 0x123457000 : 0x123457000 - BIT(45);
    const uint32_t places = xl->places;
    struct xl_block a = { .rip = src->rip + shift, .key = src->key }, b = a;

    if (!src->relocs || !is_free(a.rip))
        return;
    copy(v, src, &a);
    xl->aheads = 0;
    const uint32_t used = xl->used; /* slots may lead to stubs of the copy */
    xl->shift = shift;
    xl_translate(v, sb, &b);
    xl->shift = 0;
    const uint32_t end = xl->places;
    xl->insns = insns;
    xl->used = used;
    xl->places = places;
    bool same = a.body == b.body && a.relocs == b.relocs && a.count == b.count &&
                same_places(xl, &a, &b, end);
    if (same) {
        mask(xl, &a, xl->rw + a.code);
        mask(xl, &b, xl->rw + b.code);
        same = !memcmp(xl->rw + a.code, xl->rw + b.code, a.body);
    }
    if (!same)
        xl->differ++;
    xl->verified++;
}
