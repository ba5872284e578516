/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests that run code on the processor itself: what they share. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "isa/x86/cpu.h"
#include "tests/processor.h"

void *processor_map(uint64_t at, size_t size, int prot, int fd)
{
    void *p =
        mmap((void *)(uintptr_t)at, size, prot,
             (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED) | (at ? MAP_FIXED_NOREPLACE : 0),
             fd, 0);
    if (p == MAP_FAILED || (at && p != (void *)(uintptr_t)at)) {
        perror("memory map");
        exit(77);
    }
    return p;
}

int processor_memory(size_t size)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t)size)) {
        perror("memory file");
        exit(77);
    }
    return fd;
}

void processor_catch(void (*handler)(int, siginfo_t *, void *))
{
    static uint8_t alt[65536] __attribute__((aligned(64)));
    static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
    stack_t ss = { .ss_sp = alt, .ss_size = sizeof(alt) - 8192 }; /* a copy may look behind */
    struct sigaction sa = { .sa_sigaction = handler,
                            .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

    sigaltstack(&ss, NULL);
    for (unsigned i = 0; i < ARRAY_LEN(signals); i++)
        sigaction(signals[i], &sa, NULL);
}

void processor_fault(struct processor_fault *f, void *context)
{
    static const int order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                   REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                   REG_R12, REG_R13, REG_R14, REG_R15 };
    const ucontext_t *uc = context;
    const greg_t *g = uc->uc_mcontext.gregs;

    for (unsigned i = 0; i < 16; i++)
        f->gpr[i] = (uint64_t)g[order[i]];
    f->rip = (uint64_t)g[REG_RIP];
    f->rflags = (uint64_t)g[REG_EFL];
    f->cr2 = (uint64_t)g[REG_CR2];
    f->vector = (int)g[REG_TRAPNO];
    f->error = (uint32_t)g[REG_ERR];
    f->xsave = uc->uc_mcontext.fpregs;
}

uint64_t processor_xcr0(void)
{
    uint32_t lo, hi;

    __asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return lo & (X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX | X86_XCR0_AVX512);
}
