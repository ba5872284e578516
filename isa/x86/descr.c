/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions on descriptor tables, selectors and segment registers. [SDM] vol. 2, the
 * instructions' pages; 3A "Pointer Validation". */
#include "isa/x86/sys.h"

static void need_cpl0(struct x86_cpu *cpu)
{
    if (cpu->cpl != 0)
        x86_gp0(cpu);
}

static void need_protected(struct x86_cpu *cpu)
{
    if (x86_real_or_v86(cpu))
        x86_ud(cpu);
}

uint64_t x86_operand_get(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned n,
                         unsigned size)
{
    const struct x86_operand *o = &insn->operand[n];
    if (o->kind == X86_OPERAND_MEM)
        return x86_load(cpu, insn->seg, x86_ea(cpu, insn), size);
    return x86_reg_get(cpu, o->reg, size);
}

void x86_operand_put(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned n, uint64_t v)
{
    const struct x86_operand *o = &insn->operand[n];
    if (o->kind == X86_OPERAND_MEM)
        x86_store(cpu, insn->seg, x86_ea(cpu, insn), v & 0xffff, 2);
    else
        x86_reg_set(cpu, o->reg, insn->osz, v & size_mask(insn->osz));
}

/* ---- GDTR, IDTR ---- */

/* All 32 bits of the base are stored, whatever the operand size: what processors since the 386 do.
 */
static void store_table(struct x86_cpu *cpu, const struct x86_insn *insn, const struct x86_table *t)
{
    uint8_t buf[10];
    unsigned len = cpu->code == 8 ? 10 : 6;
    le16_put(buf, t->limit);
    le64_put(buf + 2, t->base);
    uint64_t lin = x86_linear(cpu, insn->seg, x86_ea(cpu, insn), len, X86_WRITE);
    x86_store_bytes(cpu, insn->seg, lin, buf, len, x86_user(cpu));
}

static void load_table(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_table *t)
{
    uint8_t buf[10] = { 0 };
    unsigned len = cpu->code == 8 ? 10 : 6;
    need_cpl0(cpu);
    uint64_t lin = x86_linear(cpu, insn->seg, x86_ea(cpu, insn), len, X86_READ);
    x86_load_bytes(cpu, insn->seg, lin, buf, len, x86_user(cpu));
    uint64_t base = le64(buf + 2);
    if (cpu->code != 8 && insn->osz == 2)
        base &= 0xffffff;
    if (!x86_canonical(base))
        x86_gp0(cpu);
    t->limit = le16(buf);
    t->base = base;
    cpu->stop = 1;
}

void x86_exec_sgdt(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    store_table(cpu, insn, &cpu->gdt);
}

void x86_exec_sidt(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    store_table(cpu, insn, &cpu->idt);
}

void x86_exec_lgdt(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    load_table(cpu, insn, &cpu->gdt);
}

void x86_exec_lidt(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    load_table(cpu, insn, &cpu->idt);
}

/* ---- LDTR, TR ---- */

void x86_exec_sldt(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    need_protected(cpu);
    x86_operand_put(cpu, insn, 0, cpu->ldt.sel);
}

void x86_exec_str(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    need_protected(cpu);
    x86_operand_put(cpu, insn, 0, cpu->tr.sel);
}

/* The system segment sel names; 16 bytes long in long mode. */
static struct x86_seg system_segment(struct x86_cpu *cpu, uint16_t sel, unsigned type,
                                     unsigned other)
{
    uint64_t desc, high = 0;
    uint32_t err = x86_sel_error(sel, 0);
    if ((sel & 4) || !x86_desc_read(cpu, sel, &desc))
        x86_fault_code(cpu, X86_GP, err);
    uint32_t attr = x86_desc_attr(desc);
    unsigned t = attr & (X86_SEG_S | X86_SEG_TYPE);
    if (t != type && (t != other || x86_long(cpu)))
        x86_fault_code(cpu, X86_GP, err);
    if (x86_long(cpu) && !x86_desc_read_high(cpu, sel, &high))
        x86_fault_code(cpu, X86_GP, err);
    if (!(attr & X86_SEG_P))
        x86_fault_code(cpu, X86_NP, err);
    struct x86_seg s = x86_desc_seg(sel, desc);
    s.base |= high << 32;
    if (!x86_canonical(s.base))
        x86_fault_code(cpu, X86_GP, err);
    return s;
}

void x86_exec_lldt(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    need_protected(cpu);
    need_cpl0(cpu);
    uint16_t sel = (uint16_t)x86_operand_get(cpu, insn, 0, 2);
    cpu->ldt = x86_sel_is_null(sel) ? x86_seg_null(sel)
                                    : system_segment(cpu, sel, X86_DESC_LDT, X86_DESC_LDT);
}

void x86_exec_ltr(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    need_protected(cpu);
    need_cpl0(cpu);
    uint16_t sel = (uint16_t)x86_operand_get(cpu, insn, 0, 2);
    if (x86_sel_is_null(sel))
        x86_gp0(cpu);
    struct x86_seg s = system_segment(cpu, sel, X86_DESC_TSS, X86_DESC_TSS16);
    s.attr |= 2; /* busy */
    x86_desc_write_attr(cpu, sel, (uint8_t)s.attr);
    cpu->tr = s;
}

/* ---- questions about selectors ---- */

static void set_zf(struct x86_cpu *cpu, bool on)
{
    cpu->rflags = (cpu->rflags & ~X86_ZF) | (on ? X86_ZF : 0);
}

/* May this privilege see the segment? Conforming code: everyone. */
static bool visible(const struct x86_cpu *cpu, uint16_t sel, uint32_t attr)
{
    unsigned dpl = x86_attr_dpl(attr);
    if (x86_attr_is_code(attr) && (attr & X86_SEG_E))
        return true;
    return dpl >= cpu->cpl && dpl >= (sel & 3u);
}

static bool look_up(struct x86_cpu *cpu, const struct x86_insn *insn, uint32_t types,
                    uint64_t *desc)
{
    uint64_t high;
    uint16_t sel = (uint16_t)x86_operand_get(cpu, insn, 1, 2);
    if (x86_sel_is_null(sel) || !x86_desc_read(cpu, sel, desc))
        return false;
    uint32_t attr = x86_desc_attr(*desc);
    if (!(attr & X86_SEG_S)) {
        if (!(types >> x86_attr_type(attr) & 1))
            return false;
        if (x86_long(cpu) && !x86_desc_read_high(cpu, sel, &high))
            return false;
    }
    return visible(cpu, sel, attr);
}

#define T(type)     (1u << X86_DESC_##type)
#define LONG_SEGS   (T(LDT) | T(TSS) | T(TSS_BUSY))
#define LEGACY_SEGS (LONG_SEGS | T(TSS16) | T(TSS16_BUSY))

void x86_exec_lar(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint64_t desc;
    need_protected(cpu);
    uint32_t types = T(CALL) | (x86_long(cpu) ? LONG_SEGS : LEGACY_SEGS | T(CALL16) | T(TASK_GATE));
    bool ok = look_up(cpu, insn, types, &desc);
    if (ok)
        x86_reg_set(cpu, insn->operand[0].reg, insn->osz, (desc >> 32) & 0x00f0ff00);
    set_zf(cpu, ok);
}

void x86_exec_lsl(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint64_t desc;
    need_protected(cpu);
    bool ok = look_up(cpu, insn, x86_long(cpu) ? LONG_SEGS : LEGACY_SEGS, &desc);
    if (ok)
        x86_reg_set(cpu, insn->operand[0].reg, insn->osz, x86_desc_seg(0, desc).limit);
    set_zf(cpu, ok);
}

static void verify(struct x86_cpu *cpu, const struct x86_insn *insn, bool write)
{
    uint64_t desc;
    need_protected(cpu);
    uint16_t sel = (uint16_t)x86_operand_get(cpu, insn, 0, 2);
    bool ok = !x86_sel_is_null(sel) && x86_desc_read(cpu, sel, &desc);
    if (ok) {
        uint32_t attr = x86_desc_attr(desc);
        bool code = attr & X86_SEG_CODE, rw = attr & X86_SEG_W;
        ok = (attr & X86_SEG_S) && visible(cpu, sel, attr) && (write ? !code && rw : !code || rw);
    }
    set_zf(cpu, ok);
}

void x86_exec_verr(struct x86_cpu *cpu, const struct x86_insn *insn) { verify(cpu, insn, false); }
void x86_exec_verw(struct x86_cpu *cpu, const struct x86_insn *insn) { verify(cpu, insn, true); }

void x86_exec_arpl(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    need_protected(cpu);
    uint64_t dst = x86_operand_get(cpu, insn, 0, 2);
    uint64_t rpl = x86_operand_get(cpu, insn, 1, 2) & 3;
    bool raise = (dst & 3) < rpl;
    if (raise) {
        dst = (dst & ~3ull) | rpl;
        if (insn->operand[0].kind == X86_OPERAND_MEM)
            x86_store(cpu, insn->seg, x86_ea(cpu, insn), dst, 2);
        else
            x86_reg_set(cpu, insn->operand[0].reg, 2, dst);
    }
    set_zf(cpu, raise);
}

/* ---- segment registers ---- */

void x86_exec_mov_from_seg(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    x86_operand_put(cpu, insn, 0, cpu->seg[insn->operand[1].reg].sel);
}

void x86_exec_mov_to_seg(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    unsigned seg = insn->operand[0].reg;
    if (seg == X86_CS || seg >= X86_SREG_COUNT)
        x86_ud(cpu);
    x86_load_seg(cpu, seg, (uint16_t)x86_operand_get(cpu, insn, 1, 2));
    if (seg == X86_SS) {
        cpu->shadow = X86_SHADOW_SS;
        cpu->stop = 1;
    }
}

void x86_exec_load_far_ptr(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    enum { LSS = 0xb2, LFS = 0xb4, LGS = 0xb5, LES = 0xc4, LDS = 0xc5 };
    unsigned seg;
    switch (insn->opcode) {
    case LSS: seg = X86_SS; break;
    case LFS: seg = X86_FS; break;
    case LGS: seg = X86_GS; break;
    case LES: seg = X86_ES; break;
    case LDS: seg = X86_DS; break;
    default: x86_ud(cpu);
    }
    uint64_t ea = x86_ea(cpu, insn);
    uint64_t off = x86_load(cpu, insn->seg, ea, insn->osz);
    uint64_t sel = x86_load(cpu, insn->seg, (ea + insn->osz) & size_mask(insn->asz), 2);
    x86_load_seg(cpu, seg, (uint16_t)sel);
    x86_reg_set(cpu, insn->operand[0].reg, insn->osz, off);
}

void x86_exec_bound(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    unsigned size = insn->osz;
    uint64_t ea = x86_ea(cpu, insn);
    int64_t low = sign_extend(x86_load(cpu, insn->seg, ea, size), size);
    int64_t index = sign_extend(cpu->gpr[insn->operand[0].reg], size);
    if (index < low) /* the upper bound is not looked at then */
        x86_fault(cpu, X86_BR);
    int64_t high =
        sign_extend(x86_load(cpu, insn->seg, (ea + size) & size_mask(insn->asz), size), size);
    if (index > high)
        x86_fault(cpu, X86_BR);
}
