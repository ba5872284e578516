/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's x87, MMX, SSE, AVX and AVX-512 registers in the host's own: there while generated
 * code runs and beyond, until something may use the host's registers or looks at cpu->xsave. All C
 * from generated code to the next put is compiled to general registers: see mk/plain.mk.
 *
 * DEVIATES: the x87 instruction and data pointers and the opcode of the last instruction are those
 * of the host's code and not for a guest to see, so they become zero with every put.
 */
#include "engine/soft/soft.h"
#include "isa/x86/native.h"

/* [SDM] vol. 1 "Legacy Region of an XSAVE Area", "XSAVE Header" */
enum {
    FCW = 0,
    FSW = 2,
    FOP = 6,
    FIP = 8,
    FDP = 16,
    MXCSR = 24,
    XSTATE_BV = 512,
    FCW_MASKS = 0x3f,
    FSW_ES = 0x80,
    MXCSR_MASKS = 0x1f80
};

void xl_fpu_init(struct soft_vcpu *v)
{
    v->xl.fpu_mask = x86_native_xcr0();
    v->xl.mxcsr_check = ~(uint64_t)x86_native_mxcsr_mask(v->cpu.native) | MXCSR_MASKS;
}

static void save(struct soft_vcpu *v)
{
    uint8_t *area = v->cpu.xsave;

    __asm__ volatile("xsave64 %0"
                     : "+m"(*(uint8_t(*)[sizeof(v->cpu.xsave)])area)
                     : "a"((uint32_t)v->xl.fpu_mask), "d"(0));
    le16_put(area + FOP, 0);
    le64_put(area + FIP, 0);
    le64_put(area + FDP, 0);
    v->xl.fpu_header = true;
}

void xl_fpu_put_slow(struct soft_vcpu *v)
{
    struct xl *xl = &v->xl;

    save(v);
    __asm__ volatile("fninit\n\tfldcw %0\n\tldmxcsr %1" : : "m"(xl->host_fcw), "m"(xl->host_mxcsr));
    if (xl->fpu_mask & X86_XCR0_AVX)
        __asm__ volatile("vzeroupper");
    xl->fpu_live = false;
}

void xl_fpu_before(struct soft_vcpu *v, const struct x86_insn *in)
{
    switch (in->op) {
    case X86_OP_FXSAVE:
    case X86_OP_XSAVE:
    case X86_OP_XSAVEOPT:
    case X86_OP_XSAVEC:
    case X86_OP_STMXCSR:
        if (v->xl.fpu_live)
            save(v); /* it only looks: the registers stay live */
        return;
    default: xl_fpu_away(v);
    }
}

void xl_fpu_get_slow(struct soft_vcpu *v)
{
    struct xl *xl = &v->xl;
    uint8_t *area = v->cpu.xsave;

    /* Components it does not name become initial: what is in use must be exact, or upper halves of
     * registers that hold nothing make legacy SSE slow. */
    if (!xl->fpu_header)
        le64_put(area + XSTATE_BV, x86_native_in_use(&v->cpu));
    xl->fp_masked = (le32(area + MXCSR) & MXCSR_MASKS) == MXCSR_MASKS &&
                    (le16(area + FCW) & FCW_MASKS) == FCW_MASKS && !(area[FSW] & FSW_ES);
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(xl->host_mxcsr), "=m"(xl->host_fcw));
    __asm__ volatile("xrstor64 %0"
                     :
                     : "m"(*(uint8_t(*)[sizeof(v->cpu.xsave)])area), "a"((uint32_t)xl->fpu_mask),
                       "d"(0));
    xl->fpu_live = true;
}

uint32_t xl_key(const struct x86_cpu *cpu)
{
    const struct xl *xl = &container_of(cpu, const struct soft_vcpu, cpu)->xl;
    const uint64_t avx = X86_XCR0_SSE | X86_XCR0_AVX, avx512 = avx | X86_XCR0_AVX512;
    uint32_t key = cpu->mode_key & (BIT(X86_KEY_BITS) - 1);

    if (cpu->cpl == 3 && xl_window_on(xl, cpu))
        key |= XL_KEY_WINDOW;
    if (cpu->cr0 & X86_CR0_TS)
        return key;
    if (!(cpu->cr0 & X86_CR0_EM))
        key |= XL_KEY_X87 | (cpu->cr4 & X86_CR4_OSFXSR ? XL_KEY_SSE : 0u);
    if (cpu->cr4 & X86_CR4_OSXSAVE) {
        key |= (cpu->xcr0 & avx) == avx ? XL_KEY_AVX : 0u;
        key |= (cpu->xcr0 & avx512) == avx512 ? XL_KEY_AVX512 : 0u;
    }
    return key | (xl->fp_masked ? XL_KEY_FP : 0u);
}
