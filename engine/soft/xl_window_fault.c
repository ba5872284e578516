/* SPDX-License-Identifier: BSD-2-Clause */
/* Accesses of generated code that fault on the host: which instruction of the guest it was and
 * which address it meant. The page is mapped, or the interpreter does the instruction. Runs in the
 * handler of SIGSEGV, on top of generated code. */
#include "engine/soft/xl_window.h"
#include "isa/x86/emu.h"

/* By the number that x86 gives a general register. */
static const uint8_t greg[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_R8, REG_RBP,
                                  REG_RSI, REG_RDI, 0,       0,       0,      0,
                                  REG_R12, REG_R13, REG_R14, REG_R15 };

static uint64_t gpr(const struct soft_vcpu *v, const ucontext_t *uc, unsigned r)
{
    return xl_host(r) < 0 ? v->cpu.gpr[r] : (uint64_t)uc->uc_mcontext.gregs[greg[r]];
}

static uint64_t operand(const struct soft_vcpu *v, const ucontext_t *uc, const struct xl_place *p)
{
    const struct x86_insn *in = p->insn;
    uint64_t a = in->disp;

    if (in->base == X86_REG_RIP)
        a += p->rip + in->len;
    else if (in->base != X86_REG_NONE)
        a += gpr(v, uc, in->base);
    if (in->index != X86_REG_NONE)
        a += gpr(v, uc, in->index) << in->scale;
    if (in->asz == 4)
        a = (uint32_t)a;
    return in->seg >= X86_FS ? a + v->cpu.seg[in->seg].base : a;
}

/* Which address of the guest's that of the host's was meant to be: bit 46 is of the operand it lies
 * in. */
static bool guest_address(const struct soft_vcpu *v, const ucontext_t *uc, const struct xl_place *p,
                          uint64_t addr, uint64_t *lin)
{
    const struct x86_insn *in = p->insn;
    uint64_t from[2];
    unsigned size[2], n = 0;

    if (in->mem) {
        from[n] = operand(v, uc, p);
        size[n++] = in->operand[in->mem - 1].size;
    }
    switch (in->op) {
    case X86_OP_PUSH:
    case X86_OP_CALL:
    case X86_OP_CALL_IND:
        from[n] = gpr(v, uc, X86_RSP) - 8;
        size[n++] = 8;
        break;
    case X86_OP_POP:
    case X86_OP_RET:
        from[n] = gpr(v, uc, X86_RSP);
        size[n++] = 8;
        break;
    case X86_OP_LEAVE:
        from[n] = gpr(v, uc, X86_RBP);
        size[n++] = 8;
        break;
    default: break;
    }
    for (unsigned i = 0; i < n; i++)
        if (addr - (from[i] & ~XL_ALIAS) < size[i]) {
            *lin = addr | (from[i] & XL_ALIAS);
            return true;
        }
    return false;
}

static const struct xl_place *find_place(const struct xl *xl, uint32_t code)
{
    uint32_t lo = 0, hi = xl->places;

    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (xl->place[mid].code <= code)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo && code - xl->place[lo - 1].code < xl->place[lo - 1].len ? &xl->place[lo - 1] : NULL;
}

enum { PAGE_FAULT = 14, WRITE = 2 }; /* [SDM] 3A "Interrupt 14", error code */

bool xl_window_fault(struct soft_vcpu *v, ucontext_t *uc, uint64_t addr)
{
    struct xl *xl = &v->xl;
    greg_t *g = uc->uc_mcontext.gregs;
    const uint64_t code = (uint64_t)g[REG_RIP] - (uintptr_t)xl->rx;
    const struct xl_place *p = code < xl->used ? find_place(xl, (uint32_t)code) : NULL;
    struct x86_walk walk;
    uint64_t lin;

    if (!p)
        return false;
    xl->window_faults++;
    if (g[REG_TRAPNO] == PAGE_FAULT && xl->window_view == v->cpu.view_id && addr < XL_ALIAS &&
        guest_address(v, uc, p, addr, &lin)) {
        const bool write = g[REG_ERR] & WRITE;
        if (xl_window_install(v, lin, write))
            return true;
        /* If the guest has nothing against it, it will be refused again. */
        xl_window_turn(v)->churn +=
            x86_quiet_walk(&v->cpu, lin, write ? X86_WRITE : X86_READ, 1, &walk);
    }
    /* Not to be had so: the thunk has the interpreter do the instruction. */
    g[REG_R9] = (greg_t)(uintptr_t)p->insn;
    g[REG_R10] = (greg_t)p->rip;
    g[REG_RIP] = (greg_t)(uintptr_t)(xl->rx + xl->last);
    return true;
}
