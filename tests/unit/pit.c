/* SPDX-License-Identifier: BSD-2-Clause */
/* The 8254, against the data sheet's timing diagrams, one CLK at a time. */
#include "engine/irqchip/model.h"
#include "tests/unit/chip.h"

enum { OUT = 0x80, NULL_COUNT = 0x40 };

static uint64_t tick_now; /* of the chip under test */

static void at(struct chip *t, uint64_t tick)
{
    tick_now = tick;
    t->now = pit_ns(tick);
}
static void clk(struct chip *t, uint64_t n) { at(t, tick_now + n); }

static void open_pit(struct chip *t)
{
    chip_open(t, 1);
    CHECK_EQ(irqchip_create_pit(t->irqchip, true), 0);
    CHECK_EQ(irqchip_create_pit(t->irqchip, true), -EEXIST);
    at(t, 2000);
}
static void program(struct chip *t, unsigned ch, uint8_t control, uint16_t count)
{
    out8(t, 0x43, (uint8_t)(ch << 6 | control));
    if (control & 0x10)
        out8(t, (uint16_t)(0x40 + ch), (uint8_t)count);
    if (control & 0x20)
        out8(t, (uint16_t)(0x40 + ch), (uint8_t)(count >> 8));
}
static uint8_t pit_status(struct chip *t, unsigned ch)
{
    out8(t, 0x43, (uint8_t)(0xe0 | 2 << ch));
    return in8(t, (uint16_t)(0x40 + ch));
}
static bool out(struct chip *t, unsigned ch) { return pit_status(t, ch) & OUT; }
/* By the latch command; the channel reads both bytes. */
static uint16_t value(struct chip *t, unsigned ch)
{
    out8(t, 0x43, (uint8_t)(ch << 6));
    uint8_t low = in8(t, (uint16_t)(0x40 + ch));
    return (uint16_t)(low | in8(t, (uint16_t)(0x40 + ch)) << 8);
}

static void test_clock(void)
{
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t tick = i * i * i * 7919;
        CHECK_EQ(pit_ticks(pit_ns(tick)), tick);
        if (pit_ns(tick))
            CHECK(pit_ticks(pit_ns(tick) - 1) < tick || !tick);
    }
    CHECK_EQ(pit_ticks(1000000000ull * 86400), 1193182ull * 86400);
}

static void test_mode0(void)
{
    struct chip t;

    open_pit(&t);
    out8(&t, 0x43, 0xb0);
    CHECK(!out(&t, 2)); /* OUT falls with the control word */
    CHECK(pit_status(&t, 2) & NULL_COUNT);
    out8(&t, 0x61, 1);
    out8(&t, 0x42, 4);
    out8(&t, 0x42, 0);
    CHECK_EQ(pit_status(&t, 2) & 0x3f, 0x30);
    clk(&t, 1); /* loads */
    CHECK_EQ(value(&t, 2), 4);
    clk(&t, 3);
    CHECK_EQ(value(&t, 2), 1);
    CHECK(!out(&t, 2));
    clk(&t, 1); /* N + 1 after the write */
    CHECK_EQ(value(&t, 2), 0);
    CHECK(out(&t, 2));
    CHECK_EQ(in8(&t, 0x61) & 0x21, 0x21);
    clk(&t, 1);
    CHECK_EQ(value(&t, 2), 0xffff); /* goes on counting */
    CHECK(out(&t, 2));
    /* The gate stops the counting. */
    program(&t, 2, 0x30, 10);
    clk(&t, 4);
    CHECK_EQ(value(&t, 2), 7);
    out8(&t, 0x61, 0);
    clk(&t, 100);
    CHECK_EQ(value(&t, 2), 7);
    out8(&t, 0x61, 1);
    clk(&t, 6);
    CHECK(!out(&t, 2));
    clk(&t, 1);
    CHECK(out(&t, 2));
    /* A new count restarts, the first byte stops. */
    out8(&t, 0x42, 3);
    CHECK(!out(&t, 2));
    out8(&t, 0x42, 0);
    clk(&t, 4);
    CHECK(out(&t, 2));
    chip_close(&t);
}

static void test_mode1(void)
{
    struct chip t;

    open_pit(&t);
    program(&t, 2, 0x32, 3);
    CHECK(out(&t, 2));
    clk(&t, 50);
    CHECK(out(&t, 2));
    CHECK(pit_status(&t, 2) & NULL_COUNT);
    out8(&t, 0x61, 1); /* trigger */
    CHECK(out(&t, 2));
    clk(&t, 1);
    CHECK(!out(&t, 2));
    CHECK_EQ(value(&t, 2), 3);
    CHECK(!(pit_status(&t, 2) & NULL_COUNT));
    clk(&t, 2);
    CHECK(!out(&t, 2));
    clk(&t, 1);
    CHECK(out(&t, 2));
    out8(&t, 0x61, 0);
    out8(&t, 0x61, 1);
    clk(&t, 2);
    out8(&t, 0x61, 0);
    out8(&t, 0x61, 1); /* retrigger: starts anew */
    clk(&t, 3);
    CHECK(!out(&t, 2));
    clk(&t, 1);
    CHECK(out(&t, 2));
    chip_close(&t);
}

static void test_mode2(void)
{
    struct chip t;

    open_pit(&t);
    program(&t, 1, 0x34, 3);
    CHECK(out(&t, 1));
    clk(&t, 1);
    static const struct {
        uint8_t value, out;
    } expect[] = { { 3, 1 }, { 2, 1 }, { 1, 0 }, { 3, 1 }, { 2, 1 }, { 1, 0 }, { 3, 1 } };
    for (unsigned i = 0; i < ARRAY_LEN(expect); i++, clk(&t, 1)) {
        CHECK_EQ(value(&t, 1), expect[i].value);
        CHECK_EQ(out(&t, 1), expect[i].out);
    }
    /* Now at 2: a new count takes over when this period has ended. */
    CHECK_EQ(value(&t, 1), 2);
    out8(&t, 0x41, 5);
    out8(&t, 0x41, 0);
    CHECK(pit_status(&t, 1) & NULL_COUNT);
    CHECK_EQ(value(&t, 1), 2);
    clk(&t, 1);
    CHECK_EQ(value(&t, 1), 1);
    clk(&t, 1);
    CHECK_EQ(value(&t, 1), 5);
    CHECK(!(pit_status(&t, 1) & NULL_COUNT));
    clk(&t, 5);
    CHECK_EQ(value(&t, 1), 5);
    /* Gate: low sets OUT, rising reloads. */
    program(&t, 2, 0x34, 4);
    out8(&t, 0x61, 1);
    clk(&t, 4);
    CHECK(!out(&t, 2));
    out8(&t, 0x61, 0);
    CHECK(out(&t, 2));
    clk(&t, 10);
    out8(&t, 0x61, 1);
    clk(&t, 1);
    CHECK_EQ(value(&t, 2), 4);
    chip_close(&t);
}

static void test_mode3(void)
{
    struct chip t;

    open_pit(&t);
    program(&t, 1, 0x36, 4);
    clk(&t, 1);
    static const uint8_t even[] = { 4, 2, 4, 2 }, odd[] = { 4, 2, 0, 4, 2 };
    for (unsigned i = 0; i < 8; i++, clk(&t, 1)) {
        CHECK_EQ(value(&t, 1), even[i % 4]);
        CHECK_EQ(out(&t, 1), i % 4 < 2);
    }
    program(&t, 1, 0x36, 5);
    clk(&t, 1);
    for (unsigned i = 0; i < 10; i++, clk(&t, 1)) {
        CHECK_EQ(value(&t, 1), odd[i % 5]);
        CHECK_EQ(out(&t, 1), i % 5 < 3);
    }
    /* A new count takes over at the end of the half period. */
    out8(&t, 0x41, 8);
    out8(&t, 0x41, 0);
    clk(&t, 2);
    CHECK_EQ(value(&t, 1), 0);
    clk(&t, 1);
    for (unsigned i = 0; i < 4; i++, clk(&t, 1)) { /* the low half of the new one */
        CHECK_EQ(value(&t, 1), 8 - 2 * i);
        CHECK(!out(&t, 1));
    }
    CHECK(out(&t, 1));
    /* The mode's don't-care bit. */
    program(&t, 1, 0x3e, 4);
    CHECK_EQ(pit_status(&t, 1) & 0x0e, 0x06);
    chip_close(&t);
}

static void test_mode4_5(void)
{
    struct chip t;

    open_pit(&t);
    program(&t, 1, 0x38, 3);
    for (unsigned i = 0; i < 4; i++, clk(&t, 1))
        CHECK(out(&t, 1));
    CHECK(!out(&t, 1)); /* one CLK, N + 1 after the write */
    CHECK_EQ(value(&t, 1), 0);
    clk(&t, 1);
    CHECK(out(&t, 1));
    CHECK_EQ(value(&t, 1), 0xffff);
    program(&t, 2, 0x3a, 3);
    clk(&t, 20);
    CHECK(out(&t, 2));
    out8(&t, 0x61, 1);
    clk(&t, 3);
    CHECK(out(&t, 2));
    clk(&t, 1);
    CHECK(!out(&t, 2));
    clk(&t, 1);
    CHECK(out(&t, 2));
    chip_close(&t);
}

static void test_bcd(void)
{
    struct chip t;

    open_pit(&t);
    program(&t, 1, 0x35, 0x1000);
    clk(&t, 1);
    CHECK_EQ(value(&t, 1), 0x1000);
    clk(&t, 1);
    CHECK_EQ(value(&t, 1), 0x0999);
    clk(&t, 998);
    CHECK_EQ(value(&t, 1), 0x0001);
    clk(&t, 1);
    CHECK_EQ(value(&t, 1), 0x1000);
    program(&t, 1, 0x31, 0); /* 0 is 10000 */
    clk(&t, 1);
    CHECK_EQ(value(&t, 1), 0x0000);
    clk(&t, 1);
    CHECK_EQ(value(&t, 1), 0x9999);
    clk(&t, 9998);
    CHECK(!out(&t, 1));
    clk(&t, 1);
    CHECK(out(&t, 1));
    program(&t, 1, 0x30, 0); /* 0 is 65536 */
    clk(&t, 65536);
    CHECK(!out(&t, 1));
    clk(&t, 1);
    CHECK(out(&t, 1));
    chip_close(&t);
}

static void test_bytes(void)
{
    struct chip t;

    open_pit(&t);
    program(&t, 1, 0x14, 0x80); /* low byte only: the high one is 0 */
    clk(&t, 1);
    CHECK_EQ(in8(&t, 0x41), 0x80);
    CHECK_EQ(in8(&t, 0x41), 0x80);
    clk(&t, 1);
    CHECK_EQ(in8(&t, 0x41), 0x7f);
    program(&t, 1, 0x24, 0x8000); /* high byte only */
    clk(&t, 1);
    CHECK_EQ(in8(&t, 0x41), 0x80);
    clk(&t, 1);
    CHECK_EQ(in8(&t, 0x41), 0x7f);
    program(&t, 1, 0x34, 0x1234);
    clk(&t, 1);
    CHECK_EQ(in8(&t, 0x41), 0x34);
    CHECK_EQ(in8(&t, 0x41), 0x12);

    /* A latched count stays until it is read, however often it is latched. */
    out8(&t, 0x43, 0x40);
    clk(&t, 5);
    out8(&t, 0x43, 0x40);
    CHECK_EQ(in8(&t, 0x41), 0x34);
    CHECK_EQ(in8(&t, 0x41), 0x12);
    CHECK_EQ(in8(&t, 0x41), 0x2f);
    CHECK_EQ(in8(&t, 0x41), 0x12);

    /* Read-back of count and status of two counters: status comes first. */
    program(&t, 2, 0x34, 0x2222);
    out8(&t, 0x61, 1);
    clk(&t, 1);
    out8(&t, 0x43, 0xcc);
    clk(&t, 100);
    CHECK_EQ(in8(&t, 0x41), 0xb4);
    CHECK_EQ(in8(&t, 0x41), 0x2e);
    CHECK_EQ(in8(&t, 0x41), 0x12);
    CHECK_EQ(in8(&t, 0x42), 0xb4);
    CHECK_EQ(in8(&t, 0x42), 0x22);
    CHECK_EQ(in8(&t, 0x42), 0x22);
    chip_close(&t);
}

static void test_speaker(void)
{
    struct chip t;

    open_pit(&t);
    out8(&t, 0x61, 3);
    CHECK_EQ(in8(&t, 0x61) & 3, 3);
    out8(&t, 0x61, 0);
    CHECK_EQ(in8(&t, 0x61) & 3, 0);
    unsigned toggles = 0;
    for (uint8_t i = 0, last = in8(&t, 0x61); i < 180; i++, clk(&t, 1)) {
        uint8_t v = in8(&t, 0x61);
        toggles += (v ^ last) >> 4 & 1;
        last = v;
    }
    CHECK(toggles >= 9 && toggles <= 11); /* every 15 us */
    chip_close(&t);
}

/* Ticks of channel 0 as a guest counts them in an interrupt handler. */
static unsigned count_ticks(struct chip *t)
{
    unsigned n = 0;

    irqchip_tick(t->irqchip, 0);
    while (pending(t, 0) & IRQCHIP_INTR) {
        CHECK_EQ(ack(t, 0), 0x20);
        out8(t, 0x20, 0x20);
        n++;
    }
    return n;
}

static void test_interrupts(void)
{
    struct chip t;

    open_pit(&t);
    pic_setup(&t, 1, 1);
    CHECK_EQ(irqchip_deadline(t.irqchip, 0), UINT64_MAX);
    unsigned kicks = t.kicks[0];
    program(&t, 0, 0x34, 11932); /* 100 Hz */
    CHECK(t.kicks[0] > kicks);
    CHECK_EQ(irqchip_deadline(t.irqchip, 0), pit_ns(tick_now + 1 + 11932));
    CHECK_EQ(count_ticks(&t), 0);
    uint64_t begin = t.now;
    unsigned n = 0;
    for (n = 0; n < 1000; n++) { /* sleeping until each deadline */
        t.now = irqchip_deadline(t.irqchip, 0);
        CHECK_EQ(count_ticks(&t), 1);
    }
    CHECK(t.now - begin > 9999900000 && t.now - begin < 10000200000);
    CHECK_EQ(count_ticks(&t), 0);

    /* Always late, by any amount: none is lost, none is too many. */
    begin = t.now;
    n = 0;
    for (unsigned i = 0; i < 1000; i++) {
        t.now += 1 + (uint64_t)i * 7919 % 90000 * 1000;
        n += count_ticks(&t);
    }
    CHECK_EQ(n, pit_ticks(t.now - begin) / 11932);

    /* Not acknowledged for a second: made up for. */
    t.now += 10000000;
    irqchip_tick(t.irqchip, 0);
    CHECK_EQ(ack(&t, 0), 0x20);
    for (unsigned i = 0; i < 100; i++) {
        t.now += 10000000;
        irqchip_tick(t.irqchip, 0);
        CHECK_EQ(pending(&t, 0), 0);
    }
    out8(&t, 0x20, 0x20);
    n = count_ticks(&t);
    CHECK(n >= 100 && n <= 101);

    /* Masked in the handler, as Linux does: nothing is lost either. */
    t.now += 30000000;
    irqchip_tick(t.irqchip, 0);
    for (n = 0; pending(&t, 0); n++) {
        CHECK_EQ(ack(&t, 0), 0x20);
        out8(&t, 0x21, 1);
        out8(&t, 0x20, 0x20);
        out8(&t, 0x21, 0);
    }
    CHECK(n == 3);

    /* Masked for a minute: a few ticks remain, not 6000. */
    out8(&t, 0x21, 1);
    for (unsigned i = 0; i < 6; i++) {
        t.now += 10000000000;
        CHECK_EQ(count_ticks(&t), 0);
    }
    out8(&t, 0x21, 0);
    n = count_ticks(&t);
    CHECK(n >= 1 && n <= 6);
    /* The VM slept for an hour: ten seconds are made up for. */
    t.now += 3600ull * 1000000000;
    n = count_ticks(&t);
    CHECK(n >= 999 && n <= 1001);

    /* One shot. */
    program(&t, 0, 0x30, 1000);
    t.now = irqchip_deadline(t.irqchip, 0);
    CHECK_EQ(count_ticks(&t), 1);
    CHECK_EQ(irqchip_deadline(t.irqchip, 0), UINT64_MAX);
    t.now += 1000000000;
    CHECK_EQ(count_ticks(&t), 0);

    /* Reprogrammed in mid-period: the old period ends first. */
    at(&t, pit_ticks(t.now) + 1);
    program(&t, 0, 0x36, 10000);
    clk(&t, 1001);
    out8(&t, 0x40, 100);
    out8(&t, 0x40, 0);
    clk(&t, 3999);
    CHECK_EQ(count_ticks(&t), 0);
    clk(&t, 51); /* 5000 high, then the low half of the new count */
    n = count_ticks(&t);
    CHECK_EQ(n, 1);
    clk(&t, 1000);
    CHECK_EQ(count_ticks(&t), 10);

    /* Through the I/O APIC: pin 0 and pin 2 carry it; the end is the LAPIC's EOI. */
    out8(&t, 0x21, 0xff);
    out8(&t, 0xa1, 0xff);
    apic_write(&t, 0, 0xf0, 0x1ff);
    ioapic_out(&t, 0x15, 0);
    ioapic_out(&t, 0x14, 0x40);
    program(&t, 0, 0x34, 11932);
    (void)pending(&t, 0);
    for (n = 0; n < 10; n++) {
        t.now += 50000000;
        irqchip_tick(t.irqchip, 0);
        unsigned got = 0;
        while (pending(&t, 0)) {
            CHECK_EQ(ack(&t, 0), 0x40);
            CHECK_EQ(pending(&t, 0), 0);
            apic_write(&t, 0, 0xb0, 0);
            got++;
        }
        CHECK(got >= 4 && got <= 6);
    }
    chip_close(&t);
}

static void test_state(void)
{
    struct chip t, u;
    struct kvm_pit_state2 k, k2;

    open_pit(&t);
    pic_setup(&t, 1, 1);
    program(&t, 0, 0x34, 20000);
    program(&t, 1, 0x30, 1000);
    program(&t, 2, 0xb6 & 0x3f, 0x1234);
    out8(&t, 0x61, 3);
    clk(&t, 5000);
    CHECK_EQ(irqchip_get_pit(t.irqchip, &k), 0);
    CHECK_EQ(k.channels[0].count, 20000);
    CHECK_EQ(k.channels[0].mode, 2);
    CHECK_EQ(k.channels[2].gate, 1);
    CHECK_EQ(k.flags, KVM_PIT_FLAGS_SPEAKER_DATA_ON);
    uint64_t left = irqchip_deadline(t.irqchip, 0) - t.now;

    chip_open(&u, 1);
    CHECK_EQ(irqchip_get_pit(u.irqchip, &k2), -ENXIO);
    CHECK_EQ(irqchip_create_pit(u.irqchip, true), 0);
    at(&u, 777777);
    CHECK_EQ(irqchip_set_pit(u.irqchip, &k), 0);
    CHECK(irqchip_deadline(u.irqchip, 0) - u.now - left + 1000 < 2000); /* the phase is kept */
    CHECK(out(&u, 1)); /* the one-shot of long ago does not come again */
    CHECK_EQ(value(&u, 2), value(&t, 2));
    CHECK_EQ(irqchip_get_pit(u.irqchip, &k2), 0);
    CHECK_EQ(k2.channels[2].count, k.channels[2].count);

    k.channels[0].count_load_time = 123456; /* from KVM: starts now */
    CHECK_EQ(irqchip_set_pit(u.irqchip, &k), 0);
    CHECK_EQ(irqchip_deadline(u.irqchip, 0), pit_ns(pit_ticks(u.now) + 20000));
    k.channels[1].mode = 0xff;
    CHECK_EQ(irqchip_set_pit(u.irqchip, &k), 0);
    k.channels[1].mode = 9;
    CHECK_EQ(irqchip_set_pit(u.irqchip, &k), -EINVAL);
    k.channels[1].mode = 0;
    k.channels[1].count = 65537;
    CHECK_EQ(irqchip_set_pit(u.irqchip, &k), -EINVAL);
    chip_close(&t);
    chip_close(&u);
}

int main(void)
{
    test_clock();
    test_mode0();
    test_mode1();
    test_mode2();
    test_mode3();
    test_mode4_5();
    test_bcd();
    test_bytes();
    test_speaker();
    test_interrupts();
    test_state();
    return unit_done("pit");
}
