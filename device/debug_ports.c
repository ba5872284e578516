/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports for tests and for guests that have nothing else: debug console, exit, POST code. */
#include "device/ports.h"
#include "lib/state.h"

enum { DEBUGCON_HERE = 0xe9 };

static enum device_result debugcon_access(struct device *dev, unsigned region, uint64_t offset,
                                          unsigned size, uint64_t *val, bool write)
{
    struct debugcon *d = container_of(dev, struct debugcon, dev);
    (void)region;
    if (offset || size != 1)
        return DEVICE_UNMAPPED;
    if (!write) {
        *val = DEBUGCON_HERE;
    } else if (d->out.write) {
        uint8_t byte = (uint8_t)*val;
        d->out.write(d->out.ctx, &byte, 1);
    }
    return DEVICE_OK;
}

static const struct device_ops debugcon_ops = {
    .name = "debugcon",
    .access = debugcon_access,
    .max_size = 1,
};

void debugcon_init(struct debugcon *d) { d->dev.ops = &debugcon_ops; }

static enum device_result debug_exit_access(struct device *dev, unsigned region, uint64_t offset,
                                            unsigned size, uint64_t *val, bool write)
{
    struct debug_exit *d = container_of(dev, struct debug_exit, dev);
    (void)region;
    if (offset || size > 4)
        return DEVICE_UNMAPPED;
    if (write)
        power_request(&d->power, POWER_EXIT, (int)((uint32_t)*val << 1 | 1));
    else
        *val = 0;
    return DEVICE_OK;
}

static const struct device_ops debug_exit_ops = {
    .name = "debug_exit",
    .access = debug_exit_access,
    .max_size = 4,
};

void debug_exit_init(struct debug_exit *d) { d->dev.ops = &debug_exit_ops; }

static enum device_result post_access(struct device *dev, unsigned region, uint64_t offset,
                                      unsigned size, uint64_t *val, bool write)
{
    struct post *p = container_of(dev, struct post, dev);
    (void)region;
    if (offset || size != 1)
        return DEVICE_UNMAPPED;
    if (write)
        p->s.value = (uint8_t)*val;
    else
        *val = p->s.value;
    return DEVICE_OK;
}

static void post_reset(struct device *dev) { container_of(dev, struct post, dev)->s.value = 0; }

static int post_state(struct device *dev, struct state *st)
{
    struct post *p = container_of(dev, struct post, dev);
    STATE_INT(st, &p->s, value, 0, 0xff);
    return st->error;
}

static const struct device_ops post_ops = {
    .name = "post",
    .access = post_access,
    .reset = post_reset,
    .state = post_state,
    .max_size = 1,
};

void post_init(struct post *p)
{
    p->dev.ops = &post_ops;
    post_reset(&p->dev);
}
