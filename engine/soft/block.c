/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Decoded blocks of one vCPU: found by the host address of their first byte (that is, by
 * guest-physical address: no flush when translations change) and code size; dropped when what they
 * were decoded from is written. A block never leaves its page.
 */
#include <errno.h>
#include <string.h>

#include "engine/soft/soft.h"

_Static_assert(sizeof(struct soft_block) == 64 && sizeof(struct soft_follow) == 64,
               "one cache line");

_Static_assert(sizeof(struct soft_follow) + sizeof(struct soft_block) +
                       SOFT_BLOCK_MAX * sizeof(struct x86_insn) + 3 * sizeof(struct soft_codepage) <
                   4096,
               "ROOM");

enum {
    INSN_MAX = 15,
    MAX_BYTES = SOFT_BLOCK_MAX * 8, /* of guest code in a block */
    CHUNK = 32,                     /* of it, copied at a time */
    ROOM = 4096,                    /* more than a block and its page need */
    HOT_HITS = 64,                  /* this many stores into a page's code … */
    HOT_SPAN = 2000 /* … each within so many built blocks of the last: do not cache it now */
};

static unsigned block_hash(const uint8_t *host, unsigned key)
{
    uint64_t h = (uint64_t)(uintptr_t)host;

    return (unsigned)((h ^ h >> 18) + key * 0x5555u) % SOFT_BLOCK_HASH;
}

static struct soft_recent *recent_of(struct soft_cache *c, const uint8_t *host)
{
    uint64_t h = (uint64_t)(uintptr_t)host;

    return &c->recent[(h ^ h >> 13) % SOFT_RECENT];
}

static const uint8_t *page_of(const uint8_t *host)
{
    return (const uint8_t *)ALIGN_DOWN((uintptr_t)host, 0x1000);
}

static struct soft_follow *follow_of(struct soft_block *b)
{
    return (struct soft_follow *)(void *)b - 1;
}

static struct soft_codepage **page_bucket(struct soft_cache *c, const uint8_t *page)
{
    return &c->pages[((uintptr_t)page >> 12) % SOFT_PAGE_HASH];
}

static struct soft_codepage *page_find(struct soft_cache *c, const uint8_t *page)
{
    struct soft_codepage *p = *page_bucket(c, page);

    while (p && p->host != page)
        p = p->next;
    return p;
}

int soft_cache_init(struct soft_cache *c, size_t size)
{
    c->size = size;
    c->arena = soft_pages_alloc(c->size);
    c->hash = soft_pages_alloc(SOFT_BLOCK_HASH * sizeof(*c->hash));
    c->pages = soft_pages_alloc(SOFT_PAGE_HASH * sizeof(*c->pages));
    c->recent = soft_pages_alloc(SOFT_RECENT * sizeof(*c->recent));
    return c->arena && c->hash && c->pages && c->recent ? 0 : -ENOMEM;
}

void soft_cache_destroy(struct soft_cache *c)
{
    soft_pages_free(c->arena, c->size);
    soft_pages_free(c->hash, SOFT_BLOCK_HASH * sizeof(*c->hash));
    soft_pages_free(c->pages, SOFT_PAGE_HASH * sizeof(*c->pages));
    soft_pages_free(c->recent, SOFT_RECENT * sizeof(*c->recent));
}

/* ---- code lines of a page; all under vm->code_lock ---- */

static void publish_lines(struct soft_vm *vm, struct soft_codepage *p)
{
    unsigned n = atomic_load(&vm->vcpus);
    uint64_t lines = p->lines;

    for (unsigned i = 0; n > 1 && i < n; i++) {
        struct soft_codepage *other = page_find(&vm->vcpu[i]->cache, p->host);
        if (other)
            lines |= other->lines;
    }
    atomic_store(p->shared, lines);
}

static uint64_t block_lines(const struct soft_block *b)
{
    unsigned off = (uintptr_t)b->host & 0xfff;

    return BITS(MIN(off + b->bytes - 1u, 0xfffu) / 64, off / 64);
}

static void unhash(struct soft_cache *c, struct soft_block *b)
{
    struct soft_block **at = &c->hash[block_hash(b->host, b->key)];

    while (*at && *at != b)
        at = &(*at)->hash_next;
    if (*at)
        *at = b->hash_next;
    recent_of(c, b->host)->host = NULL;
}

void soft_cache_invalidate(struct soft_vcpu *v, const uint8_t *host, unsigned len)
{
    struct soft_cache *c = &v->cache;
    struct soft_codepage *p;
    bool hit = false;

    pthread_mutex_lock(&v->vm->code_lock);
    p = page_find(c, page_of(host));
    if (p) {
        p->lines = 0;
        for (struct soft_block **at = &p->blocks; *at;) {
            struct soft_block *b = *at;
            if (b->host < host + len && host < b->host + b->bytes) {
                unhash(c, b);
                xl_drop(v, b);
                if (!b->count) {
                    unhash(c, b->other);
                    xl_drop(v, b->other);
                }
                *at = b->page_next;
                hit = true;
                v->stat.invalidations++;
            } else {
                p->lines |= block_lines(b);
                at = &b->page_next;
            }
        }
        if (hit) {
            p->hits = c->built - p->last_hit < HOT_SPAN ? p->hits + 1 : 0;
            p->last_hit = c->built;
        }
        publish_lines(v->vm, p);
    }
    pthread_mutex_unlock(&v->vm->code_lock);
    if (hit) {
        v->cpu.stop = 1; /* the block under way may be what was dropped */
        v->cpu.generation++;
    }
}

bool soft_cache_holds(struct soft_vcpu *v, const uint8_t *host, unsigned len)
{
    struct soft_codepage *p;
    bool hit = false;

    pthread_mutex_lock(&v->vm->code_lock);
    p = page_find(&v->cache, page_of(host));
    for (struct soft_block *b = p ? p->blocks : NULL; b && !hit; b = b->page_next)
        hit = b->host < host + len && host < b->host + b->bytes;
    pthread_mutex_unlock(&v->vm->code_lock);
    return hit;
}

void soft_cache_flush(struct soft_vcpu *v)
{
    struct soft_cache *c = &v->cache;

    pthread_mutex_lock(&v->vm->code_lock);
    for (unsigned i = 0; i < SOFT_PAGE_HASH; i++)
        for (struct soft_codepage *p = c->pages[i]; p; p = p->next) {
            /* Its slot may be gone, and p->shared with it. */
            struct soft_slot *slot = soft_slot_of_host(v, p->host);
            p->lines = 0;
            if (slot) {
                p->shared = &slot->lines[(p->host - slot->host) >> 12];
                publish_lines(v->vm, p);
            }
        }
    v->cpu.stop = 1;
    v->cpu.generation++;
    memset(c->pages, 0, SOFT_PAGE_HASH * sizeof(*c->pages));
    memset(c->hash, 0, SOFT_BLOCK_HASH * sizeof(*c->hash));
    memset(c->recent, 0, SOFT_RECENT * sizeof(*c->recent));
    xl_flush(v);
    c->used = 0;
    v->stat.cache_flushes++;
    pthread_mutex_unlock(&v->vm->code_lock);
}

/* ---- other vCPUs ---- */

static void post(struct soft_vcpu *v, const uint8_t *host, unsigned len)
{
    pthread_mutex_lock(&v->inbox_lock);
    if (v->inbox_count < SOFT_INBOX)
        v->inbox[v->inbox_count++] = (struct soft_message){ host, len };
    else
        v->inbox_overflow = true;
    pthread_mutex_unlock(&v->inbox_lock);
    soft_attention(v, SOFT_INBOX_BIT);
}

void soft_invalidate_others(struct soft_vm *vm, struct soft_vcpu *self, const uint8_t *host,
                            unsigned len)
{
    unsigned n = atomic_load(&vm->vcpus);

    for (unsigned i = 0; i < n; i++)
        if (vm->vcpu[i] != self)
            post(vm->vcpu[i], host, len);
}

/* Stores to the page, which has become code, must be seen. */
static void protect(struct soft_vcpu *v, const uint8_t *host)
{
    x86_tlb_protect(&v->cpu, host);
    xl_window_protect(v, host);
}

void soft_inbox_work(struct soft_vcpu *v)
{
    struct soft_message msg[SOFT_INBOX];
    unsigned count;
    bool overflow;

    pthread_mutex_lock(&v->inbox_lock);
    count = v->inbox_count;
    memcpy(msg, v->inbox, count * sizeof(*msg));
    overflow = v->inbox_overflow;
    v->inbox_count = 0;
    v->inbox_overflow = false;
    pthread_mutex_unlock(&v->inbox_lock);
    if (overflow) {
        soft_cache_flush(v);
        x86_tlb_flush(&v->cpu);
        xl_window_forget(v);
    } else {
        for (unsigned i = 0; i < count; i++) {
            if (msg[i].len)
                soft_cache_invalidate(v, msg[i].host, msg[i].len);
            else
                protect(v, msg[i].host);
        }
    }
    atomic_fetch_add(&v->inbox_seen, 1);
}

/* ---- building ---- */

static void *arena_take(struct soft_cache *c, size_t size)
{
    void *p = c->arena + c->used;

    size = ALIGN_UP(size, (size_t)64);
    if (size > c->size - c->used)
        return NULL;
    c->used += size;
    soft_pages_present(c->arena, &c->present, c->used + ROOM, c->size); /* for the next, too */
    return p;
}

static struct soft_codepage *page_make(struct soft_vcpu *v, const uint8_t *page)
{
    struct soft_codepage *p = page_find(&v->cache, page), **bucket;
    struct soft_slot *slot;

    if (p)
        return p;
    slot = soft_slot_of_host(v, page);
    p = arena_take(&v->cache, sizeof(*p));
    if (!slot || !p)
        return NULL;
    bucket = page_bucket(&v->cache, page);
    *p = (struct soft_codepage){ .host = page,
                                 .shared = &slot->lines[(page - slot->host) >> 12],
                                 .next = *bucket };
    *bucket = p;
    return p;
}

/* From a copy of the code, which is made as far as it is needed. */
static void decode(struct soft_block *b, uint8_t *copy, unsigned avail, unsigned mode,
                   bool lockstep)
{
    unsigned have = 0;

    b->count = 0;
    b->bytes = 0;
    b->native = false;
    while (b->count < SOFT_BLOCK_MAX && b->bytes < avail) {
        struct x86_insn *insn = &b->insn[b->count];
        if (b->bytes + (unsigned)INSN_MAX > have && have < avail) {
            if (avail - have >= CHUNK)
                memcpy(copy + have, b->host + have, CHUNK);
            else
                memcpy(copy + have, b->host + have, avail - have);
            have = MIN(have + CHUNK, avail);
        }
        if (x86_decode(insn, copy + b->bytes, have - b->bytes, mode) != X86_DECODE_OK)
            break;
        const bool alone = lockstep && lockstep_alone(insn);
        if (alone && b->count)
            break;
        x86_bind(insn);
        if (unlikely(insn->op >= X86_OP_FPU && x86_is_native(insn)))
            b->native = true;
        b->count++;
        b->bytes = (uint16_t)(b->bytes + insn->len);
        if (alone || soft_ends_block(insn))
            break;
    }
}

/* Marks the block's lines as code. Called before its bytes are verified: a store after that is seen
 * by who stores, one before it by the comparison. */
static void mark(struct soft_vcpu *v, struct soft_codepage *p, const struct soft_block *b)
{
    const uint64_t lines = block_lines(b);
    bool became;

    if (!(lines & ~p->lines))
        return;
    pthread_mutex_lock(&v->vm->code_lock);
    became = atomic_load(p->shared) == 0;
    p->lines |= lines;
    atomic_fetch_or(p->shared, p->lines);
    pthread_mutex_unlock(&v->vm->code_lock);
    if (!became)
        return;
    protect(v, p->host);
    if (atomic_load(&v->vm->vcpus) > 1) {
        soft_invalidate_others(v->vm, v, p->host, 0);
        soft_sync(v->vm, v, SOFT_INBOX_BIT);
    }
}

static bool has_room(const struct soft_cache *c) { return c->size - c->used >= ROOM; }

static bool is_hot(const struct soft_cache *c, const struct soft_codepage *p)
{
    return p->hits > HOT_HITS && c->built - p->last_hit < HOT_SPAN;
}

static void list_block(struct soft_vcpu *v, struct soft_codepage *p, struct soft_block *b)
{
    pthread_mutex_lock(&v->vm->code_lock);
    b->page_next = p->blocks;
    p->blocks = b;
    pthread_mutex_unlock(&v->vm->code_lock);
}

/*
 * A block of the one instruction at host if it reaches into the next page, that at linear address
 * next; else NULL. It is listed with both pages.
 */
static struct soft_block *build_crossing(struct soft_vcpu *v, const uint8_t *host, unsigned key,
                                         uint64_t next)
{
    const unsigned have = 0x1000 - ((uintptr_t)host & 0xfff);
    const uint64_t flushes = v->stat.cache_flushes;
    struct soft_cache *c = &v->cache;
    struct soft_codepage *p, *p2 = NULL;
    struct soft_block *b, *guard;
    uint8_t bytes[INSN_MAX];
    const uint8_t *second;
    uint64_t seen;

    if (have >= INSN_MAX || !has_room(c) || !(second = x86_code_host_next(&v->cpu, next)))
        return NULL;
    pthread_mutex_lock(&v->vm->code_lock);
    p = page_make(v, page_of(host));
    if (p)
        p2 = page_make(v, page_of(second));
    pthread_mutex_unlock(&v->vm->code_lock);
    if (!p || !p2 || is_hot(c, p) || is_hot(c, p2) || !has_room(c))
        return NULL;
    b = (struct soft_block *)(void *)(c->arena + c->used);
    do {
        memcpy(bytes, host, have);
        memcpy(bytes + have, second, INSN_MAX - have);
        *b = (struct soft_block){ .host = host, .key = (uint8_t)key, .count = 1 };
        if (x86_decode(b->insn, bytes, INSN_MAX, v->cpu.code) != X86_DECODE_OK ||
            b->insn[0].len <= have)
            return NULL;
        b->bytes = b->insn[0].len;
        seen = atomic_load(&v->inbox_seen);
        mark(v, p, b);
        if (flushes != v->stat.cache_flushes) /* as in build() */
            return NULL;
        mark(v, p2, &(struct soft_block){ .host = second, .bytes = (uint16_t)(b->bytes - have) });
        if (flushes != v->stat.cache_flushes)
            return NULL;
    } while (seen != atomic_load(&v->inbox_seen) || memcmp(bytes, host, have) ||
             memcmp(bytes + have, second, b->bytes - have));
    x86_bind(b->insn);
    b->native = x86_is_native(b->insn);
    b->crosses = (uint8_t)have;
    arena_take(c, sizeof(*b) + sizeof(b->insn[0]));
    guard = arena_take(c, sizeof(*guard));
    *guard = (struct soft_block){
        .host = second, .bytes = (uint16_t)(b->bytes - have), .key = (uint8_t)key, .other = b
    };
    b->other = guard;
    struct soft_block **bucket = &c->hash[block_hash(host, key)];
    b->hash_next = *bucket;
    *bucket = b;
    list_block(v, p, b);
    list_block(v, p2, guard);
    v->stat.blocks_built++;
    return b;
}

/* The first page does not tell which the second is. */
static bool same_crossing(struct soft_vcpu *v, const struct soft_block *b, uint64_t next)
{
    return x86_code_host_next(&v->cpu, next) == b->other->host;
}

static __attribute__((noinline)) struct soft_block *build(struct soft_vcpu *v, const uint8_t *host,
                                                          unsigned key)
{
    const unsigned avail = MIN(0x1000u - ((uintptr_t)host & 0xfff), (unsigned)MAX_BYTES);
    struct soft_cache *c = &v->cache;
    uint8_t copy[MAX_BYTES];
    struct soft_codepage *p;
    struct soft_block *b, **bucket;

    if (!has_room(c))
        soft_cache_flush(v);
    p = page_find(c, page_of(host)); /* only this thread changes them */
    if (!p) {
        pthread_mutex_lock(&v->vm->code_lock);
        p = page_make(v, page_of(host));
        pthread_mutex_unlock(&v->vm->code_lock);
    }
    if (!p)
        return NULL;
    c->built++;
    if (is_hot(c, p)) {
        v->stat.hot_steps++;
        return NULL;
    }
    /* The emulator's blocks are linked; with the translator only those it leaves to it for good. */
    const bool follows = !v->xl.on || key == 2;
    b = (struct soft_block *)(void *)(c->arena + c->used);
    if (follows)
        *follow_of(++b) = (struct soft_follow){ .generation = 0 };
    *b = (struct soft_block){ .host = host, .key = (uint8_t)key, .follows = follows };
    const uint64_t flushes = v->stat.cache_flushes;
    uint64_t seen;
    do {
        const uint64_t begin = soft_rdtsc();
        decode(b, copy, avail, v->cpu.code, v->lock);
        v->stat.decode_tsc += soft_rdtsc() - begin;
        v->stat.insns_decoded += b->count;
        if (!b->count)
            return NULL; /* crosses the page, or is too long */
        seen = atomic_load(&v->inbox_seen);
        mark(v, p, b);
        /* Waiting for the others, it may have worked off messages: then p is without b's lines, or
         * the arena with b and p was emptied. */
        if (flushes != v->stat.cache_flushes)
            return NULL;
    } while (seen != atomic_load(&v->inbox_seen) || memcmp(copy, host, b->bytes));

    if (v->lock)
        lockstep_built(b, copy);
    arena_take(c, (follows ? sizeof(struct soft_follow) : 0) + sizeof(*b) +
                      b->count * sizeof(b->insn[0]));
    bucket = &c->hash[block_hash(host, key)];
    b->hash_next = *bucket;
    *bucket = b;
    list_block(v, p, b);
    v->stat.blocks_built++;
    return b;
}

static struct soft_block *find(const struct soft_cache *c, const uint8_t *host, unsigned key)
{
    struct soft_block *b = c->hash[block_hash(host, key)];

    while (b && !(likely(b->host == host && b->key == key)))
        b = b->hash_next;
    return b;
}

struct soft_block *soft_block_at(struct soft_vcpu *v, const uint8_t *host, unsigned key)
{
    return find(&v->cache, host, key);
}

/* Since b's page has code already, no other vCPU needs to be told. */
struct soft_block *soft_block_behind(struct soft_vcpu *v, const struct soft_block *b)
{
    const uint8_t *host = b->host + b->bytes;
    struct soft_block *next;

    if (page_of(host) != page_of(b->host) || (v->lock && lockstep_alone(&b->insn[b->count - 1])))
        return NULL;
    next = find(&v->cache, host, b->key);
    if (!next && has_room(&v->cache))
        next = build(v, host, b->key);
    if (!next || next->crosses)
        return NULL;
    return v->lock && lockstep_alone(&next->insn[0]) ? NULL : next;
}

struct soft_block *soft_block_get(struct soft_vcpu *v)
{
    struct x86_cpu *cpu = &v->cpu;
    const uint8_t *host;
    struct soft_block *b;
    uint64_t lin = cpu->rip;
    unsigned key = cpu->code;

    if (key != 8)
        lin = (cpu->seg[X86_CS].base + cpu->rip) & 0xffffffff;
    const struct x86_tlb_entry *e = &cpu->tlb[cpu->cpl == 3]->e[(lin >> 12) % X86_TLB_SIZE];
    if (likely(e->x == lin >> 12))
        host = (const uint8_t *)(uintptr_t)(lin + e->addend);
    else if (!(host = x86_code_host(cpu)))
        return NULL;
    struct soft_recent *r = recent_of(&v->cache, host);
    b = r->block;
    if (unlikely(r->host != host || b->key != key)) {
        b = find(&v->cache, host, key);
        if (unlikely(!b)) {
            b = build(v, host, key);
            if (!b)
                b = build_crossing(v, host, key, ALIGN_UP(lin, 0x1000ull));
            if (!b)
                return NULL;
        }
        *r = (struct soft_recent){ host, b };
    }
    if (unlikely(b->crosses) && !same_crossing(v, b, ALIGN_UP(lin, 0x1000ull))) {
        unhash(&v->cache, b);
        return NULL;
    }
    if (unlikely(key != 8)) { /* the limit is no part of the key */
        cpu->rip &= 0xffffffff;
        if (cpu->rip + b->bytes - 1u > cpu->seg[X86_CS].limit)
            return NULL;
    }
    return b;
}

/*
 * Links from a block to the two that last followed it hold as long as no translation and no block
 * has been dropped since, and the mode is the same. Where linear addresses depend on CS's base
 * there are none.
 */
const struct x86_insn *soft_block_next(struct x86_cpu *cpu, const struct x86_insn **end)
{
    struct soft_vcpu *v = soft_vcpu_of(cpu);
    struct soft_block *b = v->current, *n;
    const uint64_t rip = cpu->rip;

    v->stat.blocks_run++;
    if (unlikely(atomic_load_explicit(&v->attention, memory_order_relaxed) | cpu->shadow) ||
        unlikely(--v->countdown < 0))
        return NULL;
    struct soft_follow *f = b->follows ? follow_of(b) : NULL;
    if (likely(f && f->generation == cpu->generation && f->mode == cpu->mode_key)) {
        for (unsigned i = 0; i < 2; i++)
            if (likely(f->next[i].rip == rip && f->next[i].block)) {
                n = f->next[i].block;
                goto found;
            }
    }
    n = soft_block_get(v);
    if (!n || n->crosses)
        return NULL;
    /* Building may have emptied the arena, b with it: then the generation has changed. */
    if (f && cpu->mode_key & (X86_KEY_CODE64 | X86_KEY_FLAT) && !cpu->stop) {
        if (f->generation != cpu->generation || f->mode != cpu->mode_key) {
            f->generation = cpu->generation;
            f->mode = cpu->mode_key;
            f->next[0].block = f->next[1].block = NULL;
        }
        unsigned slot = f->next[0].block != NULL;
        f->next[slot].rip = rip;
        f->next[slot].block = n;
    }
    cpu->stop = 0;
found:
    v->current = n;
    *end = n->insn + n->count;
    return n->insn;
}
