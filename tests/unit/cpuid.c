/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID per vCPU: ids, topology, vendor differences, TSC ratio. */
#include "monitor/cpuid.h"

#include <errno.h>
#include <string.h>

#include "unit.h"

static union {
    struct kvm_cpuid2 head;
    uint8_t room[sizeof(struct kvm_cpuid2) + CPUID_MAX_ENTRIES * sizeof(struct kvm_cpuid_entry2)];
} t;

static struct kvm_cpuid_entry2 *add(uint32_t leaf, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    struct kvm_cpuid_entry2 *e = &t.head.entries[t.head.nent++];
    *e = (struct kvm_cpuid_entry2){ .function = leaf, .eax = a, .ebx = b, .ecx = c, .edx = d };
    return e;
}

static struct kvm_cpuid_entry2 *get(uint32_t leaf, uint32_t index)
{
    static struct kvm_cpuid_entry2 none;
    for (unsigned i = 0; i < t.head.nent; i++)
        if (t.head.entries[i].function == leaf && t.head.entries[i].index == index)
            return &t.head.entries[i];
    return &none;
}

static void base(bool intel)
{
    memset(&t, 0, sizeof(t));
    add(0, 0x16, intel ? 0x756e6547 : 0x68747541, 0, 0);
    add(1, 0x806e9, 0x07100800, 0x08200203, 0x1783fbff);
    if (intel) {
        add(4, 0x1c004121, 0x1c0003f, 0x3f, 0)->flags = 1;
        struct kvm_cpuid_entry2 *l3 = add(4, 0x1c03c163, 0x2c0003f, 0xfff, 0);
        l3->flags = 1, l3->index = 3;
        add(0x15, 0, 0, 0, 0);
    }
    add(0xb, 1, 2, 0x100, 7)->flags = 1;
    add(0x1f, 1, 2, 0x100, 7)->flags = 1;
    add(0x40000000, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
    add(0x80000001, 0, 0, 0x121, 0x2c100800);
    add(0x80000008, 0x3028, 0, 0x4007, 0);
    if (!intel)
        add(0x8000001e, 9, 9, 9, 0);
}

static void test_ratio(void)
{
    static const uint32_t khz[] = { 1000000, 2099998, 2400000, 2893430, 3693061, 4294000, 1234567 };
    uint32_t n, d;
    for (unsigned i = 0; i < ARRAY_LEN(khz); i++) {
        cpuid_ratio(khz[i], 1000000, 4294, &n, &d);
        uint32_t linux_khz = 1000000u * n / d; /* in 32 bits, as Linux does it */
        int32_t off = (int32_t)(linux_khz - khz[i]);
        CHECK(off >= -2 && off <= 2);
    }
    cpuid_ratio(~0ull, 1, 4294, &n, &d);
    CHECK(n <= 4294 && d > 0);
    cpuid_ratio(1, ~0ull, 4294, &n, &d);
    CHECK(n <= 4294 && d > 0);
}

int main(void)
{
    struct cpuid_topology topo = { .id = 3, .cpus = 5, .tsc_khz = 2400000, .tsc_deadline = true };
    base(true);
    CHECK_EQ(cpuid_complete(&t.head, &topo), 0);
    CHECK_EQ(get(1, 0)->ebx, 0x03080800);
    CHECK_EQ(get(1, 0)->ecx >> 31, 1);
    CHECK_EQ(get(1, 0)->ecx & 1u << 27, 0); /* OSXSAVE */
    CHECK_EQ(get(1, 0)->ecx & 1u << 24, 1u << 24);
    CHECK_EQ(get(1, 0)->edx & 1u << 28, 1u << 28);
    CHECK_EQ(get(0xb, 0)->ebx, 1);
    CHECK_EQ(get(0xb, 0)->ecx, 0x100);
    CHECK_EQ(get(0xb, 1)->eax, 3);
    CHECK_EQ(get(0xb, 1)->ebx, 5);
    CHECK_EQ(get(0xb, 1)->ecx, 0x201);
    CHECK_EQ(get(0xb, 2)->ecx, 2);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(get(0xb, i)->edx, 3);
    CHECK_EQ(get(0x1f, 0)->edx, 0);
    CHECK_EQ(get(4, 0)->eax, 0x1c000121);
    CHECK_EQ(get(4, 3)->eax, 0x1c01c163);
    CHECK_EQ(get(0x15, 0)->ecx, 1000000000);
    CHECK_EQ(get(0x15, 0)->ebx, 12);
    CHECK_EQ(get(0x15, 0)->eax, 5);
    CHECK_EQ(get(0x80000001, 0)->ecx, 0x121);
    CHECK_EQ(get(0x40000000, 0)->ebx, 0x4b4d564b);
    CHECK_EQ(cpuid_phys_bits(&t.head), 40);

    base(false);
    topo = (struct cpuid_topology){ .id = 0, .cpus = 1 };
    CHECK_EQ(cpuid_complete(&t.head, &topo), 0);
    CHECK_EQ(get(1, 0)->ebx, 0x00010800);
    CHECK_EQ(get(1, 0)->edx & 1u << 28, 0);
    CHECK_EQ(get(0x80000008, 0)->ecx, 0);
    CHECK_EQ(get(0x8000001e, 0)->eax, 0);
    topo = (struct cpuid_topology){ .id = 63, .cpus = 64 };
    CHECK_EQ(cpuid_complete(&t.head, &topo), 0);
    CHECK_EQ(get(0x80000008, 0)->ecx, 0x603f);
    CHECK_EQ(get(0x80000001, 0)->ecx & 2, 2);
    CHECK_EQ(get(0x8000001e, 0)->ebx, 63);

    base(true);
    while (t.head.nent < CPUID_MAX_ENTRIES)
        add(0x77777777, 0, 0, 0, 0);
    CHECK_EQ(-cpuid_complete(&t.head, &topo), ENOSPC);
    t.head.nent = 0;
    CHECK_EQ(cpuid_complete(&t.head, &topo), 0);
    CHECK_EQ(cpuid_phys_bits(&t.head), 36);
    test_ratio();
    return unit_done("cpuid");
}
