/* SPDX-License-Identifier: BSD-2-Clause */
/* i8042 keyboard controller with a PS/2 keyboard and no mouse. */
#ifndef DEVICE_I8042_H
#define DEVICE_I8042_H

#include "device/device.h"
#include "device/power.h"

enum { I8042_QUEUE = 16, I8042_RAM = 32 };
enum i8042_region { I8042_REGION_DATA /* port 0x60 */, I8042_REGION_COMMAND /* port 0x64 */ };

struct i8042 {
    struct device dev;
    struct irq_wire irq_keyboard; /* 1 */
    struct irq_wire irq_aux;      /* 12 */
    struct power_wire power;
    struct {
        uint8_t ram[I8042_RAM]; /* byte 0: the command byte */
        uint8_t status, data, output_port;
        uint8_t command; /* waits for its data byte; 0: none */
        /* What the keyboard has to say. */
        uint8_t queue[I8042_QUEUE], queue_head, queue_count;
        uint8_t keyboard_command; /* waits for its data byte; 0: none */
        uint8_t scan_set, last_byte;
        bool scanning;
    } s;
};

/* On the caller's memory, with wires filled in. */
void i8042_init(struct i8042 *);

#endif
