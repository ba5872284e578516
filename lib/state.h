/* SPDX-License-Identifier: BSD-2-Clause */
/* Saving and loading of named fields: one function of a device serves both directions. */
#ifndef LIB_STATE_H
#define LIB_STATE_H

#include "lib/bits.h"

/* Implemented by who saves or loads. Each call names a field; loading refuses a missing field or
 * one out of [min, max]; saving stores it. The first error sticks. */
struct state {
    bool loading;
    int error; /* 0 or -errno, sticks */
    int (*integer)(struct state *, const char *name, uint64_t *v, uint64_t min, uint64_t max);
    int (*bytes)(struct state *, const char *name, void *buf, size_t len);
};

#define STATE_INT(s, p, field, min, max)                                                           \
    do {                                                                                           \
        uint64_t v_ = (p)->field;                                                                  \
        if (!(s)->error && !((s)->error = (s)->integer(s, #field, &v_, min, max)))                 \
            (p)->field = (__typeof__((p)->field))v_;                                               \
    } while (0)
#define STATE_BYTES(s, p, field)                                                                   \
    do {                                                                                           \
        if (!(s)->error)                                                                           \
            (s)->error = (s)->bytes(s, #field, (p)->field, sizeof((p)->field));                    \
    } while (0)

#endif
