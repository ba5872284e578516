/* SPDX-License-Identifier: BSD-2-Clause */
/* Small guests that every engine must run, through its table of functions alone. */
#ifndef TESTS_UNIT_ENGINE_GUESTS_H
#define TESTS_UNIT_ENGINE_GUESTS_H

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine.h"
#include "tests/unit/unit.h"

enum { GUEST_RAM = 0x10000, GUEST_CODE = 0x1000, GUEST_PORT = 0xf4, GUEST_MMIO = 0xd0000000 };

/* All guests are linked to run at GUEST_CODE; `out %al, $0xf4` tells us something. */
#define GUEST(name, text)                                                                          \
    extern const uint8_t name[], name##_end[];                                                     \
    __asm__(".pushsection .rodata\n" #name ":\n" text "\n" #name "_end:\n.code64\n.popsection")

GUEST(guest_real, ".code16\n"
                  "mov $0xf4, %dx\n"
                  "mov $'a', %al\n"
                  "1: out %al, %dx\n"
                  "inc %al\n"
                  "cmp $'e', %al\n"
                  "jne 1b\n"
                  "in %dx, %al\n"
                  "inc %al\n"
                  "out %al, %dx\n"
                  "1: jmp 1b");

/* Sums 1..100 in memory, then stores to and loads from where there is none. */
GUEST(guest_protected, ".code32\n"
                       "movl $0, 0x3000\n"
                       "mov $100, %ecx\n"
                       "1: add %ecx, 0x3000\n"
                       "loop 1b\n"
                       "mov 0x3000, %eax\n"
                       "mov %eax, 0xd0000010\n"
                       "movzwl 0xd0000022, %ebx\n"
                       "mov %ebx, %eax\n"
                       "out %al, $0xf4\n"
                       "mov %bh, %al\n"
                       "out %al, $0xf4\n"
                       "1: jmp 1b");

/* PIC, then the PIT at 1000 Hz; each tick is told, HLT in between. Also told: IRQ 5. */
GUEST(guest_timer, ".code16\n"
                   "cli\n"
                   "xor %ax, %ax\n"
                   "mov %ax, %ds\n"
                   "movw $0x1000 + 2f - guest_timer, 0x20*4\n"
                   "movw $0, 0x20*4+2\n"
                   "movw $0x1000 + 3f - guest_timer, 0x25*4\n"
                   "movw $0, 0x25*4+2\n"
                   "mov $0x11, %al\n out %al, $0x20\n"
                   "mov $0x20, %al\n out %al, $0x21\n"
                   "mov $0x04, %al\n out %al, $0x21\n"
                   "mov $0x01, %al\n out %al, $0x21\n"
                   "mov $0xde, %al\n out %al, $0x21\n" /* 0 and 5 */
                   "mov $0x34, %al\n out %al, $0x43\n"
                   "mov $0xa9, %al\n out %al, $0x40\n"
                   "mov $0x04, %al\n out %al, $0x40\n"
                   "1: sti\n"
                   "hlt\n"
                   "jmp 1b\n"
                   "2: push %ax\n mov $'t', %al\n out %al, $0xf4\n"
                   "mov $0x20, %al\n out %al, $0x20\n pop %ax\n iret\n"
                   "3: push %ax\n mov $'5', %al\n out %al, $0xf4\n"
                   "mov $0x20, %al\n out %al, $0x20\n pop %ax\n iret");

GUEST(guest_sleep, ".code16\n"
                   "cli\n"
                   "1: hlt\n"
                   "jmp 1b");

GUEST(guest_spin, ".code16\n"
                  "1: inc %eax\n"
                  "jmp 1b");

struct rig {
    const struct engine_ops *ops;
    struct engine *engine;
    struct engine_vm *vm;
    struct engine_vcpu *vcpu;
    uint8_t *ram;
    bool ok;
};

static inline void rig_close(struct rig *g)
{
    if (g->vm)
        g->ops->destroy_vm(g->vm);
    if (g->ram)
        munmap(g->ram, GUEST_RAM);
    g->vm = NULL;
    g->ram = NULL;
}

static inline void rig_registers(struct rig *g, bool protected)
{
    struct kvm_sregs s;
    struct kvm_regs r = { .rip = GUEST_CODE, .rsp = 0x8000, .rflags = 2 };

    CHECK_EQ(g->ops->get_sregs(g->vcpu, &s), 0);
    s.cs.base = 0;
    s.cs.selector = 0;
    if (protected) {
        s.cr0 |= 1;
        s.cs = (struct kvm_segment){
            .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1
        };
        s.ds = s.cs;
        s.ds.type = 3;
        s.ds.selector = 16;
        s.es = s.ss = s.ds;
    }
    CHECK_EQ(g->ops->set_sregs(g->vcpu, &s), 0);
    CHECK_EQ(g->ops->set_regs(g->vcpu, &r), 0);
}

static inline void rig_open(struct rig *g, const uint8_t *code, const uint8_t *end, bool protected)
{
    const struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));

    g->ok = false;
    if (!cpuid)
        return;
    CHECK_EQ(g->ops->create_vm(g->engine, &g->vm), 0);
    if (!g->vm) {
        free(cpuid);
        return;
    }
    if (g->ops->set_tss_addr)
        CHECK_EQ(g->ops->set_tss_addr(g->vm, 0xfffbd000), 0);
    CHECK_EQ(g->ops->create_irqchip(g->vm), 0);
    CHECK_EQ(g->ops->create_pit2(g->vm, &pit), 0);
    g->ram = mmap(NULL, GUEST_RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(g->ram + GUEST_CODE, code, (size_t)(end - code));
    struct kvm_userspace_memory_region slot = { .memory_size = GUEST_RAM,
                                                .userspace_addr = (uintptr_t)g->ram };
    CHECK_EQ(g->ops->set_user_memory_region(g->vm, &slot), 0);
    CHECK_EQ(g->ops->create_vcpu(g->vm, 0, &g->vcpu), 0);
    cpuid->nent = 256;
    CHECK(g->ops->get_supported_cpuid(g->engine, cpuid) >= 0);
    CHECK_EQ(g->ops->set_cpuid2(g->vcpu, cpuid), 0);
    free(cpuid);
    rig_registers(g, protected);
    g->ok = true;
}
#define RIG_OPEN(g, guest, protected) rig_open(g, guest, guest##_end, protected)

/* Runs to the next exit that is not a mere interruption. */
static inline unsigned rig_run(struct rig *g)
{
    int r;

    do {
        r = g->ops->run(g->vcpu);
    } while (r == -EINTR || (!r && g->vcpu->run->exit_reason == KVM_EXIT_INTR));
    CHECK_EQ(r, 0);
    return r ? ~0u : g->vcpu->run->exit_reason;
}

static inline uint8_t *rig_io(struct rig *g)
{
    return (uint8_t *)g->vcpu->run + g->vcpu->run->io.data_offset;
}

/* The byte the guest tells us, or -1 for any other exit. */
static inline int rig_told(struct rig *g)
{
    unsigned reason = rig_run(g);

    if (reason != KVM_EXIT_IO || g->vcpu->run->io.direction != KVM_EXIT_IO_OUT ||
        g->vcpu->run->io.port != GUEST_PORT) {
        printf("unexpected exit %u\n", reason);
        return -1;
    }
    return *rig_io(g);
}

static inline void guests_real(struct rig *g)
{
    RIG_OPEN(g, guest_real, false);
    for (int c = 'a'; g->ok && c < 'e'; c++)
        CHECK_EQ(rig_told(g), c);
    CHECK_EQ(rig_run(g), KVM_EXIT_IO);
    CHECK_EQ(g->vcpu->run->io.direction, KVM_EXIT_IO_IN);
    CHECK_EQ(g->vcpu->run->io.size, 1);
    *rig_io(g) = 0x41;
    CHECK_EQ(rig_told(g), 0x42);
    rig_close(g);
}

static inline void guests_protected(struct rig *g)
{
    RIG_OPEN(g, guest_protected, true);
    CHECK_EQ(rig_run(g), KVM_EXIT_MMIO);
    const struct kvm_run *run = g->vcpu->run;
    CHECK_EQ(run->mmio.phys_addr, GUEST_MMIO + 0x10);
    CHECK_EQ(run->mmio.len, 4);
    CHECK_EQ(run->mmio.is_write, 1);
    CHECK_EQ(le32(run->mmio.data), 5050);
    CHECK_EQ(rig_run(g), KVM_EXIT_MMIO);
    CHECK_EQ(run->mmio.phys_addr, GUEST_MMIO + 0x22);
    CHECK_EQ(run->mmio.len, 2);
    CHECK_EQ(run->mmio.is_write, 0);
    memcpy(g->vcpu->run->mmio.data, "\x34\x12", 2);
    CHECK_EQ(rig_told(g), 0x34);
    CHECK_EQ(rig_told(g), 0x12);
    CHECK_EQ(le32(g->ram + 0x3000), 5050);

    /* An access is complete after a run that was kicked. */
    rig_registers(g, true);
    CHECK_EQ(rig_run(g), KVM_EXIT_MMIO);
    CHECK_EQ(rig_run(g), KVM_EXIT_MMIO);
    memcpy(g->vcpu->run->mmio.data, "\x78\x56", 2);
    g->ops->kick(g->vcpu);
    CHECK_EQ(g->ops->run(g->vcpu), -EINTR);
    struct kvm_regs r;
    CHECK_EQ(g->ops->get_regs(g->vcpu, &r), 0);
    CHECK_EQ(r.rbx, 0x5678);
    CHECK_EQ(rig_told(g), 0x78);
    rig_close(g);
}

static inline void *guests_raise_irq5(void *arg)
{
    struct rig *g = arg;

    usleep(20000);
    CHECK_EQ(g->ops->irq_line(g->vm, 5, 1), 0);
    CHECK_EQ(g->ops->irq_line(g->vm, 5, 0), 0);
    return NULL;
}

static inline void guests_timer(struct rig *g)
{
    pthread_t thread;

    RIG_OPEN(g, guest_timer, false);
    for (unsigned i = 0; g->ok && i < 20; i++)
        CHECK_EQ(rig_told(g), 't');
    /* A line raised by another thread while the vCPU sleeps; the timer's ticks go on. */
    if (!pthread_create(&thread, NULL, guests_raise_irq5, g)) {
        int told = 't';
        for (unsigned i = 0; told == 't' && i < 5000; i++)
            told = rig_told(g);
        CHECK_EQ(told, '5');
        pthread_join(thread, NULL);
    }
    rig_close(g);
}

struct kicker {
    struct rig *g;
    _Atomic unsigned wanted, done; /* kicks asked for, kicks given */
    unsigned count;
};

static inline void *guests_kick(void *arg)
{
    struct kicker *k = arg;

    for (unsigned i = 0; i < k->count; i++) {
        while (k->wanted == k->done)
            sched_yield();
        for (volatile unsigned spin = i * 7919 % 20000; spin; spin--)
            ; /* before, at and after the entry of run */
        k->g->ops->kick(k->g->vcpu);
        k->done++;
    }
    return NULL;
}

/* Every kick brings a run back, whenever it comes; a lost one would hang here. */
static inline void guests_kicks(struct rig *g, unsigned count)
{
    struct kicker k = { .g = g, .count = count };
    pthread_t thread;

    g->ops->kick(g->vcpu);
    g->ops->kick(g->vcpu); /* two before a run are one */
    CHECK_EQ(g->ops->run(g->vcpu), -EINTR);
    if (pthread_create(&thread, NULL, guests_kick, &k))
        return;
    unsigned others = 0;
    for (unsigned i = 0; i < count; i++) {
        k.wanted++;
        others += g->ops->run(g->vcpu) != -EINTR;
        while (k.done == i)
            sched_yield();
    }
    CHECK_EQ(others, 0);
    pthread_join(thread, NULL);
}

static inline void guests_kicked(struct rig *g, unsigned count)
{
    RIG_OPEN(g, guest_spin, false);
    if (g->ok)
        guests_kicks(g, count);
    rig_close(g);
    RIG_OPEN(g, guest_sleep, false);
    if (g->ok)
        guests_kicks(g, count);
    rig_close(g);
}

/* What get gives, set takes; and what set took, get gives. */
static inline void guests_state(struct rig *g)
{
    const struct engine_ops *o = g->ops;
    struct kvm_regs r, r2;
    struct kvm_sregs sregs;
    struct kvm_fpu fpu;
    struct kvm_lapic_state lapic;
    struct kvm_mp_state mp;
    struct kvm_vcpu_events events;
    struct kvm_debugregs debug;
    struct kvm_pit_state2 pit;
    struct kvm_clock_data clock;
    struct kvm_irqchip chip;
    struct kvm_msrs *msrs = calloc(1, sizeof(*msrs) + 2 * sizeof(msrs->entries[0]));

    if (!msrs)
        exit(1);
    msrs->nmsrs = 2;
    msrs->entries[0].index = 0x174; /* SYSENTER_CS */
    msrs->entries[1].index = 0x277; /* PAT */
    RIG_OPEN(g, guest_spin, false);
    CHECK_EQ(o->get_regs(g->vcpu, &r), 0);
    r.rax = 0x1122334455667788;
    r.r15 = 42;
    CHECK_EQ(o->set_regs(g->vcpu, &r), 0);
    CHECK_EQ(o->get_regs(g->vcpu, &r2), 0);
    CHECK_EQ(memcmp(&r, &r2, sizeof(r)), 0);
    CHECK_EQ(o->get_fpu(g->vcpu, &fpu), 0);
    CHECK_EQ(o->set_fpu(g->vcpu, &fpu), 0);
    CHECK_EQ(o->get_msrs(g->vcpu, msrs), 2);
    msrs->entries[0].data = 0x10;
    CHECK_EQ(o->set_msrs(g->vcpu, msrs), 2);
    msrs->entries[0].data = 0;
    CHECK_EQ(o->get_msrs(g->vcpu, msrs), 2);
    CHECK_EQ(msrs->entries[0].data, 0x10);
    /* The caller may set any mode of the LAPIC, also what a guest could not. */
    CHECK_EQ(o->get_sregs(g->vcpu, &sregs), 0);
    CHECK_EQ(sregs.apic_base, 0xfee00900);
    sregs.apic_base = 0xfee00d00;
    CHECK_EQ(o->set_sregs(g->vcpu, &sregs), 0);
    sregs.apic_base = 0xfee00900;
    CHECK_EQ(o->set_sregs(g->vcpu, &sregs), 0);
    CHECK_EQ(o->get_lapic(g->vcpu, &lapic), 0);
    CHECK_EQ(le32(lapic.regs + 0x30) & 0xff, 0x14);
    CHECK_EQ(o->set_lapic(g->vcpu, &lapic), 0);
    CHECK_EQ(o->get_mp_state(g->vcpu, &mp), 0);
    CHECK_EQ(mp.mp_state, KVM_MP_STATE_RUNNABLE);
    CHECK_EQ(o->set_mp_state(g->vcpu, &mp), 0);
    CHECK_EQ(o->nmi(g->vcpu), 0);
    CHECK_EQ(o->get_vcpu_events(g->vcpu, &events), 0);
    CHECK_EQ(events.nmi.pending, 1);
    events.nmi.pending = 0;
    CHECK_EQ(o->set_vcpu_events(g->vcpu, &events), 0);
    CHECK_EQ(o->get_vcpu_events(g->vcpu, &events), 0);
    CHECK_EQ(events.nmi.pending, 0);
    CHECK_EQ(o->set_vcpu_events(g->vcpu, &events), 0);
    CHECK_EQ(o->get_debugregs(g->vcpu, &debug), 0);
    CHECK_EQ(o->set_debugregs(g->vcpu, &debug), 0);
    CHECK_EQ(o->get_pit2(g->vm, &pit), 0);
    CHECK_EQ(o->set_pit2(g->vm, &pit), 0);
    CHECK_EQ(o->get_clock(g->vm, &clock), 0);
    for (unsigned i = 0; i < 3; i++) {
        memset(&chip, 0, sizeof(chip));
        chip.chip_id = i;
        CHECK_EQ(o->get_irqchip(g->vm, &chip), 0);
        CHECK_EQ(o->set_irqchip(g->vm, &chip), 0);
    }
    struct kvm_cpuid2 few = { .nent = 0 };
    CHECK_EQ(o->get_supported_cpuid(g->engine, &few), -E2BIG);
    free(msrs);
    rig_close(g);
}

static inline void guests_all(struct rig *g, unsigned kicks)
{
    guests_real(g);
    guests_protected(g);
    guests_timer(g);
    guests_kicked(g, kicks);
    guests_state(g);
}

#endif
