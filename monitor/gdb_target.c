/* SPDX-License-Identifier: BSD-2-Clause */
/* What the gdb stub does to the guest: registers, memory, breakpoints. */
#include "monitor/gdb_target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "isa/x86/regs.h"

/* Where a register's value lies. */
enum place { GPR, RIP, FLAGS, SEG, ST, FCTL, XMM, MXCSR, SEGBASE, CTL };

struct reg {
    const char *name;
    enum place place;
    uint8_t index, size; /* size in bytes; 0: 8 or 4 by the register file */
    const char *type;
};

/* [GDB] "i386 Features": core and sse first, in the order gdb numbers them. index of GPR: as in
 * KVM's struct. */
#define GPR_(n, i, t)                                                                              \
    {                                                                                              \
        n, GPR, i, 0, t                                                                            \
    }
#define CORE_TAIL                                                                                  \
    { "eflags", FLAGS, 0, 4, "int32" }, { "cs", SEG, X86_CS, 4, "int32" },                         \
        { "ss", SEG, X86_SS, 4, "int32" }, { "ds", SEG, X86_DS, 4, "int32" },                      \
        { "es", SEG, X86_ES, 4, "int32" }, { "fs", SEG, X86_FS, 4, "int32" },                      \
        { "gs", SEG, X86_GS, 4, "int32" }, { "st0", ST, 0, 10, "i387_ext" },                       \
        { "st1", ST, 1, 10, "i387_ext" }, { "st2", ST, 2, 10, "i387_ext" },                        \
        { "st3", ST, 3, 10, "i387_ext" }, { "st4", ST, 4, 10, "i387_ext" },                        \
        { "st5", ST, 5, 10, "i387_ext" }, { "st6", ST, 6, 10, "i387_ext" },                        \
        { "st7", ST, 7, 10, "i387_ext" }, { "fctrl", FCTL, 0, 4, "int" },                          \
        { "fstat", FCTL, 1, 4, "int" }, { "ftag", FCTL, 2, 4, "int" },                             \
        { "fiseg", FCTL, 3, 4, "int" }, { "fioff", FCTL, 4, 4, "int" },                            \
        { "foseg", FCTL, 5, 4, "int" }, { "fooff", FCTL, 6, 4, "int" },                            \
    {                                                                                              \
        "fop", FCTL, 7, 4, "int"                                                                   \
    }
#define XMM_(n, i)                                                                                 \
    {                                                                                              \
        n, XMM, i, 16, "vec128"                                                                    \
    }
#define XMM_LOW                                                                                    \
    XMM_("xmm0", 0), XMM_("xmm1", 1), XMM_("xmm2", 2), XMM_("xmm3", 3), XMM_("xmm4", 4),           \
        XMM_("xmm5", 5), XMM_("xmm6", 6), XMM_("xmm7", 7)
#define SYSTEM                                                                                     \
    { "cr0", CTL, 0, 8, "int64" }, { "cr2", CTL, 1, 8, "int64" }, { "cr3", CTL, 2, 8, "int64" },   \
        { "cr4", CTL, 3, 8, "int64" },                                                             \
    {                                                                                              \
        "efer", CTL, 4, 8, "int64"                                                                 \
    }

static const struct reg regs64[] = {
    GPR_("rax", 0, "int64"),
    GPR_("rbx", 1, "int64"),
    GPR_("rcx", 2, "int64"),
    GPR_("rdx", 3, "int64"),
    GPR_("rsi", 4, "int64"),
    GPR_("rdi", 5, "int64"),
    GPR_("rbp", 7, "data_ptr"),
    GPR_("rsp", 6, "data_ptr"),
    GPR_("r8", 8, "int64"),
    GPR_("r9", 9, "int64"),
    GPR_("r10", 10, "int64"),
    GPR_("r11", 11, "int64"),
    GPR_("r12", 12, "int64"),
    GPR_("r13", 13, "int64"),
    GPR_("r14", 14, "int64"),
    GPR_("r15", 15, "int64"),
    { "rip", RIP, 0, 0, "code_ptr" },
    CORE_TAIL,
    XMM_LOW,
    XMM_("xmm8", 8),
    XMM_("xmm9", 9),
    XMM_("xmm10", 10),
    XMM_("xmm11", 11),
    XMM_("xmm12", 12),
    XMM_("xmm13", 13),
    XMM_("xmm14", 14),
    XMM_("xmm15", 15),
    { "mxcsr", MXCSR, 0, 4, "int" },
    { "fs_base", SEGBASE, X86_FS, 8, "int" },
    { "gs_base", SEGBASE, X86_GS, 8, "int" },
    SYSTEM,
};
static const struct reg regs32[] = {
    GPR_("eax", 0, "int32"),
    GPR_("ecx", 2, "int32"),
    GPR_("edx", 3, "int32"),
    GPR_("ebx", 1, "int32"),
    GPR_("esp", 6, "data_ptr"),
    GPR_("ebp", 7, "data_ptr"),
    GPR_("esi", 4, "int32"),
    GPR_("edi", 5, "int32"),
    { "eip", RIP, 0, 0, "code_ptr" },
    CORE_TAIL,
    XMM_LOW,
    { "mxcsr", MXCSR, 0, 4, "int" },
    SYSTEM,
};

static const struct reg *reg_table(const struct gdb_target *t, unsigned *count)
{
    *count = t->wide ? ARRAY_LEN(regs64) : ARRAY_LEN(regs32);
    return t->wide ? regs64 : regs32;
}

unsigned gdb_target_regs(const struct gdb_target *t)
{
    unsigned n;
    reg_table(t, &n);
    return n;
}

/* ---- calls on a vCPU ---- */

struct cpu_state {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_fpu fpu;
    int error;
};

static void get_state(struct vcpu *v, void *arg)
{
    struct cpu_state *s = arg;
    if ((s->error = v->vm->ops->get_regs(v->vcpu, &s->regs)) ||
        (s->error = v->vm->ops->get_sregs(v->vcpu, &s->sregs)) ||
        (s->error = v->vm->ops->get_fpu(v->vcpu, &s->fpu)))
        return;
}

static void put_state(struct vcpu *v, void *arg)
{
    struct cpu_state *s = arg;
    if ((s->error = v->vm->ops->set_sregs(v->vcpu, &s->sregs)) ||
        (s->error = v->vm->ops->set_regs(v->vcpu, &s->regs)) ||
        (s->error = v->vm->ops->set_fpu(v->vcpu, &s->fpu)))
        return;
}

static int with_vcpu(struct gdb_target *t, unsigned id, void (*fn)(struct vcpu *, void *),
                     struct cpu_state *s)
{
    if (id >= t->vm->vcpus)
        return -ENOENT;
    s->error = -EIO; /* a stuck vCPU is not asked */
    vm_on_vcpu(t->vm, id, fn, s);
    return s->error;
}

void gdb_target_init(struct gdb_target *t, struct vm *vm)
{
    struct cpu_state s;
    uint8_t ident[5] = { 0 };
    memset(t, 0, sizeof(*t));
    t->vm = vm;
    t->wide = !with_vcpu(t, 0, get_state, &s) && (s.sregs.efer & X86_EFER_LMA);
    int fd = open(vm->config->kernel, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, ident, sizeof(ident)) == sizeof(ident) && !memcmp(ident, "\177ELF", 4))
            t->wide = ident[4] == 2;
        close(fd);
    }
}

size_t gdb_target_xml(const struct gdb_target *t, char *buf, size_t size)
{
    unsigned n;
    const struct reg *r = reg_table(t, &n);
    enum place last = GPR;
    FILE *f = fmemopen(buf, size, "w");
    if (!f)
        return 0;
    fprintf(f,
            "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>"
            "<architecture>%s</architecture><feature name=\"org.gnu.gdb.i386.core\">",
            t->wide ? "i386:x86-64" : "i386");
    for (unsigned i = 0; i < n; i++, last = r[i - 1].place) {
        if (r[i].place == XMM && last != XMM)
            fprintf(
                f,
                "</feature><feature name=\"org.gnu.gdb.i386.sse\">"
                "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" "
                "type=\"ieee_double\" count=\"2\"/>"
                "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v8i16\" "
                "type=\"int16\" count=\"8\"/>"
                "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/><vector id=\"v2i64\" "
                "type=\"int64\" count=\"2\"/>"
                "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field "
                "name=\"v2_double\" type=\"v2d\"/>"
                "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
                "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
                "<field name=\"uint128\" type=\"uint128\"/></union>");
        else if (r[i].place == SEGBASE && last != SEGBASE)
            fprintf(f, "</feature><feature name=\"org.gnu.gdb.i386.segments\">");
        else if (r[i].place == CTL && last != CTL)
            fprintf(f, "</feature><feature name=\"org.trapeze.x86.system\">");
        unsigned bytes = r[i].size ? r[i].size : t->wide ? 8 : 4;
        fprintf(f, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"/>", r[i].name,
                bytes * 8, r[i].type, i);
    }
    fprintf(f, "</feature></target>");
    long len = ftell(f);
    fclose(f);
    return len > 0 ? (size_t)len : 0;
}

/* ---- registers ---- */

static struct kvm_segment *seg_of(struct kvm_sregs *s, unsigned i)
{
    struct kvm_segment *const seg[] = { &s->es, &s->cs, &s->ss, &s->ds, &s->fs, &s->gs };
    return seg[i];
}

/* FXSAVE's abridged tag word → the full one gdb shows: empty or valid is all it tells apart. */
static uint16_t full_tag(uint8_t abridged)
{
    uint16_t tag = 0;
    for (unsigned i = 0; i < 8; i++)
        if (!(abridged & (1u << i)))
            tag = (uint16_t)(tag | 3u << (2 * i));
    return tag;
}
static uint8_t abridged_tag(uint16_t full)
{
    unsigned tag = 0;
    for (unsigned i = 0; i < 8; i++)
        if ((full >> (2 * i) & 3) != 3)
            tag |= 1u << i;
    return (uint8_t)tag;
}

/* Copies a register's bytes out of (or, write, into) the state. */
static void move(struct cpu_state *s, const struct reg *r, uint8_t *buf, unsigned len, bool write)
{
    uint64_t v = 0;
    void *p = NULL;
    __u64 *const ctl[] = { &s->sregs.cr0, &s->sregs.cr2, &s->sregs.cr3, &s->sregs.cr4,
                           &s->sregs.efer };
    switch (r->place) {
    case GPR:
        p = (__u64 *)&s->regs + r->index;
        break; /* struct kvm_regs: rax rbx rcx rdx rsi rdi rsp rbp r8… */
    case RIP: p = &s->regs.rip; break;
    case FLAGS: p = &s->regs.rflags; break;
    case ST: p = s->fpu.fpr[r->index]; break;
    case XMM: p = s->fpu.xmm[r->index]; break;
    case MXCSR: p = &s->fpu.mxcsr; break;
    case SEGBASE: p = &seg_of(&s->sregs, r->index)->base; break;
    case CTL: p = ctl[r->index]; break;
    case SEG:
        if (!write) /* loading a selector without its descriptor would only harm: writes are ignored
                     */
            le_put(buf, seg_of(&s->sregs, r->index)->selector, len);
        return;
    case FCTL: {
        const uint64_t now[] = { s->fpu.fcw,
                                 s->fpu.fsw,
                                 full_tag(s->fpu.ftwx),
                                 0,
                                 (uint32_t)s->fpu.last_ip,
                                 0,
                                 (uint32_t)s->fpu.last_dp,
                                 s->fpu.last_opcode };
        if (!write) {
            le_put(buf, now[r->index], len);
            return;
        }
        v = le_get(buf, len);
        switch (r->index) {
        case 0: s->fpu.fcw = (uint16_t)v; break;
        case 1: s->fpu.fsw = (uint16_t)v; break;
        case 2: s->fpu.ftwx = abridged_tag((uint16_t)v); break;
        case 4: s->fpu.last_ip = v; break;
        case 6: s->fpu.last_dp = v; break;
        case 7: s->fpu.last_opcode = (uint16_t)v; break;
        }
        return;
    }
    }
    if (!write)
        memcpy(buf, p, len);
    else {
        if (r->place == GPR || r->place == RIP) /* i386: the upper half goes */
            memset(p, 0, 8);
        memcpy(p, buf, len);
    }
}

int gdb_target_get(struct gdb_target *t, unsigned vcpu, unsigned n, uint8_t *buf, unsigned *len)
{
    struct cpu_state s;
    unsigned count;
    const struct reg *r = reg_table(t, &count);
    if (n >= count)
        return -ENOENT;
    int ret = with_vcpu(t, vcpu, get_state, &s);
    if (ret)
        return ret;
    *len = r[n].size ? r[n].size : t->wide ? 8 : 4;
    move(&s, &r[n], buf, *len, false);
    return 0;
}

int gdb_target_set(struct gdb_target *t, unsigned vcpu, unsigned n, const uint8_t *buf,
                   unsigned len)
{
    struct cpu_state s;
    unsigned count;
    uint8_t copy[16] = { 0 };
    const struct reg *r = reg_table(t, &count);
    if (n >= count || len > sizeof(copy))
        return -ENOENT;
    if (len != (r[n].size ? r[n].size : t->wide ? 8 : 4))
        return -EINVAL;
    int ret = with_vcpu(t, vcpu, get_state, &s);
    if (ret)
        return ret;
    memcpy(copy, buf, len);
    move(&s, &r[n], copy, len, true);
    return with_vcpu(t, vcpu, put_state, &s);
}

/* ---- memory ---- */

struct translate_arg {
    struct kvm_translation tr;
    int error;
};

static void translate(struct vcpu *v, void *arg)
{
    struct translate_arg *a = arg;
    a->error = v->vm->ops->translate(v->vcpu, &a->tr);
}

size_t gdb_target_memory(struct gdb_target *t, unsigned vcpu, uint64_t addr, uint8_t *buf,
                         size_t len, bool write)
{
    const struct guest_memory *m = &t->vm->mem;
    size_t done = 0;
    while (done < len) {
        uint64_t at = addr + done;
        size_t chunk = MIN(len - done, (size_t)(0x1000 - (at & 0xfff)));
        struct translate_arg a = { .tr.linear_address = at, .error = -EIO };
        vm_on_vcpu(t->vm, vcpu, translate, &a);
        if (a.error || !a.tr.valid)
            break;
        uint8_t *p = m->map(m->ctx, a.tr.physical_address, chunk, false);
        if (!p)
            break;
        if (write) {
            memcpy(p, buf + done, chunk);
            m->written(m->ctx, a.tr.physical_address, chunk);
        } else
            memcpy(buf + done, p, chunk);
        done += chunk;
    }
    return done;
}

/* ---- break- and watchpoints ---- */

static int insert_hw(struct gdb_target *t, enum gdb_point type, uint64_t addr, unsigned len,
                     bool as_sw)
{
    if (type == GDB_POINT_HW)
        len = 1;
    if ((len != 1 && len != 2 && len != 4 && len != 8) || addr % len)
        return -EINVAL;
    for (unsigned i = 0; i < GDB_MAX_HW; i++)
        if (!t->hw[i].used) {
            t->hw[i].used = true;
            t->hw[i].type = type;
            t->hw[i].addr = addr;
            t->hw[i].len = len;
            t->hw[i].as_sw = as_sw;
            return 0;
        }
    return -ENOSPC;
}

static int insert_sw(struct gdb_target *t, unsigned vcpu, uint64_t addr)
{
    uint8_t int3 = 0xcc;
    for (unsigned i = 0; i < GDB_MAX_SW; i++)
        if (!t->sw[i].used) {
            if (gdb_target_memory(t, vcpu, addr, &t->sw[i].old, 1, false) != 1 ||
                gdb_target_memory(t, vcpu, addr, &int3, 1, true) != 1)
                return insert_hw(t, GDB_POINT_HW, addr, 1, true);
            t->sw[i].used = true;
            t->sw[i].addr = addr;
            return 0;
        }
    return -ENOSPC;
}

int gdb_target_insert(struct gdb_target *t, unsigned vcpu, enum gdb_point type, uint64_t addr,
                      unsigned len)
{
    if (type == GDB_POINT_SW)
        return insert_sw(t, vcpu, addr);
    if (type == GDB_POINT_READ) /* the processor has no read-only watchpoint */
        return -ENOTSUP;
    return insert_hw(t, type, addr, len, false);
}

int gdb_target_remove(struct gdb_target *t, unsigned vcpu, enum gdb_point type, uint64_t addr,
                      unsigned len)
{
    for (unsigned i = 0; type == GDB_POINT_SW && i < GDB_MAX_SW; i++)
        if (t->sw[i].used && t->sw[i].addr == addr) {
            uint8_t now;
            t->sw[i].used = false;
            /* Only if it is still there: the guest may have loaded something else over it. */
            if (gdb_target_memory(t, vcpu, addr, &now, 1, false) == 1 && now == 0xcc)
                (void)gdb_target_memory(t, vcpu, addr, &t->sw[i].old, 1, true);
            return 0;
        }
    for (unsigned i = 0; i < GDB_MAX_HW; i++) {
        bool same = type == GDB_POINT_SW ? t->hw[i].as_sw
                                         : !t->hw[i].as_sw && t->hw[i].type == type &&
                                               (type == GDB_POINT_HW || t->hw[i].len == len);
        if (t->hw[i].used && t->hw[i].addr == addr && same) {
            t->hw[i].used = false;
            return 0;
        }
    }
    return -ENOENT;
}

void gdb_target_remove_all(struct gdb_target *t)
{
    for (unsigned i = 0; i < GDB_MAX_SW; i++)
        if (t->sw[i].used && gdb_target_remove(t, 0, GDB_POINT_SW, t->sw[i].addr, 1))
            t->sw[i].used = false;
    for (unsigned i = 0; i < GDB_MAX_HW; i++)
        t->hw[i].used = false;
}

struct arm_arg {
    struct kvm_guest_debug debug;
    bool step;
    unsigned vcpu;
};

static void arm(struct vcpu *v, void *arg)
{
    const struct arm_arg *a = arg;
    struct kvm_guest_debug d = a->debug;
    if (a->step && v->id == a->vcpu)
        d.control |= KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ;
    if (v->vm->ops->set_guest_debug(v->vcpu, &d) && (d.control & KVM_GUESTDBG_BLOCKIRQ)) {
        d.control &= ~(uint32_t)KVM_GUESTDBG_BLOCKIRQ; /* KVM before 5.14 */
        (void)v->vm->ops->set_guest_debug(v->vcpu, &d);
    }
}

/* [SDM] 3B "Debug Control Register (DR7)": enable bits, then R/W and LEN per breakpoint. */
static uint64_t dr7_of(const struct gdb_target *t)
{
    static const uint8_t rw[] = {
        [GDB_POINT_HW] = 0, [GDB_POINT_WRITE] = 1, [GDB_POINT_ACCESS] = 3
    };
    static const uint8_t len_code[] = { [1] = 0, [2] = 1, [4] = 3, [8] = 2 };
    uint64_t dr7 = 0x400;
    for (unsigned i = 0; i < GDB_MAX_HW; i++)
        if (t->hw[i].used)
            dr7 |= 2ull << (2 * i) | (uint64_t)(rw[t->hw[i].type] | len_code[t->hw[i].len] << 2)
                                         << (16 + 4 * i);
    return dr7;
}

void gdb_target_arm(struct gdb_target *t, bool step, unsigned vcpu)
{
    struct arm_arg a = { .step = step, .vcpu = vcpu };
    a.debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
    a.debug.arch.debugreg[7] = dr7_of(t);
    for (unsigned i = 0; i < GDB_MAX_HW; i++) {
        if (t->hw[i].used)
            a.debug.control |= KVM_GUESTDBG_USE_HW_BP;
        a.debug.arch.debugreg[i] = t->hw[i].addr;
    }
    for (unsigned i = 0; i < t->vm->vcpus; i++)
        vm_on_vcpu(t->vm, i, arm, &a);
}

void gdb_target_disarm(struct gdb_target *t)
{
    struct arm_arg a = { .debug.control = 0 };
    for (unsigned i = 0; i < t->vm->vcpus; i++)
        vm_on_vcpu(t->vm, i, arm, &a);
}

const char *gdb_target_watch(const struct gdb_target *t, uint64_t dr6, uint64_t *addr)
{
    for (unsigned i = 0; i < GDB_MAX_HW; i++)
        if ((dr6 & BIT(i)) && t->hw[i].used && t->hw[i].type != GDB_POINT_HW) {
            *addr = t->hw[i].addr;
            return t->hw[i].type == GDB_POINT_WRITE ? "watch" : "awatch";
        }
    return NULL;
}
