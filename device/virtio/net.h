/* SPDX-License-Identifier: BSD-2-Clause */
/* Network card. [VIRTIO] 5.1. No offloads: frames of up to 1514 bytes. */
#ifndef DEVICE_VIRTIO_NET_H
#define DEVICE_VIRTIO_NET_H

#include "device/virtio/virtio.h"

struct virtio_net_config {
    uint8_t mac[6];
    /* Guest → outside. */
    void (*send)(void *ctx, const void *frame, size_t len);
    void *ctx;
};

WARN_UNUSED int virtio_net_create(struct virtio_device **out, const struct virtio_net_config *);
/* Outside → guest. Kept (up to 256 KiB) while the guest has no buffers; false: dropped. */
bool virtio_net_receive(struct virtio_device *, const void *frame, size_t len);

#endif
