/* SPDX-License-Identifier: BSD-2-Clause */
/* Device status, features and queues: what all virtio devices and transports share. */
#include "device/virtio/virtio.h"

#include <string.h>

#include "lib/log.h"
#include "lib/state.h"

void virtio_init(struct virtio_device *d, const struct guest_memory *mem)
{
    for (unsigned i = 0; i < d->ops->queues; i++)
        virtq_init(&d->queue[i], mem, d->ops->queue_size);
    virtio_reset(d);
}

void virtio_reset(struct virtio_device *d)
{
    memset(&d->s, 0, sizeof(d->s));
    d->more = 0;
    for (unsigned i = 0; i < d->ops->queues; i++)
        virtq_reset(&d->queue[i]);
    if (d->ops->reset)
        d->ops->reset(d);
}

uint64_t virtio_features(const struct virtio_device *d)
{
    return d->offered | VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC;
}

bool virtio_running(const struct virtio_device *d)
{
    return (d->s.status & (VIRTIO_DRIVER_OK | VIRTIO_NEEDS_RESET)) == VIRTIO_DRIVER_OK;
}

bool virtio_has(const struct virtio_device *d, uint64_t feature)
{
    return d->s.status & VIRTIO_FEATURES_OK && d->s.features & feature;
}

void virtio_set_status(struct virtio_device *d, uint8_t status)
{
    uint8_t added = status & (uint8_t)~d->s.status;
    if (!status) {
        virtio_reset(d);
        return;
    }
    /* 2.1.1: the driver only adds bits; NEEDS_RESET is the device's. */
    added &= (uint8_t)~VIRTIO_NEEDS_RESET;
    if (added & VIRTIO_FEATURES_OK &&
        (d->s.features & ~virtio_features(d) || !(d->s.features & VIRTIO_F_VERSION_1)))
        added &= (uint8_t)~VIRTIO_FEATURES_OK;
    d->s.status |= added;
    if (added & VIRTIO_FEATURES_OK) {
        for (unsigned i = 0; i < d->ops->queues; i++) {
            d->queue[i].indirect = d->s.features & VIRTIO_F_INDIRECT_DESC;
            d->queue[i].event_idx = d->s.features & VIRTIO_F_EVENT_IDX;
        }
    }
    if (added & VIRTIO_DRIVER_OK)
        for (unsigned i = 0; i < d->ops->queues; i++)
            virtio_notify(d, i); /* buffers that were there before */
}

void virtio_notify(struct virtio_device *d, unsigned q)
{
    if (q < d->ops->queues && virtio_running(d) && d->queue[q].s.enabled)
        d->ops->notify(d, q);
}

void virtio_later(void *device)
{
    struct virtio_device *d = device;
    uint16_t more = d->more;
    d->more = 0;
    for (unsigned i = 0; i < d->ops->queues; i++)
        if (more & BIT(i))
            virtio_notify(d, i);
}

void virtio_continue(struct virtio_device *d, unsigned q)
{
    d->more |= (uint16_t)BIT(q);
    if (d->later && d->later->set)
        d->later->set(d->later, 0);
}

void virtio_broken(struct virtio_device *d)
{
    if (d->s.status & VIRTIO_NEEDS_RESET)
        return;
    trace(LOG_VIRTIO, "%s: bad ring or request: needs reset", d->ops->name);
    d->s.status |= VIRTIO_NEEDS_RESET;
    if (d->s.status & VIRTIO_DRIVER_OK)
        d->interrupt(d, -1);
}

bool virtio_pop(struct virtio_device *d, unsigned q, struct virtq_chain *c)
{
    int e = virtio_running(d) ? virtq_pop(&d->queue[q], c) : 0;
    if (e < 0)
        virtio_broken(d);
    return e > 0;
}

void virtio_push(struct virtio_device *d, unsigned q, const struct virtq_chain *c, uint64_t written)
{
    if (virtq_push(&d->queue[q], c, written))
        virtio_broken(d);
}

void virtio_signal(struct virtio_device *d, unsigned q)
{
    if (virtq_wants_interrupt(&d->queue[q]))
        d->interrupt(d, (int)q);
}

void virtio_config_changed(struct virtio_device *d)
{
    if (virtio_running(d))
        d->interrupt(d, -1);
}

int virtio_state(struct virtio_device *d, struct state *s)
{
    STATE_INT(s, &d->s, status, 0, 0xff);
    STATE_INT(s, &d->s, features, 0, UINT64_MAX);
    for (unsigned i = 0; i < d->ops->queues; i++) {
        struct virtqueue *q = &d->queue[i];
        STATE_INT(s, &q->s, size, 1, q->s.max);
        STATE_INT(s, &q->s, broken, 0, 1);
        STATE_INT(s, &q->s, enabled, 0, 1);
        STATE_INT(s, &q->s, desc, 0, UINT64_MAX);
        STATE_INT(s, &q->s, avail, 0, UINT64_MAX);
        STATE_INT(s, &q->s, used, 0, UINT64_MAX);
        STATE_INT(s, &q->s, last_avail, 0, UINT16_MAX);
        STATE_INT(s, &q->s, used_idx, 0, UINT16_MAX);
        STATE_INT(s, &q->s, signalled, 0, UINT16_MAX);
        if (!s->loading || s->error)
            continue;
        d->s.features &= virtio_features(d);
        q->indirect = virtio_has(d, VIRTIO_F_INDIRECT_DESC);
        q->event_idx = virtio_has(d, VIRTIO_F_EVENT_IDX);
        if (q->s.enabled && !q->s.broken && virtq_enable(q))
            virtio_broken(d);
    }
    if (!s->error && d->ops->state)
        s->error = d->ops->state(d, s);
    return s->error;
}
