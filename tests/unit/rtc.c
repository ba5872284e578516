/* SPDX-License-Identifier: BSD-2-Clause */
/* The clock: time of day in all formats, setting it, alarm, periodic and update interrupts. */
#include "device/rtc.h"

#include "devtest.h"
#include "unit.h"

#define SECOND 1000000000ull

static struct rtc r;

static uint8_t get(uint8_t i)
{
    dev_write(&r.dev, 0, 0, 1, i);
    return (uint8_t)dev_read(&r.dev, 0, 1, 1);
}

static void set(uint8_t i, uint8_t v)
{
    dev_write(&r.dev, 0, 0, 1, i);
    dev_write(&r.dev, 0, 1, 1, v);
}

static void advance(uint64_t ns)
{
    uint64_t before = env.now / SECOND;
    env_advance(&r.timer, ns);
    env.wall += (int64_t)(env.now / SECOND - before);
}

static void setup(int64_t wall)
{
    env_init();
    env.wall = wall;
    r = (struct rtc){
        .irq = env_wire(8), .clock = &env_clock, .memory_low = GiB(3), .memory_high = GiB(1)
    };
    r.timer.set = env_timer_set;
    rtc_init(&r);
}

static void check_time(uint8_t century, uint8_t y, uint8_t mo, uint8_t d, uint8_t h, uint8_t mi,
                       uint8_t s)
{
    CHECK_EQ(get(0x32), century);
    CHECK_EQ(get(9), y);
    CHECK_EQ(get(8), mo);
    CHECK_EQ(get(7), d);
    CHECK_EQ(get(4), h);
    CHECK_EQ(get(2), mi);
    CHECK_EQ(get(0), s);
}

static void test_time(void)
{
    setup(1709210096); /* 2024-02-29 12:34:56 UTC, a Thursday */
    check_time(0x20, 0x24, 0x02, 0x29, 0x12, 0x34, 0x56);
    CHECK_EQ(get(6), 5);
    CHECK_EQ(get(0x0d), 0x80);
    CHECK_EQ(get(0x0a), 0x26);
    CHECK_EQ(get(0x0b), 0x02);
    set(0x0b, 0x06); /* binary */
    check_time(0x20, 24, 2, 29, 12, 34, 56);
    set(0x0b, 0x04); /* 12 hours */
    CHECK_EQ(get(4), 0x8c);
    advance(12 * 3600 * SECOND);
    CHECK_EQ(get(4), 12); /* after midnight */
    CHECK_EQ(get(8), 3);
    CHECK_EQ(get(7), 1);
    setup(951782399); /* 2000-02-28 23:59:59 */
    advance(SECOND);
    check_time(0x20, 0x00, 0x02, 0x29, 0, 0, 0);
    setup(4102444799); /* 2099-12-31 23:59:59 */
    advance(SECOND);
    check_time(0x21, 0x00, 0x01, 0x01, 0, 0, 0);
    env.wall += 3600; /* the host slept */
    CHECK_EQ(get(4), 1);
}

static void test_set(void)
{
    setup(1709210096);
    set(0x0b, 0x82);
    set(0, 0x50);
    set(2, 0x59);
    set(4, 0x23);
    set(7, 0x31);
    set(8, 0x12);
    set(9, 0x99);
    set(0x32, 0x19);
    advance(5 * SECOND);
    CHECK_EQ(get(0), 0x50); /* stands still */
    set(0x0b, 0x02);
    check_time(0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x50);
    advance(10 * SECOND);
    check_time(0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00);
    set(9, 0x30); /* also without stopping it */
    check_time(0x20, 0x30, 0x01, 0x01, 0x00, 0x00, 0x00);
    for (unsigned i = 0; i < 10; i++) /* no bytes hurt */
        set((uint8_t)i, 0xff);
    get(0);
    get(9);
}

static void test_uip(void)
{
    unsigned seen = 0, ended = 0;
    bool last = false;
    setup(1000);
    for (unsigned i = 0; i < 3001; i++) {
        bool uip = get(0x0a) & 0x80;
        seen += uip;
        ended += last && !uip;
        last = uip;
        advance(SECOND / 1000);
    }
    CHECK_EQ(ended, 3);
    CHECK(seen >= 3 && seen < 12);
}

static void test_interrupts(void)
{
    setup(0);
    CHECK_EQ(get(0x0c), 0);
    advance(SECOND);
    CHECK_EQ(get(0x0c), 0x50); /* flags without interrupts */
    CHECK_EQ(env.edges[8], 0);
    CHECK_EQ(env.deadline, UINT64_MAX);

    set(0x0b, 0x42); /* 1024 Hz, acknowledged each time */
    unsigned ticks = 0;
    for (unsigned i = 0; i < 10000; i++) {
        advance(SECOND / 10000);
        if (env.level[8]) {
            CHECK_EQ(get(0x0c) & 0xc0, 0xc0);
            CHECK_EQ(env.level[8], 0);
            ticks++;
        }
    }
    CHECK(ticks >= 1023 && ticks <= 1025);
    set(0x0b, 0x12);
    get(0x0c);
    env.edges[8] = 0;
    for (unsigned i = 0; i < 5; i++) {
        advance(SECOND);
        CHECK_EQ(get(0x0c) & 0x90, 0x90);
    }
    CHECK_EQ(env.edges[8], 5);

    setup(0);
    set(0x01, 0x05); /* alarm at xx:00:05 */
    set(0x03, 0x00);
    set(0x05, 0xff);
    set(0x0b, 0x22);
    advance(4 * SECOND);
    CHECK_EQ(env.level[8], 0);
    advance(SECOND);
    CHECK_EQ(env.level[8], 1);
    CHECK_EQ(get(0x0c) & 0xa0, 0xa0);
    advance(3599 * SECOND);
    CHECK_EQ(env.level[8], 0);
    advance(SECOND);
    CHECK_EQ(env.level[8], 1);
    r.dev.ops->reset(&r.dev);
    CHECK_EQ(env.level[8], 0);
    CHECK_EQ(get(0x0b), 0x02);
    check_time(0x19, 0x70, 1, 1, 1, 0, 5);
    set(0x0b, 0x22);
    advance(1000000 * SECOND); /* a long time away */
    CHECK_EQ(env.level[8], 1);
}

static void test_ram_and_state(void)
{
    setup(1709210096);
    CHECK_EQ(get(0x15) | get(0x16) << 8, 640);
    CHECK_EQ(get(0x34) | get(0x35) << 8, (GiB(3) - MiB(16)) >> 16);
    CHECK_EQ(get(0x5b) | get(0x5c) << 8, GiB(1) >> 16);
    set(0x8f, 0x0a); /* with the NMI bit */
    CHECK_EQ(get(0x0f), 0x0a);
    set(9, 0x30);
    CHECK_EQ(dev_save(&r.dev), 0);
    setup(1709210096 + 60); /* elsewhere, a minute later */
    CHECK_EQ(dev_load(&r.dev), 0);
    CHECK_EQ(get(0x0f), 0x0a);
    check_time(0x20, 0x30, 0x03, 0x01, 0x12, 0x35, 0x56); /* 29 Feb 2030 is 1 March */
}

int main(void)
{
    test_time();
    test_set();
    test_uip();
    test_interrupts();
    test_ram_and_state();
    return unit_done("rtc");
}
