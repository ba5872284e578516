/* SPDX-License-Identifier: BSD-2-Clause */
/* Address → device: one bus for ports, one for memory-mapped registers. */
#ifndef MONITOR_BUS_H
#define MONITOR_BUS_H

#include <stdio.h>

#include "device/device.h"

struct bus_range {
    uint64_t base, len;
    struct device *dev;
    unsigned region;  /* passed to the device */
    const char *name; /* for --stats and traces */
    uint64_t reads, writes;
};

struct bus {
    const char *name;        /* "pio", "mmio" */
    struct bus_range *range; /* sorted by base, never overlapping */
    unsigned count, capacity;
    uint64_t unmapped;     /* accesses nobody answered */
    uint64_t traced[16];   /* pages (of 4 KiB; 16 ports) whose unanswered accesses were logged */
    unsigned traced_count; /* when full nothing more is logged */
};

void bus_init(struct bus *, const char *name);
void bus_destroy(struct bus *);
/* -EEXIST if it overlaps another range, -EINVAL for an empty or wrapping one, -ENOMEM. May be
 * called while the VM runs (BAR moves), with the device lock held. */
WARN_UNUSED int bus_add(struct bus *, uint64_t base, uint64_t len, struct device *, unsigned region,
                        const char *name);
void bus_remove(struct bus *, struct device *, unsigned region);
/* One access of 1..8 bytes; sizes 3, 5, 6, 7 and accesses across a range's end are split into
 * bytes. Unanswered reads give all ones; counted, logged once per address page. Device lock held.
 */
void bus_access(struct bus *, uint64_t addr, void *data, unsigned len, bool write);
void bus_stats(const struct bus *, FILE *);

#endif
