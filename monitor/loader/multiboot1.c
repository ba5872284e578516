/* SPDX-License-Identifier: BSD-2-Clause */
/* [Multiboot] Multiboot Specification version 0.6.96: ELF images and images with address fields. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/loader/loader.h"

#define MB1_HEADER_MAGIC 0x1badb002u
#define MB1_BOOT_MAGIC   0x2badb002u

enum {
    SEARCH = 8192,
    /* header flags */
    PAGE_ALIGN = 1 << 0,
    MEMORY_INFO = 1 << 1,
    VIDEO_MODE = 1 << 2,
    REQUIRED = 0xffff,
    ADDRESS_FIELDS = 1 << 16,
    /* information flags */
    INFO_MEMORY = 1 << 0,
    INFO_CMDLINE = 1 << 2,
    INFO_MODS = 1 << 3,
    INFO_MMAP = 1 << 6,
    INFO_LOADER_NAME = 1 << 9,
    INFO_FRAMEBUFFER = 1 << 12
};

struct mb1_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
    uint32_t mods_count, mods_addr;
    uint32_t syms[4];
    uint32_t mmap_length, mmap_addr;
    uint32_t drives_length, drives_addr, config_table, boot_loader_name, apm_table;
    uint32_t vbe_control_info, vbe_mode_info;
    uint16_t vbe_mode, vbe_interface_seg, vbe_interface_off, vbe_interface_len;
    uint32_t framebuffer_addr[2]; /* 64 bits, unaligned */
    uint32_t framebuffer_pitch, framebuffer_width, framebuffer_height;
    uint8_t framebuffer_bpp, framebuffer_type, color_info[6];
};
struct mb1_module {
    uint32_t start, end, string, reserved;
};
struct mb1_mmap {
    uint32_t size, addr[2], len[2], type;
};
_Static_assert(sizeof(struct mb1_info) == 116, "multiboot information");
_Static_assert(offsetof(struct mb1_info, framebuffer_addr) == 88, "multiboot information");
_Static_assert(sizeof(struct mb1_mmap) == 24, "multiboot memory map entry");

int multiboot1_find(const struct loader *l)
{
    size_t end = MIN(l->head_len, (size_t)SEARCH);
    for (size_t i = 0; i + 12 <= end; i += 4) {
        const uint8_t *p = l->head + i;
        /* The flat copy of an ELF kernel holds a header, too, that says nothing to us. */
        bool usable = le32(p + 4) & ADDRESS_FIELDS || elf_is(l) || !raw_is(l);
        if (le32(p) == MB1_HEADER_MAGIC && usable && !(le32(p) + le32(p + 4) + le32(p + 8)) &&
            (!(le32(p + 4) & ADDRESS_FIELDS) || i + 32 <= end))
            return (int)i;
    }
    return -1;
}

int multiboot_load_flat(struct loader *l, unsigned header, const struct multiboot_address *a)
{
    uint64_t offset, len, mem;
    int e;
    if (a->header_addr < a->load_addr || a->header_addr - a->load_addr > header)
        return loader_file_fail(l, &l->kernel, -ENOEXEC,
                                "bad multiboot header: load address does not fit its place");
    offset = header - (a->header_addr - a->load_addr);
    len = l->kernel.size - offset;
    if (a->load_end_addr) {
        if (a->load_end_addr <= a->load_addr)
            return loader_file_fail(l, &l->kernel, -ENOEXEC,
                                    "bad multiboot header: load end before load start");
        if (a->load_end_addr - a->load_addr > len)
            return loader_file_fail(l, &l->kernel, -ENOEXEC, "is truncated");
        len = a->load_end_addr - a->load_addr;
    }
    mem = len;
    if (a->bss_end_addr) {
        if (a->bss_end_addr < a->load_addr || a->bss_end_addr - a->load_addr < len)
            return loader_file_fail(l, &l->kernel, -ENOEXEC,
                                    "bad multiboot header: bss end before load end");
        mem = a->bss_end_addr - a->load_addr;
    }
    e = loader_claim(l, a->load_addr, mem, "the image");
    return e ? e : loader_copy(l, &l->kernel, offset, len, a->load_addr, mem);
}

static int load_kernel(struct loader *l, unsigned header, uint64_t *entry)
{
    const uint8_t *h = l->head + header;
    struct elf_image elf;
    int e;
    if (le32(h + 4) & ADDRESS_FIELDS) {
        struct multiboot_address a = { le32(h + 12), le32(h + 16), le32(h + 20), le32(h + 24) };
        *entry = le32(h + 28);
        return multiboot_load_flat(l, header, &a);
    }
    if (!elf_is(l))
        return loader_file_fail(l, &l->kernel, -ENOEXEC,
                                "multiboot header without address fields, and not ELF");
    e = elf_load(l, &elf);
    *entry = elf.entry;
    if (!e && (elf.entry < elf.low || elf.entry >= elf.high))
        return loader_file_fail(l, &l->kernel, -ENOEXEC, "bad ELF: entry outside the image");
    return e;
}

struct modules {
    struct loader *l;
    struct mb1_module m[CONFIG_MAX_MODULES + 1];
    unsigned count;
};

static int add_module(void *arg, uint64_t gpa, uint64_t len, const char *args)
{
    struct modules *m = arg;
    uint64_t string;
    int e = loader_put_low(m->l, args, strlen(args) + 1, 4, "module arguments", &string);
    if (!e)
        m->m[m->count++] =
            (struct mb1_module){ (uint32_t)gpa, (uint32_t)(gpa + len), (uint32_t)string, 0 };
    return e;
}

static int put_modules(struct loader *l, struct mb1_info *info)
{
    struct modules mods = { .l = l };
    uint64_t gpa;
    int e = loader_modules(l, loader_used_end(l), add_module, &mods);
    if (e || !mods.count)
        return e;
    e = loader_put_low(l, mods.m, mods.count * sizeof(mods.m[0]), 4, "the module list", &gpa);
    info->flags |= INFO_MODS;
    info->mods_count = mods.count;
    info->mods_addr = (uint32_t)gpa;
    return e;
}

static int put_memory(struct loader *l, struct mb1_info *info)
{
    struct loader_e820 e820[LOADER_MAX_E820];
    struct mb1_mmap map[LOADER_MAX_E820];
    unsigned n = loader_e820(l, e820);
    uint64_t gpa;
    int e;

    for (unsigned i = 0; i < n; i++) {
        map[i].size = sizeof(map[0]) - sizeof(map[0].size);
        le64_put(map[i].addr, e820[i].base);
        le64_put(map[i].len, e820[i].len);
        map[i].type = e820[i].type;
        if (e820[i].type == MEMMAP_RAM && e820[i].base == 0)
            info->mem_lower = (uint32_t)(MIN(e820[i].len, KiB(640)) >> 10);
        if (e820[i].type == MEMMAP_RAM && e820[i].base == MiB(1))
            info->mem_upper = (uint32_t)(e820[i].len >> 10);
    }
    e = loader_put_low(l, map, n * sizeof(map[0]), 4, "the memory map", &gpa);
    info->flags |= INFO_MEMORY | INFO_MMAP;
    info->mmap_length = n * (uint32_t)sizeof(map[0]);
    info->mmap_addr = (uint32_t)gpa;
    return e;
}

static int put_strings(struct loader *l, struct mb1_info *info)
{
    static const char name[] = "Trapeze";
    uint64_t gpa;
    char *cmdline;
    int e = loader_cmdline(l, &cmdline);
    if (e)
        return e;
    e = loader_put_low(l, cmdline, strlen(cmdline) + 1, 4, "the command line", &gpa);
    free(cmdline);
    if (e)
        return e;
    info->cmdline = (uint32_t)gpa;
    e = loader_put_low(l, name, sizeof(name), 4, "the loader's name", &gpa);
    info->boot_loader_name = (uint32_t)gpa;
    info->flags |= INFO_CMDLINE | INFO_LOADER_NAME;
    return e;
}

int multiboot1_load(struct loader *l, unsigned header, struct boot_state *boot)
{
    uint32_t flags = le32(l->head + header + 4);
    struct mb1_info info = { 0 };
    uint64_t entry = 0, gpa;
    int e;

    if (flags & REQUIRED & ~(PAGE_ALIGN | MEMORY_INFO | VIDEO_MODE))
        return loader_file_fail(l, &l->kernel, -ENOTSUP,
                                "multiboot kernel requires unknown features (flags %#x)", flags);
    e = load_kernel(l, header, &entry);
    if (!e)
        e = put_modules(l, &info);
    if (!e)
        e = put_memory(l, &info);
    if (!e)
        e = put_strings(l, &info);
    if (e)
        return e;
    if (flags & VIDEO_MODE) { /* a wish; what there is is 80x25 text */
        info.flags |= INFO_FRAMEBUFFER;
        info.framebuffer_addr[0] = (uint32_t)PC_VGA_TEXT;
        info.framebuffer_pitch = 160;
        info.framebuffer_width = 80;
        info.framebuffer_height = 25;
        info.framebuffer_bpp = 16;
        info.framebuffer_type = 2;
    }
    e = loader_put_low(l, &info, sizeof(info), 4, "multiboot information", &gpa);
    if (e)
        return e;
    boot->mode = BOOT_FLAT32;
    boot->rip = entry;
    boot->rax = MB1_BOOT_MAGIC;
    boot->rbx = gpa;
    return 0;
}
