/* SPDX-License-Identifier: BSD-2-Clause */
/* 16550A UART, after [PC16550D] (National Semiconductor, June 1995). A character takes no time. */
#include "device/uart16550.h"

#include "lib/state.h"

enum reg { RBR_THR = 0, IER = 1, IIR_FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };

#define IER_RDA  BIT(0)
#define IER_THRE BIT(1)
#define IER_RLS  BIT(2)
#define IER_MSI  BIT(3)
#define IER_MASK BITS(3, 0)

enum iir {
    IIR_MSI = 0x0,
    IIR_NONE = 0x1,
    IIR_THRE = 0x2,
    IIR_RDA = 0x4,
    IIR_RLS = 0x6,
    IIR_CTI = 0xc
};
#define IIR_FIFOS BITS(7, 6)

#define FCR_ENABLE   BIT(0)
#define FCR_CLEAR_RX BIT(1)
#define FCR_CLEAR_TX BIT(2)
#define FCR_KEPT     (FCR_ENABLE | BIT(3) | BITS(7, 6))

#define LCR_DLAB BIT(7)

#define MCR_DTR  BIT(0)
#define MCR_RTS  BIT(1)
#define MCR_OUT1 BIT(2)
#define MCR_OUT2 BIT(3)
#define MCR_LOOP BIT(4)
#define MCR_MASK BITS(4, 0)

#define LSR_DR     BIT(0)
#define LSR_OE     BIT(1)
#define LSR_ERRORS BITS(4, 1)
#define LSR_THRE   BIT(5)
#define LSR_TEMT   BIT(6)

#define MSR_DELTA BITS(3, 0)
#define MSR_TERI  BIT(2)
#define MSR_CTS   BIT(4)
#define MSR_DSR   BIT(5)
#define MSR_RI    BIT(6)
#define MSR_DCD   BIT(7)

enum { RETRY_NS = 2000000 };

static bool fifo_on(const struct uart16550 *u) { return u->s.fcr & FCR_ENABLE; }
static unsigned depth(const struct uart16550 *u) { return fifo_on(u) ? UART_FIFO : 1; }

static unsigned trigger(const struct uart16550 *u)
{
    static const uint8_t level[] = { 1, 4, 8, 14 };
    return fifo_on(u) ? level[u->s.fcr >> 6] : 1;
}

/* The interrupt of the highest priority. Fewer characters than the trigger level are a timeout at
 * once: the line has gone quiet for as long as the guest can tell. */
static uint8_t iir(const struct uart16550 *u)
{
    if ((u->s.ier & IER_RLS) && (u->s.lsr & LSR_ERRORS))
        return IIR_RLS;
    if ((u->s.ier & IER_RDA) && u->s.rx_count)
        return u->s.rx_count >= trigger(u) ? IIR_RDA : IIR_CTI;
    if ((u->s.ier & IER_THRE) && u->s.thre_pending)
        return IIR_THRE;
    if ((u->s.ier & IER_MSI) && (u->s.msr & MSR_DELTA))
        return IIR_MSI;
    return IIR_NONE;
}

/* On a PC OUT2 gates the line, and loopback holds OUT2's pin inactive. */
static int irq_level(const struct uart16550 *u)
{
    return iir(u) != IIR_NONE && (u->s.mcr & MCR_OUT2) && !(u->s.mcr & MCR_LOOP);
}

static void update(struct uart16550 *u)
{
    u->s.lsr &= (uint8_t) ~(LSR_DR | LSR_THRE | LSR_TEMT);
    if (u->s.rx_count)
        u->s.lsr |= LSR_DR;
    if (!u->s.tx_count)
        u->s.lsr |= LSR_THRE | LSR_TEMT;
    irq_set(&u->irq, irq_level(u));
}

static void receive(struct uart16550 *u, uint8_t byte)
{
    if (u->s.rx_count == depth(u)) {
        u->s.lsr |= LSR_OE;
        if (!fifo_on(u)) /* the new character takes the old one's place */
            u->s.rx[u->s.rx_head] = byte;
        return;
    }
    u->s.rx[(u->s.rx_head + u->s.rx_count++) % UART_FIFO] = byte;
}

/* Hands what waits to the backend. */
static void transmit(struct uart16550 *u)
{
    while (u->s.tx_count) {
        size_t run = MIN(u->s.tx_count, UART_FIFO - u->s.tx_head);
        size_t n = u->out.write ? u->out.write(u->out.ctx, u->s.tx + u->s.tx_head, run) : run;
        n = MIN(n, run);
        u->s.tx_head = (uint8_t)((u->s.tx_head + n) % UART_FIFO);
        u->s.tx_count = (uint8_t)(u->s.tx_count - n);
        if (n < run)
            break;
    }
    if (!u->s.tx_count)
        u->s.thre_pending = true;
    else if (u->retry.set && u->clock)
        u->retry.set(&u->retry, u->clock->now_ns(u->clock->ctx) + RETRY_NS);
}

static void retry(void *arg)
{
    struct uart16550 *u = arg;
    if (!u->s.tx_count)
        return;
    transmit(u);
    update(u);
}

static void write_thr(struct uart16550 *u, uint8_t byte)
{
    u->s.thre_pending = false;
    if (u->s.mcr & MCR_LOOP) {
        receive(u, byte);
        u->s.thre_pending = true;
        return;
    }
    if (u->s.tx_count == UART_FIFO) /* the guest did not wait for THRE: the newest is lost */
        return;
    u->s.tx[(u->s.tx_head + u->s.tx_count++) % UART_FIFO] = byte;
    transmit(u);
}

static uint8_t read_rbr(struct uart16550 *u)
{
    uint8_t byte = u->s.rx[u->s.rx_head];
    if (!u->s.rx_count)
        return byte;
    u->s.rx_head = (uint8_t)((u->s.rx_head + 1) % UART_FIFO);
    u->s.rx_count--;
    return byte;
}

static void clear_rx(struct uart16550 *u) { u->s.rx_count = u->s.rx_head = 0; }
static void clear_tx(struct uart16550 *u) { u->s.tx_count = u->s.tx_head = 0; }

static void write_fcr(struct uart16550 *u, uint8_t val)
{
    if ((val ^ u->s.fcr) & FCR_ENABLE) {
        clear_rx(u);
        clear_tx(u);
    }
    u->s.fcr = val & FCR_ENABLE ? val & FCR_KEPT : 0;
    if (val & FCR_CLEAR_RX)
        clear_rx(u);
    if (val & FCR_CLEAR_TX) {
        clear_tx(u);
        u->s.thre_pending = true;
    }
}

/* The modem lines: the terminal is always there; in loopback our own outputs come back. */
static void set_modem_lines(struct uart16550 *u)
{
    uint8_t lines = MSR_CTS | MSR_DSR | MSR_DCD, old = u->s.msr;
    if (u->s.mcr & MCR_LOOP)
        lines = (u->s.mcr & MCR_RTS ? MSR_CTS : 0) | (u->s.mcr & MCR_DTR ? MSR_DSR : 0) |
                (u->s.mcr & MCR_OUT1 ? MSR_RI : 0) | (u->s.mcr & MCR_OUT2 ? MSR_DCD : 0);
    uint8_t delta = (uint8_t)((old ^ lines) >> 4);
    if (lines & MSR_RI)
        delta &= (uint8_t)~MSR_TERI; /* only its trailing edge counts */
    u->s.msr = lines | (old & MSR_DELTA) | delta;
}

static uint8_t read_reg(struct uart16550 *u, enum reg reg)
{
    uint8_t val = 0xff;
    switch (reg) {
    case RBR_THR: val = u->s.lcr & LCR_DLAB ? (uint8_t)u->s.divisor : read_rbr(u); break;
    case IER: val = u->s.lcr & LCR_DLAB ? (uint8_t)(u->s.divisor >> 8) : u->s.ier; break;
    case IIR_FCR:
        val = iir(u);
        if (val == IIR_THRE)
            u->s.thre_pending = false;
        if (fifo_on(u))
            val |= IIR_FIFOS;
        break;
    case LCR: val = u->s.lcr; break;
    case MCR: val = u->s.mcr; break;
    case LSR:
        if (u->s.tx_count)
            transmit(u);
        update(u);
        val = u->s.lsr;
        u->s.lsr &= (uint8_t)~LSR_ERRORS;
        break;
    case MSR:
        val = u->s.msr;
        u->s.msr &= (uint8_t)~MSR_DELTA;
        break;
    case SCR: val = u->s.scr; break;
    }
    return val;
}

static void write_reg(struct uart16550 *u, enum reg reg, uint8_t val)
{
    switch (reg) {
    case RBR_THR:
        if (u->s.lcr & LCR_DLAB)
            u->s.divisor = (uint16_t)((u->s.divisor & 0xff00) | val);
        else
            write_thr(u, val);
        break;
    case IER:
        if (u->s.lcr & LCR_DLAB) {
            u->s.divisor = (uint16_t)((u->s.divisor & 0xff) | val << 8);
            break;
        }
        if ((val & ~u->s.ier & IER_THRE) && !u->s.tx_count)
            u->s.thre_pending = true; /* enabling it with an empty register raises it */
        u->s.ier = val & IER_MASK;
        break;
    case IIR_FCR: write_fcr(u, val); break;
    case LCR: u->s.lcr = val; break;
    case MCR:
        u->s.mcr = val & MCR_MASK;
        set_modem_lines(u);
        break;
    case LSR: /* for factory tests only */
    case MSR: break;
    case SCR: u->s.scr = val; break;
    }
}

static size_t sink_room(void *dev)
{
    const struct uart16550 *u = dev;
    return u->s.mcr & MCR_LOOP ? 0 : depth(u) - u->s.rx_count;
}

static enum device_result uart_access(struct device *dev, unsigned region, uint64_t offset,
                                      unsigned size, uint64_t *val, bool write)
{
    struct uart16550 *u = container_of(dev, struct uart16550, dev);
    (void)region;
    if (offset > SCR || size != 1)
        return DEVICE_UNMAPPED;
    size_t room = sink_room(u);
    if (write)
        write_reg(u, (enum reg)offset, (uint8_t)*val);
    else
        *val = read_reg(u, (enum reg)offset);
    update(u);
    if (sink_room(u) > room && u->out.resume)
        u->out.resume(u->out.ctx);
    return DEVICE_OK;
}

static void sink_input(void *dev, const uint8_t *buf, size_t len)
{
    struct uart16550 *u = dev;
    for (size_t i = 0; i < len; i++)
        receive(u, buf[i]);
    update(u);
}

struct char_sink uart16550_sink(struct uart16550 *u)
{
    return (struct char_sink){ .room = sink_room, .input = sink_input, .dev = u };
}

static void uart_reset(struct device *dev)
{
    struct uart16550 *u = container_of(dev, struct uart16550, dev);
    u->s = (__typeof__(u->s)){ .msr = MSR_CTS | MSR_DSR | MSR_DCD, .divisor = 12 };
    update(u);
    if (u->out.resume)
        u->out.resume(u->out.ctx);
}

static int uart_state(struct device *dev, struct state *st)
{
    struct uart16550 *u = container_of(dev, struct uart16550, dev);
    STATE_INT(st, &u->s, ier, 0, IER_MASK);
    STATE_INT(st, &u->s, lcr, 0, 0xff);
    STATE_INT(st, &u->s, mcr, 0, MCR_MASK);
    STATE_INT(st, &u->s, lsr, 0, 0x7f);
    STATE_INT(st, &u->s, msr, 0, 0xff);
    STATE_INT(st, &u->s, scr, 0, 0xff);
    STATE_INT(st, &u->s, fcr, 0, FCR_KEPT);
    STATE_INT(st, &u->s, divisor, 0, 0xffff);
    STATE_INT(st, &u->s, thre_pending, 0, 1);
    STATE_BYTES(st, &u->s, rx);
    STATE_BYTES(st, &u->s, tx);
    STATE_INT(st, &u->s, rx_head, 0, UART_FIFO - 1);
    STATE_INT(st, &u->s, rx_count, 0, UART_FIFO);
    STATE_INT(st, &u->s, tx_head, 0, UART_FIFO - 1);
    STATE_INT(st, &u->s, tx_count, 0, UART_FIFO);
    if (!st->error && st->loading) {
        if (u->s.tx_count)
            transmit(u);
        update(u);
    }
    return st->error;
}

static const struct device_ops uart_ops = {
    .name = "uart16550",
    .access = uart_access,
    .reset = uart_reset,
    .state = uart_state,
    .max_size = 1,
};

void uart16550_init(struct uart16550 *u)
{
    u->dev.ops = &uart_ops;
    u->retry.fire = retry;
    u->retry.arg = u;
    uart_reset(&u->dev);
}
