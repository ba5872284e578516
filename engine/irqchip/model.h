/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the controllers of the interrupt chip know of each other: their state and the functions
 * between them. Everything here runs with the chip's lock held (irqchip.c takes it).
 *
 * Documents: Intel 8259A (231468), 8254 (231164), 82093AA I/O APIC (290566), 82371 PIIX3 for the
 * edge/level registers and port 0x61, [SDM] 3A "Advanced Programmable Interrupt Controller (APIC)".
 */
#ifndef ENGINE_IRQCHIP_MODEL_H
#define ENGINE_IRQCHIP_MODEL_H

#include <pthread.h>

#include "engine/irqchip/irqchip.h"

#define NEVER UINT64_MAX

/* ---- pic.c: two 8259A ---- */

struct pic_chip {
    uint8_t line; /* inputs as last seen, for edges */
    uint8_t irr, imr, isr, elcr;
    uint8_t top;  /* input that has the highest priority now */
    uint8_t base; /* ICW2 */
    bool read_isr, poll, special_mask, auto_eoi, rotate_aeoi, nested; /* nested: special fully */
    uint8_t init; /* PIC_INIT_*: the next word at the odd port is that ICW */
    bool wants_icw4, single;
};
struct pic {
    struct pic_chip chip[2];
    bool output; /* INT of the master */
};

void pic_reset(struct pic *);
void pic_set_line(struct pic *, unsigned irq, bool level);
/* Both INTA cycles: the vector, a spurious one if the request is gone. */
uint8_t pic_ack(struct pic *);
bool pic_owns(uint16_t port);
uint8_t pic_read(struct pic *, uint16_t port);
void pic_write(struct pic *, uint16_t port, uint8_t v);
void pic_get(const struct pic *, unsigned chip, struct kvm_pic_state *);
WARN_UNUSED int pic_set(struct pic *, unsigned chip, const struct kvm_pic_state *);

/* ---- pit.c: the 8254; its time is an absolute number of 1.193182 MHz ticks ---- */

enum { PIT_HZ = 1193182 };

struct pit_channel {
    uint8_t mode, bcd, rw;           /* rw: 1 low byte, 2 high byte, 3 both */
    uint8_t read_state, write_state; /* PIT_BYTE_* */
    uint8_t write_latch;
    uint8_t count_latched; /* PIT_BYTE_* still to be read, 0: none */
    bool status_latched;
    uint8_t status;
    uint16_t latched;
    bool gate;
    bool counting;   /* the counting element is loaded */
    bool null_count; /* the written count has not reached the counting element */
    bool switching;  /* ... and will at switch_at: end of the (half) period */
    uint32_t reg;    /* count written; 0: none since the control word */
    uint32_t count;  /* count loaded */
    uint64_t start;  /* tick of the load */
    uint64_t held;   /* ticks counted when the gate stopped modes 0 and 4 */
    uint64_t switch_at;
};
struct pit {
    bool present, speaker;
    bool speaker_data; /* port 0x61 bit 1 */
    bool hpet_legacy;  /* channel 0 is cut off */
    struct pit_channel ch[3];
    uint64_t last;    /* tick up to which rises of channel 0 are in backlog */
    uint64_t backlog; /* rises not yet turned into interrupts */
};

uint64_t pit_ticks(uint64_t ns);
uint64_t pit_ns(uint64_t ticks); /* first ns of a tick */
void pit_reset(struct pit *, uint64_t now);
bool pit_owns(const struct pit *, uint16_t port);
uint8_t pit_read(struct pit *, uint16_t port, uint64_t now);
void pit_write(struct pit *, uint16_t port, uint8_t v, uint64_t now);
/* Adds the rising edges of channel 0 up to now to the backlog. */
void pit_run(struct pit *, uint64_t now);
/* Limits the backlog to what falls into `ticks`. */
void pit_limit(struct pit *, uint64_t ticks);
uint64_t pit_next(const struct pit *); /* tick of the next rise of channel 0 */
void pit_get(struct pit *, struct kvm_pit_state2 *, uint64_t now);
WARN_UNUSED int pit_set(struct pit *, const struct kvm_pit_state2 *, uint64_t now);

/* ---- ioapic.c ---- */

struct ioapic {
    uint32_t select, id;
    uint32_t line; /* levels of the pins */
    uint64_t entry[IRQCHIP_PINS];
};
enum {
    IOAPIC_MODE_SHIFT = 8,
    IOAPIC_LOGICAL = 1 << 11,
    IOAPIC_STATUS = 1 << 12,
    IOAPIC_LOW = 1 << 13,
    IOAPIC_REMOTE_IRR = 1 << 14,
    IOAPIC_LEVEL = 1 << 15,
    IOAPIC_MASKED = 1 << 16,
};
static const uint64_t ioapic_base = 0xfec00000, ioapic_size = 0x100;

void ioapic_reset(struct irqchip *);
void ioapic_set_line(struct irqchip *, unsigned pin, bool level);
void ioapic_eoi(struct irqchip *, uint8_t vector);
uint32_t ioapic_read(struct irqchip *, uint32_t offset);
void ioapic_write(struct irqchip *, uint32_t offset, uint32_t v);
/* True if the PIC's output reaches that LAPIC through pin 0 set to ExtINT. */
struct lapic;
bool ioapic_extint(const struct irqchip *, const struct lapic *);
void ioapic_get(const struct irqchip *, struct kvm_ioapic_state *);
WARN_UNUSED int ioapic_set(struct irqchip *, const struct kvm_ioapic_state *);

/* ---- lapic.c, apic_timer.c, apic_bus.c ---- */

/* Index of a register: its offset in the xAPIC page, and its MSR - 0x800, by 16. */
enum {
    APIC_ID = 0x02,
    APIC_VERSION = 0x03,
    APIC_TPR = 0x08,
    APIC_APR = 0x09,
    APIC_PPR = 0x0a,
    APIC_EOI = 0x0b,
    APIC_RRD = 0x0c,
    APIC_LDR = 0x0d,
    APIC_DFR = 0x0e,
    APIC_SVR = 0x0f,
    APIC_ISR = 0x10,
    APIC_TMR = 0x18,
    APIC_IRR = 0x20,
    APIC_ESR = 0x28,
    APIC_ICR = 0x30,
    APIC_ICR2 = 0x31,
    APIC_LVT_TIMER = 0x32,
    APIC_LVT_THERMAL = 0x33,
    APIC_LVT_PERF = 0x34,
    APIC_LVT_LINT0 = 0x35,
    APIC_LVT_LINT1 = 0x36,
    APIC_LVT_ERROR = 0x37,
    APIC_TIMER_INITIAL = 0x38,
    APIC_TIMER_CURRENT = 0x39,
    APIC_TIMER_DIVIDE = 0x3e,
    APIC_SELF_IPI = 0x3f,
    APIC_REGS = 0x40,
};
enum apic_mode { /* delivery modes of ICR, LVT, redirection entry and MSI data */
                 APIC_FIXED,
                 APIC_LOWEST,
                 APIC_SMI,
                 APIC_RESERVED,
                 APIC_NMI,
                 APIC_INIT,
                 APIC_SIPI,
                 APIC_EXTINT
};
enum {
    LVT_MASKED = 1 << 16,
    LVT_PERIODIC = 1 << 17,
    LVT_TSC_DEADLINE = 2 << 17,
    LVT_TIMER_MODE = 3 << 17,
    SVR_ENABLED = 1 << 8,
    APICBASE_BSP = 1 << 8,
    APICBASE_X2 = 1 << 10,
    APICBASE_ENABLED = 1 << 11,
};
enum { /* ESR */
       ESR_SEND_VECTOR = 1 << 5,
       ESR_RECEIVE_VECTOR = 1 << 6,
       ESR_REGISTER = 1 << 7,
};

struct lapic {
    unsigned vcpu;
    bool present;
    uint64_t base; /* IA32_APIC_BASE */
    uint32_t reg[APIC_REGS];
    uint32_t errors; /* since the last write to ESR */
    bool nmi, init, sipi, smi;
    uint8_t sipi_vector;
    uint64_t expiry; /* now_ns time of the timer's end, or NEVER */
    uint64_t tsc_deadline;
};

struct apic_message {
    uint32_t dest;
    bool wide;    /* dest has 32 bits, from a sender in x2APIC mode */
    bool logical; /* destination mode */
    bool lowest;
    bool level;
    enum apic_mode mode;
    uint8_t vector;
};

static inline bool lapic_enabled(const struct lapic *l)
{
    return l->present && (l->base & APICBASE_ENABLED);
}
static inline bool lapic_is_x2(const struct lapic *l)
{
    return (l->base & (APICBASE_X2 | APICBASE_ENABLED)) == (APICBASE_X2 | APICBASE_ENABLED);
}

/* lapic.c: registers and priorities */
void lapic_reset(struct lapic *);
uint8_t lapic_ppr(const struct lapic *);
int lapic_pending(const struct lapic *); /* deliverable vector or -1 */
int lapic_ack(struct lapic *);
bool lapic_has(const struct lapic *, uint8_t vector); /* requested or in service */
bool lapic_takes_pic(const struct lapic *);
uint32_t lapic_read(struct irqchip *, struct lapic *, uint32_t offset);
void lapic_write(struct irqchip *, struct lapic *, uint32_t offset, uint32_t v);
WARN_UNUSED int lapic_rdmsr(struct irqchip *, struct lapic *, uint32_t msr, uint64_t *v);
WARN_UNUSED int lapic_wrmsr(struct irqchip *, struct lapic *, uint32_t msr, uint64_t v);
WARN_UNUSED int lapic_set_base(struct lapic *, uint64_t base, bool host);
void lapic_get(struct irqchip *, struct lapic *, struct kvm_lapic_state *);
WARN_UNUSED int lapic_set(struct irqchip *, struct lapic *, const struct kvm_lapic_state *);
void lapic_error(struct irqchip *, struct lapic *, uint32_t bits);
void lapic_request(struct irqchip *, struct lapic *, uint8_t vector, bool level);
/* An event at a local vector table entry. */
void lapic_local(struct irqchip *, struct lapic *, unsigned lvt);

/* apic_timer.c */
void apic_timer_set_initial(struct irqchip *, struct lapic *, uint32_t v);
void apic_timer_set_divide(struct irqchip *, struct lapic *, uint32_t v);
void apic_timer_set_lvt(struct irqchip *, struct lapic *, uint32_t v);
void apic_timer_set_tsc(struct irqchip *, struct lapic *, uint64_t tsc);
uint32_t apic_timer_current(struct irqchip *, struct lapic *);
void apic_timer_resume(struct irqchip *, struct lapic *, uint32_t current);
void apic_timer_run(struct irqchip *, struct lapic *);
uint64_t apic_timer_next(struct irqchip *, struct lapic *);

/* apic_bus.c: who is meant by a message. The number of LAPICs that took it. */
int apic_bus_send(struct irqchip *, const struct apic_message *);
bool apic_bus_match(const struct lapic *, const struct apic_message *);
void apic_bus_icr(struct irqchip *, struct lapic *from, uint64_t icr, bool wide);
int apic_bus_msi(struct irqchip *, uint64_t addr, uint32_t data);

/* ---- routing.c ---- */

enum { ROUTING_GSIS = 4096, ROUTING_ENTRIES = 4096 };
enum routing_source { SOURCE_USER, SOURCE_PIT };
enum routing_kind { ROUTE_PIC, ROUTE_IOAPIC, ROUTE_MSI };

struct route {
    uint16_t next; /* index + 1 of the GSI's next entry; 0: none */
    uint8_t kind, pin;
    uint32_t data;
    uint64_t addr;
};
struct routing {
    uint16_t first[ROUTING_GSIS];
    uint8_t level[ROUTING_GSIS];                      /* bit per source */
    uint16_t pic_high[16], ioapic_high[IRQCHIP_PINS]; /* GSIs that hold the pin up */
    unsigned count;
    struct route entry[ROUTING_ENTRIES];
};

void routing_reset(struct routing *);
WARN_UNUSED int routing_set(struct irqchip *, const struct kvm_irq_routing *);
int routing_line(struct irqchip *, uint32_t gsi, enum routing_source, bool level);

/* ---- irqchip.c ---- */

struct irqchip {
    pthread_mutex_t lock;
    struct irqchip_host host;
    unsigned vcpus; /* length of lapic */
    unsigned last_lowest;
    struct pic pic;
    struct pit pit;
    struct ioapic ioapic;
    struct routing routing;
    struct lapic lapic[];
};

static inline uint64_t irqchip_now(const struct irqchip *c) { return c->host.now_ns(c->host.ctx); }
void irqchip_kick(struct irqchip *, const struct lapic *);
/* To be called behind anything that can have moved the PIC's output from was. */
void irqchip_pic_changed(struct irqchip *, bool was);

#endif
