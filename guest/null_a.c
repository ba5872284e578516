/* SPDX-License-Identifier: BSD-2-Clause */
/* Nullkernel A: no hardware interrupts, no paging. Descriptor tables, ring transitions, software
 * interrupts, flags, VGA text. */
#include "guest/lib/guest.h"

static volatile unsigned soft_ints, gp_faults, ud_faults;
static volatile uint32_t seen_cs, seen_error;

static void on_soft(struct trap_frame *f)
{
    soft_ints++;
    seen_cs = f->cs;
    f->ax += 1;
}

/* A faulting instruction of ring 3 is skipped: they are all two bytes long here (or one, see length
 * in di). */
static void on_gp(struct trap_frame *f)
{
    gp_faults++;
    seen_error = f->error;
    f->ip += f->di;
}

static void on_ud(struct trap_frame *f)
{
    ud_faults++;
    f->ip += 2;
}

static void vga_text(void)
{
    static const char text[] = "Trapeze nullkernel A: hello from 0xB8000";
    volatile uint16_t *screen = (volatile uint16_t *)0xb8000;
    bool same = true;
    for (unsigned i = 0; text[i]; i++)
        screen[i] = (uint16_t)(0x0700 | (uint8_t)text[i]);
    for (unsigned i = 0; text[i]; i++)
        same &= (screen[i] & 0xff) == (uint8_t)text[i];
    report("vga text reads back", same);
}

static void flags(void)
{
    uint32_t set, clear;
    __asm__ volatile("pushl $0xed7; popfl; pushfl; popl %0; cld; pushl $2; popfl; pushfl; popl %1"
                     : "=r"(set), "=r"(clear)::"cc", "memory");
    report("popf sets what ring 0 may", (set & 0xfd7) == 0xed7); /* every flag but TF and IF */
    report("popf clears it", (clear & 0xfff) == 2);
}

static void id_flag(void)
{
    uint32_t a, b;
    __asm__ volatile("pushfl; popl %0; mov %0, %1; xor $0x200000, %1; pushl %1; popfl; pushfl; "
                     "popl %1; pushl %0; popfl"
                     : "=&r"(a), "=&r"(b)::"cc", "memory");
    report("flag ID toggles", (a ^ b) == 0x200000);
}

static void tables(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint32_t base;
    } a, b;
    uint32_t tr = 0, cs_before, cs_after;
    __asm__ volatile("sgdt %0" : "=m"(a));
    __asm__ volatile("lgdt %0" ::"m"(a));
    __asm__ volatile("sgdt %0" : "=m"(b));
    report("lgdt/sgdt", a.base == b.base && a.limit == b.limit && a.limit == 63);
    __asm__ volatile("sidt %0" : "=m"(a));
    report("sidt", a.limit == 2047);
    __asm__ volatile("str %0" : "=r"(tr));
    report("ltr/str", (tr & 0xffff) == SEL_TSS);
    __asm__ volatile("mov %%cs, %0" : "=r"(cs_before));
    __asm__ volatile("ljmp %0, $1f; 1: pushl %0; pushl $2f; lretl; 2:" ::"i"(SEL_CODE0) : "memory");
    __asm__ volatile("mov %%cs, %0" : "=r"(cs_after));
    report("far jump and far return load CS",
           (cs_before & 0xffff) == SEL_CODE0 && (cs_after & 0xffff) == SEL_CODE0);
}

static void user_code(void)
{
    uint32_t cs, value = 41;
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    __asm__ volatile("int $0x80" : "+a"(value));
    /* cli, hlt, mov %cr0: privileged */
    __asm__ volatile("cli" ::"D"(1));
    __asm__ volatile("hlt" ::"D"(1));
    __asm__ volatile("mov %%cr0, %%eax" ::"D"(3) : "eax");
    __asm__ volatile("int $0x40" ::"D"(2)); /* gate of DPL 0 */
    __asm__ volatile("int $0x81" ::"a"(value << 16 | cs));
}

static void rings(void)
{
    static uint8_t stack[4096] __attribute__((aligned(16)));
    trap_handler[0x80] = on_soft;
    trap_handler[13] = on_gp;
    trap_handler[6] = on_ud;
    gate_dpl3(0x80);
    uint32_t v = 1;
    __asm__ volatile("int $0x80" : "+a"(v));
    report("int and iret within ring 0", soft_ints == 1 && v == 2 && (seen_cs & 3) == 0);
    uintptr_t r = ring3_run(user_code, (uintptr_t)stack + sizeof(stack));
    report("iret to ring 3", (r & 0xffff) == SEL_CODE3);
    report("int from ring 3 and back", soft_ints == 2 && r >> 16 == 42 && (seen_cs & 3) == 3);
    report("privileged instructions fault in ring 3", gp_faults == 4);
    report("error code of a gate not open to ring 3", seen_error == 0x40 * 8 + 2);
    __asm__ volatile("ud2");
    report("ud2 traps", ud_faults == 1);
}

void guest_main(void)
{
    tables_init();
    print("nullkernel A\n");
    vga_text();
    flags();
    id_flag();
    tables();
    rings();
}
