/* SPDX-License-Identifier: BSD-2-Clause */
/* Processor benchmarks: small loops, each of which stresses one thing a machine emulator can be
 * slow at. */
#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline))

static uint64_t run_xorshift(uint64_t n)
{
    uint64_t x = 88172645463325252u;

    while (n--) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return x;
}

/* ---- double matmul ---- */
enum { MAT = 128 };
static double mat_a[MAT][MAT], mat_b[MAT][MAT], mat_c[MAT][MAT];

static void setup_matmul(void)
{
    for (int i = 0; i < MAT; i++) {
        for (int j = 0; j < MAT; j++) {
            mat_a[i][j] = (i * 7 + j * 3) % 11 / 8.0;
            mat_b[i][j] = (i * 5 + j * 13) % 17 / 16.0;
        }
    }
}

static NOINLINE void matmul(void)
{
    for (int i = 0; i < MAT; i++) {
        for (int j = 0; j < MAT; j++) {
            double sum = 0;

            for (int k = 0; k < MAT; k++)
                sum += mat_a[i][k] * mat_b[k][j];
            mat_c[i][j] = sum;
        }
    }
}

static uint64_t run_matmul(uint64_t n)
{
    double sum = 0;

    while (n--) {
        matmul();
        mat_a[n % MAT][3] += 1.0;
        for (int i = 0; i < MAT; i++)
            sum += mat_c[i][MAT - 1 - i];
    }
    return (uint64_t)(sum * 1024);
}

/* ---- calls ---- */
static NOINLINE unsigned fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

static uint64_t run_fib(uint64_t n)
{
    uint64_t sum = 0;

    while (n--)
        sum += fib(27 + (n & 1));
    return sum;
}

/* ---- libc qsort ---- */
enum { SORT = 50000 };
static uint32_t sort_in[SORT], sort_out[SORT];

static void setup_qsort(void)
{
    uint32_t seed = 99;

    for (int i = 0; i < SORT; i++)
        sort_in[i] = bench_random(&seed);
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static uint64_t run_qsort(uint64_t n)
{
    uint64_t sum = 0;

    while (n--) {
        memcpy(sort_out, sort_in, sizeof(sort_out));
        qsort(sort_out, SORT, sizeof(sort_out[0]), compare_u32);
        sum += sort_out[n % SORT];
    }
    return sum;
}

/* ---- pointer chase: one cycle through 4 MB, a line apart ---- */
enum { CHASE = 65536 };
static struct chase_node {
    struct chase_node *next;
    uint64_t id;
    uint64_t pad[6];
} chase[CHASE];

static void setup_chase(void)
{
    uint32_t *order = malloc(CHASE * sizeof(*order)), seed = 7;

    if (!order)
        exit(1);
    for (uint32_t i = 0; i < CHASE; i++)
        order[i] = i;
    for (uint32_t i = CHASE - 1; i > 0; i--) {
        uint32_t j = bench_random(&seed) % i, t = order[i];

        order[i] = order[j];
        order[j] = t;
    }
    for (uint32_t i = 0; i < CHASE; i++) {
        chase[order[i]].next = &chase[order[(i + 1) % CHASE]];
        chase[order[i]].id = order[i];
    }
    free(order);
}

static uint64_t run_chase(uint64_t n)
{
    const struct chase_node *p = chase;

    while (n--)
        p = p->next;
    return p->id;
}

/* ---- memcpy ---- */
enum { COPY = 65536 };
static char copy_from[COPY + 64], copy_to[COPY + 64];
/* Through a pointer the compiler cannot see through, so that libc's own is what runs. */
static void *(*volatile copy)(void *, const void *, size_t) = memcpy;

static void setup_copy(void) { bench_text(copy_from, sizeof(copy_from)); }

static uint64_t run_memcpy64k(uint64_t n)
{
    uint64_t sum = 0;

    while (n--) {
        copy(copy_to, copy_from, COPY);
        sum += (unsigned char)copy_to[n % COPY];
    }
    return sum;
}

static uint64_t run_memcpy40(uint64_t n)
{
    uint64_t sum = 0;

    while (n--) {
        size_t at = n * 40 % (COPY / 2);

        copy(copy_to + at, copy_from + at + 3, 40);
        sum += (unsigned char)copy_to[at];
    }
    return sum;
}

/* ---- malloc ---- */
static uint64_t run_malloc(uint64_t n)
{
    static unsigned char *slot[1024];
    uint32_t seed = 5;
    uint64_t sum = 0;

    while (n--) {
        uint32_t r = bench_random(&seed);
        unsigned char **p = &slot[r % 1024];

        if (*p)
            sum += **p;
        free(*p);
        *p = malloc(16 + (r >> 10) % 500);
        if (!*p)
            exit(1);
        **p = (unsigned char)r;
    }
    for (int i = 0; i < 1024; i++) {
        free(slot[i]);
        slot[i] = NULL;
    }
    return sum;
}

static uint64_t run_snprintf(uint64_t n)
{
    char line[128];
    uint64_t sum = 0;

    while (n--) {
        sum += (uint64_t)snprintf(line, sizeof(line), "%s: line %u at %#lx, %5d of %-8s", "trace",
                                  (unsigned)n, (unsigned long)n * 4099, (int)(n % 1000), "total");
        sum += (unsigned char)line[n % 40];
    }
    return sum;
}

/* ---- a bytecode interpreter that counts primes ---- */
enum op { OP_LOAD, OP_ADD, OP_REM, OP_MOVE, OP_JLT, OP_JZ, OP_JMP, OP_HALT };
struct code {
    uint8_t op, a, b;
    int32_t c;
};

static NOINLINE uint64_t interpret(const struct code *code, uint64_t *r)
{
    for (const struct code *pc = code;; pc++) {
        switch ((enum op)pc->op) {
        case OP_LOAD: r[pc->a] = (uint64_t)(int64_t)pc->c; break;
        case OP_ADD: r[pc->a] = r[pc->b] + (uint64_t)(int64_t)pc->c; break;
        case OP_REM: r[pc->a] = (uint32_t)r[pc->a] % (uint32_t)r[pc->b]; break;
        case OP_MOVE: r[pc->a] = r[pc->b]; break;
        case OP_JLT:
            if (r[pc->a] < r[pc->b])
                pc = code + pc->c - 1;
            break;
        case OP_JZ:
            if (!r[pc->a])
                pc = code + pc->c - 1;
            break;
        case OP_JMP: pc = code + pc->c - 1; break;
        case OP_HALT: return r[pc->a];
        }
    }
}

static uint64_t run_bytecode(uint64_t n)
{
    static const struct code primes[] = {
        { OP_LOAD, 1, 0, 2 }, /* r1: candidate */
        { OP_LOAD, 2, 0, 0 }, /* r2: primes found */
        { OP_LOAD, 3, 0, 2 }, /* 2: r3: divisor */
        { OP_JLT, 3, 1, 5 },  /* 3 */
        { OP_JMP, 0, 0, 10 }, /* 4: no divisor below itself */
        { OP_MOVE, 4, 1, 0 }, /* 5 */
        { OP_REM, 4, 3, 0 },  /* 6 */
        { OP_JZ, 4, 0, 11 },  /* 7 */
        { OP_ADD, 3, 3, 1 },  /* 8 */
        { OP_JMP, 0, 0, 3 },  /* 9 */
        { OP_ADD, 2, 2, 1 },  /* 10 */
        { OP_ADD, 1, 1, 1 },  /* 11 */
        { OP_JLT, 1, 0, 2 },  /* 12: r0: bound */
        { OP_HALT, 2, 0, 0 },
    };
    uint64_t r[8] = { n };

    return interpret(primes, r);
}

/* ---- string functions ---- */
static size_t (*volatile str_length)(const char *) = strlen;
static int (*volatile str_compare)(const char *, const char *) = strcmp;
static char words[400][80];

static void setup_strings(void)
{
    static char text[400 * 79];

    bench_text(text, sizeof(text));
    for (int i = 0; i < 400; i++)
        memcpy(words[i], text + i * 79, (size_t)(10 + i % 70));
}

static uint64_t run_strings(uint64_t n)
{
    uint64_t sum = 0;

    while (n--) {
        const char *a = words[n % 400], *b = words[n * 7 % 400];
        char line[200];
        const char *hit;

        sum += str_length(a);
        sum += str_compare(a, b) < 0;
        strcpy(line, a);
        strcat(line, b);
        hit = strchr(line, 'q');
        sum += hit ? (uint64_t)(hit - line) : 1;
        hit = strstr(line, "fault");
        sum += hit ? (uint64_t)(hit - line) : 2;
    }
    return sum;
}

const struct bench_kernel bench_cpu[] = {
    { "xorshift", NULL, run_xorshift, 45000000 },
    { "matmul", setup_matmul, run_matmul, 84 },
    { "fib", NULL, run_fib, 140 },
    { "qsort", setup_qsort, run_qsort, 18 },
    { "chase4m", setup_chase, run_chase, 2700000 },
    { "memcpy64k", setup_copy, run_memcpy64k, 60000 },
    { "memcpy40", setup_copy, run_memcpy40, 32000000 },
    { "malloc", NULL, run_malloc, 5000000 },
    { "snprintf", NULL, run_snprintf, 500000 },
    { "bytecode", NULL, run_bytecode, 11000 },
    { "strings", setup_strings, run_strings, 4000000 },
    { NULL, NULL, NULL, 0 },
};

int main(int argc, char **argv)
{
    static const struct bench_kernel *const lists[] = { bench_cpu, bench_digest, bench_compress,
                                                        NULL };

    return bench_main(argc, argv, lists);
}
