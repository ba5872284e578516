/* SPDX-License-Identifier: BSD-2-Clause */
/* What the small guests share: ports, reporting, descriptor tables, traps. Freestanding, 32- or
 * 64-bit. */
#ifndef GUEST_LIB_GUEST_H
#define GUEST_LIB_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}
static inline void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}
static inline void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (uint64_t)hi << 32 | lo;
}
static inline void sti(void) { __asm__ volatile("sti" ::: "memory"); }
static inline void cli(void) { __asm__ volatile("cli" ::: "memory"); }
static inline void sti_hlt(void) { __asm__ volatile("sti; hlt; cli" ::: "memory"); }

#define READ_CR(n)                                                                                 \
    ({                                                                                             \
        uintptr_t v_;                                                                              \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v_)::"memory");                               \
        v_;                                                                                        \
    })
#define WRITE_CR(n, v) __asm__ volatile("mov %0, %%cr" #n ::"r"((uintptr_t)(v)) : "memory")

/* ---- reporting: text on COM1, result on the exit port ---- */
void print(const char *text);
void print_hex(uint64_t v);
void report(const char *name, bool ok); /* one line; counts */
_Noreturn void finish(void);            /* all reports good: exit value 0, else 1; port 0xf4 */

/* ---- 32- or 64-bit flat tables with rings 0 and 3 and one TSS ---- */
enum { SEL_CODE0 = 0x08, SEL_DATA0 = 0x10, SEL_CODE3 = 0x1b, SEL_DATA3 = 0x23, SEL_TSS = 0x28 };

/* Registers at a trap, in the order trap.S pushes them. */
struct trap_frame {
#ifdef __x86_64__
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, di, si, bp, dx, cx, bx, ax, vector, error, ip,
        cs, flags, sp, ss;
#else
    uint32_t di, si, bp, unused, bx, dx, cx, ax, vector, error, ip, cs, flags, sp, ss;
#endif
};

typedef void trap_fn(struct trap_frame *);
extern trap_fn *trap_handler[256]; /* NULL: an unexpected trap ends the guest with a report */

void tables_init(void);          /* GDT, IDT (256 gates, DPL 0), TSS; loads them */
void gate_dpl3(unsigned vector); /* lets ring 3 INT this vector */
void tss_stack(uintptr_t top);   /* ring-0 stack for traps from ring 3 */
/* Enters ring 3 at ip with that stack; comes back when ring 3 does INT 0x81 (returns its rax). */
uintptr_t ring3_run(void (*ip)(void), uintptr_t stack);

/* ---- interval timer through the two 8259A ---- */
void pic_init(void); /* vectors 0x20-0x2f, all masked */
void pic_unmask(unsigned irq);
void pic_eoi(unsigned irq);
void pit_periodic(unsigned hz);
uint32_t rtc_seconds(void); /* seconds of the minute and hour; for measuring by the wall clock */

void guest_main(void);

#endif
