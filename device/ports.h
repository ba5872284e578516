/* SPDX-License-Identifier: BSD-2-Clause */
/* The PC's one-register devices: reset port, debug console, exit port, POST code. */
#ifndef DEVICE_PORTS_H
#define DEVICE_PORTS_H

#include "device/device.h"
#include "device/power.h"

/* System control port A, 0x92: bit 0 resets when it rises, bit 1 is the A20 gate. */
struct port92 {
    struct device dev;
    struct power_wire power;
    struct {
        uint8_t value;
    } s;
};
void port92_init(struct port92 *);

/* Debug console, 0xe9: writes are text, reads give 0xe9. */
struct debugcon {
    struct device dev;
    struct char_backend out;
};
void debugcon_init(struct debugcon *);

/* Exit port, 0xf4: writing v asks to leave with status (v << 1) | 1. */
struct debug_exit {
    struct device dev;
    struct power_wire power;
};
void debug_exit_init(struct debug_exit *);

/* POST code port, 0x80: remembers; guests write there to pass the time. */
struct post {
    struct device dev;
    struct {
        uint8_t value;
    } s;
};
void post_init(struct post *);

#endif
