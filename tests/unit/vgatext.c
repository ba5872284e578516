/* SPDX-License-Identifier: BSD-2-Clause */
/* VGA text as a stream: printing, new lines, scrolling, clearing, overwriting; port probes. */
#include "device/vgatext.h"

#include "devtest.h"
#include "unit.h"

static struct vgatext v;

static void setup(void)
{
    env_init();
    v.out = (struct char_backend){ .write = env_write };
    vgatext_init(&v);
    env_init();
}

static void put(unsigned row, unsigned col, char c)
{
    dev_write(&v.dev, 0, row * 160 + col * 2, 2, (uint64_t)(uint8_t)c | 0x0700);
}

static void print(unsigned row, unsigned col, const char *s)
{
    while (*s)
        put(row, col++, *s++);
}

static void clear(void)
{
    for (unsigned i = 0; i < 25 * 80; i++)
        put(i / 80, i % 80, ' ');
}

static void scroll(unsigned unit)
{
    for (unsigned o = 0; o < 24 * 160; o += unit)
        dev_write(&v.dev, 0, o, unit, dev_read(&v.dev, 0, o + 160, unit));
    for (unsigned c = 0; c < 80; c++)
        put(24, c, ' ');
}

static void expect(const char *want)
{
    CHECK(!strcmp(env.out, want));
    if (strcmp(env.out, want))
        printf("got \"%s\" expected \"%s\"\n", env.out, want);
}

int main(void)
{
    setup();
    clear();
    print(0, 0, "hello, world");
    print(1, 0, "second");
    print(1, 10, "column");
    expect("hello, world\nsecond    column");
    CHECK_EQ(dev_read(&v.dev, 0, 2, 1), 'e');
    CHECK_EQ(dev_read(&v.dev, 0, 0, 4), 0x07650768);

    for (unsigned unit = 1; unit <= 8; unit *= 2) {
        char want[256] = "";
        setup();
        for (unsigned i = 0; i < 30; i++) {
            char line[16];
            snprintf(line, sizeof(line), i % 3 ? "line %u" : "  same", i);
            if (i >= 25)
                scroll(unit);
            print(MIN(i, 24u), 0, line);
            snprintf(want + strlen(want), sizeof(want) - strlen(want), "%s%s", i ? "\n" : "", line);
        }
        expect(want);
    }

    setup();
    print(5, 0, "top");
    clear();
    print(0, 0, "new");
    expect("\ntop\nnew");
    print(0, 0, "newer"); /* what stands there already is not news */
    expect("\ntop\nnewer");
    setup();
    print(0, 0, "count 1");
    print(0, 6, "2"); /* rewritten in place: the row again */
    expect("count 1\ncount 2");
    setup();
    put(0, 0, '\1');
    put(0, 1, (char)0xb0);
    expect("..");
    for (unsigned i = 0; i < 80; i++)
        put(1, i, 'x');
    put(2, 0, 'y');
    CHECK_EQ(env.out_len, 2 + 81 + 2);

    for (unsigned o = 0x7ff0; o < 0x8010; o++)
        dev_write(&v.dev, 0, o, 8, 0x4141414141414141);
    CHECK_EQ(dev_read(&v.dev, 0, 0x7fff, 2), ~0ull);

    /* The probe of old drivers: does the cursor register hold a value? */
    dev_write(&v.dev, 1, 0x14, 2, 0x550f);
    dev_write(&v.dev, 1, 0x14, 1, 0x0f);
    CHECK_EQ(dev_read(&v.dev, 1, 0x15, 1), 0x55);
    uint64_t s1 = dev_read(&v.dev, 1, 0x1a, 1), s2 = dev_read(&v.dev, 1, 0x1a, 1);
    CHECK_EQ(s1 ^ s2, 0x09);
    dev_write(&v.dev, 1, 0, 1, 0x10);
    dev_write(&v.dev, 1, 0, 1, 0x0c);
    CHECK_EQ(dev_read(&v.dev, 1, 1, 1), 0x0c);

    CHECK_EQ(dev_save(&v.dev), 0);
    CHECK_EQ(dev_load(&v.dev), 0);
    return unit_done("vgatext");
}
