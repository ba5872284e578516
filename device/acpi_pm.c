/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI fixed hardware registers: [ACPI] 6.4 chapter 4 "ACPI Hardware Specification". */
#include "device/acpi_pm.h"

#include "lib/state.h"

/* PM1 status and enable */
#define PM1_TMR    BIT(0)
#define PM1_BM     BIT(4)
#define PM1_GBL    BIT(5)
#define PM1_PWRBTN BIT(8)
#define PM1_SLPBTN BIT(9)
#define PM1_RTC    BIT(10)
#define PM1_WAK    BIT(15)
#define PM1_STATUS (PM1_TMR | PM1_BM | PM1_GBL | PM1_PWRBTN | PM1_SLPBTN | PM1_RTC | PM1_WAK)
#define PM1_ENABLE (PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_SLPBTN | PM1_RTC)

/* PM1 control */
#define CNT_SCI_EN  BIT(0)
#define CNT_BM_RLD  BIT(1)
#define CNT_SLP_TYP BITS(12, 10)
#define CNT_SLP_EN  BIT(13)

#define TIMER_HZ 3579545u

static uint64_t timer_ticks(const struct acpi_pm *p)
{
    uint64_t now = p->clock->now_ns(p->clock->ctx);
    return (uint64_t)((unsigned __int128)now * TIMER_HZ / 1000000000u);
}

static int irq_level(const struct acpi_pm *p)
{
    return (p->s.pm1_status & p->s.pm1_enable) || (p->s.gpe_status & p->s.gpe_enable);
}

/* The timer's status bit follows each change of its highest bit. */
static void sync(struct acpi_pm *p)
{
    uint64_t half = timer_ticks(p) >> 31;
    if (half != p->s.timer_half)
        p->s.pm1_status |= PM1_TMR;
    p->s.timer_half = half;
}

static void update(struct acpi_pm *p)
{
    if (p->timer.set) {
        uint64_t next = UINT64_MAX;
        if ((p->s.pm1_enable & PM1_TMR) && !(p->s.pm1_status & PM1_TMR))
            next = (uint64_t)((unsigned __int128)((p->s.timer_half + 1) << 31) * 1000000000u /
                              TIMER_HZ) +
                   1;
        p->timer.set(&p->timer, next);
    }
    irq_set(&p->sci, irq_level(p));
}

static void fire(void *arg)
{
    struct acpi_pm *p = arg;
    sync(p);
    update(p);
}

static uint8_t read_byte(struct acpi_pm *p, unsigned offset)
{
    switch (offset) {
    case ACPI_PM1_EVT: return (uint8_t)p->s.pm1_status;
    case ACPI_PM1_EVT + 1: return (uint8_t)(p->s.pm1_status >> 8);
    case ACPI_PM1_EVT + 2: return (uint8_t)p->s.pm1_enable;
    case ACPI_PM1_EVT + 3: return (uint8_t)(p->s.pm1_enable >> 8);
    case ACPI_PM1_CNT: return (uint8_t)p->s.pm1_control;
    case ACPI_PM1_CNT + 1: return (uint8_t)(p->s.pm1_control >> 8);
    case ACPI_GPE0 ... ACPI_GPE0 + 3: return (uint8_t)(p->s.gpe_status >> 8 * (offset & 3));
    case ACPI_GPE0 + 4 ... ACPI_GPE0 + 7: return (uint8_t)(p->s.gpe_enable >> 8 * (offset & 3));
    default: return 0;
    }
}

static void put_byte(uint16_t *reg, unsigned n, uint8_t val)
{
    *reg = (uint16_t)((*reg & ~(0xff << 8 * n)) | val << 8 * n);
}

static void write_control(struct acpi_pm *p, unsigned n, uint8_t val)
{
    put_byte(&p->s.pm1_control, n, val);
    bool sleep = p->s.pm1_control & CNT_SLP_EN;
    /* There is no SMI that could turn ACPI mode off: SCI_EN is always one. */
    p->s.pm1_control = (p->s.pm1_control & (CNT_BM_RLD | CNT_SLP_TYP)) | CNT_SCI_EN;
    if (sleep && bits_get(p->s.pm1_control, 12, 10) == ACPI_PM_S5_TYPE)
        power_request(&p->power, POWER_OFF, 0);
}

static void write_byte(struct acpi_pm *p, unsigned offset, uint8_t val)
{
    switch (offset) {
    case ACPI_PM1_EVT:
    case ACPI_PM1_EVT + 1:
        p->s.pm1_status &= (uint16_t) ~(val << 8 * (offset - ACPI_PM1_EVT));
        break;
    case ACPI_PM1_EVT + 2:
    case ACPI_PM1_EVT + 3:
        put_byte(&p->s.pm1_enable, offset - ACPI_PM1_EVT - 2, val);
        p->s.pm1_enable &= PM1_ENABLE;
        break;
    case ACPI_PM1_CNT:
    case ACPI_PM1_CNT + 1: write_control(p, offset - ACPI_PM1_CNT, val); break;
    case ACPI_GPE0 ... ACPI_GPE0 + 3:
        p->s.gpe_status &= ~((uint32_t)val << 8 * (offset & 3));
        break;
    case ACPI_GPE0 + 4 ... ACPI_GPE0 + 7:
        p->s.gpe_enable &= ~(0xffu << 8 * (offset & 3));
        p->s.gpe_enable |= (uint32_t)val << 8 * (offset & 3);
        break;
    default: break;
    }
}

static enum device_result acpi_pm_access(struct device *dev, unsigned region, uint64_t offset,
                                         unsigned size, uint64_t *val, bool write)
{
    struct acpi_pm *p = container_of(dev, struct acpi_pm, dev);
    (void)region;
    if (!range_ok(offset, size, ACPI_PM_LEN))
        return DEVICE_UNMAPPED;
    if (offset >= ACPI_PM_TMR && offset < ACPI_PM_TMR + ACPI_PM_TMR_LEN && !write) {
        *val = (uint32_t)timer_ticks(p) >> 8 * (offset - ACPI_PM_TMR); /* in one piece */
        return DEVICE_OK;
    }
    sync(p);
    uint64_t got = 0;
    for (unsigned i = 0; i < size; i++) {
        if (write)
            write_byte(p, (unsigned)offset + i, (uint8_t)(*val >> 8 * i));
        else
            got |= (uint64_t)read_byte(p, (unsigned)offset + i) << 8 * i;
    }
    if (!write)
        *val = got;
    update(p);
    return DEVICE_OK;
}

void acpi_pm_power_button(struct acpi_pm *p)
{
    p->s.pm1_status |= PM1_PWRBTN;
    update(p);
}

static void acpi_pm_reset(struct device *dev)
{
    struct acpi_pm *p = container_of(dev, struct acpi_pm, dev);
    p->s = (__typeof__(p->s)){ .pm1_control = CNT_SCI_EN, .timer_half = timer_ticks(p) >> 31 };
    update(p);
}

static int acpi_pm_state(struct device *dev, struct state *st)
{
    struct acpi_pm *p = container_of(dev, struct acpi_pm, dev);
    if (!st->loading)
        sync(p);
    STATE_INT(st, &p->s, pm1_status, 0, PM1_STATUS);
    STATE_INT(st, &p->s, pm1_enable, 0, PM1_ENABLE);
    STATE_INT(st, &p->s, pm1_control, CNT_SCI_EN, CNT_SCI_EN | CNT_BM_RLD | CNT_SLP_TYP);
    STATE_INT(st, &p->s, gpe_status, 0, UINT32_MAX);
    STATE_INT(st, &p->s, gpe_enable, 0, UINT32_MAX);
    if (!st->error && st->loading) {
        p->s.timer_half = timer_ticks(p) >> 31;
        update(p);
    }
    return st->error;
}

static const struct device_ops acpi_pm_ops = {
    .name = "acpi_pm",
    .access = acpi_pm_access,
    .reset = acpi_pm_reset,
    .state = acpi_pm_state,
};

void acpi_pm_init(struct acpi_pm *p)
{
    p->dev.ops = &acpi_pm_ops;
    p->timer.fire = fire;
    p->timer.arg = p;
    acpi_pm_reset(&p->dev);
}
