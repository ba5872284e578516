/* SPDX-License-Identifier: BSD-2-Clause */
/* The processor model a guest of the software engine sees: one table for CPUID and the MSRs that go
 * with it. */
#ifndef ISA_X86_MODEL_H
#define ISA_X86_MODEL_H

#include "isa/x86/cpu.h"

/* Width of a guest-physical address (CPUID 0x80000008); bits of a page-table entry or CR3 beyond
 * it are reserved. */
enum { X86_PHYS_BITS = 46 };

/* One CPUID leaf; the same fields as struct kvm_cpuid_entry2. */
struct x86_cpuid_entry {
    uint32_t leaf, subleaf, flags; /* flags bit 0: the subleaf matters */
    uint32_t eax, ebx, ecx, edx;
};

/* What the emulator can do on this host: the model's features, less those the host's own unit
 * lacks. Never a raw host value. tsc_khz goes into leaves 0x15, 0x16. Returns the number of
 * entries, at most max. */
unsigned x86_model_cpuid(struct x86_cpuid_entry *out, unsigned max, uint32_t tsc_khz);

/* Looks up a leaf in a table by [SDM]'s rules (out-of-range leaves give the highest basic leaf's
 * values) and fills in what depends on the cpu's state (OSXSAVE, APIC bit, XSAVE size by XCR0). */
void x86_model_lookup(const struct x86_cpuid_entry *table, unsigned count, struct x86_cpu *cpu,
                      uint32_t leaf, uint32_t subleaf, uint32_t out[4]);

extern const uint32_t x86_model_msrs[]; /* all MSRs that rdmsr knows, for KVM_GET_MSR_INDEX_LIST */
extern const unsigned x86_model_msr_count;

#endif
