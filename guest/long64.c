/* SPDX-License-Identifier: BSD-2-Clause */
/* 64-bit: traps and rings in long mode, SYSCALL/SYSRET, NX, 1-level remap, compare-exchange 16,
 * SSE, non-canonical. */
#include "guest/lib/guest.h"

extern uint64_t pd[];

static volatile unsigned gp, pf;
static volatile uint64_t error, address;

static void on_gp(struct trap_frame *f)
{
    gp++;
    f->ip = f->bx;
}
static void on_pf(struct trap_frame *f)
{
    pf++;
    error = f->error;
    address = READ_CR(2);
    f->ip = f->bx;
}

__asm__(".globl syscall_entry; syscall_entry: mov %rsp, user_rsp(%rip); lea stack_top(%rip), %rsp; "
        "sub $8192, %rsp;"
        "push %rcx; push %r11; mov %rdi, %rax; add $1, %rax; pop %r11; pop %rcx; mov "
        "user_rsp(%rip), %rsp; sysretq;"
        ".local user_rsp; .comm user_rsp, 8, 8");
extern void syscall_entry(void);

static void user_code(void)
{
    uint64_t r, sum = 0;
    for (uint64_t i = 0; i < 100; i++) {
        __asm__ volatile("syscall" : "=a"(r) : "D"(i) : "rcx", "r11", "memory");
        sum += r;
    }
    __asm__ volatile("int $0x81" ::"a"(sum));
}

static void rings(void)
{
    static uint8_t stack[4096] __attribute__((aligned(16)));
    /* SYSRET takes CS = base + 16, SS = base + 8: SEL_DATA3 lies behind SEL_CODE3 here, so a GDT of
     * its own. */
    static uint64_t gdt[10];
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } old, new;
    __asm__ volatile("sgdt %0" : "=m"(old));
    __builtin_memcpy(gdt, (void *)old.base, 64);
    gdt[8] = gdt[4];
    gdt[9] = gdt[3];
    new.limit = sizeof(gdt) - 1;
    new.base = (uintptr_t)gdt;
    __asm__ volatile("lgdt %0" ::"m"(new));
    wrmsr(0xc0000081, (uint64_t)(0x38 | 3) << 48 | (uint64_t)SEL_CODE0 << 32);
    wrmsr(0xc0000082, (uintptr_t)syscall_entry);
    wrmsr(0xc0000084, 0x200);
    report("syscall and sysret, a hundred times",
           ring3_run(user_code, (uintptr_t)stack + sizeof(stack)) == 5050);
}

static void faults(void)
{
    uint64_t v;
    trap_handler[13] = on_gp;
    trap_handler[14] = on_pf;
    __asm__ volatile("lea 1f(%%rip), %%rbx; mov (%1), %0; 1:"
                     : "=r"(v)
                     : "r"(0x8000000000000000ull)
                     : "rbx", "memory");
    report("non-canonical address is #GP", gp == 1);
    __asm__ volatile("lea 1f(%%rip), %%rbx; mov (%1), %0; 1:"
                     : "=r"(v)
                     : "r"(0xffff800000000000ull)
                     : "rbx", "memory");
    report("unmapped upper half is #PF", pf == 1 && address == 0xffff800000000000 && error == 0);
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
    static uint8_t *const code = (uint8_t *)0x600000;
    code[0] = 0xc3;
    __asm__ volatile("lea 1f(%%rip), %%rbx; call *%0; 1:" ::"r"(code) : "rbx", "memory");
    report("executable page runs", pf == 1);
    pd[3] |= 1ull << 63;
    __asm__ volatile("invlpg (%0)" ::"r"(code) : "memory");
    __asm__ volatile(
        "mov %%rsp, %%r12; lea 1f(%%rip), %%rbx; call *%0; 1: mov %%r12, %%rsp" ::"r"(code)
        : "rbx", "r12", "memory");
    report("NX page does not", pf == 2 && error == 0x11 && address == 0x600000);
    pd[3] &= ~(1ull << 63);
    __asm__ volatile("invlpg (%0)" ::"r"(code) : "memory");
}

static void wide(void)
{
    static uint64_t mem[2] __attribute__((aligned(16))) = { 1, 2 };
    uint64_t lo = 1, hi = 2;
    uint8_t equal;
    __asm__ volatile("lock cmpxchg16b %1; sete %0"
                     : "=q"(equal), "+m"(mem), "+a"(lo), "+d"(hi)
                     : "b"(3ull), "c"(4ull)
                     : "cc");
    report("cmpxchg16b", equal && mem[0] == 3 && mem[1] == 4);
    double a = 1.0, b = 3.0, q;
    uint64_t bits;
    __asm__ volatile("movsd %1, %%xmm0; divsd %2, %%xmm0; movsd %%xmm0, %0"
                     : "=m"(q)
                     : "m"(a), "m"(b)
                     : "memory");
    __builtin_memcpy(&bits, &q, 8);
    report("1.0 / 3.0 in SSE2", bits == 0x3fd5555555555555);
    uint32_t x = 0x12345678, y;
    __asm__("mov %1, %%eax; bswap %%eax; mov %%eax, %0" : "=r"(y) : "r"(x) : "rax");
    report("bswap", y == 0x78563412);
}

static volatile unsigned ticks;
static void on_tick(struct trap_frame *f)
{
    (void)f;
    ticks++;
    pic_eoi(0);
}

void guest_main(void)
{
    tables_init();
    print("64-bit\n");
    report("in 64-bit mode", (rdmsr(0xc0000080) & 0x500) == 0x500);
    wide();
    faults();
    rings();
    pic_init();
    trap_handler[0x20] = on_tick;
    pit_periodic(100);
    pic_unmask(0);
    while (ticks < 20)
        sti_hlt();
    report("timer interrupts", ticks >= 20); /* a busy host delivers some late, in a row */
}
