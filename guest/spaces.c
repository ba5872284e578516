/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a program at ring 3 sees of its address space while the kernel changes it: pages that come,
 * go and change rights, large ones, address spaces with PCIDs, accesses in two pages, addresses
 * that differ in one bit. Every access is done often enough to be done by translated code. 64-bit.
 */
#include "guest/lib/guest.h"

extern uint64_t pml4[], pd[];

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100, TIMES = 40 };
enum { FRAMES = 0x2000000, LARGE = 0x3000000, SPACE_PAGES = 64 };

/* Two regions of the address space, with tables of their own; pages 0 to 63 of each. */
#define LOW  0x123456600000ul /* bit 46 clear */
#define HIGH (LOW | 1ul << 46)
#define TOP  0x7ffffffff000ul

static uint64_t tables[24][512] __attribute__((aligned(4096)));
static uint64_t pml4_2[512] __attribute__((aligned(4096)));
static unsigned used;
static uint8_t stack[4096] __attribute__((aligned(16)));

/* What ring 3 is to do, and what became of it. */
static volatile uint64_t at, value;
static volatile unsigned faults, error, vector;
static volatile uint64_t address;

static uint64_t frame(unsigned n) { return FRAMES + 0x1000ul * n; }
static uint64_t *word(unsigned n) { return (uint64_t *)frame(n); }

static uint64_t *entry(uint64_t *top, uint64_t lin, unsigned level)
{
    uint64_t *t = top;

    for (unsigned shift = 39; shift > level; shift -= 9) {
        uint64_t *e = &t[lin >> shift & 511];
        if (!(*e & P))
            *e = (uintptr_t)tables[used++] | P | W | U;
        t = (uint64_t *)(*e & ~0xffful);
    }
    return &t[lin >> level & 511];
}

static void invlpg(uint64_t lin) { __asm__ volatile("invlpg (%0)" ::"r"(lin) : "memory"); }

static void map(uint64_t lin, unsigned n, unsigned rights)
{
    *entry(pml4, lin, 12) = frame(n) | rights;
    invlpg(lin);
}

static void on_fault(struct trap_frame *f)
{
    extern void ring3_leave(uintptr_t);

    faults++;
    vector = (unsigned)f->vector;
    error = (unsigned)f->error;
    address = READ_CR(2);
    ring3_leave(~0ul);
}

/* ---- ring 3 ---- */

#define DONE(x) __asm__ volatile("int $0x81" ::"a"(x))

static void user_load(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < TIMES; i++)
        sum += *(volatile uint64_t *)at;
    DONE(sum);
}

static void user_store(void)
{
    for (unsigned i = 0; i < TIMES; i++)
        *(volatile uint64_t *)at = value;
    DONE(1);
}

static void user_add(void)
{
    for (unsigned i = 0; i < TIMES; i++)
        __asm__ volatile("lock; addq $1, (%0)" ::"r"(at) : "memory");
    DONE(1);
}

/* Both regions in turns, by registers, by an index, by the stack pointer. */
static void user_both(void)
{
    uint64_t x = 0, sp;

    __asm__ volatile("mov %%rsp, %0" : "=r"(sp));
    for (unsigned i = 0; i < TIMES; i++) {
        uint64_t y;
        __asm__ volatile(
            "mov (%1), %%r9; add (%2), %%r9; xor %%r10d, %%r10d; add 8(%1,%%r10,8), %%r9;"
            "add 8(%2,%%r10,8), %%r9; mov %1, %%rsp; pop %%r8; add %%r8, %%r9;"
            "mov %2, %%rsp; pop %%r8; add %%r8, %%r9; mov %3, %%rsp; mov %%r9, %0"
            : "=&r"(y)
            : "r"(LOW), "r"(HIGH), "r"(sp)
            : "r8", "r9", "r10", "memory");
        x += y;
    }
    DONE(x);
}

static void user_push(void)
{
    __asm__ volatile(
        "mov %0, %%rsp; push $5; push $6; push $7; mov (%%rsp), %%rax; int $0x81" ::"r"(at)
        : "memory");
}

static void user_call(void)
{
    __asm__ volatile("mov %0, %%rsp; call 1f; 1: mov $9, %%eax; int $0x81" ::"r"(at) : "memory");
}

/* ---- ring 0 ---- */

static uintptr_t run(void (*fn)(void), uint64_t where)
{
    at = where;
    faults = 0;
    return ring3_run(fn, (uintptr_t)stack + sizeof(stack));
}

static bool loads(uint64_t where, uint64_t want) { return run(user_load, where) == TIMES * want; }

static bool stores(uint64_t where, uint64_t v)
{
    value = v;
    return run(user_store, where) == 1;
}

static bool faulted(unsigned vec, unsigned err, uint64_t where)
{
    return faults == 1 && vector == vec && error == err && (vec != 14 || address == where);
}

static void pages_come_and_go(void)
{
    bool good = true;

    *word(1) = 11;
    *word(2) = 22;
    map(LOW, 1, P | W | U);
    report("a page is read", loads(LOW, 11));
    map(LOW, 2, P | W | U);
    report("INVLPG shows another frame", loads(LOW, 22));
    map(LOW, 2, 0);
    run(user_load, LOW);
    report("an absent page faults", faulted(14, U, LOW));
    map(LOW, 2, P | W);
    run(user_load, LOW);
    report("a supervisor page faults", faulted(14, P | U, LOW));
    map(LOW, 2, P | U);
    good = loads(LOW, 22);
    value = 1;
    run(user_store, LOW);
    report("a read-only page is read, a store faults",
           good && faulted(14, P | W | U, LOW) && *word(2) == 22);
    map(LOW, 2, P | W | U);
    report("made writable it is stored to", stores(LOW, 33) && *word(2) == 33);
    map(LOW, 2, P | U);
    run(user_store, LOW);
    report("and read-only again not", faulted(14, P | W | U, LOW) && loads(LOW, 33));
    map(LOW, 2, P | W | U);
    good = loads(LOW, 33) && (*entry(pml4, LOW, 12) & (A | D)) == A;
    good &= run(user_add, LOW) == 1 && *word(2) == 33 + TIMES;
    report("A by a load, D by a store", good && (*entry(pml4, LOW, 12) & D));
    good = true;
    for (unsigned i = 0; i < SPACE_PAGES; i++) {
        *word(100 + i) = i;
        *word(200 + i) = 1000 + i;
        map(LOW + 0x1000 * i, 100 + i, P | W | U);
    }
    for (unsigned i = 0; i < SPACE_PAGES; i++)
        good &= loads(LOW + 0x1000 * i, i);
    for (unsigned i = 0; i < SPACE_PAGES; i += 2)
        *entry(pml4, LOW + 0x1000 * i, 12) = frame(200 + i) | P | U;
    WRITE_CR(3, READ_CR(3));
    for (unsigned i = 0; i < SPACE_PAGES; i++)
        good &= loads(LOW + 0x1000 * i, i % 2 ? i : 1000 + i);
    report("a CR3 load shows what has changed", good);
    good = stores(LOW + 0x1000, 5);
    run(user_store, LOW);
    report("and the rights that have", good && faulted(14, P | W | U, LOW));
}

static void two_pages(void)
{
    uint64_t a, b;

    map(LOW, 1, P | W | U);
    map(LOW + 0x1000, 300, P | W | U);
    report("a store in two pages",
           stores(LOW + 0xffc, 0x1122334455667788) &&
               ((a = *(uint64_t *)(frame(1) + 0xff8)) >> 32) == 0x55667788 &&
               ((b = *word(300)) & 0xffffffff) == 0x11223344);
    report("a load from them", loads(LOW + 0xffc, 0x1122334455667788));
    map(LOW + 0x1000, 300, 0);
    run(user_load, LOW + 0xffc);
    report("the second absent", faulted(14, U, LOW + 0x1000));
    map(LOW + 0x1000, 300, P | U);
    run(user_store, LOW + 0xffc);
    report("the second read-only: nothing is stored",
           faulted(14, P | W | U, LOW + 0x1000) && loads(LOW + 0xffc, 0x1122334455667788));
    map(LOW + 0x1000, 300, P | W | U);
    report("the stack in two pages", run(user_push, LOW + 0x1008) == 7 && *word(300) == 5);
    map(LOW, 1, P | U);
    run(user_push, LOW + 0x1008);
    report("the stack at its end", faulted(14, P | W | U, LOW + 0xff8));
    run(user_call, LOW + 0x1000);
    report("and a call there", faulted(14, P | W | U, LOW + 0xff8));
    map(LOW, 1, P | W | U);
    report("which then works", run(user_call, LOW + 0x1000) == 9);
}

static void one_bit(void)
{
    bool good;

    *word(1) = 1;
    word(1)[1] = 2;
    *word(2) = 100;
    word(2)[1] = 200;
    map(LOW, 1, P | W | U);
    map(HIGH, 2, P | W | U);
    report("two pages that differ in bit 46",
           run(user_both, 0) == TIMES * (1 + 100 + 2 + 200 + 1 + 100));
    good = stores(HIGH, 7) && stores(LOW, 8);
    report("stored to", good && *word(1) == 8 && *word(2) == 7 && loads(LOW, 8) && loads(HIGH, 7));
    map(HIGH, 2, P | U);
    good = stores(LOW, 9);
    run(user_store, HIGH);
    report("with different rights", good && faulted(14, P | W | U, HIGH) && *word(2) == 7);
    map(HIGH, 2, 0);
    pml4[HIGH >> 39 & 511] = 0; /* which the window wants, and now may have */
    WRITE_CR(3, READ_CR(3));
    map(TOP, 3, P | W | U);
    *word(3) = 77;
    report("the last page", loads(TOP, 77) && stores(TOP + 0xff8, 78) && word(3)[511] == 78);
    run(user_load, TOP + 0xffc);
    report("and beyond", faulted(13, 0, 0));
    run(user_store, 1ul << 47);
    report("an address that is not canonical", faulted(13, 0, 0));
    run(user_load, -4096ul);
    report("the kernel's half", faulted(14, U, -4096ul));
    map(TOP, 3, 0);
}

static void large_pages(void)
{
    const uint64_t lin = LOW + (8ul << 21);
    bool good = true;

    for (unsigned i = 0; i < 512; i += 32) {
        *(uint64_t *)(LARGE + 0x1000ul * i) = i;
        *(uint64_t *)(LARGE + 0x200000ul + 0x1000ul * i) = 5000 + i;
    }
    *entry(pml4, lin, 21) = LARGE | P | W | U | PS;
    for (unsigned i = 0; i < 512; i += 32)
        good &= loads(lin + 0x1000 * i, i);
    report("a large page", good);
    *entry(pml4, lin, 21) = (LARGE + 0x200000ul) | P | U | PS;
    invlpg(lin + 0x7000);
    for (unsigned i = 0; i < 512; i += 32)
        good &= loads(lin + 0x1000 * i, 5000 + i);
    report("INVLPG anywhere in it shows another", good);
    run(user_store, lin + 0x20000);
    report("read-only", faulted(14, P | W | U, lin + 0x20000));
    *entry(pml4, lin, 21) = 0;
    invlpg(lin);
    run(user_load, lin + 0x20000);
    report("and absent", faulted(14, U, lin + 0x20000));
}

static void spaces(void)
{
    const uint64_t noflush = 1ul << 63, one = (uintptr_t)pml4 | 1, two = (uintptr_t)pml4_2 | 2;
    uint32_t eax = 1, ebx, ecx, edx;
    bool good = true;

    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
    if (!(ecx & 1 << 17))
        return;
    pml4_2[0] = pml4[0];
    *word(1) = 1;
    *word(2) = 2;
    *word(4) = 4;
    map(LOW, 1, P | W | U);
    *entry(pml4_2, LOW, 12) = frame(2) | P | W | U;
    WRITE_CR(4, READ_CR(4) | 1 << 17);
    WRITE_CR(3, one);
    WRITE_CR(3, two);
    for (unsigned i = 0; i < 20; i++) {
        WRITE_CR(3, one | noflush);
        good &= loads(LOW, 1);
        WRITE_CR(3, two | noflush);
        good &= loads(LOW, 2);
    }
    report("two address spaces in turns", good);
    *entry(pml4, LOW, 12) = frame(4) | P | W | U;
    WRITE_CR(3, one);
    report("flushed by the load of CR3", loads(LOW, 4));
    WRITE_CR(3, two | noflush);
    report("the other as it was", loads(LOW, 2));
    eax = 7;
    ecx = 0;
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    if (ebx & 1 << 10) {
        struct {
            uint64_t pcid, lin;
        } d = { 1, LOW };
        *entry(pml4, LOW, 12) = frame(1) | P | W | U;
        __asm__ volatile("invpcid %0, %1" ::"m"(d), "r"(0ul) : "memory");
        WRITE_CR(3, one | noflush);
        report("INVPCID of a page of another space", loads(LOW, 1));
        *entry(pml4, LOW, 12) = frame(4) | P | U;
        WRITE_CR(3, two | noflush);
        __asm__ volatile("invpcid %0, %1" ::"m"(d), "r"(1ul) : "memory");
        WRITE_CR(3, one | noflush);
        good = loads(LOW, 4);
        run(user_store, LOW);
        report("and of all of it", good && faulted(14, P | W | U, LOW));
    }
    WRITE_CR(3, one);
    WRITE_CR(3, (uintptr_t)pml4);
    WRITE_CR(4, READ_CR(4) & ~(1ul << 17));
}

void guest_main(void)
{
    tables_init();
    trap_handler[13] = trap_handler[14] = on_fault;
    for (unsigned round = 0; round < 3; round++) {
        pages_come_and_go();
        two_pages();
        one_bit();
        large_pages();
        spaces();
    }
}
