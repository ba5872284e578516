/* SPDX-License-Identifier: BSD-2-Clause */
/* Network card. [VIRTIO] 1.2, 5.1 "Network Device". */
#include "device/virtio/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define F_MAC    BIT(5)
#define F_STATUS BIT(16)

enum {
    RX = 0,
    TX = 1,
    QUEUE_SIZE = 256,
    HEADER = 12,
    NUM_BUFFERS = 10, /* offset in the header */
    MAX_FRAME = 65550,
    MIN_FRAME = 14,
    BATCH = 1024,
    WAITING = 256 * 1024,
    STATUS_LINK_UP = 1,
    C_MAC = 0,
    C_STATUS = 6,
    C_LEN = 8
};

struct virtio_net {
    struct virtio_device vd;
    struct virtio_net_config c;
    struct virtq_chain chain;
    uint8_t frame[MAX_FRAME];
    /* Frames without a buffer yet: 4 bytes of length, then the frame; from the start. */
    uint8_t waiting[WAITING];
    size_t waiting_pos, waiting_end;
};

static struct virtio_net *net_of(struct virtio_device *vd)
{
    return container_of(vd, struct virtio_net, vd);
}

/* Puts a frame into the next receive buffer; false if there is none. */
static bool deliver(struct virtio_net *n, const void *frame, size_t len)
{
    uint8_t header[HEADER] = { 0 };
    if (!virtio_pop(&n->vd, RX, &n->chain))
        return false;
    if (n->chain.in_len < HEADER + len) {
        /* Too small for this frame, though the driver must offer 1526 bytes: the frame is lost. */
        if (n->chain.in_len < HEADER) {
            virtio_broken(&n->vd);
            return true;
        }
        virtq_unpop(&n->vd.queue[RX]);
        return true;
    }
    le16_put(header + NUM_BUFFERS, 1);
    virtq_write(&n->chain, 0, header, sizeof(header));
    virtq_write(&n->chain, HEADER, frame, len);
    virtio_push(&n->vd, RX, &n->chain, HEADER + len);
    return true;
}

bool virtio_net_receive(struct virtio_device *vd, const void *frame, size_t len)
{
    struct virtio_net *n = net_of(vd);
    if (!virtio_running(vd) || len < MIN_FRAME || len > MAX_FRAME)
        return false;
    if (n->waiting_pos == n->waiting_end) {
        if (deliver(n, frame, len)) {
            virtio_signal(vd, RX);
            return true;
        }
        n->waiting_pos = n->waiting_end = 0;
    }
    if (!virtio_running(vd) || len + 4 > WAITING - n->waiting_end)
        return false;
    le32_put(n->waiting + n->waiting_end, (uint32_t)len);
    memcpy(n->waiting + n->waiting_end + 4, frame, len);
    n->waiting_end += len + 4;
    return true;
}

static void refill(struct virtio_net *n)
{
    while (n->waiting_pos < n->waiting_end) {
        uint32_t len = le32(n->waiting + n->waiting_pos);
        if (!deliver(n, n->waiting + n->waiting_pos + 4, len))
            break;
        n->waiting_pos += len + 4;
    }
    if (n->waiting_pos) {
        memmove(n->waiting, n->waiting + n->waiting_pos, n->waiting_end - n->waiting_pos);
        n->waiting_end -= n->waiting_pos;
        n->waiting_pos = 0;
    }
    virtio_signal(&n->vd, RX);
}

static void transmit(struct virtio_net *n)
{
    unsigned i = 0;
    for (; i < BATCH && virtio_pop(&n->vd, TX, &n->chain); i++) {
        size_t len = virtq_read(&n->chain, HEADER, n->frame, sizeof(n->frame));
        if (n->chain.out_len < HEADER || n->chain.out_len - HEADER > MAX_FRAME) {
            virtio_broken(&n->vd);
            return;
        }
        virtio_push(&n->vd, TX, &n->chain, 0);
        if (len >= MIN_FRAME)
            n->c.send(n->c.ctx, n->frame, len);
    }
    virtio_signal(&n->vd, TX);
    if (i == BATCH)
        virtio_continue(&n->vd, TX);
}

static void net_notify(struct virtio_device *vd, unsigned q)
{
    if (q == RX)
        refill(net_of(vd));
    else
        transmit(net_of(vd));
}

static void net_config_read(struct virtio_device *vd, unsigned offset, void *buf, unsigned len)
{
    uint8_t c[C_LEN];
    memcpy(c + C_MAC, net_of(vd)->c.mac, 6);
    le16_put(c + C_STATUS, STATUS_LINK_UP);
    memcpy(buf, c + offset, len);
}

static void net_reset(struct virtio_device *vd)
{
    struct virtio_net *n = net_of(vd);
    n->waiting_pos = n->waiting_end = 0;
}

static void net_destroy_device(struct virtio_device *vd) { free(net_of(vd)); }

static const struct virtio_ops ops = {
    .name = "virtio-net",
    .id = VIRTIO_ID_NET,
    .pci_class = 0x020000,
    .queues = 2,
    .queue_size = QUEUE_SIZE,
    .config_read = net_config_read,
    .notify = net_notify,
    .reset = net_reset,
    .destroy = net_destroy_device,
};

int virtio_net_create(struct virtio_device **out, const struct virtio_net_config *c)
{
    struct virtio_net *n = calloc(1, sizeof(*n));
    if (!n)
        return -ENOMEM;
    n->c = *c;
    n->vd.ops = &ops;
    n->vd.config_len = C_LEN;
    n->vd.offered = F_MAC | F_STATUS;
    *out = &n->vd;
    return 0;
}
