/* SPDX-License-Identifier: BSD-2-Clause */
/* Which way the software engine goes on this host, and why not the faster one: for `trapeze doctor`
 * and for messages. */
#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "engine/soft/soft.h"

/* Bits of XCR0: [SDM] 1 "XSAVE-Supported Features and State-Component Bitmaps" */
enum { XCR0_AVX = 6, XCR0_AVX512 = 0xe6 };

static uint32_t enabled_state(void)
{
    unsigned a, b, c = 0, d;
    uint32_t low, high;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* What the emulator needs as well. */
static int no_code(char *why, size_t size)
{
    void *rw, *rx;
    int err = soft_code_alloc(&rw, &rx, 0x1000);

    if (!err) {
        soft_code_free(rw, rx, 0x1000);
        return 0;
    }
    snprintf(why, size,
             "the host refuses memory that is executable (%s): a policy such as SELinux's execmem "
             "or a seccomp filter on mprotect or mremap",
             strerror(-err));
    return err;
}

int xl_refused(char *why, size_t size)
{
    uint64_t seed;
    int fd, err = no_code(why, size);

    if (err)
        return err;
    if (xl_lacks()) {
        snprintf(why, size, "the host lacks %s", xl_lacks());
        return -ENOTSUP;
    }
    fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (fd < 0) {
        err = -errno;
        snprintf(why, size, "the host refuses timerfd_create (%s)", strerror(-err));
        return err;
    }
    close(fd);
    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
        err = -errno;
        snprintf(why, size, "the host refuses getrandom (%s)", strerror(-err));
        return err;
    }
    return 0;
}

int soft_describe(const struct engine_options *opt, char *text, size_t size)
{
    const uint32_t state = enabled_state();
    char why[200];
    int err = no_code(why, sizeof(why));

    if (err) {
        snprintf(text, size, "does not run: %s", why);
        return err;
    }
    if (!soft_translates(opt)) {
        if (opt && opt->soft)
            snprintf(text, size, "emulator, as asked");
        else if (xl_refused(why, sizeof(why)))
            snprintf(text, size, "emulator, since the translator cannot run: %s", why);
        return 0;
    }
    err = xl_refused(why, sizeof(why));
    if (err) {
        snprintf(text, size, "translator does not run: %s", why);
        return err;
    }
    const bool bmi2 = xl_host_bmi2() && !(opt && opt->soft_no_bmi2);
    snprintf(text, size, "translator; %s, %s, %s, vector state %s",
             !bmi2                 ? "no BMI2 (slower memory accesses)"
             : xl_host_slow_pext() ? "BMI2 without PEXT, which is slow here"
                                   : "BMI2",
             bmi2 && xl_window_possible() && !(opt && opt->soft_no_window)
                 ? "the host's MMU for hot user code"
                 : "no use of the host's MMU",
             xl_host_fsgsbase() ? "FSGSBASE" : "no FSGSBASE (slower switches)",
             (state & XCR0_AVX512) == XCR0_AVX512 ? "AVX-512"
             : (state & XCR0_AVX) == XCR0_AVX     ? "AVX"
                                                  : "SSE");
    return 0;
}
