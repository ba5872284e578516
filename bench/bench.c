/* SPDX-License-Identifier: BSD-2-Clause */
/* The frame of the benchmark binaries: chooses kernels by name, times and reports them. */
#include "bench/bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

uint64_t bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint32_t bench_random(uint32_t *state)
{
    uint32_t x = *state;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

void bench_text(char *out, size_t size)
{
    static const char *const words[] = {
        "the",      "of",     "machine", "and",     "to",    "memory",  "in",      "page",
        "register", "a",      "is",      "that",    "table", "address", "for",     "with",
        "segment",  "be",     "fault",   "as",      "by",    "kernel",  "or",      "on",
        "this",     "vector", "are",     "current", "from",  "virtual", "process", "limit",
    };
    uint32_t seed = 12345;
    size_t at = 0;

    while (at < size) {
        uint32_t r = bench_random(&seed);
        /* The product of two draws favours the first words, as prose favours some. */
        const char *w = words[(r & 31) * (r >> 5 & 31) / 31];

        while (*w && at < size)
            out[at++] = *w++;
        if (at < size && (r >> 10 & 15) == 0)
            out[at++] = (char)('0' + (r >> 14) % 10);
        if (at < size)
            out[at++] = (r >> 20 & 7) ? ' ' : '\n';
    }
}

static uint64_t cpu_ns(void)
{
    uint64_t us = 0;

    for (int who = RUSAGE_CHILDREN; who <= RUSAGE_SELF; who++) {
        struct rusage r;
        if (!getrusage(who, &r))
            us += (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000u +
                  (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
    }
    return us * 1000;
}

struct bench_time bench_begin(const char *name)
{
    printf("begin %s\n", name);
    fflush(stdout);
    return (struct bench_time){ .wall = bench_now(), .cpu = cpu_ns() };
}

void bench_report(const char *name, struct bench_time begin, uint64_t check)
{
    uint64_t wall = bench_now() - begin.wall, cpu = cpu_ns() - begin.cpu;

    printf("bench %s %" PRIu64 " %" PRIu64 " %" PRIx64 "\n", name, wall, cpu, check);
    fflush(stdout);
}

static void measure(const struct bench_kernel *k, unsigned long repeat, unsigned long percent)
{
    uint64_t n = k->n * percent / 100;

    if (k->setup)
        k->setup();
    for (unsigned long i = 0; i < repeat; i++) {
        struct bench_time begin = bench_begin(k->name);
        uint64_t check = k->run(n ? n : 1);

        bench_report(k->name, begin, check);
    }
}

int bench_main(int argc, char **argv, const struct bench_kernel *const *lists)
{
    unsigned long repeat = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    unsigned long percent = argc > 3 ? strtoul(argv[3], NULL, 10) : 100;
    int found = 0;

    if (argc < 2 || argc > 4 || !repeat || !percent) {
        fprintf(stderr, "usage: %s NAME|all|list [REPEAT [PERCENT]]\n", argv[0]);
        return 2;
    }
    for (; *lists; lists++) {
        for (const struct bench_kernel *k = *lists; k->name; k++) {
            if (!strcmp(argv[1], "list"))
                printf("%s\n", k->name);
            else if (!strcmp(argv[1], "all") || !strcmp(argv[1], k->name))
                measure(k, repeat, percent);
            else
                continue;
            found = 1;
        }
    }
    if (!found)
        fprintf(stderr, "%s: no kernel %s\n", argv[0], argv[1]);
    return found ? 0 : 2;
}
