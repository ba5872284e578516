/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests that run code on the processor itself: memory at fixed addresses, faults as signals. */
#ifndef TESTS_PROCESSOR_H
#define TESTS_PROCESSOR_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

/* What the processor had at a fault; gpr in its own order. */
struct processor_fault {
    uint64_t gpr[16], rip, rflags, cr2;
    int vector;
    uint32_t error;
    const void *xsave; /* valid in the handler only; may be NULL */
};

/* size bytes at `at`: of fd, shared, or anonymous if that is negative. Exits with 77 (skipped) if
 * there is no room. */
void *processor_map(uint64_t at, size_t size, int prot, int fd);
/* A memory file of size bytes for several mappings of the same. */
int processor_memory(size_t size);
/* Signals of faults go to handler, on a stack of their own, and may come again within it. */
void processor_catch(void (*handler)(int, siginfo_t *, void *));
void processor_fault(struct processor_fault *, void *context /* the handler's third argument */);
/* The XCR0 bits there is a test for. */
uint64_t processor_xcr0(void);

#endif
