/* SPDX-License-Identifier: BSD-2-Clause */
/* Split virtqueues, device side. [VIRTIO] 1.2, 2.7 "Split Virtqueues". */
#include "device/virtio/queue.h"

#include <errno.h>
#include <string.h>

enum {
    DESC_SIZE = 16,
    DESC_NEXT = 1,
    DESC_WRITE = 2,
    DESC_INDIRECT = 4,
    AVAIL_NO_INTERRUPT = 1,
    /* offsets in the rings */
    RING_FLAGS = 0,
    RING_IDX = 2,
    RING_ENTRIES = 4,
    AVAIL_ENTRY = 2,
    USED_ENTRY = 8
};

struct desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};
_Static_assert(sizeof(struct desc) == DESC_SIZE, "struct virtq_desc");

void virtq_init(struct virtqueue *q, const struct guest_memory *mem, uint16_t max)
{
    memset(q, 0, sizeof(*q));
    q->mem = mem;
    q->s.max = max;
    virtq_reset(q);
}

void virtq_reset(struct virtqueue *q)
{
    uint16_t max = q->s.max;
    memset(&q->s, 0, sizeof(q->s));
    q->s.max = q->s.size = max;
    q->indirect = q->event_idx = false;
}

static int bad(struct virtqueue *q)
{
    q->s.broken = true;
    return -EBADMSG;
}

static uint64_t avail_len(const struct virtqueue *q)
{
    return RING_ENTRIES + (uint64_t)q->s.size * AVAIL_ENTRY + 2;
}

static uint64_t used_len(const struct virtqueue *q)
{
    return RING_ENTRIES + (uint64_t)q->s.size * USED_ENTRY + 2;
}

int virtq_enable(struct virtqueue *q)
{
    const struct guest_memory *m = q->mem;
    unsigned size = q->s.size;
    if (!size || size > q->s.max || size & (size - 1) || q->s.desc % 16 || q->s.avail % 2 ||
        q->s.used % 4 || !m->map(m->ctx, q->s.desc, (uint64_t)size * DESC_SIZE, false) ||
        !m->map(m->ctx, q->s.avail, avail_len(q), false) ||
        !m->map(m->ctx, q->s.used, used_len(q), true))
        return bad(q);
    q->s.enabled = true;
    return 0;
}

/* The rings' 16-bit fields are shared with running vCPUs: one access each. */
static int load16(struct virtqueue *q, uint64_t gpa, uint16_t *v)
{
    const uint16_t *p = q->mem->map(q->mem->ctx, gpa, 2, false);
    if (!p)
        return bad(q);
    *v = __atomic_load_n(p, __ATOMIC_ACQUIRE);
    return 0;
}

static int store16(struct virtqueue *q, uint64_t gpa, uint16_t v)
{
    uint16_t *p = q->mem->map(q->mem->ctx, gpa, 2, true);
    if (!p)
        return bad(q);
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
    if (q->mem->written)
        q->mem->written(q->mem->ctx, gpa, 2);
    return 0;
}

/* Tells the driver up to which entry it need not notify. */
static int store_avail_event(struct virtqueue *q)
{
    return store16(q, q->s.used + RING_ENTRIES + (uint64_t)q->s.size * USED_ENTRY, q->s.last_avail);
}

static int add_segment(struct virtqueue *q, struct virtq_chain *c, const struct desc *d)
{
    bool in = d->flags & DESC_WRITE;
    struct virtq_segment *s = &c->seg[c->out + c->in];
    if (!in && c->in)
        return bad(q); /* [VIRTIO] 2.7.4.2: device-readable ones come first */
    if (!d->len)
        return 0;
    if (c->out + c->in == VIRTQ_SEGMENTS)
        return bad(q);
    s->base = q->mem->map(q->mem->ctx, d->addr, d->len, in);
    if (!s->base)
        return bad(q);
    s->len = d->len;
    s->gpa = d->addr;
    if (in) {
        c->in++;
        c->in_len += d->len;
    } else {
        c->out++;
        c->out_len += d->len;
    }
    return c->in_len + c->out_len > UINT32_MAX ? bad(q) : 0;
}

/* Follows one table: the queue's own or an indirect one. */
static int walk(struct virtqueue *q, struct virtq_chain *c, uint64_t table, unsigned count,
                uint16_t first, bool nested)
{
    uint16_t i = first;
    for (unsigned steps = 0; steps < count; steps++) {
        struct desc d;
        int e;
        if (i >= count || guest_read(q->mem, table + (uint64_t)i * DESC_SIZE, &d, sizeof(d)))
            return bad(q);
        if (d.flags & DESC_INDIRECT) {
            unsigned n = d.len / DESC_SIZE;
            /* 2.7.5.3.1: negotiated, not nested, not with NEXT. */
            if (!q->indirect || nested || d.flags & DESC_NEXT || !n || d.len % DESC_SIZE ||
                n > q->s.size || d.addr + d.len < d.addr)
                return bad(q);
            return walk(q, c, d.addr, n, 0, true);
        }
        e = add_segment(q, c, &d);
        if (e)
            return e;
        if (!(d.flags & DESC_NEXT))
            return 0;
        i = d.next;
    }
    return bad(q); /* a loop */
}

int virtq_pop(struct virtqueue *q, struct virtq_chain *c)
{
    uint16_t idx, head;
    int e;
    if (!q->s.enabled || q->s.broken)
        return q->s.broken ? -EBADMSG : 0;
    e = load16(q, q->s.avail + RING_IDX, &idx);
    if (e)
        return e;
    if (idx == q->s.last_avail) {
        if (!q->event_idx)
            return 0;
        /* Ask to be told, then look again: the driver may have added before it saw that. */
        e = store_avail_event(q);
        if (e)
            return e;
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        e = load16(q, q->s.avail + RING_IDX, &idx);
        if (e || idx == q->s.last_avail)
            return e;
    }
    if ((uint16_t)(idx - q->s.last_avail) > q->s.size)
        return bad(q);
    e = load16(
        q, q->s.avail + RING_ENTRIES + (uint64_t)(q->s.last_avail & (q->s.size - 1)) * AVAIL_ENTRY,
        &head);
    if (e)
        return e;
    c->head = head;
    c->out = c->in = 0;
    c->out_len = c->in_len = 0;
    e = walk(q, c, q->s.desc, q->s.size, head, false);
    if (e)
        return e;
    q->s.last_avail++;
    return 1;
}

void virtq_unpop(struct virtqueue *q) { q->s.last_avail--; }

int virtq_push(struct virtqueue *q, const struct virtq_chain *c, uint64_t written)
{
    uint32_t entry[2] = { c->head, (uint32_t)written };
    uint64_t left = written;
    if (q->s.broken)
        return -EBADMSG;
    for (unsigned i = c->out; i < c->out + c->in && left && q->mem->written; i++) {
        uint64_t n = MIN(left, (uint64_t)c->seg[i].len);
        q->mem->written(q->mem->ctx, c->seg[i].gpa, n);
        left -= n;
    }
    if (guest_write(q->mem,
                    q->s.used + RING_ENTRIES +
                        (uint64_t)(q->s.used_idx & (q->s.size - 1)) * USED_ENTRY,
                    entry, sizeof(entry)))
        return bad(q);
    q->s.used_idx++;
    return store16(q, q->s.used + RING_IDX, q->s.used_idx);
}

bool virtq_wants_interrupt(struct virtqueue *q)
{
    uint16_t old = q->s.signalled, now = q->s.used_idx, v;
    if (q->s.broken || !q->s.enabled || old == now)
        return false;
    q->s.signalled = now;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the index is out before we read the wish */
    if (!q->event_idx)
        return !load16(q, q->s.avail + RING_FLAGS, &v) && !(v & AVAIL_NO_INTERRUPT);
    if (load16(q, q->s.avail + RING_ENTRIES + (uint64_t)q->s.size * AVAIL_ENTRY, &v))
        return false;
    /* 2.7.10: interrupt when the index the driver named has been passed. */
    return (uint16_t)(now - v - 1) < (uint16_t)(now - old);
}

unsigned virtq_slice(const struct virtq_chain *c, bool in, uint64_t offset, uint64_t len,
                     struct virtq_segment seg[VIRTQ_SEGMENTS])
{
    unsigned first = in ? c->out : 0, end = in ? c->out + c->in : c->out, n = 0;
    for (unsigned i = first; i < end && len; i++) {
        const struct virtq_segment *s = &c->seg[i];
        uint64_t take;
        if (offset >= s->len) {
            offset -= s->len;
            continue;
        }
        take = MIN(len, s->len - offset);
        seg[n++] =
            (struct virtq_segment){ (uint8_t *)s->base + offset, (size_t)take, s->gpa + offset };
        len -= take;
        offset = 0;
    }
    return n;
}

static size_t copy(const struct virtq_chain *c, bool in, uint64_t offset, uint8_t *to,
                   const uint8_t *from, size_t len)
{
    unsigned first = in ? c->out : 0, end = in ? c->out + c->in : c->out;
    size_t done = 0;
    for (unsigned i = first; i < end && done < len; i++) {
        const struct virtq_segment *s = &c->seg[i];
        size_t take;
        if (offset >= s->len) {
            offset -= s->len;
            continue;
        }
        take = MIN(len - done, s->len - (size_t)offset);
        if (in)
            memcpy((uint8_t *)s->base + offset, from + done, take);
        else
            memcpy(to + done, (const uint8_t *)s->base + offset, take);
        done += take;
        offset = 0;
    }
    return done;
}

size_t virtq_read(const struct virtq_chain *c, uint64_t offset, void *buf, size_t len)
{
    return copy(c, false, offset, buf, NULL, len);
}

size_t virtq_write(const struct virtq_chain *c, uint64_t offset, const void *buf, size_t len)
{
    return copy(c, true, offset, NULL, buf, len);
}
