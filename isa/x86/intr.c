/* SPDX-License-Identifier: BSD-2-Clause */
/* Delivery of interrupts and exceptions through the interrupt vector table or the IDT.
 * [SDM] 3A "Interrupt and Exception Handling"; vol. 2 "INT n/INTO/INT3/INT1". */
#include "isa/x86/sys.h"

/* An event on its way through the IDT. */
struct event {
    unsigned vector, ext; /* ext: EXT bit of error codes raised by the delivery itself */
    int kind;
    bool has_error;
    uint32_t error;
};

static uint32_t idt_error(const struct event *ev) { return ev->vector << 3 | 2 | ev->ext; }

static void deliver_real(struct x86_cpu *cpu, const struct event *ev)
{
    if (ev->vector * 4 + 3 > cpu->idt.limit)
        x86_fault_code(cpu, X86_GP, idt_error(ev));
    uint32_t entry =
        (uint32_t)x86_load_user(cpu, X86_DS, (uint32_t)(cpu->idt.base + ev->vector * 4), 4, 0);
    struct x86_frame f = x86_frame_current(cpu, ev->ext);
    x86_push_frame(cpu, &f, cpu->rflags, 2);
    x86_push_frame(cpu, &f, cpu->seg[X86_CS].sel, 2);
    x86_push_frame(cpu, &f, cpu->rip, 2);

    x86_frame_commit(cpu, &f);
    cpu->rflags &= ~(X86_IF | X86_TF | X86_AC | X86_RF);
    x86_set_seg_real(cpu, X86_CS, (uint16_t)(entry >> 16));
    cpu->rip = entry & 0xffff;
    x86_mode_update(cpu);
}

/* The code segment a gate leads to, checked; *cpl: the level it will run at. */
static struct x86_seg gate_cs(struct x86_cpu *cpu, uint16_t sel, unsigned ext, unsigned *cpl)
{
    uint64_t desc;
    uint32_t err = x86_sel_error(sel, ext);
    if (x86_sel_is_null(sel) || !x86_desc_read(cpu, sel, &desc))
        x86_fault_code(cpu, X86_GP, err);
    uint32_t attr = x86_desc_attr(desc);
    unsigned dpl = x86_attr_dpl(attr);
    bool conforming = attr & X86_SEG_E;
    if (!x86_attr_is_code(attr) || dpl > cpu->cpl)
        x86_fault_code(cpu, X86_GP, err);
    if (x86_long(cpu) && (attr & (X86_SEG_L | X86_SEG_DB)) != X86_SEG_L)
        x86_fault_code(cpu, X86_GP, err);
    if (!(attr & X86_SEG_P))
        x86_fault_code(cpu, X86_NP, err);
    if (x86_v86(cpu) && (conforming || dpl != 0))
        x86_fault_code(cpu, X86_GP, err);
    x86_desc_touch(cpu, sel, &desc);
    *cpl = conforming ? cpu->cpl : dpl;
    return x86_desc_seg(sel, desc);
}

static void push_v86_segs(struct x86_cpu *cpu, struct x86_frame *f, unsigned size)
{
    x86_push_frame(cpu, f, cpu->seg[X86_GS].sel, size);
    x86_push_frame(cpu, f, cpu->seg[X86_FS].sel, size);
    x86_push_frame(cpu, f, cpu->seg[X86_DS].sel, size);
    x86_push_frame(cpu, f, cpu->seg[X86_ES].sel, size);
}

/* Interrupt and trap gates. The gate: sel:off, pushes of `size` bytes. */
static void deliver_gate(struct x86_cpu *cpu, const struct event *ev, uint16_t sel, uint64_t off,
                         unsigned size, bool interrupt, unsigned ist)
{
    unsigned cpl;
    bool v86 = x86_v86(cpu), lm = x86_long(cpu);
    struct x86_seg cs = gate_cs(cpu, sel, ev->ext, &cpl);
    bool inner = cpl != cpu->cpl;
    struct x86_frame f =
        inner || ist ? x86_frame_inner(cpu, cpl, ist, ev->ext) : x86_frame_current(cpu, ev->ext);
    if (lm) {
        f.width = 8;
        f.sp &= ~0xfull;
    }
    if (v86)
        push_v86_segs(cpu, &f, size);
    if (inner || lm) {
        x86_push_frame(cpu, &f, cpu->seg[X86_SS].sel, size);
        x86_push_frame(cpu, &f, cpu->gpr[X86_RSP], size);
    }
    x86_push_frame(cpu, &f, cpu->rflags, size);
    x86_push_frame(cpu, &f, cpu->seg[X86_CS].sel, size);
    x86_push_frame(cpu, &f, cpu->rip, size);
    if (ev->has_error)
        x86_push_frame(cpu, &f, ev->error, size);
    if (!x86_rip_ok(cpu, &cs, off))
        x86_fault_code(cpu, X86_GP, ev->ext);

    if (v86) {
        cpu->seg[X86_ES] = cpu->seg[X86_DS] = x86_seg_null(0);
        cpu->seg[X86_FS] = cpu->seg[X86_GS] = x86_seg_null(0);
    }
    cpu->rflags &= ~(X86_TF | X86_NT | X86_VM | X86_RF | (interrupt ? X86_IF : 0));
    x86_frame_commit(cpu, &f);
    x86_commit_cs(cpu, cs, cpl, off);
}

static void deliver_legacy(struct x86_cpu *cpu, const struct event *ev)
{
    uint32_t err = idt_error(ev);
    if (ev->vector * 8 + 7 > cpu->idt.limit)
        x86_fault_code(cpu, X86_GP, err);
    uint64_t gate = x86_load_user(cpu, X86_DS, (uint32_t)(cpu->idt.base + ev->vector * 8), 8, 0);
    uint32_t attr = x86_desc_attr(gate);
    unsigned type = attr & (X86_SEG_TYPE | X86_SEG_S);
    uint16_t sel = (uint16_t)(gate >> 16);
    if (type != X86_DESC_TASK_GATE && type != X86_DESC_INT16 && type != X86_DESC_TRAP16 &&
        type != X86_DESC_INT && type != X86_DESC_TRAP)
        x86_fault_code(cpu, X86_GP, err);
    if (ev->kind == X86_INTR_SOFT && x86_attr_dpl(attr) < cpu->cpl)
        x86_fault_code(cpu, X86_GP, err);
    if (!(attr & X86_SEG_P))
        x86_fault_code(cpu, X86_NP, err);
    if (type == X86_DESC_TASK_GATE) {
        x86_task_gate(cpu, sel, X86_TASK_INTR, ev->has_error, ev->error, ev->ext);
        return;
    }
    bool wide = type >= X86_DESC_INT, interrupt = !(type & 1);
    uint64_t off = (gate & 0xffff) | (wide ? bits_get(gate, 63, 48) << 16 : 0);
    deliver_gate(cpu, ev, sel, off, wide ? 4 : 2, interrupt, 0);
}

static void deliver_long(struct x86_cpu *cpu, const struct event *ev)
{
    uint32_t err = idt_error(ev);
    if (ev->vector * 16 + 15 > cpu->idt.limit)
        x86_fault_code(cpu, X86_GP, err);
    uint64_t lin = cpu->idt.base + ev->vector * 16;
    uint64_t gate = x86_load_user(cpu, X86_DS, lin, 8, 0);
    uint64_t high = x86_load_user(cpu, X86_DS, lin + 8, 8, 0);
    uint32_t attr = x86_desc_attr(gate);
    unsigned type = attr & (X86_SEG_TYPE | X86_SEG_S);
    if ((type != X86_DESC_INT && type != X86_DESC_TRAP) || (high & BITS(44, 40)))
        x86_fault_code(cpu, X86_GP, err);
    if (ev->kind == X86_INTR_SOFT && x86_attr_dpl(attr) < cpu->cpl)
        x86_fault_code(cpu, X86_GP, err);
    if (!(attr & X86_SEG_P))
        x86_fault_code(cpu, X86_NP, err);
    uint64_t off = (gate & 0xffff) | bits_get(gate, 63, 48) << 16 | high << 32;
    deliver_gate(cpu, ev, (uint16_t)(gate >> 16), off, 8, type == X86_DESC_INT,
                 (unsigned)bits_get(gate, 34, 32));
}

void x86_deliver(struct x86_cpu *cpu, unsigned vector, int kind, bool has_error, uint32_t error)
{
    struct event ev = {
        .vector = vector & 0xff,
        .ext = kind != X86_INTR_SOFT,
        .kind = kind,
        .has_error = has_error,
        .error = error,
    };
    if (!x86_protected(cpu))
        deliver_real(cpu, &ev);
    else if (x86_long(cpu))
        deliver_long(cpu, &ev);
    else
        deliver_legacy(cpu, &ev);
}
