/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interrupt controllers under the waist: two 8259A, the 8254 timer, one IOAPIC, a local APIC
 * per vCPU and GSI/MSI routing. Pure model: time comes in as an argument, effects go out through
 * struct irqchip_host. Every function takes the chip's own lock; host callbacks are made with it
 * held and must not call back.
 */
#ifndef ENGINE_IRQCHIP_IRQCHIP_H
#define ENGINE_IRQCHIP_IRQCHIP_H

#include <linux/kvm.h>

#include "lib/bits.h"

struct irqchip;

struct irqchip_host {
    void *ctx;
    uint64_t (*now_ns)(void *ctx);                   /* monotonic; drives PIT and APIC timers */
    uint64_t (*guest_tsc)(void *ctx, unsigned vcpu); /* for TSC-deadline mode */
    uint64_t (*tsc_to_ns)(void *ctx, unsigned vcpu,
                          uint64_t tsc); /* now_ns time at which the guest's TSC is tsc */
    /* That vCPU has something new to take, or its deadline moved: it must ask irqchip_pending() and
     * irqchip_deadline() anew before it goes on. Called on any thread, also on the vCPU's own. */
    void (*kick)(void *ctx, unsigned vcpu);
};

enum { IRQCHIP_PINS = 24 };

WARN_UNUSED int irqchip_create(struct irqchip **out, const struct irqchip_host *host,
                               unsigned max_vcpus);
void irqchip_destroy(struct irqchip *);
/* A vCPU comes into being: its LAPIC in reset state, APIC id = vcpu; vcpu 0 is the BSP. */
WARN_UNUSED int irqchip_add_vcpu(struct irqchip *, unsigned vcpu);
/* The PIT exists only after this (KVM_CREATE_PIT2; speaker_dummy: port 0x61 is also handled here).
 */
WARN_UNUSED int irqchip_create_pit(struct irqchip *, bool speaker);

/* ---- in ---- */
WARN_UNUSED int irqchip_set_routing(struct irqchip *, const struct kvm_irq_routing *);
/* Level of a GSI; by the routing table. Default as KVM's, GSI n -> IOAPIC pin n and PIC pin n < 16,
 * and GSI 0 -> IOAPIC pin 2 as well. */
WARN_UNUSED int irqchip_irq_line(struct irqchip *, uint32_t gsi, int level);
/* The number of LAPICs that took it, or -EINVAL if addr is no interrupt address. */
WARN_UNUSED int irqchip_msi(struct irqchip *, uint64_t addr, uint32_t data);
void irqchip_nmi(struct irqchip *, unsigned vcpu);

/* Accesses by a vCPU. True if the address belongs to an interrupt controller (data filled or
 * taken). MMIO: IOAPIC at 0xfec00000, the vCPU's LAPIC at its APIC base. PIO: 20 21 a0 a1 4d0 4d1
 * 40-43 (61). */
bool irqchip_mmio(struct irqchip *, unsigned vcpu, uint64_t gpa, void *data, unsigned len,
                  bool write);
bool irqchip_pio(struct irqchip *, unsigned vcpu, uint16_t port, void *data, unsigned len,
                 bool write);
WARN_UNUSED int irqchip_rdmsr(struct irqchip *, unsigned vcpu, uint32_t msr,
                              uint64_t *val); /* -1: #GP */
WARN_UNUSED int irqchip_wrmsr(struct irqchip *, unsigned vcpu, uint32_t msr, uint64_t val);
/* IA32_APIC_BASE from the caller (KVM_SET_SREGS, KVM_SET_MSRS): any valid mode from any other. */
WARN_UNUSED int irqchip_set_apic_base(struct irqchip *, unsigned vcpu, uint64_t base);
uint64_t irqchip_cr8(struct irqchip *, unsigned vcpu);
void irqchip_set_cr8(struct irqchip *, unsigned vcpu, uint64_t cr8);

/* ---- out: what a vCPU must act on, asked for after a kick and before each entry ---- */
enum {
    IRQCHIP_INTR =
        1, /* an interrupt above the priority is deliverable (also ExtINT from the PIC) */
    IRQCHIP_NMI = 2,
    IRQCHIP_INIT = 4,
    IRQCHIP_SIPI = 8,
    IRQCHIP_SMI = 16,
};
unsigned irqchip_pending(struct irqchip *, unsigned vcpu);
/* Interrupt acknowledge: the vector, or -1 if it went away. */
int irqchip_ack(struct irqchip *, unsigned vcpu);
/* Takes (clears) NMI, INIT, SIPI; for SIPI the start vector (page number) is put out. INIT resets
 * the LAPIC. A SIPI to a vCPU that is not waiting for one is taken and dropped by the engine; with
 * INIT and SIPI both pending the INIT came first. */
void irqchip_take(struct irqchip *, unsigned vcpu, unsigned events, uint8_t *sipi_vector);

/* ---- time ---- */
/* Runs timers that are due for this vCPU (vCPU 0: the PIT too). */
void irqchip_tick(struct irqchip *, unsigned vcpu);
/* now_ns time at which irqchip_tick has work again; UINT64_MAX: never. */
uint64_t irqchip_deadline(struct irqchip *, unsigned vcpu);

/* ---- state, in KVM's structures; set returns -EINVAL for what cannot be ---- */
/* The LAPIC's base comes before the rest of it; set_lapic drops INIT and SIPI that are not taken.
 */
WARN_UNUSED int irqchip_get(struct irqchip *, struct kvm_irqchip *);
WARN_UNUSED int irqchip_set(struct irqchip *, const struct kvm_irqchip *);
WARN_UNUSED int irqchip_get_pit(struct irqchip *, struct kvm_pit_state2 *);
WARN_UNUSED int irqchip_set_pit(struct irqchip *, const struct kvm_pit_state2 *);
WARN_UNUSED int irqchip_get_lapic(struct irqchip *, unsigned vcpu, struct kvm_lapic_state *);
WARN_UNUSED int irqchip_set_lapic(struct irqchip *, unsigned vcpu, const struct kvm_lapic_state *);

#endif
