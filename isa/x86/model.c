/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID of the processor a guest sees: a Sapphire Rapids by family and model, because operating
 * systems know it as free of the old bugs, with the features the emulator has and, for what runs on
 * the host's own unit, the host has. [SDM] vol. 2 "CPUID". */
#include <cpuid.h>

#include "isa/x86/model.h"
#include "isa/x86/native.h"
#include "isa/x86/regs.h"

enum { EAX, EBX, ECX, EDX };
enum { SIGNATURE = 0x000806f8, CLFLUSH_QWORDS = 8, MAX_BASIC = 0x16, LINEAR_BITS = 48 };
#define MAX_EXTENDED   0x80000008u
#define HYPERVISOR     0x40000000u
#define HYPERVISOR_END 0x4fffffffu

#define L1_ECX_OSXSAVE  BIT(27)
#define L1_EDX_APIC     BIT(9)
#define EXT_EDX_SYSCALL BIT(11)

/* Features: `own` ones the emulator does by itself, `host` ones the host must have, `avx` and
 * `avx512` ones that also need their register state in XCR0. */
static const struct feature_word {
    uint32_t leaf, subleaf;
    unsigned reg;
    uint32_t own, host, avx, avx512;
} features[] = {
    { 1, 0, ECX,
      .own = BIT(13) /* CX16 */ | BIT(17) /* PCID */ | BIT(21) /* x2APIC */ |
             BIT(24) /* TSC-deadline */ | BIT(31) /* hypervisor */,
      .host = BIT(0) /* SSE3 */ | BIT(1) /* PCLMULQDQ */ | BIT(9) /* SSSE3 */ |
              BIT(19) /* SSE4.1 */ | BIT(20) /* SSE4.2 */ | BIT(22) /* MOVBE */ |
              BIT(23) /* POPCNT */ | BIT(25) /* AES */ | BIT(26) /* XSAVE */ | BIT(30) /* RDRAND */,
      .avx = BIT(12) /* FMA */ | BIT(28) /* AVX */ | BIT(29) /* F16C */ },
    { 1, 0, EDX,
      .own = BIT(0) /* FPU */ | BIT(2) /* DE */ | BIT(3) /* PSE */ | BIT(4) /* TSC */ |
             BIT(5) /* MSR */ | BIT(6) /* PAE */ | BIT(7) /* MCE */ | BIT(8) /* CX8 */ |
             BIT(11) /* SEP */ | BIT(12) /* MTRR */ | BIT(13) /* PGE */ | BIT(14) /* MCA */ |
             BIT(15) /* CMOV */ | BIT(16) /* PAT */ | BIT(17) /* PSE-36 */ | BIT(19) /* CLFLUSH */ |
             BIT(23) /* MMX */ | BIT(24) /* FXSR */ | BIT(25) /* SSE */ | BIT(26) /* SSE2 */ |
             BIT(27) /* self-snoop */ | L1_EDX_APIC },
    { 6, 0, EAX, .own = BIT(2) /* ARAT */ },
    { 7, 0, EBX,
      .own = BIT(0) /* FSGSBASE */ | BIT(1) /* TSC_ADJUST */ | BIT(7) /* SMEP */ |
             BIT(9) /* ERMS */ | BIT(10) /* INVPCID */,
      /* FDP_EXCPTN_ONLY and the zeroed FCS and FDS are habits of the host's x87 unit. */
      .host = BIT(3) /* BMI1 */ | BIT(6) /* FDP_EXCPTN_ONLY */ | BIT(8) /* BMI2 */ |
              BIT(13) /* FCS, FDS zero */ | BIT(18) /* RDSEED */ | BIT(19) /* ADX */ |
              BIT(23) /* CLFLUSHOPT */ | BIT(24) /* CLWB */ | BIT(29) /* SHA */,
      .avx = BIT(5) /* AVX2 */,
      .avx512 = BIT(16) /* F */ | BIT(17) /* DQ */ | BIT(21) /* IFMA */ | BIT(28) /* CD */ |
                BIT(30) /* BW */ | BIT(31) /* VL */ },
    { 7, 0, ECX, .own = BIT(22) /* RDPID */, .host = BIT(8) /* GFNI */,
      .avx = BIT(9) /* VAES */ | BIT(10) /* VPCLMULQDQ */,
      .avx512 = BIT(1) /* VBMI */ | BIT(6) /* VBMI2 */ | BIT(11) /* VNNI */ | BIT(12) /* BITALG */ |
                BIT(14) /* VPOPCNTDQ */ },
    { 7, 0, EDX,
      .own = BIT(4) /* FSRM */ | BIT(26) /* IBRS, IBPB */ | BIT(27) /* STIBP */ |
             BIT(29) /* ARCH_CAPABILITIES */,
      .avx512 = BIT(8) /* VP2INTERSECT */ | BIT(23) /* FP16 */ },
    { 7, 1, EAX, .avx = BIT(4) /* AVX-VNNI */, .avx512 = BIT(5) /* BF16 */ },
    /* With BHI_CTRL Linux sets a bit of SPEC_CTRL once and clears no branch history by software. */
    { 7, 2, EDX, .own = BIT(4) /* BHI_CTRL */ },
    { 0xd, 1, EAX, .host = BIT(0) /* XSAVEOPT */ | BIT(1) /* XSAVEC */ },
    { 0x80000001, 0, ECX, .own = BIT(0) /* LAHF */,
      .host = BIT(5) /* LZCNT */ | BIT(8) /* PREFETCHW */ },
    { 0x80000001, 0, EDX,
      .own = EXT_EDX_SYSCALL | BIT(20) /* NX */ | BIT(26) /* 1 GiB pages */ | BIT(27) /* RDTSCP */ |
             BIT(29) /* long mode */ },
    { 0x80000007, 0, EDX, .own = BIT(8) /* invariant TSC */ },
};

/* Leaves without feature bits. Caches are plausible: 32 KiB L1, 2 MiB L2, 16 MiB L3. */
enum { INDEXED = 1 };
static const struct x86_cpuid_entry fixed[] = {
    { 0, 0, 0, MAX_BASIC, 0x756e6547, 0x6c65746e, 0x49656e69 }, /* GenuineIntel */
    { 1, 0, 0, SIGNATURE, CLFLUSH_QWORDS << 8 | 1 << 16, 0, 0 },
    { 2, 0, 0, 0x00ff0001, 0, 0, 0 }, /* caches: see leaf 4 */
    { 4, 0, INDEXED, 0x121, 7 << 22 | 63, 63, 0 },
    { 4, 1, INDEXED, 0x122, 7 << 22 | 63, 63, 0 },
    { 4, 2, INDEXED, 0x143, 15 << 22 | 63, 2047, 0 },
    { 4, 3, INDEXED, 0x163, 15 << 22 | 63, 16383, 0 },
    { 4, 4, INDEXED, 0, 0, 0, 0 },
    { 5, 0, 0, 0, 0, 0, 0 },
    { 6, 0, 0, 0, 0, 0, 0 },
    { 7, 0, INDEXED, 2, 0, 0, 0 },
    { 7, 1, INDEXED, 0, 0, 0, 0 },
    { 7, 2, INDEXED, 0, 0, 0, 0 },
    { 0xa, 0, 0, 0, 0, 0, 0 },                /* no performance counters */
    { 0xb, 0, INDEXED, 0, 1, 1 << 8, 0 },     /* threads of a core */
    { 0xb, 1, INDEXED, 0, 1, 2 << 8 | 1, 0 }, /* cores of a package */
    { 0xd, 0, INDEXED, 0, 0, 0, 0 },
    { 0xd, 1, INDEXED, 0, 0, 0, 0 },
    { HYPERVISOR, 0, 0, HYPERVISOR, 0x70617254, 0x54657a65, 0x007a7072 }, /* TrapezeTrpz */
    { 0x80000000, 0, 0, MAX_EXTENDED, 0, 0, 0 },
    { 0x80000001, 0, 0, 0, 0, 0, 0 },
    { 0x80000002, 0, 0, 0x70617254, 0x20657a65, 0x74726956, 0x206c6175 }, /* Trapeze Virtual CPU */
    { 0x80000003, 0, 0, 0x00555043, 0, 0, 0 },
    { 0x80000004, 0, 0, 0, 0, 0, 0 },
    { 0x80000005, 0, 0, 0, 0, 0, 0 },
    { 0x80000006, 0, 0, 0, 0, 2048u << 16 | 8 << 12 | 64, 0 },
    { 0x80000007, 0, 0, 0, 0, 0, 0 },
    { 0x80000008, 0, 0, X86_PHYS_BITS | LINEAR_BITS << 8, 0, 0, 0 },
};

static uint32_t *reg_of(struct x86_cpuid_entry *e, unsigned reg)
{
    switch (reg) {
    case EAX: return &e->eax;
    case EBX: return &e->ebx;
    case ECX: return &e->ecx;
    default: return &e->edx;
    }
}

static void host_cpuid(uint32_t leaf, uint32_t subleaf, struct x86_cpuid_entry *e)
{
    *e = (struct x86_cpuid_entry){ .leaf = leaf, .subleaf = subleaf };
    if ((uint32_t)__get_cpuid_max(leaf & 0x80000000, NULL) >= leaf)
        __cpuid_count(leaf, subleaf, e->eax, e->ebx, e->ecx, e->edx);
}

static uint32_t feature_bits(const struct feature_word *f, uint64_t xcr0)
{
    struct x86_cpuid_entry h;
    uint32_t wanted = f->host;
    if (xcr0 & X86_XCR0_AVX)
        wanted |= f->avx;
    if ((xcr0 & X86_XCR0_AVX512) == X86_XCR0_AVX512)
        wanted |= f->avx512;
    if (!wanted)
        return f->own;
    host_cpuid(f->leaf, f->subleaf, &h);
    return f->own | (*reg_of(&h, f->reg) & wanted);
}

/* Sizes and offsets in the XSAVE area: the host's, as its own unit writes the area. */
static struct x86_cpuid_entry xsave_component(unsigned i)
{
    struct x86_cpuid_entry h;
    host_cpuid(0xd, i, &h);
    return (struct x86_cpuid_entry){ 0xd, i, INDEXED, h.eax, h.ebx, h.ecx & 2, 0 };
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

/* TSC = crystal * numerator / denominator, exact to the kHz; crystal * numerator in kHz stays below
 * 2^32, since Linux computes it so. Linux also takes the crystal for the local APIC timer's clock:
 * it is that clock's 1 GHz if the numbers allow, else near it. */
static struct x86_cpuid_entry tsc_leaf(uint32_t tsc_khz)
{
    const uint32_t apic_khz = 1000000;
    uint32_t g = gcd(tsc_khz, apic_khz), n = (tsc_khz + apic_khz / 2) / apic_khz;
    if (tsc_khz / g < UINT32_MAX / apic_khz)
        return (
            struct x86_cpuid_entry){ 0x15, 0, 0, apic_khz / g, tsc_khz / g, apic_khz * 1000, 0 };
    if (n == 0)
        n = 1;
    while (n > 1 && tsc_khz % n)
        n--;
    if ((uint64_t)tsc_khz / n * 1000 > UINT32_MAX) /* a prime above 4.29 GHz: off by some kHz */
        n = 4;
    return (struct x86_cpuid_entry){ 0x15, 0, 0, 1, n, tsc_khz / n * 1000, 0 };
}

struct list {
    struct x86_cpuid_entry *out;
    unsigned n, max;
};

static void add(struct list *l, struct x86_cpuid_entry e)
{
    if (l->n < l->max)
        l->out[l->n++] = e;
}

static void add_features(struct x86_cpuid_entry *e, uint64_t xcr0)
{
    for (unsigned i = 0; i < ARRAY_LEN(features); i++)
        if (features[i].leaf == e->leaf && features[i].subleaf == e->subleaf)
            *reg_of(e, features[i].reg) |= feature_bits(&features[i], xcr0);
}

unsigned x86_model_cpuid(struct x86_cpuid_entry *out, unsigned max, uint32_t tsc_khz)
{
    struct list l = { out, 0, max };
    uint64_t xcr0 = x86_native_xcr0();
    uint32_t mhz = (tsc_khz + 500) / 1000;
    for (unsigned i = 0; i < ARRAY_LEN(fixed); i++) {
        struct x86_cpuid_entry e = fixed[i];
        add_features(&e, xcr0);
        if (e.leaf == 0xd && e.subleaf == 0) {
            e.eax = (uint32_t)xcr0;
            e.ecx = x86_native_xsave_size(xcr0);
            e.ebx = e.ecx; /* by XCR0 at run time */
        }
        add(&l, e);
        if (e.leaf == 0xd && e.subleaf == 1) {
            for (unsigned c = 2; c < 32; c++)
                if (xcr0 >> c & 1)
                    add(&l, xsave_component(c));
            add(&l, tsc_leaf(tsc_khz));
            add(&l, (struct x86_cpuid_entry){ 0x16, 0, 0, mhz, mhz, 100, 0 });
        }
    }
    return l.n;
}

/* ---- lookup ---- */

static const struct x86_cpuid_entry *find(const struct x86_cpuid_entry *table, unsigned count,
                                          uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; i < count; i++)
        if (table[i].leaf == leaf && (!(table[i].flags & INDEXED) || table[i].subleaf == subleaf))
            return &table[i];
    return NULL;
}

/* Bytes of the XSAVE area for the components of xcr0, in standard or compacted form. */
static uint32_t xsave_size(const struct x86_cpuid_entry *table, unsigned count, uint64_t xcr0,
                           bool compacted)
{
    uint32_t end = 576;
    for (uint32_t i = 2; i < 63; i++) {
        const struct x86_cpuid_entry *e;
        if (!(xcr0 >> i & 1) || !(e = find(table, count, 0xd, i)))
            continue;
        if (!compacted)
            end = MAX(end, e->ebx + e->eax);
        else
            end = (e->ecx & 2 ? ALIGN_UP(end, 64) : end) + e->eax;
    }
    return end;
}

static bool apic_enabled(struct x86_cpu *cpu)
{
    uint64_t base;
    if (!cpu->env->apic_rdmsr || cpu->env->apic_rdmsr(cpu, MSR_APIC_BASE, &base))
        return false;
    return base & X86_APIC_BASE_ENABLE;
}

static bool out_of_range(const struct x86_cpuid_entry *table, unsigned count, uint32_t leaf)
{
    if (leaf >= HYPERVISOR && leaf <= HYPERVISOR_END)
        return false;
    const struct x86_cpuid_entry *top = find(table, count, leaf & 0x80000000, 0);
    return !top || leaf > top->eax;
}

void x86_model_lookup(const struct x86_cpuid_entry *table, unsigned count, struct x86_cpu *cpu,
                      uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    const struct x86_cpuid_entry *e;
    out[EAX] = out[EBX] = out[ECX] = out[EDX] = 0;
    if (out_of_range(table, count, leaf)) {
        if (!(e = find(table, count, 0, 0)))
            return;
        leaf = e->eax;
    }
    e = find(table, count, leaf, subleaf);
    if (e) {
        out[EAX] = e->eax;
        out[EBX] = e->ebx;
        out[ECX] = e->ecx;
        out[EDX] = e->edx;
    }
    switch (leaf) {
    case 1:
        out[ECX] &= ~(uint32_t)L1_ECX_OSXSAVE;
        if (cpu->cr4 & X86_CR4_OSXSAVE)
            out[ECX] |= L1_ECX_OSXSAVE;
        if (!apic_enabled(cpu))
            out[EDX] &= ~(uint32_t)L1_EDX_APIC;
        break;
    case 0xb: /* past the last level: the APIC id still counts */
        if (!e && (e = find(table, count, leaf, 0))) {
            out[ECX] = subleaf & 0xff;
            out[EDX] = e->edx;
        }
        break;
    case 0xd:
        if (subleaf == 0)
            out[EBX] = xsave_size(table, count, cpu->xcr0, false);
        else if (subleaf == 1 && (out[EAX] & BIT(1)))
            out[EBX] = xsave_size(table, count, cpu->xcr0, true);
        break;
    case 0x80000001:
        if (cpu->code != 8) /* [SDM]: "SYSCALL/SYSRET available in 64-bit mode" */
            out[EDX] &= ~(uint32_t)EXT_EDX_SYSCALL;
        break;
    default: break;
    }
}
