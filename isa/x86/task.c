/* SPDX-License-Identifier: BSD-2-Clause */
/* Hardware task switch through 16- and 32-bit TSSs. [SDM] 3A "Task Management". */
#include "isa/x86/sys.h"

/* Where a TSS keeps what. Registers in the order of enum x86_gpr, segments of enum x86_sreg. */
struct tss_layout {
    uint8_t size, word; /* bytes of the whole, and of a register */
    uint8_t ip, flags, gpr, seg, seg_count, seg_stride, ldt;
};
static const struct tss_layout tss16 = { 0x2c, 2, 0x0e, 0x10, 0x12, 0x22, 4, 2, 0x2a };
static const struct tss_layout tss32 = { 0x68, 4, 0x20, 0x24, 0x28, 0x48, 6, 4, 0x60 };
enum { TSS_LINK = 0, TSS32_CR3 = 0x1c, TSS32_TRAP = 0x64, TSS_MAX = 0x68 };
enum { DR7_LOCAL = 0x155 }; /* L0..L3, LE: breakpoints of the task that is left */
#define DR6_BT BIT(15)

static const struct tss_layout *layout_of(uint32_t attr)
{
    return x86_attr_type(attr) >= X86_DESC_TSS ? &tss32 : &tss16;
}

static void save_state(struct x86_cpu *cpu, const struct tss_layout *l, uint64_t flags)
{
    uint8_t buf[TSS_MAX];
    unsigned end = l->seg + l->seg_count * l->seg_stride, len = end - l->ip;
    for (unsigned i = 0; i < sizeof(buf); i++)
        buf[i] = 0;
    le_put(buf + l->ip, cpu->rip, l->word);
    le_put(buf + l->flags, flags, l->word);
    for (unsigned i = 0; i < 8; i++)
        le_put(buf + l->gpr + i * l->word, cpu->gpr[i], l->word);
    for (unsigned i = 0; i < l->seg_count; i++)
        le16_put(buf + l->seg + i * l->seg_stride, cpu->seg[i].sel);
    x86_store_bytes(cpu, X86_DS, (uint32_t)(cpu->tr.base + l->ip), buf + l->ip, len, 0);
}

/* Registers of the new task. Segments have their selectors but are unusable until checked: what
 * goes wrong from here on is a fault of the new task. */
static void load_registers(struct x86_cpu *cpu, const struct tss_layout *l, const uint8_t *tss)
{
    cpu->rip = le_get(tss + l->ip, l->word);
    cpu->rflags = (le_get(tss + l->flags, l->word) & X86_FLAGS_DEFINED) | X86_F1;
    for (unsigned i = 0; i < 8; i++)
        cpu->gpr[i] = le_get(tss + l->gpr + i * l->word, l->word);
    for (unsigned i = 0; i < X86_SREG_COUNT; i++)
        cpu->seg[i] = x86_seg_null(i < l->seg_count ? le16(tss + l->seg + i * l->seg_stride) : 0);
    cpu->ldt = x86_seg_null(le16(tss + l->ldt));
    cpu->cpl = x86_v86(cpu) ? 3 : cpu->seg[X86_CS].sel & 3;
    cpu->seg[X86_SS].attr |= (uint32_t)cpu->cpl << 5;
    cpu->cr0 |= X86_CR0_TS;
    cpu->dr[7] &= ~(uint64_t)DR7_LOCAL;
    cpu->insn_rip = cpu->rip;
}

static void load_cr3(struct x86_cpu *cpu, uint32_t cr3, uint32_t err)
{
    if (!(cpu->cr0 & X86_CR0_PG))
        return;
    if ((cpu->cr4 & X86_CR4_PAE) && !x86_load_pdptes(cpu, cr3))
        x86_fault_code(cpu, X86_TS, err);
    cpu->cr3 = cr3;
    x86_tlb_flush(cpu);
}

static void load_ldt(struct x86_cpu *cpu, unsigned ext)
{
    uint16_t sel = cpu->ldt.sel;
    uint64_t desc;
    if (x86_sel_is_null(sel))
        return;
    if ((sel & 4) || !x86_desc_read(cpu, sel, &desc) ||
        (x86_desc_attr(desc) & (X86_SEG_P | X86_SEG_S | X86_SEG_TYPE)) !=
            (X86_SEG_P | X86_DESC_LDT))
        x86_fault_code(cpu, X86_TS, x86_sel_error(sel, ext));
    cpu->ldt = x86_desc_seg(sel, desc);
}

static void load_cs(struct x86_cpu *cpu, unsigned ext)
{
    uint16_t sel = cpu->seg[X86_CS].sel;
    uint32_t err = x86_sel_error(sel, ext);
    uint64_t desc;
    if (x86_sel_is_null(sel) || !x86_desc_read(cpu, sel, &desc))
        x86_fault_code(cpu, X86_TS, err);
    uint32_t attr = x86_desc_attr(desc);
    unsigned rpl = sel & 3, dpl = x86_attr_dpl(attr);
    if (!x86_attr_is_code(attr) || (attr & X86_SEG_E ? dpl > rpl : dpl != rpl))
        x86_fault_code(cpu, X86_TS, err);
    if (!(attr & X86_SEG_P))
        x86_fault_code(cpu, X86_NP, err);
    x86_desc_touch(cpu, sel, &desc);
    cpu->seg[X86_CS] = x86_desc_seg(sel, desc);
    x86_mode_update(cpu);
}

static void load_segments(struct x86_cpu *cpu, unsigned ext)
{
    static const uint8_t order[] = { X86_SS, X86_ES, X86_DS, X86_FS, X86_GS };
    if (x86_v86(cpu)) {
        for (unsigned i = 0; i < X86_SREG_COUNT; i++)
            cpu->seg[i] = x86_seg_v86(cpu->seg[i].sel);
        x86_mode_update(cpu);
        return;
    }
    load_cs(cpu, ext);
    for (unsigned i = 0; i < ARRAY_LEN(order); i++)
        x86_load_seg_as(cpu, order[i], cpu->seg[order[i]].sel, X86_TS, ext);
}

static void task_switch(struct x86_cpu *cpu, uint16_t sel, int kind, bool has_error, uint32_t error,
                        unsigned ext)
{
    uint64_t desc;
    uint32_t err = x86_sel_error(sel, ext);
    bool back = kind == X86_TASK_IRET, nested = kind == X86_TASK_CALL || kind == X86_TASK_INTR;
    unsigned bad = back ? X86_TS : X86_GP;
    if (x86_sel_is_null(sel) || (sel & 4) || !x86_desc_read(cpu, sel, &desc))
        x86_fault_code(cpu, bad, err);
    uint32_t attr = x86_desc_attr(desc);
    unsigned type = attr & (X86_SEG_TYPE | X86_SEG_S);
    if (back ? type != X86_DESC_TSS_BUSY && type != X86_DESC_TSS16_BUSY
             : type != X86_DESC_TSS && type != X86_DESC_TSS16)
        x86_fault_code(cpu, bad, err);
    if (!(attr & X86_SEG_P))
        x86_fault_code(cpu, X86_NP, err);

    struct x86_seg to = x86_desc_seg(sel, desc);
    const struct tss_layout *l = layout_of(attr), *old = layout_of(cpu->tr.attr);
    uint16_t old_sel = cpu->tr.sel;
    if (to.limit < l->size - 1u)
        x86_fault_code(cpu, X86_TS, err);
    if (cpu->tr.limit < old->size - 1u)
        x86_fault_code(cpu, X86_TS, x86_sel_error(old_sel, ext));

    /* Everything that can fault in the old task, before anything changes. */
    uint8_t tss[TSS_MAX];
    uint32_t base = (uint32_t)to.base;
    uint32_t gdt = (uint32_t)cpu->gdt.base;
    x86_load_bytes(cpu, X86_DS, base, tss, l->size, 0);
    x86_probe(cpu, X86_DS, (uint32_t)cpu->tr.base, old->size, X86_WRITE, 0);
    if (nested)
        x86_probe(cpu, X86_DS, base, 2, X86_WRITE, 0);
    x86_probe(cpu, X86_DS, gdt + (sel & 0xfff8u), 8, X86_WRITE, 0);
    if (!nested)
        x86_probe(cpu, X86_DS, gdt + (old_sel & 0xfff8u), 8, X86_WRITE, 0);

    save_state(cpu, old, back ? cpu->rflags & ~X86_NT : cpu->rflags);
    if (!nested)
        x86_desc_write_attr(cpu, old_sel, (uint8_t)(cpu->tr.attr & ~2u));
    else
        x86_store_user(cpu, X86_DS, base + TSS_LINK, old_sel, 2, 0);
    to.attr |= 2; /* busy */
    if (!back)
        x86_desc_write_attr(cpu, sel, (uint8_t)to.attr);

    cpu->tr = to;
    load_registers(cpu, l, tss);
    if (nested)
        cpu->rflags |= X86_NT;
    x86_mode_update(cpu);
    if (l == &tss32)
        load_cr3(cpu, le32(tss + TSS32_CR3), err);
    load_ldt(cpu, ext);
    load_segments(cpu, ext);
    if (cpu->rip > cpu->seg[X86_CS].limit)
        x86_gp0(cpu);
    if (has_error) {
        struct x86_frame f = x86_frame_current(cpu, ext);
        x86_push_frame(cpu, &f, error, l->word);
        x86_frame_commit(cpu, &f);
    }
    if (l == &tss32 && (tss[TSS32_TRAP] & 1))
        x86_queue_exception(cpu, &(struct x86_exception){ .vector = X86_DB, .payload = DR6_BT });
}

void x86_task_switch(struct x86_cpu *cpu, uint16_t sel, int kind, bool has_error, uint32_t error)
{
    task_switch(cpu, sel, kind, has_error, error, kind == X86_TASK_INTR);
}

void x86_task_gate(struct x86_cpu *cpu, uint16_t tss_sel, int kind, bool has_error, uint32_t error,
                   unsigned ext)
{
    task_switch(cpu, tss_sel, kind, has_error, error, ext);
}
