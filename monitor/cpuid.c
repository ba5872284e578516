/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID of one vCPU. [SDM] vol. 2A "CPUID", [APM] vol. 3 appendix E. */
#include "monitor/cpuid.h"

#include <errno.h>
#include <string.h>

enum leaf {
    LEAF_VENDOR = 0,
    LEAF_FEATURES = 1,
    LEAF_CACHES = 4,
    LEAF_TOPOLOGY = 0xb,
    LEAF_TSC = 0x15,
    LEAF_TOPOLOGY_V2 = 0x1f,
};
#define LEAF_EXT_FEATURES 0x80000001u
#define LEAF_EXT_SIZES    0x80000008u
#define LEAF_AMD_CACHES   0x8000001du
#define LEAF_AMD_TOPOLOGY 0x8000001eu

#define FEATURE_C_TSC_DEADLINE BIT(24)
#define FEATURE_C_OSXSAVE      BIT(27)
#define FEATURE_C_HYPERVISOR   BIT(31)
#define FEATURE_D_HTT          BIT(28)
#define EXT_C_CMP_LEGACY       BIT(1)

enum { TOPOLOGY_SMT = 1, TOPOLOGY_CORE = 2 };

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid2 *t, uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; i < t->nent; i++) {
        struct kvm_cpuid_entry2 *e = &t->entries[i];
        if (e->function == leaf &&
            (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == subleaf))
            return e;
    }
    return NULL;
}

static void remove_leaf(struct kvm_cpuid2 *t, uint32_t leaf)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < t->nent; i++)
        if (t->entries[i].function != leaf)
            t->entries[kept++] = t->entries[i];
    t->nent = kept;
}

static int append(struct kvm_cpuid2 *t, const struct kvm_cpuid_entry2 *e)
{
    if (t->nent >= CPUID_MAX_ENTRIES)
        return -ENOSPC;
    t->entries[t->nent++] = *e;
    return 0;
}

/* Number of bits that number n things. */
static unsigned width(unsigned n)
{
    unsigned bits = 0;
    while ((1u << bits) < n)
        bits++;
    return bits;
}

void cpuid_ratio(uint64_t a, uint64_t b, uint32_t max, uint32_t *num, uint32_t *den)
{
    /* Continued fraction: convergents are the best approximations for their size. */
    uint64_t n0 = 0, n1 = 1, d0 = 1, d1 = 0;
    while (b) {
        uint64_t q = a / b, r = a % b, n2, d2;
        if (__builtin_mul_overflow(q, n1, &n2) || __builtin_add_overflow(n2, n0, &n2) ||
            __builtin_mul_overflow(q, d1, &d2) || __builtin_add_overflow(d2, d0, &d2) || n2 > max ||
            d2 > UINT32_MAX)
            break;
        n0 = n1, n1 = n2, d0 = d1, d1 = d2;
        a = b, b = r;
    }
    if (!d1) /* even the integer part is too large */
        n1 = max, d1 = 1;
    *num = (uint32_t)n1;
    *den = (uint32_t)d1;
}

static int set_topology(struct kvm_cpuid2 *t, const struct cpuid_topology *topo)
{
    const struct {
        uint32_t shift, count, level;
    } levels[] = {
        { 0, 1, TOPOLOGY_SMT },
        { width(topo->cpus), topo->cpus, TOPOLOGY_CORE },
        { 0, 0, 0 },
    };
    for (unsigned i = 0; i < ARRAY_LEN(levels); i++) {
        struct kvm_cpuid_entry2 e = {
            .function = LEAF_TOPOLOGY,
            .index = i,
            .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
            .eax = levels[i].shift,
            .ebx = levels[i].count,
            .ecx = i | levels[i].level << 8,
            .edx = topo->id,
        };
        int err = append(t, &e);
        if (err)
            return err;
    }
    return 0;
}

/* One thread a core, all cores in one package; the last-level cache is theirs together. */
static void set_cache_sharing(struct kvm_cpuid_entry2 *e, const struct cpuid_topology *topo)
{
    uint32_t cores = (1u << width(topo->cpus)) - 1;
    uint32_t type = (uint32_t)bits_get(e->eax, 4, 0), level = (uint32_t)bits_get(e->eax, 7, 5);
    if (!type)
        return;
    e->eax &= (uint32_t)~BITS(31, 14);
    e->eax |= (level >= 3 ? cores : 0) << 14;
    if (e->function == LEAF_CACHES)
        e->eax |= MIN(cores, 63u) << 26;
}

int cpuid_complete(struct kvm_cpuid2 *t, const struct cpuid_topology *topo)
{
    const struct kvm_cpuid_entry2 *vendor = find(t, LEAF_VENDOR, 0);
    uint32_t max = vendor ? vendor->eax : 0;
    bool intel = vendor && vendor->ebx == 0x756e6547; /* "Genu" */
    unsigned bits = width(topo->cpus);

    remove_leaf(t, LEAF_TOPOLOGY);
    remove_leaf(t, LEAF_TOPOLOGY_V2);
    for (unsigned i = 0; i < t->nent; i++) {
        struct kvm_cpuid_entry2 *e = &t->entries[i];
        switch (e->function) {
        case LEAF_FEATURES:
            e->ebx = (e->ebx & 0xffff) | (1u << bits) << 16 | topo->id << 24;
            e->ecx |= FEATURE_C_HYPERVISOR;
            e->ecx &= (uint32_t)~FEATURE_C_OSXSAVE; /* follows CR4 */
            if (topo->tsc_deadline)
                e->ecx |= FEATURE_C_TSC_DEADLINE;
            e->edx &= (uint32_t)~FEATURE_D_HTT;
            if (topo->cpus > 1)
                e->edx |= FEATURE_D_HTT;
            break;
        case LEAF_CACHES:
        case LEAF_AMD_CACHES: set_cache_sharing(e, topo); break;
        case LEAF_TSC:
            if (topo->tsc_khz && intel && !e->ebx) {
                /* The crystal is the local APIC timer's clock, 1 GHz in KVM and here. Linux
                 * multiplies crystal kHz and numerator in 32 bits. */
                uint32_t num, den;
                cpuid_ratio(topo->tsc_khz, 1000000, UINT32_MAX / 1000000, &num, &den);
                e->eax = den, e->ebx = num, e->ecx = 1000000000;
            }
            break;
        case LEAF_EXT_FEATURES:
            e->ecx &= (uint32_t)~EXT_C_CMP_LEGACY;
            if (topo->cpus > 1 && !intel)
                e->ecx |= EXT_C_CMP_LEGACY;
            break;
        case LEAF_EXT_SIZES:
            if (!intel)
                e->ecx = (e->ecx & (uint32_t) ~(BITS(7, 0) | BITS(15, 12))) | (topo->cpus - 1) |
                         bits << 12;
            break;
        case LEAF_AMD_TOPOLOGY: e->eax = topo->id, e->ebx = topo->id, e->ecx = 0; break;
        default: break;
        }
    }
    return max >= LEAF_TOPOLOGY ? set_topology(t, topo) : 0;
}

unsigned cpuid_phys_bits(const struct kvm_cpuid2 *t)
{
    for (unsigned i = 0; i < t->nent; i++)
        if (t->entries[i].function == LEAF_EXT_SIZES && (t->entries[i].eax & 0xff))
            return MIN(t->entries[i].eax & 0xff, 52u);
    return 36;
}
