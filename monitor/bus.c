/* SPDX-License-Identifier: BSD-2-Clause */
/* Address → device: a sorted table of ranges, searched by bisection. */
#include "monitor/bus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

enum { PORT_PAGE_SHIFT = 4, MEMORY_PAGE_SHIFT = 12 };

void bus_init(struct bus *bus, const char *name) { *bus = (struct bus){ .name = name }; }

void bus_destroy(struct bus *bus)
{
    free(bus->range);
    *bus = (struct bus){ .name = bus->name };
}

/* Index of the first range that ends above addr. */
static unsigned lower_bound(const struct bus *bus, uint64_t addr)
{
    unsigned lo = 0, hi = bus->count;
    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        const struct bus_range *r = &bus->range[mid];
        if (r->base + (r->len - 1) < addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int bus_add(struct bus *bus, uint64_t base, uint64_t len, struct device *dev, unsigned region,
            const char *name)
{
    if (!len || base + (len - 1) < base)
        return -EINVAL;
    unsigned at = lower_bound(bus, base);
    if (at < bus->count && range_overlaps(base, len, bus->range[at].base, bus->range[at].len))
        return -EEXIST;
    if (bus->count == bus->capacity) {
        unsigned capacity = bus->capacity ? bus->capacity * 2 : 32;
        struct bus_range *range = realloc(bus->range, capacity * sizeof(*range));
        if (!range)
            return -ENOMEM;
        bus->range = range;
        bus->capacity = capacity;
    }
    memmove(&bus->range[at + 1], &bus->range[at], (bus->count - at) * sizeof(*bus->range));
    bus->range[at] =
        (struct bus_range){ .base = base, .len = len, .dev = dev, .region = region, .name = name };
    bus->count++;
    return 0;
}

void bus_remove(struct bus *bus, struct device *dev, unsigned region)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < bus->count; i++)
        if (bus->range[i].dev != dev || bus->range[i].region != region)
            bus->range[kept++] = bus->range[i];
    bus->count = kept;
}

/* Guests probe; that is worth one line per page to who asked for the trace, never more. */
static void unanswered(struct bus *bus, uint64_t addr, unsigned len, bool write)
{
    bool ports = !strcmp(bus->name, "pio");
    uint64_t page = addr >> (ports ? PORT_PAGE_SHIFT : MEMORY_PAGE_SHIFT);
    bus->unmapped++;
    for (unsigned i = 0; i < bus->traced_count; i++)
        if (bus->traced[i] == page)
            return;
    if (bus->traced_count == ARRAY_LEN(bus->traced))
        return;
    bus->traced[bus->traced_count++] = page;
    trace(ports ? LOG_PIO : LOG_MMIO, "nobody answers %s of %u bytes at %#" PRIx64,
          write ? "a write" : "a read", len, addr);
}

static void split(struct bus *bus, uint64_t addr, uint8_t *data, unsigned len, bool write,
                  unsigned piece)
{
    for (unsigned i = 0; i < len; i += piece)
        bus_access(bus, addr + i, data + i, piece, write);
}

void bus_access(struct bus *bus, uint64_t addr, void *data, unsigned len, bool write)
{
    unsigned at = lower_bound(bus, addr);
    struct bus_range *r = at < bus->count ? &bus->range[at] : NULL;
    if (!r || !range_overlaps(addr, len, r->base, r->len)) {
        if (!write)
            memset(data, 0xff, len);
        unanswered(bus, addr, len, write);
        return;
    }
    bool whole = addr >= r->base && range_ok(addr - r->base, len, r->len);
    if (!whole || (len & (len - 1)) || len > 8) {
        split(bus, addr, data, len, write, 1);
        return;
    }
    unsigned max = r->dev->ops->max_size;
    if (max && len > max) {
        split(bus, addr, data, len, write, max);
        return;
    }
    if (write)
        r->writes++;
    else
        r->reads++;
    /* The device may move ranges (a BAR), so r is dead after the call. */
    uint64_t val = write ? le_get(data, len) : ~0ull;
    const char *name = r->name;
    if (r->dev->ops->access(r->dev, r->region, addr - r->base, len, &val, write) != DEVICE_OK) {
        unanswered(bus, addr, len, write);
        val = ~0ull;
    }
    if (!write)
        le_put(data, val, len);
    trace(bus->name[0] == 'p' ? LOG_PIO : LOG_MMIO, "%s %s %#" PRIx64 " size %u: %#" PRIx64, name,
          write ? "write" : "read", addr, len, val & size_mask(len));
}

void bus_stats(const struct bus *bus, FILE *f)
{
    for (unsigned i = 0; i < bus->count; i++) {
        const struct bus_range *r = &bus->range[i];
        if (r->reads || r->writes)
            fprintf(f, "%s %#" PRIx64 " %s: %" PRIu64 " reads, %" PRIu64 " writes\n", bus->name,
                    r->base, r->name, r->reads, r->writes);
    }
    if (bus->unmapped)
        fprintf(f, "%s unanswered: %" PRIu64 "\n", bus->name, bus->unmapped);
}
