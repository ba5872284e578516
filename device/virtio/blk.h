/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block device. [VIRTIO] 5.2. Requests are carried out on the thread that notifies, with the device
 * lock held: simple and exact; the vCPU waits for its own disk.
 */
#ifndef DEVICE_VIRTIO_BLK_H
#define DEVICE_VIRTIO_BLK_H

#include "device/virtio/virtio.h"

/* The image: whole range inside, 0 or -errno. */
struct blk_backend {
    int (*read)(void *ctx, uint64_t offset, const struct virtq_segment *, unsigned n);
    int (*write)(void *ctx, uint64_t offset, const struct virtq_segment *, unsigned n);
    int (*flush)(void *ctx);
    /* zero: the range reads as zeroes afterwards; else a hint. */
    int (*discard)(void *ctx, uint64_t offset, uint64_t len, bool zero);
    void *ctx;
};

struct virtio_blk_config {
    struct blk_backend backend;
    uint64_t size; /* bytes, a multiple of 512 */
    bool readonly;
    char id[20]; /* serial number, padded with zeroes */
};

WARN_UNUSED int virtio_blk_create(struct virtio_device **out, const struct virtio_blk_config *);

#endif
