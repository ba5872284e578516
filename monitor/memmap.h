/* SPDX-License-Identifier: BSD-2-Clause */
/* One table of guest-physical ranges, from which E820, ACPI, multiboot's map and the memory slots
 * are made. */
#ifndef MONITOR_MEMMAP_H
#define MONITOR_MEMMAP_H

#include "lib/bits.h"

enum memmap_type {
    MEMMAP_RAM = 1,
    MEMMAP_RESERVED = 2,
    MEMMAP_ACPI = 3,
    MEMMAP_NVS = 4,
    MEMMAP_MMIO = 100 /* not told as E820 */
};
enum { MEMMAP_MAX = 32 };

struct memmap_range {
    uint64_t base, len;
    enum memmap_type type;
    const char *name;
};

struct memmap {
    struct memmap_range range[MEMMAP_MAX];
    unsigned count;
}; /* sorted, disjoint */

/* The PC's addresses that are fixed (docs/architecture.md has the picture). */
#define PC_LOW_RAM_END  0x9fc00ull /* EBDA above */
#define PC_EBDA         0x9fc00ull
#define PC_VGA          0xa0000ull
#define PC_VGA_TEXT     0xb8000ull
#define PC_BIOS_ROM     0xe0000ull    /* tables we place lie here: reserved */
#define PC_HOLE_START   0xc0000000ull /* RAM below 4 GiB ends here at most */
#define PC_ECAM         0xe0000000ull /* 256 MiB: buses 0..255 */
#define PC_PCI_MMIO     0xc0000000ull /* 32-bit BARs: 512 MiB */
#define PC_PCI_MMIO_END 0xe0000000ull
#define PC_IOAPIC       0xfec00000ull
#define PC_LAPIC        0xfee00000ull
#define PC_KVM_IDENTITY 0xfffbc000ull /* KVM's identity-map page and TSS (Intel hosts) */
#define PC_KVM_TSS      0xfffbd000ull
#define PC_HIGH_RAM     0x100000000ull

/* -EEXIST on overlap, -ENOSPC if full. Splits RAM that covers it when type is not RAM. */
WARN_UNUSED int memmap_add(struct memmap *, uint64_t base, uint64_t len, enum memmap_type,
                           const char *name);
/* The type at an address, 0 for none. */
int memmap_at(const struct memmap *, uint64_t gpa);
/* End of usable RAM below a limit (for initrd placement); 0 if none. */
uint64_t memmap_ram_end(const struct memmap *, uint64_t limit);

#endif
