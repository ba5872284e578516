/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz: the input is a program of register accesses, memory writes and ring set-ups for one of the
 * virtio devices. Nothing may crash, hang or write outside guest memory. */
#include "tests/unit/virtio_rig.h"

#include <errno.h>

#include "device/virtio/blk.h"
#include "device/virtio/console.h"
#include "device/virtio/net.h"
#include "device/virtio/rng.h"

enum { DISK = 1 << 16 };

static int disk_rw(void *ctx, uint64_t off, const struct virtq_segment *s, unsigned n)
{
    uint64_t len = 0;
    (void)ctx;
    for (unsigned i = 0; i < n; i++) {
        len += s[i].len;
        *(volatile uint8_t *)s[i].base;
        ((volatile uint8_t *)s[i].base)[s[i].len - 1];
    }
    if (!range_ok(off, len, DISK))
        abort();
    return 0;
}
static int disk_flush(void *ctx)
{
    (void)ctx;
    return 0;
}
static int disk_discard(void *ctx, uint64_t off, uint64_t len, bool zero)
{
    (void)ctx;
    (void)zero;
    if (!range_ok(off, len, DISK))
        abort();
    return 0;
}
static void net_send(void *ctx, const void *frame, size_t len)
{
    (void)ctx;
    if (len) {
        *(const volatile uint8_t *)frame;
        ((const volatile uint8_t *)frame)[len - 1];
    }
}
static size_t char_write(void *ctx, const void *buf, size_t len)
{
    (void)ctx;
    (void)buf;
    return len;
}
static size_t fill(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    memset(buf, 1, len);
    return len;
}

static int make(unsigned kind, struct virtio_device **d)
{
    const struct virtio_blk_config blk = {
        { disk_rw, disk_rw, disk_flush, disk_discard, NULL }, DISK, false, "x"
    };
    const struct virtio_net_config net = { { 2 }, net_send, NULL };
    const struct char_backend chr = { char_write, NULL, NULL };
    const struct virtio_rng_config rng = { fill, NULL };
    switch (kind & 3) {
    case 0: return virtio_blk_create(d, &blk);
    case 1: return virtio_net_create(d, &net);
    case 2: return virtio_console_create(d, &chr);
    default: return virtio_rng_create(d, &rng);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned queues[] = { 1, 2, 2, 1 };
    const uint8_t *p = data + 2, *end = data + size;
    struct virtio_device *d;
    struct char_sink sink;
    unsigned kind;
    if (size < 2 || make(kind = data[0] & 3, &d))
        return 0;
    sink = virtio_console_sink(d);
    if (!rig_start(d, data[1] & 1 ? VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX : 0, queues[kind]))
        abort();
    while (end - p >= 8) {
        unsigned op = p[0], size_log = p[1] & 3, q = p[1] >> 2 & 1;
        uint32_t a = le16(p + 2), v = le32(p + 4);
        p += 8;
        switch (op % 8) {
        case 0: rig_set(a & 0x3fff, 1u << size_log, v); break;
        case 1: rig_get(a & 0x3fff, 1u << size_log); break;
        case 2: le32_put(rig_ram + (a & 0xfffc), v); break; /* rings lie in the low 64 KiB */
        case 3:
            rig_desc_put(rig_desc(q), a % RIG_SIZE, RIG_DATA + (v & 0xffff), v >> 20,
                         (uint16_t)(a >> 4), (uint16_t)(a >> 8) % RIG_SIZE);
            break;
        case 4:
            rig_offer(q, (uint16_t)(a % (RIG_SIZE + 1)));
            rig_kick(q);
            break;
        case 5: rig_set_config(a & 0xff, MIN(1u << size_log, 4u), v); break;
        case 6:
            if (kind == 1)
                virtio_net_receive(d, rig_ram, a);
            else if (kind == 2 && sink.room(sink.dev))
                sink.input(sink.dev, rig_ram, MIN(sink.room(sink.dev), (size_t)a));
            break;
        default: memcpy(rig_ram + RIG_DATA + (a & 0xfff8), &v, 4); break;
        }
    }
    rig_close();
    return 0;
}
