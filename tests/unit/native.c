/* SPDX-License-Identifier: BSD-2-Clause */
/* x87, MMX, SSE, AVX, AVX-512: instructions of every class emulated and executed directly, from the
 * same random state, results compared; then faults, partial memory access and saved state. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/native_direct.h"
#include "tests/unit/native_insns.h"

static unsigned shown;

static void differs(const char *text, const char *what, unsigned at, uint64_t is, uint64_t expect)
{
    unit_failed++;
    if (shown++ < 60)
        printf("%s: %s %u is %#llx, directly %#llx\n", text, what, at, (unsigned long long)is,
               (unsigned long long)expect);
}

static void compare(const char *text, const char *what, const uint8_t *is, const uint8_t *expect,
                    unsigned size)
{
    for (unsigned i = 0; i < size; i += 8) {
        unsigned n = MIN(size - i, 8u);
        if (le_get(is + i, n) != le_get(expect + i, n)) {
            differs(text, what, i, le_get(is + i, n), le_get(expect + i, n));
            return;
        }
    }
    unit_passed++;
}

static void one_round(const uint8_t *code, unsigned len, const char *text, unsigned round)
{
    static struct direct d;
    static uint8_t data[DATA_SIZE] __attribute__((aligned(64))), image[4096];
    const struct x86_native *n = cpu->native;
    uint8_t *mem = ram + DATA;
    bool fx_data = strstr(text, "ldmxcsr") || strstr(text, "fldcw") || strstr(text, "fldenv") ||
                   strstr(text, "frstor");

    random_state(d.in);
    for (unsigned i = 0; i < DATA_SIZE; i += 8)
        le64_put(data + i, interesting());
    if (fx_data)
        memset(data, round % 2 ? 0x1f : 0, DATA_SIZE);
    unsigned at = round % 2 ? MIDDLE : (unsigned)(rnd64() % 16) * 64;
    if (round % 4 == 3)
        at = 0x1000 - 64;
    if (strstr(text, "ldmxcsr"))
        le32_put(data + at, (uint32_t)(rnd64() & 0xffff));
    memcpy(mem, data, DATA_SIZE);
    for (unsigned i = 0; i < 16; i++)
        d.gpr[i] = rnd64() % 4 ? rnd64() : rnd64() % 20;
    memcpy(cpu->gpr, d.gpr, sizeof(d.gpr));
    d.flags = X86_F1 | (rnd64() & X86_AFLAGS);
    cpu->rflags = d.flags;
    d.mask = n->xcr0 == 3 ? 0 : n->xcr0;
    CHECK_EQ(x86_native_set_xsave(cpu, d.in, 4096), 0);

    d.gpr[X86_RBX] = (uint64_t)(uintptr_t)(data + at);
    cpu->gpr[X86_RBX] = DATA + at;
    if (strstr(text, "maskmov")) {
        d.gpr[X86_RDI] = d.gpr[X86_RBX];
        cpu->gpr[X86_RDI] = cpu->gpr[X86_RBX];
    }
    run_direct(&d, code, len);
    int fault = emulate(code, len);
    if (fault != -1) {
        differs(text, "fault", 0, (uint64_t)fault, ~0ull);
        return;
    }
    x86_native_get_xsave(cpu, image, sizeof(image));
    for (unsigned i = 0; i < 16; i++)
        if (i != X86_RBX && i != X86_RSP && i != 15 && !(i == X86_RDI && strstr(text, "maskmov")) &&
            cpu->gpr[i] != d.gpr[i])
            differs(text, "register", i, cpu->gpr[i], d.gpr[i]);
    if ((cpu->rflags ^ d.flags) & X86_AFLAGS)
        differs(text, "flags", 0, cpu->rflags, d.flags);
    if (le64(d.out + FX_FIP) == (uint64_t)(uintptr_t)direct_at)
        le64_put(d.out + FX_FIP, 0x12345);
    if (le64(d.out + FX_FDP) == (uint64_t)(uintptr_t)(data + at))
        le64_put(d.out + FX_FDP, DATA + at);
    compare(text, "x87", image, d.out, FX_MXCSR);
    compare(text, "mxcsr", image + FX_MXCSR, d.out + FX_MXCSR, 4);
    compare(text, "st", image + FX_ST, d.out + FX_ST, FX_XMM - FX_ST);
    compare(text, "xmm", image + FX_XMM, d.out + FX_XMM, 256);
    for (unsigned c = 2; c < NATIVE_COMPONENTS; c++)
        compare(text, "component", image + n->component[c].offset, d.out + n->component[c].offset,
                n->component[c].size);
    compare(text, "memory", mem, data, DATA_SIZE);
}

/* Does 32-bit code do the same with the same bytes? */
static bool same_in_32_bit(const uint8_t *code, unsigned len)
{
    struct x86_insn a, b;
    uint8_t buf[16] = { 0 };
    memcpy(buf, code, 15);
    return x86_decode(&a, buf, 15, 8) == X86_DECODE_OK &&
           x86_decode(&b, buf, 15, 4) == X86_DECODE_OK && a.len == len && b.len == len &&
           a.op == b.op && a.op != X86_OP_VZERO && a.op != X86_OP_MASKMOV && !(a.rex & 7) &&
           !(a.evex & 12) && a.vvvv < 8 && (a.base != X86_REG_RIP) &&
           !memcmp(a.operand, b.operand, sizeof(a.operand));
}

static void test_against_direct(void)
{
    unsigned skipped = 0, done = 0;
    for (const uint8_t *p = native_insns; *p;) {
        unsigned len = *p++;
        const char *text = (const char *)p + len;
        if (unsupported(p)) {
            skipped++;
        } else {
            done++;
            for (unsigned round = 0; round < ROUNDS; round++)
                one_round(p, len, text, round);
            if (same_in_32_bit(p, len)) {
                set_mode(4);
                for (unsigned round = 0; round < 4; round++)
                    one_round(p, len, text, round);
                set_mode(8);
            }
        }
        p += len + strlen(text) + 1;
    }
    printf("native: %u instructions against direct execution, %u not on this host\n", done,
           skipped);
}

/* ---- faults ---- */

/* Bytes of an instruction given in assembly. */
#define CODE(name, text)                                                                           \
    extern const uint8_t name[], name##_end[];                                                     \
    __asm__(".pushsection .rodata\n" #name ": " text "\n" #name "_end: .space 16\n.popsection\n")
#define RUN(name) emulate(name, (unsigned)(name##_end - name))

CODE(i_addps, "addps (%rbx), %xmm1");
CODE(i_addpd_reg, "addpd %xmm2, %xmm1");
CODE(i_divss, "divss %xmm2, %xmm1");
CODE(i_divps, "divps %xmm2, %xmm1");
CODE(i_mulss, "mulss %xmm2, %xmm1");
CODE(i_cvttss2si, "cvttss2si %xmm1, %eax");
CODE(i_comiss, "comiss %xmm1, %xmm2");
CODE(i_movaps_store, "movaps %xmm1, (%rbx)");
CODE(i_movups_load, "movups (%rbx), %xmm1");
CODE(i_vmovaps, "vmovaps (%rbx), %ymm1");
CODE(i_vaddps, "vaddps %ymm1, %ymm2, %ymm3");
CODE(i_vaddps512, "vaddps %zmm1, %zmm2, %zmm3");
CODE(i_kmov, "kmovw %k1, %k2");
CODE(i_paddb_mmx, "paddb %mm1, %mm2");
CODE(i_fld1, "fld1");
CODE(i_fdivp, "fdivrp");
CODE(i_fwait, "fwait");
CODE(i_fnstsw, "fnstsw %ax");
CODE(i_fnclex, "fnclex");
CODE(i_fstp, "fstpl (%rbx)");
CODE(i_fistp, "fistpl (%rbx)");
CODE(i_fxsave, "fxsave (%rbx)");
CODE(i_fxsave64, "fxsave64 (%rbx)");
CODE(i_fxrstor, "fxrstor (%rbx)");
CODE(i_fxrstor64, "fxrstor64 (%rbx)");
CODE(i_xsave, "xsave (%rbx)");
CODE(i_xsave64, "xsave64 (%rbx)");
CODE(i_xsaveopt64, "xsaveopt64 (%rbx)");
CODE(i_xsavec64, "xsavec64 (%rbx)");
CODE(i_xsaves64, "xsaves64 (%rbx)");
CODE(i_xrstor, "xrstor (%rbx)");
CODE(i_xrstor64, "xrstor64 (%rbx)");
CODE(i_ldmxcsr, "ldmxcsr (%rbx)");
CODE(i_vmaskmov_load, "vmaskmovps (%rbx), %ymm1, %ymm2");
CODE(i_vmaskmov_store, "vmaskmovps %ymm2, %ymm1, (%rbx)");
CODE(i_maskmovdqu, "maskmovdqu %xmm1, %xmm2");
CODE(i_vmovdqu8_load, "vmovdqu8 (%rbx), %zmm2{%k1}{z}");
CODE(i_vmovdqu8_store, "vmovdqu8 %zmm2, (%rbx){%k1}");
CODE(i_vpexpandd, "vpexpandd (%rbx), %zmm2{%k1}{z}");
CODE(i_vpcompressd, "vpcompressd %zmm2, (%rbx){%k1}");
CODE(i_vmovaps_masked, "vmovaps (%rbx), %zmm2{%k1}");
CODE(i_vbroadcast, "vaddps (%rbx){1to16}, %zmm2, %zmm2{%k1}");
CODE(i_vpgatherdd, "vpgatherdd %xmm1, (%rbx,%xmm7,4), %xmm2");

static void fresh(void)
{
    x86_native_reset(cpu);
    set_mode(8);
    memset(cpu->gpr, 0, sizeof(cpu->gpr));
    cpu->gpr[X86_RBX] = DATA;
    cpu->rflags = X86_F1;
    for (unsigned i = 0; i < DATA_SIZE; i++)
        ram[DATA + i] = (uint8_t)(i * 7 + 1);
}

static void set_xmm(unsigned r, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    const uint32_t v[4] = { a, b, c, d };
    memcpy(cpu->xsave + FX_XMM + 16 * r, v, sizeof(v));
}
static uint32_t xmm(unsigned r, unsigned i) { return le32(cpu->xsave + FX_XMM + 16 * r + 4 * i); }
static uint32_t mxcsr(void) { return le32(cpu->xsave + FX_MXCSR); }
static void set_mxcsr(uint32_t v) { le32_put(cpu->xsave + FX_MXCSR, v); }

enum { ONE = 0x3f800000, TWO = 0x40000000, HUGE = 0x7f7fffff, MIN_NORMAL = 0x00800000 };

/* What a state that forbids the unit makes of an instruction. */
static void test_availability(void)
{
    static const struct {
        const uint8_t *code, *end;
        uint64_t cr0, no_cr4, no_xcr0;
        int vector;
    } cases[] = {
        { i_addps, i_addps_end, X86_CR0_TS, 0, 0, X86_NM },
        { i_addps, i_addps_end, X86_CR0_EM | X86_CR0_TS, 0, 0, X86_UD },
        { i_addps, i_addps_end, X86_CR0_TS, X86_CR4_OSFXSR, 0, X86_UD },
        { i_paddb_mmx, i_paddb_mmx_end, X86_CR0_EM | X86_CR0_TS, 0, 0, X86_UD },
        { i_paddb_mmx, i_paddb_mmx_end, X86_CR0_TS, 0, 0, X86_NM },
        { i_paddb_mmx, i_paddb_mmx_end, 0, X86_CR4_OSFXSR, 0, -1 },
        { i_fld1, i_fld1_end, X86_CR0_EM, 0, 0, X86_NM },
        { i_fld1, i_fld1_end, X86_CR0_TS, 0, 0, X86_NM },
        { i_fld1, i_fld1_end, 0, X86_CR4_OSFXSR, 0, -1 },
        { i_fnstsw, i_fnstsw_end, X86_CR0_TS, 0, 0, X86_NM },
        { i_fwait, i_fwait_end, X86_CR0_TS, 0, 0, X86_NM },
        { i_fwait, i_fwait_end, X86_CR0_EM, 0, 0, -1 },
        { i_vaddps, i_vaddps_end, X86_CR0_TS, 0, 0, X86_NM },
        { i_vaddps, i_vaddps_end, X86_CR0_TS, X86_CR4_OSXSAVE, 0, X86_UD },
        { i_vaddps, i_vaddps_end, 0, 0, X86_XCR0_AVX, X86_UD },
        { i_vaddps, i_vaddps_end, X86_CR0_EM, 0, X86_XCR0_AVX512, -1 },
        { i_vaddps512, i_vaddps512_end, X86_CR0_TS, 0, X86_XCR0_OPMASK, X86_UD },
        { i_kmov, i_kmov_end, 0, 0, X86_XCR0_HI16_ZMM, X86_UD },
        { i_kmov, i_kmov_end, X86_CR0_TS, 0, 0, X86_NM },
        { i_fxsave, i_fxsave_end, X86_CR0_EM, 0, 0, X86_NM },
        { i_fxsave, i_fxsave_end, 0, X86_CR4_OSFXSR, 0, -1 },
        { i_xsave, i_xsave_end, 0, X86_CR4_OSXSAVE, 0, X86_UD },
        { i_xsave, i_xsave_end, X86_CR0_TS, 0, 0, X86_NM },
        { i_xsave, i_xsave_end, X86_CR0_EM, 0, 0, -1 },
        { i_xsaves64, i_xsaves64_end, 0, 0, 0, X86_UD },
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        fresh();
        if (unsupported(cases[i].code))
            continue;
        cpu->cr0 |= cases[i].cr0;
        cpu->cr4 &= ~cases[i].no_cr4;
        cpu->xcr0 &= ~cases[i].no_xcr0;
        int is = emulate(cases[i].code, (unsigned)(cases[i].end - cases[i].code));
        if (is != cases[i].vector)
            printf("availability case %u\n", i);
        CHECK_EQ(is, cases[i].vector);
    }
}

static void test_alignment(void)
{
    fresh();
    cpu->gpr[X86_RBX] = DATA + 8;
    CHECK_EQ(RUN(i_addps), X86_GP);
    CHECK_EQ(RUN(i_movaps_store), X86_GP);
    CHECK_EQ(RUN(i_movups_load), -1);
    CHECK_EQ(RUN(i_fxsave), X86_GP);
    cpu->gpr[X86_RBX] = DATA + 16;
    CHECK_EQ(RUN(i_addps), -1);
    CHECK_EQ(RUN(i_xsave), X86_GP);
    if (!unsupported(i_vmovaps))
        CHECK_EQ(RUN(i_vmovaps), X86_GP);
    if (!unsupported(i_vmovaps_masked)) {
        native_mask_set(cpu, 1, 1);
        CHECK_EQ(RUN(i_vmovaps_masked), X86_GP);
        native_mask_set(cpu, 1, 0x10000);
        CHECK_EQ(RUN(i_vmovaps_masked), -1);
    }
    cpu->gpr[X86_RBX] = 0x8000000000000000;
    CHECK_EQ(RUN(i_movups_load), X86_GP);
}

static void test_simd_exceptions(void)
{
    fresh(); /* divide by zero, unmasked: nothing but the flag changes */
    set_mxcsr(MXCSR_RESET & ~BIT(9));
    set_xmm(1, ONE, 5, 6, 7);
    CHECK_EQ(RUN(i_divss), X86_XM);
    CHECK_EQ(mxcsr(), (MXCSR_RESET & ~BIT(9)) | BIT(2));
    CHECK_EQ(xmm(1, 0), ONE);
    cpu->cr4 &= ~X86_CR4_OSXMMEXCPT;
    CHECK_EQ(RUN(i_divss), X86_UD);

    fresh(); /* an exception before the computation hides those after it */
    set_mxcsr(MXCSR_RESET & ~BIT(9));
    set_xmm(1, ONE, ONE, ONE, ONE);
    set_xmm(2, 0, 0x40400000, ONE, ONE); /* 1/0, 1/3 (inexact) */
    CHECK_EQ(RUN(i_divps), X86_XM);
    CHECK_EQ(mxcsr() & MXCSR_FLAGS, BIT(2));

    fresh(); /* an exception after the computation reports all */
    set_mxcsr(MXCSR_RESET & ~BIT(12));
    set_xmm(1, ONE, ONE, ONE, ONE);
    set_xmm(2, 0, 0x40400000, ONE, ONE);
    CHECK_EQ(RUN(i_divps), X86_XM);
    CHECK_EQ(mxcsr() & MXCSR_FLAGS, BIT(2) | BIT(5));
    CHECK_EQ(xmm(1, 1), ONE);

    fresh(); /* unmasked, but it does not happen */
    set_mxcsr(MXCSR_RESET & ~(BIT(7) | BIT(11)));
    set_xmm(1, ONE, 0, 0, 0);
    set_xmm(2, 0x40400000, 0, 0, 0);
    CHECK_EQ(RUN(i_divss), -1);
    CHECK_EQ(xmm(1, 0), 0x3eaaaaab);
    CHECK_EQ(mxcsr() & MXCSR_FLAGS, BIT(5));

    fresh(); /* exact tiny result: no exception if masked, one if not */
    set_xmm(1, MIN_NORMAL, 0, 0, 0);
    set_xmm(2, 0x3f000000, 0, 0, 0);
    CHECK_EQ(RUN(i_mulss), -1);
    CHECK_EQ(mxcsr(), MXCSR_RESET);
    set_xmm(1, MIN_NORMAL, 0, 0, 0);
    set_mxcsr(MXCSR_RESET & ~(uint32_t)MXCSR_UM);
    CHECK_EQ(RUN(i_mulss), X86_XM);
    CHECK_EQ(mxcsr() & MXCSR_FLAGS, MXCSR_UE);
    CHECK_EQ(xmm(1, 0), MIN_NORMAL);

    fresh(); /* general register and flags stay */
    set_mxcsr(MXCSR_RESET & ~BIT(7));
    set_xmm(1, 0x7fc00000, 0, 0, 0);
    cpu->gpr[X86_RAX] = 77;
    CHECK_EQ(RUN(i_cvttss2si), X86_XM);
    CHECK_EQ(cpu->gpr[X86_RAX], 77);
    CHECK_EQ(RUN(i_comiss), X86_XM);
    CHECK_EQ(cpu->rflags, X86_F1);

    fresh(); /* the memory operand faults first */
    set_mxcsr(0);
    cpu->gpr[X86_RBX] = HOLE;
    CHECK_EQ(RUN(i_addps), X86_PFV);
    CHECK_EQ(mxcsr(), 0);
    cpu->gpr[X86_RBX] = DATA;
    le32_put(ram + DATA, 0x00b00000);
    CHECK_EQ(RUN(i_ldmxcsr), X86_GP);
}

static void test_x87_exceptions(void)
{
    fresh();
    le16_put(cpu->xsave + FX_FCW, 0x37b); /* divide by zero unmasked */
    CHECK_EQ(RUN(i_fld1), -1);
    CHECK_EQ(RUN(i_fld1), -1);
    memset(cpu->xsave + FX_ST, 0, 10); /* ST0 = 0 */
    CHECK_EQ(RUN(i_fdivp), -1);        /* raised, not yet taken; ST1 unchanged, no pop */
    CHECK_EQ(le16(cpu->xsave + FX_FSW) & 0xff, FSW_ES | BIT(2));
    CHECK_EQ(le64(cpu->xsave + FX_FIP), 0x12345);
    CHECK_EQ(RUN(i_fnstsw), -1);
    CHECK_EQ(cpu->gpr[X86_RAX] & 0x80ff, FSW_ES | BIT(2) | FSW_B);
    CHECK_EQ(RUN(i_fwait), X86_MF);
    CHECK_EQ(RUN(i_fld1), X86_MF);
    CHECK_EQ(RUN(i_paddb_mmx), X86_MF);
    CHECK_EQ(RUN(i_addpd_reg), -1);
    CHECK_EQ(RUN(i_fnclex), -1);
    CHECK_EQ(RUN(i_fwait), -1);

    fresh(); /* an unmasked invalid operation leaves the destination in memory alone */
    le16_put(cpu->xsave + FX_FCW, 0x37e);
    CHECK_EQ(RUN(i_fld1), -1);
    le16_put(cpu->xsave + FX_ST + 8, 0x7fff); /* infinity */
    CHECK_EQ(RUN(i_fistp), -1);
    CHECK_EQ(le32(ram + DATA), 0x160f0801);
    CHECK_EQ(le16(cpu->xsave + FX_FSW) & 0xff, FSW_ES | BIT(0));

    fresh(); /* a store that faults does not pop */
    CHECK_EQ(RUN(i_fld1), -1);
    cpu->gpr[X86_RBX] = HOLE;
    CHECK_EQ(RUN(i_fstp), X86_PFV);
    CHECK_EQ(cpu->xsave[FX_FTW], 0x80);
}

/* Masked elements in the unmapped page do not fault, others do and change nothing. */
static void test_partial_memory(void)
{
    const uint32_t all = 0xffffffff;
    fresh();
    cpu->gpr[X86_RDI] = HOLE - 8;
    set_xmm(1, all, all, 0, 0);
    set_xmm(2, 0x11111111, 0x22222222, 3, 4);
    CHECK_EQ(RUN(i_maskmovdqu), -1); /* xmm1 is the mask */
    CHECK_EQ(le64(ram + HOLE - 8), 0x2222222211111111);
    set_xmm(1, all, all, 0, all);
    ram[HOLE - 1] = 5;
    CHECK_EQ(RUN(i_maskmovdqu), X86_PFV);
    CHECK_EQ(ram[HOLE - 1], 5);

    if (unsupported(i_vmaskmov_load))
        return;
    fresh();
    cpu->gpr[X86_RBX] = HOLE - 16;
    set_xmm(1, all, 0, 0, all); /* the upper half, in the hole, is masked */
    CHECK_EQ(RUN(i_vmaskmov_load), -1);
    CHECK_EQ(xmm(2, 0), le32(ram + HOLE - 16));
    CHECK_EQ(xmm(2, 1), 0);
    CHECK_EQ(RUN(i_vmaskmov_store), -1);
    cpu->gpr[X86_RBX] = HOLE - 12;
    set_xmm(2, 9, 9, 9, 9);
    CHECK_EQ(RUN(i_vmaskmov_load), X86_PFV);
    CHECK_EQ(xmm(2, 0), 9);
    CHECK_EQ(RUN(i_vmaskmov_store), X86_PFV);
    CHECK_EQ(le32(ram + HOLE - 12) != 9, 1);
    fresh();
    set_xmm(1, all, all, 0, all);
    set_xmm(7, 0, 0xffffffff, 1 << 20, 2); /* element 2 is far away, but masked */
    CHECK_EQ(RUN(i_vpgatherdd), -1);
    CHECK_EQ(xmm(2, 3), le32(ram + DATA + 8));
    CHECK_EQ(xmm(2, 1), le32(ram + DATA - 4));
    CHECK_EQ(xmm(1, 0) | xmm(1, 3), 0);
    cpu->gpr[X86_RBX] = HOLE - 4;
    set_xmm(1, all, all, 0, all);
    set_xmm(2, 7, 8, 9, 10);
    le32_put(ram + HOLE - 4, 0x1234);
    CHECK_EQ(RUN(i_vpgatherdd), X86_PFV); /* by element 3; those before are done */
    CHECK_EQ(xmm(2, 0), 0x1234);
    CHECK_EQ(xmm(2, 3), 10);
    CHECK_EQ(xmm(1, 0) | xmm(1, 1), 0);
    CHECK_EQ(xmm(1, 3), all);

    if (unsupported(i_vmovdqu8_load))
        return;
    fresh();
    cpu->gpr[X86_RBX] = HOLE - 3;
    native_mask_set(cpu, 1, 5);
    CHECK_EQ(RUN(i_vmovdqu8_load), -1);
    CHECK_EQ(xmm(2, 0), (uint32_t)(ram[HOLE - 3] | ram[HOLE - 1] << 16));
    CHECK_EQ(RUN(i_vmovdqu8_store), -1);
    native_mask_set(cpu, 1, 8);
    CHECK_EQ(RUN(i_vmovdqu8_load), X86_PFV);
    CHECK_EQ(RUN(i_vmovdqu8_store), X86_PFV);
    native_mask_set(cpu, 1, 0x8001);
    cpu->gpr[X86_RBX] = HOLE - 8;
    CHECK_EQ(RUN(i_vpexpandd), -1); /* two elements, one behind another */
    CHECK_EQ(xmm(2, 0), le32(ram + HOLE - 8));
    CHECK_EQ(RUN(i_vpcompressd), -1);
    native_mask_set(cpu, 1, 0x8003);
    CHECK_EQ(RUN(i_vpexpandd), X86_PFV);
    CHECK_EQ(RUN(i_vpcompressd), X86_PFV);
    cpu->gpr[X86_RBX] = HOLE;
    native_mask_set(cpu, 1, 0xffff0000);
    CHECK_EQ(RUN(i_vbroadcast), -1);
    native_mask_set(cpu, 1, 0x8000);
    CHECK_EQ(RUN(i_vbroadcast), X86_PFV);
}

/* ---- saved state ---- */

/* The images the instruction leaves, directly and emulated, and the state it sets. */
static void compare_state(const uint8_t *code, unsigned len, const char *text, uint64_t rfbm,
                          const uint8_t *area, unsigned size)
{
    static struct direct d;
    static uint8_t mem[4096] __attribute__((aligned(64))), image[4096];
    random_state(d.in);
    if (rnd64() % 2)
        le64_put(d.in + XSAVE_HEADER, cpu->native->xcr0 & rnd64());
    fresh();
    CHECK_EQ(x86_native_set_xsave(cpu, d.in, sizeof(d.in)), 0);
    memcpy(mem, area, size);
    memcpy(ram + DATA, area, size);
    memset(d.gpr, 0, sizeof(d.gpr));
    d.gpr[X86_RAX] = (uint32_t)rfbm;
    d.flags = X86_F1;
    d.mask = cpu->native->xcr0;
    d.gpr[X86_RBX] = (uint64_t)(uintptr_t)mem;
    cpu->gpr[X86_RAX] = d.gpr[X86_RAX];
    run_direct(&d, code, len);
    /* After a context switch the processor may count a component as in use though it is in its
     * initial state ([SDM] 1 "Processor Tracking of XSAVE-Managed State"): then once more. */
    for (unsigned tries = 0; tries < 100 && size > XSAVE_HEADER && memcmp(mem, area, size) &&
                             (le64(mem + XSAVE_HEADER) & rfbm & ~le64(d.in + XSAVE_HEADER));
         tries++) {
        memcpy(mem, area, size);
        memset(d.gpr, 0, sizeof(d.gpr));
        d.gpr[X86_RAX] = (uint32_t)rfbm;
        d.gpr[X86_RBX] = (uint64_t)(uintptr_t)mem;
        run_direct(&d, code, len);
    }
    int fault = emulate(code, len);
    if (fault != -1) {
        differs(text, "fault", 0, (uint64_t)fault, ~0ull);
        return;
    }
    compare(text, "image", ram + DATA, mem, size);
    x86_native_get_xsave(cpu, image, sizeof(image));
    compare(text, "x87", image, d.out, FX_MXCSR);
    compare(text, "mxcsr", image + FX_MXCSR, d.out + FX_MXCSR, 4);
    compare(text, "st", image + FX_ST, d.out + FX_ST, FX_XMM + 256 - FX_ST);
    for (unsigned c = 2; c < NATIVE_COMPONENTS; c++)
        compare(text, "component", image + cpu->native->component[c].offset,
                d.out + cpu->native->component[c].offset, cpu->native->component[c].size);
}
#define STATE(name, rfbm, area, size)                                                              \
    compare_state(name, (unsigned)(name##_end - name), #name, rfbm, area, size)

static void test_state_images(void)
{
    static uint8_t area[4096];
    static const uint64_t sets[] = { 1, 2, 3, 4, 6, 7, 0xe0, 0xe7, 0x47, 0 };
    for (unsigned round = 0; round < 60; round++) {
        uint64_t rfbm = sets[round % ARRAY_LEN(sets)];
        for (unsigned i = 0; i < sizeof(area); i += 8)
            le64_put(area + i, rnd64());
        STATE(i_fxsave, 0, area, FX_SIZE);
        STATE(i_fxsave64, 0, area, FX_SIZE);
        random_state(area);
        STATE(i_fxrstor, 0, area, FX_SIZE);
        STATE(i_fxrstor64, 0, area, FX_SIZE);
        if (!(cpu->native->xcr0 & X86_XCR0_AVX))
            continue;
        uint64_t offered = cpu->native->xcr0;
        rfbm &= offered;
        for (unsigned i = 0; i < XSAVE_HEADER; i += 8)
            le64_put(area + i, rnd64());
        memset(area + XSAVE_HEADER, 0, 64);
        le64_put(area + XSAVE_HEADER, rnd64() & 0xff);
        STATE(i_xsave, rfbm, area, 4096);
        STATE(i_xsave64, rfbm, area, 4096);
        STATE(i_xsavec64, rfbm, area, 4096);
        random_state(area);
        le64_put(area + XSAVE_HEADER, rnd64() & offered);
        STATE(i_xrstor, rfbm, area, 4096);
        STATE(i_xrstor64, rfbm, area, 4096);
        /* Compacted: what XSAVEC of some components left. */
        fresh();
        random_state(area);
        CHECK_EQ(x86_native_set_xsave(cpu, area, sizeof(area)), 0);
        cpu->gpr[X86_RAX] = rnd64() & offered;
        memset(ram + DATA, 0, 4096);
        CHECK_EQ(RUN(i_xsavec64), -1);
        memcpy(area, ram + DATA, sizeof(area));
        STATE(i_xrstor64, rfbm, area, 4096);
    }
}

static void test_state_faults(void)
{
    static const struct {
        unsigned at;
        uint64_t value;
    } bad[] = {
        { XSAVE_HEADER, BIT(9) }, /* a component that is not offered */
        { XSAVE_HEADER + 8, 1 },  /* XCOMP_BV without its bit 63 */
        { XSAVE_HEADER + 16, 1 },
        { XSAVE_HEADER + 8, XCOMP_COMPACT | BIT(9) },
        { XSAVE_HEADER + 8, XCOMP_COMPACT | 1 }, /* less than XSTATE_BV */
        { FX_MXCSR, 0xffffffff },
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        fresh();
        cpu->gpr[X86_RAX] = 7;
        memset(ram + DATA, 0, 4096);
        le32_put(ram + DATA + FX_MXCSR, MXCSR_RESET);
        le64_put(ram + DATA + XSAVE_HEADER, 7 & cpu->native->xcr0);
        CHECK_EQ(RUN(i_xrstor64), -1);
        le64_put(ram + DATA + bad[i].at, bad[i].value);
        set_xmm(3, 1, 2, 3, 4);
        CHECK_EQ(RUN(i_xrstor64), X86_GP);
        CHECK_EQ(xmm(3, 3), 4);
    }
    fresh();
    memset(ram + DATA, 0xff, FX_SIZE);
    CHECK_EQ(RUN(i_fxrstor), X86_GP);
    /* An image from outside is checked too. */
    static uint8_t image[4096];
    random_state(image);
    CHECK_EQ(x86_native_set_xsave(cpu, image, 600) == 0, !(cpu->native->xcr0 & X86_XCR0_AVX));
    le32_put(image + FX_MXCSR, 0x12345678);
    CHECK_EQ(x86_native_set_xsave(cpu, image, sizeof(image)) == 0, 0);
}

/* Only eight registers exist outside 64-bit mode. */
static void test_other_modes(void)
{
    fresh();
    set_xmm(1, ONE, ONE, ONE, ONE);
    set_xmm(2, TWO, TWO, TWO, TWO);
    set_mode(4);
    static const uint8_t addps[] = { 0x0f, 0x58, 0xca, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    CHECK_EQ(emulate(addps, 3), -1);
    CHECK_EQ(xmm(1, 2), 0x40400000);
    static const uint8_t fxsave32[] = { 0x0f, 0xae, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    set_xmm(9, 1, 1, 1, 1);
    memset(ram + DATA, 0xcc, FX_SIZE);
    CHECK_EQ(emulate(fxsave32, 3), -1);
    CHECK_EQ(le32(ram + DATA + FX_XMM + 16), 0x40400000);
    CHECK_EQ(ram[DATA + FX_XMM + 8 * 16], 0xcc);
    static const uint8_t fxrstor32[] = { 0x0f, 0xae, 0x0b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    CHECK_EQ(emulate(fxrstor32, 3), -1);
    CHECK_EQ(xmm(9, 0), 1);
    /* fnstenv in 16-bit protected and in real mode */
    static const uint8_t fld1[] = { 0xd9, 0xe8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    static const uint8_t fnstenv16[] = { 0x66, 0xd9, 0x33, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    CHECK_EQ(emulate(fld1, 2), -1);
    memset(ram + DATA, 0xcc, 32);
    CHECK_EQ(emulate(fnstenv16, 3), -1);
    CHECK_EQ(le64(ram + DATA), 0x23453fff3800037full);
    CHECK_EQ(le64(ram + DATA + 8), 0xcccc000000000000ull);
    set_mode(2);
    cpu->gpr[X86_RDI] = 0x5000;
    static const uint8_t real[] = { 0xd9, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    CHECK_EQ(emulate(real, 2), -1);
    CHECK_EQ(le16(ram + 0x5000 + 6), 0x2345);
    CHECK_EQ(le16(ram + 0x5000 + 8), 0x1000);
    /* VEX is undefined in real mode */
    static const uint8_t vex[] = { 0xc5, 0xf8, 0x58, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    CHECK_EQ(emulate(vex, 4), X86_UD);
}

/* As on a host that has only some of the components. */
static void restrict_host(uint64_t xcr0, uint64_t features, uint8_t *code, size_t size)
{
    struct x86_native *n = cpu->native;
    x86_native_init(n, code, code, size);
    n->xcr0 &= xcr0;
    n->features &= features;
    for (unsigned i = 2; i < NATIVE_COMPONENTS; i++)
        if (!(n->xcr0 >> i & 1))
            n->component[i] = (struct native_component){ 0, 0, false };
    n->xsave_size = x86_native_xsave_size(n->xcr0);
    set_mode(8);
}

int main(void)
{
    exec_page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t code_size = 64 * 1024;
    uint8_t *code = mmap(NULL, code_size, PROT_READ | PROT_WRITE | PROT_EXEC,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (exec_page == MAP_FAILED || code == MAP_FAILED)
        return 1;
    cpu = aligned_alloc(64, ALIGN_UP(sizeof(*cpu), 64));
    if (!cpu)
        return 1;
    memset(cpu, 0, sizeof(*cpu));
    cpu->env = &env;
    cpu->native = malloc(x86_native_size());
    if (!cpu->native)
        return 1;
    x86_native_init(cpu->native, code, code, code_size);
    x86_reset(cpu);
    make_tables();
    set_mode(8);
    test_against_direct();
    test_availability();
    test_alignment();
    test_simd_exceptions();
    test_x87_exceptions();
    test_partial_memory();
    test_state_images();
    test_state_faults();
    test_other_modes();
    restrict_host(7, BIT(NATIVE_F_AVX512) - 1, code, code_size);
    test_against_direct();
    test_state_images();
    restrict_host(3, BIT(NATIVE_F_AVX) - 1, code, code_size);
    test_against_direct();
    free(cpu->native);
    free(cpu);
    return unit_done("native");
}
