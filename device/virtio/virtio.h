/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a virtio device is to its transport: features, a configuration space, queues, and calls
 * when the driver notifies. [VIRTIO] Virtual I/O Device (VIRTIO) Version 1.2.
 *
 * A device is made by its own create function (virtio_blk_create, …), then given to a transport
 * (virtio_pci_create), which owns it from then on. All under the device lock.
 */
#ifndef DEVICE_VIRTIO_VIRTIO_H
#define DEVICE_VIRTIO_VIRTIO_H

#include "device/virtio/queue.h"

enum { VIRTIO_QUEUES = 4, VIRTIO_NO_VECTOR = 0xffff };

/* Device types, [VIRTIO] 5 "Device Types". */
enum { VIRTIO_ID_NET = 1, VIRTIO_ID_BLOCK = 2, VIRTIO_ID_CONSOLE = 3, VIRTIO_ID_RNG = 4 };

/* Device status, [VIRTIO] 2.1. */
enum {
    VIRTIO_ACKNOWLEDGE = 1,
    VIRTIO_DRIVER = 2,
    VIRTIO_DRIVER_OK = 4,
    VIRTIO_FEATURES_OK = 8,
    VIRTIO_NEEDS_RESET = 64,
    VIRTIO_FAILED = 128
};

/* [VIRTIO] 6 "Reserved Feature Bits". */
#define VIRTIO_F_INDIRECT_DESC BIT(28)
#define VIRTIO_F_EVENT_IDX     BIT(29)
#define VIRTIO_F_VERSION_1     BIT(32)

struct virtio_device;

struct virtio_ops {
    const char *name;
    uint16_t id;
    uint32_t pci_class;
    unsigned queues;
    uint16_t queue_size;
    /* Device configuration, at most 64 bytes: written parts are checked and taken by the device. */
    void (*config_read)(struct virtio_device *, unsigned offset, void *buf, unsigned len);
    void (*config_write)(struct virtio_device *, unsigned offset, const void *buf, unsigned len);
    /* The driver made buffers available in queue q (or the bounded work of a former call is to be
     * continued). Only called when the queue is enabled and the driver is there. */
    void (*notify)(struct virtio_device *, unsigned q);
    void (*reset)(struct virtio_device *); /* the device's own state; may be NULL */
    int (*state)(struct virtio_device *, struct state *);
    void (*destroy)(struct virtio_device *);
};

/* First member of each device. */
struct virtio_device {
    const struct virtio_ops *ops;
    uint64_t offered; /* features, without those of the transport */
    unsigned config_len;
    struct virtqueue queue[VIRTIO_QUEUES];
    /* The transport's. */
    void (*interrupt)(struct virtio_device *, int queue); /* -1: configuration changed */
    struct device_timer *later; /* to continue long work from the event loop; may be NULL */
    uint16_t more;              /* queues that wait for that */
    struct {
        uint8_t status;
        uint64_t features; /* accepted by the driver */
    } s;
};

/* ---- for devices (virtio.c) ---- */
bool virtio_running(const struct virtio_device *); /* DRIVER_OK and not broken */
bool virtio_has(const struct virtio_device *, uint64_t feature);
/* Pops; a bad ring sets NEEDS_RESET and reads as empty. */
bool virtio_pop(struct virtio_device *, unsigned q, struct virtq_chain *);
void virtio_push(struct virtio_device *, unsigned q, const struct virtq_chain *, uint64_t written);
/* Interrupts the driver if it wants to know about what was pushed. */
void virtio_signal(struct virtio_device *, unsigned q);
/* The work on q was cut short: notify is called again from the event loop. */
void virtio_continue(struct virtio_device *, unsigned q);
void virtio_broken(struct virtio_device *);
void virtio_config_changed(struct virtio_device *);

/* ---- for transports ---- */
void virtio_init(struct virtio_device *, const struct guest_memory *);
void virtio_reset(struct virtio_device *);
uint64_t virtio_features(const struct virtio_device *); /* all that are offered */
void virtio_set_status(struct virtio_device *, uint8_t status);
void virtio_notify(struct virtio_device *, unsigned q);
void virtio_later(void *device); /* fire function of `later` */
int virtio_state(struct virtio_device *, struct state *);

#endif
