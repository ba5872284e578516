/* SPDX-License-Identifier: BSD-2-Clause */
/* Copies between a device and guest memory. */
#include <errno.h>
#include <string.h>

#include "device/device.h"

int guest_read(const struct guest_memory *m, uint64_t gpa, void *buf, uint64_t len)
{
    const void *p;
    if (!len)
        return 0;
    p = m->map(m->ctx, gpa, len, false);
    if (!p)
        return -EFAULT;
    memcpy(buf, p, len);
    return 0;
}

int guest_write(const struct guest_memory *m, uint64_t gpa, const void *buf, uint64_t len)
{
    void *p;
    if (!len)
        return 0;
    p = m->map(m->ctx, gpa, len, true);
    if (!p)
        return -EFAULT;
    memcpy(p, buf, len);
    if (m->written)
        m->written(m->ctx, gpa, len);
    return 0;
}
