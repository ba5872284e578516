/* SPDX-License-Identifier: BSD-2-Clause */
/* The one-register devices. */
#include "device/ports.h"

#include "devtest.h"
#include "unit.h"

int main(void)
{
    struct port92 a = { .power = { .request = env_power } };
    struct debugcon d = { .out = { .write = env_write } };
    struct debug_exit e = { .power = { .request = env_power } };
    struct post p = { .s = { 0 } };

    env_init();
    port92_init(&a);
    CHECK_EQ(dev_read(&a.dev, 0, 0, 1), 2);
    dev_write(&a.dev, 0, 0, 1, 0);
    CHECK_EQ(env.power, -1);
    dev_write(&a.dev, 0, 0, 1, 3);
    CHECK_EQ(env.power, POWER_RESET);
    env.power = -1;
    dev_write(&a.dev, 0, 0, 1, 1); /* no edge */
    CHECK_EQ(env.power, -1);
    CHECK_EQ(dev_save(&a.dev), 0);
    CHECK_EQ(dev_load(&a.dev), 0);

    debugcon_init(&d);
    CHECK_EQ(dev_read(&d.dev, 0, 0, 1), 0xe9);
    dev_write(&d.dev, 0, 0, 1, 'o');
    dev_write(&d.dev, 0, 0, 1, 'k');
    CHECK(!strcmp(env.out, "ok"));

    debug_exit_init(&e);
    dev_write(&e.dev, 0, 0, 1, 0);
    CHECK_EQ(env.power, POWER_EXIT);
    CHECK_EQ(env.power_value, 1);
    dev_write(&e.dev, 0, 0, 4, 0x10);
    CHECK_EQ(env.power_value, 0x21);
    dev_write(&e.dev, 0, 0, 4, 0xffffffff);
    CHECK_EQ(dev_read(&e.dev, 0, 4, 1), ~0ull);

    post_init(&p);
    dev_write(&p.dev, 0, 0, 1, 0x42);
    CHECK_EQ(dev_read(&p.dev, 0, 0, 1), 0x42);
    p.dev.ops->reset(&p.dev);
    CHECK_EQ(dev_read(&p.dev, 0, 0, 1), 0);
    return unit_done("ports");
}
