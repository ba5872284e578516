/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RFLAGS.RF: a handler's IRET with RF set holds for one instruction. So breakpoints on what follows
 * are taken, those on the instruction itself are not, and later images have it clear; faults push
 * it set. [SDM] 3B "Instruction-Breakpoint Exception Condition". In rings 0 and 3.
 */
#include "guest/lib/guest.h"

enum { RF = 1 << 16, ROUNDS = 200, LOOK = 0x90 };

static volatile unsigned breaks, looks, seen, faults, faults_with;

static void on_break(struct trap_frame *f) /* INT3, or a debug register */
{
    breaks++;
    f->flags |= RF;
}

static void on_look(struct trap_frame *f)
{
    looks++;
    seen += (f->flags & RF) != 0;
}

static void on_undefined(struct trap_frame *f)
{
    faults++;
    faults_with += (f->flags & RF) != 0;
    f->ip += 2;
}

#define WRITE_DR(n, v) __asm__ volatile("mov %0, %%dr" #n ::"r"((uintptr_t)(v)) : "memory")

static void start(void) { breaks = looks = seen = faults = faults_with = 0; }

static void images(void)
{
    static volatile unsigned word;

    for (unsigned i = 0; i < ROUNDS; i++) {
        __asm__ volatile("int3; nop; int $0x90" ::: "memory");
        __asm__ volatile("int3; incl %0; int $0x90" : "+m"(word)::"memory", "cc");
        __asm__ volatile("int3; jmp 1f; nop; 1: nop; int $0x90" ::: "memory");
        __asm__ volatile("ud2; nop; int $0x90" ::: "memory");
    }
}

static bool images_good(void)
{
    return breaks == 3 * ROUNDS && looks == 4 * ROUNDS && !seen && faults == ROUNDS &&
           faults_with == ROUNDS;
}

static void in_ring3(void)
{
    images();
    __asm__ volatile("int $0x81" ::"a"(1));
}

/* Both instructions, one after the other. */
__asm__("twice: twice_first: nop\n twice_second: nop\n ret");
extern uint8_t twice[], twice_first[], twice_second[];
static void call_twice(void) { __asm__ volatile("call twice" ::: "memory"); }

static void breakpoints(void)
{
    start();
    WRITE_DR(0, twice_first);
    WRITE_DR(1, twice_second);
    WRITE_DR(7, 0x405);
    for (unsigned i = 0; i < ROUNDS; i++)
        call_twice();
    WRITE_DR(7, 0x400);
    report("a breakpoint is taken once each time", breaks == 2 * ROUNDS);
    call_twice();
    report("and not when it is off", breaks == 2 * ROUNDS);
}

/* What one IRET left must not keep a later breakpoint from being taken. */
static void later(void)
{
    start();
    for (unsigned i = 0; i < ROUNDS; i++) {
        __asm__ volatile("int3; nop" ::: "memory");
        WRITE_DR(7, 0x401);
        call_twice();
        WRITE_DR(7, 0x400);
    }
    report("a breakpoint after another handler's IRET", breaks == 2 * ROUNDS);
}

void guest_main(void)
{
    static uint8_t stack[2][4096] __attribute__((aligned(16)));

    tables_init();
    trap_handler[1] = trap_handler[3] = on_break;
    trap_handler[6] = on_undefined;
    trap_handler[LOOK] = on_look;
    start();
    images();
    report("RF holds for one instruction", images_good());
    gate_dpl3(3);
    gate_dpl3(LOOK);
    gate_dpl3(0x81);
    tss_stack((uintptr_t)stack[0] + sizeof(stack[0]));
    start();
    report("in ring 3, too",
           ring3_run(in_ring3, (uintptr_t)stack[1] + sizeof(stack[1])) == 1 && images_good());
    breakpoints();
    later();
    finish();
}
