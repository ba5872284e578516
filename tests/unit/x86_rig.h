/* SPDX-License-Identifier: BSD-2-Clause */
/* A processor with flat RAM and nothing else, for tests of the emulator: fixed tables, ready-made
 * modes, single instructions given as bytes. */
#ifndef TESTS_UNIT_X86_RIG_H
#define TESTS_UNIT_X86_RIG_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "isa/x86/emu.h"
#include "isa/x86/model.h"
#include "isa/x86/native.h"
#include "tests/unit/unit.h"

/* Memory map. Everything above the tables is free for the test. */
enum {
    RIG_RAM = 0x1000000,
    RIG_GDT = 0x1000,
    RIG_IDT = 0x2000,
    RIG_TSS = 0x3000,
    RIG_TSS2 = 0x4000,
    RIG_LDT = 0x5000,
    RIG_CODE = 0x8000,
    RIG_PT = 0x10000,     /* page tables: identity, first 1 GiB, writable, user */
    RIG_STACK = 0x20000,  /* stacks grow down from here; ring 0 */
    RIG_STACK1 = 0x22000, /* rings 1, 2, 3, IST 1 */
    RIG_STACK2 = 0x24000,
    RIG_STACK3 = 0x26000,
    RIG_IST1 = 0x28000,
    RIG_HANDLER = 0x30000, /* + 16 * vector */
    RIG_GDT_ENTRIES = 64,
};

/* Selectors of the GDT. The order from RIG_CS64 on is what SYSCALL and SYSRET want. */
enum {
    RIG_CS32 = 0x08,
    RIG_DS32 = 0x10,
    RIG_TR = 0x18, /* two entries: 16 bytes in long mode */
    RIG_UCS32 = 0x28 | 3,
    RIG_UDS32 = 0x30 | 3,
    RIG_CS16 = 0x38,
    RIG_CS64 = 0x40,
    RIG_DS64 = 0x48,
    RIG_SYSRET = 0x50, /* 32-bit user code, data, 64-bit user code */
    RIG_UDS64 = 0x58 | 3,
    RIG_UCS64 = 0x60 | 3,
    RIG_LDTR = 0x68, /* two entries */
    RIG_TR2 = 0x78,  /* two entries */
    RIG_FREE = 0x88, /* to 0x1f8 */
};

struct rig {
    struct x86_cpu cpu;
    struct x86_env env;
    uint8_t *ram;
    uint64_t tsc, apic_base, cr8;
    struct {
        uint16_t port;
        uint8_t len;
        bool write;
        uint32_t value, count;
    } io; /* the last port access; value is what reads get */
    struct x86_cpuid_entry cpuid[64];
    unsigned cpuid_count;
};

static inline struct rig *rig_of(struct x86_cpu *cpu) { return container_of(cpu, struct rig, cpu); }

static inline uint8_t *rig_env_ram(struct x86_cpu *cpu, uint64_t gpa, unsigned *props)
{
    *props = X86_RAM_WRITABLE;
    return gpa < RIG_RAM ? rig_of(cpu)->ram + gpa : NULL;
}
static inline void rig_env_store_code(struct x86_cpu *cpu, uint64_t gpa, unsigned len)
{
    (void)cpu, (void)gpa, (void)len;
}
static inline bool rig_env_mmio(struct x86_cpu *cpu, uint64_t gpa, void *data, unsigned len, bool w)
{
    (void)cpu, (void)gpa;
    if (!w)
        memset(data, 0xff, len);
    return true;
}
static inline bool rig_env_pio(struct x86_cpu *cpu, uint16_t port, void *data, unsigned len, bool w)
{
    struct rig *r = rig_of(cpu);
    r->io.port = port;
    r->io.len = (uint8_t)len;
    r->io.write = w;
    r->io.count++;
    if (w)
        r->io.value = (uint32_t)le_get(data, len);
    else
        le_put(data, r->io.value, len);
    return true;
}
static inline uint64_t rig_env_tsc(struct x86_cpu *cpu) { return rig_of(cpu)->tsc; }
static inline int rig_env_rdmsr(struct x86_cpu *cpu, uint32_t msr, uint64_t *val)
{
    *val = msr == MSR_APIC_BASE ? rig_of(cpu)->apic_base : 0;
    return 0;
}
static inline int rig_env_wrmsr(struct x86_cpu *cpu, uint32_t msr, uint64_t val)
{
    if (msr == MSR_APIC_BASE)
        rig_of(cpu)->apic_base = val;
    return 0;
}
static inline uint64_t rig_env_cr8_read(struct x86_cpu *cpu) { return rig_of(cpu)->cr8; }
static inline void rig_env_cr8_write(struct x86_cpu *cpu, uint64_t v) { rig_of(cpu)->cr8 = v; }
static inline void rig_env_cpuid(struct x86_cpu *cpu, uint32_t leaf, uint32_t sub, uint32_t out[4])
{
    x86_model_lookup(rig_of(cpu)->cpuid, rig_of(cpu)->cpuid_count, cpu, leaf, sub, out);
}

/* ---- memory ---- */

static inline uint64_t rig_get(struct rig *r, uint64_t gpa, unsigned n)
{
    return le_get(r->ram + gpa, n);
}
static inline void rig_put(struct rig *r, uint64_t gpa, uint64_t v, unsigned n)
{
    le_put(r->ram + gpa, v, n);
}
/* A code, data or system descriptor; attr as X86_SEG_*, limit in its 20-bit form. */
static inline uint64_t rig_desc(uint32_t base, uint32_t limit, uint32_t attr)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)(attr & 0xf0ff) << 40 |
           (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)(base >> 24) << 56;
}
/* A call, interrupt, trap or task gate; attr: type, DPL and P. `low5`: parameters or IST. */
static inline uint64_t rig_gate(uint16_t sel, uint32_t off, uint32_t attr, unsigned low5)
{
    return (off & 0xffff) | (uint64_t)sel << 16 | (uint64_t)low5 << 32 | (uint64_t)attr << 40 |
           (uint64_t)(off >> 16) << 48;
}
static inline void rig_gdt(struct rig *r, unsigned sel, uint64_t desc)
{
    rig_put(r, RIG_GDT + (sel & ~7u), desc, 8);
}
/* IDT entry of vector; in long mode 16 bytes. */
static inline void rig_idt(struct rig *r, unsigned vector, uint64_t gate)
{
    bool lm = r->cpu.efer & X86_EFER_LMA;
    rig_put(r, RIG_IDT + vector * (lm ? 16u : 8u), gate, 8);
    if (lm)
        rig_put(r, RIG_IDT + vector * 16 + 8, 0, 8);
}
/* All 256 gates to handler + 16 * vector. */
static inline void rig_idt_all(struct rig *r, uint16_t sel, uint32_t attr)
{
    for (unsigned v = 0; v < 256; v++)
        rig_idt(r, v, rig_gate(sel, RIG_HANDLER + 16 * v, attr, 0));
}

/* ---- life ---- */

static inline struct rig *rig_create(void)
{
    struct rig *r = aligned_alloc(64, sizeof(*r));
    memset(r, 0, sizeof(*r));
    r->ram = calloc(1, RIG_RAM);
    r->apic_base = 0xfee00000 | X86_APIC_BASE_BSP | X86_APIC_BASE_ENABLE;
    r->env = (struct x86_env){
        .ram = rig_env_ram,
        .store_code = rig_env_store_code,
        .mmio = rig_env_mmio,
        .pio = rig_env_pio,
        .host_tsc = rig_env_tsc,
        .apic_rdmsr = rig_env_rdmsr,
        .apic_wrmsr = rig_env_wrmsr,
        .cr8_read = rig_env_cr8_read,
        .cr8_write = rig_env_cr8_write,
        .cpuid = rig_env_cpuid,
    };
    r->cpu.env = &r->env;
    r->cpuid_count = x86_model_cpuid(r->cpuid, ARRAY_LEN(r->cpuid), 2500000);
    r->cpu.native = calloc(1, x86_native_size());
    void *code =
        mmap(NULL, 65536, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    x86_native_init(r->cpu.native, code, code, 65536);
    x86_reset(&r->cpu);
    return r;
}

static inline void rig_destroy(struct rig *r)
{
    free(r->cpu.native);
    free(r->ram);
    free(r);
}

/* ---- modes: each begins from reset, with registers and memory of the last test gone ---- */

/* Real mode at 0:RIG_CODE, stack 0:0x7000, IVT at 0 with vector v to 0x3000:16*v (linear
 * RIG_HANDLER + 16 * v). */
static inline void rig_real(struct rig *r)
{
    memset(r->ram, 0, 0x40000);
    x86_reset(&r->cpu);
    for (unsigned v = 0; v < 256; v++)
        rig_put(r, v * 4, (uint32_t)(RIG_HANDLER >> 4) << 16 | v * 16, 4);
    r->cpu.idt = (struct x86_table){ 0, 0x3ff };
    r->cpu.seg[X86_CS].sel = 0;
    r->cpu.seg[X86_CS].base = 0;
    r->cpu.rip = RIG_CODE;
    r->cpu.gpr[X86_RSP] = 0x7000;
    x86_state_changed(&r->cpu);
}

static inline struct x86_seg rig_seg(struct rig *r, uint16_t sel)
{
    uint64_t d = rig_get(r, RIG_GDT + (sel & ~7u), 8);
    uint32_t attr = (uint32_t)(d >> 40) & 0xf0ff;
    uint32_t limit = (uint32_t)((d & 0xffff) | (d >> 32 & 0xf0000));
    return (struct x86_seg){ (d >> 16 & 0xffffff) | (d >> 56) << 24,
                             attr & X86_SEG_G ? limit << 12 | 0xfff : limit, attr, sel };
}

static inline void rig_tables(struct rig *r)
{
    static const struct {
        unsigned sel;
        uint32_t attr;
    } flat[] = {
        { RIG_CS32, 0xc09b },   { RIG_DS32, 0xc093 },  { RIG_UCS32, 0xc0fb },
        { RIG_UDS32, 0xc0f3 },  { RIG_CS64, 0xa09b },  { RIG_DS64, 0xc093 },
        { RIG_SYSRET, 0xc0fb }, { RIG_UDS64, 0xc0f3 }, { RIG_UCS64, 0xa0fb },
    };
    for (unsigned i = 0; i < ARRAY_LEN(flat); i++)
        rig_gdt(r, flat[i].sel, rig_desc(0, 0xfffff, flat[i].attr));
    rig_gdt(r, RIG_CS16, rig_desc(0, 0xffff, 0x9b));
    rig_gdt(r, RIG_TR, rig_desc(RIG_TSS, 0xfff, 0x8b));
    rig_gdt(r, RIG_TR2, rig_desc(RIG_TSS2, 0x67, 0x89));
    rig_gdt(r, RIG_LDTR, rig_desc(RIG_LDT, 0xfff, 0x82));
    r->cpu.gdt = (struct x86_table){ RIG_GDT, RIG_GDT_ENTRIES * 8 - 1 };
    r->cpu.idt = (struct x86_table){ RIG_IDT, 0xfff };
    r->cpu.tr = rig_seg(r, RIG_TR);
}

static inline void rig_segs(struct rig *r, uint16_t cs, uint16_t ds)
{
    for (unsigned i = 0; i < X86_SREG_COUNT; i++)
        r->cpu.seg[i] = rig_seg(r, i == X86_CS ? cs : ds);
}

/* Drops to ring 3 (flat segments of the mode) with the stack of ring 3. */
static inline void rig_user(struct rig *r)
{
    bool lm = r->cpu.efer & X86_EFER_LMA;
    rig_segs(r, lm ? RIG_UCS64 : RIG_UCS32, lm ? RIG_UDS64 : RIG_UDS32);
    r->cpu.gpr[X86_RSP] = RIG_STACK3;
    x86_state_changed(&r->cpu);
}

/* 32-bit protected mode, flat, ring 0, no paging; IDT of 32-bit interrupt gates with DPL 0; TSS
 * with a stack for each ring. */
static inline void rig_protected(struct rig *r)
{
    memset(r->ram, 0, 0x40000);
    x86_reset(&r->cpu);
    rig_tables(r);
    rig_idt_all(r, RIG_CS32, 0x8e);
    for (unsigned i = 0; i < 3; i++) {
        static const uint32_t esp[] = { RIG_STACK, RIG_STACK1, RIG_STACK2 };
        rig_put(r, RIG_TSS + 4 + 8 * i, esp[i], 4);
        rig_put(r, RIG_TSS + 8 + 8 * i, i ? 0 : RIG_DS32, 4);
    }
    rig_put(r, RIG_TSS + 0x66, 0xfff, 2); /* no I/O map */
    r->cpu.cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE;
    r->cpu.rip = RIG_CODE;
    r->cpu.gpr[X86_RSP] = RIG_STACK - 0x800;
    rig_segs(r, RIG_CS32, RIG_DS32);
    x86_state_changed(&r->cpu);
}

/* Long mode, 64-bit code, ring 0, identity paging with 2 MiB pages; IST 1 set. */
static inline void rig_long(struct rig *r)
{
    memset(r->ram, 0, 0x40000);
    x86_reset(&r->cpu);
    rig_tables(r);
    rig_gdt(r, RIG_TR2, rig_desc(RIG_TSS2, 0x67, 0x89));
    rig_put(r, RIG_PT, (RIG_PT + 0x1000) | 7, 8);
    rig_put(r, RIG_PT + 0x1000, (RIG_PT + 0x2000) | 7, 8);
    for (unsigned i = 0; i < 512; i++)
        rig_put(r, RIG_PT + 0x2000 + 8 * i, (uint64_t)i << 21 | 0x87, 8);
    rig_put(r, RIG_TSS + 4, RIG_STACK, 8);
    rig_put(r, RIG_TSS + 12, RIG_STACK1, 8);
    rig_put(r, RIG_TSS + 20, RIG_STACK2, 8);
    rig_put(r, RIG_TSS + 36, RIG_IST1, 8);
    r->cpu.cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_PG;
    r->cpu.cr3 = RIG_PT;
    r->cpu.cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
    r->cpu.efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE | X86_EFER_NXE;
    rig_idt_all(r, RIG_CS64, 0x8e);
    r->cpu.rip = RIG_CODE;
    r->cpu.gpr[X86_RSP] = RIG_STACK - 0x800;
    rig_segs(r, RIG_CS64, RIG_DS64);
    x86_state_changed(&r->cpu);
}

/* ---- running ---- */

static inline void rig_write_code(struct rig *r, const void *code, unsigned n)
{
    uint64_t lin = r->cpu.rip + (r->cpu.code == 8 ? 0 : r->cpu.seg[X86_CS].base), gpa;
    if (x86_translate_debug(&r->cpu, lin, &gpa) && range_ok(gpa, n, RIG_RAM))
        memcpy(r->ram + gpa, code, n);
}

/* Executes one instruction without delivering what it throws. -1: done; else the vector of the
 * exception, left in cpu.exc, or 256 + exit. */
static __attribute__((noinline, unused)) int rig_catch(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    struct x86_insn insn;
    cpu->insn_rip = cpu->rip;
    if (!x86_fetch(cpu, &insn, NULL))
        return cpu->exc.vector;
    x86_bind(&insn);
    cpu->shadow = 0;
    cpu->stop = 0;
    cpu->replay.count = cpu->replay.next = 0;
    cpu->insn_rip = cpu->rip;
    if (__builtin_setjmp(cpu->jmp)) {
        if (cpu->thrown != X86_EXIT_HLT)
            cpu->rip = cpu->insn_rip;
        return cpu->thrown == X86_EXIT_NONE ? cpu->exc.vector : 256 + cpu->thrown;
    }
    cpu->rip += insn.len;
    insn.exec(cpu, &insn);
    return -1;
}

static inline int rig_exec(struct rig *r, const void *code, unsigned n)
{
    rig_write_code(r, code, n);
    return rig_catch(r);
}

/* One instruction, given as bytes, at the current rip: as rig_catch(). */
#define EXEC(r, ...)                                                                               \
    rig_exec(r, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
/* The same by x86_step(): exceptions go through the IDT. Gives the exit. */
#define STEP(r, ...)                                                                               \
    (rig_write_code(r, (const uint8_t[]){ __VA_ARGS__ },                                           \
                    sizeof((const uint8_t[]){ __VA_ARGS__ })),                                     \
     x86_step(&(r)->cpu))
/* Expects exception `vec` with error code `err` of one instruction. */
#define CHECK_FAULT(r, vec, err, ...)                                                              \
    do {                                                                                           \
        uint64_t rip_ = (r)->cpu.rip;                                                              \
        CHECK_EQ(EXEC(r, __VA_ARGS__), vec);                                                       \
        CHECK_EQ((r)->cpu.exc.error, err);                                                         \
        CHECK_EQ((r)->cpu.rip, rip_);                                                              \
    } while (0)

#endif
