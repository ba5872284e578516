/* SPDX-License-Identifier: BSD-2-Clause */
/* System control port A ([PS/2]): fast reset and A20 gate. A20 is always on; the bit only
 * remembers. */
#include "device/ports.h"
#include "lib/state.h"

#define PORT92_RESET BIT(0)
#define PORT92_A20   BIT(1)

static enum device_result port92_access(struct device *dev, unsigned region, uint64_t offset,
                                        unsigned size, uint64_t *val, bool write)
{
    struct port92 *p = container_of(dev, struct port92, dev);
    (void)region;
    if (offset || size != 1)
        return DEVICE_UNMAPPED;
    if (!write) {
        *val = p->s.value;
        return DEVICE_OK;
    }
    uint8_t rising = (uint8_t)(*val & ~p->s.value);
    p->s.value = (uint8_t)*val;
    if (rising & PORT92_RESET)
        power_request(&p->power, POWER_RESET, 0);
    return DEVICE_OK;
}

static void port92_reset(struct device *dev)
{
    container_of(dev, struct port92, dev)->s.value = PORT92_A20;
}

static int port92_state(struct device *dev, struct state *st)
{
    struct port92 *p = container_of(dev, struct port92, dev);
    STATE_INT(st, &p->s, value, 0, 0xff);
    return st->error;
}

static const struct device_ops port92_ops = {
    .name = "port92",
    .access = port92_access,
    .reset = port92_reset,
    .state = port92_state,
    .max_size = 1,
};

void port92_init(struct port92 *p)
{
    p->dev.ops = &port92_ops;
    port92_reset(&p->dev);
}
