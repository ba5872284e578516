/* SPDX-License-Identifier: BSD-2-Clause */
/* Random access streams into every legacy device, with time passing, input arriving, timers firing
 * and states saved and loaded between. */
#include <stdlib.h>

#include "device/acpi_pm.h"
#include "device/i8042.h"
#include "device/ports.h"
#include "device/rtc.h"
#include "device/uart16550.h"
#include "device/vgatext.h"
#include "tests/unit/devtest.h"

struct all {
    struct uart16550 uart;
    struct rtc rtc;
    struct i8042 i8042;
    struct acpi_pm pm;
    struct port92 port92;
    struct debugcon debugcon;
    struct debug_exit debug_exit;
    struct post post;
    struct vgatext vga;
};

static void init(struct all *a)
{
    const struct char_backend out = { .write = env_write, .resume = env_resume };
    const struct power_wire power = { .request = env_power };
    env_init();
    memset(a, 0, sizeof(*a));
    a->uart.irq = env_wire(4), a->uart.out = out, a->uart.clock = &env_clock;
    a->uart.retry.set = a->rtc.timer.set = a->pm.timer.set = env_timer_set;
    uart16550_init(&a->uart);
    a->rtc.irq = env_wire(8), a->rtc.clock = &env_clock, a->rtc.memory_low = MiB(64);
    rtc_init(&a->rtc);
    a->i8042.irq_keyboard = env_wire(1), a->i8042.irq_aux = env_wire(12), a->i8042.power = power;
    i8042_init(&a->i8042);
    a->pm.sci = env_wire(9), a->pm.clock = &env_clock, a->pm.power = power;
    acpi_pm_init(&a->pm);
    a->port92.power = a->debug_exit.power = power;
    port92_init(&a->port92);
    debug_exit_init(&a->debug_exit);
    a->debugcon.out = a->vga.out = out;
    debugcon_init(&a->debugcon);
    post_init(&a->post);
    vgatext_init(&a->vga);
}

/* What the bus promises: a power-of-two size, no wider than max_size, one of its regions. */
static void access_device(struct device *d, unsigned region, uint64_t offset, unsigned size,
                          uint64_t val, bool write)
{
    if (d->ops->max_size && size > d->ops->max_size)
        size = d->ops->max_size;
    (void)d->ops->access(d, region, offset, size, &val, write);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct all a;
    init(&a);
    struct device *const device[] = { &a.uart.dev, &a.rtc.dev,      &a.i8042.dev,
                                      &a.pm.dev,   &a.port92.dev,   &a.vga.dev,
                                      &a.post.dev, &a.debugcon.dev, &a.debug_exit.dev };
    struct device_timer *const timer[] = { &a.uart.retry, &a.rtc.timer, &a.pm.timer };
    struct char_sink sink = uart16550_sink(&a.uart);

    for (; size >= 8; data += 8, size -= 8) {
        unsigned n = data[0] % (ARRAY_LEN(device) + 5);
        uint64_t val = le32(data + 4);
        if (n < ARRAY_LEN(device)) {
            bool write = data[1] & 1;
            unsigned region = data[1] >> 1 & 1, width = 1u << (data[1] >> 2 & 3);
            uint64_t offset = device[n] == &a.vga.dev ? le16(data + 2) : data[2] & 0x1f;
            access_device(device[n], region, offset, width, val, write);
            continue;
        }
        switch (n - ARRAY_LEN(device)) {
        case 0:
            env.now += val << (data[1] & 31);
            env.wall += (int64_t)(val << (data[1] & 31)) / 1000000000;
            env.out_room = data[2];
            break;
        case 1:
            timer[data[1] % ARRAY_LEN(timer)]->fire(timer[data[1] % ARRAY_LEN(timer)]->arg);
            break;
        case 2: sink.input(sink.dev, data, MIN(sink.room(sink.dev), 8u)); break;
        case 3:
            if (device[data[1] % ARRAY_LEN(device)]->ops->reset)
                device[data[1] % ARRAY_LEN(device)]->ops->reset(
                    device[data[1] % ARRAY_LEN(device)]);
            else
                acpi_pm_power_button(&a.pm);
            break;
        case 4: {
            struct device *d = device[data[1] % ARRAY_LEN(device)];
            if (!d->ops->state)
                break;
            if (dev_save(d))
                abort(); /* what a guest can do must be within what we accept back */
            if (data[2] & 1 && env_state.count) { /* a damaged file */
                env_state.field[data[3] % env_state.count].v = val;
                memset(env_state.field[data[3] % env_state.count].bytes, data[4], 64);
                if (dev_load(d))
                    init(&a);
            } else if (dev_load(d)) {
                abort();
            }
            break;
        }
        }
    }
    return 0;
}
