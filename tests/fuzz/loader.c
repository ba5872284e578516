/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz: the input is a kernel file; the first byte picks raw, initrd and module. */
#include <stdlib.h>
#include <string.h>

#include "monitor/loader/loader.h"

enum { RAM = 4 << 20 };

static uint8_t *ram;

static void *map(void *ctx, uint64_t gpa, uint64_t len, bool write)
{
    (void)ctx;
    (void)write;
    return range_ok(gpa, len, RAM) ? ram + gpa : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct guest_memory mem = { map, NULL, NULL };
    /* A little more RAM is promised than there is. */
    static const struct memmap memory = { { { 0, PC_LOW_RAM_END, MEMMAP_RAM, "low" },
                                            { 0x100000, RAM - 0x80000, MEMMAP_RAM, "ram" } },
                                          2 };
    static struct loader l;
    struct boot_state boot;
    char error[256];

    if (!ram)
        ram = malloc(RAM);
    if (!ram || size < 1)
        return 0;
    memset(&l, 0, sizeof(l));
    l.mem = &mem;
    l.map = &memory;
    l.rsdp = 0x1000;
    l.append = "console=ttyS0";
    l.error = error;
    l.error_len = sizeof(error);
    l.kernel = (struct loader_file){ "--kernel", "k", size - 1, -1, data + 1 };
    l.raw = (data[0] & 7) == 7;
    if (data[0] & 8) {
        l.have_initrd = true;
        l.initrd = (struct loader_file){ "--initrd", "i", size, -1, data };
    }
    if (data[0] & 16) {
        l.modules = 1;
        l.module[0] = (struct loader_file){ "--module", "m", size, -1, data };
        l.module_args[0] = "m a";
    }
    if (!loader_load_image(&l, &boot) && boot.rip == ~0ull)
        abort();
    return 0;
}
