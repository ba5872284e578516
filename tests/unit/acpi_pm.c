/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI fixed hardware: timer rate, power button to SCI, sleep, general-purpose events. */
#include "device/acpi_pm.h"

#include "devtest.h"
#include "unit.h"

static struct acpi_pm p;
static uint32_t rd(unsigned o, unsigned n) { return (uint32_t)dev_read(&p.dev, 0, o, n); }
static void wr(unsigned o, unsigned n, uint32_t v) { dev_write(&p.dev, 0, o, n, v); }

static void setup(void)
{
    env_init();
    p = (struct acpi_pm){ .sci = env_wire(9),
                          .clock = &env_clock,
                          .power = { .request = env_power } };
    p.timer.set = env_timer_set;
    acpi_pm_init(&p);
}

int main(void)
{
    setup();
    uint32_t t = rd(ACPI_PM_TMR, 4);
    env_advance(NULL, 1000000000);
    CHECK_EQ(rd(ACPI_PM_TMR, 4) - t, 3579545);
    t = rd(ACPI_PM_TMR, 4);
    CHECK_EQ(rd(ACPI_PM_TMR + 1, 1), t >> 8 & 0xff);
    wr(ACPI_PM_TMR, 4, 0);
    CHECK_EQ(rd(ACPI_PM_TMR, 4), t);

    CHECK_EQ(rd(ACPI_PM1_CNT, 2), 1); /* ACPI mode, and it stays */
    wr(ACPI_PM1_CNT, 2, 0);
    CHECK_EQ(rd(ACPI_PM1_CNT, 2), 1);

    acpi_pm_power_button(&p);
    CHECK_EQ(env.level[9], 0);
    CHECK_EQ(rd(ACPI_PM1_EVT, 2), 0x100);
    wr(ACPI_PM1_EVT + 2, 2, 0xffff);
    CHECK_EQ(rd(ACPI_PM1_EVT + 2, 2), 0x721);
    CHECK_EQ(env.level[9], 1);
    wr(ACPI_PM1_EVT, 2, 0x100);
    CHECK_EQ(env.level[9], 0);
    CHECK_EQ(rd(ACPI_PM1_EVT, 4), 0x7210000);

    env_advance(&p.timer, 600000000000ull); /* half a period of the timer */
    CHECK_EQ(env.level[9], 1);
    CHECK_EQ(rd(ACPI_PM1_EVT, 2), 1);
    wr(ACPI_PM1_EVT, 1, 1);
    CHECK_EQ(env.level[9], 0);

    p.s.gpe_status = 0x30;
    wr(ACPI_GPE0 + 4, 4, 0x10);
    CHECK_EQ(env.level[9], 1);
    wr(ACPI_GPE0, 1, 0x10);
    CHECK_EQ(env.level[9], 0);
    CHECK_EQ(rd(ACPI_GPE0, 8), 0x20);

    wr(ACPI_PM1_CNT, 2, 3 << 10 | 1 << 13); /* another sleep: nothing */
    CHECK_EQ(env.power, -1);
    CHECK_EQ(rd(ACPI_PM1_CNT, 2), 3 << 10 | 1);
    wr(ACPI_PM1_CNT, 2, ACPI_PM_S5_TYPE << 10);
    CHECK_EQ(env.power, -1);
    wr(ACPI_PM1_CNT + 1, 1, (ACPI_PM_S5_TYPE << 10 | 1 << 13) >> 8);
    CHECK_EQ(env.power, POWER_OFF);

    acpi_pm_power_button(&p);
    wr(ACPI_PM1_EVT + 2, 2, 0x100);
    CHECK_EQ(dev_save(&p.dev), 0);
    p.dev.ops->reset(&p.dev);
    CHECK_EQ(env.level[9], 0);
    CHECK_EQ(dev_load(&p.dev), 0);
    CHECK_EQ(env.level[9], 1);
    for (unsigned o = 0; o < 2 * ACPI_PM_LEN; o++)
        for (unsigned n = 1; n <= 8; n *= 2) {
            (void)dev_read(&p.dev, 0, o, n);
            wr(o, n, 0xffffffff);
        }
    return unit_done("acpi_pm");
}
