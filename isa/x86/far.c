/* SPDX-License-Identifier: BSD-2-Clause */
/* Far JMP, CALL and RET, IRET. [SDM] vol. 2 "JMP", "CALL", "RET", "IRET/IRETD/IRETQ"; 3A
 * "Privilege Checking When Transferring Program Control Between Code Segments". */
#include "isa/x86/sys.h"

void x86_commit_cs(struct x86_cpu *cpu, struct x86_seg cs, unsigned cpl, uint64_t rip)
{
    cs.sel = (uint16_t)((cs.sel & ~3u) | cpl);
    cpu->seg[X86_CS] = cs;
    cpu->cpl = (uint8_t)cpl;
    cpu->rip = rip;
    x86_mode_update(cpu);
}

static void far_pointer(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t *off,
                        uint16_t *sel)
{
    if (!insn->mem) {
        *off = insn->imm & size_mask(insn->osz);
        *sel = insn->imm2;
        return;
    }
    uint64_t ea = x86_ea(cpu, insn);
    *off = x86_load(cpu, insn->seg, ea, insn->osz);
    *sel = (uint16_t)x86_load(cpu, insn->seg, (ea + insn->osz) & size_mask(insn->asz), 2);
}

static void push_return(struct x86_cpu *cpu, struct x86_frame *f, unsigned size)
{
    x86_push_frame(cpu, f, cpu->seg[X86_CS].sel, size);
    x86_push_frame(cpu, f, cpu->rip, size);
}

static void far_real(struct x86_cpu *cpu, uint16_t sel, uint64_t off, unsigned size, bool call)
{
    if (off > cpu->seg[X86_CS].limit)
        x86_gp0(cpu);
    if (call) {
        struct x86_frame f = x86_frame_current(cpu, 0);
        push_return(cpu, &f, size);
        x86_frame_commit(cpu, &f);
    }
    x86_set_seg_real(cpu, X86_CS, sel);
    cpu->rip = off;
    cpu->stop = 1;
}

/* JMP or CALL to a code segment: no change of privilege. */
static void far_code(struct x86_cpu *cpu, uint16_t sel, uint64_t desc, uint64_t off, unsigned size,
                     bool call)
{
    uint32_t attr = x86_desc_attr(desc), err = x86_sel_error(sel, 0);
    unsigned dpl = x86_attr_dpl(attr);
    if (!(attr & X86_SEG_CODE))
        x86_fault_code(cpu, X86_GP, err);
    if (attr & X86_SEG_E ? dpl > cpu->cpl : (sel & 3u) > cpu->cpl || dpl != cpu->cpl)
        x86_fault_code(cpu, X86_GP, err);
    if (x86_long(cpu) && (attr & X86_SEG_L) && (attr & X86_SEG_DB))
        x86_fault_code(cpu, X86_GP, err);
    if (!(attr & X86_SEG_P))
        x86_fault_code(cpu, X86_NP, err);

    struct x86_seg cs = x86_desc_seg(sel, desc | BIT(40));
    struct x86_frame f = x86_frame_current(cpu, 0);
    if (!x86_rip_ok(cpu, &cs, off))
        x86_gp0(cpu);
    if (call)
        push_return(cpu, &f, size);
    x86_desc_touch(cpu, sel, &desc);
    if (call)
        x86_frame_commit(cpu, &f);
    x86_commit_cs(cpu, cs, cpu->cpl, off);
}

/* The frame of a call through a gate to an inner level: old stack pointer, parameters. */
static struct x86_frame inner_call_frame(struct x86_cpu *cpu, unsigned cpl, unsigned size,
                                         unsigned params)
{
    struct x86_frame f = x86_frame_inner(cpu, cpl, 0, 0);
    struct x86_frame old = x86_frame_current(cpu, 0);
    uint64_t param[31];
    for (unsigned i = 0; i < params; i++)
        param[i] = x86_pop_frame(cpu, &old, size);
    x86_push_frame(cpu, &f, cpu->seg[X86_SS].sel, size);
    x86_push_frame(cpu, &f, cpu->gpr[X86_RSP], size);
    while (params)
        x86_push_frame(cpu, &f, param[--params], size);
    return f;
}

static void far_call_gate(struct x86_cpu *cpu, uint16_t gate_sel, uint64_t gate, bool call)
{
    unsigned type = x86_attr_type(x86_desc_attr(gate));
    unsigned size = type == X86_DESC_CALL16 ? 2 : x86_long(cpu) ? 8 : 4;
    unsigned params = size == 8 ? 0 : (unsigned)bits_get(gate, 36, 32);
    uint16_t sel = (uint16_t)(gate >> 16);
    uint64_t off = gate & 0xffff, desc, high;
    if (size >= 4)
        off |= bits_get(gate, 63, 48) << 16;
    if (size == 8) {
        if (!x86_desc_read_high(cpu, gate_sel, &high))
            x86_fault_code(cpu, X86_GP, x86_sel_error(gate_sel, 0));
        off |= high << 32;
    }

    uint32_t err = x86_sel_error(sel, 0);
    if (x86_sel_is_null(sel) || !x86_desc_read(cpu, sel, &desc))
        x86_fault_code(cpu, X86_GP, err);
    uint32_t attr = x86_desc_attr(desc);
    unsigned dpl = x86_attr_dpl(attr);
    bool conforming = attr & X86_SEG_E;
    if (!x86_attr_is_code(attr) || dpl > cpu->cpl || (!call && !conforming && dpl != cpu->cpl))
        x86_fault_code(cpu, X86_GP, err);
    if (size == 8 && (attr & (X86_SEG_L | X86_SEG_DB)) != X86_SEG_L)
        x86_fault_code(cpu, X86_GP, err);
    if (!(attr & X86_SEG_P))
        x86_fault_code(cpu, X86_NP, err);

    struct x86_seg cs = x86_desc_seg(sel, desc | BIT(40));
    unsigned cpl = conforming ? cpu->cpl : dpl;
    struct x86_frame f =
        cpl < cpu->cpl ? inner_call_frame(cpu, cpl, size, params) : x86_frame_current(cpu, 0);
    if (size == 8) /* the called code is 64-bit, whatever the caller is */
        f.width = 8;
    if (call)
        push_return(cpu, &f, size);
    if (!x86_rip_ok(cpu, &cs, off))
        x86_gp0(cpu);
    x86_desc_touch(cpu, sel, &desc);
    if (call)
        x86_frame_commit(cpu, &f);
    x86_commit_cs(cpu, cs, cpl, off);
}

static void far_system(struct x86_cpu *cpu, uint16_t sel, uint64_t desc, bool call)
{
    uint32_t attr = x86_desc_attr(desc), err = x86_sel_error(sel, 0);
    unsigned type = x86_attr_type(attr), dpl = x86_attr_dpl(attr);
    bool legacy = type == X86_DESC_CALL16 || type == X86_DESC_TASK_GATE || type == X86_DESC_TSS16 ||
                  type == X86_DESC_TSS;
    if (type != X86_DESC_CALL && (x86_long(cpu) || !legacy))
        x86_fault_code(cpu, X86_GP, err);
    if (dpl < cpu->cpl || dpl < (sel & 3u))
        x86_fault_code(cpu, X86_GP, err);
    if (!(attr & X86_SEG_P))
        x86_fault_code(cpu, X86_NP, err);

    int kind = call ? X86_TASK_CALL : X86_TASK_JMP;
    if (type == X86_DESC_CALL || type == X86_DESC_CALL16)
        far_call_gate(cpu, sel, desc, call);
    else if (type == X86_DESC_TASK_GATE)
        x86_task_gate(cpu, (uint16_t)(desc >> 16), kind, false, 0, 0);
    else
        x86_task_gate(cpu, sel, kind, false, 0, 0);
}

static void far_transfer(struct x86_cpu *cpu, const struct x86_insn *insn, bool call)
{
    uint64_t off, desc;
    uint16_t sel;
    far_pointer(cpu, insn, &off, &sel);
    if (x86_real_or_v86(cpu)) {
        far_real(cpu, sel, off, insn->osz, call);
        return;
    }
    if (x86_sel_is_null(sel) || !x86_desc_read(cpu, sel, &desc))
        x86_fault_code(cpu, X86_GP, x86_sel_error(sel, 0));
    if (x86_desc_attr(desc) & X86_SEG_S)
        far_code(cpu, sel, desc, off, insn->osz, call);
    else
        far_system(cpu, sel, desc, call);
}

void x86_exec_jmp_far(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    far_transfer(cpu, insn, false);
}

void x86_exec_call_far(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    far_transfer(cpu, insn, true);
}

/* ---- returns ---- */

static struct x86_seg check_return_cs(struct x86_cpu *cpu, uint16_t sel)
{
    uint64_t desc;
    uint32_t err = x86_sel_error(sel, 0);
    if (x86_sel_is_null(sel) || !x86_desc_read(cpu, sel, &desc))
        x86_fault_code(cpu, X86_GP, err);
    uint32_t attr = x86_desc_attr(desc);
    unsigned rpl = sel & 3, dpl = x86_attr_dpl(attr);
    if (!x86_attr_is_code(attr) || rpl < cpu->cpl)
        x86_fault_code(cpu, X86_GP, err);
    if (attr & X86_SEG_E ? dpl > rpl : dpl != rpl)
        x86_fault_code(cpu, X86_GP, err);
    if (x86_long(cpu) && (attr & X86_SEG_L) && (attr & X86_SEG_DB))
        x86_fault_code(cpu, X86_GP, err);
    if (!(attr & X86_SEG_P))
        x86_fault_code(cpu, X86_NP, err);
    x86_desc_touch(cpu, sel, &desc);
    return x86_desc_seg(sel, desc);
}

/* Pops SS:rSP into a frame for the level the return goes to. */
static struct x86_frame pop_stack(struct x86_cpu *cpu, struct x86_frame *f,
                                  const struct x86_seg *cs, unsigned size)
{
    unsigned cpl = cs->sel & 3;
    bool long64 = x86_long(cpu) && (cs->attr & X86_SEG_L);
    struct x86_seg ss;
    uint64_t rsp = x86_pop_frame(cpu, f, size);
    uint16_t sel = (uint16_t)x86_pop_frame(cpu, f, size);
    if (x86_sel_is_null(sel) && long64 && cpl != 3) {
        ss = x86_seg_null(sel);
        ss.attr |= cpl << 5;
    } else {
        ss = x86_check_ss(cpu, sel, cpl, X86_GP, 0);
    }
    struct x86_frame to = x86_frame_new(&ss, rsp, cpl, long64, 0);
    if (to.width == 2) /* a 16-bit stack gets SP only */
        to.sp = (cpu->gpr[X86_RSP] & ~0xffffull) | (rsp & 0xffff);
    return to;
}

/* Flags that IRET and POPF of this privilege may change. */
static uint64_t iret_flags_mask(const struct x86_cpu *cpu, unsigned size)
{
    uint64_t mask = X86_AFLAGS | X86_TF | X86_DF | X86_NT;
    if (size != 2)
        mask |= X86_RF | X86_AC | X86_ID;
    if (!x86_protected(cpu))
        return mask | X86_IF | X86_IOPL;
    if (cpu->cpl <= x86_iopl(cpu))
        mask |= X86_IF;
    if (cpu->cpl == 0) {
        mask |= X86_IOPL;
        if (size != 2)
            mask |= X86_VIF | X86_VIP;
    }
    return mask;
}

static void set_flags(struct x86_cpu *cpu, uint64_t v, uint64_t mask)
{
    cpu->rflags = (cpu->rflags & ~mask) | (v & mask) | X86_F1;
}

static void iret_real(struct x86_cpu *cpu, unsigned size)
{
    struct x86_frame f = x86_frame_current(cpu, 0);
    if (x86_v86(cpu) && x86_iopl(cpu) != 3)
        x86_gp0(cpu);
    uint64_t rip = x86_pop_frame(cpu, &f, size);
    uint16_t sel = (uint16_t)x86_pop_frame(cpu, &f, size);
    uint64_t flags = x86_pop_frame(cpu, &f, size);
    if (rip > cpu->seg[X86_CS].limit)
        x86_gp0(cpu);
    x86_frame_commit(cpu, &f);
    set_flags(cpu, flags, iret_flags_mask(cpu, size));
    cpu->nmi_blocked = 0;
    x86_set_seg_real(cpu, X86_CS, sel);
    cpu->rip = rip;
    cpu->stop = 1;
}

static void iret_to_v86(struct x86_cpu *cpu, struct x86_frame *f, uint64_t rip, uint16_t cs,
                        uint64_t flags)
{
    static const uint8_t order[] = { X86_SS, X86_ES, X86_DS, X86_FS, X86_GS };
    uint16_t sel[X86_SREG_COUNT];
    uint64_t esp = x86_pop_frame(cpu, f, 4);
    for (unsigned i = 0; i < ARRAY_LEN(order); i++)
        sel[order[i]] = (uint16_t)x86_pop_frame(cpu, f, 4);
    if (rip > 0xffff)
        x86_gp0(cpu);
    sel[X86_CS] = cs;
    for (unsigned i = 0; i < X86_SREG_COUNT; i++)
        cpu->seg[i] = x86_seg_v86(sel[i]);
    cpu->gpr[X86_RSP] = esp;
    cpu->rflags = (flags & X86_FLAGS_DEFINED) | X86_F1;
    cpu->rip = rip;
    cpu->cpl = 3;
    cpu->nmi_blocked = 0;
    x86_mode_update(cpu);
}

static void far_return(struct x86_cpu *cpu, const struct x86_insn *insn, bool iret,
                       unsigned release)
{
    unsigned size = insn->osz;
    struct x86_frame f = x86_frame_current(cpu, 0);
    uint64_t rip = x86_pop_frame(cpu, &f, size), flags = 0;
    uint16_t sel = (uint16_t)x86_pop_frame(cpu, &f, size);
    if (iret) {
        flags = x86_pop_frame(cpu, &f, size);
        if ((flags & X86_VM) && cpu->cpl == 0 && size == 4 && !x86_long(cpu)) {
            iret_to_v86(cpu, &f, rip, sel, flags);
            return;
        }
    }
    struct x86_seg cs = check_return_cs(cpu, sel);
    unsigned cpl = sel & 3;
    bool outer = cpl != cpu->cpl;
    x86_frame_skip(&f, release);
    if (outer || (iret && cpu->code == 8)) {
        f = pop_stack(cpu, &f, &cs, size);
        x86_frame_skip(&f, release);
    } else if (x86_long(cpu) && (cs.attr & X86_SEG_L)) {
        f.width = 8;
    }
    if (!x86_rip_ok(cpu, &cs, rip))
        x86_gp0(cpu);

    if (iret) {
        set_flags(cpu, flags, iret_flags_mask(cpu, size));
        cpu->nmi_blocked = 0;
    }
    x86_frame_commit(cpu, &f);
    cpu->cpl = (uint8_t)cpl;
    if (outer)
        x86_null_data_segs(cpu);
    x86_commit_cs(cpu, cs, cpl, rip);
}

void x86_exec_ret_far(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    unsigned release = insn->operands ? (uint16_t)insn->imm : 0;
    if (!x86_real_or_v86(cpu)) {
        far_return(cpu, insn, false, release);
        return;
    }
    struct x86_frame f = x86_frame_current(cpu, 0);
    uint64_t rip = x86_pop_frame(cpu, &f, insn->osz);
    uint16_t sel = (uint16_t)x86_pop_frame(cpu, &f, insn->osz);
    if (rip > cpu->seg[X86_CS].limit)
        x86_gp0(cpu);
    x86_frame_skip(&f, release);
    x86_frame_commit(cpu, &f);
    x86_set_seg_real(cpu, X86_CS, sel);
    cpu->rip = rip;
    cpu->stop = 1;
}

/* NT set: the task that was interrupted or called goes back to the one before it. */
static void iret_task(struct x86_cpu *cpu)
{
    uint16_t link = (uint16_t)x86_load_user(cpu, X86_DS, cpu->tr.base, 2, 0);
    x86_task_switch(cpu, link, X86_TASK_IRET, false, 0);
}

void x86_exec_iret(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    if (x86_real_or_v86(cpu)) {
        iret_real(cpu, insn->osz);
    } else if (cpu->rflags & X86_NT) {
        if (x86_long(cpu))
            x86_gp0(cpu);
        iret_task(cpu);
    } else {
        far_return(cpu, insn, true, 0);
    }
}
