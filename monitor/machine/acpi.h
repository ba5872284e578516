/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI tables of the PC. */
#ifndef MONITOR_MACHINE_ACPI_H
#define MONITOR_MACHINE_ACPI_H

#include "monitor/memmap.h"

enum { ACPI_SCI = 9, ACPI_PCI_PINS = 4 };

struct acpi_config {
    unsigned cpus;
    uint16_t pm_base;   /* of device/acpi_pm.h's range */
    bool pci;           /* host bridge, ECAM, windows */
    unsigned pci_slots; /* slots of bus 0 that _PRT names */
    /* GSI of a slot's INTA..D (pin 0..3). */
    unsigned (*pci_gsi)(unsigned slot, unsigned pin);
    uint64_t pci_high_base, pci_high_end; /* 64-bit window, end exclusive; equal: none */
};

/* Writes all tables into buf, which the guest sees at base (16-byte aligned). Puts out the RSDP's
 * address. -ENOSPC. */
WARN_UNUSED int acpi_build(const struct acpi_config *, uint8_t *buf, size_t len, uint64_t base,
                           uint64_t *rsdp);

#endif
