/* SPDX-License-Identifier: BSD-2-Clause */
/* Differential test: the emulator's side. Long mode, ring 3, page tables that put the same bytes at
 * the same linear addresses; faults go through an IDT to ring 0. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "isa/x86/cpu.h"
#include "isa/x86/emu.h"
#include "isa/x86/model.h"
#include "isa/x86/native.h"
#include "tests/insn/diff.h"

/* Guest-physical pages; those of the kernel are mapped from KERNEL on, at the same offset. */
#define KERNEL 0xffff800000000000ull
enum {
    G_GDT = 0x1000,
    G_IDT = 0x2000,
    G_TSS = 0x4000,
    G_STACK = 0x7000,   /* grows down */
    G_HANDLER = 0x7000, /* + 16 * vector */
    G_CODE = 0x10000,
    G_DATA = 0x20000,
    G_HIGH = 0x30000,
    G_TABLES = 0x40000,
    G_SIZE = 0x80000,
    KERNEL_CS = 0x10,
    USER_CS32 = 0x23,
    USER_DS = 0x2b,
    USER_CS64 = 0x33,
    TSS_SEL = 0x40,
};

static uint8_t *ram;
static struct x86_cpu *cpu;
static unsigned next_table = G_TABLES + 0x1000;
static struct x86_cpuid_entry cpuid[64];
static unsigned cpuid_count;

static uint8_t *env_ram(struct x86_cpu *c, uint64_t gpa, unsigned *props)
{
    (void)c;
    *props = X86_RAM_WRITABLE;
    return gpa < G_SIZE ? ram + gpa : NULL;
}
static void env_store_code(struct x86_cpu *c, uint64_t gpa, unsigned len)
{
    (void)c, (void)gpa, (void)len;
}
static bool env_io(struct x86_cpu *c, uint64_t gpa, void *data, unsigned len, bool write)
{
    (void)c, (void)gpa;
    if (!write)
        memset(data, 0xff, len);
    return true;
}
static bool env_pio(struct x86_cpu *c, uint16_t port, void *data, unsigned len, bool write)
{
    return env_io(c, port, data, len, write);
}
static uint64_t env_tsc(struct x86_cpu *c)
{
    (void)c;
    return 0;
}
static int env_rdmsr(struct x86_cpu *c, uint32_t msr, uint64_t *val)
{
    (void)c, (void)msr;
    *val = 0;
    return 0;
}
static int env_wrmsr(struct x86_cpu *c, uint32_t msr, uint64_t val)
{
    (void)c, (void)msr, (void)val;
    return 0;
}
static uint64_t env_cr8_read(struct x86_cpu *c)
{
    (void)c;
    return 0;
}
static void env_cr8_write(struct x86_cpu *c, uint64_t val) { (void)c, (void)val; }
static void env_cpuid(struct x86_cpu *c, uint32_t leaf, uint32_t sub, uint32_t out[4])
{
    x86_model_lookup(cpuid, cpuid_count, c, leaf, sub, out);
}
static const struct x86_env env = {
    .ram = env_ram,
    .store_code = env_store_code,
    .mmio = env_io,
    .pio = env_pio,
    .host_tsc = env_tsc,
    .apic_rdmsr = env_rdmsr,
    .apic_wrmsr = env_wrmsr,
    .cr8_read = env_cr8_read,
    .cr8_write = env_cr8_write,
    .cpuid = env_cpuid,
};

uint8_t *emu_at(uint64_t lin)
{
    if (lin - D_DATA < D_DATA_PAGES * 4096 && (lin - D_DATA) >> 12 != D_HOLE_PAGE)
        return ram + G_DATA + (lin - D_DATA);
    if (lin - D_HIGH < D_HIGH_PAGES * 4096)
        return ram + G_HIGH + (lin - D_HIGH);
    return NULL;
}

static void map_page(uint64_t lin, uint64_t gpa, uint64_t bits)
{
    unsigned table = G_TABLES;

    for (unsigned shift = 39; shift > 12; shift -= 9) {
        uint8_t *e = ram + table + 8 * (lin >> shift & 511);
        if (!(le64(e) & X86_PTE_P)) {
            le64_put(e, next_table | X86_PTE_P | X86_PTE_W | X86_PTE_U);
            next_table += 0x1000;
        }
        table = (unsigned)(le64(e) & ~0xfffull);
    }
    le64_put(ram + table + 8 * (lin >> 12 & 511), gpa | bits | X86_PTE_P | X86_PTE_A | X86_PTE_D);
}

static uint64_t descriptor(uint32_t attr) { return 0xffff | (uint64_t)attr << 40 | 0xfull << 48; }

static struct x86_seg segment(uint16_t sel, uint32_t attr)
{
    return (struct x86_seg){ 0, 0xffffffff, attr, sel };
}

void emu_setup(void)
{
    static const uint64_t user = X86_PTE_U, nx = X86_PTE_NX;
    void *code =
        mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ram = aligned_alloc(4096, G_SIZE);
    cpu = aligned_alloc(64, ALIGN_UP(sizeof(*cpu), 64));
    if (!ram || !cpu || code == MAP_FAILED)
        exit(77);
    memset(ram, 0, G_SIZE);
    memset(cpu, 0, sizeof(*cpu));
    cpu->env = &env;
    cpu->native = calloc(1, x86_native_size());
    x86_native_init(cpu->native, code, code, 1 << 20);
    cpuid_count = x86_model_cpuid(cpuid, ARRAY_LEN(cpuid), 2500000);
    x86_reset(cpu);

    for (unsigned p = 0; p < G_CODE; p += 4096)
        map_page(KERNEL + p, p, X86_PTE_W);
    memset(ram + G_CODE, 0xcc, 8192);
    memcpy(ram + G_CODE, diff_code, (size_t)(diff_end - diff_code)); /* to be read, not run */
    for (unsigned p = 0; p < 8192; p += 4096)
        map_page(D_CODE + p, G_CODE + p, user);
    for (unsigned i = 0; i < D_DATA_PAGES; i++)
        if (i != D_HOLE_PAGE)
            map_page(D_DATA + i * 4096, G_DATA + i * 4096,
                     user | nx | (i == D_RO_PAGE ? 0 : X86_PTE_W));
    for (unsigned i = 0; i < D_HIGH_PAGES; i++)
        map_page(D_HIGH + i * 4096, G_HIGH + i * 4096, user | nx | X86_PTE_W);
    for (uint64_t p = D_DATA; p < D_DATA + D_DATA_PAGES * 4096; p += 4096)
        if (emu_at(p))
            memcpy(emu_at(p), direct_at(p), 4096);
    memcpy(emu_at(D_HIGH), direct_at(D_HIGH), D_HIGH_PAGES * 4096);

    le64_put(ram + G_GDT + KERNEL_CS, descriptor(0xa09b));
    le64_put(ram + G_GDT + (USER_CS32 & ~7), descriptor(0xc0fb));
    le64_put(ram + G_GDT + (USER_DS & ~7), descriptor(0xc0f3));
    le64_put(ram + G_GDT + (USER_CS64 & ~7), descriptor(0xa0fb));
    for (unsigned v = 0; v < 256; v++) {
        uint64_t off = KERNEL + G_HANDLER + 16 * v;
        bool dpl3 = v == X86_BP || v == X86_OFV;
        le64_put(ram + G_IDT + 16 * v, (off & 0xffff) | (uint64_t)KERNEL_CS << 16 |
                                           (dpl3 ? 0xeeull : 0x8eull) << 40 |
                                           (off >> 16 & 0xffff) << 48);
        le64_put(ram + G_IDT + 16 * v + 8, off >> 32);
    }
    le64_put(ram + G_TSS + 4, KERNEL + G_STACK); /* RSP0 */
    le16_put(ram + G_TSS + 0x66, 0xffff);        /* no I/O permissions */
    cpu->gdt = (struct x86_table){ KERNEL + G_GDT, 0xff };
    cpu->idt = (struct x86_table){ KERNEL + G_IDT, 0xfff };
    cpu->tr = (struct x86_seg){ KERNEL + G_TSS, 0x67, 0x8b, TSS_SEL };
    cpu->cr0 =
        X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_PG;
    cpu->cr3 = G_TABLES;
    cpu->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE |
               X86_CR4_FSGSBASE | X86_CR4_UMIP;
    cpu->efer = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
    cpu->xcr0 = x86_native_xcr0();
}

/* Ring 3 with this code size. */
static void enter(unsigned mode)
{
    cpu->seg[X86_CS] = segment(mode == 8 ? USER_CS64 : USER_CS32, mode == 8 ? 0xa0fb : 0xc0fb);
    cpu->seg[X86_SS] = cpu->seg[X86_DS] = cpu->seg[X86_ES] = segment(USER_DS, 0xc0f3);
    cpu->seg[X86_FS] = (struct x86_seg){ direct_fs_base, 0, X86_SEG_UNUSABLE, 0 };
    cpu->seg[X86_GS] = (struct x86_seg){ direct_gs_base, 0, X86_SEG_UNUSABLE, 0 };
    x86_state_changed(cpu);
}

/* What the delivery of a fault left on the ring 0 stack. */
static void take_fault(struct diff_result *r)
{
    const uint8_t *sp = ram + (cpu->gpr[X86_RSP] - KERNEL);

    r->vector = (int)((cpu->rip - KERNEL - G_HANDLER) / 16);
    r->error = 0;
    r->cr2 = cpu->cr2;
    if ((r->vector >= X86_TS && r->vector <= X86_PFV) || r->vector == X86_DF_VEC ||
        r->vector == X86_ACV) {
        r->error = (uint32_t)le64(sp);
        sp += 8;
    }
    r->after.rip = le64(sp);
    r->after.rflags = le64(sp + 16);
    r->after.gpr[X86_RSP] = le64(sp + 24);
}

void emu_run(const struct diff_case *c, struct diff_result *r)
{
    uint8_t *at = ram + G_CODE + (D_INSN - D_CODE), behind[8];
    const unsigned len = c->insn.len, more = direct_behind(c, behind);
    enum x86_exit exit;

    memcpy(at, c->code, len);
    memcpy(at + len, behind, more);
    memcpy(cpu->gpr, c->before.gpr, sizeof(cpu->gpr));
    cpu->rip = D_INSN;
    cpu->rflags = c->before.rflags;
    enter(c->mode);
    if (c->vec && x86_native_set_xsave(cpu, c->before.xsave, D_XSAVE))
        fprintf(stderr, "diff: state refused\n");

    r->vector = -1;
    exit = x86_step(cpu);
    /* A jump to where there is no code: the next fetch faults. */
    if (exit == X86_EXIT_NONE && cpu->cpl == 3 && cpu->rip - (D_CODE + 4096) >= 4096)
        exit = x86_step(cpu);
    memcpy(r->after.gpr, cpu->gpr, sizeof(cpu->gpr));
    r->after.rip = cpu->rip;
    r->after.rflags = cpu->rflags;
    if (exit != X86_EXIT_NONE)
        r->vector = 1000 + (int)exit;
    else if (cpu->cpl == 0)
        take_fault(r);
    if (c->vec)
        x86_native_get_xsave(cpu, r->after.xsave, D_XSAVE);
    memset(at, 0xcc, len + more);
}
