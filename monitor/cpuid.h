/* SPDX-License-Identifier: BSD-2-Clause */
/* What a vCPU's CPUID says beyond what the engine can do: its APIC id, topology, clock. */
#ifndef MONITOR_CPUID_H
#define MONITOR_CPUID_H

#include <linux/kvm.h>

#include "lib/bits.h"

enum { CPUID_MAX_ENTRIES = 256 };

struct cpuid_topology {
    unsigned id, cpus;
    uint32_t tsc_khz; /* 0: unknown, leaf 0x15 stays as it is */
    bool tsc_deadline;
};

/* Makes a vCPU's table of the engine's in place (room for CPUID_MAX_ENTRIES). -ENOSPC if full. */
WARN_UNUSED int cpuid_complete(struct kvm_cpuid2 *, const struct cpuid_topology *);
/* Physical-address width the table tells the guest. */
unsigned cpuid_phys_bits(const struct kvm_cpuid2 *);
/* num/den closest to a/b with num <= max; a, b > 0. */
void cpuid_ratio(uint64_t a, uint64_t b, uint32_t max, uint32_t *num, uint32_t *den);

#endif
