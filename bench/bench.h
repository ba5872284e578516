/* SPDX-License-Identifier: BSD-2-Clause */
/* What a benchmark binary consists of: kernels by name, and the one way to time and report them. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

struct bench_kernel {
    const char *name;
    /* Untimed: makes the input. Called once. */
    void (*setup)(void);
    /* Timed: does `n` units of work; its result is a check value, equal on every machine. */
    uint64_t (*run)(uint64_t n);
    uint64_t n; /* about 100 ms on a processor of 2023 */
};

/* Each of these lists ends with a kernel without a name. */
extern const struct bench_kernel bench_cpu[], bench_digest[], bench_compress[];

uint64_t bench_now(void);
uint32_t bench_random(uint32_t *state);
/* Text with the statistics of prose, for compressors and sorters. */
void bench_text(char *out, size_t size);
/* `begin NAME`, and then `bench NAME WALL CPU CHECK` on standard output, times in nanoseconds; CPU
 * time includes children's. */
struct bench_time {
    uint64_t wall, cpu;
};
struct bench_time bench_begin(const char *name);
void bench_report(const char *name, struct bench_time begin, uint64_t check);
/* The arguments NAME [REPEAT [PERCENT]]; NAME may be `all` or `list`. Returns an exit status. */
int bench_main(int argc, char **argv, const struct bench_kernel *const *lists);

#endif
