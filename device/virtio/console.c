/* SPDX-License-Identifier: BSD-2-Clause */
/* Console with one port. [VIRTIO] 1.2, 5.3 "Console Device". */
#include "device/virtio/console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/state.h"

enum { RX = 0, TX = 1, QUEUE_SIZE = 64, INPUT = 1024, BATCH = 256, C_LEN = 12, C_MAX_PORTS = 4 };

struct virtio_console {
    struct virtio_device vd;
    struct char_backend out;
    struct virtq_chain chain;
    struct {
        uint8_t input[INPUT]; /* waits for receive buffers */
        uint16_t len;
    } s;
};

static struct virtio_console *console_of(struct virtio_device *vd)
{
    return container_of(vd, struct virtio_console, vd);
}

static void receive(struct virtio_console *c)
{
    while (c->s.len && virtio_pop(&c->vd, RX, &c->chain)) {
        size_t n = virtq_write(&c->chain, 0, c->s.input, c->s.len);
        c->s.len = (uint16_t)(c->s.len - n);
        memmove(c->s.input, c->s.input + n, c->s.len);
        virtio_push(&c->vd, RX, &c->chain, n);
    }
    virtio_signal(&c->vd, RX);
}

static void transmit(struct virtio_console *c)
{
    unsigned i = 0;
    for (; i < BATCH && virtio_pop(&c->vd, TX, &c->chain); i++) {
        for (unsigned k = 0; k < c->chain.out; k++) {
            const struct virtq_segment *s = &c->chain.seg[k];
            size_t done = 0, n;
            while (done < s->len &&
                   (n = c->out.write(c->out.ctx, (const uint8_t *)s->base + done, s->len - done)))
                done += n;
        }
        virtio_push(&c->vd, TX, &c->chain, 0);
    }
    virtio_signal(&c->vd, TX);
    if (i == BATCH)
        virtio_continue(&c->vd, TX);
}

static void console_notify(struct virtio_device *vd, unsigned q)
{
    struct virtio_console *c = console_of(vd);
    if (q == TX) {
        transmit(c);
        return;
    }
    receive(c);
    if (c->s.len < INPUT && c->out.resume)
        c->out.resume(c->out.ctx);
}

static size_t sink_room(void *dev)
{
    struct virtio_console *c = dev;
    return virtio_running(&c->vd) ? (size_t)(INPUT - c->s.len) : 0;
}

static void sink_input(void *dev, const uint8_t *buf, size_t len)
{
    struct virtio_console *c = dev;
    len = MIN(len, (size_t)(INPUT - c->s.len));
    memcpy(c->s.input + c->s.len, buf, len);
    c->s.len = (uint16_t)(c->s.len + len);
    receive(c);
}

static void console_config_read(struct virtio_device *vd, unsigned offset, void *buf, unsigned len)
{
    uint8_t c[C_LEN] = { 0 };
    (void)vd;
    le32_put(c + C_MAX_PORTS, 1);
    memcpy(buf, c + offset, len);
}

static void console_reset(struct virtio_device *vd) { console_of(vd)->s.len = 0; }

static int console_state(struct virtio_device *vd, struct state *s)
{
    struct virtio_console *c = console_of(vd);
    STATE_BYTES(s, &c->s, input);
    STATE_INT(s, &c->s, len, 0, INPUT);
    return s->error;
}

static void console_destroy(struct virtio_device *vd) { free(console_of(vd)); }

static const struct virtio_ops ops = {
    .name = "virtio-console",
    .id = VIRTIO_ID_CONSOLE,
    .pci_class = 0x078000,
    .queues = 2,
    .queue_size = QUEUE_SIZE,
    .config_read = console_config_read,
    .notify = console_notify,
    .reset = console_reset,
    .state = console_state,
    .destroy = console_destroy,
};

int virtio_console_create(struct virtio_device **out, const struct char_backend *backend)
{
    struct virtio_console *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->out = *backend;
    c->vd.ops = &ops;
    c->vd.config_len = C_LEN;
    *out = &c->vd;
    return 0;
}

struct char_sink virtio_console_sink(struct virtio_device *vd)
{
    return (struct char_sink){ sink_room, sink_input, console_of(vd) };
}
