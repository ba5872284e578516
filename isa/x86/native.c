/* SPDX-License-Identifier: BSD-2-Clause */
/* x87, MMX, SSE, AVX and AVX-512 on the host's own unit: life cycle, checks, the vector classes.
 *
 * Every distinct instruction gets a stub (native_emit.c) that loads the guest registers it names,
 * executes the original operation with the memory operand in the work area, and stores the result.
 * The area cpu->xsave is always complete: a component in its initial state holds its initial
 * values; which are in use is found out when a guest saves them (xsave.c). Exceptions never trap:
 * see native_run().
 * [SDM] vol. 1 "Programming with …", vol. 2 "Exception Classifications". */
#include <cpuid.h>

#include "isa/x86/native_int.h"

size_t x86_native_size(void) { return sizeof(struct x86_native) + sizeof(struct native_work) + 64; }

uint64_t x86_native_xcr0(void)
{
    uint64_t f = native_host_features(), xcr0 = X86_XCR0_X87 | X86_XCR0_SSE;
    if (f & BIT(NATIVE_F_AVX))
        xcr0 |= X86_XCR0_AVX;
    if (f & BIT(NATIVE_F_AVX512))
        xcr0 |= X86_XCR0_AVX512;
    return xcr0;
}

bool x86_native_component(unsigned i, uint32_t *offset, uint32_t *size, bool *align)
{
    uint32_t a, b, c, d;
    if (i < 2 || i >= NATIVE_COMPONENTS || !__get_cpuid_count(0xd, i, &a, &b, &c, &d) || !a ||
        b < XSAVE_EXTENDED || !range_ok(b, a, NATIVE_XSAVE_MAX))
        return false;
    *size = a;
    *offset = b;
    *align = c & 2;
    return true;
}

uint32_t x86_native_xsave_size(uint64_t xcr0)
{
    uint32_t end = XSAVE_EXTENDED, offset, size;
    bool align;
    for (unsigned i = 2; i < NATIVE_COMPONENTS; i++)
        if (xcr0 >> i & 1 && x86_native_component(i, &offset, &size, &align))
            end = MAX(end, offset + size);
    return end;
}

void x86_native_init(struct x86_native *n, void *code_rw, void *code_rx, size_t size)
{
    __builtin_memset(n, 0, x86_native_size());
    n->work = (struct native_work *)ALIGN_UP((uintptr_t)(n + 1), 64);
    n->code_rw = code_rw;
    n->code_rx = code_rx;
    n->size = size;
    n->features = native_host_features();
    n->xcr0 = x86_native_xcr0();
    for (unsigned i = 2; i < NATIVE_COMPONENTS; i++)
        if (n->xcr0 >> i & 1 &&
            !x86_native_component(i, &n->component[i].offset, &n->component[i].size,
                                  &n->component[i].align))
            n->xcr0 = X86_XCR0_X87 | X86_XCR0_SSE; /* a host that contradicts itself */
    if (!(n->xcr0 & X86_XCR0_AVX))
        n->features &= BIT(NATIVE_F_GFNI + 1) - 1;
    n->xsave_size = x86_native_xsave_size(n->xcr0);
    struct native_work *w = n->work;
    __asm__ volatile("stmxcsr %0" : "=m"(w->mxcsr_host));
    w->mxcsr_host &= ~(uint32_t)MXCSR_FLAGS;
    __asm__ volatile("fxsave64 %0" : "=m"(w->fx));
    n->mxcsr_mask = le32(w->fx + FX_MXCSR_MASK);
    if (!n->mxcsr_mask)
        n->mxcsr_mask = 0xffbf;
    __builtin_memset(w->fx, 0, sizeof w->fx);
    le32_put(w->fx + FX_MXCSR, w->mxcsr_host);
}

void x86_native_reset(struct x86_cpu *cpu)
{
    __builtin_memset(cpu->xsave, 0, sizeof cpu->xsave);
    le16_put(cpu->xsave + FX_FCW, FCW_RESET);
    le32_put(cpu->xsave + FX_MXCSR, MXCSR_RESET);
}

/* ---- guest registers ---- */

static uint8_t *part(const struct x86_cpu *cpu, unsigned component)
{
    return (uint8_t *)(uintptr_t)cpu->xsave + cpu->native->component[component].offset;
}

void native_vec_get(const struct x86_cpu *cpu, unsigned r, uint8_t v[64])
{
    const struct x86_native *n = cpu->native;
    __builtin_memset(v, 0, 64);
    if (r >= 16) {
        __builtin_memcpy(v, part(cpu, 7) + 64 * (r - 16), 64);
        return;
    }
    __builtin_memcpy(v, cpu->xsave + FX_XMM + 16 * r, 16);
    if (n->xcr0 & X86_XCR0_AVX)
        __builtin_memcpy(v + 16, part(cpu, 2) + 16 * r, 16);
    if (n->xcr0 & X86_XCR0_ZMM_HI256)
        __builtin_memcpy(v + 32, part(cpu, 6) + 32 * r, 32);
}

void native_vec_set(struct x86_cpu *cpu, unsigned r, const uint8_t *v, unsigned size)
{
    const struct x86_native *n = cpu->native;
    uint8_t full[64] = { 0 };
    __builtin_memcpy(full, v, MIN(size, 64u));
    if (r >= 16) {
        __builtin_memcpy(part(cpu, 7) + 64 * (r - 16), full, 64);
        return;
    }
    __builtin_memcpy(cpu->xsave + FX_XMM + 16 * r, full, 16);
    if (n->xcr0 & X86_XCR0_AVX)
        __builtin_memcpy(part(cpu, 2) + 16 * r, full + 16, 16);
    if (n->xcr0 & X86_XCR0_ZMM_HI256)
        __builtin_memcpy(part(cpu, 6) + 32 * r, full + 32, 32);
}

uint64_t native_mask_get(const struct x86_cpu *cpu, unsigned k)
{
    return le64(part(cpu, 5) + 8 * k);
}

void native_mask_set(struct x86_cpu *cpu, unsigned k, uint64_t v)
{
    le64_put(part(cpu, 5) + 8 * k, v);
}

/* ---- checks, in the order of priority ---- */

void native_check_sse(struct x86_cpu *cpu)
{
    if (likely(!(cpu->cr0 & (X86_CR0_EM | X86_CR0_TS)) && cpu->cr4 & X86_CR4_OSFXSR))
        return;
    if (cpu->cr0 & X86_CR0_EM || !(cpu->cr4 & X86_CR4_OSFXSR))
        x86_ud(cpu);
    x86_fault(cpu, X86_NM);
}

static void check_vex(struct x86_cpu *cpu, uint64_t need)
{
    if (unlikely(!(cpu->cr4 & X86_CR4_OSXSAVE) || (cpu->xcr0 & need) != need ||
                 x86_real_or_v86(cpu)))
        x86_ud(cpu);
    if (unlikely(cpu->cr0 & X86_CR0_TS))
        x86_fault(cpu, X86_NM);
}

void native_check_avx(struct x86_cpu *cpu) { check_vex(cpu, X86_XCR0_SSE | X86_XCR0_AVX); }

void native_check_avx512(struct x86_cpu *cpu)
{
    check_vex(cpu, X86_XCR0_SSE | X86_XCR0_AVX | X86_XCR0_AVX512);
}

void native_check_mmx(struct x86_cpu *cpu)
{
    if (cpu->cr0 & X86_CR0_EM)
        x86_ud(cpu);
    if (cpu->cr0 & X86_CR0_TS)
        x86_fault(cpu, X86_NM);
    if (cpu->xsave[FX_FSW] & FSW_ES)
        x86_fault(cpu, X86_MF);
}

/* ---- execution ---- */

/* The flags that a run raises. The host runs with all exceptions masked and flags clear. */
static uint32_t run_masked(struct x86_cpu *cpu, const struct native_stub *st, uint32_t mxcsr)
{
    struct native_work *w = cpu->native->work;
    uint32_t size = cpu->native->xsave_size, tiny = 0;
    uint32_t all_masked = (mxcsr | MXCSR_MASKS) & ~(uint32_t)MXCSR_FLAGS;
    __builtin_memcpy(w->undo, cpu->xsave, size);
    if (!(mxcsr & MXCSR_UM) && !(st->flags & STUB_COMPLEX)) {
        /* An unmasked underflow is raised for exact tiny results too, and FTZ does not count then.
         * With FTZ the host reports every tiny result; of complex products also the intermediate
         * ones, which raise nothing, so these are left out. DEVIATES: other FP16 instructions do
         * not flush, so an exact tiny result of theirs raises nothing. */
        w->mxcsr_in = all_masked | MXCSR_FTZ;
        st->code(cpu, w);
        tiny = w->mxcsr_out & MXCSR_UE;
        __builtin_memcpy(cpu->xsave, w->undo, size);
        all_masked &= ~(uint32_t)MXCSR_FTZ;
    }
    w->mxcsr_in = all_masked;
    st->code(cpu, w);
    return (w->mxcsr_out & MXCSR_FLAGS) | tiny;
}

static uint32_t unmasked_flags(uint32_t mxcsr) { return ~mxcsr >> 7 & MXCSR_FLAGS; }

/* Unmasked exceptions that precede the computation keep the others from being found. */
static uint32_t reported(uint32_t raised, uint32_t mxcsr)
{
    return raised & unmasked_flags(mxcsr) & MXCSR_PRE ? raised & MXCSR_PRE : raised;
}

static _Noreturn void simd_fault(struct x86_cpu *cpu, uint32_t mxcsr)
{
    le32_put(cpu->xsave + FX_MXCSR, mxcsr);
    x86_fault(cpu, cpu->cr4 & X86_CR4_OSXMMEXCPT ? X86_XM : X86_UD);
}

/* Some SIMD exception is unmasked. The flags that the host raised tell whether the guest takes #XM,
 * for which everything is put back.
 * DEVIATES: with an unmasked overflow or underflow, PE should tell whether the result would be
 * exact if exponents had no bounds; the host says whether the delivered one is. [SDM] vol. 1 "SIMD
 * Floating-Point Exception Conditions", "Handling SIMD Floating-Point Exceptions in Software" */
static uint32_t run_unmasked(struct x86_cpu *cpu, const struct native_stub *st, uint32_t mxcsr)
{
    uint32_t raised = run_masked(cpu, st, mxcsr);
    if (!(raised & unmasked_flags(mxcsr)))
        return mxcsr | raised;
    __builtin_memcpy(cpu->xsave, cpu->native->work->undo, cpu->native->xsave_size);
    simd_fault(cpu, mxcsr | reported(raised, mxcsr));
}

/* xmm0 = xmm0 op xmm1, for the flags it raises. */
static uint32_t dot_step(struct x86_cpu *cpu, const struct x86_insn *op, uint8_t *a,
                         const uint8_t *b, uint32_t mxcsr)
{
    uint8_t v[64];
    native_vec_set(cpu, 0, a, 16);
    native_vec_set(cpu, 1, b, 16);
    uint32_t raised = run_masked(cpu, native_stub(cpu, op), mxcsr);
    native_vec_get(cpu, 0, v);
    __builtin_memcpy(a, v, 16);
    return raised;
}

/* DPPS and DPPD are one multiplication and one or two additions, each of which takes its exceptions
 * before the next begins. Faults if one is not masked; else nothing has changed. [SDM] vol. 2
 * "DPPS", "SIMD Floating-Point Exceptions" */
static void dot_check(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    static const uint8_t code[2][2][4] = {
        { { 0x0f, 0x59, 0xc1 }, { 0xf2, 0x0f, 0x7c, 0xc1 } },       /* MULPS, HADDPS xmm0, xmm1 */
        { { 0x66, 0x0f, 0x59, 0xc1 }, { 0x66, 0x0f, 0x7c, 0xc1 } }, /* MULPD, HADDPD */
    };
    const struct x86_operand *o = &insn->operand[insn->enc == X86_ENC_LEGACY ? 0 : 1];
    const bool pd = insn->opcode == 0x41;
    const unsigned elem = pd ? 8 : 4, n = 16 / elem, size = MAX(insn->vl, 16);
    const uint32_t mxcsr = native_mxcsr(cpu);
    uint8_t xmm0[64], xmm1[64], a[64], b[64];
    uint32_t raised = 0;

    native_vec_get(cpu, 0, xmm0);
    native_vec_get(cpu, 1, xmm1);
    native_vec_get(cpu, o[0].reg, a);
    if (insn->mem)
        __builtin_memcpy(b, cpu->native->work->mem, size);
    else
        native_vec_get(cpu, o[1].reg, b);
    for (unsigned i = 0; i < size / elem; i++)
        if (!(insn->imm >> (4 + i % n) & 1)) { /* this product is left out */
            __builtin_memset(a + i * elem, 0, elem);
            __builtin_memset(b + i * elem, 0, elem);
        }
    for (unsigned s = 0; s <= n / 2 && !(raised & unmasked_flags(mxcsr)); s++) {
        struct x86_insn op;
        uint32_t r = 0;
        if (x86_decode(&op, code[pd][s > 0], 4, 8) != X86_DECODE_OK)
            x86_error(cpu, "native: a step of a dot product");
        for (unsigned at = 0; at < size; at += 16)
            r |= dot_step(cpu, &op, a + at, s ? a + at : b + at, mxcsr);
        raised |= reported(r, mxcsr);
    }
    native_vec_set(cpu, 0, xmm0, 64);
    native_vec_set(cpu, 1, xmm1, 64);
    if (raised & unmasked_flags(mxcsr))
        simd_fault(cpu, mxcsr | raised);
}

/* A dot product's stub, after that: making the others may have moved it. */
static const struct native_stub *dot_stub(struct x86_cpu *cpu, const struct x86_insn *insn,
                                          const struct native_stub *st)
{
    if ((native_mxcsr(cpu) & MXCSR_MASKS) == MXCSR_MASKS)
        return st;
    dot_check(cpu, insn);
    return native_stub(cpu, insn);
}

uint32_t native_run(struct x86_cpu *cpu, const struct native_stub *st)
{
    struct native_work *w = cpu->native->work;
    uint32_t mxcsr = native_mxcsr(cpu);
    if (!(st->flags & STUB_FP)) {
        st->code(cpu, w);
        return mxcsr;
    }
    if (unlikely((mxcsr & MXCSR_MASKS) != MXCSR_MASKS && !(st->flags & STUB_SAE)))
        return run_unmasked(cpu, st, mxcsr);
    w->mxcsr_in = mxcsr;
    st->code(cpu, w);
    return w->mxcsr_out;
}

void native_commit(struct x86_cpu *cpu, const struct native_stub *st, uint32_t mxcsr)
{
    const struct native_work *w = cpu->native->work;
    if (st->flags & STUB_FP)
        le32_put(cpu->xsave + FX_MXCSR, mxcsr);
    if (st->flags & STUB_FLAGS)
        cpu->rflags = (cpu->rflags & ~X86_AFLAGS) | (w->flags & X86_AFLAGS);
    if (st->gpr != NATIVE_NO_GPR)
        cpu->gpr[st->gpr] = w->gpr; /* all of them are 32 or 64 bits wide */
}

/* A memory operand and the vector unit. Memory is read before and written after; instructions that
 * write memory write no register, so that a fault of the store finds all as it was. */
static inline void exec_vector(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    const struct native_stub *st = native_stub(cpu, insn);
    uint8_t *mem = cpu->native->work->mem;
    if (!insn->mem) {
        if (unlikely(st->flags & STUB_DOT))
            st = dot_stub(cpu, insn, st);
        native_commit(cpu, st, native_run(cpu, st));
        return;
    }
    const struct x86_operand *m = &insn->operand[insn->mem - 1];
    bool write = m->access & X86_ACC_W;
    if (st->flags & STUB_MASKED) {
        /* No alignment check: there may be no access at all. */
        uint64_t lin =
            x86_linear(cpu, insn->seg, x86_ea(cpu, insn), m->size, write ? X86_WRITE : X86_READ);
        if (!write)
            native_load_masked(cpu, insn, st, lin, m->size);
        uint32_t mxcsr = native_run(cpu, st);
        if (write && st->flags & STUB_FP) /* stays if the store faults */
            le32_put(cpu->xsave + FX_MXCSR, mxcsr);
        if (write)
            native_store_masked(cpu, insn, st, lin, m->size);
        native_commit(cpu, st, mxcsr);
        return;
    }
    uint64_t lin = native_linear(cpu, insn, m->size, write ? X86_WRITE : X86_READ);
    if (unlikely(st->flags & STUB_ALIGNED && lin & (m->size - 1u)))
        x86_gp0(cpu);
    if (m->access & X86_ACC_R)
        native_load(cpu, insn->seg, lin, mem, m->size);
    if (unlikely(st->flags & STUB_DOT))
        st = dot_stub(cpu, insn, st);
    uint32_t mxcsr = native_run(cpu, st);
    if (write && st->flags & STUB_FP)
        le32_put(cpu->xsave + FX_MXCSR, mxcsr);
    if (write)
        native_store(cpu, insn->seg, lin, mem, m->size);
    native_commit(cpu, st, mxcsr);
}

static void exec_sse(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    native_check_sse(cpu);
    exec_vector(cpu, insn);
}

static void exec_avx(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    native_check_avx(cpu);
    exec_vector(cpu, insn);
}

static void exec_avx512(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    native_check_avx512(cpu);
    exec_vector(cpu, insn);
}

/* VZEROUPPER, VZEROALL: zmm16..31 stay. */
static void exec_vzero(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    native_check_avx(cpu);
    unsigned count = cpu->code == 8 ? 16 : 8;
    if (insn->ll & 1)
        __builtin_memset(cpu->xsave + FX_XMM, 0, 16 * count);
    __builtin_memset(part(cpu, 2), 0, 16 * count);
    if (cpu->native->xcr0 & X86_XCR0_ZMM_HI256)
        __builtin_memset(part(cpu, 6), 0, 32 * count);
}

x86_exec_fn *x86_bind_native(const struct x86_insn *insn)
{
    switch (insn->op) {
    case X86_OP_SSE: return exec_sse;
    case X86_OP_AVX: return exec_avx;
    case X86_OP_AVX512: return exec_avx512;
    case X86_OP_VZERO: return exec_vzero;
    case X86_OP_MASKMOV:
    case X86_OP_VMASKMOV:
    case X86_OP_GATHER:
    case X86_OP_SCATTER: return native_bind_mask(insn);
    case X86_OP_FPU:
    case X86_OP_FPU_CTL:
    case X86_OP_FPU_ENV:
    case X86_OP_FWAIT:
    case X86_OP_MMX:
    case X86_OP_EMMS: return native_bind_fpu(insn);
    case X86_OP_FXSAVE:
    case X86_OP_FXRSTOR:
    case X86_OP_XSAVE:
    case X86_OP_XSAVEOPT:
    case X86_OP_XSAVEC:
    case X86_OP_XSAVES:
    case X86_OP_XRSTOR:
    case X86_OP_XRSTORS:
    case X86_OP_LDMXCSR:
    case X86_OP_STMXCSR: return native_bind_xsave(insn);
    default: return NULL;
    }
}
