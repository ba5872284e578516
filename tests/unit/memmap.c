/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory map: order, splitting of RAM, refusals, queries. */
#include "monitor/memmap.h"

#include <errno.h>

#include "unit.h"

static void check_sorted(const struct memmap *m)
{
    for (unsigned i = 1; i < m->count; i++)
        CHECK(m->range[i - 1].base + m->range[i - 1].len <= m->range[i].base);
}

int main(void)
{
    struct memmap m = { .count = 0 };

    CHECK_EQ(memmap_add(&m, 0, MiB(64), MEMMAP_RAM, "ram"), 0);
    CHECK_EQ(memmap_add(&m, PC_HIGH_RAM, MiB(64), MEMMAP_RAM, "ram"), 0);
    CHECK_EQ(memmap_add(&m, PC_IOAPIC, 0x1000, MEMMAP_MMIO, "ioapic"), 0);
    CHECK_EQ(memmap_add(&m, PC_VGA, 0x20000, MEMMAP_MMIO, "vga"), 0);     /* splits */
    CHECK_EQ(memmap_add(&m, 0x9fc00, 0x400, MEMMAP_RESERVED, "ebda"), 0); /* cuts a tail */
    CHECK_EQ(memmap_add(&m, MiB(63), MiB(2), MEMMAP_NVS, "over the end"), 0);
    CHECK_EQ(m.count, 7);
    check_sorted(&m);
    CHECK_EQ(-memmap_add(&m, PC_VGA, 1, MEMMAP_RESERVED, "x"), EEXIST);
    CHECK_EQ(-memmap_add(&m, 0, 1, MEMMAP_RAM, "x"), EEXIST);
    CHECK_EQ(-memmap_add(&m, 0, 0, MEMMAP_RAM, "x"), EINVAL);
    CHECK_EQ(-memmap_add(&m, ~0ull, 2, MEMMAP_RAM, "x"), EINVAL);
    CHECK_EQ(m.count, 7);

    CHECK_EQ(memmap_at(&m, 0), MEMMAP_RAM);
    CHECK_EQ(memmap_at(&m, 0x9fbff), MEMMAP_RAM);
    CHECK_EQ(memmap_at(&m, 0x9fc00), MEMMAP_RESERVED);
    CHECK_EQ(memmap_at(&m, 0xbffff), MEMMAP_MMIO);
    CHECK_EQ(memmap_at(&m, 0xc0000), MEMMAP_RAM);
    CHECK_EQ(memmap_at(&m, MiB(63)), MEMMAP_NVS);
    CHECK_EQ(memmap_at(&m, MiB(65)), 0);
    CHECK_EQ(memmap_at(&m, ~0ull), 0);

    CHECK_EQ(memmap_ram_end(&m, GiB(4)), MiB(63));
    CHECK_EQ(memmap_ram_end(&m, MiB(10)), MiB(10));
    CHECK_EQ(memmap_ram_end(&m, ~0ull), PC_HIGH_RAM + MiB(64));
    CHECK_EQ(memmap_ram_end(&m, 0), 0);

    CHECK_EQ(memmap_add(&m, 0, 0x9fc00, MEMMAP_ACPI, "all of it"), 0); /* replaces */
    CHECK_EQ(memmap_at(&m, 0), MEMMAP_ACPI);
    CHECK_EQ(m.count, 7);
    for (unsigned i = 0; m.count < MEMMAP_MAX; i++)
        CHECK_EQ(memmap_add(&m, GiB(64) + 4096 * i, 16, MEMMAP_RESERVED, "r"), 0);
    CHECK_EQ(-memmap_add(&m, GiB(80), 16, MEMMAP_RESERVED, "r"), ENOSPC);
    check_sorted(&m);
    return unit_done("memmap");
}
