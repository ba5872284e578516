/* SPDX-License-Identifier: BSD-2-Clause */
/* What the software engine needs of the host: its TSC, futexes, memory for generated code. */
#include <cpuid.h>
#include <errno.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "engine/soft/soft.h"

/* The host's time stamp counter against CLOCK_MONOTONIC; the same for the whole process, so it may
 * be shared by all VMs. */
static struct {
    uint32_t khz;
    uint64_t tsc0, ns0;
    uint64_t to_ns, to_tsc; /* 32.32 fixed point */
} host_clock;

static pthread_once_t clock_once = PTHREAD_ONCE_INIT;

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* TSC and clock at (nearly) the same moment: the tightest of several tries. */
static void sample(clockid_t id, uint64_t *tsc, uint64_t *ns)
{
    uint64_t best = ~0ull;

    for (unsigned i = 0; i < 8; i++) {
        uint64_t a = __rdtsc(), n = clock_ns(id), b = __rdtsc();
        if (b - a < best) {
            best = b - a;
            *tsc = a + (b - a) / 2;
            *ns = n;
        }
    }
}

/* [SDM] 2A CPUID leaf 15h, or by measuring. */
static uint32_t measure_khz(void)
{
    unsigned a, b, c, d;
    uint64_t t0 = 0, n0 = 0, t1 = 0, n1 = 0;

    if (__get_cpuid(0x15, &a, &b, &c, &d) && a && b && c) {
        uint64_t khz = (uint64_t)c * b / a / 1000;
        if (khz >= 100000 && khz <= 20000000)
            return (uint32_t)khz;
    }
    sample(CLOCK_MONOTONIC_RAW, &t0, &n0);
    do {
        struct timespec ts = { 0, 5000000 };
        nanosleep(&ts, NULL);
        sample(CLOCK_MONOTONIC_RAW, &t1, &n1);
    } while (n1 - n0 < 20000000);
    return (uint32_t)((unsigned __int128)(t1 - t0) * 1000000 / (n1 - n0));
}

static void clock_setup(void)
{
    host_clock.khz = measure_khz();
    host_clock.to_ns = (1000000ull << 32) / host_clock.khz;
    host_clock.to_tsc = ((uint64_t)host_clock.khz << 32) / 1000000;
    sample(CLOCK_MONOTONIC, &host_clock.tsc0, &host_clock.ns0);
}

uint32_t soft_tsc_khz(void)
{
    pthread_once(&clock_once, clock_setup);
    return host_clock.khz;
}

uint64_t soft_rdtsc(void) { return __rdtsc(); }

uint64_t soft_tsc_to_ns(uint64_t tsc)
{
    int64_t delta = (int64_t)(tsc - host_clock.tsc0);

    return host_clock.ns0 + (uint64_t)(((__int128)delta * (__int128)host_clock.to_ns) >> 32);
}

uint64_t soft_ns_to_tsc(uint64_t ns)
{
    int64_t delta = (int64_t)(ns - host_clock.ns0);

    return host_clock.tsc0 + (uint64_t)(((__int128)delta * (__int128)host_clock.to_tsc) >> 32);
}

void soft_futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
    struct timespec ts = { (time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000) };

    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout_ns == UINT64_MAX ? NULL : &ts, NULL,
            0);
}

void soft_futex_wake(_Atomic uint32_t *word)
{
    int saved = errno; /* may run in a signal handler */

    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = saved;
}

/* Two mappings of the same pages, so that none is ever writable and executable. Anonymous, so that
 * perf names what lies there by its map file. [mremap(2)] an old size of 0 */
int soft_code_alloc(void **rw, void **rx, size_t size)
{
    void *w = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), *x;
    int err;

    if (w == MAP_FAILED)
        return -errno;
    x = mremap(w, 0, size, MREMAP_MAYMOVE);
    if (x == MAP_FAILED || mprotect(x, size, PROT_READ | PROT_EXEC) < 0) {
        err = -errno;
        munmap(w, size);
        if (x != MAP_FAILED)
            munmap(x, size);
        return err;
    }
    *rw = w;
    *rx = x;
    return 0;
}

void soft_code_free(void *rw, void *rx, size_t size)
{
    if (rw)
        munmap(rw, size);
    if (rx)
        munmap(rx, size);
}

void *soft_pages_alloc(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void soft_pages_free(void *p, size_t size)
{
    if (p)
        munmap(p, size);
}

enum { PRESENT_STEP = 128 << 10 };

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

/* [madvise(2)] Errors do not matter: kernels before 5.14 do it page by page. */
void soft_pages_present(void *p, size_t *present, size_t used, size_t size)
{
    while (*present < MIN(used, size)) {
        const size_t n = MIN(size - *present, (size_t)PRESENT_STEP);
        madvise((uint8_t *)p + *present, n, MADV_POPULATE_WRITE);
        *present += n;
    }
}

void soft_code_present(void *rw, void *rx, size_t *present, size_t used, size_t size)
{
    const size_t from = *present;

    soft_pages_present(rw, present, used, size);
    if (*present > from)
        madvise((uint8_t *)rx + from, *present - from, MADV_POPULATE_READ);
}
