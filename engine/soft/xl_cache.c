/* SPDX-License-Identifier: BSD-2-Clause */
/* Translated blocks: found, linked, dropped with the decoded block they come from; and what of that
 * holds for which translation of addresses. */
#include <string.h>

#include "engine/soft/soft.h"
#include "isa/x86/emu.h"

enum { ROOM = 64 << 10 /* more than a block can need */, ARENA_ROOM = 64 << 10, SLOT_ROOM = 256 };

void *xl_arena(struct xl *xl, size_t size)
{
    void *p = xl->arena + xl->arena_used;

    xl->arena_used += ALIGN_UP(size, (size_t)8);
    return p;
}

/* ---- links ---- */

static void set_jump(struct xl *xl, const struct xl_link *l, uint32_t to)
{
    int32_t rel = (int32_t)(to - (l->patch + 4));

    memcpy(xl->rw + l->patch, &rel, 4);
}

static uint64_t host(const struct xl *xl, uint32_t code)
{
    return (uint64_t)(uintptr_t)(xl->rx + code);
}

void xl_know_slots(struct soft_vcpu *v)
{
    struct xl_view *view = xl_view(v, v->cpu.view_id);

    for (; view->known < v->xl.slots; view->known++)
        view->slot[view->known] = host(&v->xl, v->xl.slot_stub[view->known]);
}

static void clear_slots(const struct xl *xl, struct xl_view *view)
{
    for (uint32_t i = 0; i < view->dirty_slots; i++)
        view->slot[view->dirty[i]] = host(xl, xl->slot_stub[view->dirty[i]]);
    view->dirty_slots = 0;
}

void xl_link_to(struct soft_vcpu *v, struct xl_link *l, struct xl_block *b)
{
    struct xl *xl = &v->xl;
    struct xl_in *in;

    /* With the mode the block may have changed that is jumped to. */
    if (l->key != (b->key & ~(uint32_t)XL_KEY_TWIN))
        return;
    in = xl_at(xl, b->in);
    if (!in || in->link != xl_offset(xl, l)) { /* not of another view just before */
        in = xl_arena(xl, sizeof(*in));
        *in = (struct xl_in){ xl_offset(xl, l), b->in };
        b->in = xl_offset(xl, in);
    }
    if (l->reach == XL_SLOT) {
        struct xl_view *view = xl_view(v, v->cpu.view_id);
        if (view->slot[l->patch] == host(xl, l->stub)) {
            if (view->dirty_slots == XL_SLOTS) /* linked and unlinked often */
                clear_slots(xl, view);
            view->dirty[view->dirty_slots++] = l->patch;
        }
        view->slot[l->patch] = host(xl, b->code);
        return;
    }
    set_jump(xl, l, b->code);
    if (l->reach == XL_KERNEL && !l->target) {
        l->next_far = xl_offset(xl, xl->far);
        xl->far = l;
    }
    l->target = xl_offset(xl, b);
}

static void unlink_in(struct soft_vcpu *v, struct xl_block *b)
{
    struct xl *xl = &v->xl;

    for (struct xl_in *in = xl_at(xl, b->in); in; in = xl_at(xl, in->next)) {
        struct xl_link *l = xl_at(xl, in->link);
        if (l->reach == XL_SLOT) {
            for (unsigned i = 0; i < v->cpu.views; i++) {
                uint64_t *slot = &xl_view(v, i)->slot[l->patch];
                if (*slot == host(xl, b->code)) /* stays in dirty[] */
                    *slot = host(xl, l->stub);
            }
        } else if (l->target == xl_offset(xl, b)) {
            set_jump(xl, l, l->stub);
            if (l->reach == XL_PAGE)
                l->target = 0; /* XL_KERNEL: still in the list of far ones */
        }
    }
    b->in = 0;
}

/* ---- salts ---- */

static uint64_t new_salt(struct xl *xl)
{
    uint64_t x = xl->seed[0] + ++xl->seeded * 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    x = (x ^ x >> 31) + xl->seed[1];
    return x ? x : 1;
}

static struct xl_mode *mode_of(struct soft_vcpu *v, uint32_t key)
{
    struct xl_mode *mode = key & X86_KEY_USER ? xl_view(v, v->cpu.view_id)->mode : v->xl.mode;
    unsigned i;

    for (i = 0; i < XL_MODES && mode[i].used; i++)
        if (mode[i].key == key)
            return &mode[i];
    if (i == XL_MODES)
        i = (unsigned)(v->xl.seeded % XL_MODES);
    mode[i] = (struct xl_mode){ .key = key, .used = true };
    return &mode[i];
}

static uint64_t salt_of(struct soft_vcpu *v, uint32_t key)
{
    struct xl *xl = &v->xl;
    struct xl_mode *m;

    if ((key & XL_KEY_WINDOW) && xl_window_stale(v))
        return new_salt(xl); /* which nothing is found by, so that xl_run() sees to it */
    m = mode_of(v, key);
    if (!m->salt)
        m->salt = new_salt(xl);
    return m->salt;
}

/* As xl_key() would be with this mode. */
static uint32_t other_key(const struct soft_vcpu *v, uint32_t key)
{
    key &= ~(uint32_t)XL_KEY_WINDOW;
    return key & X86_KEY_USER && xl_window_on(&v->xl, &v->cpu) ? key | XL_KEY_WINDOW : key;
}

/* A segment without limit that may be read and written. */
static bool is_plain(const struct x86_seg *s)
{
    const uint32_t want = X86_SEG_P | X86_SEG_S | X86_SEG_W;

    return s->limit == 0xffffffff &&
           (s->attr & (want | X86_SEG_UNUSABLE | X86_SEG_CODE | X86_SEG_E)) == want;
}

void xl_set_salt(struct soft_vcpu *v)
{
    struct xl *xl = &v->xl;
    const uint32_t key = xl_key(&v->cpu);
    const unsigned ring = key & X86_KEY_USER ? 3 : 0;
    const uint64_t salt = salt_of(v, key);
    uint64_t other = xl->poison;

    if (v->cpu.code == 8) {
        other = salt_of(v, other_key(v, key ^ X86_KEY_USER));
    } else {
        for (unsigned i = 0; i < 2; i++)
            xl->not_plain[i] = is_plain(&v->cpu.seg[X86_FS + i]) ? 0 : 1ull << 62;
    }
    xl->minus_salt[ring] = 0 - salt;
    xl->minus_salt[ring ^ 3] = 0 - other;
    atomic_store_explicit(&xl->salt[ring ^ 3], other, memory_order_relaxed);
    atomic_store(&xl->salt[ring], salt);
    if (atomic_load(&xl->poll)) { /* pairs with soft_attention() */
        atomic_store_explicit(&xl->salt[0], xl->poison, memory_order_relaxed);
        atomic_store_explicit(&xl->salt[3], xl->poison, memory_order_relaxed);
    }
}

/* By address and salt, so that address spaces with the same program do not displace each other. */
static struct xl_jump *jump_at(struct xl *xl, uint64_t salted)
{
    return &xl->jump[salted & (XL_JUMPS - 1)];
}

void xl_jump_to(struct soft_vcpu *v, const struct xl_block *b)
{
    struct xl *xl = &v->xl;

    const uint64_t minus_salt = xl->minus_salt[b->key & X86_KEY_USER ? 3 : 0];

    *jump_at(xl, b->rip - minus_salt) =
        (struct xl_jump){ .tag = minus_salt - b->rip, .code = host(xl, b->code) };
}

/* What was found by the translations of a view's user code, or of kernel code, may be elsewhere
 * now. */
static void forget_view(struct soft_vcpu *v, unsigned id)
{
    struct xl_view *view = xl_view(v, id);

    v->xl.forgets++;
    for (unsigned i = 0; i < XL_MODES && view->mode[i].used; i++)
        view->mode[i].salt = 0;
    clear_slots(&v->xl, view);
}

static void forget_kernel(struct xl *xl)
{
    xl->forgets++;
    for (unsigned i = 0; i < XL_MODES && xl->mode[i].used; i++)
        xl->mode[i].salt = 0;
    for (struct xl_link *l = xl->far; l; l = xl_at(xl, l->next_far)) {
        set_jump(xl, l, l->stub);
        l->target = 0;
    }
    xl->far = NULL;
    xl->kernel_local = false;
}

static void forget_all(struct soft_vcpu *v)
{
    struct xl *xl = &v->xl;

    forget_kernel(xl);
    for (unsigned i = 0; i < v->cpu.views; i++)
        forget_view(v, i);
    if (!++xl->pages_now) {
        memset(xl->pages, 0, sizeof(xl->pages));
        memset(xl->large, 0, sizeof(xl->large));
        xl->pages_now = 1;
    }
}

static void note_page(struct xl *xl, struct xl_page *p, uint64_t page)
{
    p->page = page;
    p->seen = xl->pages_now;
}

static bool noted(const struct xl *xl, const struct xl_page *p) { return p->seen == xl->pages_now; }

static struct xl_page *page_of(struct xl *xl, uint64_t page)
{
    return &xl->pages[page % ARRAY_LEN(xl->pages)];
}

static struct xl_page *large_of(struct xl *xl, uint64_t large)
{
    return &xl->large[large % ARRAY_LEN(xl->large)];
}

/* Its page was just fetched from, so the software TLB has it. */
static void found_page(struct soft_vcpu *v, uint64_t rip)
{
    struct xl *xl = &v->xl;
    const bool user = v->cpu.cpl == 3;
    const struct x86_tlb *t = v->cpu.tlb[user];
    const uint64_t page = rip >> 12, id = page << 1 | user;
    const unsigned i = page % X86_TLB_SIZE;
    struct xl_page *p = page_of(xl, page);

    if (p->page == id && noted(xl, p))
        return;
    note_page(xl, p, id);
    const bool known = t->e[i].x == page;
    if (!known || (t->large[i / 64] & BIT(i % 64))) { /* of 2 MiB, 4 MiB or 1 GiB */
        note_page(xl, large_of(xl, page >> 10), id);
        note_page(xl, large_of(xl, page >> 18), id);
    }
    if (!user && !(known && (t->global[i / 64] & BIT(i % 64))))
        xl->kernel_local = true;
}

void xl_tlb_flushed(struct x86_cpu *cpu, enum x86_tlb_event what, uint64_t arg)
{
    struct soft_vcpu *v = soft_vcpu_of(cpu);
    struct xl *xl = &v->xl;
    const uint64_t page = arg >> 12;

    if (!xl->on)
        return;
    xl_window_event(v, what, arg);
    switch (what) {
    case X86_TLB_ALL: forget_all(v); break;
    case X86_TLB_LOCAL:
    case X86_TLB_SWITCH:
        if (xl->kernel_local)
            forget_all(v);
        else if (what == X86_TLB_LOCAL)
            forget_view(v, cpu->view_id);
        if (what == X86_TLB_SWITCH) {
            xl_switched(v);
            xl_know_slots(v);
        }
        break;
    case X86_TLB_VIEW_PAGE: return;
    case X86_TLB_PAGE:
        if (!xl_window_stale(v))
            return;
        break;
    case X86_TLB_CODE_PAGE:
        if (noted(xl, page_of(xl, page)) || noted(xl, large_of(xl, page >> 10)) ||
            noted(xl, large_of(xl, page >> 18)))
            forget_all(v);
        break;
    case X86_TLB_VIEW: forget_view(v, (unsigned)arg); return;
    }
    xl_set_salt(v);
}

/* ---- blocks ---- */

enum {
    DEAD = 0xffffffff /* no block's key */,
    SEARCHED = 24 /* of those at an address: what lies behind will mostly be of programs gone */,
    COPIED_AHEAD = 64
};

static struct xl_block **bucket(struct xl *xl, uint64_t rip, uint32_t key)
{
    const uint64_t h = (rip ^ (uint64_t)key << 17) * 0x9e3779b97f4a7c15u;

    return &xl->hash[h >> 48 & (XL_HASH - 1)];
}

/* By address first: libraries have lists of hundreds, of as many processes, most of them gone.
 * What is found comes to the front. */
static struct xl_block *lookup(struct soft_vcpu *v, const struct soft_block *sb, uint64_t rip,
                               uint32_t key)
{
    struct xl_block **first = bucket(&v->xl, rip, key), *b;
    const uint32_t of = soft_block_offset(v, sb);
    unsigned depth = 0;

    for (struct xl_block **at = first; (b = *at) && depth++ < SEARCHED; at = &b->hash_next)
        if (b->rip == rip && b->key == key && b->of == of &&
            (!v->lock || !(key & XL_KEY_TWIN) || b->count == v->xl.limit)) {
            *at = b->hash_next;
            b->hash_next = *first;
            return *first = b;
        }
    return NULL;
}

static void unhash(struct xl *xl, const struct xl_block *b)
{
    struct xl_block **at = bucket(xl, b->rip, b->key);

    while (*at && *at != b)
        at = &(*at)->hash_next;
    if (*at)
        *at = b->hash_next;
}

/* Lists made before the code was last flushed are not valid. */
static void freshen(const struct xl *xl, struct soft_block *sb)
{
    if (sb->xl_generation == xl->generation)
        return;
    sb->xl = NULL;
    sb->xl_parts = NULL;
    sb->xl_generation = xl->generation;
}

bool xl_has(struct soft_vcpu *v, struct soft_block *sb, uint64_t rip, uint32_t key)
{
    return lookup(v, sb, rip, key);
}

void xl_add_part(struct soft_vcpu *v, struct soft_block *sb, struct xl_block *b)
{
    struct xl_part *part;

    if (v->xl.shift) /* b is not to be kept */
        return;
    part = xl_arena(&v->xl, sizeof(*part));
    freshen(&v->xl, sb);
    *part = (struct xl_part){ .block = xl_offset(&v->xl, b),
                              .next = xl_offset(&v->xl, sb->xl_parts),
                              .of = soft_block_offset(v, sb),
                              .more = b->parts };
    sb->xl_parts = part;
    b->parts = xl_offset(&v->xl, part);
}

static void kill_jumps(struct xl *xl, const struct xl_mode *mode, const struct xl_block *b)
{
    for (unsigned i = 0; i < XL_MODES && mode[i].used; i++) {
        struct xl_jump *j = jump_at(xl, b->rip + mode[i].salt);
        if (j->code == host(xl, b->code))
            *j = (struct xl_jump){ .code = 0 };
    }
}

static void kill(struct soft_vcpu *v, struct xl_block *b)
{
    if (b->key == DEAD)
        return;
    unhash(&v->xl, b);
    if (!(b->key & X86_KEY_USER))
        kill_jumps(&v->xl, v->xl.mode, b);
    for (unsigned i = 0; (b->key & X86_KEY_USER) && i < v->cpu.views; i++)
        kill_jumps(&v->xl, xl_view(v, i)->mode, b);
    unlink_in(v, b);
    b->key = DEAD;
}

void xl_drop(struct soft_vcpu *v, struct soft_block *sb)
{
    freshen(&v->xl, sb);
    for (struct xl_block *b = sb->xl; b; b = b->next)
        kill(v, b);
    for (struct xl_part *p = sb->xl_parts; p; p = xl_at(&v->xl, p->next))
        kill(v, xl_at(&v->xl, p->block));
    sb->xl = NULL;
    sb->xl_parts = NULL;
}

void xl_flush(struct soft_vcpu *v)
{
    struct xl *xl = &v->xl;

    if (!xl->on)
        return;
    forget_all(v);
    xl->used = xl->first;
    xl->arena_used = 8; /* 0 is none */
    xl->places = 0;
    xl->slots = 0;
    for (unsigned i = 0; i < v->cpu.views; i++)
        xl_view(v, i)->known = 0;
    memset(xl->slot_link, 0, sizeof(xl->slot_link));
    memset(xl->hash, 0, sizeof(xl->hash));
    xl->generation++;
    memset(xl->jump, 0, sizeof(xl->jump));
    /* Nothing may be returned to. */
    memset(xl->stack, 0, XL_STACK_SIZE);
    xl->r_sp = xl_stack_top(xl);
}

static bool has_room(const struct xl *xl)
{
    return xl->size - xl->used >= ROOM && xl->size - xl->arena_used >= ARENA_ROOM &&
           XL_SLOTS - xl->slots >= SLOT_ROOM && XL_PLACES - xl->places >= XL_MAX_INSNS;
}

static struct xl_block *new_block(struct soft_vcpu *v, struct soft_block *sb, uint64_t rip,
                                  uint32_t key)
{
    struct xl *xl = &v->xl;
    struct xl_block *b = xl_arena(xl, sizeof(*b));

    *b = (struct xl_block){ .rip = rip, .key = key, .of = soft_block_offset(v, sb) };
    soft_pages_present(xl->arena, &xl->arena_present, xl->arena_used + ARENA_ROOM, xl->size);
    soft_code_present(xl->rw, xl->rx, &xl->code_present, xl->used + ROOM, xl->size);
    return b;
}

/* A block that was made now belongs to it. */
static void enter(struct soft_vcpu *v, struct soft_block *sb, struct xl_block *b)
{
    struct xl_block **first = bucket(&v->xl, b->rip, b->key);

    b->next = sb->xl;
    sb->xl = b;
    b->hash_next = *first;
    *first = b;
    v->xl.blocks++;
    if (v->vm->perf) {
        xl_fpu_put(v);
        xl_perf_block(v, b->rip, b->code, v->xl.used);
    }
}

/* What the original of a copied block was linked to, within the page, is copied with it, and so on:
 * else the copy of each link would have to be found to lead nowhere. */
static void copy_ahead(struct soft_vcpu *v)
{
    struct xl *xl = &v->xl;
    unsigned copied = 0;

    while (xl->aheads) {
        const struct xl_ahead a = xl->ahead[--xl->aheads];
        const struct xl_block *like = xl_at(xl, a.like);
        struct soft_block *sb = soft_block_of(v, like->of);
        struct xl_block *b = lookup(v, sb, a.link->rip, like->key);
        if (!b && copied < COPIED_AHEAD && has_room(xl)) {
            b = new_block(v, sb, a.link->rip, like->key);
            if (!xl_copy(v, like, b))
                continue;
            enter(v, sb, b);
            copied++;
        }
        if (b)
            xl_link_to(v, a.link, b);
    }
}

struct xl_block *xl_find(struct soft_vcpu *v, struct soft_block *sb, bool twin)
{
    const uint64_t rip = v->cpu.rip;
    const uint32_t key = xl_key(&v->cpu) | (twin ? XL_KEY_TWIN : 0u);
    struct xl *xl = &v->xl;
    struct xl_block *b = lookup(v, sb, rip, key);

    if (b)
        goto found;
    if (!has_room(xl))
        xl_flush(v);
    freshen(xl, sb);
    b = new_block(v, sb, rip, key);
    const uint64_t begin = soft_rdtsc(), decode = v->stat.decode_tsc;
    if (xl_clone(v, sb, b)) {
        enter(v, sb, b);
        copy_ahead(v);
        xl->clone_tsc += soft_rdtsc() - begin;
    } else {
        xl_translate(v, sb, b);
        xl->translate_tsc += soft_rdtsc() - begin - (v->stat.decode_tsc - decode);
        if (xl->verify)
            xl_verify_clone(v, sb, b);
        enter(v, sb, b);
    }
found:
    found_page(v, rip);
    if (sb->crosses)
        found_page(v, v->cpu.code == 8 ? rip + sb->crosses : (uint32_t)(rip + sb->crosses));
    return b;
}
