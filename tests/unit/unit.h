/* SPDX-License-Identifier: BSD-2-Clause */
/* The whole unit-test framework: CHECK counts, unit_done() reports and gives main()'s result. */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <stdint.h>
#include <stdio.h>

static unsigned unit_passed, unit_failed;

#define CHECK(cond)                                                                                \
    ((cond)                                                                                        \
         ? (void)unit_passed++                                                                     \
         : (void)(unit_failed++, printf("%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #cond)))
#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        unsigned long long a_ = (unsigned long long)(a), b_ = (unsigned long long)(b);             \
        if (a_ == b_)                                                                              \
            unit_passed++;                                                                         \
        else {                                                                                     \
            unit_failed++;                                                                         \
            printf("%s:%d: %s is %#llx, expected %s = %#llx\n", __FILE__, __LINE__, #a, a_, #b,    \
                   b_);                                                                            \
        }                                                                                          \
    } while (0)

/* Random numbers, xorshift64*: the same each run, so that what fails fails again. */
static uint64_t unit_seed = 1;

static inline uint64_t rnd64(void)
{
    unit_seed ^= unit_seed << 13;
    unit_seed ^= unit_seed >> 7;
    unit_seed ^= unit_seed << 17;
    return unit_seed * 0x2545f4914f6cdd1dull;
}

static inline unsigned rnd(unsigned n) /* below n */ { return (unsigned)(rnd64() >> 33) % n; }

static inline int unit_done(const char *name)
{
    printf("%s: %u checks passed, %u failed\n", name, unit_passed, unit_failed);
    return unit_failed ? 1 : 0;
}

#endif
