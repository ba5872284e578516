/* SPDX-License-Identifier: BSD-2-Clause */
/* Segmentation: descriptors, limit and type checks, loading of segment registers.
 * [SDM] 3A "Protection"; vol. 2 "MOV", "LDS/LES/LFS/LGS/LSS". */
#include "isa/x86/sys.h"

static bool desc_address(const struct x86_cpu *cpu, uint16_t sel, unsigned last, uint64_t *lin)
{
    uint64_t base = cpu->gdt.base;
    uint32_t limit = cpu->gdt.limit;
    if (sel & 4) {
        if ((cpu->ldt.attr & X86_SEG_UNUSABLE) || !(cpu->ldt.attr & X86_SEG_P))
            return false;
        base = cpu->ldt.base;
        limit = cpu->ldt.limit;
    }
    if ((sel & 0xfff8u) + last > limit)
        return false;
    *lin = base + (sel & 0xfff8u);
    if (!x86_long(cpu))
        *lin = (uint32_t)*lin;
    return true;
}

bool x86_desc_read(struct x86_cpu *cpu, uint16_t sel, uint64_t *desc)
{
    uint64_t lin;
    if (!desc_address(cpu, sel, 7, &lin))
        return false;
    *desc = x86_load_user(cpu, X86_DS, lin, 8, 0);
    return true;
}

bool x86_desc_read_high(struct x86_cpu *cpu, uint16_t sel, uint64_t *high)
{
    uint64_t lin;
    if (!desc_address(cpu, sel, 15, &lin))
        return false;
    *high = x86_load_user(cpu, X86_DS, lin + 8, 8, 0);
    return !(*high & BITS(44, 40));
}

void x86_desc_write_attr(struct x86_cpu *cpu, uint16_t sel, uint8_t attr)
{
    uint64_t lin;
    if (desc_address(cpu, sel, 7, &lin))
        x86_store_user(cpu, X86_DS, lin + 5, attr, 1, 0);
}

void x86_desc_touch(struct x86_cpu *cpu, uint16_t sel, uint64_t *desc)
{
    if (*desc & BIT(40))
        return;
    *desc |= BIT(40);
    x86_desc_write_attr(cpu, sel, (uint8_t)(*desc >> 40));
}

struct x86_seg x86_desc_seg(uint16_t sel, uint64_t desc)
{
    uint32_t limit = (uint32_t)((desc & 0xffff) | bits_get(desc, 51, 48) << 16);
    uint32_t attr = x86_desc_attr(desc);
    return (struct x86_seg){
        .base = bits_get(desc, 39, 16) | bits_get(desc, 63, 56) << 24,
        .limit = attr & X86_SEG_G ? limit << 12 | 0xfff : limit,
        .attr = attr,
        .sel = sel,
    };
}

struct x86_seg x86_seg_null(uint16_t sel)
{
    return (struct x86_seg){ .attr = X86_SEG_UNUSABLE, .sel = sel };
}

struct x86_seg x86_seg_flat(uint16_t sel, uint32_t attr, unsigned dpl)
{
    return (struct x86_seg){ .limit = 0xffffffff, .attr = attr | dpl << 5, .sel = sel };
}

struct x86_seg x86_seg_v86(uint16_t sel)
{
    return (struct x86_seg){
        .base = (uint64_t)sel << 4, .limit = 0xffff, .attr = X86_ATTR_V86, .sel = sel
    };
}

bool x86_seg_linear(const struct x86_seg *s, bool check_type, uint64_t off, unsigned size,
                    enum x86_access access, uint64_t *lin)
{
    uint32_t attr = s->attr;
    uint64_t last = off + size - 1;
    bool expand_down = false;
    if ((attr & X86_SEG_UNUSABLE) || !(attr & X86_SEG_P))
        return false;
    if (check_type) {
        bool code = attr & X86_SEG_CODE;
        if (access == X86_WRITE && (code || !(attr & X86_SEG_W)))
            return false;
        if (access == X86_READ && code && !(attr & X86_SEG_W))
            return false;
        expand_down = !code && (attr & X86_SEG_E);
    }
    if (expand_down) {
        if (off <= s->limit || last > (attr & X86_SEG_DB ? 0xffffffffu : 0xffffu))
            return false;
    } else if (last > s->limit) {
        return false;
    }
    *lin = (uint32_t)(s->base + off);
    return true;
}

uint64_t x86_linear_slow(struct x86_cpu *cpu, unsigned seg, uint64_t off, unsigned size,
                         enum x86_access access)
{
    uint64_t lin;
    bool ok;
    if (cpu->code == 8) {
        lin = off + (seg >= X86_FS ? cpu->seg[seg].base : 0);
        ok = x86_canonical(lin) && x86_canonical(lin + size - 1);
    } else {
        ok = x86_seg_linear(&cpu->seg[seg], x86_protected(cpu), off, size, access, &lin);
    }
    if (!ok)
        x86_fault_code(cpu, seg == X86_SS ? X86_SS_VEC : X86_GP, 0);
    return lin;
}

void x86_jump_slow(struct x86_cpu *cpu, uint64_t target)
{
    if (!x86_rip_ok(cpu, &cpu->seg[X86_CS], target))
        x86_gp0(cpu);
    cpu->rip = target;
}

static void commit_seg(struct x86_cpu *cpu, unsigned seg, const struct x86_seg *s)
{
    uint32_t key = cpu->mode_key;
    cpu->seg[seg] = *s;
    x86_derive(cpu);
    if (cpu->mode_key != key)
        cpu->stop = 1;
}

/* In real mode limit and rights stay what they were ("unreal mode"), as on processors since the
 * Pentium. A segment left unusable by protected mode becomes an ordinary one. */
void x86_set_seg_real(struct x86_cpu *cpu, unsigned seg, uint16_t sel)
{
    struct x86_seg s = cpu->seg[seg];
    if (x86_v86(cpu)) {
        s = x86_seg_v86(sel);
    } else {
        if (s.attr & X86_SEG_UNUSABLE) {
            s.attr = X86_ATTR_REAL_DATA;
            s.limit = 0xffff;
        }
        s.attr |= X86_SEG_P | X86_SEG_S;
        s.base = (uint64_t)sel << 4;
        s.sel = sel;
    }
    commit_seg(cpu, seg, &s);
}

struct x86_seg x86_check_ss(struct x86_cpu *cpu, uint16_t sel, unsigned cpl, unsigned bad,
                            unsigned ext)
{
    uint64_t desc;
    uint32_t err = x86_sel_error(sel, ext);
    if (x86_sel_is_null(sel) || !x86_desc_read(cpu, sel, &desc))
        x86_fault_code(cpu, bad, err);
    uint32_t attr = x86_desc_attr(desc);
    if ((sel & 3) != cpl || !x86_attr_is_writable_data(attr) || x86_attr_dpl(attr) != cpl)
        x86_fault_code(cpu, bad, err);
    if (!(attr & X86_SEG_P))
        x86_fault_code(cpu, X86_SS_VEC, err);
    x86_desc_touch(cpu, sel, &desc);
    return x86_desc_seg(sel, desc);
}

static struct x86_seg check_data(struct x86_cpu *cpu, uint16_t sel, unsigned bad, unsigned ext)
{
    uint64_t desc;
    uint32_t err = x86_sel_error(sel, ext);
    if (!x86_desc_read(cpu, sel, &desc))
        x86_fault_code(cpu, bad, err);
    uint32_t attr = x86_desc_attr(desc);
    bool code = attr & X86_SEG_CODE;
    if (!(attr & X86_SEG_S) || (code && !(attr & X86_SEG_W)))
        x86_fault_code(cpu, bad, err);
    unsigned dpl = x86_attr_dpl(attr);
    if (!(code && (attr & X86_SEG_E)) && ((sel & 3u) > dpl || cpu->cpl > dpl))
        x86_fault_code(cpu, bad, err);
    if (!(attr & X86_SEG_P))
        x86_fault_code(cpu, X86_NP, err);
    x86_desc_touch(cpu, sel, &desc);
    return x86_desc_seg(sel, desc);
}

void x86_load_seg_as(struct x86_cpu *cpu, unsigned seg, uint16_t sel, unsigned bad, unsigned ext)
{
    struct x86_seg s;
    if (seg == X86_SS) {
        if (x86_sel_is_null(sel) && cpu->code == 8 && cpu->cpl < 3 && (sel & 3) == cpu->cpl) {
            s = x86_seg_null(sel);
            s.attr |= (uint32_t)cpu->cpl << 5;
        } else {
            s = x86_check_ss(cpu, sel, cpu->cpl, bad, ext);
        }
    } else if (x86_sel_is_null(sel)) {
        s = x86_seg_null(sel);
    } else {
        s = check_data(cpu, sel, bad, ext);
    }
    commit_seg(cpu, seg, &s);
}

void x86_load_seg(struct x86_cpu *cpu, unsigned seg, uint16_t sel)
{
    if (x86_real_or_v86(cpu))
        x86_set_seg_real(cpu, seg, sel);
    else
        x86_load_seg_as(cpu, seg, sel, X86_GP, 0);
}

void x86_null_data_segs(struct x86_cpu *cpu)
{
    static const uint8_t segs[] = { X86_ES, X86_DS, X86_FS, X86_GS };
    for (unsigned i = 0; i < ARRAY_LEN(segs); i++) {
        struct x86_seg *s = &cpu->seg[segs[i]];
        bool conforming = x86_attr_is_code(s->attr) && (s->attr & X86_SEG_E);
        if (!(s->attr & X86_SEG_UNUSABLE) && !conforming && x86_attr_dpl(s->attr) < cpu->cpl)
            *s = x86_seg_null(0);
    }
}
