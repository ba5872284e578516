/* SPDX-License-Identifier: BSD-2-Clause */
/* The keyboard controller as Linux probes it, reset, and odd orders. */
#include "device/i8042.h"

#include "devtest.h"
#include "unit.h"

static struct i8042 k;
static uint8_t status(void) { return (uint8_t)dev_read(&k.dev, 1, 0, 1); }
static uint8_t data(void) { return (uint8_t)dev_read(&k.dev, 0, 0, 1); }
static void cmd(uint8_t v) { dev_write(&k.dev, 1, 0, 1, v); }
static void wr(uint8_t v) { dev_write(&k.dev, 0, 0, 1, v); }

static void setup(void)
{
    env_init();
    k = (struct i8042){ .irq_keyboard = env_wire(1),
                        .irq_aux = env_wire(12),
                        .power = { .request = env_power } };
    i8042_init(&k);
}

static void expect(uint8_t want)
{
    CHECK_EQ(status() & 0x01, 1);
    CHECK_EQ(data(), want);
}

static void test_probe(void)
{
    setup();
    CHECK_EQ(status() & 0x03, 0);
    cmd(0x20);
    expect(0x65);
    cmd(0x60);
    wr(0x74); /* both ports off, no interrupts, translation */
    env.edges[1] = 0;
    cmd(0x20);
    expect(0x74);
    cmd(0xaa);
    expect(0x55);
    cmd(0xab);
    expect(0x00);
    cmd(0xd3); /* aux loop-back works, but nothing is there */
    wr(0x5a);
    CHECK_EQ(status() & 0x21, 0x21);
    CHECK_EQ(data(), 0x5a);
    cmd(0xd4);
    wr(0xf2);
    CHECK_EQ(status() & 0x61, 0x61);
    CHECK_EQ(data(), 0xfe);
    CHECK_EQ(status() & 0x61, 0);
    CHECK_EQ(env.edges[1] + env.edges[12], 0);
}

static void test_keyboard(void)
{
    setup();
    wr(0xff);
    CHECK_EQ(env.level[1], 1);
    expect(0xfa);
    CHECK_EQ(env.level[1], 1); /* again, with an edge between */
    CHECK_EQ(env.edges[1], 2);
    expect(0xaa);
    CHECK_EQ(env.level[1], 0);
    wr(0xf2);
    expect(0xfa);
    expect(0xab);
    expect(0x41); /* 0x83 translated */
    cmd(0x60);
    wr(0x05); /* raw set 2 */
    wr(0xf2);
    expect(0xfa);
    expect(0xab);
    expect(0x83);
    wr(0xed);
    expect(0xfa);
    wr(0x07);
    expect(0xfa);
    wr(0xf0);
    expect(0xfa);
    wr(0x00);
    expect(0xfa);
    expect(0x02);
    wr(0xf0);
    expect(0xfa);
    wr(0x09);
    expect(0xfe);
    wr(0xee);
    expect(0xee);
    wr(0xfe);
    expect(0xee);
    wr(0x12);
    expect(0xfe);
    cmd(0xad); /* off: its bytes wait */
    CHECK_EQ(status() & 1, 0);
    wr(0xf3);
    cmd(0xae);
    expect(0xfa);
    wr(0xf4); /* a command instead of the parameter */
    expect(0xfa);
    for (unsigned i = 0; i < 100; i++)
        wr(0xf2);
    unsigned n = 0;
    for (; status() & 1; n++)
        data();
    CHECK(n <= I8042_QUEUE + 1);
}

static void test_reset(void)
{
    setup();
    cmd(0xd0);
    CHECK_EQ(data() & 0x03, 0x03);
    cmd(0xff);
    CHECK_EQ(env.power, -1);
    cmd(0xd1);
    wr(0xdd); /* A20 off: remembered only */
    CHECK_EQ(env.power, -1);
    cmd(0xd0);
    CHECK_EQ(data() & 0x03, 0x01);
    cmd(0xfe);
    CHECK_EQ(env.power, POWER_RESET);
    env.power = -1;
    cmd(0xd1);
    wr(0x02);
    CHECK_EQ(env.power, POWER_RESET);
}

static void test_state(void)
{
    setup();
    wr(0xf2);
    CHECK_EQ(dev_save(&k.dev), 0);
    setup();
    CHECK_EQ(dev_load(&k.dev), 0);
    CHECK_EQ(env.level[1], 1);
    expect(0xfa);
    expect(0xab);
    for (unsigned i = 0; i < env_state.count; i++)
        if (!strcmp(env_state.field[i].name, "command"))
            env_state.field[i].v = 0x99;
    CHECK_EQ(-dev_load(&k.dev), EINVAL);
}

int main(void)
{
    test_probe();
    test_keyboard();
    test_reset();
    test_state();
    return unit_done("i8042");
}
