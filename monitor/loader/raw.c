/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A raw 32-bit image at 1 MiB: flat segments, PE=1, no paging, no firmware, nothing in registers
 * but a stack pointer below 640 KiB. Taken when asked for by raw:FILE, and for a file named *.bin,
 * *.raw or *.img that is nothing else.
 */
#include <errno.h>
#include <string.h>

#include "monitor/loader/loader.h"

enum { RAW_BASE = 0x100000, RAW_STACK = 0x9f000 };

bool raw_is(const struct loader *l)
{
    static const char *const suffix[] = { ".bin", ".raw", ".img" };
    size_t n = strlen(l->kernel.name);
    for (unsigned i = 0; i < ARRAY_LEN(suffix); i++)
        if (n > 4 && !strcmp(l->kernel.name + n - 4, suffix[i]))
            return true;
    return false;
}

int raw_load(struct loader *l, struct boot_state *boot)
{
    int e;
    if (l->have_initrd || l->modules || l->append[0])
        return loader_file_fail(l, &l->kernel, -EINVAL,
                                "a raw image takes no --initrd, --module or --append");
    e = loader_claim(l, RAW_BASE, l->kernel.size, "image");
    if (!e)
        e = loader_copy(l, &l->kernel, 0, l->kernel.size, RAW_BASE, l->kernel.size);
    if (e)
        return e;
    boot->mode = BOOT_FLAT32;
    boot->rip = RAW_BASE;
    boot->rsp = RAW_STACK;
    return 0;
}
