/* SPDX-License-Identifier: BSD-2-Clause */
/* FXSAVE, XSAVE and their relatives, LDMXCSR and STMXCSR. [SDM] vol. 1 "Managing State Using the
 * XSAVE Feature Set". Selectors of the x87 pointers are zero throughout, as CPUID.7.0:EBX bit 13
 * announces. */
#include <errno.h>

#include "isa/x86/native_int.h"

/* A component's bytes at `size` are all zero. */
static bool is_zero(const uint8_t *p, unsigned size)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < size; i += 8)
        any |= le64(p + i);
    return !any;
}

static bool x87_is_initial(const uint8_t *area)
{
    return le16(area + FX_FCW) == FCW_RESET && !le16(area + FX_FSW) && is_zero(area + 8, 16) &&
           !area[FX_FTW] && !le16(area + FX_FOP) && is_zero(area + FX_ST, FX_XMM - FX_ST);
}

/* Registers per component that exist in the current mode: in bytes of the component. */
static unsigned part_size(const struct x86_cpu *cpu, unsigned i, bool mode64)
{
    const struct x86_native *n = cpu->native;
    switch (i) {
    case 1: return mode64 ? 256 : 128;
    case 2: return mode64 ? 256 : 128;
    case 6: return mode64 ? 512 : 256;
    case 7: return mode64 ? 1024 : 0;
    default: return n->component[i].size;
    }
}

static uint8_t *part(struct x86_cpu *cpu, unsigned i)
{
    return cpu->xsave + (i == 1 ? FX_XMM : cpu->native->component[i].offset);
}

/* Components that are not in their initial configuration. [SDM] "XINUSE" */
static uint64_t in_use(struct x86_cpu *cpu, bool mode64)
{
    uint64_t use = x87_is_initial(cpu->xsave) ? 0 : X86_XCR0_X87;
    for (unsigned i = 1; i < NATIVE_COMPONENTS; i++)
        if (cpu->native->xcr0 >> i & 1 && !is_zero(part(cpu, i), part_size(cpu, i, mode64)))
            use |= BIT(i);
    return use;
}

/* Offsets of the components in an image; compact: those of the set `have`, one behind another. */
static void layout(const struct x86_native *n, bool compact, uint64_t have,
                   uint32_t offset[NATIVE_COMPONENTS])
{
    uint32_t at = XSAVE_EXTENDED;
    for (unsigned i = 2; i < NATIVE_COMPONENTS; i++) {
        offset[i] = n->component[i].offset;
        if (!compact || !(have >> i & 1))
            continue;
        if (n->component[i].align)
            at = ALIGN_UP(at, 64u);
        offset[i] = at;
        at += n->component[i].size;
    }
}

/* What the host's unit makes of an x87 image: reserved bits, the error summary, canonical pointers.
 * The image is in work->fx. This file is compiled to use no vector registers, so none is saved. */
static void normalize_x87(struct x86_cpu *cpu)
{
    struct native_work *w = cpu->native->work;
    le32_put(w->fx + FX_MXCSR, w->mxcsr_host);
    __asm__ volatile("fxrstor64 %0\n\tfxsave64 %0\n\tfninit" : "+m"(w->fx));
}

/* Takes the x87 part of an image. rex_w: its pointers are 64 bits wide. */
static void set_x87(struct x86_cpu *cpu, const uint8_t *image, bool rex_w)
{
    uint8_t *fx = cpu->native->work->fx;
    __builtin_memcpy(fx, image, FX_MXCSR);
    __builtin_memcpy(fx + FX_ST, image + FX_ST, FX_XMM - FX_ST);
    if (!rex_w) {
        le64_put(fx + FX_FIP, le32(image + FX_FIP));
        le64_put(fx + FX_FDP, le32(image + FX_FDP));
    }
    normalize_x87(cpu);
    __builtin_memcpy(cpu->xsave, fx, FX_MXCSR);
    __builtin_memcpy(cpu->xsave + FX_ST, fx + FX_ST, FX_XMM - FX_ST);
}

static void init_x87(struct x86_cpu *cpu)
{
    __builtin_memset(cpu->xsave, 0, FX_MXCSR);
    __builtin_memset(cpu->xsave + FX_ST, 0, FX_XMM - FX_ST);
    le16_put(cpu->xsave + FX_FCW, FCW_RESET);
}

/* The legacy region as saved: 64-bit or 32-bit pointers. */
static void get_legacy(struct x86_cpu *cpu, uint8_t image[FX_SIZE], bool rex_w)
{
    __builtin_memcpy(image, cpu->xsave, FX_SIZE);
    le32_put(image + FX_MXCSR_MASK, cpu->native->mxcsr_mask);
    if (!rex_w) {
        le32_put(image + FX_FIP + 4, 0);
        le32_put(image + FX_FDP + 4, 0);
    }
}

static bool mxcsr_ok(struct x86_cpu *cpu, uint32_t v) { return !(v & ~cpu->native->mxcsr_mask); }

static void store(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t lin,
                  const uint8_t *image, unsigned from, unsigned to)
{
    if (to > from)
        x86_store_bytes(cpu, insn->seg, lin + from, image + from, to - from, x86_user(cpu));
}

/* ---- FXSAVE, FXRSTOR ---- */

static uint64_t fx_operand(struct x86_cpu *cpu, const struct x86_insn *insn, enum x86_access access)
{
    if (cpu->cr0 & (X86_CR0_EM | X86_CR0_TS))
        x86_fault(cpu, X86_NM);
    uint64_t lin = native_linear(cpu, insn, FX_SIZE, access);
    native_check_align(cpu, lin, 4);
    if (lin & 15)
        x86_gp0(cpu);
    return lin;
}

static unsigned fx_end(struct x86_cpu *cpu) { return FX_XMM + part_size(cpu, 1, cpu->code == 8); }

static void exec_fxsave(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint8_t image[FX_SIZE];
    uint64_t lin = fx_operand(cpu, insn, X86_WRITE);
    x86_probe(cpu, insn->seg, lin, FX_SIZE, X86_WRITE, x86_user(cpu));
    get_legacy(cpu, image, insn->rex & 8);
    if (cpu->cr4 & X86_CR4_OSFXSR) {
        store(cpu, insn, lin, image, 0, fx_end(cpu));
    } else {
        store(cpu, insn, lin, image, 0, FX_MXCSR);
        store(cpu, insn, lin, image, FX_ST, FX_XMM);
    }
}

static void exec_fxrstor(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint8_t image[FX_SIZE];
    uint64_t lin = fx_operand(cpu, insn, X86_READ);
    x86_load_bytes(cpu, insn->seg, lin, image, FX_SIZE, x86_user(cpu));
    if (cpu->cr4 & X86_CR4_OSFXSR) {
        if (!mxcsr_ok(cpu, le32(image + FX_MXCSR)))
            x86_gp0(cpu);
        le32_put(cpu->xsave + FX_MXCSR, le32(image + FX_MXCSR));
        __builtin_memcpy(cpu->xsave + FX_XMM, image + FX_XMM, fx_end(cpu) - FX_XMM);
    }
    set_x87(cpu, image, insn->rex & 8);
}

/* ---- XSAVE, XSAVEOPT, XSAVEC ---- */

static uint64_t xsave_operand(struct x86_cpu *cpu, const struct x86_insn *insn,
                              enum x86_access access, uint64_t *rfbm)
{
    if (!(cpu->cr4 & X86_CR4_OSXSAVE))
        x86_ud(cpu);
    if (cpu->cr0 & X86_CR0_TS)
        x86_fault(cpu, X86_NM);
    *rfbm = (cpu->gpr[X86_RDX] << 32 | (uint32_t)cpu->gpr[X86_RAX]) & cpu->xcr0 & cpu->native->xcr0;
    uint64_t lin = native_linear(cpu, insn, XSAVE_EXTENDED, access);
    native_check_align(cpu, lin, 4);
    if (lin & 63)
        x86_gp0(cpu);
    return lin;
}

/* Writes the components of `write` to an image at lin. */
static void store_components(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t lin,
                             uint64_t write, bool mxcsr, const uint32_t offset[NATIVE_COMPONENTS])
{
    uint8_t image[FX_SIZE];
    bool mode64 = cpu->code == 8;
    x86_probe(cpu, insn->seg, lin, XSAVE_EXTENDED, X86_WRITE, x86_user(cpu));
    for (unsigned i = 2; i < NATIVE_COMPONENTS; i++)
        if (write >> i & 1 && part_size(cpu, i, mode64))
            x86_probe(cpu, insn->seg, lin + offset[i], part_size(cpu, i, mode64), X86_WRITE,
                      x86_user(cpu));
    get_legacy(cpu, image, insn->rex & 8);
    if (write & X86_XCR0_X87) {
        store(cpu, insn, lin, image, 0, FX_MXCSR);
        store(cpu, insn, lin, image, FX_ST, FX_XMM);
    }
    if (mxcsr)
        store(cpu, insn, lin, image, FX_MXCSR, FX_ST);
    if (write & X86_XCR0_SSE)
        store(cpu, insn, lin, image, FX_XMM, fx_end(cpu));
    for (unsigned i = 2; i < NATIVE_COMPONENTS; i++)
        if (write >> i & 1 && part_size(cpu, i, mode64))
            x86_store_bytes(cpu, insn->seg, lin + offset[i], part(cpu, i),
                            part_size(cpu, i, mode64), x86_user(cpu));
}

/* XSAVEOPT is XSAVE without the components in their initial state; that something was not modified
 * since the last XRSTOR is not tracked, which the manual allows. */
static void exec_xsave(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint64_t rfbm, lin = xsave_operand(cpu, insn, X86_WRITE, &rfbm);
    uint64_t use = in_use(cpu, cpu->code == 8);
    uint32_t offset[NATIVE_COMPONENTS];
    uint64_t old = x86_load_user(cpu, insn->seg, lin + XSAVE_HEADER, 8, x86_user(cpu));
    layout(cpu->native, false, 0, offset);
    store_components(cpu, insn, lin, insn->op == X86_OP_XSAVEOPT ? rfbm & use : rfbm,
                     rfbm & (X86_XCR0_SSE | X86_XCR0_AVX), offset);
    x86_store_user(cpu, insn->seg, lin + XSAVE_HEADER, (old & ~rfbm) | (use & rfbm), 8,
                   x86_user(cpu));
}

static void exec_xsavec(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint64_t rfbm, lin = xsave_operand(cpu, insn, X86_WRITE, &rfbm);
    uint64_t use = in_use(cpu, cpu->code == 8);
    uint32_t offset[NATIVE_COMPONENTS];
    if (native_mxcsr(cpu) != MXCSR_RESET)
        use |= X86_XCR0_SSE;
    use &= rfbm;
    layout(cpu->native, true, rfbm, offset);
    store_components(cpu, insn, lin, use, use & X86_XCR0_SSE, offset);
    uint64_t header[2] = { use, rfbm | XCOMP_COMPACT };
    x86_store_bytes(cpu, insn->seg, lin + XSAVE_HEADER, header, sizeof header, x86_user(cpu));
}

/* ---- XRSTOR ---- */

/* Reads the components of `load` of an image at lin to `image` in the standard format. */
static void load_components(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t lin,
                            uint64_t load, const uint32_t offset[NATIVE_COMPONENTS],
                            uint8_t image[NATIVE_XSAVE_MAX])
{
    for (unsigned i = 2; i < NATIVE_COMPONENTS; i++)
        if (load >> i & 1 && part_size(cpu, i, cpu->code == 8))
            x86_load_bytes(cpu, insn->seg, lin + offset[i],
                           image + cpu->native->component[i].offset,
                           part_size(cpu, i, cpu->code == 8), x86_user(cpu));
}

/* Components of `load` come from the image in standard format, those of `init` are reset. */
static void set_components(struct x86_cpu *cpu, const uint8_t *image, uint64_t load, uint64_t init,
                           bool mode64, bool rex_w)
{
    for (unsigned i = 1; i < NATIVE_COMPONENTS; i++) {
        unsigned size = (load | init) >> i & 1 ? part_size(cpu, i, mode64) : 0;
        if (init >> i & 1)
            __builtin_memset(part(cpu, i), 0, size);
        else if (size)
            __builtin_memcpy(part(cpu, i), image + (part(cpu, i) - cpu->xsave), size);
    }
    if (load & X86_XCR0_X87)
        set_x87(cpu, image, rex_w);
    else if (init & X86_XCR0_X87)
        init_x87(cpu);
}

static void exec_xrstor(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint64_t rfbm, lin = xsave_operand(cpu, insn, X86_READ, &rfbm), header[8];
    uint8_t *image = cpu->native->work->undo;
    uint32_t offset[NATIVE_COMPONENTS], mxcsr = MXCSR_RESET;
    uint64_t offered = cpu->xcr0 & cpu->native->xcr0;
    x86_load_bytes(cpu, insn->seg, lin + XSAVE_HEADER, header, sizeof header, x86_user(cpu));
    uint64_t bv = header[0], comp = header[1];
    bool compact = comp & XCOMP_COMPACT, set_mxcsr;
    if (header[2] || (compact ? (comp & ~XCOMP_COMPACT & ~offered) || bv & ~comp ||
                                    !is_zero((uint8_t *)&header[2], 48)
                              : comp || bv & ~offered))
        x86_gp0(cpu);
    x86_load_bytes(cpu, insn->seg, lin, image, FX_SIZE, x86_user(cpu));
    layout(cpu->native, compact, comp, offset);
    load_components(cpu, insn, lin, rfbm & bv, offset, image);
    if (compact) {
        set_mxcsr = rfbm & X86_XCR0_SSE;
        if (bv & X86_XCR0_SSE)
            mxcsr = le32(image + FX_MXCSR);
    } else {
        set_mxcsr = rfbm & (X86_XCR0_SSE | X86_XCR0_AVX);
        mxcsr = le32(image + FX_MXCSR);
    }
    if (set_mxcsr && !mxcsr_ok(cpu, mxcsr))
        x86_gp0(cpu);
    if (set_mxcsr)
        le32_put(cpu->xsave + FX_MXCSR, mxcsr);
    set_components(cpu, image, rfbm & bv, rfbm & ~bv, cpu->code == 8, insn->rex & 8);
}

static void exec_ud(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn; /* XSAVES, XRSTORS: not offered */
    x86_ud(cpu);
}

/* ---- MXCSR ---- */

static void check_mxcsr(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    if (insn->enc == X86_ENC_VEX)
        native_check_avx(cpu);
    else
        native_check_sse(cpu);
}

static void exec_ldmxcsr(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    check_mxcsr(cpu, insn);
    uint32_t v = (uint32_t)x86_load(cpu, insn->seg, x86_ea(cpu, insn), 4);
    if (!mxcsr_ok(cpu, v))
        x86_gp0(cpu);
    le32_put(cpu->xsave + FX_MXCSR, v);
}

static void exec_stmxcsr(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    check_mxcsr(cpu, insn);
    x86_store(cpu, insn->seg, x86_ea(cpu, insn), native_mxcsr(cpu), 4);
}

x86_exec_fn *native_bind_xsave(const struct x86_insn *insn)
{
    switch (insn->op) {
    case X86_OP_FXSAVE: return exec_fxsave;
    case X86_OP_FXRSTOR: return exec_fxrstor;
    case X86_OP_XSAVE:
    case X86_OP_XSAVEOPT: return exec_xsave;
    case X86_OP_XSAVEC: return exec_xsavec;
    case X86_OP_XRSTOR: return exec_xrstor;
    case X86_OP_LDMXCSR: return exec_ldmxcsr;
    case X86_OP_STMXCSR: return exec_stmxcsr;
    default: return exec_ud;
    }
}

/* ---- for those outside ---- */

uint64_t x86_native_in_use(struct x86_cpu *cpu) { return in_use(cpu, true); }

uint32_t x86_native_mxcsr_mask(const struct x86_native *n) { return n->mxcsr_mask; }

void x86_native_get_xsave(struct x86_cpu *cpu, void *buf, size_t size)
{
    uint8_t *out = buf;
    uint32_t end = cpu->native->xsave_size;
    __builtin_memset(out, 0, size);
    if (size < end)
        return;
    __builtin_memcpy(out, cpu->xsave, end);
    get_legacy(cpu, out, true);
    __builtin_memset(out + FX_XMM + 256, 0, XSAVE_EXTENDED - FX_XMM - 256);
    uint64_t use = in_use(cpu, true);
    if (native_mxcsr(cpu) != MXCSR_RESET)
        use |= X86_XCR0_SSE;
    le64_put(out + XSAVE_HEADER, use);
}

int x86_native_set_xsave(struct x86_cpu *cpu, const void *buf, size_t size)
{
    const struct x86_native *n = cpu->native;
    const uint8_t *in = buf;
    uint64_t bv;
    if (size < XSAVE_EXTENDED)
        return -EINVAL;
    bv = le64(in + XSAVE_HEADER);
    if ((size < n->xsave_size && size < x86_native_xsave_size(bv & n->xcr0)) || bv & ~n->xcr0 ||
        le64(in + XSAVE_HEADER + 8) || !mxcsr_ok(cpu, le32(in + FX_MXCSR)))
        return -EINVAL;
    le32_put(cpu->xsave + FX_MXCSR, le32(in + FX_MXCSR));
    set_components(cpu, in, bv, n->xcr0 & ~bv, true, true);
    return 0;
}
