/* SPDX-License-Identifier: BSD-2-Clause */
/* A processor with 4 MiB of RAM, a device that answers nothing at once, and nothing else. */
#ifndef TESTS_UNIT_FAKE_CPU_H
#define TESTS_UNIT_FAKE_CPU_H

#include <stdlib.h>
#include <string.h>

#include "isa/x86/emu.h"
#include "isa/x86/native.h"

enum { FAKE_RAM = 4 << 20 };

static uint8_t fake_ram[FAKE_RAM] __attribute__((aligned(4096)));
static uint64_t fake_code_page = ~0ull;     /* the one page marked X86_RAM_CODE */
static unsigned fake_code_stores, fake_now; /* fake_now: I/O is done at once, reads give 0x5a.. */
static unsigned fake_ios;

static uint8_t *fake_ram_at(struct x86_cpu *cpu, uint64_t gpa, unsigned *props)
{
    (void)cpu;
    if (gpa >= FAKE_RAM)
        return NULL;
    *props = X86_RAM_WRITABLE | (gpa == fake_code_page ? X86_RAM_CODE : 0);
    return fake_ram + gpa;
}

static void fake_store_code(struct x86_cpu *cpu, uint64_t gpa, unsigned len)
{
    (void)gpa;
    (void)len;
    fake_code_stores++;
    cpu->stop = 1;
}

static bool fake_mmio(struct x86_cpu *cpu, uint64_t gpa, void *data, unsigned len, bool write)
{
    (void)cpu;
    (void)gpa;
    fake_ios++;
    if (fake_now && !write)
        memset(data, 0x5a, len);
    return fake_now;
}

static bool fake_pio(struct x86_cpu *cpu, uint16_t port, void *data, unsigned len, bool write)
{
    return fake_mmio(cpu, port, data, len, write);
}

static int fake_rdmsr(struct x86_cpu *cpu, uint32_t msr, uint64_t *val)
{
    (void)cpu;
    (void)msr;
    (void)val;
    return -1;
}

static int fake_wrmsr(struct x86_cpu *cpu, uint32_t msr, uint64_t val)
{
    (void)cpu;
    (void)msr;
    (void)val;
    return -1;
}

static uint64_t fake_zero(struct x86_cpu *cpu)
{
    (void)cpu;
    return 0;
}

static void fake_cr8_write(struct x86_cpu *cpu, uint64_t v)
{
    (void)cpu;
    (void)v;
}

static const struct x86_env fake_env = {
    .ram = fake_ram_at,
    .store_code = fake_store_code,
    .mmio = fake_mmio,
    .pio = fake_pio,
    .host_tsc = fake_zero,
    .apic_rdmsr = fake_rdmsr,
    .apic_wrmsr = fake_wrmsr,
    .cr8_read = fake_zero,
    .cr8_write = fake_cr8_write,
};

static struct x86_cpu *fake_cpu(void)
{
    struct x86_cpu *cpu = aligned_alloc(64, ALIGN_UP(sizeof(*cpu), (size_t)64));

    memset(cpu, 0, sizeof(*cpu));
    memset(fake_ram, 0, sizeof(fake_ram));
    fake_code_page = ~0ull;
    fake_code_stores = fake_now = fake_ios = 0;
    cpu->env = &fake_env;
    x86_reset(cpu);
    return cpu;
}

/* Protected mode, flat 32-bit segments, privilege level cpl. */
static inline void fake_protected(struct x86_cpu *cpu, unsigned cpl)
{
    uint32_t dpl = cpl << 5;

    cpu->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_WP;
    for (unsigned i = 0; i < X86_SREG_COUNT; i++)
        cpu->seg[i] = (struct x86_seg){ 0, 0xffffffff, 0xc093 | dpl, (uint16_t)(0x10 | cpl) };
    cpu->seg[X86_CS] = (struct x86_seg){ 0, 0xffffffff, 0xc09b | dpl, (uint16_t)(8 | cpl) };
    x86_state_changed(cpu);
}

/* 64-bit mode with 4-level paging; the tables are the caller's, at cr3. */
static inline void fake_long(struct x86_cpu *cpu, unsigned cpl, uint64_t cr3)
{
    fake_protected(cpu, cpl);
    cpu->seg[X86_CS].attr = 0xa09b | cpl << 5;
    cpu->cr0 |= X86_CR0_PG;
    cpu->cr4 = X86_CR4_PAE | X86_CR4_PGE | X86_CR4_OSFXSR;
    cpu->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE | X86_EFER_SCE;
    cpu->cr3 = cr3;
    x86_state_changed(cpu);
}

#endif
