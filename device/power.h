/* SPDX-License-Identifier: BSD-2-Clause */
/* The wire by which a device asks for the machine to be switched off, reset or left. */
#ifndef DEVICE_POWER_H
#define DEVICE_POWER_H

enum power_request { POWER_OFF, POWER_RESET, POWER_EXIT };

struct power_wire {
    /* value: the exit status for POWER_EXIT, else 0. Returns; the guest may run on for a moment. */
    void (*request)(void *ctx, enum power_request, int value);
    void *ctx;
};

static inline void power_request(const struct power_wire *w, enum power_request what, int value)
{
    if (w->request)
        w->request(w->ctx, what, value);
}

#endif
