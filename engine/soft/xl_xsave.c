/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's XSAVE, XSAVEOPT, XSAVEC and XRSTOR by the host's own while the host's registers hold
 * the guest's state: what a context switch and a lazy binding need. [SDM] vol. 1 "Managing State
 * Using the XSAVE Feature Set". All else is the interpreter's: faults, 32-bit code, x87 state that
 * is in use (it has addresses of the host's code in it), exceptions that would be unmasked.
 *
 * DEVIATES from the interpreter, as processors do: XSTATE_BV may name a component that is in its
 * initial state. So lockstep saves by the interpreter.
 */
#include <string.h>

#include "engine/soft/soft.h"
#include "isa/x86/emu.h"
#include "isa/x86/native.h"

/* [SDM] vol. 1 "Legacy Region of an XSAVE Area", "XSAVE Header" */
enum { MXCSR = 24, HEADER = 512, EXTENDED = 576, MXCSR_RESET = 0x1f80, MXCSR_MASKS = 0x1f80 };
#define COMPACT BIT(63)

/* An image is copied before it is looked at, and before the host sees it. */
_Static_assert(sizeof(((struct xl *)0)->image) % 64 == 0, "");

void xl_xsave_init(struct xl *xl)
{
    xl->xinuse = xl_host_xinuse();
    for (unsigned i = 2; i < XL_COMPONENTS; i++) {
        struct xl_component *c = &xl->component[i];
        if (!(x86_native_xcr0() >> i & 1) ||
            !x86_native_component(i, &c->offset, &c->size, &c->align))
            c->size = 0;
    }
}

/* Where the components of `which` end in an image; compact: one with all of `have`. */
static uint32_t end_of(const struct xl *xl, uint64_t which, bool compact, uint64_t have)
{
    uint32_t at = EXTENDED, end = EXTENDED;

    for (unsigned i = 2; i < XL_COMPONENTS; i++) {
        const struct xl_component *c = &xl->component[i];
        if (compact && !(have >> i & 1))
            continue;
        if (!compact)
            at = c->offset;
        else if (c->align)
            at = ALIGN_UP(at, 64u);
        at += c->size;
        if (which >> i & 1)
            end = MAX(end, at);
    }
    return end;
}

static bool copy(struct x86_cpu *cpu, uint64_t lin, uint8_t *to, uint32_t len)
{
    const unsigned user = x86_user(cpu);
    const uint32_t room = 0x1000 - (uint32_t)(lin & 0xfff), first = MIN(len, room);
    const uint8_t *p = x86_tlb_host(cpu, lin, X86_READ, user), *q = NULL;

    if (!p || (len > first && !(q = x86_tlb_host(cpu, lin + first, X86_READ, user))))
        return false;
    memcpy(to, p, first);
    if (q)
        memcpy(to + first, q, len - first);
    return true;
}

/* Around host instructions on the guest's state, with nothing else between. */
static bool begin(struct soft_vcpu *v)
{
    const bool live = v->xl.fpu_live;

    xl_fpu_get(v);
    return live;
}

static void end(struct soft_vcpu *v, bool live)
{
    if (!live)
        xl_fpu_put(v);
}

static uint64_t in_use(struct soft_vcpu *v)
{
    const bool live = begin(v);
    uint32_t a, d;

    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(1));
    end(v, live);
    return a;
}

static bool save(struct soft_vcpu *v, enum x86_op op, uint64_t lin, uint32_t rfbm)
{
    struct x86_cpu *cpu = &v->cpu;
    const uint64_t use = in_use(v);
    const bool compact = op == X86_OP_XSAVEC;
    const uint32_t size = end_of(&v->xl, op == X86_OP_XSAVE ? rfbm : rfbm & use, compact, rfbm);
    const uint32_t first = MIN(size, 0x1000 - (uint32_t)(lin & 0xfff));

    if (v->lock || (use & rfbm & X86_XCR0_X87))
        return false;
    const unsigned user = x86_user(cpu);
    uint8_t *p = x86_tlb_host(cpu, lin, X86_WRITE, user);
    if (!p || (size > first && x86_tlb_host(cpu, lin + first, X86_WRITE, user) != p + first))
        return false;
    uint8_t(*area)[EXTENDED] = (uint8_t(*)[EXTENDED])p;
    const bool live = begin(v);
    if (compact)
        __asm__ volatile("xsavec64 %0" : "+m"(*area) : "a"(rfbm), "d"(0) : "memory");
    else if (op == X86_OP_XSAVE)
        __asm__ volatile("xsave64 %0" : "+m"(*area) : "a"(rfbm), "d"(0) : "memory");
    else
        __asm__ volatile("xsaveopt64 %0" : "+m"(*area) : "a"(rfbm), "d"(0) : "memory");
    end(v, live);
    return true;
}

static bool restore(struct soft_vcpu *v, uint64_t lin, uint32_t rfbm, uint64_t offered)
{
    struct xl *xl = &v->xl;
    uint8_t *image = xl->image;

    end(v, begin(v)); /* tells fp_masked */
    if (!xl->fp_masked || !copy(&v->cpu, lin, image, EXTENDED))
        return false;
    const uint64_t bv = le64(image + HEADER), comp = le64(image + HEADER + 8);
    const bool compact = comp & COMPACT;
    uint64_t reserved = 0;
    for (unsigned i = 16; i < 64; i += 8)
        reserved |= le64(image + HEADER + i);
    if (reserved ||
        (compact ? (comp & ~COMPACT & ~offered) || bv & ~(comp & ~COMPACT) : comp || bv & ~offered))
        return false;
    if (rfbm & bv & X86_XCR0_X87)
        return false;
    if (compact ? rfbm & bv & X86_XCR0_SSE : rfbm & (X86_XCR0_SSE | X86_XCR0_AVX)) {
        const uint32_t mxcsr = le32(image + MXCSR);
        if ((mxcsr & ~x86_native_mxcsr_mask(v->cpu.native)) || ~mxcsr & MXCSR_MASKS)
            return false;
    }
    const uint32_t size = end_of(xl, rfbm & bv, compact, comp);
    if (size > sizeof(xl->image) ||
        (size > EXTENDED && !copy(&v->cpu, lin + EXTENDED, image + EXTENDED, size - EXTENDED)))
        return false;
    const bool live = begin(v);
    __asm__ volatile("xrstor64 %0"
                     :
                     : "m"(*(uint8_t(*)[sizeof(xl->image)])image), "a"(rfbm), "d"(0)
                     : "memory");
    end(v, live);
    return true;
}

bool xl_xsave(struct soft_vcpu *v, const struct x86_insn *insn)
{
    struct x86_cpu *cpu = &v->cpu;
    const uint64_t offered = cpu->xcr0 & v->xl.fpu_mask;

    switch (insn->op) {
    case X86_OP_XSAVE:
    case X86_OP_XSAVEOPT:
    case X86_OP_XSAVEC:
    case X86_OP_XRSTOR: break;
    default: return false;
    }
    if (!v->xl.xinuse || cpu->code != 8 || (cpu->cr0 & X86_CR0_TS) || !(cpu->cr4 & X86_CR4_OSXSAVE))
        return false;
    const uint64_t lin = x86_ea(cpu, insn) + (insn->seg >= X86_FS ? cpu->seg[insn->seg].base : 0);
    if (lin & 63)
        return false;
    const uint32_t rfbm = (uint32_t)(cpu->gpr[X86_RAX] & offered);
    if (insn->op == X86_OP_XRSTOR)
        return restore(v, lin, rfbm, offered);
    return save(v, insn->op, lin, rfbm);
}
