/* SPDX-License-Identifier: BSD-2-Clause */
/* Entropy device. [VIRTIO] 1.2, 5.4 "Entropy Device". */
#include "device/virtio/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE_SIZE = 16, BATCH = 64, MAX_FILL = 4096 /* for one request: it may be short */ };

struct virtio_rng {
    struct virtio_device vd;
    struct virtio_rng_config c;
    struct virtq_chain chain;
};

static void rng_notify(struct virtio_device *vd, unsigned q)
{
    struct virtio_rng *r = container_of(vd, struct virtio_rng, vd);
    unsigned i = 0;
    for (; i < BATCH && virtio_pop(vd, q, &r->chain); i++) {
        uint8_t buf[MAX_FILL];
        size_t n = r->c.fill(r->c.ctx, buf, (size_t)MIN(r->chain.in_len, sizeof(buf)));
        virtq_write(&r->chain, 0, buf, n);
        virtio_push(vd, q, &r->chain, n);
    }
    virtio_signal(vd, q);
    if (i == BATCH)
        virtio_continue(vd, q);
}

static void rng_destroy(struct virtio_device *vd) { free(container_of(vd, struct virtio_rng, vd)); }

static const struct virtio_ops ops = {
    .name = "virtio-rng",
    .id = VIRTIO_ID_RNG,
    .pci_class = 0x00ff00,
    .queues = 1,
    .queue_size = QUEUE_SIZE,
    .notify = rng_notify,
    .destroy = rng_destroy,
};

int virtio_rng_create(struct virtio_device **out, const struct virtio_rng_config *c)
{
    struct virtio_rng *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->c = *c;
    r->vd.ops = &ops;
    *out = &r->vd;
    return 0;
}
