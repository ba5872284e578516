/* SPDX-License-Identifier: BSD-2-Clause */
/* Model-specific registers: one table says which exist, what a write may hold and where the value
 * lives; unknown ones raise #GP. [SDM] vol. 4; 3A "Memory Cache Control"; 3B "Machine-Check
 * Architecture", "Time-Stamp Counter". */
#include "isa/x86/model.h"
#include "isa/x86/sys.h"

enum {
    BANKS = 4, /* machine-check banks */
    MTRR_VARIABLE = 8,
    MTRRCAP = MTRR_VARIABLE | 1 << 8 /* fixed */ | 1 << 10 /* write-combining */,
    MCG_CAP = BANKS | 1 << 8 /* MCG_CTL present */,
    MISC_FAST_STRINGS = 1 << 0,
    MISC_NO_BTS = 1 << 11,
    MISC_NO_PEBS = 1 << 12,
};
#define MISC_WRITABLE                                                                              \
    (BIT(0) | BIT(3) | BIT(7) | BIT(11) | BIT(12) | BIT(16) | BIT(18) | BIT(22) | BIT(23) | BIT(34))

/* IA32_ARCH_CAPABILITIES: nothing this processor does leaks what it should not, as far as a guest
 * can help it; speculation belongs to the host. [SDM] vol. 4 "IA32_ARCH_CAPABILITIES" */
#define ARCH_CAPABILITIES                                                                          \
    (BIT(0) /* RDCL_NO */ | BIT(1) /* IBRS_ALL */ | BIT(3) /* SKIP_L1DFL_VMENTRY */ |              \
     BIT(4) /* SSB_NO */ | BIT(5) /* MDS_NO */ | BIT(6) /* IF_PSCHANGE_MC_NO */ |                  \
     BIT(8) /* TAA_NO */ | BIT(13) /* SBDR_SSDP_NO */ | BIT(14) /* FBSDP_NO */ |                   \
     BIT(15) /* PSDP_NO */ | BIT(20) /* BHI_NO */ | BIT(24) /* PBRSB_NO */ |                       \
     BIT(26) /* GDS_NO */ | BIT(27) /* RFDS_NO */ | BIT(62) /* ITS_NO */)

enum kind {
    CONSTANT,   /* mask is the value; writes #GP */
    IGNORED,    /* mask is the value; writes are taken and forgotten */
    FIELD,      /* a field; bits outside mask #GP */
    CANONICAL,  /* a field that holds an address */
    ALL_OR_NOT, /* a field that holds all zeros or all ones */
    COMMAND,    /* write only; bits outside mask #GP */
    TYPES,      /* a field of eight memory types, each in mask */
    APIC,
    SPECIAL, /* read_special(), write_special() */
};

#define AT(member) offsetof(struct x86_cpu, msr.member)
enum {
    MTRR_TYPES = 1 << 0 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6,
    PAT_TYPES = MTRR_TYPES | 1 << 7,
};

static const struct msr {
    uint32_t first;
    uint16_t count;
    uint8_t kind;
    size_t at;
    uint64_t mask;
} msrs[] = {
    { 0x0, 2, CONSTANT, 0, 0 }, /* P5_MC_ADDR, P5_MC_TYPE */
    { MSR_TSC, 1, SPECIAL, 0, 0 },
    { MSR_PLATFORM_ID, 1, CONSTANT, 0, 0 },
    { MSR_APIC_BASE, 1, APIC, 0, 0 },
    { 0x2a, 1, CONSTANT, 0, 0 },                /* EBL_CR_POWERON */
    { MSR_FEATURE_CONTROL, 1, CONSTANT, 0, 1 }, /* locked, nothing enabled */
    { MSR_TSC_ADJUST, 1, SPECIAL, 0, 0 },
    { MSR_SPEC_CTRL, 1, FIELD, AT(spec_ctrl), BITS(1, 0) | BIT(10) }, /* IBRS, STIBP, BHI_DIS_S */
    { MSR_PRED_CMD, 1, COMMAND, 0, BIT(0) },                          /* IBPB */
    { MSR_UCODE_WRITE, 1, IGNORED, 0, 0 },
    { MSR_UCODE_REV, 1, IGNORED, 0, BIT(32) },
    { 0xce, 1, CONSTANT, 0, 0 }, /* PLATFORM_INFO */
    { MSR_MTRRCAP, 1, CONSTANT, 0, MTRRCAP },
    { MSR_ARCH_CAPABILITIES, 1, CONSTANT, 0, ARCH_CAPABILITIES },
    { MSR_SYSENTER_CS, 1, FIELD, AT(sysenter_cs), BITS(31, 0) },
    { MSR_SYSENTER_ESP, 1, CANONICAL, AT(sysenter_esp), 0 },
    { MSR_SYSENTER_EIP, 1, CANONICAL, AT(sysenter_eip), 0 },
    { MSR_MCG_CAP, 1, CONSTANT, 0, MCG_CAP },
    { MSR_MCG_STATUS, 1, FIELD, AT(mcg_status), BITS(2, 0) },
    { MSR_MCG_CTL, 1, ALL_OR_NOT, AT(mcg_ctl), 0 },
    { MSR_MISC_ENABLE, 1, SPECIAL, 0, 0 },
    /* DEVIATES: LBR and BTF are kept but have no effect. */
    { MSR_DEBUGCTL, 1, FIELD, AT(debugctl), BITS(1, 0) },
    { MSR_MTRR_PHYSBASE0, 2 * MTRR_VARIABLE, SPECIAL, 0, 0 },
    { MSR_MTRR_FIX64K, 1, TYPES, AT(mtrr_fixed[0]), MTRR_TYPES },
    { MSR_MTRR_FIX16K_80000, 2, TYPES, AT(mtrr_fixed[1]), MTRR_TYPES },
    { MSR_MTRR_FIX4K_C0000, 8, TYPES, AT(mtrr_fixed[3]), MTRR_TYPES },
    { MSR_PAT, 1, TYPES, AT(pat), PAT_TYPES },
    { MSR_MTRR_DEF_TYPE, 1, SPECIAL, 0, 0 },
    { MSR_MC0_CTL, 4 * BANKS, SPECIAL, 0, 0 },
    { MSR_TSC_DEADLINE, 1, APIC, 0, 0 },
    { MSR_X2APIC_FIRST, MSR_X2APIC_LAST - MSR_X2APIC_FIRST + 1, APIC, 0, 0 },
    { MSR_EFER, 1, SPECIAL, 0, 0 },
    { MSR_STAR, 1, FIELD, AT(star), ~0ull },
    { MSR_LSTAR, 1, CANONICAL, AT(lstar), 0 },
    { MSR_CSTAR, 1, CANONICAL, AT(cstar), 0 },
    { MSR_SFMASK, 1, FIELD, AT(sfmask), BITS(31, 0) },
    { MSR_FS_BASE, 2, SPECIAL, 0, 0 },
    { MSR_KERNEL_GS_BASE, 1, CANONICAL, AT(kernel_gs_base), 0 },
    { MSR_TSC_AUX, 1, FIELD, AT(tsc_aux), BITS(31, 0) },
};

const uint32_t x86_model_msrs[] = {
    MSR_TSC,
    MSR_PLATFORM_ID,
    MSR_FEATURE_CONTROL,
    MSR_TSC_ADJUST,
    MSR_SPEC_CTRL,
    MSR_UCODE_REV,
    0xce /* PLATFORM_INFO */,
    MSR_MTRRCAP,
    MSR_ARCH_CAPABILITIES,
    MSR_SYSENTER_CS,
    MSR_SYSENTER_ESP,
    MSR_SYSENTER_EIP,
    MSR_MCG_CAP,
    MSR_MCG_STATUS,
    MSR_MCG_CTL,
    MSR_MISC_ENABLE,
    MSR_DEBUGCTL,
    /* variable MTRRs */
    0x200,
    0x201,
    0x202,
    0x203,
    0x204,
    0x205,
    0x206,
    0x207,
    0x208,
    0x209,
    0x20a,
    0x20b,
    0x20c,
    0x20d,
    0x20e,
    0x20f,
    /* fixed MTRRs */
    0x250,
    0x258,
    0x259,
    0x268,
    0x269,
    0x26a,
    0x26b,
    0x26c,
    0x26d,
    0x26e,
    0x26f,
    MSR_PAT,
    MSR_MTRR_DEF_TYPE,
    /* machine-check banks */
    0x400,
    0x401,
    0x402,
    0x403,
    0x404,
    0x405,
    0x406,
    0x407,
    0x408,
    0x409,
    0x40a,
    0x40b,
    0x40c,
    0x40d,
    0x40e,
    0x40f,
    MSR_TSC_DEADLINE,
    MSR_EFER,
    MSR_STAR,
    MSR_LSTAR,
    MSR_CSTAR,
    MSR_SFMASK,
    MSR_FS_BASE,
    MSR_GS_BASE,
    MSR_KERNEL_GS_BASE,
    MSR_TSC_AUX,
};
const unsigned x86_model_msr_count = ARRAY_LEN(x86_model_msrs);

_Static_assert(sizeof(((struct x86_cpu *)0)->msr.mtrr_var) == 8 * 2 * MTRR_VARIABLE, "MTRRs");
_Static_assert(sizeof(((struct x86_cpu *)0)->msr.mc_bank) >= 8 * 4 * BANKS, "MC banks");

/* The table is sorted by `first`. */
static const struct msr *find(uint32_t index)
{
    size_t lo = 0, hi = ARRAY_LEN(msrs);
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (index < msrs[mid].first)
            hi = mid;
        else if (index - msrs[mid].first < msrs[mid].count)
            return &msrs[mid];
        else
            lo = mid + 1;
    }
    return NULL;
}

static uint64_t *field(struct x86_cpu *cpu, const struct msr *m, uint32_t index)
{
    return (uint64_t *)(void *)((uint8_t *)cpu + m->at) + (index - m->first);
}

static uint64_t host_tsc(struct x86_cpu *cpu)
{
    return cpu->env->host_tsc ? cpu->env->host_tsc(cpu) : 0;
}

static int read_special(struct x86_cpu *cpu, const struct msr *m, uint32_t index, uint64_t *val)
{
    switch (m->first) {
    case MSR_TSC: *val = host_tsc(cpu) + cpu->tsc_offset; break;
    case MSR_TSC_ADJUST: *val = cpu->msr.tsc_adjust; break;
    case MSR_MISC_ENABLE: *val = cpu->msr.misc_enable | MISC_NO_BTS | MISC_NO_PEBS; break;
    case MSR_MTRR_PHYSBASE0: *val = cpu->msr.mtrr_var[index - m->first]; break;
    case MSR_MTRR_DEF_TYPE: *val = cpu->msr.mtrr_def_type; break;
    case MSR_MC0_CTL: *val = cpu->msr.mc_bank[index - m->first]; break;
    case MSR_EFER: *val = cpu->efer; break;
    case MSR_FS_BASE: *val = cpu->seg[X86_FS + (index - m->first)].base; break;
    default: return -1;
    }
    return 0;
}

static int write_mtrr_variable(struct x86_cpu *cpu, unsigned n, uint64_t val)
{
    bool is_mask = n & 1;
    uint64_t allowed = BITS(X86_PHYS_BITS - 1, 12) | (is_mask ? BIT(11) : BITS(7, 0));
    if (val & ~allowed)
        return -1;
    if (!is_mask && ((val & 0xff) > 7 || !(MTRR_TYPES >> (val & 0xff) & 1)))
        return -1;
    cpu->msr.mtrr_var[n] = val;
    return 0;
}

/* Bank registers: CTL, STATUS, ADDR, MISC. A guest may only clear the last three. */
static int write_bank(struct x86_cpu *cpu, unsigned n, uint64_t val, bool host)
{
    bool ctl = n % 4 == 0;
    if (!host && (ctl ? val != 0 && val != ~0ull : val != 0))
        return -1;
    cpu->msr.mc_bank[n] = val;
    return 0;
}

static int write_special(struct x86_cpu *cpu, const struct msr *m, uint32_t index, uint64_t val,
                         bool host)
{
    uint64_t delta;
    switch (m->first) {
    case MSR_TSC:
        delta = val - (host_tsc(cpu) + cpu->tsc_offset);
        cpu->tsc_offset += delta;
        if (!host)
            cpu->msr.tsc_adjust += delta;
        return 0;
    case MSR_TSC_ADJUST:
        if (!host)
            cpu->tsc_offset += val - cpu->msr.tsc_adjust;
        cpu->msr.tsc_adjust = val;
        return 0;
    case MSR_MISC_ENABLE:
        if (val & ~MISC_WRITABLE)
            return -1;
        cpu->msr.misc_enable = val & MISC_FAST_STRINGS;
        return 0;
    case MSR_MTRR_PHYSBASE0: return write_mtrr_variable(cpu, index - m->first, val);
    case MSR_MTRR_DEF_TYPE:
        if ((val & ~(BITS(11, 10) | 7)) || !(MTRR_TYPES >> (val & 7) & 1))
            return -1;
        cpu->msr.mtrr_def_type = val;
        return 0;
    case MSR_MC0_CTL: return write_bank(cpu, index - m->first, val, host);
    case MSR_EFER: return x86_set_efer(cpu, val, host);
    case MSR_FS_BASE:
        if (!x86_canonical(val))
            return -1;
        cpu->seg[X86_FS + (index - m->first)].base = val;
        x86_derive(cpu);
        return 0;
    default: return -1;
    }
}

static bool types_ok(uint64_t val, uint64_t types)
{
    for (unsigned i = 0; i < 8; i++, val >>= 8)
        if ((val & 0xff) > 7 || !(types >> (val & 0xff) & 1))
            return false;
    return true;
}

int x86_rdmsr(struct x86_cpu *cpu, uint32_t index, uint64_t *val)
{
    const struct msr *m = find(index);
    if (!m)
        return -1;
    switch (m->kind) {
    case CONSTANT:
    case IGNORED: *val = m->mask; return 0;
    case FIELD:
    case CANONICAL:
    case ALL_OR_NOT:
    case TYPES: *val = *field(cpu, m, index); return 0;
    case APIC: return cpu->env->apic_rdmsr ? cpu->env->apic_rdmsr(cpu, index, val) : -1;
    case SPECIAL: return read_special(cpu, m, index, val);
    default: return -1;
    }
}

int x86_wrmsr(struct x86_cpu *cpu, uint32_t index, uint64_t val, bool host)
{
    const struct msr *m = find(index);
    bool ok;
    if (!m)
        return -1;
    switch (m->kind) {
    case CONSTANT: return host ? 0 : -1;
    case IGNORED: return 0;
    case FIELD: ok = !(val & ~m->mask); break;
    case CANONICAL: ok = x86_canonical(val); break;
    case ALL_OR_NOT: ok = !val || val == ~0ull; break;
    case TYPES: ok = types_ok(val, m->mask); break;
    case COMMAND: return val & ~m->mask ? -1 : 0;
    case APIC: return cpu->env->apic_wrmsr ? cpu->env->apic_wrmsr(cpu, index, val) : -1;
    default: return write_special(cpu, m, index, val, host);
    }
    if (!ok)
        return -1;
    *field(cpu, m, index) = val;
    return 0;
}
