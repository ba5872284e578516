/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Split virtqueues from the device's side; the only place where rings are walked. [VIRTIO] 1.2
 * "Split Virtqueues". Each value of the driver's is copied once, then checked; what cannot be is
 * -EBADMSG, and the queue yields nothing more until it is reset.
 */
#ifndef DEVICE_VIRTIO_QUEUE_H
#define DEVICE_VIRTIO_QUEUE_H

#include "device/device.h"

enum { VIRTQ_MAX = 256, VIRTQ_SEGMENTS = VIRTQ_MAX };

/* One piece of guest memory. The first two members are laid out as struct iovec. */
struct virtq_segment {
    void *base;
    size_t len;
    uint64_t gpa;
};

/* A request: `out` segments the device reads, then `in` segments it writes. */
struct virtq_chain {
    uint16_t head;
    unsigned out, in;
    uint64_t out_len, in_len;
    struct virtq_segment seg[VIRTQ_SEGMENTS];
};

struct virtqueue {
    const struct guest_memory *mem;
    bool indirect, event_idx; /* negotiated features */
    struct {
        uint16_t max;  /* power of 2 */
        uint16_t size; /* power of 2, at most max */
        bool enabled, broken;
        uint64_t desc, avail, used;
        uint16_t last_avail; /* next entry of the available ring to take */
        uint16_t used_idx;
        uint16_t signalled; /* used_idx when the driver was last told */
    } s;
};

void virtq_init(struct virtqueue *, const struct guest_memory *, uint16_t max);
void virtq_reset(struct virtqueue *);
/* Checks size, alignment and that the rings are RAM; the queue then runs. -EBADMSG. */
WARN_UNUSED int virtq_enable(struct virtqueue *);
/* Takes the next request: 1, 0 if there is none, -EBADMSG. Having returned 0 the driver will
 * notify when there is more. */
WARN_UNUSED int virtq_pop(struct virtqueue *, struct virtq_chain *);
/* Gives back the last request taken, as if it had not been (nothing pushed since). */
void virtq_unpop(struct virtqueue *);
/* Returns a request with `written` bytes filled from the start of its `in` part. -EBADMSG. */
WARN_UNUSED int virtq_push(struct virtqueue *, const struct virtq_chain *, uint64_t written);
/* After pushes: whether the driver wants an interrupt now. */
bool virtq_wants_interrupt(struct virtqueue *);

/* Copies; return the number of bytes, short only at the chain's end. */
size_t virtq_read(const struct virtq_chain *, uint64_t offset, void *buf, size_t len);
size_t virtq_write(const struct virtq_chain *, uint64_t offset, const void *buf, size_t len);
/* The part [offset, offset+len) of the `in` or `out` segments into seg[]; their number. */
unsigned virtq_slice(const struct virtq_chain *, bool in, uint64_t offset, uint64_t len,
                     struct virtq_segment seg[VIRTQ_SEGMENTS]);

#endif
