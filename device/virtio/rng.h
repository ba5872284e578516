/* SPDX-License-Identifier: BSD-2-Clause */
/* Entropy device. [VIRTIO] 5.4. */
#ifndef DEVICE_VIRTIO_RNG_H
#define DEVICE_VIRTIO_RNG_H

#include "device/virtio/virtio.h"

/* fill: puts len random bytes, returns how many it could (at least 1 for the guest's sake). */
struct virtio_rng_config {
    size_t (*fill)(void *ctx, void *buf, size_t len);
    void *ctx;
};

WARN_UNUSED int virtio_rng_create(struct virtio_device **out, const struct virtio_rng_config *);

#endif
