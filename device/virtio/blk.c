/* SPDX-License-Identifier: BSD-2-Clause */
/* Block device. [VIRTIO] 1.2, 5.2 "Block Device". */
#include "device/virtio/blk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/state.h"

#define F_SEG_MAX      BIT(2)
#define F_RO           BIT(5)
#define F_BLK_SIZE     BIT(6)
#define F_FLUSH        BIT(9)
#define F_TOPOLOGY     BIT(10)
#define F_CONFIG_WCE   BIT(11)
#define F_DISCARD      BIT(13)
#define F_WRITE_ZEROES BIT(14)

enum {
    SECTOR = 512,
    QUEUE_SIZE = 256,
    SEG_MAX = VIRTQ_SEGMENTS - 2, /* header and status take one each */
    BATCH = 1024,                 /* requests in a row before others get the lock */
    HEADER = 16,
    RANGE = 16,
    MAX_RANGES = 32,
    RANGE_UNMAP = 1,
    MAX_RANGE_SECTORS = 1 << 22, /* 2 GiB */
    /* types */
    T_IN = 0,
    T_OUT = 1,
    T_FLUSH = 4,
    T_GET_ID = 8,
    T_DISCARD = 11,
    T_WRITE_ZEROES = 13,
    /* status */
    S_OK = 0,
    S_IOERR = 1,
    S_UNSUPP = 2,
    /* configuration */
    C_CAPACITY = 0,
    C_SEG_MAX = 12,
    C_BLK_SIZE = 20,
    C_PHYSICAL_EXP = 24,
    C_MIN_IO = 26,
    C_OPT_IO = 28,
    C_WRITEBACK = 32,
    C_MAX_DISCARD_SECTORS = 36,
    C_MAX_DISCARD_SEG = 40,
    C_DISCARD_ALIGNMENT = 44,
    C_MAX_ZEROES_SECTORS = 48,
    C_MAX_ZEROES_SEG = 52,
    C_ZEROES_MAY_UNMAP = 56,
    C_LEN = 60
};

struct virtio_blk {
    struct virtio_device vd;
    struct virtio_blk_config c;
    struct virtq_chain chain;
    struct virtq_segment part[VIRTQ_SEGMENTS];
    unsigned warned;
    struct {
        uint8_t writeback;
    } s;
};

static struct virtio_blk *blk_of(struct virtio_device *vd)
{
    return container_of(vd, struct virtio_blk, vd);
}

/* 5.2.6.2: without a way to flush each write must be on the disk when it completes. */
static bool write_through(struct virtio_blk *b)
{
    return virtio_has(&b->vd, F_CONFIG_WCE) ? !b->s.writeback : !virtio_has(&b->vd, F_FLUSH);
}

static uint8_t result(struct virtio_blk *b, int e)
{
    if (e && log_limit(&b->warned, 8))
        log_warn(LOG_BLOCK, "disk: %s", e == -EIO ? "input/output error" : strerror(-e));
    return e ? S_IOERR : S_OK;
}

static uint8_t transfer(struct virtio_blk *b, uint64_t sector, bool write)
{
    const struct blk_backend *k = &b->c.backend;
    uint64_t len = write ? b->chain.out_len - HEADER : b->chain.in_len - 1, offset;
    unsigned n;
    int e;
    if (len % SECTOR || __builtin_mul_overflow(sector, (uint64_t)SECTOR, &offset) ||
        !range_ok(offset, len, b->c.size) || (write && b->c.readonly))
        return S_IOERR;
    n = virtq_slice(&b->chain, !write, write ? HEADER : 0, len, b->part);
    e = write ? k->write(k->ctx, offset, b->part, n) : k->read(k->ctx, offset, b->part, n);
    if (!e && write && write_through(b))
        e = k->flush(k->ctx);
    return result(b, e);
}

static uint8_t ranges(struct virtio_blk *b, bool zero)
{
    const struct blk_backend *k = &b->c.backend;
    uint64_t len = b->chain.out_len - HEADER;
    if (!len || len % RANGE || len / RANGE > MAX_RANGES || b->c.readonly)
        return S_IOERR;
    for (uint64_t pos = 0; pos < len; pos += RANGE) {
        uint8_t r[RANGE];
        uint64_t sector, offset, bytes;
        uint32_t flags;
        int e;
        virtq_read(&b->chain, HEADER + pos, r, sizeof(r));
        sector = le64(r);
        bytes = le32(r + 8) * (uint64_t)SECTOR;
        flags = le32(r + 12);
        /* 5.2.6.2: other bits, and unmap with a discard, are unsupported. */
        if (flags & ~(uint32_t)RANGE_UNMAP || (!zero && flags))
            return S_UNSUPP;
        if (bytes > MAX_RANGE_SECTORS * (uint64_t)SECTOR ||
            __builtin_mul_overflow(sector, (uint64_t)SECTOR, &offset) ||
            !range_ok(offset, bytes, b->c.size))
            return S_IOERR;
        e = k->discard(k->ctx, offset, bytes, zero);
        if (!e && zero && write_through(b))
            e = k->flush(k->ctx);
        if (e && zero)
            return result(b, e); /* a discard is only a hint */
    }
    return S_OK;
}

/* Carries the request in b->chain out; returns the bytes written to the guest. */
static uint64_t request(struct virtio_blk *b)
{
    uint8_t h[HEADER], status;
    uint64_t data = b->chain.in_len - 1;
    char id[sizeof(b->c.id)];

    virtq_read(&b->chain, 0, h, sizeof(h));
    switch (le32(h)) {
    case T_IN: status = transfer(b, le64(h + 8), false); break;
    case T_OUT: status = transfer(b, le64(h + 8), true); break;
    case T_FLUSH: status = result(b, b->c.backend.flush(b->c.backend.ctx)); break;
    case T_GET_ID:
        memcpy(id, b->c.id, sizeof(id));
        virtq_write(&b->chain, 0, id, (size_t)MIN(data, sizeof(id)));
        status = S_OK;
        break;
    case T_DISCARD: status = ranges(b, false); break;
    case T_WRITE_ZEROES: status = ranges(b, true); break;
    default: status = S_UNSUPP; break;
    }
    virtq_write(&b->chain, data, &status, 1);
    return data + 1; /* the status byte comes last, so all before it counts */
}

static void blk_notify(struct virtio_device *vd, unsigned q)
{
    struct virtio_blk *b = blk_of(vd);
    unsigned n = 0;
    for (; n < BATCH && virtio_pop(vd, q, &b->chain); n++) {
        if (b->chain.out_len < HEADER || !b->chain.in_len) {
            virtio_broken(vd); /* nowhere to put a status */
            return;
        }
        virtio_push(vd, q, &b->chain, request(b));
    }
    virtio_signal(vd, q);
    if (n == BATCH)
        virtio_continue(vd, q);
}

static void blk_config_read(struct virtio_device *vd, unsigned offset, void *buf, unsigned len)
{
    struct virtio_blk *b = blk_of(vd);
    uint8_t c[C_LEN] = { 0 };
    le64_put(c + C_CAPACITY, b->c.size / SECTOR);
    le32_put(c + C_SEG_MAX, SEG_MAX);
    le32_put(c + C_BLK_SIZE, SECTOR);
    c[C_PHYSICAL_EXP] = 3; /* 4 KiB, what host file systems like */
    le16_put(c + C_MIN_IO, 8);
    le32_put(c + C_OPT_IO, 0);
    c[C_WRITEBACK] = b->s.writeback;
    le32_put(c + C_MAX_DISCARD_SECTORS, MAX_RANGE_SECTORS);
    le32_put(c + C_MAX_DISCARD_SEG, MAX_RANGES);
    le32_put(c + C_DISCARD_ALIGNMENT, 8);
    le32_put(c + C_MAX_ZEROES_SECTORS, MAX_RANGE_SECTORS);
    le32_put(c + C_MAX_ZEROES_SEG, MAX_RANGES);
    c[C_ZEROES_MAY_UNMAP] = 1;
    memcpy(buf, c + offset, len);
}

static void blk_config_write(struct virtio_device *vd, unsigned offset, const void *buf,
                             unsigned len)
{
    struct virtio_blk *b = blk_of(vd);
    const uint8_t *p = buf;
    if (offset == C_WRITEBACK && len == 1 && virtio_has(vd, F_CONFIG_WCE)) {
        b->s.writeback = *p & 1;
        if (!b->s.writeback)
            result(b, b->c.backend.flush(b->c.backend.ctx));
    }
}

static void blk_reset(struct virtio_device *vd) { blk_of(vd)->s.writeback = 1; }

static int blk_state(struct virtio_device *vd, struct state *s)
{
    struct virtio_blk *b = blk_of(vd);
    STATE_INT(s, &b->s, writeback, 0, 1);
    return s->error;
}

static void blk_destroy(struct virtio_device *vd) { free(blk_of(vd)); }

static const struct virtio_ops ops = {
    .name = "virtio-blk",
    .id = VIRTIO_ID_BLOCK,
    .pci_class = 0x010000,
    .queues = 1,
    .queue_size = QUEUE_SIZE,
    .config_read = blk_config_read,
    .config_write = blk_config_write,
    .notify = blk_notify,
    .reset = blk_reset,
    .state = blk_state,
    .destroy = blk_destroy,
};

int virtio_blk_create(struct virtio_device **out, const struct virtio_blk_config *c)
{
    struct virtio_blk *b;
    if (!c->size || c->size % SECTOR)
        return -EINVAL;
    b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->c = *c;
    b->vd.ops = &ops;
    b->vd.config_len = C_LEN;
    b->vd.offered = F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | F_CONFIG_WCE |
                    (c->readonly ? F_RO : F_DISCARD | F_WRITE_ZEROES);
    *out = &b->vd;
    return 0;
}
