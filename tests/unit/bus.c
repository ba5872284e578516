/* SPDX-License-Identifier: BSD-2-Clause */
/* The bus: splitting, unanswered accesses, ranges that move during an access. */
#include "monitor/bus.h"

#include <errno.h>
#include <string.h>

#include "unit.h"

struct fake {
    struct device dev;
    uint8_t reg[16];
    unsigned calls, last_size;
    struct bus *moves;
};

static enum device_result fake_access(struct device *dev, unsigned region, uint64_t offset,
                                      unsigned size, uint64_t *val, bool write)
{
    struct fake *f = container_of(dev, struct fake, dev);
    f->calls++;
    f->last_size = size;
    CHECK(region == 3);
    CHECK(range_ok(offset, size, sizeof(f->reg)));
    if (f->moves) {
        bus_remove(f->moves, dev, region);
        CHECK_EQ(bus_add(f->moves, 0x900, 16, dev, region, "moved"), 0);
        f->moves = NULL;
    }
    if (offset == 15)
        return DEVICE_UNMAPPED;
    if (write)
        le_put(f->reg + offset, *val, size);
    else
        *val = le_get(f->reg + offset, size);
    return DEVICE_OK;
}

static const struct device_ops fake_ops = { .name = "fake", .access = fake_access };
static const struct device_ops byte_ops = { .name = "byte", .access = fake_access, .max_size = 1 };

int main(void)
{
    struct bus bus;
    struct fake a = { .dev.ops = &fake_ops }, b = { .dev.ops = &byte_ops };
    uint64_t v;
    uint8_t three[3] = { 1, 2, 3 };

    bus_init(&bus, "mmio");
    CHECK_EQ(bus_add(&bus, 0x100, 16, &a.dev, 3, "a"), 0);
    CHECK_EQ(bus_add(&bus, 0x110, 16, &b.dev, 3, "b"), 0);
    CHECK_EQ(-bus_add(&bus, 0x10f, 1, &b.dev, 3, "x"), EEXIST);
    CHECK_EQ(-bus_add(&bus, 0, 0x1000, &b.dev, 3, "x"), EEXIST);
    CHECK_EQ(-bus_add(&bus, 0x11f, 2, &b.dev, 3, "x"), EEXIST);
    CHECK_EQ(-bus_add(&bus, 0x500, 0, &b.dev, 3, "x"), EINVAL);
    CHECK_EQ(-bus_add(&bus, ~0ull, 2, &b.dev, 3, "x"), EINVAL);
    CHECK_EQ(bus_add(&bus, ~0ull, 1, &b.dev, 3, "top"), 0);

    v = 0x1122334455667788;
    bus_access(&bus, 0x100, &v, 8, true);
    CHECK_EQ(a.calls, 1);
    CHECK_EQ(le64(a.reg), 0x1122334455667788);
    v = 0;
    bus_access(&bus, 0x101, &v, 4, false);
    CHECK_EQ(v, 0x44556677);

    bus_access(&bus, 0x104, three, 3, true); /* odd size: bytes */
    CHECK_EQ(a.calls, 5);
    CHECK_EQ(a.last_size, 1);
    CHECK_EQ(le32(a.reg + 4), 0x11030201);

    v = 0xaabbccdd; /* across a and b */
    bus_access(&bus, 0x10e, &v, 4, true);
    CHECK_EQ(a.reg[14], 0xdd);
    CHECK_EQ(b.reg[0], 0xbb);
    CHECK_EQ(b.reg[1], 0xaa);
    CHECK_EQ(bus.unmapped, 1); /* a's offset 15 refuses */

    b.calls = 0;
    v = 0x04030201; /* 8-bit card */
    bus_access(&bus, 0x114, &v, 4, true);
    CHECK_EQ(b.calls, 4);
    CHECK_EQ(le32(b.reg + 4), 0x04030201);

    bus.unmapped = 0;
    v = 0;
    bus_access(&bus, 0xfe, &v, 4, false); /* half before a */
    CHECK_EQ(v & 0xffff, 0xffff);
    CHECK_EQ(bus.unmapped, 2);
    v = 0;
    bus_access(&bus, 0x7000, &v, 8, false);
    CHECK_EQ(v, ~0ull);
    bus_access(&bus, 0x7000, &v, 8, true);
    CHECK_EQ(bus.unmapped, 4);
    v = 0;
    bus_access(&bus, ~0ull - 3, &v, 8, false); /* wraps */
    CHECK_EQ(v & 0xffffff, 0xffffff);

    a.moves = &bus;
    v = 0;
    bus_access(&bus, 0x100, &v, 1, false);
    CHECK_EQ(v, 0x88);
    bus_access(&bus, 0x100, &v, 1, false);
    CHECK_EQ(v & 0xff, 0xff);
    bus_access(&bus, 0x900, &v, 1, false);
    CHECK_EQ(v & 0xff, 0x88);
    for (unsigned i = 0; i < 100; i++)
        bus_access(&bus, 0x100000 + 4096 * i, &v, 4, false);
    for (unsigned i = 0; i < 100; i++)
        CHECK_EQ(bus_add(&bus, 0x200000 + 32 * ((i * 37) % 100), 16, &a.dev, 3, "many"), 0);
    for (unsigned i = 1; i < bus.count; i++)
        CHECK(bus.range[i - 1].base + bus.range[i - 1].len <= bus.range[i].base);
    bus_destroy(&bus);
    return unit_done("bus");
}
