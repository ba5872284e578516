/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI fixed hardware: power-management events and control, PM timer, GPE block, power button. */
#ifndef DEVICE_ACPI_PM_H
#define DEVICE_ACPI_PM_H

#include "device/device.h"
#include "device/power.h"

/* Offsets of the blocks in the device's one range, for the FADT. */
enum acpi_pm_layout {
    ACPI_PM1_EVT = 0x00,
    ACPI_PM1_EVT_LEN = 4,
    ACPI_PM1_CNT = 0x04,
    ACPI_PM1_CNT_LEN = 2,
    ACPI_PM_TMR = 0x08,
    ACPI_PM_TMR_LEN = 4,
    ACPI_GPE0 = 0x10,
    ACPI_GPE0_LEN = 8, /* four bytes of status, four of enable */
    ACPI_PM_LEN = 0x18,
};
enum { ACPI_PM_S5_TYPE = 5 }; /* SLP_TYP of \_S5 */

struct acpi_pm {
    struct device dev;
    struct irq_wire sci;
    const struct device_clock *clock;
    struct device_timer timer; /* optional: the timer's overflow interrupt */
    struct power_wire power;
    struct {
        uint16_t pm1_status, pm1_enable, pm1_control;
        uint32_t gpe_status, gpe_enable;
        uint64_t timer_half; /* half periods of the timer seen so far */
    } s;
};

/* On the caller's memory, with wires and clock filled in. */
void acpi_pm_init(struct acpi_pm *);
void acpi_pm_power_button(struct acpi_pm *);

#endif
