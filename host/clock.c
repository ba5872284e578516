/* SPDX-License-Identifier: BSD-2-Clause */
/* Time of the host, as devices and the event loop see it. */
#include <time.h>

#include "host/loop.h"

uint64_t host_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t clock_now_ns(void *ctx)
{
    (void)ctx;
    return host_now_ns();
}

static int64_t clock_wall_seconds(void *ctx)
{
    struct timespec t;
    (void)ctx;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec;
}

const struct device_clock host_clock = { clock_now_ns, clock_wall_seconds, NULL };
