/* SPDX-License-Identifier: BSD-2-Clause */
/* Console with one port. [VIRTIO] 5.3. */
#ifndef DEVICE_VIRTIO_CONSOLE_H
#define DEVICE_VIRTIO_CONSOLE_H

#include "device/virtio/virtio.h"

WARN_UNUSED int virtio_console_create(struct virtio_device **out, const struct char_backend *);
/* Where the host side delivers input. */
struct char_sink virtio_console_sink(struct virtio_device *);

#endif
