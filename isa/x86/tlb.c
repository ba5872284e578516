/* SPDX-License-Identifier: BSD-2-Clause */
/* The software TLB's upkeep: what is entered, what is dropped when, and views, which let address
 * spaces with PCIDs keep their translations. [SDM] 3A "Caching Translation Information": dropping
 * more than asked for is always allowed. */
#include <string.h>

#include "isa/x86/emu.h"
#include "isa/x86/model.h"

enum { PCID_BITS = 12 };
_Static_assert(X86_TLB_SIZE / 64 == 64, "words have a bit each");

static struct x86_tlb *user_tlb(struct x86_cpu *cpu) { return cpu->view[cpu->view_id].tlb; }

static void drop_entry(struct x86_tlb_entry *e) { e->r = e->w = e->x = X86_TLB_NONE; }

static void init_tlb(struct x86_tlb *t)
{
    for (unsigned i = 0; i < X86_TLB_SIZE; i++)
        drop_entry(&t->e[i]);
    memset(t->used, 0, sizeof(*t) - offsetof(struct x86_tlb, used));
}

static void drop_word(struct x86_tlb *t, unsigned word, uint64_t which)
{
    t->used[word] &= ~which;
    for (; which; which &= which - 1)
        drop_entry(&t->e[word * 64 + (unsigned)__builtin_ctzll(which)]);
}

static void forget_code(struct x86_tlb *t)
{
    for (unsigned i = 0; i < ARRAY_LEN(t->code); i++)
        t->code[i] = 0;
    t->large_code = 0;
}

/* Only what was filled is visited: flushes are far more frequent than 8192 fills. */
static void drop_all(struct x86_tlb *t)
{
    for (uint64_t words = t->used_words; words; words &= words - 1) {
        const unsigned i = (unsigned)__builtin_ctzll(words);
        drop_word(t, i, t->used[i]);
    }
    t->used_words = t->local_words = t->large_in = 0;
    t->large_shift = 0;
    t->global_code = false;
    forget_code(t);
}

static void drop_local(struct x86_tlb *t)
{
    for (uint64_t words = t->local_words; words; words &= words - 1) {
        const unsigned i = (unsigned)__builtin_ctzll(words);
        drop_word(t, i, t->used[i] & ~t->global[i]);
    }
    t->local_words = 0;
    if (!t->global_code)
        forget_code(t);
}

/* ---- filling ---- */

/* Which large pages were filled is known by GiB only: INVLPG seldom goes where they are. */
static uint64_t gib_bit(uint64_t lin) { return BIT(((lin >> 30) ^ (lin >> 36)) & 63); }

void x86_tlb_enter(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                   const struct x86_walk *w, uint8_t *host, bool writable, bool slow)
{
    const unsigned index = lin >> 12 & (X86_TLB_SIZE - 1), word = index / 64;
    const uint64_t page = lin >> 12, bit = BIT(index % 64);
    struct x86_tlb *t = cpu->tlb[user];
    struct x86_tlb_entry *e = &t->e[index];
    /* A tag for fetches only once something is fetched: most pages that may be executed never are,
     * and INVLPG then concerns no code. */
    bool code = access == X86_EXEC || e->x == page;

    cpu->tlb_stats.fill++;
    t->used[word] |= bit;
    t->used_words |= BIT(word);
    if (!w->global)
        t->local_words |= BIT(word);
    t->global[word] = w->global ? t->global[word] | bit : t->global[word] & ~bit;
    if (w->shift > 12) {
        t->large[word] |= bit;
        t->large_in |= gib_bit(lin);
        t->large_shift = (uint8_t)MAX(t->large_shift, w->shift);
    } else {
        t->large[word] &= ~bit;
    }
    code = code && (w->prot & 1u << X86_EXEC);
    if (code) {
        if (w->shift > 12)
            t->large_code |= gib_bit(lin);
        else
            t->code[word] |= bit;
        t->global_code |= w->global;
    }
    e->addend = (uint64_t)(uintptr_t)host - (page << 12);
    e->r = slow ? X86_TLB_NONE : page;
    e->w = slow || !writable ? X86_TLB_NONE : page;
    e->x = code ? page : X86_TLB_NONE;
}

/* ---- telling ---- */

static void tell(struct x86_cpu *cpu, enum x86_tlb_event what, uint64_t arg)
{
    if (what != X86_TLB_SWITCH) /* paging-structure caches are by CR3, PCID included */
        cpu->invalidations++;
    if (what != X86_TLB_PAGE && what != X86_TLB_VIEW && what != X86_TLB_VIEW_PAGE)
        cpu->generation++;
    if (cpu->env && cpu->env->tlb_flushed)
        cpu->env->tlb_flushed(cpu, what, arg);
}

/* ---- flushing ---- */

static uint64_t view_key(const struct x86_cpu *cpu)
{
    const uint64_t pcid = cpu->cr4 & X86_CR4_PCIDE ? cpu->cr3 & X86_CR3_PCID : 0;

    return (cpu->cr3 & BITS(X86_PHYS_BITS - 1, PCID_BITS)) | pcid;
}

/* Views not current are emptied when they are next used. */
static void drop_view(struct x86_cpu *cpu, unsigned id)
{
    cpu->view[id].cr3 = X86_VIEW_NONE;
    cpu->view[id].stashed = 0;
    tell(cpu, X86_TLB_VIEW, id);
}

void x86_tlb_flush(struct x86_cpu *cpu)
{
    cpu->tlb_stats.flush++;
    drop_all(&cpu->tlb_super);
    drop_all(user_tlb(cpu));
    for (unsigned i = 0; i < cpu->views; i++) {
        cpu->view[i].cr3 = X86_VIEW_NONE;
        cpu->view[i].stashed = 0;
    }
    cpu->view[cpu->view_id].cr3 = view_key(cpu);
    cpu->stop = 1;
    tell(cpu, X86_TLB_ALL, 0);
}

void x86_tlb_flush_local(struct x86_cpu *cpu)
{
    cpu->tlb_stats.flush++;
    cpu->tlb_stats.local++;
    drop_local(user_tlb(cpu));
    drop_local(&cpu->tlb_super);
    tell(cpu, X86_TLB_LOCAL, 0);
}

/* Drops the page of lin. False: no code was fetched from it. */
static bool drop_page(struct x86_tlb *t, uint64_t lin, bool only_global)
{
    const unsigned index = lin >> 12 & (X86_TLB_SIZE - 1);
    const uint64_t page = lin >> 12, bit = BIT(index % 64), gib = gib_bit(lin);
    struct x86_tlb_entry *e = &t->e[index];

    if (e->r == page || e->w == page || e->x == page)
        if (!only_global || (t->global[index / 64] & bit))
            drop_entry(e);
    if (t->large_in & gib) { /* it may be part of a large page, all of which goes */
        const unsigned shift = t->large_shift - 12u;
        for (uint64_t words = t->used_words; words; words &= words - 1) {
            const unsigned i = (unsigned)__builtin_ctzll(words);
            uint64_t large = t->used[i] & t->large[i] & (only_global ? t->global[i] : ~0ull);
            for (; large; large &= large - 1) {
                e = &t->e[i * 64 + (unsigned)__builtin_ctzll(large)];
                uint64_t tag = e->r != X86_TLB_NONE ? e->r : e->x;
                if (tag >> shift == page >> shift)
                    drop_entry(e);
            }
        }
    }
    return (t->code[index / 64] & bit) || (t->large_code & gib);
}

void x86_tlb_flush_page(struct x86_cpu *cpu, uint64_t lin)
{
    bool code = drop_page(&cpu->tlb_super, lin, false);

    cpu->tlb_stats.page++;
    code |= drop_page(user_tlb(cpu), lin, false);
    for (unsigned i = 0; i < cpu->views; i++) /* a global page goes for all */
        if (i != cpu->view_id && cpu->view[i].cr3 != X86_VIEW_NONE)
            code |= drop_page(cpu->view[i].tlb, lin, true);
    tell(cpu, code ? X86_TLB_CODE_PAGE : X86_TLB_PAGE, lin);
}

void x86_tlb_protect(struct x86_cpu *cpu, const uint8_t *host_page)
{
    const uint64_t host = (uint64_t)(uintptr_t)host_page;

    for (unsigned n = 0; n <= cpu->views; n++) {
        struct x86_tlb *t = n < cpu->views ? cpu->view[n].tlb : &cpu->tlb_super;
        if (n < cpu->views && cpu->view[n].cr3 == X86_VIEW_NONE)
            continue;
        for (unsigned i = 0; n < cpu->views && i < cpu->view[n].stashed; i++) {
            struct x86_tlb_entry *e = &cpu->view[n].stash[i].e;
            if ((e->w << 12) + e->addend == host)
                e->w = X86_TLB_NONE;
        }
        for (uint64_t words = t->used_words; words; words &= words - 1) {
            const unsigned w = (unsigned)__builtin_ctzll(words);
            for (uint64_t which = t->used[w]; which; which &= which - 1) {
                struct x86_tlb_entry *e = &t->e[64 * w + (unsigned)__builtin_ctzll(which)];
                if ((e->w << 12) + e->addend == host)
                    e->w = X86_TLB_NONE;
            }
        }
    }
}

/* What the supervisor saw of a view that is left: mostly the few user pages that system calls copy
 * from and to. Code has to be found anew. */
static void stash(struct x86_tlb *t, struct x86_view *v)
{
    for (uint64_t words = t->local_words; words; words &= words - 1) {
        const unsigned i = (unsigned)__builtin_ctzll(words);
        uint64_t which = t->used[i] & ~t->global[i];
        for (; which && v->stashed < X86_VIEW_STASH; which &= which - 1) {
            const unsigned index = i * 64 + (unsigned)__builtin_ctzll(which);
            if (t->e[index].r == X86_TLB_NONE)
                continue;
            v->stash[v->stashed].e = t->e[index];
            v->stash[v->stashed].e.x = X86_TLB_NONE;
            v->stash[v->stashed].index = (uint16_t)index;
            v->stash[v->stashed++].large = t->large[i] & which & -which;
        }
    }
    drop_local(t);
}

static void unstash(struct x86_tlb *t, struct x86_view *v)
{
    for (unsigned n = 0; n < v->stashed; n++) {
        const unsigned index = v->stash[n].index, i = index / 64;
        const uint64_t bit = BIT(index % 64);
        if ((t->used[i] & bit) && t->e[index].r != X86_TLB_NONE) /* a global page */
            continue;
        t->e[index] = v->stash[n].e;
        t->used[i] |= bit;
        t->global[i] &= ~bit;
        t->large[i] = v->stash[n].large ? t->large[i] | bit : t->large[i] & ~bit;
        t->used_words |= BIT(i);
        t->local_words |= BIT(i);
    }
    v->stashed = 0;
}

/* What is entered for CPL 3 depends on align_check. */
void x86_tlb_align_check(struct x86_cpu *cpu)
{
    struct x86_tlb *t = user_tlb(cpu);

    for (uint64_t words = t->used_words; words; words &= words - 1) {
        struct x86_tlb_entry *e = &t->e[64 * __builtin_ctzll(words)];
        for (unsigned i = 0; i < 64; i++)
            e[i].r = e[i].w = X86_TLB_NONE;
    }
    cpu->view[cpu->view_id].align_check = cpu->align_check;
}

/* ---- views ---- */

void x86_tlb_reset(struct x86_cpu *cpu)
{
    if (cpu->views < 2) {
        cpu->views = 1;
        cpu->view[0].tlb = &cpu->tlb_user;
    }
    for (unsigned i = 0; i < cpu->views; i++)
        cpu->view[i] = (struct x86_view){ .tlb = cpu->view[i].tlb, .cr3 = X86_VIEW_NONE };
    init_tlb(&cpu->tlb_super);
    init_tlb(cpu->view[0].tlb);
    cpu->view[0].ready = true;
    cpu->view[0].align_check = cpu->align_check;
    cpu->view_id = 0;
    cpu->tlb[0] = &cpu->tlb_super;
    cpu->tlb[1] = cpu->view[0].tlb;
    tell(cpu, X86_TLB_SWITCH, 0);
    tell(cpu, X86_TLB_ALL, 0);
}

/* The view of a PCID, or if there is none the one to take for it. */
static unsigned choose_view(const struct x86_cpu *cpu, uint64_t key)
{
    unsigned best = cpu->view_id;

    for (unsigned i = 0; i < cpu->views; i++)
        if (cpu->view[i].cr3 != X86_VIEW_NONE &&
            (cpu->view[i].cr3 & X86_CR3_PCID) == (key & X86_CR3_PCID))
            return i;
    for (unsigned i = 0; i < cpu->views; i++) {
        const struct x86_view *v = &cpu->view[i];
        if (i == cpu->view_id)
            continue;
        if (v->cr3 == X86_VIEW_NONE)
            return i;
        if (best == cpu->view_id || v->time < cpu->view[best].time)
            best = i;
    }
    return best;
}

/* Two bases with the same PCID share translations in [SDM]'s terms; here a change of base drops
 * them. */
void x86_tlb_load_cr3(struct x86_cpu *cpu, bool keep)
{
    const uint64_t key = view_key(cpu);
    const unsigned id = cpu->cr4 & X86_CR4_PCIDE ? choose_view(cpu, key) : cpu->view_id;
    struct x86_view *v = &cpu->view[id];

    if (id == cpu->view_id) {
        if (keep && v->cr3 == key)
            return;
        v->cr3 = key;
        x86_tlb_flush_local(cpu);
        return;
    }
    cpu->tlb_stats.view_switch++;
    if (!keep || v->cr3 != key) {
        cpu->tlb_stats.view_miss++;
        if (v->ready)
            drop_all(v->tlb);
        else
            init_tlb(v->tlb);
        v->ready = true;
        v->stashed = 0;
        v->cr3 = key;
        tell(cpu, X86_TLB_VIEW, id);
    }
    stash(&cpu->tlb_super, &cpu->view[cpu->view_id]);
    unstash(&cpu->tlb_super, v);
    v->time = ++cpu->view_time;
    cpu->view_id = (uint8_t)id;
    cpu->tlb[1] = v->tlb;
    if (v->align_check != cpu->align_check)
        x86_tlb_align_check(cpu);
    tell(cpu, X86_TLB_SWITCH, id);
}

/* All but type 2 spare global pages. */
void x86_tlb_invpcid(struct x86_cpu *cpu, unsigned type, unsigned pcid, uint64_t lin)
{
    const unsigned current = (unsigned)(view_key(cpu) & X86_CR3_PCID);

    switch (type) {
    case X86_INVPCID_ALL_GLOBAL: x86_tlb_flush(cpu); return;
    case X86_INVPCID_ALL: x86_tlb_flush_local(cpu); break;
    case X86_INVPCID_CONTEXT:
        if (pcid == current)
            x86_tlb_flush_local(cpu);
        break;
    default:
        if (pcid == current)
            x86_tlb_flush_page(cpu, lin);
        break;
    }
    for (unsigned i = 0; i < cpu->views; i++) {
        const uint64_t cr3 = cpu->view[i].cr3;
        if (i == cpu->view_id || cr3 == X86_VIEW_NONE ||
            (type != X86_INVPCID_ALL && (cr3 & X86_CR3_PCID) != pcid))
            continue;
        if (type != X86_INVPCID_PAGE) {
            drop_view(cpu, i);
            continue;
        }
        cpu->view[i].stashed = 0;
        tell(cpu, drop_page(cpu->view[i].tlb, lin, false) ? X86_TLB_VIEW : X86_TLB_VIEW_PAGE, i);
    }
}
