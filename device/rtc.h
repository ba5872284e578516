/* SPDX-License-Identifier: BSD-2-Clause */
/* MC146818 real-time clock with 128 bytes of CMOS RAM. */
#ifndef DEVICE_RTC_H
#define DEVICE_RTC_H

#include "device/device.h"

enum { RTC_RAM = 128 };

struct rtc {
    struct device dev;
    struct irq_wire irq;
    const struct device_clock *clock;
    struct device_timer timer;        /* optional; without it no interrupts, but flags when read */
    uint64_t memory_low, memory_high; /* bytes of RAM from 0 / from 4 GiB, told in CMOS */
    struct {
        uint8_t index;        /* with the NMI bit */
        uint8_t ram[RTC_RAM]; /* 0..9, 0x32: the time as last written; A..D: registers */
        int64_t base_seconds; /* guest's time of day at base_ns */
        uint64_t base_ns;
        int64_t offset;     /* guest's time less the host's, in seconds */
        uint64_t synced_ns; /* events up to here are in register C */
    } s;
};

/* On the caller's memory, with irq, clock, timer, memory_* filled in. Regions: 0, two ports. */
void rtc_init(struct rtc *);

#endif
