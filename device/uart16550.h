/* SPDX-License-Identifier: BSD-2-Clause */
/* 16550A serial port. */
#ifndef DEVICE_UART16550_H
#define DEVICE_UART16550_H

#include "device/device.h"

enum { UART_FIFO = 16 };

struct uart16550 {
    struct device dev;
    struct irq_wire irq;
    struct char_backend out;
    struct device_timer retry;        /* optional: tries again when the backend takes nothing */
    const struct device_clock *clock; /* for retry */
    struct {
        uint8_t ier, lcr, mcr, lsr, msr, scr, fcr;
        uint16_t divisor;
        bool thre_pending; /* the THRE interrupt, until IIR is read or THR written */
        uint8_t rx[UART_FIFO], tx[UART_FIFO];
        uint8_t rx_head, rx_count, tx_head, tx_count;
    } s;
};

/* On the caller's memory. irq, out, and (or not) retry and clock are the caller's to fill in
 * before; retry.fire and retry.arg are set here. */
void uart16550_init(struct uart16550 *);
struct char_sink uart16550_sink(struct uart16550 *);

#endif
