/* SPDX-License-Identifier: BSD-2-Clause */
/* MSRs and CPUID: what exists, what may be written, that the two agree. */
#include "tests/unit/x86_rig.h"

static int rd(struct rig *r, uint32_t msr, uint64_t *v) { return x86_rdmsr(&r->cpu, msr, v); }
static int wr(struct rig *r, uint32_t msr, uint64_t v) { return x86_wrmsr(&r->cpu, msr, v, false); }

static void test_values(struct rig *r)
{
    uint64_t v;
    static const struct {
        uint32_t msr;
        uint64_t good, bad;
    } t[] = {
        { MSR_SYSENTER_CS, 0x10, BIT(32) },
        { MSR_SYSENTER_ESP, 0xffff800000000000, 0x800000000000 },
        { MSR_LSTAR, 0xffffffff81000000, 0x8000000000000000 },
        { MSR_CSTAR, 0x7fffffffffff, BIT(47) },
        { MSR_SFMASK, 0x47700, BIT(32) },
        { MSR_KERNEL_GS_BASE, 0xffff800000000000, 0x800000000000 },
        { MSR_FS_BASE, 0x7fffffffffff, 0x800000000000 },
        { MSR_GS_BASE, 0x7fffffffffff, 0x800000000000 },
        { MSR_TSC_AUX, 0xffffffff, BIT(32) },
        { MSR_PAT, 0x0407050600070106, 0x0007040600070402 },
        { MSR_MTRR_FIX64K, 0x0606060606060606, 0x0606060606060607 },
        { MSR_MTRR_DEF_TYPE, 0xc06, 0xc02 },
        { MSR_MTRR_DEF_TYPE, 0x806, 0x1006 },
        { 0x200, 0xc0000006, 0xc0000106 },
        { 0x201, 0x3fffc0000800, 0x3fffc0000801 },
        { 0x20f, 0x800, BIT(46) },
        { MSR_SPEC_CTRL, 1, 8 },
        { MSR_MCG_CTL, ~0ull, 1 },
        { MSR_MCG_STATUS, 0, 8 },
        { MSR_MC0_CTL, ~0ull, 1 },
        { MSR_MC0_CTL + 1, 0, 1 },
        { MSR_STAR, 0x0023001000000000, 0 },
    };
    rig_long(r);
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        CHECK_EQ(wr(r, t[i].msr, t[i].good), 0);
        if (t[i].bad)
            CHECK_EQ(wr(r, t[i].msr, t[i].bad), -1);
        CHECK_EQ(rd(r, t[i].msr, &v), 0);
        CHECK_EQ(v, t[i].good);
    }
    /* read-only, write-only, unknown */
    static const uint32_t read_only[] = { MSR_MTRRCAP, MSR_MCG_CAP, MSR_ARCH_CAPABILITIES,
                                          MSR_PLATFORM_ID, MSR_FEATURE_CONTROL };
    for (unsigned i = 0; i < ARRAY_LEN(read_only); i++) {
        CHECK_EQ(rd(r, read_only[i], &v), 0);
        CHECK_EQ(wr(r, read_only[i], v), -1);
    }
    CHECK_EQ(rd(r, MSR_MTRRCAP, &v), 0);
    CHECK_EQ(v, 0x508);
    CHECK_EQ(rd(r, MSR_PRED_CMD, &v), -1);
    CHECK_EQ(wr(r, MSR_PRED_CMD, 1), 0);
    CHECK_EQ(wr(r, MSR_PRED_CMD, 2), -1);
    CHECK_EQ(wr(r, MSR_UCODE_REV, 0), 0);
    static const uint32_t unknown[] = { 0x2,        0x33,           0x122,      0x186,
                                        0x210,      0x25a,          0x270,      0x410,
                                        0x480,      0x7ff,          0x900,      0x4b564d00,
                                        0xc0000079, 0xc0000084 + 1, 0xc0000104, 0xc0010015,
                                        0xffffffff };
    for (unsigned i = 0; i < ARRAY_LEN(unknown); i++) {
        CHECK_EQ(rd(r, unknown[i], &v), -1);
        CHECK_EQ(wr(r, unknown[i], 0), -1);
    }
    for (unsigned i = 0; i < x86_model_msr_count; i++) {
        CHECK_EQ(rd(r, x86_model_msrs[i], &v), 0);
        CHECK_EQ(x86_wrmsr(&r->cpu, x86_model_msrs[i], v, true), 0); /* restore as saved */
    }
    CHECK_EQ(rd(r, MSR_X2APIC_FIRST + 2, &v), 0);
    CHECK_EQ(rd(r, MSR_TSC_DEADLINE, &v), 0);
}

static void test_instructions(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    rig_protected(r);
    cpu->gpr[X86_RCX] = MSR_LSTAR;
    cpu->gpr[X86_RAX] = 0x81000000;
    cpu->gpr[X86_RDX] = 0xffffffff;
    CHECK_EQ(EXEC(r, 0x0f, 0x30), -1);
    CHECK_EQ(cpu->msr.lstar, 0xffffffff81000000);
    cpu->gpr[X86_RAX] = cpu->gpr[X86_RDX] = 0;
    CHECK_EQ(EXEC(r, 0x0f, 0x32), -1);
    CHECK_EQ(cpu->gpr[X86_RAX], 0x81000000);
    CHECK_EQ(cpu->gpr[X86_RDX], 0xffffffff);
    cpu->gpr[X86_RCX] = 0x12345;
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x32);
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x30);
}

static void test_tsc(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    uint64_t v;
    rig_protected(r);
    cpu->tsc_offset = 0;
    r->tsc = 1000;
    CHECK_EQ(wr(r, MSR_TSC, 5000), 0);
    CHECK_EQ(cpu->tsc_offset, 4000);
    CHECK_EQ(cpu->msr.tsc_adjust, 4000);
    r->tsc = 1100;
    CHECK_EQ(rd(r, MSR_TSC, &v), 0);
    CHECK_EQ(v, 5100);
    CHECK_EQ(wr(r, MSR_TSC_ADJUST, 0), 0);
    CHECK_EQ(rd(r, MSR_TSC, &v), 0);
    CHECK_EQ(v, 1100);
    CHECK_EQ(x86_wrmsr(cpu, MSR_TSC, 7000, true), 0); /* restored from outside: adjust stays */
    CHECK_EQ(cpu->msr.tsc_adjust, 0);
    CHECK_EQ(cpu->tsc_offset, 5900);
}

static void test_efer(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    uint64_t v;
    rig_long(r);
    CHECK_EQ(wr(r, MSR_EFER, BIT(12)), -1);      /* SVME */
    CHECK_EQ(wr(r, MSR_EFER, X86_EFER_SCE), -1); /* LME while paging */
    CHECK_EQ(wr(r, MSR_EFER, X86_EFER_LME | X86_EFER_NXE), 0);
    CHECK_EQ(rd(r, MSR_EFER, &v), 0);
    CHECK_EQ(v, X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE);
    rig_protected(r);
    CHECK_EQ(wr(r, MSR_EFER, X86_EFER_LME | X86_EFER_LMA), 0);
    CHECK_EQ(cpu->efer, X86_EFER_LME);
    CHECK_EQ(wr(r, MSR_MISC_ENABLE, BIT(34)), 0);
    CHECK_EQ(wr(r, MSR_MISC_ENABLE, BIT(60)), -1);
    CHECK_EQ(rd(r, MSR_MISC_ENABLE, &v), 0);
    CHECK_EQ(v & BIT(34), 0); /* NX cannot be hidden */
}

static void cpuid(struct rig *r, uint32_t leaf, uint32_t sub, uint32_t out[4])
{
    r->env.cpuid(&r->cpu, leaf, sub, out);
}

static void test_cpuid(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    uint32_t o[4], top[4];
    rig_long(r);
    cpuid(r, 0, 0, o);
    CHECK_EQ(o[0], 0x16);
    CHECK(!memcmp(&o[1], "Genu", 4) && !memcmp(&o[3], "ineI", 4) && !memcmp(&o[2], "ntel", 4));
    cpuid(r, 1, 0, o);
    CHECK_EQ(o[0] >> 8 & 0xf, 6);
    CHECK(o[2] & BIT(31));
    CHECK(!(o[2] & BIT(27)));
    CHECK(!(o[2] & (BIT(3) | BIT(5) | BIT(6)))); /* MONITOR, VMX, SMX */
    CHECK(!(o[3] & BIT(1)));                     /* VME */
    CHECK(o[3] & BIT(9));
    cpu->cr4 |= X86_CR4_OSXSAVE;
    r->apic_base = 0;
    cpuid(r, 1, 0, o);
    CHECK(o[2] & BIT(27));
    CHECK(!(o[3] & BIT(9)));
    r->apic_base = 0xfee00000 | X86_APIC_BASE_ENABLE;
    cpuid(r, 7, 0, o);
    CHECK(!(o[1] & (BIT(4) | BIT(11) | BIT(20)))); /* HLE, RTM, SMAP */
    CHECK(!(o[2] & (BIT(2) | BIT(3) | BIT(16))));  /* UMIP, PKU, LA57 */
    CHECK(o[3] & BIT(29));
    cpuid(r, 0x80000001, 0, o);
    CHECK(o[3] & BIT(11));
    CHECK(o[3] & BIT(29));
    cpu->code = 4;
    cpuid(r, 0x80000001, 0, o);
    CHECK(!(o[3] & BIT(11)));
    cpu->code = 8;

    /* exact TSC frequency, as Linux computes it in kHz */
    cpuid(r, 0x15, 0, o);
    CHECK(o[0] && o[1]);
    CHECK_EQ((uint64_t)(o[2] / 1000) * o[1] / o[0], 2500000);
    CHECK((uint64_t)(o[2] / 1000) * o[1] <= UINT32_MAX);
    static const uint32_t khz[] = {
        1, 999999, 1500001, 2593907, 3485776, 3999999, 4294967, 5000000
    };
    for (unsigned i = 0; i < ARRAY_LEN(khz); i++) {
        struct x86_cpuid_entry e[64];
        unsigned n = x86_model_cpuid(e, ARRAY_LEN(e), khz[i]);
        CHECK(n < ARRAY_LEN(e));
        for (unsigned k = 0; k < n; k++)
            if (e[k].leaf == 0x15)
                CHECK_EQ((uint64_t)(e[k].ecx / 1000) * e[k].ebx / e[k].eax, khz[i]);
    }

    char brand[49] = { 0 };
    for (uint32_t i = 0; i < 3; i++)
        cpuid(r, 0x80000002 + i, 0, (uint32_t *)(void *)(brand + 16 * i));
    CHECK(!strcmp(brand, "Trapeze Virtual CPU"));
    cpuid(r, 0x40000000, 0, o);
    CHECK(!memcmp(&o[1], "TrapezeTrpz", 12));
    CHECK_EQ(o[0], 0x40000000);
    cpuid(r, 0x40000001, 0, o);
    CHECK(!o[0] && !o[1] && !o[2] && !o[3]);

    /* out of range: the highest basic leaf */
    cpuid(r, 0x16, 0, top);
    cpuid(r, 0x17, 0, o);
    CHECK(!memcmp(o, top, sizeof(o)));
    cpuid(r, 0x80000009, 0, o);
    CHECK(!memcmp(o, top, sizeof(o)));
    cpuid(r, 3, 0, o);
    CHECK(!o[0] && !o[1] && !o[2] && !o[3]);
    cpuid(r, 0xb, 7, o);
    CHECK(!o[0] && !o[1] && o[2] == 7);

    /* XSAVE area: size by XCR0; components do not overlap */
    cpu->xcr0 = 3;
    cpuid(r, 0xd, 0, o);
    CHECK_EQ(o[0], (uint32_t)x86_native_xcr0());
    CHECK_EQ(o[1], 576);
    CHECK_EQ(o[2], x86_native_xsave_size(x86_native_xcr0()));
    if (x86_native_xcr0() & X86_XCR0_AVX) {
        cpu->xcr0 = 7;
        cpuid(r, 0xd, 0, o);
        CHECK_EQ(o[1], 832);
        cpuid(r, 0xd, 2, o);
        CHECK_EQ(o[0], 256);
        CHECK_EQ(o[1], 576);
        cpu->xcr0 = x86_native_xcr0();
        cpuid(r, 0xd, 0, o);
        CHECK_EQ(o[1], o[2]);
    }
    CHECK_EQ(x86_model_cpuid(r->cpuid, 3, 1000000), 3); /* a short buffer */
}

int main(void)
{
    struct rig *r = rig_create();
    test_values(r);
    test_instructions(r);
    test_tsc(r);
    test_efer(r);
    test_cpuid(r);
    rig_destroy(r);
    return unit_done("msr");
}
