/* SPDX-License-Identifier: BSD-2-Clause */
/* Stack frames of far calls, returns and interrupts: pushes and pops on the current or another
 * stack, and the stack switch to an inner privilege level. [SDM] 3A "Stack Switching", "Stack
 * Switching in IA-32e Mode", "Task-State Segment (TSS)". */
#include "isa/x86/sys.h"

struct x86_frame x86_frame_current(struct x86_cpu *cpu, uint32_t error)
{
    return (struct x86_frame){
        .ss = cpu->seg[X86_SS],
        .sp = cpu->gpr[X86_RSP],
        .error = error,
        .width = cpu->stack,
        .user = cpu->cpl == 3,
        .check_type = x86_protected(cpu),
    };
}

struct x86_frame x86_frame_new(const struct x86_seg *ss, uint64_t sp, unsigned cpl, bool long64,
                               uint32_t error)
{
    return (struct x86_frame){
        .ss = *ss,
        .sp = sp,
        .error = error,
        .width = long64                  ? 8
                 : ss->attr & X86_SEG_DB ? 4
                                         : 2,
        .user = cpl == 3,
        .check_type = true,
    };
}

static uint64_t frame_linear(struct x86_cpu *cpu, const struct x86_frame *f, uint64_t off,
                             unsigned size, enum x86_access access)
{
    uint64_t lin = off;
    bool ok = f->width == 8 ? x86_canonical(off) && x86_canonical(off + size - 1)
                            : x86_seg_linear(&f->ss, f->check_type, off, size, access, &lin);
    if (!ok)
        x86_fault_code(cpu, X86_SS_VEC, f->error);
    return lin;
}

static uint64_t moved(const struct x86_frame *f, uint64_t by)
{
    uint64_t mask = size_mask(f->width);
    return (f->sp & ~mask) | ((f->sp + by) & mask);
}

void x86_frame_skip(struct x86_frame *f, uint64_t bytes) { f->sp = moved(f, bytes); }

void x86_push_frame(struct x86_cpu *cpu, struct x86_frame *f, uint64_t v, unsigned size)
{
    uint64_t sp = moved(f, -(uint64_t)size);
    uint64_t lin = frame_linear(cpu, f, sp & size_mask(f->width), size, X86_WRITE);
    x86_store_user(cpu, X86_SS, lin, v, size, f->user);
    f->sp = sp;
}

uint64_t x86_pop_frame(struct x86_cpu *cpu, struct x86_frame *f, unsigned size)
{
    uint64_t lin = frame_linear(cpu, f, f->sp & size_mask(f->width), size, X86_READ);
    uint64_t v = x86_load_user(cpu, X86_SS, lin, size, f->user);
    f->sp = moved(f, size);
    return v;
}

static struct x86_frame inner_long(struct x86_cpu *cpu, unsigned cpl, unsigned ist, unsigned ext)
{
    unsigned off = ist ? 36 + 8 * (ist - 1) : 4 + 8 * cpl;
    struct x86_seg ss = cpu->seg[X86_SS];
    if (off + 7 > cpu->tr.limit)
        x86_fault_code(cpu, X86_TS, x86_sel_error(cpu->tr.sel, ext));
    uint64_t rsp = x86_load_user(cpu, X86_DS, cpu->tr.base + off, 8, 0);
    if (cpl != cpu->cpl) {
        ss = x86_seg_null((uint16_t)cpl);
        ss.attr |= cpl << 5;
    }
    return x86_frame_new(&ss, rsp, cpl, true, ext);
}

struct x86_frame x86_frame_inner(struct x86_cpu *cpu, unsigned cpl, unsigned ist, unsigned ext)
{
    if (x86_long(cpu))
        return inner_long(cpu, cpl, ist, ext);

    bool tss32 = x86_attr_type(cpu->tr.attr) >= X86_DESC_TSS;
    unsigned off = tss32 ? 4 + 8 * cpl : 2 + 4 * cpl;
    unsigned size = tss32 ? 4 : 2;
    if (off + size + 1 > cpu->tr.limit)
        x86_fault_code(cpu, X86_TS, x86_sel_error(cpu->tr.sel, ext));
    uint32_t base = (uint32_t)cpu->tr.base + off;
    uint64_t esp = x86_load_user(cpu, X86_DS, base, size, 0);
    uint16_t sel = (uint16_t)x86_load_user(cpu, X86_DS, (uint32_t)(base + size), 2, 0);
    struct x86_seg ss = x86_check_ss(cpu, sel, cpl, X86_TS, ext);
    return x86_frame_new(&ss, esp, cpl, false, x86_sel_error(sel, ext));
}
