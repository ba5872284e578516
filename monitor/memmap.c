/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of guest-physical ranges: sorted, disjoint, RAM gives way to what is put over it. */
#include "monitor/memmap.h"

#include <errno.h>
#include <string.h>

static void insert(struct memmap *map, unsigned at, struct memmap_range r)
{
    memmove(&map->range[at + 1], &map->range[at], (map->count - at) * sizeof(r));
    map->range[at] = r;
    map->count++;
}

int memmap_add(struct memmap *map, uint64_t base, uint64_t len, enum memmap_type type,
               const char *name)
{
    if (!len || base + (len - 1) < base)
        return -EINVAL;
    uint64_t last = base + (len - 1);
    unsigned extra = 1;

    for (unsigned i = 0; i < map->count; i++) {
        const struct memmap_range *r = &map->range[i];
        if (!range_overlaps(base, len, r->base, r->len))
            continue;
        if (type == MEMMAP_RAM || r->type != MEMMAP_RAM)
            return -EEXIST;
        if (r->base < base && r->base + (r->len - 1) > last)
            extra++;
    }
    if (map->count + extra > MEMMAP_MAX)
        return -ENOSPC;

    unsigned i = 0;
    while (i < map->count) {
        struct memmap_range *r = &map->range[i];
        if (!range_overlaps(base, len, r->base, r->len)) {
            i++;
            continue;
        }
        uint64_t r_last = r->base + (r->len - 1);
        struct memmap_range tail = *r;
        bool keeps_tail = r_last > last;
        tail.base = last + 1;
        tail.len = r_last - last;
        if (r->base < base) {
            r->len = base - r->base;
            i++;
            if (keeps_tail)
                insert(map, i, tail);
        } else if (keeps_tail) {
            *r = tail;
            i++;
        } else {
            map->count--;
            memmove(r, r + 1, (map->count - i) * sizeof(*r));
        }
    }
    for (i = 0; i < map->count && map->range[i].base < base; i++)
        ;
    insert(map, i, (struct memmap_range){ base, len, type, name });
    return 0;
}

int memmap_at(const struct memmap *map, uint64_t gpa)
{
    for (unsigned i = 0; i < map->count; i++)
        if (gpa >= map->range[i].base && gpa - map->range[i].base < map->range[i].len)
            return map->range[i].type;
    return 0;
}

uint64_t memmap_ram_end(const struct memmap *map, uint64_t limit)
{
    uint64_t end = 0;
    for (unsigned i = 0; i < map->count; i++) {
        const struct memmap_range *r = &map->range[i];
        if (r->type == MEMMAP_RAM && r->base < limit)
            end = MAX(end, r->len < limit - r->base ? r->base + r->len : limit);
    }
    return end;
}
