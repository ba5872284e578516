/* SPDX-License-Identifier: BSD-2-Clause */
/* The bases of FS and GS change among accesses by them. 64-bit. */
#include "guest/lib/guest.h"

extern uint64_t pd[];
static uint64_t a[512] __attribute__((aligned(4096)));
/* Elsewhere, so that the two do not lie as far apart here as on the host. */
static uint64_t *const b = (uint64_t *)0x20000000;

void guest_main(void)
{
    unsigned good = 0;
    tables_init();
    pd[(uintptr_t)b >> 21] = (32ul << 20) | 0x87;
    WRITE_CR(3, READ_CR(3));
    for (unsigned i = 0; i < 512; i++) {
        a[i] = i;
        b[i] = 1000 + i;
    }
    wrmsr(0xc0000101, (uintptr_t)a);
    wrmsr(0xc0000102, (uintptr_t)b);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t x, y, z;
        __asm__ volatile(
            "mov %%gs:8, %0; mov %%gs:16, %1; swapgs; mov %%gs:24, %2; add %%gs:32, %2; swapgs;"
            "add %%gs:8, %0; movq $7, %%gs:40"
            : "=&r"(x), "=&r"(y), "=&r"(z)::"memory");
        good += x == 2 && y == 2 && z == 2007 && a[5] == 7 && b[5] == 1005;
    }
    report("SWAPGS among accesses", good == 1000);
    uint32_t eax = 7, ebx, ecx = 0, edx;
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    if (ebx & 1) {
        WRITE_CR(4, READ_CR(4) | 1 << 16);
        good = 0;
        for (unsigned i = 0; i < 1000; i++) {
            uint64_t x, y;
            __asm__ volatile(
                "wrfsbase %2; mov %%fs:8, %0; mov %%fs:16, %1; wrfsbase %3; add %%fs:8, %0;"
                "add %%fs:16, %1; movq $9, %%fs:48; wrfsbase %2; movq $11, %%fs:48"
                : "=&r"(x), "=&r"(y)
                : "r"(a), "r"(b)
                : "memory");
            good += x == 1002 && y == 1004 && a[6] == 11 && b[6] == 9;
        }
        report("WRFSBASE among accesses", good == 1000);
        good = 0;
        for (unsigned i = 0; i < 1000; i++) {
            uint64_t x, y;
            __asm__ volatile(
                "wrgsbase %2; mov %%gs:8, %0; mov %%gs:16, %1; wrgsbase %3; add %%gs:8, %0;"
                "add %%gs:16, %1; movq $9, %%gs:48; wrgsbase %2; movq $11, %%gs:48"
                : "=&r"(x), "=&r"(y)
                : "r"(a), "r"(b)
                : "memory");
            good += x == 1002 && y == 1004 && a[6] == 11 && b[6] == 9;
        }
        report("WRGSBASE among accesses", good == 1000);
    }
}
