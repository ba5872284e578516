/* SPDX-License-Identifier: BSD-2-Clause */
/* The serial port, as drivers probe and use it. */
#include "device/uart16550.h"

#include "devtest.h"
#include "unit.h"

enum { THR, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR, RBR = THR };

static struct uart16550 u;
static uint8_t rd(unsigned r) { return (uint8_t)dev_read(&u.dev, 0, r, 1); }
static void wr(unsigned r, uint8_t v) { dev_write(&u.dev, 0, r, 1, v); }

static void setup(void)
{
    env_init();
    u = (struct uart16550){ .irq = env_wire(4),
                            .out = { .write = env_write, .resume = env_resume },
                            .clock = &env_clock };
    u.retry.set = env_timer_set;
    uart16550_init(&u);
}

static void input(const char *s)
{
    struct char_sink sink = uart16550_sink(&u);
    size_t n = strlen(s);
    CHECK(sink.room(sink.dev) >= n);
    sink.input(sink.dev, (const uint8_t *)s, n);
}

static void test_registers(void)
{
    setup();
    CHECK_EQ(rd(LSR), 0x60);
    CHECK_EQ(rd(IIR), 0x01);
    CHECK_EQ(rd(MSR), 0xb0);
    wr(SCR, 0x5a);
    CHECK_EQ(rd(SCR), 0x5a);
    wr(IER, 0xff);
    CHECK_EQ(rd(IER), 0x0f);
    wr(LCR, 0x83);
    wr(THR, 0x01);
    wr(IER, 0x02);
    CHECK_EQ(rd(THR), 0x01);
    CHECK_EQ(rd(IER), 0x02);
    CHECK_EQ(u.s.divisor, 0x201);
    wr(LCR, 0x03);
    CHECK_EQ(rd(IER), 0x0f);
    wr(FCR, 0x01);
    CHECK_EQ(rd(IIR) & 0xc0, 0xc0); /* how drivers tell a 16550A */
    wr(FCR, 0x00);
    CHECK_EQ(rd(IIR) & 0xc0, 0);
    CHECK_EQ(dev_read(&u.dev, 0, 8, 1), ~0ull);
}

static void test_transmit(void)
{
    setup();
    wr(MCR, 0x08);
    wr(THR, 'h');
    wr(THR, 'i');
    CHECK(!strcmp(env.out, "hi"));
    CHECK_EQ(env.level[4], 0);
    wr(IER, 0x02); /* enabling THRE interrupts with an empty register */
    CHECK_EQ(env.level[4], 1);
    CHECK_EQ(rd(IIR), 0x02);
    CHECK_EQ(env.level[4], 0); /* reading IIR took it */
    CHECK_EQ(rd(IIR), 0x01);
    wr(THR, '!');
    CHECK_EQ(env.level[4], 1);
    wr(MCR, 0x00); /* OUT2 off: the line is cut */
    CHECK_EQ(env.level[4], 0);
    CHECK_EQ(rd(IIR), 0x02);
}

static void test_backpressure(void)
{
    setup();
    wr(FCR, 0x01);
    wr(MCR, 0x08);
    wr(IER, 0x02);
    rd(IIR);
    env.out_room = 0;
    for (unsigned i = 0; i < 20; i++)
        wr(THR, (uint8_t)('a' + i));
    CHECK_EQ(rd(LSR) & 0x60, 0);
    CHECK_EQ(env.level[4], 0);
    CHECK(env.deadline != UINT64_MAX);
    env.out_room = 10;
    env_advance(&u.retry, 2000000);
    CHECK_EQ(rd(LSR) & 0x60, 0);
    env.out_room = 100;
    env_advance(&u.retry, 2000000);
    CHECK(!strcmp(env.out, "abcdefghijklmnop")); /* the rest did not fit the FIFO */
    CHECK_EQ(env.level[4], 1);
    CHECK_EQ(rd(LSR) & 0x60, 0x60);
}

static void test_receive(void)
{
    setup();
    struct char_sink sink = uart16550_sink(&u);
    wr(MCR, 0x08);
    wr(IER, 0x01);
    CHECK_EQ(sink.room(sink.dev), 1);
    input("x");
    CHECK_EQ(env.level[4], 1);
    CHECK_EQ(rd(IIR), 0x04);
    CHECK_EQ(rd(LSR) & 1, 1);
    env.resumed = 0;
    CHECK_EQ(rd(RBR), 'x');
    CHECK_EQ(env.resumed, 1);
    CHECK_EQ(env.level[4], 0);

    wr(FCR, 0x81); /* trigger at 8 */
    CHECK_EQ(sink.room(sink.dev), 16);
    input("1234567");
    CHECK_EQ(rd(IIR), 0xcc); /* fewer: character timeout */
    input("89abcdefg");
    CHECK_EQ(rd(IIR), 0xc4);
    CHECK_EQ(sink.room(sink.dev), 0);
    for (unsigned i = 0; i < 16; i++)
        CHECK_EQ(rd(RBR), "123456789abcdefg"[i]);
    CHECK_EQ(rd(LSR) & 1, 0);
    CHECK_EQ(env.level[4], 0);
    input("zz");
    wr(FCR, 0x83); /* clears it */
    CHECK_EQ(rd(LSR) & 1, 0);
}

static void test_loopback(void)
{
    setup();
    wr(MCR, 0x1a); /* LOOP, OUT2, RTS: Linux's probe */
    CHECK_EQ(rd(MSR) & 0xf0, 0x90);
    wr(MCR, 0x15); /* LOOP, DTR, OUT1 */
    CHECK_EQ(rd(MSR) & 0xf0, 0x60);
    wr(MCR, 0x10);
    CHECK_EQ(rd(MSR) & 0x04, 0x04); /* RI's trailing edge */
    CHECK_EQ(rd(MSR) & 0x0f, 0);    /* reading took the deltas */
    wr(THR, 'a');
    CHECK_EQ(rd(RBR), 'a');
    wr(THR, 'b');
    wr(THR, 'c');
    wr(IER, 0x05);
    CHECK_EQ(rd(IIR), 0x06); /* overrun first */
    CHECK_EQ(rd(LSR) & 0x02, 0x02);
    CHECK_EQ(rd(IIR), 0x04);
    CHECK_EQ(rd(RBR), 'c');
    CHECK_EQ(env.out_len, 0);
    CHECK_EQ(env.level[4], 0);
    struct char_sink sink = uart16550_sink(&u);
    CHECK_EQ(sink.room(sink.dev), 0);
}

static void test_modem_interrupt(void)
{
    setup();
    wr(MCR, 0x08);
    wr(IER, 0x08);
    CHECK_EQ(env.level[4], 0);
    wr(MCR, 0x18);
    wr(MCR, 0x08);
    CHECK_EQ(env.level[4], 1);
    CHECK_EQ(rd(IIR), 0x00);
    rd(MSR);
    CHECK_EQ(env.level[4], 0);
}

static void test_state(void)
{
    setup();
    wr(FCR, 0x01);
    wr(MCR, 0x08);
    wr(IER, 0x01);
    input("keep");
    CHECK_EQ(dev_save(&u.dev), 0);
    u.dev.ops->reset(&u.dev);
    CHECK_EQ(env.level[4], 0);
    CHECK_EQ(dev_load(&u.dev), 0);
    CHECK_EQ(env.level[4], 1);
    CHECK_EQ(rd(RBR), 'k');
    for (unsigned i = 0; i < env_state.count; i++)
        if (!strcmp(env_state.field[i].name, "rx_head"))
            env_state.field[i].v = 200;
    CHECK_EQ(-dev_load(&u.dev), EINVAL);
}

int main(void)
{
    test_registers();
    test_transmit();
    test_backpressure();
    test_receive();
    test_loopback();
    test_modem_interrupt();
    test_state();
    return unit_done("uart16550");
}
