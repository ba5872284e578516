/* SPDX-License-Identifier: BSD-2-Clause */
/* What the translator needs and uses of the host's processor; describe.c tells people. */
#include <cpuid.h>
#include <sys/auxv.h>

#include "engine/soft/soft.h"

enum { HWCAP2_FSGSBASE = 2, LAHF_64 = 1, FAMILY_ZEN_1_2 = 0x17 };
enum { XSAVEOPT = 1, XSAVEC = 2, XGETBV_1 = 4 }; /* CPUID.(0xd, 1):EAX */

const char *xl_lacks(void)
{
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return "XSAVE, in its processor or kernel";
    if (!__get_cpuid(0x80000001, &a, &b, &c, &d) || !(c & LAHF_64))
        return "LAHF in 64-bit mode";
    return NULL;
}

bool xl_host_bmi2(void) { return __builtin_cpu_supports("bmi2"); }

/* PEXT is microcode there. */
bool xl_host_slow_pext(void)
{
    unsigned a, b, c, d;

    if (!__get_cpuid(0, &a, &b, &c, &d) || b != signature_AMD_ebx)
        return false;
    return __get_cpuid(1, &a, &b, &c, &d) && (a >> 8 & 15) + (a >> 20 & 0xff) == FAMILY_ZEN_1_2;
}

/* The kernel lets us use RDGSBASE and so on. */
bool xl_host_fsgsbase(void) { return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE; }

bool xl_host_xinuse(void)
{
    unsigned a, b, c, d;

    return __get_cpuid_count(0xd, 1, &a, &b, &c, &d) && (a & XGETBV_1) && (a & XSAVEC) &&
           (a & XSAVEOPT);
}
