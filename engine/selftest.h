/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A short guest that tells whether an engine runs what real guests need: long mode, paging,
 * exceptions, SSE, atomics, interrupts, user mode. A /dev/kvm may be absent, forbidden, broken by
 * nesting, or an emulator that stops half-way; only trying shows which.
 */
#ifndef ENGINE_SELFTEST_H
#define ENGINE_SELFTEST_H

#include "engine/engine.h"

enum selftest_verdict {
    SELFTEST_PASSED,
    SELFTEST_NO_DEVICE,     /* the device does not exist or leads to no driver */
    SELFTEST_NO_PERMISSION, /* the device may not be opened */
    SELFTEST_UNUSABLE,      /* not a KVM, too old, or it makes no VM */
    SELFTEST_FAILED,        /* the guest did not get through: see step */
    SELFTEST_TIMEOUT,       /* ... in time: see step */
};

struct selftest_result {
    enum selftest_verdict verdict;
    const char *step; /* "cmpxchg16b" ...: what was being tried; NULL: none or all passed */
    char reason[256]; /* one line, also when passed */
    unsigned microseconds;
};

/*
 * Runs the guest in a child process, so that an engine that hangs or crashes takes nothing along.
 * Returns 0 if it passed, else -ENODEV, -EACCES, -EOPNOTSUPP, -EIO, -ETIMEDOUT by verdict, or
 * another -errno if the test itself could not be run (verdict SELFTEST_UNUSABLE).
 */
WARN_UNUSED int engine_selftest(const struct engine_ops *, const struct engine_options *,
                                unsigned timeout_ms, struct selftest_result *out);

#endif
