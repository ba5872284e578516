/* SPDX-License-Identifier: BSD-2-Clause */
/* ELF kernels with a PVH entry. [Xen] docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h. */
#include <errno.h>
#include <string.h>

#include "monitor/loader/loader.h"

#define PVH_MAGIC 0x336ec578u

struct pvh_start_info {
    uint32_t magic, version, flags, nr_modules;
    uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
    uint32_t memmap_entries, reserved;
};
struct pvh_module {
    uint64_t paddr, size, cmdline_paddr, reserved;
};
struct pvh_memmap {
    uint64_t addr, size;
    uint32_t type, reserved;
};
_Static_assert(sizeof(struct pvh_start_info) == 56, "hvm_start_info version 1");
_Static_assert(sizeof(struct pvh_module) == 32, "hvm_modlist_entry");
_Static_assert(sizeof(struct pvh_memmap) == 24, "hvm_memmap_table_entry");

struct modules {
    struct loader *l;
    struct pvh_module m[CONFIG_MAX_MODULES + 1];
    unsigned count;
};

static int add_module(void *arg, uint64_t gpa, uint64_t len, const char *args)
{
    struct modules *m = arg;
    struct pvh_module *p = &m->m[m->count++];
    *p = (struct pvh_module){ .paddr = gpa, .size = len };
    return loader_put_low(m->l, args, strlen(args) + 1, 16, "module arguments", &p->cmdline_paddr);
}

int pvh_load(struct loader *l, struct boot_state *boot)
{
    struct pvh_start_info si = { .magic = PVH_MAGIC, .version = 1, .rsdp_paddr = l->rsdp };
    struct loader_e820 e820[LOADER_MAX_E820];
    struct pvh_memmap map[LOADER_MAX_E820] = { 0 };
    struct modules mods = { .l = l };
    struct elf_image elf;
    uint64_t info;
    int e;

    e = elf_load(l, &elf);
    if (e)
        return e;
    if (elf.pvh_entry < elf.low || elf.pvh_entry >= elf.high)
        return loader_file_fail(l, &l->kernel, -ENOEXEC, "bad ELF: PVH entry outside the image");
    e = loader_put_low(l, l->append, strlen(l->append) + 1, 16, "the command line",
                       &si.cmdline_paddr);
    if (e)
        return e;

    e = loader_modules(l, ALIGN_UP(elf.high, MiB(2)), add_module, &mods);
    if (e)
        return e;
    si.nr_modules = mods.count;
    if (mods.count) {
        e = loader_put_low(l, mods.m, mods.count * sizeof(mods.m[0]), 16, "the module list",
                           &si.modlist_paddr);
        if (e)
            return e;
    }
    si.memmap_entries = loader_e820(l, e820);
    for (unsigned i = 0; i < si.memmap_entries; i++)
        map[i] = (struct pvh_memmap){ e820[i].base, e820[i].len, e820[i].type, 0 };
    e = loader_put_low(l, map, si.memmap_entries * sizeof(map[0]), 16, "the memory map",
                       &si.memmap_paddr);
    if (!e)
        e = loader_put_low(l, &si, sizeof(si), 16, "the start information", &info);
    if (e)
        return e;
    boot->mode = BOOT_FLAT32;
    boot->rip = elf.pvh_entry;
    boot->rbx = info;
    return 0;
}
